"""Between pictures as files have them, (H, W, 3) uint8, and as networks have them, (3, H, W) float in [0, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .pictures import Picture, load_image


def to_float(frames: np.ndarray) -> Tensor:
    """Frames ``(T, H, W, 3)`` uint8 as ``(T, 3, H, W)`` fp32 in [0, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def to_uint8(images: Tensor) -> np.ndarray:
    """Images ``(T, 3, H, W)`` in [0, 1] as ``(T, H, W, 3)`` uint8, rounded."""
    scaled = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def image_tensor(source: Picture) -> Tensor:
    """A picture of any kind as ``(1, 3, H, W)`` fp32 in [0, 1]; a float tensor keeps its values, the rest has 8 bits.

    Raises:
        InputError: as `load_image` does.
    """
    pixels = load_image(source)
    if isinstance(source, Tensor) and source.is_floating_point():
        return source.detach().reshape(1, 3, *source.shape[-2:]).float()
    return to_float(pixels[None])
