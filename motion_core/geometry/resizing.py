"""Bilinear enlarging as two matrix products, which give any part of the result without the rest."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .grids import at_least_fp32, geometry_precision


@lru_cache(maxsize=32)
def enlarging(size: int, count: int, corner_aligned: bool) -> Tensor:
    """The matrix ``(size, count)`` that enlarges `count` values in a row to `size` linearly, fp32 on the CPU.

    Args:
        corner_aligned: the first and last values are those of the first and last place (grids); else values are those of
            cells, which divide the row evenly (maps), as in ``F.interpolate(align_corners=False)``.
    """
    places = torch.arange(size, dtype=torch.float64)
    if corner_aligned:
        places = places * (count - 1) / max(size - 1, 1)
    else:
        places = ((places + 0.5) * count / size - 0.5).clamp(0, count - 1)
    before = places.floor().clamp(max=max(count - 2, 0)).long()
    share = places - before
    matrix = torch.zeros(size, count, dtype=torch.float64)
    row = torch.arange(size)
    matrix[row, before] = 1 - share
    matrix[row, (before + 1).clamp(max=count - 1)] += share
    return matrix.float()


def enlarged_part(maps: Tensor, size: tuple[int, int], box: tuple[int, int, int, int], corner_aligned: bool) -> Tensor:
    """A part of maps ``(..., h, w)`` enlarged to `size` (H, W): rows top..bottom and columns left..right of the result.

    Args:
        box: (top, bottom, left, right) in pixels of the result, the ends excluded.

    Returns:
        ``(..., bottom - top, right - left)``, fp32.
    """
    top, bottom, left, right = box
    with geometry_precision(maps):
        maps = at_least_fp32(maps)
        down = enlarging(size[0], maps.shape[-2], corner_aligned)[top:bottom].to(maps)
        across = enlarging(size[1], maps.shape[-1], corner_aligned)[left:right].to(maps)
        return down @ (maps @ across.T)
