"""Where a deformation folds over: neighbouring pixels that come from the source in reversed order."""

from __future__ import annotations

from torch import Tensor

from .grids import at_least_fp32


def fold_over_share(deformation: Tensor) -> Tensor:
    """Share of the cells of a deformation grid ``(B, h, w, 2)`` whose Jacobian determinant is negative, ``(B,)``.

    A cell's Jacobian is taken from its first corner to the two next to it. A mirrored grid has the share 1.
    """
    grid = at_least_fp32(deformation)
    across = grid[:, :-1, 1:] - grid[:, :-1, :-1]  # (B, h - 1, w - 1, 2)
    down = grid[:, 1:, :-1] - grid[:, :-1, :-1]
    determinant = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    return (determinant < 0).float().mean(dim=(1, 2))
