"""Sampling images at a deformation: the only place that calls ``grid_sample``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .grids import ALIGN_CORNERS, at_least_fp32, geometry_precision, resize_grid


def sample(image: Tensor, grid: Tensor, padding: str = "zeros", mode: str = "bilinear") -> Tensor:
    """Samples of an image at a backward grid, in fp32.

    Args:
        image: ``(B, C, H, W)``.
        grid: ``(B, h, w, 2)``, corner-aligned positions in the image; a position outside [-1, 1] is padding.
        padding: "zeros", "border" or "reflection".
        mode: "bilinear", "nearest", or "bicubic", which is sharper and may leave the image's range.

    Returns:
        ``(B, C, h, w)``.
    """
    with geometry_precision(image):
        return F.grid_sample(
            at_least_fp32(image),
            at_least_fp32(grid),
            mode=mode,
            padding_mode=padding,
            align_corners=ALIGN_CORNERS,
        )


def warp(features: Tensor, deformation: Tensor) -> Tensor:
    """Features deformed by a grid of any size.

    Args:
        features: ``(B, C, H, W)`` or ``(1, C, H, W)``; one set of features serves all deformations of the batch.
        deformation: ``(B, h, w, 2)``, absolute backward grid.

    Returns:
        ``(B, C, H, W)``, fp32, zeros where the grid points outside.
    """
    grid = resize_grid(deformation, *features.shape[-2:])
    return sample(features.expand(grid.shape[0], -1, -1, -1), grid)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The deformation of two hops at once: sampling with it once is sampling with `first`, then with `second`.

    Args:
        first: from the source to the image between, ``(B, h, w, 2)``, or of batch 1.
        second: from there on, ``(B, h, w, 2)``; where it points outside, `first`'s value at the border is taken.

    Returns:
        ``(B, h, w, 2)``, positions in the source.
    """
    early = first.movedim(-1, 1).expand(len(second), -1, -1, -1)
    return sample(early, second, padding="border").movedim(1, -1)


def warp_by_each(image: Tensor, grids: Tensor, mode: str = "bilinear") -> Tensor:
    """One image sampled at several grids.

    Args:
        image: ``(B, C, H, W)`` or ``(1, C, H, W)``.
        grids: ``(B, G, h, w, 2)``.
        mode: as in `sample`.

    Returns:
        ``(B, G, C, h, w)``.
    """
    batch, count, height, width, _ = grids.shape
    # The grids stacked downwards are one tall grid, so the image is not copied per grid.
    tall = grids.reshape(batch, count * height, width, 2)
    sampled = sample(image.expand(batch, -1, -1, -1), tall, mode=mode)  # (B, C, G * h, w)
    return sampled.unflatten(2, (count, height)).transpose(1, 2)
