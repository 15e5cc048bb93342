"""Colour jitter of both images of a pair alike.

One matrix instead of torchvision's functions, whose `adjust_hue` goes through HSV: 18 times as long at 256 x 256, 16 ms a pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.config import JitterConfig

_LUMA = torch.tensor([0.299, 0.587, 0.114])  # BT.601
# RGB to YIQ: hue is the angle in the plane of I and Q.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True)
class Colors:
    """A draw: three factors, and a turn of the hue as a share of a full circle in the YIQ colour space."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, jitter: JitterConfig) -> Colors:
        spans = (jitter.brightness, jitter.contrast, jitter.saturation)
        brightness, contrast, saturation = (rng.uniform(1 - span, 1 + span) for span in spans)
        return cls(brightness, contrast, saturation, rng.uniform(-jitter.hue, jitter.hue))


def change_colors(images: Tensor, colors: Colors) -> Tensor:
    """Change the colours of images ``(B, 3, H, W)`` in [0, 1], all alike; clamped to [0, 1] at the end.

    Hue, saturation and brightness are one matrix; contrast is measured from the mean grey of all the images together.

    Example:
        >>> change_colors(torch.full((2, 3, 4, 4), 0.5), Colors(brightness=1.2)).mean().item()
        0.6000000238418579
    """
    if colors == Colors():
        return images
    angle = 2 * math.pi * colors.hue
    turn = torch.tensor(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]], dtype=torch.float32
    )
    grey = _LUMA.expand(3, 3)
    saturate = torch.lerp(grey, torch.eye(3), colors.saturation)
    matrix = colors.brightness * saturate @ torch.linalg.inv(_YIQ) @ turn @ _YIQ
    mean = colors.brightness * _LUMA @ images.mean(dim=(0, 2, 3))
    changed = torch.matmul(colors.contrast * matrix, images.flatten(2)).view_as(images)  # (B, 3, H, W)
    return changed.add_((1 - colors.contrast) * mean).clamp_(0, 1)
