"""Layers to a picture, at the picture's own size: colours are mixed, never coordinates, so real pixels stay as sharp as they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import resize_grid, sample, warp_by_each
from ...structures import LayeredMotion, LayeredSource


def compose(source: LayeredSource, motion: LayeredMotion) -> tuple[Tensor, Tensor, Tensor]:
    """What the source shows of the driving pose.

    colour = sum_k w_k v_k W_k / sum_k w_k v_k, visible = sum_k w_k v_k, with w the layers' shares, v their visibility and
    W_k the source at layer k's grid; layer 0 is the painted background, which is visible everywhere. *Logits* are
    enlarged to the image's size, so borders are sharp and lie between pixels.

    Returns:
        colour ``(B, 3, H, W)``, visible ``(B, 1, H, W)`` in [0, 1], and the layers' shares ``(B, K + 1, H, W)``, fp32.
    """
    height, width = source.image.shape[-2:]
    layers = enlarged(motion.layer_logits, height, width).softmax(dim=1)  # (B, K + 1, H, W)
    visible = enlarged(motion.visibility_logits, height, width).sigmoid()  # (B, K, H, W)
    grids = resize_grid(motion.grids.flatten(0, 1), height, width).unflatten(0, layers.shape[:2])  # (B, K + 1, H, W, 2)
    residual = enlarged(motion.residual, height, width).movedim(1, -1)  # (B, H, W, 2)
    weights = torch.cat((layers[:, :1], layers[:, 1:] * visible), dim=1)
    limbs = warp_by_each(source.image, grids[:, 1:] + residual[:, None])  # (B, K, 3, H, W)
    behind = sample(source.background.expand(len(grids), -1, -1, -1), grids[:, 0], padding="border")[:, None]
    seen = weights.sum(dim=1, keepdim=True)
    colour = weights[:, :1] * behind[:, 0] + (weights[:, 1:, None] * limbs).sum(dim=1)
    return colour / seen.clamp(min=1e-3), seen, layers


def enlarged(logits: Tensor, height: int, width: int) -> Tensor:
    """Maps ``(B, C, h, w)`` at the image's size."""
    return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)


def filled(image: Tensor, known: Tensor) -> Tensor:
    """An image continued from where it is known, ``(B, 1, H, W)`` in [0, 1], to where it is not; grey if that is nowhere.

    The means of what is known in ever larger cells, each used where the smaller ones know nothing: Gortler et al., "The
    lumigraph", SIGGRAPH 1996 (pull and push).
    """
    if max(image.shape[-2:]) == 1:
        return torch.lerp(torch.full_like(image, 0.5), image, known)
    values, weights = (F.avg_pool2d(each, 2, ceil_mode=True) for each in (image * known, known))
    coarser = filled(values / weights.clamp(min=1e-4), (4 * weights).clamp(max=1))  # one pixel of four will do
    return torch.lerp(F.interpolate(coarser, image.shape[-2:], mode="bilinear", align_corners=False), image, known)
