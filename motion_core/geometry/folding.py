"""Where a deformation stretches, squeezes, tears and folds over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .grids import at_least_fp32


def cell_areas(deformation: Tensor) -> Tensor:
    """Signed area that each cell of a deformation ``(B, h, w, 2)`` covers in the source over its own, ``(B, h - 1, w - 1)``.

    The Jacobian determinant, taken from a cell's first corner to the two next to it: 1 for the identity, above 1 where the
    source is squeezed, negative where the grid folds over and neighbouring pixels come in reversed order.
    """
    grid = at_least_fp32(deformation)
    height, width = grid.shape[1:3]
    across = (grid[:, :-1, 1:] - grid[:, :-1, :-1]) * ((width - 1) / 2)  # (B, h - 1, w - 1, 2)
    down = (grid[:, 1:, :-1] - grid[:, :-1, :-1]) * ((height - 1) / 2)
    return across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]


def fold_over_share(deformation: Tensor) -> Tensor:
    """Share of the cells of a deformation grid ``(B, h, w, 2)`` that are folded over, ``(B,)``; a mirrored grid has 1."""
    return (cell_areas(deformation) < 0).float().mean(dim=(1, 2))


def spacing(deformation: Tensor) -> Tensor:
    """How far apart in the source neighbouring places come from, over how far apart they are: ``(B, h, w, 2)`` to ``(B, h, w)``.

    The largest of a place's up to four neighbours: 1 for the identity, above 1 where the source is squeezed, and far above 1
    where the deformation is torn, as between a limb and the background that it passes.

    >>> spacing(torch.tensor([[[[-1.0, 0.0], [-0.5, 0.0], [1.0, 0.0]]]]))
    tensor([[[0.5000, 1.5000, 1.5000]]])
    """
    grid = at_least_fp32(deformation)
    height, width = grid.shape[1:3]
    pixels = grid.new_tensor(((width - 1) / 2, (height - 1) / 2))
    across, down = (torch.linalg.vector_norm(grid.diff(dim=dim) * pixels, dim=-1) for dim in (2, 1))
    return torch.stack(
        (F.pad(across, (1, 0)), F.pad(across, (0, 1)), F.pad(down, (0, 0, 1, 0)), F.pad(down, (0, 0, 0, 1)))
    ).amax(dim=0)
