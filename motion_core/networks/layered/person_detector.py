"""Pictures to keypoints of the limbs of a person, and its silhouette.

The network wants crops that the person fills, upright, so the person is found first: in the whole picture, which is looked at
again and again, nearer each time, or where that finds nobody, in crops all over it. Crops are turned so that the trunk is
upright in them, for the network knows hardly anybody who lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusers_base import register_to_config
from ...errors import InputError
from ...geometry import geometry_precision, identity_grid, sample
from ...structures import Keypoints
from ..base import CoordinateModel, public_component
from .blaze_pose import CENTRE, REACH, SIDE, BlazePose
from .limbs import LIMBS, PARENTS, POINTS, limb_points, to_coordinates
from .strip_correction import StripCorrection

SHIPPED_DETECTOR = Path(__file__).resolve().parents[2] / "weights" / "person_detector"  # comes with the package

BODY = 33  # landmarks
SHOULDERS, HIPS = (11, 12), (23, 24)
PRESENT = 0.5  # score from which there is a person
UNLIKE = 0.3  # landmarks that differ from those in metres by more of their spread are no body; people have 0.05 to 0.2
VISIBLE = 0.5  # visibility from which a landmark is in sight
ROUNDS = 2  # of looking at the whole picture, each time nearer, before the one whose result counts
# In a picture of somebody without legs the network tends to see a whole small body, with shoulders at the chin. Looked at with
# as much room below as the picture is high, it sees the shoulders where they are; so who is larger there by this, and not seen
# much worse, is meant, unless the first is seen too well for that.
LARGER, WORSE, WELL_SEEN = 1.3, 0.2, 0.8
MARGIN = 1.25  # half the side of the crop over how far the person reaches from the middle of the hips
LONGER = 1.1  # than the landmarks reach is how far the person does at most: heads and hands end beyond them
# Sides of the picture over those of the crops in which a person is searched, who is found who fills 0.4 of one or more.
LEVELS = tuple(1.5**step for step in range(1, 5))
SMALLEST = 96  # pixels of a crop, of which there are no smaller ones
AROUND = tuple(1.5**step for step in range(7))  # the same for crops around a place where the person is
UPRIGHT = 0.7  # quality from which a picture is not turned to find somebody
QUARTERS = (math.pi / 2, -math.pi / 2, math.pi)  # other ways to hold a picture
# How well somebody must be seen then, how much better than upright, and by which angle the trunk may differ: half bodies who
# stand, of whom little is in sight, are easily taken for others who lie.
SEEN, BETTER, ASLANT = 0.4, 0.1, 0.7
BATCH = 8  # crops at once


@dataclass(frozen=True)
class DetectedPeople:
    """The person in each of B pictures of h x w pixels.

    Places in pixels are (x, y), (0, 0) the centre of the first pixel.

    Attributes:
        keypoints: of the limbs, ``(B, 10, 5, 2)``; without a silhouette if it was not asked for.
        landmarks: BlazePose's, ``(B, 33, 2)`` in pixels, outside of the picture as well.
        visibility: how likely each of them is in sight, ``(B, 33)`` in [0, 1].
        score: how likely there is a person, ``(B,)`` in [0, 1]; 0 where the landmarks cannot be those of a body.
        region: where to look for the person in the next frame, ``(B, 4)``: x and y of the middle, half the side, in pixels; and
            the angle from upright to where the head is, clockwise, in radians.
    """

    keypoints: Keypoints
    landmarks: Tensor
    visibility: Tensor
    score: Tensor
    region: Tensor

    @property
    def silhouette(self) -> Tensor | None:
        """Where the person is, ``(B, 1, h, w)`` in [0, 1]; None if it was not asked for."""
        return self.keypoints.silhouette

    @property
    def suffices(self) -> Tensor:
        """Whether there is a person of whom enough is in sight: both shoulders and a hip, ``(B,)`` bool."""
        visible = self.visibility >= VISIBLE
        hip = visible[:, list(HIPS)].any(dim=1)
        return (self.score >= PRESENT) & visible[:, list(SHOULDERS)].all(dim=1) & hip


@dataclass(frozen=True)
class _Look:
    """What the network says of a region of each of B pictures; as in `DetectedPeople`, with all that comes from BlazePose."""

    landmarks: Tensor
    visibility: Tensor
    metres: Tensor
    score: Tensor
    region: Tensor
    quality: Tensor  # (B,), how well the person is seen: 0.85 is common, 0.5 where it is held the wrong way
    mask: Tensor | None  # (B, 1, 256, 256) in [0, 1], of the region that was looked at


@public_component
class PersonDetector(CoordinateModel):
    """Finds the limbs of a person in pictures of any size, as strips of keypoints (`limbs`), and the silhouette.

    Args:
        num_splines, points_per_spline, image_channels: what it gives and takes, for the networks that must agree; fixed.
        corrected: whether the strips go through a `StripCorrection`, which was trained on rendered people.

    Raises:
        ValueError: one of them is another.
    """

    _keep_in_fp32_modules = ["network", "correction"]  # type: ignore[assignment]  # the base class has None
    size_multiple = 1  # image sides must be multiples of this

    @register_to_config
    def __init__(
        self,
        num_splines: int = len(LIMBS),
        points_per_spline: int = POINTS,
        image_channels: int = 3,
        corrected: bool = False,
    ) -> None:
        super().__init__()
        given, fixed = (num_splines, points_per_spline, image_channels), (len(LIMBS), POINTS, 3)
        if given != fixed:
            raise ValueError(f"num_splines, points_per_spline and image_channels must be {fixed}, got {given}")
        self.num_splines, self.points_per_spline = num_splines, points_per_spline
        self.parents = list(PARENTS)
        self.network = BlazePose()
        self.correction = StripCorrection() if corrected else None

    def forward(self, images: Tensor) -> Keypoints:
        """Keypoints ``(B, 10, 5, 2)`` and silhouettes of the people in pictures ``(B, 3, h, w)`` in [0, 1]."""
        return self.detect(images).keypoints

    def detect(self, images: Tensor, start: Tensor | None = None, silhouettes: bool = True) -> DetectedPeople:
        """The person in each picture; the best guess where there is none, with a low score.

        Args:
            images: ``(B, 3, h, w)`` in [0, 1].
            start: where to look, ``(B, 4)`` or ``(1, 4)``: the `region` of the frame before, or what `find` gives; None finds it.
            silhouettes: whether they are wanted; they take as long as the rest of a look.
        """
        region = self.find(images) if start is None else start.to(images.device).expand(len(images), 4)
        look = self._look(images, region, silhouettes)
        height, width = images.shape[-2:]
        points = limb_points(look.landmarks, look.visibility, look.metres)  # (B, 10, 5, 2)
        if self.correction is not None:
            points = self.correction(points)
        silhouette = None if look.mask is None else _pasted(look.mask, region, height, width)
        return DetectedPeople(
            Keypoints(to_coordinates(points, height, width), silhouette),
            look.landmarks,
            look.visibility,
            look.score,
            look.region,
        )

    def find(self, images: Tensor, subject: tuple[float, float] | None = None) -> Tensor:
        """Where the person is in each picture, ``(B, 4)``, as `DetectedPeople.region` is.

        All of the picture where nobody is found; of several people, the largest, or who is looked at most easily.

        Args:
            images: ``(B, 3, h, w)`` in [0, 1].
            subject: a place (x, y) in pixels; who is nearest to it is meant.

        Raises:
            InputError: the place is not in the picture.
        """
        height, width = images.shape[-2:]
        if subject is not None:
            if not (0 <= subject[0] < width and 0 <= subject[1] < height):
                raise InputError(f"subject must be a place in the picture of {width} x {height}, got {subject}")
            return torch.cat([self._search(image, subject) for image in images.split(1)])
        region, score = self.approach(images)
        return torch.cat(
            [
                near if seen else self._search(image, None)
                for image, near, seen in zip(images.split(1), region.split(1), score >= PRESENT, strict=True)
            ]
        )

    def approach(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The region ``(B, 4)`` of the person in each picture, coming nearer from the whole of it, and its score ``(B,)``.

        Who is not seen well is looked for in the turned picture as well.
        """
        look = self._nearer(images, whole_region(images))
        regions, scores = list(look.region.split(1)), list(look.score.split(1))
        for number in (look.quality < WELL_SEEN).nonzero().flatten().tolist():
            larger = self._larger(images[number : number + 1], look.region[number : number + 1])
            if larger is not None:
                regions[number], scores[number] = larger
        for number in (look.quality < UPRIGHT).nonzero().flatten().tolist():
            turned = self._turned(images[number : number + 1])
            if turned is not None:
                regions[number], scores[number] = turned
        return torch.cat(regions), torch.cat(scores)

    def _larger(self, image: Tensor, region: Tensor) -> tuple[Tensor, Tensor] | None:
        """Region ``(1, 4)`` and score ``(1,)`` of somebody larger than who is seen in a region, if that is who is there."""
        near = self._look(image, region)
        roomy = self._nearer(image, _with_room_below(image))
        roomy = self._look(image, self._look(image, roomy.region).region)
        seen = near.score >= PRESENT
        smaller = roomy.region[:, 2] <= LARGER * near.region[:, 2]
        if roomy.score < PRESENT or (seen and (smaller or roomy.quality < near.quality - WORSE)):
            return None
        return roomy.region, roomy.score

    def widened(self, images: Tensor, region: Tensor) -> Tensor:
        """Regions ``(B, 4)`` of the people in given ones, found again from twice as far, with more room below."""
        x, y, half, angle = region.unbind(dim=1)
        wide = torch.stack((x - half / 2 * angle.sin(), y + half / 2 * angle.cos(), 2 * half, angle), dim=1)
        return self._nearer(images, wide).region

    def _turned(self, image: Tensor) -> tuple[Tensor, Tensor] | None:
        """Region ``(1, 4)`` and score ``(1,)`` of somebody who is not upright in a picture; None if upright is as good."""
        ways = whole_region(image).repeat(1 + len(QUARTERS), 1)
        ways[1:, 3] = ways.new_tensor(QUARTERS)
        second = self._nearer(image, ways)
        third = self._look(image, second.region)
        upright = ((second.quality + third.quality) / 2)[0]
        turned = torch.minimum(second.quality, third.quality)[1:]
        apart = (second.region[1:, 3] - ways[1:, 3]).cos()
        turned = torch.where(apart > math.cos(ASLANT), turned, -1)
        best = int(turned.argmax())
        if turned[best] < max(SEEN, float(upright) + BETTER):
            return None
        return third.region[best + 1, None], third.score[best + 1, None]

    def _nearer(self, images: Tensor, region: Tensor) -> _Look:
        look = self._look(images, region)
        for _ in range(ROUNDS - 1):
            look = self._look(images, torch.cat((look.region[:, :3], region[:, 3:]), dim=1))
        return look

    def _search(self, image: Tensor, subject: tuple[float, float] | None) -> Tensor:
        """`find` of a single picture, ``(1, 4)``, which looks at crops: all over it, large ones first, or around the subject."""
        for crops in _crops(image) if subject is None else [_crops_around(image, subject)]:
            first = self._look(image, crops)
            region = first.region[first.score.argsort(descending=True)[:BATCH]]  # (N, 4)
            look = self._look(image, region)
            region = look.region[look.score >= PRESENT]
            if len(region):
                middles = region[:, :2]
                order = -region[:, 2] if subject is None else (middles - middles.new_tensor(subject)).norm(dim=1)
                return self._look(
                    image, region[order.argmin(), None]
                ).region  # nearer: the crop was larger than the person
        return whole_region(image)

    def _look(self, images: Tensor, region: Tensor, masks: bool = False) -> _Look:
        """What there is in regions ``(B, 4)`` of pictures ``(B, 3, h, w)``, or of a single one."""
        parts = []
        with geometry_precision(images):
            for number in range(0, len(region), BATCH):
                some = slice(number, number + BATCH)
                at = region[some].float()
                levels = self.network.encode(self.compute(_cut(images if len(images) == 1 else images[some], at)))
                pose = self.network.pose(levels)
                mask = self.network.mask(levels).sigmoid() if masks else None
                inside = pose.landmarks / (SIDE / 2) - 1  # (B, 39, 2)
                turn = _turns(at)
                pixels = at[:, None, :2] + at[:, None, 2:3] * (inside @ turn.mT)
                metres, visibility = pose.metres[:, :BODY], pose.visibility[:, :BODY]
                unlike = _difference(inside[:, :BODY], metres[..., :2])
                score = torch.where(unlike < UNLIKE, pose.score, 0)
                quality = pose.score * visibility.mean(dim=1) - 2 * unlike
                parts.append(_Look(pixels[:, :BODY], visibility, metres, score, _region(pixels, score), quality, mask))
        return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(looks: list[_Look]) -> _Look:
    masks = [look.mask for look in looks if look.mask is not None]
    return _Look(
        torch.cat([look.landmarks for look in looks]),
        torch.cat([look.visibility for look in looks]),
        torch.cat([look.metres for look in looks]),
        torch.cat([look.score for look in looks]),
        torch.cat([look.region for look in looks]),
        torch.cat([look.quality for look in looks]),
        torch.cat(masks) if masks else None,
    )


