"""The person in a picture and in a driving video, for models whose keypoints are a person's limbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import media
from .errors import InputError
from .framing import (
    POSE_MARGIN,
    Box,
    Placement,
    Region,
    Size,
    network_points,
    network_region,
    picture_points,
    place_in,
    place_own,
    room_box,
    roomy,
    subject_box,
)
from .networks.layered.person_detector import (
    BOTH_WAYS,
    CAREFULLY,
    HIPS,
    PRESENT,
    SHOULDERS,
    DetectedPeople,
    PersonDetector,
)
from .settings import PictureSettings
from .steady_poses import SteadySides
from .structures import DrivingMotion, Keypoints, PackedMask

LONGEST = 512  # pixels of a driving frame's longer side, where limbs are looked for; larger frames are reduced
SURVEYED = 8  # driving frames that are looked at before anything is rendered
SEARCHED = 3  # of those, in so many somebody who is small is searched all over the frame, which takes seconds
SEARCH_EVERY = 25  # frames of a video in which nobody is seen
AROUND = 0.06  # of half the side of the person's region: what is hidden around the silhouette
SILHOUETTE = 0.2  # from which there may be a person
# Frames a second from which on every other frame is looked at mirrored, since what differs is averaged over time; at lower rates
# each is looked at in both ways.
IN_TURNS = 20.0

Item = TypeVar("Item")
_RULE = "must show a person with both shoulders and a hip in sight"


@dataclass
class Presence:
    """In how many driving frames there was a person; it grows while they are looked at.

    Attributes:
        frames: that were looked at; none with models that are not of people.
        missing: those of them in which nobody was found.
    """

    frames: int = 0
    missing: int = 0

    def describe(self) -> str:
        """One sentence for people."""
        share = 100 * self.missing / max(self.frames, 1)
        return (
            f"nobody was found in {self.missing} of {self.frames} driving frames ({share:.0f} %), "
            "where the last pose was kept"
        )


def keeps_own_pixels(settings: PictureSettings) -> bool:
    """Whether the part of the picture that is animated is left to the model, and the result put back into the picture."""
    return settings.crop is None and settings.size is None and settings.fit == "pad"


def find_person(
    detector: PersonDetector,
    picture: Tensor,
    name: str,
    box: Box | None = None,
    subject: tuple[float, float] | None = None,
) -> tuple[Keypoints, Region]:
    """The keypoints ``(1, K, N, 2)`` of the person in a picture ``(1, 3, H, W)`` in [0, 1], and the square around it.

    Args:
        name: of the picture, for messages.
        box: the part of the picture in which somebody is looked for; None is all of it.
        subject: a place (x, y) in pixels, at which the person is; None takes the largest of several.

    Raises:
        InputError: nobody is found, or not enough of the person is in sight, or the box is not inside the picture.
    """
    size = (picture.shape[-2], picture.shape[-1])
    part = place_in(size, size, "stretch", box)
    top, left, height, width = part.crop
    image = picture[..., top : top + height, left : left + width]
    place = None if subject is None else (subject[0] - left, subject[1] - top)
    with torch.inference_mode():
        start = None if place is None else detector.find(image, place)
        people = detector.detect(image, start, silhouettes=False)
    x, y, half, angle = people.region[0].tolist()
    found = people.score.item() >= PRESENT
    if place is not None and not (found and max(abs(place[0] - x), abs(place[1] - y)) <= half):
        raise InputError(f"{name}: subject must be a place where a person is, but nobody is found at {subject}")
    if not found and not detector.glimpsed(image):
        raise InputError(f"{name}: {_RULE}, but nobody is found in it")
    if not _suffices(people, (height, width)):
        raise InputError(f"{name}: {_RULE}, but not all of these are")
    points = picture_points(
        people.keypoints.points, replace(part, network_size=(height, width), content=(0, 0, height, width))
    )
    return Keypoints(points), (x + left, y + top, half, angle)


def _suffices(people: DetectedPeople, size: Size) -> bool:
    """Whether there is a person, of whom both shoulders and a hip are in sight and inside of the picture of that (h, w).

    The network believes landmarks outside of a picture to be in sight as well.
    """
    width_height = people.landmarks.new_tensor((size[1], size[0]))
    inside = ((people.landmarks[0] > -0.5) & (people.landmarks[0] < width_height - 0.5)).all(dim=1)  # (33,)
    shoulders, hips = inside[list(SHOULDERS)], inside[list(HIPS)]
    return bool(people.suffices.item() and shoulders.all() and hips.any())


def place_person(
    detector: PersonDetector,
    picture: Tensor,
    settings: PictureSettings,
    size: Size,
    poses: Callable[[Keypoints], Keypoints] | None,
    name: str,
    beyond: bool = False,
) -> Placement:
    """What part of a picture ``(1, 3, H, W)`` in [0, 1] is used, how it lies in the networks' image, and where the person is.

    Args:
        settings: `crop`, `subject`, `fit`, and `size`, without which the picture keeps its own pixels.
        size: (height, width) at which the networks work with these settings; smaller parts are enlarged to it.
        poses: takes the person's keypoints to poses ``(S, K, N, 2)``, all in the square around the picture; the part is what the
            person and these need. None uses all of the picture, or the crop.
        name: of the picture, for messages.
        beyond: whether poses that reach beyond the picture have room in the networks' image all the same.

    Raises:
        InputError: as for `find_person`.
    """
    picture_size = (picture.shape[-2], picture.shape[-1])
    wanted: Tensor | None = None  # (S, K, N, 2) in the picture
    box = None if settings.crop == "subject" else settings.crop
    person, region = find_person(detector, picture, name, box, settings.subject)
    if settings.crop == "subject":
        box = subject_box(person.points[0], picture_size, aspect=1 if settings.size is None else size[1] / size[0])
    elif poses is not None:
        whole = place_in(picture_size, (max(picture_size), max(picture_size)))
        wanted = picture_points(poses(Keypoints(network_points(person.points, whole))).points, whole)
        box = room_box(region, picture_size, wanted, max(size))
    if settings.size is None:
        placement = place_own(picture_size, max(size), settings.fit, box)
    else:
        placement = place_in(picture_size, size, settings.fit, box)
    placement = replace(placement, person=network_region(region, placement))
    if not beyond or wanted is None or placement.person is None:
        return placement
    reach = POSE_MARGIN * placement.person[2]
    return roomy(placement, network_points(wanted, placement), network_points(person.points, placement), reach)


def place_other_person(detector: PersonDetector, picture: Tensor, network_size: Size, name: str) -> Placement:
    """How one more picture of the subject ``(1, 3, H, W)`` lies in a networks' image, which the person in it fills.

    Raises:
        InputError: as for `find_person`.
    """
    size = (picture.shape[-2], picture.shape[-1])
    _, region = find_person(detector, picture, name)
    placement = place_in(size, network_size, "pad", room_box(region, size))
    return replace(placement, person=network_region(region, placement))


@torch.inference_mode()
def survey_video(
    detector: PersonDetector,
    video: media.VideoSource,
    device: torch.device,
    initial_frame: int = 0,
    quick: bool = False,
) -> Keypoints:
    """Poses of a driving video ``(S, K, N, 2)``, in the square around a frame: the initial frame's and of others all over it.

    Args:
        initial_frame: whose pose comes first, if it has one.
        quick: whether one pose will do, the first that is found.

    Raises:
        InputError: none of the frames that are looked at shows a person with enough in sight.
    """
    order = surveyed_frames(video, initial_frame)
    poses: list[Tensor] = []
    region: Tensor | None = None
    searches = SEARCHED
    for index in order:
        frame = next(video.frames(index))
        size = (frame.shape[0], frame.shape[1])
        found = seek(detector, _reduced(frame[None]).to(device), region, search=False)
        if not _suffices(found, reduced_size(size)) and searches:
            found = detector.detect(_reduced(frame[None]).to(device), silhouettes=False)
            searches -= 1
        if _suffices(found, reduced_size(size)):
            region = found.region
            poses.append(in_square(found.keypoints.points, size))
        if poses and quick:
            break
    if not poses:
        raise InputError(f"{video.name}: {_RULE}, but none of {len(order)} frames all over it does")
    return Keypoints(torch.cat(poses))


def surveyed_frames(video: media.VideoSource, initial_frame: int = 0) -> list[int]:
    """The numbers of the frames that `survey_video` looks at: the initial one and others all over the video."""
    spread = np.linspace(0, video.frame_count - 1, min(SURVEYED, video.frame_count)).round().astype(int).tolist()
    return list(dict.fromkeys((initial_frame, *spread)))


@torch.inference_mode()
def seek(
    detector: PersonDetector, frame: Tensor, region: Tensor | None, search: bool, silhouettes: bool = False
) -> DetectedPeople:
    """The person in a frame ``(1, 3, h, w)``: where it was before, else in the whole frame, or if `search`, all over it."""
    if region is not None:
        people = detector.detect(frame, region, silhouettes)
        if people.score.item() >= PRESENT:
            return people
    return _anew(detector, frame, search, silhouettes, careful=False)


def _anew(detector: PersonDetector, frame: Tensor, search: bool, silhouettes: bool, careful: bool) -> DetectedPeople:
    """The person in the whole of a frame, or if `search`, all over it; looked at again where the next frame would be.

    Args:
        careful: whether that is done as a source is looked at: the same picture has the same pose.
    """
    first = detector.find(frame) if search else detector.approach(frame)[0]
    people = detector.detect(frame, first, silhouettes)
    if people.score.item() < PRESENT or (people.region.equal(first) and not careful):
        return people
    look = detector.detect_agreed if careful else detector.detect
    again = look(frame, people.region, silhouettes)
    return again if again.score.item() >= PRESENT else people


def hidden_by(people: DetectedPeople, size: Size) -> Tensor:
    """What a person hides of a picture (h, w), with some room around, ``(1, 1, h, w)`` bool; nothing if nobody is found."""
    if people.silhouette is None or people.score.item() < PRESENT:
        return people.region.new_zeros(1, 1, *size).bool()
    reach = max(2, round(AROUND * people.region[0, 2].item()))
    hidden = (people.silhouette > SILHOUETTE).float()
    for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        hidden = F.max_pool2d(hidden, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return hidden > 0


def driving_frames(video: Iterable[np.ndarray], batch_size: int) -> Iterator[Tensor]:
    """Frames of a video as limbs are looked for in them, ``(B, 3, h, w)`` in [0, 1], in the video's aspect."""
    frames = iter(video)
    while batch := list(islice(frames, batch_size)):
        yield _reduced(np.stack(batch))


