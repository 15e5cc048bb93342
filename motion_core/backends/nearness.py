"""How near the images of two computations are."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(images: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio of images in [0, 1], in dB; 120 at most."""
    return float(-10 * torch.log10((images - reference).square().mean().clamp_min(1e-12)))