def _difference(points: Tensor, others: Tensor) -> Tensor:
    """How far points ``(B, N, 2)`` are from others, moved and scaled to fit best; a share of their spread, ``(B,)``."""
    points, others = (each - each.mean(dim=1, keepdim=True) for each in (points, others))
    scale = (points * others).sum((1, 2)) / others.square().sum((1, 2)).clamp_min(1e-12)
    left = points - scale[:, None, None] * others
    return left.flatten(1).norm(dim=1) / points.flatten(1).norm(dim=1).clamp_min(1e-6)


def _region(pixels: Tensor, score: Tensor) -> Tensor:
    """Where to look next, ``(B, 4)``, for the person with landmarks ``(B, 39, 2)`` in pixels and a score ``(B,)``.

    How far the person reaches is said by a landmark, which is far too far while the person is small in the crop; so it counts
    no more than a little beyond the other landmarks, unless these mean nothing.
    """
    middle = pixels[:, CENTRE]
    said = (pixels[:, REACH] - middle).norm(dim=-1)
    seen = (pixels[:, :BODY] - middle[:, None]).norm(dim=-1).amax(dim=1)
    half = MARGIN * torch.where(score >= PRESENT, torch.minimum(said, LONGER * seen), said).clamp_min(1.0)
    trunk = pixels[:, list(SHOULDERS)].mean(dim=1) - pixels[:, list(HIPS)].mean(dim=1)
    angle = torch.atan2(trunk[:, 0], -trunk[:, 1])
    return torch.cat((middle, half[:, None], angle[:, None]), dim=1)


