"""What a picture shows, as the pipeline sees it: anything that a detector learned to see, or a person.

Both classes have the same methods. Pictures are ``(1, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from . import media, motion_modes
from .ahead import ahead
from .backbone import Source
from .check import Check, check_people
from .driving import FROM_INITIAL, in_batches
from .framing import Placement, Size, network_points, picture_points, place_in, subject_box, to_network
from .networks.layered.camera_aligner import CameraAligner
from .networks.layered.person_detector import PersonDetector
from .people import (
    Presence,
    driving_frames,
    find_person,
    follow,
    in_square,
    keeps_own_pixels,
    place_other_person,
    place_person,
    reduced_size,
    survey_video,
    surveyed_frames,
)
from .settings import AnimationSettings, PictureSettings
from .steady_poses import without_trembling
from .structures import DrivingMotion, Keypoints
from .transfer import MotionTransfer

Item = TypeVar("Item")


@dataclass(frozen=True)
class Objects:
    """Anything: the picture and every driving frame are put whole into the networks' image."""

    method: MotionTransfer
    device: torch.device
    batch_size: ClassVar[int] = 1  # driving frames

    def pastes_back(self, settings: PictureSettings) -> bool:
        """Whether the animated part is put back into the picture unless the settings say so."""
        return False

    def survey(self, video: media.VideoSource, settings: AnimationSettings) -> Keypoints | None:
        """A few poses of a driving video that there must be room for; none here."""
        return None

    def pose_in(self, picture: Tensor, name: str = "the picture") -> Keypoints | None:
        """`survey` of a single driving picture."""
        return None

    def place(
        self, picture: Tensor, size: Size, settings: AnimationSettings, poses: Keypoints | None, name: str
    ) -> Placement:
        """What part of a picture is used, and how it lies in the networks' image of a size (height, width).

        Raises:
            InputError: a crop that is not inside the picture.
        """
        picture_size = (picture.shape[-2], picture.shape[-1])
        if settings.crop != "subject":
            return place_in(picture_size, size, settings.fit, settings.crop)
        whole = place_in(picture_size, size, "pad")
        with torch.inference_mode():
            found = self.method.detector(to_network(picture, whole).to(self.device)).points[0].cpu()  # (K, N, 2)
        box = subject_box(picture_points(found, whole), picture_size, aspect=size[1] / size[0])
        return place_in(picture_size, size, settings.fit, box)

    def place_other(self, picture: Tensor, placement: Placement, settings: AnimationSettings, name: str) -> Placement:
        """How one more picture of the subject lies in an image of the size that the first one is placed in."""
        return place_in((picture.shape[-2], picture.shape[-1]), placement.network_size, settings.fit)

    def encode(self, picture: Tensor, placement: Placement) -> Source:
        """What is computed once per source picture."""
        return self.method.encode(to_network(picture, placement).to(self.device))  # (1, 3, h, w)

    def check(
        self,
        source: Source,
        placement: Placement,
        video: media.VideoSource,
        poses: Keypoints | None,
        settings: AnimationSettings,
    ) -> Check | None:
        """What can be said before a render; nothing here."""
        return None

    def analyse_video(
        self,
        source: Source,
        video: media.VideoSource,
        placement: Placement,
        settings: AnimationSettings,
        presence: Presence,
    ) -> Iterable[DrivingMotion]:
        """What is kept of a driving video, batch by batch.

        Args:
            presence: counts the frames in which people are looked for; none here.
        """
        count = settings.batch_size or self.batch_size
        for frames in in_batches(video, count, placement.network_size, settings.fit):  # (B, 3, h, w)
            yield self.method.analyse(source, frames.to(self.device), settings.background)

    def beside(self, items: Iterator[Item], threads: int) -> Iterator[Item]:
        """Items that are computed beside what is done with them, where that is faster; here they are not.

        Args:
            threads: of torch, that may be shared.
        """
        return items

    def analyse_picture(
        self, source: Source, picture: Tensor, placement: Placement, settings: AnimationSettings, name: str
    ) -> DrivingMotion:
        """What is kept of a single driving picture."""
        placed = place_in((picture.shape[-2], picture.shape[-1]), placement.network_size, settings.fit)
        return self.method.analyse(source, to_network(picture, placed).to(self.device), settings.background)

    def describe_driving(self, size: Size, network_size: Size, settings: PictureSettings) -> str:
        """What is used of a driving video of a size (height, width), one line for people."""
        return place_in(size, network_size, settings.fit).describe()


