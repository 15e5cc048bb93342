"""Changes of both images of a pair alike: a closer view, a turn, another size, and colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.errors import InputError
from motion_core.framing import Size
from motion_core.geometry import sample

from .tracks import to_coordinates

_LUMA = torch.tensor([0.299, 0.587, 0.114])  # BT.601
# RGB to YIQ: hue is the angle in the plane of I and Q.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True)
class Jitter:
    """How far colours vary. Brightness, contrast and saturation are multiplied by U(1 - x, 1 + x).

    Attributes:
        brightness, contrast, saturation: x, in [0, 1]; 0 is none.
        hue: in [0, 0.5]; it turns by U(-hue, hue) of a full circle in the YIQ colour space.

    Raises:
        InputError: a value out of range.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            top, value = (0.5 if field.name == "hue" else 1), getattr(self, field.name)
            if not 0 <= value <= top:
                raise InputError(f"jitter: {field.name} must be in [0, {top}], got {value}")


@dataclass(frozen=True)
class Colors:
    """One draw of a `Jitter`: three factors, and an angle as a share of a full circle."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, jitter: Jitter) -> Colors:
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


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, images: Tensor, size: Size) -> Tensor:
        """What images ``(B, C, H, W)`` show in the window, brought to (h, w): ``(B, C, h, w)``."""
        cut = images[..., self.top : self.top + self.height, self.left : self.left + self.width]
        if (self.height, self.width) == size:
            return cut
        return F.interpolate(cut, size, mode="bilinear", align_corners=False, antialias=True)

    def shares(self, places: Tensor, size: Size) -> Tensor:
        """Shares of the window from shares ``(..., 2)``, (x, y), of the whole image, which has (h, w) pixels."""
        pixels = places * places.new_tensor((size[1], size[0]))
        return (pixels - places.new_tensor((self.left, self.top))) / places.new_tensor((self.width, self.height))


@dataclass(frozen=True)
class Turn:
    """A turn about the middle, and another size.

    Attributes:
        angle: degrees, clockwise in the picture.
        size: factor, above 0.
    """

    angle: float = 0.0
    size: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator, angle: float, size: float) -> Turn:
        """Angle from U(-angle, angle) and size from 1 / size to `size`, its logarithm uniform."""
        return cls(rng.uniform(-angle, angle), size ** rng.uniform(-1, 1))

    def _matrix(self, size: Size) -> Tensor:
        """From shares relative to the middle in the turned image to those in the image as it was, ``(2, 2)``."""
        height, width = size
        cos, sin = (function(math.radians(self.angle)) / self.size for function in (math.cos, math.sin))
        return torch.tensor([[cos, sin * height / width], [-sin * width / height, cos]], dtype=torch.float32)

    def images(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` turned and resized; what was outside is what was inside, reflected."""
        if self == Turn():
            return images
        size = images.shape[-2], images.shape[-1]
        rows, columns = ((torch.arange(side) + 0.5) / side for side in size)
        places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2) shares
        grid = to_coordinates((places - 0.5) @ self._matrix(size).T + 0.5, size)
        return sample(images, grid.expand(len(images), *grid.shape), padding="reflection")

    def shares(self, places: Tensor, size: Size) -> Tensor:
        """Where places ``(..., 2)``, shares (x, y) of an image of (h, w) pixels, are in the turned image, in shares."""
        return (places - 0.5) @ torch.linalg.inv(self._matrix(size)).T + 0.5


def nearer_window(images: Tensor, zoom: float, place: float) -> Window:
    """A window to see both images of a pair through, from nearer.

    Its centre is drawn from the pixels, each in proportion to how much the two images differ there, so that it shows what
    moves; at the borders it is moved inwards.

    Args:
        images: source and driving image, ``(2, 3, H, W)`` in [0, 1].
        zoom: the window has 1 / zoom of each side, 1 or more.
        place: a uniform draw from [0, 1), which says which pixel it is.
    """
    height, width = images.shape[-2:]
    window = round(height / zoom), round(width / zoom)
    difference = (images[0] - images[1]).abs().mean(dim=0).flatten().double() + 1e-6  # equal images: anywhere
    shares = difference.cumsum(0)
    pixel = min(int(torch.searchsorted(shares, place * shares[-1])), height * width - 1)
    centre = divmod(pixel, width)
    top, left = (
        min(max(at - side // 2, 0), whole - side)
        for at, side, whole in zip(centre, window, (height, width), strict=True)
    )
    return Window(top, left, *window)