def _turns(region: Tensor) -> Tensor:
    """Rotations ``(B, 2, 2)`` from the crops of regions ``(B, 4)`` to their pictures."""
    cos, sin = region[:, 3].cos(), region[:, 3].sin()
    return torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=-2)


def whole_region(images: Tensor) -> Tensor:
    """All of each picture, held as it is, ``(B, 4)``."""
    height, width = images.shape[-2:]
    region = ((width - 1) / 2, (height - 1) / 2, max(height, width) / 2, 0.0)
    return torch.tensor([region], device=images.device).expand(len(images), 4)


def _with_room_below(images: Tensor) -> Tensor:
    """Each picture in the upper half of what is looked at, ``(B, 4)``."""
    height, width = images.shape[-2:]
    region = ((width - 1) / 2, height - 0.5, float(max(height, width)), 0.0)
    return torch.tensor([region], device=images.device).expand(len(images), 4)


def _crops(image: Tensor) -> Iterator[Tensor]:
    """Squares all over a picture, ``(N, 4)`` of each size, large ones first; neighbours overlap by half or more."""
    height, width = image.shape[-2:]
    for level in LEVELS:
        half = max(height, width) / 2 / level
        if 2 * half < SMALLEST:
            break
        ys, xs = (_middles(side, half) for side in (height, width))
        yield torch.tensor([(x, y, half, 0.0) for y in ys for x in xs], device=image.device)


