"""Pictures to keypoints of the limbs of a person, and its silhouette.

BlazePose wants crops that the person fills, upright, so `PersonFinder` says first where people are and which way up: in the
whole picture, or where it finds nobody there, in crops all over it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusers_base import register_to_config
from ...errors import InputError
from ...geometry import geometry_precision, identity_grid, rotation, sample
from ...structures import Keypoints
from ..base import CoordinateModel, public_component
from .blaze_pose import CENTRE, REACH, SIDE, BlazePose
from .capsules import capsules
from .limbs import LIMBS, PARENTS, POINTS, limb_points, to_coordinates
from .person_finder import SIDE as FINDER_SIDE
from .person_finder import shipped_finder
from .sides import agreed
from .strip_correction import StripCorrection

SHIPPED_DETECTOR = Path(__file__).resolve().parents[2] / "weights" / "person_detector"  # comes with the package

BODY = 33  # landmarks
SHOULDERS, HIPS = (11, 12), (23, 24)
PRESENT = 0.5  # score from which there is a person
UNLIKE = 0.3  # landmarks that differ from those in metres by more of their spread are no body; people have 0.05 to 0.2
VISIBLE = 0.5  # visibility from which a landmark is in sight
# Score of a guess from which on it is looked at: in the whole picture or at a place that is given, and in crops all over it, in
# which things are taken for people more easily (a drawn dog: 0.54; people: 0.76 and more).
FOUND, FOUND_IN_CROPS = 0.5, 0.7
SMALLER = 0.6  # of a guess, that who is seen otherwise must reach at least
APART = 0.3  # of what one reaches, that the middles of two guesses are apart if they are two people
# Who bends over is easily taken for somebody who lies. Who is guessed to be turned by more than this (radians) is looked at
# upright as well, and that look is believed of which strips and silhouette agree better, at so many cells of the picture.
ASLANT, CELLS = 0.5, 128
# Change of where the person is (of half the region's side, of the logarithm of its size, in radians) up to which a region is
# looked at again as it is: seen through another one, the same person has a slightly other pose, and trembles.
STEADY = 0.1
MARGIN = 1.25  # half the side of the crop over how far the person reaches from the middle of the hips
LONGER = 1.1  # than the landmarks reach is how far the person does at most: heads and hands end beyond them
# Sides of the picture over those of the crops in which a person is searched, who is found who fills 0.4 of one or more.
LEVELS = tuple(1.5**step for step in range(1, 5))
SMALLEST = 96  # pixels of a crop, of which there are no smaller ones
# The same person, seen otherwise, is found a little elsewhere; the mean is nearer to the truth (docs/people.md). Ways to look at
# a region: mirrored or not, how many times wider, and turned by how much (radians).
BOTH_WAYS = ((False, 1.0, 0.0), (True, 1.0, 0.0))
CAREFULLY = (
    *BOTH_WAYS,
    *((mirrored, wider, 0.0) for wider in (0.9, 1.12) for mirrored in (False, True)),
    (False, 1.0, 0.12),
    (False, 1.0, -0.12),
)
AROUND = tuple(1.5**step for step in range(7))  # the same for crops around a place where the person is
BATCH = 8  # crops at once


@dataclass(frozen=True)
class DetectedPeople:
    """The person in each of B pictures of h x w pixels.

    Places in pixels are (x, y), (0, 0) the centre of the first pixel.

    Attributes:
        keypoints: of the limbs and of the face, ``(B, 11, 5, 2)``; without a silhouette if it was not asked for.
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
    mask: Tensor | None  # (B, 1, 256, 256) in [0, 1], of the region that was looked at


