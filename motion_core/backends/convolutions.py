"""Convolutions that take the place of a network's own for inference on a processor.

Each has the interface of the layer that it replaces and is held to it by a test. Without the private operators they use the
public ones, with the same weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..hardware import has_bfloat16_matrices
from ..networks.tpsmm.blocks import Residual, Up, block_kernel, block_side, doubling_kernel
from . import private_ops
from .private_ops import Geometry
from .winograd import OUTPUT, WinogradConvolution

# Channels from which it is faster than a convolution in that dtype; for bf16, where the processor computes that by vectors. One
# of 512 channels on 64 x 64 takes 80 ms instead of 179 in fp32 and 90 in bf16, one of 256 on 128 x 128 96 instead of 177 and 90.
WINOGRAD_CHANNELS = {torch.float32: 128, torch.bfloat16: 512}
PIXELS_WORTH_DOUBLING = 16  # of a map; below, the larger kernel of the transposed convolution takes longer to read


class PackedConvolution(nn.Module):
    """A convolution whose weight is kept in the layout for the size that it convolves.

    Args:
        weight, bias: as the public operators take them.
        geometry: of the convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.geometry = geometry
        self._kept: tuple[tuple[int, int], Tensor] | None = None  # height and width, weight packed for them

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """The convolution of ``(B, C, H, W)``, plus `added`, which has the shape of the result."""
        x = x.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or not private_ops.available(x.dtype):
            result = self.geometry.public(x, self.weight, self.bias)
            return result if added is None else result + added
        size, kept = (x.shape[-2], x.shape[-1]), self._kept
        if kept is None or kept[0] != size:
            kept = size, private_ops.pack(self.weight, self.geometry, x)
            self._kept = kept
        return private_ops.convolve(x, kept[1], self.bias, self.geometry, added)


def packed_convolution(conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> nn.Module:
    """What replaces a convolution, with the BatchNorm after it folded in; itself where there is nothing to gain."""
    stride, padding, dilation = conv.stride, conv.padding, conv.dilation
    if isinstance(padding, str) or conv.padding_mode != "zeros" or set(dilation) != {1}:
        return conv
    if len({*conv.kernel_size}) > 1 or len({*stride}) > 1 or len({*padding}) > 1:
        return conv
    weight, bias = (conv.weight, conv.bias) if norm is None else folded(conv, norm)
    keeps_size = stride[0] == 1 and 2 * padding[0] == conv.kernel_size[0] - 1
    if keeps_size and block_side(conv) > 1 and conv.kernel_size[0] > 3 and conv.groups == 1:
        return BlockConvolution(weight, bias, block_side(conv))
    return PackedConvolution(weight, bias, Geometry(stride[0], padding[0], conv.groups))


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the BatchNorm after it, in evaluation mode, as one convolution."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded")
    scale = (norm.running_var.float() + norm.eps).rsqrt()
    shift = -norm.running_mean.float() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.float(), shift * norm.weight.float() + norm.bias.float()
    if conv.bias is not None:
        shift = shift + conv.bias.float() * scale
    weight = conv.weight.float() * scale[:, None, None, None]
    return weight.to(conv.weight.dtype), shift.to(conv.weight.dtype)


class BlockConvolution(nn.Module):
    """A convolution with few output channels that computes side x side pixels together, as channels of one strided step.

    A 7x7 head with one output channel uses a sixteenth of the processor's lanes; with blocks of 4 x 4 pixels it uses all, for a
    kernel of 10 x 10.

    Args:
        weight: of a convolution with stride 1 that keeps the size, ``(C', C, k, k)``.
        side: of the blocks; pictures whose sides are no multiples of it are convolved as they are.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, side: int) -> None:
        super().__init__()
        padding = weight.shape[-1] // 2
        many = None if bias is None else bias.detach().repeat_interleave(side * side)
        self.side = side
        self.blocks = PackedConvolution(block_kernel(weight.detach(), side), many, Geometry(side, padding))
        self.single = PackedConvolution(weight, bias, Geometry(1, padding))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] % self.side or x.shape[-1] % self.side:
            return self.single(x)
        return F.pixel_shuffle(self.blocks(x), self.side)


class PackedUp(nn.Module):
    """Takes the place of `Up`: nearest-neighbour doubling and the convolution as one transposed convolution."""

    def __init__(self, up: Up) -> None:
        super().__init__()
        weight = up.conv.weight.detach()
        kernel = doubling_kernel(weight).to(weight.dtype)
        self.norm = up.norm
        self.transposed = PackedConvolution(kernel, up.conv.bias, Geometry(2, 1, transposed=True))
        self.conv = PackedConvolution(weight, up.conv.bias, Geometry(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] * x.shape[-1] < PIXELS_WORTH_DOUBLING:
            return self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.norm(self.transposed(x))


class PackedResidual(nn.Module):
    """Takes the place of `Residual`; the sum is made by the second convolution. Both are Winograd's, where that pays."""

    def __init__(self, residual: Residual) -> None:
        super().__init__()
        self.norm1, self.norm2 = residual.norm1, residual.norm2
        self.conv1, self.conv2 = (
            PackedConvolution(conv.weight, conv.bias, Geometry(1, 1)) for conv in (residual.conv1, residual.conv2)
        )
        self.winograd: nn.ModuleList | None = None
        if winograd_pays(residual.conv1.weight):
            self.winograd = nn.ModuleList(
                WinogradConvolution(conv.weight, conv.bias) for conv in (residual.conv1, residual.conv2)
            )

    def forward(self, x: Tensor) -> Tensor:
        first: nn.Module = self.conv1
        second: nn.Module = self.conv2
        if self.winograd is not None and x.shape[-2] % OUTPUT == 0 and x.shape[-1] % OUTPUT == 0:
            first, second = self.winograd
        return second(self.norm2(first(self.norm1(x))), x)


def winograd_pays(weight: Tensor) -> bool:
    """Whether Winograd's fp32 is faster than a convolution with this weight ``(C', C, 3, 3)`` on a large map."""
    if weight.dtype == torch.bfloat16 and has_bfloat16_matrices():
        return False
    return weight.shape[0] >= WINOGRAD_CHANNELS[weight.dtype]