@dataclass(frozen=True)
class People:
    """A person: looked for in the picture and followed through the driving video, each at its own size."""

    method: MotionTransfer
    device: torch.device
    batch_size: ClassVar[int] = 6  # driving frames

    @property
    def detector(self) -> PersonDetector:
        """Finds them."""
        detector: PersonDetector = self.method.detector
        return detector

    def pastes_back(self, settings: PictureSettings) -> bool:
        """Whether the animated part is put back into the picture unless the settings say so."""
        return keeps_own_pixels(settings)

    def survey(self, video: media.VideoSource, settings: AnimationSettings) -> Keypoints | None:
        """A few poses of a driving video that there must be room for, see `motion_core.people.survey_video`.

        Raises:
            InputError: nobody is in the video.
        """
        quick = not self._crops_itself(settings)
        return survey_video(self.detector, video, self.device, self._surveyed_first(settings), quick)

    def pose_in(self, picture: Tensor, name: str = "the picture") -> Keypoints | None:
        """`survey` of a single driving picture."""
        keypoints, _ = find_person(self.detector, picture.to(self.device), name)
        return Keypoints(in_square(keypoints.points, (picture.shape[-2], picture.shape[-1])))

    def place(
        self, picture: Tensor, size: Size, settings: AnimationSettings, poses: Keypoints | None, name: str
    ) -> Placement:
        """What part of a picture is used, how it lies in the networks' image of a size (height, width), and where the person is.

        Args:
            poses: that there must be room for, as `survey` gives them.
            name: of the picture, for messages.

        Raises:
            InputError: a crop that is not inside the picture, or nobody in it.
        """
        taken = partial(self._poses_to_take, poses, settings) if self._crops_itself(settings) else None
        beyond = settings.scene == "driving"
        return place_person(self.detector, picture.to(self.device), settings, size, taken, name, beyond)

    def place_other(self, picture: Tensor, placement: Placement, settings: AnimationSettings, name: str) -> Placement:
        """How one more picture of the subject lies in an image of the size that the first one is placed in.

        Raises:
            InputError: nobody is in it.
        """
        return place_other_person(self.detector, picture.to(self.device), placement.network_size, name)

    def encode(self, picture: Tensor, placement: Placement) -> Source:
        """What is computed once per source picture."""
        image = to_network(picture, placement).to(self.device)  # (1, 3, h, w)
        people = self.detector.detect_agreed(image, torch.tensor([placement.person]), silhouettes=True)
        return self.method.encode(image, people.keypoints)

    def check(
        self,
        source: Source,
        placement: Placement,
        video: media.VideoSource,
        poses: Keypoints | None,
        settings: AnimationSettings,
    ) -> Check | None:
        """What can be said before a render.

        Args:
            source: the picture, encoded.
            poses: of the video, as `survey` gives them.
        """
        if poses is None:
            return None
        person = Keypoints(in_square(picture_points(source.keypoints.points, placement), placement.picture_size))
        wanted = self._poses_to_take(poses, settings, person)
        looked_at = len(poses.points)
        if self._crops_itself(settings):  # otherwise the first person that is seen will do
            looked_at = len(surveyed_frames(video, self._surveyed_first(settings)))
        return check_people(person, wanted, poses, (placement.picture_size, video.size), looked_at)

    def analyse_video(
        self,
        source: Source,
        video: media.VideoSource,
        placement: Placement,
        settings: AnimationSettings,
        presence: Presence,
    ) -> Iterable[DrivingMotion]:
        """What is kept of a driving video, batch by batch; computed ahead of what asks for it.

        Args:
            presence: counts the frames in which people are looked for.

        Raises:
            InputError: nobody is found in any frame.
        """

        def placed(points: Tensor, size: Size) -> Tensor:
            return network_points(points, place_in(size, placement.network_size, settings.fit))

        def background(images: Tensor, silhouettes: Tensor | None) -> Tensor | None:
            return self.method.background(source, images, settings.background, silhouettes, placement.content)

        count = settings.batch_size or self.batch_size
        given = iter(video)  # the first frame goes alone, so that it is seen soon
        batches = chain(driving_frames(islice(given, 1), 1), driving_frames(given, count))
        frames = (batch.to(self.device) for batch in batches)  # (B, 3, h, w)
        shapes = settings.background == "predicted" and isinstance(self.method.background_predictor, CameraAligner)
        hidden = settings.scene == "driving"
        rate = float(video.frame_rate)
        found = follow(self.detector, frames, rate, placed, background, presence, shapes, hidden)
        return ahead(without_trembling(found, rate), torch.get_num_threads())

    def beside(self, items: Iterator[Item], threads: int) -> Iterator[Item]:
        """Items that are computed beside what is done with them.

        Args:
            threads: of torch, that are shared.
        """
        return ahead(items, threads)

    def analyse_picture(
        self, source: Source, picture: Tensor, placement: Placement, settings: AnimationSettings, name: str
    ) -> DrivingMotion:
        """What is kept of a single driving picture.

        Raises:
            InputError: nobody is in it.
        """
        placed = place_in((picture.shape[-2], picture.shape[-1]), placement.network_size, settings.fit)
        picture = picture.to(self.device)
        _, region = find_person(self.detector, picture, name)
        shapes = settings.background == "predicted"
        people = self.detector.detect_agreed(picture, torch.tensor([region]), shapes)
        transform = self.method.background(source, picture, settings.background, people.silhouette, placement.content)
        return DrivingMotion(Keypoints(network_points(people.keypoints.points, placed)), transform)

    def describe_driving(self, size: Size, network_size: Size, settings: PictureSettings) -> str:
        """What is used of a driving video of a size (height, width), one line for people."""
        height, width = reduced_size(size)
        return f"somebody is looked for in all of it, at {width} x {height}"

    def _crops_itself(self, settings: AnimationSettings) -> bool:
        """Whether a part of the picture may be used: where nothing of the video's own places or scene is."""
        moves = self.method.mode_of(settings) in FROM_INITIAL and settings.background == "identity"
        return moves and keeps_own_pixels(settings)

    def _surveyed_first(self, settings: AnimationSettings) -> int:
        """The frame that a survey begins with."""
        initial = settings.initial_frame if self.method.mode_of(settings) in FROM_INITIAL else 0
        return initial if isinstance(initial, int) else 0

    @torch.inference_mode()
    def _poses_to_take(self, driving: Keypoints | None, settings: AnimationSettings, source: Keypoints) -> Keypoints:
        """The poses that a source is to take for some of the driving ones, all in the squares around picture and frame."""
        if driving is None:
            return source
        first = motion_modes.best_frame(source, driving) if settings.initial_frame == "best" else 0
        return self.method.transfer(source, driving, settings, Keypoints(driving.points[first : first + 1]))
