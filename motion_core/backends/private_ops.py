"""The operators of torch that are not public and that the packed backend uses. No other file calls them.

oneDNN convolves with weights in a layout that it chooses for the size of the input. torch's public convolutions bring them
into that layout in every call, which for wide layers on small maps takes longer than to convolve. TorchInductor stores them in
it once, through the operators that are wrapped here; and convolves in int8 through others, for which there is nothing public.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hardware import has_int8

SWITCH = "MOTION_CORE_PRIVATE_OPS"  # environment variable: 0 leaves them unused
OLDEST = (2, 9)  # version of torch that they were tried with
# What calling them raises in a version of torch that has others.
_OTHER_OPERATORS = (AttributeError, NotImplementedError, RuntimeError, TypeError)


@dataclass(frozen=True)
class Geometry:
    """Of a convolution with quadratic kernel, without dilation.

    Attributes:
        stride, padding: in pixels, the same both ways.
        groups: of channels that are convolved by themselves.
        transposed: it is ``conv_transpose2d``.
    """

    stride: int
    padding: int
    groups: int = 1
    transposed: bool = False

    def public(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What torch's public operator gives."""
        if self.transposed:
            return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, groups=self.groups)
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)


@cache
def available(dtype: torch.dtype) -> bool:
    """Whether the operators are there, not switched off, and give what the public ones give, tried once on small inputs."""
    if not _allowed():
        return False
    try:
        return all(_agrees(dtype, geometry) for geometry in (Geometry(1, 1), Geometry(2, 1, transposed=True)))
    except _OTHER_OPERATORS:
        return False


@cache
def int8_missing() -> str | None:
    """Why nothing can be convolved in int8; None where it can, tried once on a small input."""
    if not has_int8():
        return "this processor has no instructions for it (AVX512-VNNI or AMX), as far as torch can tell"
    try:
        if _allowed() and _int8_agrees():
            return None
    except _OTHER_OPERATORS:
        pass
    return f"torch {torch.__version__} has not the operators for it, or they are switched off"


def _allowed() -> bool:
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return os.environ.get(SWITCH) != "0" and version >= OLDEST and torch.backends.mkldnn.is_available()


def _agrees(dtype: torch.dtype, geometry: Geometry) -> bool:
    with torch.inference_mode():
        x, weight, bias = (
            (torch.arange(size, dtype=torch.float32) % 7 - 3).to(dtype) / 8 for size in (8 * 36, 8 * 8 * 16, 8)
        )
        x = x.view(1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
        weight = weight.view(8, 8, 4, 4)
        want = geometry.public(x, weight, bias)
        packed = pack(weight, geometry, x)
        sums = [convolve(x, packed, bias, geometry)]
        if not geometry.transposed:
            sums.append(convolve(x, packed, bias, geometry, want) - want)
        return all(torch.allclose(given.float(), want.float(), atol=0.1) for given in sums)


def pack(weight: Tensor, geometry: Geometry, x: Tensor) -> Tensor:
    """A weight, as the public operators take it, in the layout that is best for inputs of the size of `x` ``(B, C, H, W)``."""
    stride, padding, ones = [geometry.stride] * 2, [geometry.padding] * 2, [1, 1]
    if geometry.transposed:
        return torch.ops.mkldnn._reorder_convolution_transpose_weight(
            weight, padding, [0, 0], stride, ones, geometry.groups, list(x.shape)
        )
    return torch.ops.mkldnn._reorder_convolution_weight(weight, padding, stride, ones, geometry.groups, list(x.shape))


def convolve(x: Tensor, packed: Tensor, bias: Tensor | None, geometry: Geometry, added: Tensor | None = None) -> Tensor:
    """The convolution of `x` ``(B, C, H, W)`` with a packed weight; `added` ``(B, C', H', W')`` is added to a plain one."""
    stride, padding, ones, groups = [geometry.stride] * 2, [geometry.padding] * 2, [1, 1], geometry.groups
    ops = torch.ops.mkldnn
    if geometry.transposed:
        return ops._convolution_transpose_pointwise(
            x, packed, bias, padding, [0, 0], stride, ones, groups, "none", [], ""
        )
    if added is not None:
        return ops._convolution_pointwise(
            x, added, packed, bias, padding, stride, ones, groups, "add", None, None, [], None
        )
    return ops._convolution_pointwise(x, packed, bias, padding, stride, ones, groups, "none", [], "")


@dataclass(frozen=True)
class Int8Weight:
    """Of a 3x3 convolution with stride 1 that keeps the size.

    Attributes:
        packed: in the layout that is best for the input's size.
        scales: of the output channels, by which its whole numbers are multiplied, ``(C',)`` fp32.
        bias: ``(C',)`` fp32.
        input_scale: of one step of the input.
    """

    packed: Tensor
    scales: Tensor
    bias: Tensor
    input_scale: float


def pack_int8(weight: Tensor, scales: Tensor, bias: Tensor, input_scale: float, shape: tuple[int, ...]) -> Int8Weight:
    """Whole numbers ``(C', C, 3, 3)`` int8 as a weight, for inputs of a shape (B, C, H, W)."""
    ones = [1, 1]
    packed = torch.ops.onednn.qconv_prepack(weight, scales, input_scale, 0, ones, ones, ones, 1, list(shape))
    return Int8Weight(packed, scales, bias, input_scale)


def convolve_int8(x: Tensor, weight: Int8Weight, dtype: torch.dtype) -> Tensor:
    """The convolution of `x` ``(B, C, H, W)`` uint8, channels_last, as fp32 or bf16 ``(B, C', H, W)``."""
    ones, zeros = [1, 1], torch.zeros_like(weight.scales, dtype=torch.int32)
    scales, bias = weight.scales, weight.bias
    return torch.ops.onednn.qconv2d_pointwise(
        x, weight.input_scale, 0, weight.packed, scales, zeros, bias, ones, ones, ones, 1, 1.0, 0, dtype, "none", [], ""
    )


def _int8_agrees() -> bool:
    with torch.inference_mode():
        x = (torch.arange(16 * 36) * 37 % 256).to(torch.uint8).view(1, 16, 6, 6)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = (torch.arange(8 * 16 * 9) * 29 % 255 - 127).to(torch.int8).view(8, 16, 3, 3)
        scales, bias = torch.arange(1, 9) / 1024, torch.arange(8.0)
        packed = pack_int8(weight, scales, bias, 0.5, tuple(x.shape))
        want = F.conv2d(x.float() / 2, weight.float() * scales[:, None, None, None], bias, padding=1)
        results = [convolve_int8(x, packed, dtype).float() for dtype in (torch.float32, torch.bfloat16)]
        return all(torch.allclose(given, want, rtol=0.01, atol=0.01 * float(want.abs().max())) for given in results)
