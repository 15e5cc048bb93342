"""The operators of torch that are not public and that the packed backend uses. No other file calls them.

oneDNN convolves with weights in a layout that it chooses for the size of the input. torch's public convolutions bring them
into that layout in every call, which for wide layers on small maps takes longer than to convolve. TorchInductor stores them in
it once, through the operators that are wrapped here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SWITCH = "MOTION_CORE_PRIVATE_OPS"  # environment variable: 0 leaves them unused
OLDEST = (2, 9)  # version of torch that they were tried with


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
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if os.environ.get(SWITCH) == "0" or version < OLDEST or not torch.backends.mkldnn.is_available():
        return False
    try:
        return all(_agrees(dtype, geometry) for geometry in (Geometry(1, 1), Geometry(2, 1, transposed=True)))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False  # another version of torch, with other operators


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
