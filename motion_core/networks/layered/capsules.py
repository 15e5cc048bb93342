"""Limbs drawn from their keypoints: soft capsules along the strips, as wide as these."""

from __future__ import annotations

import torch
from torch import Tensor

from ...geometry import geometry_precision, identity_grid
from .limbs import STRIPS, strip_ends

# Strips whose fifth point lies beyond them: a hand, a foot.
LONGER = tuple(number for number, (*_, fifth) in enumerate(STRIPS) if fifth.endswith(("hand", "foot")))
SOFT = 4.0  # cells from a capsule's inside to its outside


def capsules(points: Tensor, size: int) -> Tensor:
    """Soft masks of limbs at the middles of size x size cells, ``(B, K, size, size)`` in [0, 1], fp32.

    Args:
        points: of strips, ``(B, K, 5, 2)`` in [-1, 1]: two corners at the start, two at the end, one more.
    """
    with geometry_precision(points):
        points = points.float()
        start, end, wide, narrow = strip_ends(points)
        last = points[:, :, 4]  # (B, K, 2)
        depth = _depth(start, end, wide, narrow, size)  # (B, K, size, size)
        longer = list(LONGER)
        beyond = _depth(
            end[:, longer], 2 * last[:, longer] - end[:, longer], narrow[:, longer], narrow[:, longer], size
        )
        depth = depth.index_copy(1, torch.tensor(longer, device=depth.device), torch.maximum(depth[:, longer], beyond))
        return torch.sigmoid(depth * (2 * size / SOFT))


def _depth(start: Tensor, end: Tensor, wide: Tensor, narrow: Tensor, size: int) -> Tensor:
    """How deep the middles of cells are inside of capsules, in coordinate units; negative outside."""
    cells = identity_grid(size, size, start) * ((size - 1) / size)  # (size, size, 2)
    offset = cells - start[:, :, None, None]  # (B, K, size, size, 2)
    axis = (end - start)[:, :, None, None]
    share = ((offset * axis).sum(-1) / axis.square().sum(-1).clamp(min=1e-6)).clamp(0, 1)
    distance = (offset - share[..., None] * axis).norm(dim=-1)
    return (
        torch.lerp(wide[:, :, None, None].expand_as(share), narrow[:, :, None, None].expand_as(share), share) - distance
    )