def _reduced(frames: np.ndarray) -> Tensor:
    """Frames ``(B, H, W, 3)`` uint8 as ``(B, 3, h, w)`` in [0, 1], neither side above `LONGEST`."""
    size = (frames.shape[1], frames.shape[2])
    if reduced_size(size) == size:
        return media.to_float(frames)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small = F.interpolate(pixels, reduced_size(size), mode="bilinear", antialias=True)  # uint8: much faster than floats
    return small.float() / 255


def reduced_size(size: Size) -> Size:
    """The (height, width) of driving frames as limbs are looked for in them."""
    scale = min(1, LONGEST / max(size))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def in_square(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Points ``(..., 2)`` of a picture ``(h, w)`` in the square around it, where across and down are of one scale."""
    return network_points(points, place_in(size, (max(size), max(size))))


class _Tracker:
    """The person in frames of a video, one after another; each is looked at where the person was in the one before.

    Who is found anew is looked at as carefully as in a picture, and in the last frame; in those between mirrored and not: what
    differs between such looks is averaged over time (`without_trembling`), but at the ends.
    """

    def __init__(self, detector: PersonDetector, frame_rate: float, silhouettes: bool) -> None:
        self._detector, self._in_turns, self._silhouettes = detector, frame_rate >= IN_TURNS, silhouettes
        self._region: Tensor | None = None  # (1, 4)
        self._sides = SteadySides()
        self._mirrored = False
        self._lost = 0  # frames since the person was seen

    def __call__(self, frame: Tensor, last: bool) -> tuple[DetectedPeople, bool]:
        """Who is in the next frame ``(1, 3, h, w)``, and whether it is a person."""
        people = None if self._region is None else self._again(frame, self._region, last)
        if people is None:
            search = self._lost % SEARCH_EVERY == 0
            people = _anew(self._detector, frame, search, self._silhouettes, careful=True)
        if people.score.item() < PRESENT:
            self._region = None
            self._sides.forget()
            self._lost += 1
            return people, False
        self._region, self._lost = people.region, 0
        keypoints = replace(people.keypoints, points=self._sides(people.keypoints.points))
        return replace(people, keypoints=keypoints), True

    def _again(self, frame: Tensor, region: Tensor, last: bool) -> DetectedPeople | None:
        """Who is where the person was before."""
        self._mirrored = self._in_turns and not self._mirrored and not last
        people = self._detector.detect(frame, region, self._silhouettes, mirrored=self._mirrored)
        if people.score.item() < PRESENT:
            return None
        if self._in_turns and not last:
            return people
        return self._detector.detect_agreed(frame, region, self._silhouettes, CAREFULLY if last else BOTH_WAYS, people)


def follow(
    detector: PersonDetector,
    batches: Iterable[Tensor],
    frame_rate: float,
    placed: Callable[[Tensor, tuple[int, int]], Tensor],
    background: Callable[[Tensor, Tensor | None], Tensor | None],
    presence: Presence,
    silhouettes: bool = False,
    hidden: bool = False,
) -> Iterator[DrivingMotion]:
    """The motion of the person in a driving video, each frame looked at where the person was in the one before.

    A frame without a person has the last pose, and those before the first person have the first one's. Who is lost is looked
    for in the whole frame, and now and then all over it.

    Args:
        batches: of frames ``(B, 3, h, w)`` in [0, 1]; how they are batched changes nothing.
        frame_rate: frames per second.
        placed: takes points of a frame, ``(B, K, N, 2)``, and its (h, w), to points of the networks' image.
        background: of frames and, if they are wanted, silhouettes ``(B, 1, h, w)``, the transforms ``(B, 3, 3)``, or None.
        presence: counts the frames.
        silhouettes: whether they are wanted, which takes as long again.
        hidden: whether it is wanted what the person hides of each frame; it needs silhouettes.

    Raises:
        InputError: nobody is found in any frame.
    """
    look = _Tracker(detector, frame_rate, silhouettes or hidden)
    pose: Tensor | None = None
    waiting: list[tuple[int, Tensor | None, tuple[PackedMask, ...]]] = []  # batches from before the first person
    for frames, followed in _followed(batches):
        size = (frames.shape[-2], frames.shape[-1])
        poses: list[Tensor | None] = []
        shapes: list[Tensor] = []  # (1, 1, h, w) each
        masks: list[PackedMask] = []
        with torch.inference_mode():
            for number, frame in enumerate(frames.split(1), start=1):
                people, there = look(frame, last=number == len(frames) and not followed)
                presence.frames += 1
                if people.silhouette is not None:
                    shapes.append(people.silhouette * there)
                if hidden:
                    masks.append(PackedMask.of(hidden_by(people, size)))
                if there:
                    pose = placed(people.keypoints.points, size)  # (1, K, N, 2)
                else:
                    presence.missing += 1
                poses.append(pose)
            transform = background(frames, torch.cat(shapes) if shapes else None)
        if pose is None:
            waiting.append((len(frames), transform, tuple(masks)))
            continue
        first = next(each for each in poses if each is not None)
        for count, earlier, kept in waiting:
            yield DrivingMotion(Keypoints(first.expand(count, -1, -1, -1)), earlier, kept)
        waiting.clear()
        whole = torch.cat([first if each is None else each for each in poses])  # (B, K, N, 2)
        yield DrivingMotion(Keypoints(whole), transform, tuple(masks))
    if waiting:
        raise InputError(f"driving video: {_RULE} for more than a moment")


def _followed(items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Items, and whether there are more."""
    before: list[Item] = []
    for item in items:
        for each in before:
            yield each, True
        before = [item]
    for each in before:
        yield each, False
