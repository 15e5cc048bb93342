"""Sampling many channels at a deformation: each pixel's four neighbours are rows of a table, added up with their weights.

On a processor ``embedding_bag`` adds up rows of channels_last features an order of magnitude faster than ``grid_sample`` goes
through contiguous ones, and the occlusion mask costs nothing as a factor of the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import resize_grid


def warp_visible(features: Tensor, deformation: Tensor, mask: Tensor) -> Tensor:
    """``warp(features, deformation) * mask`` of `motion_core.geometry`, without gradients.

    Args:
        features: ``(B, C, H, W)`` or ``(1, C, H, W)``, fp32; fast in channels_last.
        deformation: absolute backward grid ``(B, h, w, 2)``, corner-aligned, of any size; zeros outside [-1, 1].
        mask: ``(B, 1, H, W)``.

    Returns:
        ``(B, C, H, W)``, fp32, channels_last.
    """
    count, channels, height, width = features.shape
    grid = resize_grid(deformation, height, width).float()  # (B, H, W, 2)
    rows, weights = _neighbours(grid, height, width, mask[:, 0])  # (B, H, W, 4)
    if count > 1:
        rows = rows + torch.arange(count, dtype=rows.dtype)[:, None, None, None] * (height * width)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)  # (B H W, C)
    sums = F.embedding_bag(rows.view(-1, 4), table, per_sample_weights=weights.view(-1, 4), mode="sum")
    return sums.view(len(grid), height, width, channels).permute(0, 3, 1, 2)


def _neighbours(grid: Tensor, height: int, width: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels around the points of a grid ``(B, h, w, 2)`` and their bilinear weights, each ``(B, h, w, 4)``.

    Pixels are counted row by row. One outside of the picture has the weight 0.
    """
    pixels, shares = [], []
    for axis, size in ((0, width), (1, height)):
        place = ((grid[..., axis] + 1) * (0.5 * (size - 1))).clamp(-1, size)  # pixel i is at i
        before = place.floor()
        after_share = place - before
        shares.append(
            (
                (1 - after_share) * ((before >= 0) & (before < size)),
                after_share * ((before >= -1) & (before < size - 1)),
            )
        )
        first = before.int()
        pixels.append((first.clamp(0, size - 1), (first + 1).clamp(0, size - 1)))
    (left, right), (top, bottom) = pixels
    (left_share, right_share), (top_share, bottom_share) = shares
    top, bottom, top_share, bottom_share = top * width, bottom * width, top_share * mask, bottom_share * mask
    rows = torch.stack((top + left, top + right, bottom + left, bottom + right), dim=-1)
    weights = (top_share * left_share, top_share * right_share, bottom_share * left_share, bottom_share * right_share)
    return rows, torch.stack(weights, dim=-1)
