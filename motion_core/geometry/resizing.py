"""Smoothed maps, and parts of enlarged maps and of affine grids without the rest."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .grids import at_least_fp32, geometry_precision

Box = tuple[int, int, int, int]  # top, bottom, left, right in pixels, the ends excluded


@lru_cache(maxsize=32)
def enlarging(size: int, count: int) -> Tensor:
    """The matrix ``(size, count)`` that enlarges `count` values in a row to `size` linearly, fp32 on the CPU.

    Values are those of cells, which divide the row evenly, as in ``F.interpolate(align_corners=False)``.
    """
    places = ((torch.arange(size, dtype=torch.float64) + 0.5) * count / size - 0.5).clamp(0, count - 1)
    before = places.floor().clamp(max=max(count - 2, 0)).long()
    share = places - before
    matrix = torch.zeros(size, count, dtype=torch.float64)
    row = torch.arange(size)
    matrix[row, before] = 1 - share
    matrix[row, (before + 1).clamp(max=count - 1)] += share
    return matrix.float()


def enlarged_part(maps: Tensor, size: tuple[int, int], box: Box) -> Tensor:
    """A part of maps of cells ``(..., h, w)`` enlarged bilinearly to `size` (H, W), as two matrix products.

    Returns:
        ``(..., bottom - top, right - left)``, fp32.
    """
    top, bottom, left, right = box
    with geometry_precision(maps):
        maps = at_least_fp32(maps)
        down = enlarging(size[0], maps.shape[-2])[top:bottom].to(maps)
        across = enlarging(size[1], maps.shape[-1])[left:right].to(maps)
        return down @ (maps @ across.T)


def smoothed(maps: Tensor) -> Tensor:
    """Maps ``(B, C, h, w)`` with each cell a mean of those around it, weighted 1, 2, 1 down and across."""
    sums = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):  # each adds a cell and its neighbour; pooling would be seventeen times slower
        sums = sums[..., :-1, :] + sums[..., 1:, :]
    for _ in range(2):
        sums = sums[..., :-1] + sums[..., 1:]
    return sums / 16


def affine_part(transform: Tensor, size: tuple[int, int], box: Box) -> Tensor:
    """A part of the corner-aligned identity grid of `size` (H, W) taken through a transform ``(3, 3)``.

    Returns:
        ``(bottom - top, right - left, 2)``, fp32.
    """
    top, bottom, left, right = box
    transform = at_least_fp32(transform)
    y = (torch.arange(top, bottom, device=transform.device) * (2 / max(size[0] - 1, 1)) - 1)[:, None, None]
    x = (torch.arange(left, right, device=transform.device) * (2 / max(size[1] - 1, 1)) - 1)[None, :, None]
    return x * transform[:2, 0] + y * transform[:2, 1] + transform[:2, 2]


def busy_part(busy: Tensor, margin: int, multiple: int) -> tuple[slice, slice]:
    """The part of maps ``(..., h, w)`` bool in which something is, with a margin around it, as rows and columns.

    Its sides are multiples of `multiple`, as those of the maps must be; where nothing is, it is the middle.
    """
    height, width = busy.shape[-2:]
    busy = busy.reshape(-1, height, width).any(dim=0)
    rows, columns = (_span(busy.any(dim=axis), margin, multiple) for axis in (1, 0))
    return rows, columns


def _span(busy: Tensor, margin: int, multiple: int) -> slice:
    side = len(busy)
    where = busy.nonzero()
    first, last = (int(where[0]), int(where[-1]) + 1) if len(where) else (side // 2, side // 2)
    first, last = max(0, first - margin), min(side, last + margin)
    length = min(side, -(-(last - first) // multiple) * multiple)
    start = min(first, side - length)
    return slice(start, start + length)
