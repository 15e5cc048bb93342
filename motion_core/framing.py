"""How a picture lies in the networks' image, and how the result gets back into the picture.

Sizes are ``(h, w)`` in pixels, boxes ``(top, left, height, width)`` in whole pixels, images ``(B, 3, H, W)`` in [0, 1].
Points are corner-aligned: pixel column j of w is at x = 2j / (w - 1) - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InputError
from .settings import Fit

Size = tuple[int, int]
Box = tuple[int, int, int, int]
# A square: x and y of its middle and half its side in pixels, (0, 0) the first one's centre; and the angle that it is turned by.
Region = tuple[float, float, float, float]

LARGEST = 1536  # side of the networks' image, where it is as large as the picture's part
NEARLY = 0.75  # of the networks' smallest image: a part as large is not enlarged to it, it gets more of the picture
POSE_MARGIN = 0.2  # space around poses in the picture, as a share of half the side of the person's region
CUT = 0.02  # coordinate units that a person reaches beyond the picture's side, who is cut off there
_DIMMED = 0.35  # brightness of the unused part in a preview
_OUTLINE = (1.0, 0.6, 0.0)  # colour around the used part


@dataclass(frozen=True)
class Placement:
    """How a picture is put into the networks' image.

    Attributes:
        picture_size: ``(h, w)`` of the picture.
        network_size: ``(h, w)`` of the networks' image.
        fit: "pad": all of it, borders repeated around it; "crop": the middle part that has the networks' aspect;
            "stretch": all of it, its aspect lost.
        crop: the part of the picture that is used, in its pixels.
        content: the part of the networks' image that it fills; the rest is padding.
        person: where the person is in the networks' image; None for models that do not look for one.
    """

    picture_size: Size
    network_size: Size
    fit: Fit
    crop: Box
    content: Box
    person: Region | None = None

    def describe(self) -> str:
        """One line for people, sizes as width x height."""
        _, _, height, width = self.crop
        picture = _by(self.picture_size)
        part = (
            f"all of the {picture} picture"
            if self.crop[2:] == self.picture_size
            else f"{width} x {height} of {picture}"
        )
        if self.content[2:] == self.network_size:
            how = ", stretched" if self.fit == "stretch" else ""
            return f"{part}, as {_by(self.network_size)}{how}"
        return f"{part}, as {_by(self.content[2:])} in the middle of {_by(self.network_size)}"


def _by(size: Size) -> str:
    return f"{size[1]} x {size[0]}"


def place_in(picture_size: Size, network_size: Size, fit: Fit = "pad", box: Box | None = None) -> Placement:
    """Decide how a picture is put into the networks' image.

    Args:
        picture_size, network_size: ``(h, w)``.
        fit: see `Placement`.
        box: the part of the picture to use instead of all of it.

    Raises:
        InputError: a size is not positive, `fit` is not known, or `box` is not within the picture.

    Example:
        >>> place_in((480, 640), (256, 256)).content
        (32, 0, 192, 256)
        >>> place_in((480, 640), (256, 256), "crop").crop
        (0, 80, 480, 480)
    """
    picture_size, network_size = _size("picture_size", picture_size), _size("network_size", network_size)
    if fit not in get_args(Fit):
        raise InputError(f"fit: must be one of {', '.join(get_args(Fit))}, got {fit!r}")
    part = (0, 0, *picture_size) if box is None else check_box(box, picture_size)
    content = (0, 0, *network_size)
    if fit == "pad":
        content = _centred(_fitted(part[2:], network_size), network_size)
    elif fit == "crop":
        top, left, *inner = _centred(_largest(part[2:], network_size), part[2:])
        part = (part[0] + top, part[1] + left, inner[0], inner[1])
    return Placement(picture_size, network_size, fit, part, content)


def _fitted(size: Size, bounds: Size) -> Size:
    """Return the largest size with the aspect of `size` within `bounds`; sides that do not fill it are even."""
    scale = min(bounds[0] / size[0], bounds[1] / size[1])
    height, width = (_even(side * scale, bound) for side, bound in zip(size, bounds, strict=True))
    return height, width


def _even(side: float, bound: int) -> int:
    """Round to an even number (video has half as many colour samples), unless `bound` is met or too small for one."""
    if round(side) >= bound:
        return bound
    return min(max(2, 2 * round(side / 2)), bound)


def _largest(size: Size, aspect: Size) -> Size:
    """Return the largest size within `size` that has the aspect of `aspect`."""
    height, width = size
    if height * aspect[1] > width * aspect[0]:
        return max(1, round(width * aspect[0] / aspect[1])), width
    return height, max(1, round(height * aspect[1] / aspect[0]))


def _centred(inner: Size, outer: Size) -> Box:
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2, inner[0], inner[1]


def _size(name: str, size: Size) -> Size:
    if len(size) != 2 or not all(_whole(side) and side >= 1 for side in size):
        raise InputError(f"{name}: must be (h, w) in whole pixels of at least 1, got {size!r}")
    return int(size[0]), int(size[1])


def check_box(box: Box, size: Size) -> Box:
    """A box within a picture (h, w), as plain whole numbers; raises InputError where it is none."""
    if len(box) != 4 or not all(_whole(value) for value in box):
        raise InputError(f"crop box: must be (top, left, height, width) in whole pixels, got {box!r}")
    top, left, height, width = (int(value) for value in box)
    if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
        raise InputError(
            f"crop box: must be within the picture's (h, w) of {size}, got (top, left, height, width) = {box}"
        )
    return top, left, height, width


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def to_network(image: Tensor, placement: Placement) -> Tensor:
    """Put a picture ``(B, 3, H, W)`` into the networks' image ``(B, 3, h, w)``; bit-exact where it needs no resizing."""
    _check(image, placement.picture_size, "image")
    content = _resize(_part(image, placement.crop), placement.content[2:])  # (B, 3, content_h, content_w)
    top, left, height, width = placement.content
    below, right = placement.network_size[0] - top - height, placement.network_size[1] - left - width
    if not any((top, left, below, right)):
        return content
    return F.pad(content, (left, right, top, below), mode="replicate")  # (B, 3, h, w)


