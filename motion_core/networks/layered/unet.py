"""The convolutional network that layout and painting share: a U-Net of 3x3 convolutions with BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def zeroed(layer: Layer) -> Layer:
    """A last layer that begins by giving nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Block(nn.Sequential):
    """Convolution 3x3, BatchNorm, ReLU: ``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``.

    In evaluation mode without gradients the BatchNorm is folded into the convolution.
    """

    def __init__(self, in_features: int, out_features: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_features, out_features, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_features),
            nn.ReLU(inplace=True),
        )
        self._kept: tuple[object, Tensor, Tensor] | None = None  # weight and bias of the weights as they were

    def forward(self, input: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        weight, bias = self._folded()
        convolution: nn.Conv2d = self[0]  # type: ignore[assignment]
        return F.relu_(F.conv2d(input, weight, bias, convolution.stride, convolution.padding))

    def _folded(self) -> tuple[Tensor, Tensor]:
        convolution: nn.Conv2d = self[0]  # type: ignore[assignment]
        norm: nn.BatchNorm2d = self[1]  # type: ignore[assignment]
        mean: Tensor = norm.running_mean  # type: ignore[assignment]  # it keeps the mean and variance of what it sees
        variance: Tensor = norm.running_var  # type: ignore[assignment]
        given = (convolution.weight, norm.weight, norm.bias, mean, variance)
        state = tuple(
            (value.data_ptr(), value.dtype, None if value.is_inference() else value._version) for value in given
        )
        if self._kept is None or self._kept[0] != state:
            scale = norm.weight.float() / (variance.float() + norm.eps).sqrt()
            weight = (convolution.weight.float() * scale[:, None, None, None]).to(convolution.weight.dtype)
            bias = (norm.bias.float() - mean.float() * scale).to(convolution.weight.dtype)
            self._kept = state, weight.contiguous(memory_format=torch.channels_last), bias
        return self._kept[1], self._kept[2]


class UNet(nn.Module):
    """``(B, inputs, h, w)`` to ``(B, widths[0], h, w)``; sides must be multiples of ``2 ** (len(widths) - 1)``.

    Args:
        inputs: channels that come in.
        widths: features of the levels, from the full size to the coarsest.

    Raises:
        ValueError: fewer than two levels, or one without features.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2 or min(inputs, *widths) < 1:
            raise ValueError(f"a U-Net needs two levels or more of 1 or more features, got {inputs=}, {widths=}")
        self.first = Block(inputs, widths[0])
        self.down = nn.ModuleList(nn.Sequential(Block(a, b, stride=2), Block(b, b)) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Block(a + b, b) for a, b in pairwise(reversed(widths)))

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.first(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.up:
            x = up(torch.cat((F.interpolate(x, scale_factor=2.0), skips.pop()), dim=1))
        return x


class FineUNet(nn.Module):
    """A U-Net whose output is refined at twice its size, with inputs that are known there.

    Args:
        inputs, fine_inputs: channels that come in at the U-Net's size and at twice that.
        outputs: channels that come out, at twice the size.
        widths: of the U-Net.
        fine_width: features at twice the size.
    """

    def __init__(
        self, inputs: int, fine_inputs: int, outputs: int, widths: Sequence[int], fine_width: int = 32
    ) -> None:
        super().__init__()
        self.coarse = UNet(inputs, widths)
        self.enlarge = nn.Sequential(nn.Conv2d(widths[0], 2 * fine_width, 1), nn.PixelShuffle(2))
        self.refine = Block(fine_width // 2 + fine_inputs, fine_width)
        self.head = zeroed(nn.Conv2d(fine_width, outputs, 3, padding=1))

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        """``(B, inputs, h, w)`` and ``(B, fine_inputs, 2 h, 2 w)`` to ``(B, outputs, 2 h, 2 w)``."""
        enlarged = self.enlarge(self.coarse(x))
        return self.head(self.refine(torch.cat((enlarged, fine), dim=1)))
