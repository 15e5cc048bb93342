"""The few layers that the convolutional networks are made of. All convolutions have stride 1 and keep the size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIXELS_WORTH_A_KERNEL = 1024
PIXELS_NORMED_TOGETHER = 1024  # of each sample, at most
# Output channels of a convolution: side of the blocks in which pixels are computed together, as measured.
_BLOCKS = {1: 4, 2: 2, 3: 2}
_BLOCK_INPUTS = 16


def conv(in_features: int, out_features: int, kernel_size: int) -> nn.Conv2d:
    """A convolution with zero padding that keeps the size."""
    return nn.Conv2d(in_features, out_features, kernel_size, padding=kernel_size // 2)


def few_outputs(convolution: nn.Module, x: Tensor) -> Tensor:
    """A 7x7 convolution `(B, C, H, W)` to a few maps of the same size; in training on a processor it computes blocks of pixels.

    One output channel uses a sixteenth of a processor's lanes; 4 x 4 pixels as channels of one strided step use all, for a kernel
    of 10 x 10. Forwards and backwards together that takes a third of the time.
    """
    if not isinstance(convolution, nn.Conv2d) or not torch.is_grad_enabled() or x.device.type != "cpu":
        return convolution(x)
    side = block_side(convolution)
    if side == 1 or x.shape[-2] % side or x.shape[-1] % side:
        return convolution(x)
    bias = None if convolution.bias is None else convolution.bias.repeat_interleave(side * side)
    blocks = F.conv2d(x, block_kernel(convolution.weight, side), bias, stride=side, padding=convolution.padding)
    return F.pixel_shuffle(blocks, side)


def block_side(convolution: nn.Conv2d) -> int:
    """The side of the blocks of pixels that a convolution with stride 1 computes together best, in pixels; 1 is each by itself.

    It is 1 for fewer than 16 input channels: with AMX, oneDNN of torch 2.14.1 miscomputes an 8x8 kernel of stride 2 over 8 of
    them in bf16 (its output has nothing to do with the right one; 16 to 100 were right).
    """
    return _BLOCKS.get(convolution.out_channels, 1) if convolution.in_channels >= _BLOCK_INPUTS else 1


def block_kernel(weight: Tensor, side: int) -> Tensor:
    """The kernel ``(C' side^2, C, k + side - 1, k + side - 1)`` that makes side x side pixels of a convolution's in one step.

    Args:
        weight: of the convolution, ``(C', C, k, k)``.
    """
    last = side - 1
    shifted = [F.pad(weight, (x, last - x, y, last - y)) for y in range(side) for x in range(side)]
    return torch.stack(shifted, dim=1).flatten(0, 1)


class NormReLU(nn.GroupNorm):
    """InstanceNorm2d(affine=True), then ReLU in place.

    It is a GroupNorm with one channel a group: the same function and parameter names. On a processor it is computed by
    `instance_norm`: InstanceNorm2d copies to the contiguous layout and back, and torch's channels_last GroupNorm is off by 0.001
    and more on flat pictures, takes 6 to 20 times as long for maps below 1024 pixels (0.8 times for larger ones), and five times
    as long backwards.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, features)

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type == "cpu" and input.shape[-2] * input.shape[-1] > 1:
            return F.relu_(instance_norm(input, self.weight, self.bias, self.eps))
        return F.relu_(super().forward(input))


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Instance normalisation of ``(B, C, H, W)`` with two pixels or more; BatchNorm is the same of a single sample.

    The channels of all samples side by side are one sample of B C channels. To rearrange large maps so costs more than it saves.
    """

    def of_one_sample(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, True, eps=eps)

    batch, channels, height, width = x.shape
    if batch == 1:
        return of_one_sample(x, weight, bias)
    if height * width > PIXELS_NORMED_TOGETHER:
        return torch.cat([of_one_sample(each, weight, bias) for each in x.split(1)])
    beside = x.permute(2, 3, 0, 1).reshape(1, height, width, batch * channels).movedim(-1, 1)  # channels_last
    normed = of_one_sample(beside, weight.repeat(batch), bias.repeat(batch)).movedim(1, -1)
    apart = normed.reshape(height, width, batch, channels).permute(2, 3, 0, 1)
    return apart.contiguous(memory_format=torch.channels_last)


class Same(nn.Module):
    """Convolution, norm, ReLU: ``(B, C, H, W)`` to ``(B, C', H, W)``."""

    def __init__(self, in_features: int, out_features: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = conv(in_features, out_features, kernel_size)
        self.norm = NormReLU(out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Down(Same):
    """Convolution, norm, ReLU, 2x2 mean: ``(B, C, H, W)`` to ``(B, C', H / 2, W / 2)``."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, kernel_size=3)

    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        if torch.is_grad_enabled() and made.device.type == "cpu" and not (made.shape[-2] % 2 or made.shape[-1] % 2):
            # The same mean, backwards in 60 % of the time.
            return F.interpolate(made, scale_factor=0.5, mode="bilinear")
        return F.avg_pool2d(made, 2)


class Up(Same):
    """Nearest-neighbour doubling, convolution, norm, ReLU: ``(B, C, H, W)`` to ``(B, C', 2 H, 2 W)``.

    Doubling and a 3x3 convolution together are one transposed 4x4 convolution of stride 2, which multiplies 16 instead
    of 36 times per input pixel. Making its kernel costs as much as convolving some hundred pixels, so small maps are
    doubled and convolved one after the other.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, kernel_size=3)
        self._kept: tuple[object, Tensor] | None = None  # the kernel of the weight as it was, for inference

    def _kernel(self) -> Tensor:
        weight = self.conv.weight
        # A compiled graph cannot keep it, and would be compiled again at every change of the weight.
        if torch.compiler.is_compiling() or torch.is_grad_enabled() or weight.is_inference():
            return doubling_kernel(weight).to(weight.dtype)
        state = (weight._version, weight.data_ptr(), weight.dtype, weight.device)  # changes when the weight does
        if self._kept is None or self._kept[0] != state:
            self._kept = state, doubling_kernel(weight).to(weight.dtype)
        return self._kept[1]

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2] * x.shape[-1] < PIXELS_WORTH_A_KERNEL:
            return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.norm(F.conv_transpose2d(x, self._kernel(), self.conv.bias, stride=2, padding=1))


def doubling_kernel(weight: Tensor) -> Tensor:
    """The kernel of the transposed convolution (stride 2, padding 1) that doubles by nearest neighbour, then convolves.

    Args:
        weight: of the 3x3 convolution, ``(C', C, 3, 3)``.

    Returns:
        ``(C, C', 4, 4)``, the flipped weight convolved with a 2x2 box, fp32.
    """
    padded = F.pad(weight.float().flip(2, 3).transpose(0, 1), (1, 1, 1, 1))  # (C, C', 5, 5)
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


class Residual(nn.Module):
    """x + conv(ReLU(norm(conv(ReLU(norm(x)))))), ``(B, C, H, W)`` to the same shape."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm1 = NormReLU(features)
        self.conv1 = conv(features, features, 3)
        self.norm2 = NormReLU(features)
        self.conv2 = conv(features, features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.norm2(self.conv1(self.norm1(x))))


def antialias_kernel(shrink: int) -> Tensor:
    """The Gaussian that precedes taking every `shrink`-th pixel.

    Sigma is (shrink - 1) / 2 and the side 2 round(4 sigma) + 1.

    Returns:
        ``(side, side)``, fp32, sum 1.
    """
    sigma = (shrink - 1) / 2
    radius = round(4 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-(x**2) / (2 * sigma**2)) if sigma else torch.ones(1, dtype=torch.float64)
    kernel = line[:, None] * line[None, :]
    return (kernel / kernel.sum()).float()


class Shrink(nn.Module):
    """Antialiased reduction by a whole factor: ``(B, C, H, W)`` in, every `factor`-th pixel out, starting with pixel 0.

    It computes in fp32: its result is sampled and compared, not only convolved.
    """

    kernel: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        if factor < 1:
            raise ValueError(f"factor must be 1 or more, got {factor}")
        self.channels, self.factor = channels, factor
        self.register_buffer("kernel", antialias_kernel(factor), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.factor == 1:
            return x
        side = self.kernel.shape[-1]
        weight = self.kernel.float().expand(self.channels, 1, side, side)
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), weight, stride=self.factor, padding=side // 2, groups=self.channels)


def log2_exact(value: int, name: str) -> int:
    """The exponent of a power of two; raises ValueError naming `name` otherwise."""
    if value < 1 or value & (value - 1):
        raise ValueError(f"{name} must be a power of two, got {value}")
    return int(math.log2(value))