@public_component
class PersonDetector(CoordinateModel):
    """Finds the limbs of a person in pictures of any size, as strips of keypoints (`limbs`), and the silhouette.

    Args:
        num_splines, points_per_spline, image_channels: limbs, keypoints of each, and what it takes, for the networks that must
            agree; fixed. The keypoints of the face come after those of the limbs.
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
        """Keypoints ``(B, 11, 5, 2)`` and silhouettes of the people in pictures ``(B, 3, h, w)`` in [0, 1]."""
        return self.detect(images).keypoints

    def detect(
        self, images: Tensor, start: Tensor | None = None, silhouettes: bool = True, mirrored: bool = False
    ) -> DetectedPeople:
        """The person in each picture; the best guess where there is none, with a low score.

        Args:
            images: ``(B, 3, h, w)`` in [0, 1].
            start: where to look, ``(B, 4)`` or ``(1, 4)``: the `region` of the frame before, or what `find` gives; None finds it.
            silhouettes: whether they are wanted; they take as long as the rest of a look.
            mirrored: whether the network sees the regions mirrored; what it finds is of the pictures as they are.
        """
        region = self.find(images) if start is None else start.to(images.device).expand(len(images), 4)
        look = self._look(images, region, silhouettes, mirrored)
        height, width = images.shape[-2:]
        silhouette = None if look.mask is None else _pasted(look.mask, region, height, width)
        return DetectedPeople(
            Keypoints(self._points(look, height, width), silhouette),
            look.landmarks,
            look.visibility,
            look.score,
            _held(region, look.region),
        )

    def detect_agreed(
        self,
        image: Tensor,
        region: Tensor,
        silhouettes: bool,
        ways: Sequence[tuple[bool, float, float]] = CAREFULLY,
        found: DetectedPeople | None = None,
    ) -> DetectedPeople:
        """The person in a picture, as `detect` finds it, with the keypoints that most of several looks agree on.

        Args:
            image: ``(1, 3, h, w)`` in [0, 1].
            region: where to look, ``(1, 4)``.
            silhouettes: whether they are wanted.
            ways: of looking; the first one is the usual one.
            found: what `detect` said of the region; None asks it.
        """
        found = found or self.detect(image, region, silhouettes)
        looks, (height, width) = [found.keypoints.points], image.shape[-2:]
        for mirrored in (False, True):
            others = [way[1:] for way in ways[1:] if way[0] is mirrored]
            if others:
                wider, turned = torch.tensor(others, device=image.device).unbind(dim=1)
                at = region.to(image.device).repeat(len(others), 1)
                at = torch.stack((at[:, 0], at[:, 1], at[:, 2] * wider, at[:, 3] + turned), dim=1)
                looks.append(self._points(self._look(image, at, mirrored=mirrored), height, width))
        points = agreed(torch.cat(looks))[None]
        return replace(found, keypoints=Keypoints(points, found.silhouette))

    def carefully(self, images: Tensor) -> Keypoints:
        """Keypoints and silhouettes as `forward` gives them, of several looks at each picture."""
        regions = self.detect(images, silhouettes=False).region
        found = [
            self.detect_agreed(image, region, silhouettes=True).keypoints
            for image, region in zip(images.split(1), regions.split(1), strict=True)
        ]
        silhouettes = [each.silhouette for each in found if each.silhouette is not None]
        return Keypoints(torch.cat([each.points for each in found]), torch.cat(silhouettes))

    def _points(self, look: _Look, height: int, width: int) -> Tensor:
        """Keypoints ``(B, 11, 5, 2)`` of what is seen in pictures of that size."""
        points = limb_points(look.landmarks, look.visibility, look.metres)
        if self.correction is not None:
            points = self.correction(points)
        return to_coordinates(points, height, width)

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
        if subject is not None and not (0 <= subject[0] < width and 0 <= subject[1] < height):
            raise InputError(f"subject must be a place in the picture of {width} x {height}, got {subject}")
        regions = []
        for image in images.split(1):
            region, score = (whole_region(image), 0.0) if subject is not None else self.approach(image)
            found = self._search(image, subject) if score < PRESENT else None
            regions.append(region if found is None else found)
        return torch.cat(regions)

    def approach(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The region ``(B, 4)`` of the person who is found in the whole of each picture, and its score ``(B,)``.

        Where nobody is guessed, or seen where somebody is guessed, a look at all of it and a nearer one may still show somebody;
        but not somebody much smaller than was guessed: head and shoulders are easily seen as a small whole body. Where who is
        guessed is seen, but not mirrored, silhouettes and strips decide between both.
        """
        found = []
        for image in images.split(1):
            whole = whole_region(image)
            guess = self._choice(image, whole, FOUND)
            seen = guess is not None and guess[1].item() >= PRESENT
            if guess is None or not seen or self._look(image, guess[0], mirrored=True).score < PRESENT:
                region = self._look(image, whole).region
                near = self._look(image, torch.cat((region[:, :3], whole[:, 3:]), dim=1))  # held as the picture is
                if guess is not None and seen:
                    guess = self._likelier(image, torch.cat((guess[0], near.region)))
                elif guess is None or near.region[0, 2] > SMALLER * guess[0][0, 2]:
                    guess = near.region, near.score
            found.append(guess)
        regions, scores = zip(*found, strict=True)
        return torch.cat(regions), torch.cat(scores)

    def glimpsed(self, image: Tensor) -> bool:
        """Whether somebody is guessed in the whole of a picture ``(1, 3, h, w)``, however little of the person is seen."""
        return len(self._guesses(image, whole_region(image), FOUND)) > 0

    def _search(self, image: Tensor, subject: tuple[float, float] | None) -> Tensor | None:
        """The region ``(1, 4)`` of who is seen in crops of a picture: all over it, large ones first, or around the subject."""
        least = FOUND_IN_CROPS if subject is None else FOUND
        for crops in _crops(image) if subject is None else [_crops_around(image, subject)]:
            chosen = self._choice(image, crops, least, subject)
            if chosen is not None and chosen[1] >= PRESENT:
                return chosen[0]
        return None

    def _choice(
        self, image: Tensor, crops: Tensor, least: float, subject: tuple[float, float] | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """The region ``(1, 4)`` and score ``(1,)`` of the largest person in crops ``(N, 4)`` of a picture, or of the one nearest
        to the subject; the surest guess where nobody is seen; None if nobody is guessed."""
        guesses = self._guesses(image, crops, least)
        if not len(guesses):
            return None
        look = self._look(image, guesses)
        order = -look.region[:, 2]
        if subject is not None:
            order = (look.region[:, :2] - order.new_tensor(subject)).norm(dim=1)
        best = int(torch.where(look.score >= PRESENT, order, math.inf).argmin())
        region, score = look.region[best : best + 1], look.score[best : best + 1]
        if score < PRESENT:
            return guesses[:1], look.score[:1]
        if abs(guesses[best, 3]) > ASLANT:
            upright = guesses[best : best + 1] * guesses.new_tensor((1.0, 1.0, 1.0, 0.0))
            return self._likelier(image, torch.cat((region, self._look(image, upright).region)))
        return region, score

    def _likelier(self, image: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Which of regions ``(N, 4)`` of a picture shows a person whose silhouette and strips cover each other best, ``(1, 4)``,
        and its score ``(1,)``."""
        look = self._look(image, regions, masks=True)
        best = int(self._agreement(look, regions, image).argmax())
        return regions[best : best + 1], look.score[best : best + 1]

    def _agreement(self, look: _Look, region: Tensor, image: Tensor) -> Tensor:
        """Intersection over union of the silhouettes and the strips in a look at regions ``(B, 4)`` of a picture, ``(B,)``."""
        assert look.mask is not None  # it was asked for
        height, width = image.shape[-2:]
        silhouette = _pasted(look.mask, region, height, width, (CELLS, CELLS))[:, 0]
        points = to_coordinates(limb_points(look.landmarks, look.visibility, look.metres), height, width)
        strips = capsules(points, CELLS).amax(dim=1)
        both, either = torch.minimum(silhouette, strips), torch.maximum(silhouette, strips)
        return torch.where(look.score >= PRESENT, both.sum((1, 2)) / either.sum((1, 2)).clamp(min=1), -1)

    def _guesses(self, image: Tensor, crops: Tensor, least: float) -> Tensor:
        """Where people may be in crops ``(N, 4)`` of a picture: regions ``(M, 4)`` that are apart, M up to `BATCH`, the
        surest first.

        Args:
            least: the least score of a guess.
        """
        regions, scores = [], []
        finder = shipped_finder(image.device)
        with geometry_precision(image):
            for at in crops.float().split(BATCH):
                found = finder(_cut(image, at, FINDER_SIDE).float())
                chosen = found.score >= least  # (B, N)
                middle, reach = (_in_picture(places, at, FINDER_SIDE) for places in (found.middle, found.reach))
                half = (MARGIN * (reach - middle).norm(dim=-1, keepdim=True)).clamp_min(1.0)
                regions.append(torch.cat((middle, half, _angle(reach - middle)), dim=-1)[chosen])
                scores.append(found.score[chosen])
        region, kept = torch.cat(regions), list[Tensor]()
        for one in region[torch.cat(scores).argsort(descending=True)]:
            if len(kept) < BATCH and all((one[:2] - other[:2]).norm() > APART * other[2] for other in kept):
                kept.append(one)
        return torch.stack(kept) if kept else region

    def _look(self, images: Tensor, region: Tensor, masks: bool = False, mirrored: bool = False) -> _Look:
        """What there is in regions ``(B, 4)`` of pictures ``(B, 3, h, w)``, or of a single one; as they are or mirrored."""
        parts = []
        with geometry_precision(images):
            for number in range(0, len(region), BATCH):
                some = slice(number, number + BATCH)
                at = region[some].float()
                crops = self.compute(_cut(images if len(images) == 1 else images[some], at))
                levels = self.network.encode(crops.flip(-1) if mirrored else crops)
                pose = self.network.pose(levels)
                mask = self.network.mask(levels).sigmoid() if masks else None
                if mirrored:
                    pose, mask = pose.mirrored(), None if mask is None else mask.flip(-1)
                pixels = _in_picture(pose.landmarks, at, SIDE)  # (B, 39, 2)
                metres, visibility = pose.metres[:, :BODY], pose.visibility[:, :BODY]
                unlike = _difference(pose.landmarks[:, :BODY], metres[..., :2])
                score = torch.where(unlike < UNLIKE, pose.score, 0)
                parts.append(_Look(pixels[:, :BODY], visibility, metres, score, _region(pixels, score), mask))
        return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(looks: list[_Look]) -> _Look:
    masks = [look.mask for look in looks if look.mask is not None]
    return _Look(
        torch.cat([look.landmarks for look in looks]),
        torch.cat([look.visibility for look in looks]),
        torch.cat([look.metres for look in looks]),
        torch.cat([look.score for look in looks]),
        torch.cat([look.region for look in looks]),
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
    return torch.cat((middle, half[:, None], _angle(trunk)), dim=1)


def _held(region: Tensor, found: Tensor) -> Tensor:
    """Where to look next, ``(B, 4)``: at the same regions, unless the people who are found in them have moved."""
    moved = (found[:, :2] - region[:, :2]).norm(dim=1) / region[:, 2]
    grown = (found[:, 2] / region[:, 2]).log().abs()
    turned = torch.remainder(found[:, 3] - region[:, 3] + math.pi, 2 * math.pi) - math.pi
    steady = torch.stack((moved, grown, turned.abs())).amax(dim=0) <= STEADY
    return torch.where(steady[:, None], region.to(found), found)


def _angle(up: Tensor) -> Tensor:
    """By how much directions ``(..., 2)`` are turned clockwise from straight up, ``(..., 1)`` in radians."""
    return torch.atan2(up[..., :1], -up[..., 1:])


def _in_picture(places: Tensor, region: Tensor, side: int) -> Tensor:
    """Places ``(B, N, 2)`` in pixels of the crops, side x side, of regions ``(B, 4)`` as places in pixels of their pictures."""
    return region[:, None, :2] + region[:, None, 2:3] * ((places / (side / 2) - 1) @ _turns(region).mT)


def _turns(region: Tensor) -> Tensor:
    """Rotations ``(B, 2, 2)`` from the crops of regions ``(B, 4)`` to their pictures."""
    return rotation(region[:, 3].cos(), region[:, 3].sin())


def whole_region(images: Tensor) -> Tensor:
    """All of each picture, held as it is, ``(B, 4)``."""
    height, width = images.shape[-2:]
    region = ((width - 1) / 2, (height - 1) / 2, max(height, width) / 2, 0.0)
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


def _cut(images: Tensor, region: Tensor, side: int = SIDE) -> Tensor:
    """Square regions ``(B, 4)`` of pictures ``(B, 3, h, w)``, or of a single one, as ``(B, 3, side, side)``, black outside of it.

    A picture with twice the pixels of the crop or more is first reduced by means, or what is seen between pixels would be noise.
    """
    crops = []
    turns = _turns(region)
    for image, at, turn in zip(images.split(1) * (len(region) // len(images)), region, turns, strict=True):
        middle, half = at[:2], at[2]
        factor = max(1, int(2 * half.item() / side))
        if factor > 1:
            image = F.avg_pool2d(image, factor, ceil_mode=True)
            middle, half = (middle - (factor - 1) / 2) / factor, half / factor
        # From the middle to the centres of the crop's outermost pixels.
        pixels = middle + half * (side - 1) / side * identity_grid(side, side, at) @ turn.mT  # (side, side, 2)
        crops.append(sample(image, to_coordinates(pixels, *image.shape[-2:])[None]))
    return torch.cat(crops)


def _pasted(mask: Tensor, region: Tensor, height: int, width: int, cells: tuple[int, int] | None = None) -> Tensor:
    """Masks ``(B, 1, 256, 256)`` of square regions ``(B, 4)`` put into pictures: ``(B, 1, height, width)``, 0 around them.

    Args:
        cells: rows and columns at which the pictures are looked at; None is every pixel.
    """
    half_size = mask.new_tensor(((width - 1) / 2, (height - 1) / 2))
    pixels = (identity_grid(*(cells or (height, width)), mask) + 1) * half_size  # (h, w, 2)
    middle, half = region[:, None, None, :2].float(), region[:, None, None, 2:3].float()
    inside = (pixels - middle) @ _turns(region.float())[:, None]  # (B, h, w, 2)
    return sample(mask, inside / (half * (SIDE - 1) / SIDE))