def from_network(frames: Tensor, placement: Placement) -> Tensor:
    """Take the padding off: ``(B, 3, h, w)`` to ``(B, 3, content_h, content_w)``."""
    _check(frames, placement.network_size, "frames")
    return _part(frames, placement.content)


def preview(image: Tensor, placement: Placement) -> Tensor:
    """Return the picture ``(B, 3, H, W)`` with the unused part dimmed and the used part outlined."""
    _check(image, placement.picture_size, "image")
    top, left, height, width = placement.crop
    shown = image * _DIMMED
    line = max(1, round(min(placement.picture_size) / 200))
    color = torch.tensor(_OUTLINE, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    _part(shown, placement.crop).copy_(color.expand(image.shape[0], 3, height, width))
    inner = (top + line, left + line, height - 2 * line, width - 2 * line)
    if min(inner[2:]) > 0:
        _part(shown, inner).copy_(_part(image, inner))
    return shown


def paste_back(picture: Tensor, frames: Tensor, placement: Placement, feather: float = 0.05) -> Tensor:
    """Put animated crops back into the picture.

    Args:
        picture: ``(1, 3, H, W)``.
        frames: ``(B, 3, content_h, content_w)``, as `from_network` gives them.
        placement: the one that the crop was made with.
        feather: width of the soft edge, as a share of the crop's shorter side, in [0, 0.5]. An edge that lies on the
            picture's own border stays hard.

    Returns:
        ``(B, 3, H, W)``; pixels outside of the crop are exactly the picture's.
    """
    _check(picture, placement.picture_size, "picture")
    _check(frames, placement.content[2:], "frames")
    if picture.shape[0] != 1:
        raise InputError(f"picture: must be one, (1, 3, H, W), got {tuple(picture.shape)}")
    if not 0 <= feather <= 0.5:  # false for NaN too
        raise InputError(f"feather: must be in [0, 0.5], got {feather}")
    top, left, height, width = placement.crop
    pasted = _resize(frames, (height, width))  # (B, 3, crop_h, crop_w)
    if (height, width) == placement.picture_size:
        return pasted
    reach = feather * min(height, width)
    down = _ramp(height, reach, soft=(top > 0, top + height < placement.picture_size[0]), like=pasted)
    across = _ramp(width, reach, soft=(left > 0, left + width < placement.picture_size[1]), like=pasted)
    weight = down[:, None] * across[None, :]  # (crop_h, crop_w)
    result = picture.expand(frames.shape[0], -1, -1, -1).clone()  # (B, 3, H, W)
    behind = _part(result, placement.crop)
    behind.copy_(torch.lerp(behind, pasted.to(behind.dtype), weight.to(behind.dtype)))
    return result


def _ramp(length: int, reach: float, soft: tuple[bool, bool], like: Tensor) -> Tensor:
    """Return weights ``(length,)`` that rise smoothly from 0 to 1 within `reach` pixels of each soft end."""
    middle = torch.arange(length, device=like.device, dtype=torch.float32) + 0.5
    weight = torch.ones_like(middle)
    if reach > 0:
        for is_soft, distance in zip(soft, (middle, length - middle), strict=True):
            if is_soft:
                ramp = (distance / reach).clamp(0, 1)
                weight = weight * ramp * ramp * (3 - 2 * ramp)
    return weight


def picture_points(points: Tensor, placement: Placement) -> Tensor:
    """Take points from the networks' image into the picture.

    Args:
        points: ``(..., 2)``, (x, y) in [-1, 1] of the networks' image, corner-aligned.
        placement: of the picture in it.

    Returns:
        ``(..., 2)``, (x, y) of the picture, corner-aligned; outside [-1, 1] where the point lies in the padding.
    """
    return _moved(points, (placement.network_size, placement.content), (placement.picture_size, placement.crop))


def network_points(points: Tensor, placement: Placement) -> Tensor:
    """Take points from the picture into the networks' image: the inverse of `picture_points`."""
    return _moved(points, (placement.picture_size, placement.crop), (placement.network_size, placement.content))


def _moved(points: Tensor, start: tuple[Size, Box], end: tuple[Size, Box]) -> Tensor:
    """Points of one image as those of another; of each its size, and the box that both show."""

    def swapped(size: tuple[int, ...]) -> Tensor:
        return points.new_tensor([size[1], size[0]])  # (x, y) where sizes are (h, w)

    (start_size, start_box), (end_size, end_box) = start, end
    pixels = (points + 1) / 2 * (swapped(start_size) - 1) + 0.5  # from the image's corner
    share = (pixels - swapped(start_box[:2])) / swapped(start_box[2:])
    pixels = share * swapped(end_box[2:]) + swapped(end_box[:2])
    return (pixels - 0.5) / (swapped(end_size) - 1).clamp_min(1) * 2 - 1


def network_region(region: Region, placement: Placement) -> Region:
    """Take a square of the picture into the networks' image; of a stretched one it is the larger side."""
    (top, left, height, width), inner = placement.crop, placement.content
    across, down = inner[3] / width, inner[2] / height
    x, y, half, angle = region
    return (
        (x + 0.5 - left) * across + inner[1] - 0.5,
        (y + 0.5 - top) * down + inner[0] - 0.5,
        half * max(across, down),
        angle,
    )


def room_box(region: Region, picture_size: Size, poses: Tensor | None = None, smallest: int = 1) -> Box:
    """The part of a picture around a person that has room for poses, for `place_in`: a square, where the picture allows one.

    Args:
        region: of the person, in the picture.
        picture_size: ``(h, w)``.
        poses: ``(..., 2)``, (x, y) in the picture, corner-aligned; those that the person is to take.
        smallest: side of the networks' image.

    Example:
        >>> room_box((50.0, 50.0, 20.0, 0.0), (200, 300))
        (30, 30, 41, 41)
        >>> room_box((20.0, 50.0, 20.0, 0.0), (200, 30))
        (30, 0, 41, 30)
    """
    x, y, half, _ = region
    ends = torch.tensor([[x - half, y - half], [x + half, y + half]], dtype=torch.float64)  # (2, 2)
    if poses is not None and poses.numel():
        last = torch.tensor([picture_size[1] - 1, picture_size[0] - 1], dtype=torch.float64)
        pixels = (poses.detach().cpu().double().reshape(-1, 2) + 1) / 2 * last
        reach = POSE_MARGIN * half
        ends = torch.stack(
            (torch.minimum(ends[0], pixels.amin(0) - reach), torch.maximum(ends[1], pixels.amax(0) + reach))
        )
    spans = [
        _span(float(ends[0, axis]), float(ends[1, axis]), picture_size[1 - axis]) for axis in (1, 0)
    ]  # down, across
    side = max(length for _, length in spans)
    if side >= NEARLY * smallest:
        side = max(side, smallest)
    (top, height), (left, width) = (
        (_start(start + (length - 1) / 2, min(side, bound), bound), min(side, bound))
        for (start, length), bound in zip(spans, picture_size, strict=True)
    )
    return top, left, height, width


def _span(first: float, last: float, bound: int) -> tuple[int, int]:
    """Start and length in whole pixels of what is within `bound` of the way from one place to another; at least one pixel."""
    start = min(max(0, math.floor(first + 0.5)), bound - 1)
    return start, max(1, min(bound, math.floor(last + 0.5) + 1) - start)


def place_own(picture_size: Size, smallest: int, fit: Fit = "pad", box: Box | None = None) -> Placement:
    """Decide how a picture is put into a square networks' image in which it keeps its own pixels.

    Args:
        picture_size, fit, box: as for `place_in`.
        smallest: side of the networks' image of smaller pictures, which are enlarged; above `LARGEST` they are reduced.

    Example:
        >>> place_own((301, 400), 256).content
        (49, 0, 301, 400)
        >>> place_own((100, 200), 256).content
        (64, 0, 128, 256)
    """
    part = picture_size if box is None else box[2:]
    side = min(max(min(part) if fit == "crop" else max(part), smallest), max(LARGEST, smallest))
    placement = place_in(picture_size, (side, side), fit, box)
    own = placement.crop[2:]
    if fit == "pad" and max(own) == side:  # odd sides as well
        return replace(placement, content=_centred(own, (side, side)))
    return placement


def roomy(placement: Placement, poses: Tensor, person: Tensor, reach: float) -> Placement:
    """The placement with a larger networks' image, square as before, that has room for poses beyond the picture.

    Where the person is cut off by the picture's side there is none: nothing is known of what would be seen.

    Args:
        poses: those to take, ``(S, K, N, 2)``, in the networks' image, as all points here.
        person: in the picture, ``(1, K, N, 2)``.
        reach: pixels around the poses.
    """
    height, width = placement.network_size
    cut = _cut_off(person, placement)
    last = poses.new_tensor([width - 1, height - 1])
    pixels = (poses.reshape(-1, 2) + 1) / 2 * last  # (P, 2)
    (first_x, first_y), (last_x, last_y) = (pixels.amin(dim=0) - reach).tolist(), (pixels.amax(dim=0) + reach).tolist()
    missing = (-first_y, -first_x, last_y - height, last_x - width)
    above, before_it, below, behind = (
        0 if is_cut else max(0, round(gap)) for gap, is_cut in zip(missing, cut, strict=True)
    )
    side = min(max(height + above + below, width + before_it + behind), max(LARGEST, height, width))
    if side <= max(height, width):
        return placement
    above, before_it = min(above, side - height), min(before_it, side - width)
    content = (placement.content[0] + above, placement.content[1] + before_it, *placement.content[2:])
    region = placement.person
    if region is not None:
        region = (region[0] + before_it, region[1] + above, *region[2:])
    return replace(placement, network_size=(side, side), content=content, person=region)


def free_part(person: Tensor, placement: Placement) -> Box:
    """The part of the networks' image in which a person ``(1, K, N, 2)`` may be seen: beyond the picture as well, but not at
    sides that cut the person off."""
    height, width = placement.network_size
    top, left, tall, wide = placement.content
    above, before_it, below, behind = _cut_off(person, placement)
    first = top if above else 0, left if before_it else 0
    last = top + tall if below else height, left + wide if behind else width
    return *first, last[0] - first[0], last[1] - first[1]


def _cut_off(person: Tensor, placement: Placement) -> tuple[bool, bool, bool, bool]:
    """Whether a person ``(1, K, N, 2)`` is cut off above, on the left, below, and on the right of the picture."""
    ends = [person.reshape(-1, 2).amin(dim=0).tolist(), person.reshape(-1, 2).amax(dim=0).tolist()]  # (x, y) each
    cut = []
    for number, (start, length) in enumerate(zip(placement.content[:2], placement.content[2:], strict=True)):
        side = max(placement.network_size[number] - 1, 1)
        first, last = (2 * edge / side - 1 for edge in (start, start + length - 1))
        cut.append((ends[0][1 - number] < first - CUT, ends[1][1 - number] > last + CUT))
    return cut[0][0], cut[1][0], cut[0][1], cut[1][1]


def subject_box(points: Tensor, picture_size: Size, margin: float = 0.25, aspect: float = 1.0) -> Box:
    """Return a box around keypoints, for `place_in`.

    Args:
        points: ``(K, N, 2)``, (x, y) in [-1, 1], corner-aligned; points outside are taken to the border.
        picture_size: ``(h, w)``.
        margin: space on each side, as a share of the longer side of the keypoints' extent.
        aspect: width / height. The box has it wherever one that large is within the picture.

    Raises:
        InputError: points of another shape or not finite, or an argument out of range.

    Example:
        >>> subject_box(torch.tensor([[[-0.2, -0.2], [0.2, 0.2]]]), (101, 101), margin=0.0)
        (40, 40, 21, 21)
    """
    height, width = _size("picture_size", picture_size)
    if points.ndim != 3 or points.shape[-1] != 2 or not points.numel() or not bool(torch.isfinite(points).all()):
        raise InputError(f"points: must be finite and of the shape (K, N, 2), got {tuple(points.shape)}")
    if not (0 <= margin <= 10 and 0.01 <= aspect <= 100):
        raise InputError(f"margin: must be in [0, 10] and aspect in [0.01, 100], got {margin} and {aspect}")
    last = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    pixels = (points.detach().cpu().double().clamp(-1, 1).reshape(-1, 2) + 1) / 2 * last  # (K * N, 2)
    (left, above), (right, below) = pixels.amin(0).tolist(), pixels.amax(0).tolist()
    extent = torch.tensor([below - above + 1, right - left + 1]) + 2 * margin * (max(below - above, right - left) + 1)
    tall, wide = _grown(float(extent[0]), float(extent[1]), aspect, (height, width))
    return _start((above + below) / 2, tall, height), _start((left + right) / 2, wide, width), tall, wide


def _grown(height: float, width: float, aspect: float, bounds: Size) -> Size:
    """Return the smallest size of the given aspect around (height, width), or the largest one within `bounds`."""
    height = max(height, width / aspect)
    height = min(height, bounds[0], bounds[1] / aspect)
    return max(1, min(bounds[0], round(height))), max(1, min(bounds[1], round(height * aspect)))


def _start(middle: float, length: int, bound: int) -> int:
    """Return where a span around pixel `middle` begins, moved so that it is within `bound` pixels."""
    return min(max(0, math.floor(middle - (length - 1) / 2 + 0.5)), bound - length)


def _part(image: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return image[..., top : top + height, left : left + width]


def _resize(image: Tensor, size: Size) -> Tensor:
    """Bicubic with antialiasing, clamped to [0, 1]; the same tensor if it has the size."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image.float(), size, mode="bicubic", antialias=True).clamp(0, 1).to(image.dtype)


def _check(image: Tensor, size: Size, name: str) -> None:
    if image.ndim != 4 or image.shape[1] != 3 or tuple(image.shape[-2:]) != size or not image.is_floating_point():
        raise InputError(f"{name}: must be float (B, 3, {size[0]}, {size[1]}), got {tuple(image.shape)} {image.dtype}")
