"""Coordinates of pixels and what is drawn on them.

The convention of the whole project is stated here and used from here: points are ``(x, y)`` with x to the right and y
down, both in [-1, 1], **corner-aligned**: the centre of pixel column j of w is ``x = 2 j / (w - 1) - 1``, so the centres of
the outermost pixels are at -1 and 1 (``align_corners=True``).
"""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor

ALIGN_CORNERS = True


def geometry_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """A context in which autocast leaves geometry alone: coordinates in bf16 would be wrong by a pixel and more."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def at_least_fp32(tensor: Tensor) -> Tensor:
    """The tensor in fp32, or in fp64 if it was that already."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def identity_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Coordinates of all pixel centres, ``(height, width, 2)`` in [-1, 1], on the device of `like`, at least fp32."""
    like = at_least_fp32(like.detach().reshape(-1)[:1])
    ys = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    xs = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack((x, y), dim=-1)


def identity_grid_like(deformation: Tensor) -> Tensor:
    """The identity grid of the size of a deformation ``(..., h, w, 2)``, ``(h, w, 2)``."""
    return identity_grid(deformation.shape[-3], deformation.shape[-2], deformation)


def rotation(cos: Tensor, sin: Tensor) -> Tensor:
    """Matrices ``(..., 2, 2)`` that turn columns (x, y) by angles whose cosine and sine ``(...)`` are given, times a factor if
    both are.
    """
    return torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=-2)


def affine_grid(transform: Tensor, height: int, width: int) -> Tensor:
    """The identity grid taken through affine transforms.

    Args:
        transform: ``(B, 3, 3)``, applied to column vectors ``(x, y, 1)``.

    Returns:
        ``(B, height, width, 2)``.
    """
    with geometry_precision(transform):
        transform = at_least_fp32(transform)
        points = identity_grid(height, width, transform)
        linear, offset = transform[:, None, None, :2, :2], transform[:, None, None, :2, 2]
        return (linear @ points[None, ..., None]).squeeze(-1) + offset


def gaussian_heatmaps(points: Tensor, height: int, width: int, variance: float) -> Tensor:
    """``exp(-|x - p|^2 / (2 variance))`` for every point p at every pixel x.

    Args:
        points: ``(B, P, 2)`` in [-1, 1].
        variance: of the Gaussian, in squared coordinate units.

    Returns:
        ``(B, P, height, width)`` in [0, 1].
    """
    with geometry_precision(points):
        points = at_least_fp32(points)
        grid = identity_grid(height, width, points)
        # The two axes separate: exp(-(dx^2 + dy^2)) = exp(-dx^2) exp(-dy^2), which saves height * width exponentials.
        across = torch.exp(-((grid[0, :, 0] - points[..., :1]) ** 2) / (2 * variance))  # (B, P, width)
        down = torch.exp(-((grid[:, 0, 1] - points[..., 1:]) ** 2) / (2 * variance))  # (B, P, height)
        return down[..., :, None] * across[..., None, :]


def resize_aligned(maps: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corner-aligned resize of ``(B, C, h, w)``; returned as it is where the size is right already."""
    if maps.shape[-2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=ALIGN_CORNERS)


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, corner-aligned resize of a deformation ``(B, h, w, 2)`` to ``(B, height, width, 2)``."""
    if grid.shape[1:3] == (height, width):
        return grid
    with geometry_precision(grid):
        return resize_aligned(at_least_fp32(grid).movedim(-1, 1), height, width).movedim(1, -1)
