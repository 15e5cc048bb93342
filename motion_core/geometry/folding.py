"""Where a deformation stretches, squeezes and folds over."""

from __future__ import annotations

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