def _middles(side: int, half: float) -> list[float]:
    """Where squares lie along a side, of which the outermost reach its ends; in the middle where one has room at most."""
    count = max(1, math.ceil(side / half) - 1)
    if count == 1:
        return [(side - 1) / 2]
    return [half - 0.5 + (side - 2 * half) * number / (count - 1) for number in range(count)]


def _crops_around(image: Tensor, place: tuple[float, float]) -> Tensor:
    """Squares of several sizes around a place, ``(N, 4)``."""
    half = max(image.shape[-2:]) / 2
    sizes = [half / level for level in AROUND if level == 1 or 2 * half / level >= SMALLEST]
    return torch.tensor([(*place, size, 0.0) for size in sizes], device=image.device)


def _cut(images: Tensor, region: Tensor) -> Tensor:
    """Square regions ``(B, 4)`` of pictures ``(B, 3, h, w)``, or of a single one, as ``(B, 3, 256, 256)``, black outside of it.

    A picture with twice the pixels of the crop or more is first reduced by means, or what is seen between pixels would be noise.
    """
    crops = []
    turns = _turns(region)
    for image, at, turn in zip(images.split(1) * (len(region) // len(images)), region, turns, strict=True):
        middle, half = at[:2], at[2]
        factor = max(1, int(2 * half.item() / SIDE))
        if factor > 1:
            image = F.avg_pool2d(image, factor, ceil_mode=True)
            middle, half = (middle - (factor - 1) / 2) / factor, half / factor
        # From the middle to the centres of the crop's outermost pixels.
        pixels = middle + half * (SIDE - 1) / SIDE * identity_grid(SIDE, SIDE, at) @ turn.mT  # (256, 256, 2)
        crops.append(sample(image, to_coordinates(pixels, *image.shape[-2:])[None]))
    return torch.cat(crops)


def _pasted(mask: Tensor, region: Tensor, height: int, width: int) -> Tensor:
    """Masks ``(B, 1, 256, 256)`` of square regions ``(B, 4)`` put into pictures: ``(B, 1, height, width)``, 0 around them."""
    half_size = mask.new_tensor(((width - 1) / 2, (height - 1) / 2))
    pixels = (identity_grid(height, width, mask) + 1) * half_size  # (h, w, 2)
    middle, half = region[:, None, None, :2].float(), region[:, None, None, 2:3].float()
    inside = (pixels - middle) @ _turns(region.float())[:, None]  # (B, h, w, 2)
    return sample(mask, inside / (half * (SIDE - 1) / SIDE))
