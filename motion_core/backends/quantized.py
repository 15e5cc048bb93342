"""Residual blocks in int8, for one source.

Activations after a norm and ReLU are whole numbers from 0 to 255, weights from -127 to 127 with a scale for each output channel.
A channel of the activations that is large is made smaller, and its weights larger, until both are half-way between (Xiao et al.,
"SmoothQuant", ICML 2023). The scales are folded into the norm, so that only rounding is added to a block.

Tried once with random weights of the published sizes, calibrated in the source's own pose: frames of seven other poses were 50.8
to 51.9 dB from packed bf16 (50.4 to 51.3 without dividing channels); with gains of the norms spread log-normally by 0.5, as
trained ones are spread, 49.1 to 50.6 dB (44.9 to 47.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.tpsmm.blocks import NormReLU, instance_norm
from ..structures import SourceFeatures
from . import private_ops
from .convolutions import PackedConvolution, PackedResidual

HEADROOM = 1.15  # activations may be larger by this than those of the pose that they are calibrated with
_STEPS, _WEIGHT_STEPS = 255, 127


@dataclass(frozen=True)
class QuantizedFeatures(SourceFeatures):
    """Features of a source, and the image generator's residual blocks in int8 for them."""

    residual: nn.ModuleList


class MeasuredResidual(nn.Module):
    """Computes a `PackedResidual` and keeps how large its activations are.

    Attributes:
        largest: of each channel, before both convolutions, ``(2, C)``; 0 before there are any.
        shape: of the activations.
    """

    def __init__(self, residual: PackedResidual) -> None:
        super().__init__()
        self.residual = residual
        self.largest = torch.zeros(2, residual.conv1.weight.shape[0])
        self.shape: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        block = self.residual
        first = block.norm1(x)
        second = block.norm2(block.conv1(first))
        self.largest = torch.maximum(self.largest, torch.stack((first, second)).amax(dim=(1, 3, 4)).float())
        self.shape = tuple(x.shape)
        return block.conv2(second, x)

    def quantized(self) -> QuantizedResidual:
        """The block in int8."""
        return QuantizedResidual(self.residual, self.largest, self.shape)


class QuantizedConvolution(nn.Module):
    """A norm, ReLU and 3x3 convolution, of which the convolution is in int8.

    Args:
        norm, conv: to take the place of.
        largest: that activations may be, per channel, ``(C,)``.
        shape: of the activations.
    """

    def __init__(self, norm: NormReLU, conv: PackedConvolution, largest: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        weight, largest = conv.weight.float(), largest.clamp_min(1e-6)
        reach = weight.abs().amax(dim=(0, 2, 3)).clamp_min(1e-6)  # (C,), of the weights that a channel meets
        divisor = (largest / reach).sqrt()
        step = float((largest / divisor).max()) / _STEPS
        weight = weight * divisor[:, None, None]
        scales = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / _WEIGHT_STEPS  # (C',)
        numbers = (weight / scales[:, None, None, None]).round().to(torch.int8)
        bias = torch.zeros_like(scales) if conv.bias is None else conv.bias.float()
        self.weight = private_ops.pack_int8(numbers, scales, bias, step, shape)
        factor = 1 / (divisor * step)
        self.gain = norm.weight.detach().float() * factor
        self.shift = norm.bias.detach().float() * factor + 0.5  # since whole numbers are taken by cutting off
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H, W)``, of the same dtype."""
        numbers = instance_norm(x, self.gain, self.shift, self.eps).clamp_(0, _STEPS).to(torch.uint8)
        return private_ops.convolve_int8(numbers, self.weight, x.dtype)


class QuantizedResidual(nn.Module):
    """Takes the place of a `PackedResidual` for activations of about known size.

    Args:
        largest: of each channel, before both convolutions, ``(2, C)``.
        shape: of the activations.
    """

    def __init__(self, residual: PackedResidual, largest: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        first, second = largest * HEADROOM
        self.first = QuantizedConvolution(residual.norm1, residual.conv1, first, shape)
        self.second = QuantizedConvolution(residual.norm2, residual.conv2, second, shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)).add_(x)
