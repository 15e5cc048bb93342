"""The stages that the pipeline's recipes are made of: each takes typed values and gives typed values, and can be used alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from . import media, motion_modes
from .ahead import ahead
from .backbone import Source
from .backends import fast_backbone, fast_detector
from .check import Check, check_people
from .diagnosis import Diagnosis, diagnose
from .driving import FROM_INITIAL, in_batches
from .errors import InputError
from .figure import box_in_frame
from .framing import (
    Box,
    Placement,
    Region,
    Size,
    free_part,
    from_network,
    network_points,
    paste_back,
    picture_points,
    place_in,
    subject_box,
    to_network,
)
from .hops import Generated, Hops
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.layered.camera_aligner import CameraAligner
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.layout_network import LayoutNetwork
from .networks.layered.person_detector import PersonDetector
from .networks.tpsmm.avd_network import AVDNetwork
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .networks.view_fusion import ViewFusion
from .people import (
    Presence,
    background_between,
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
from .saved_pipeline import SavedPipeline
from .scene import DrivingScene, Scene, StillScene
from .selection import Selection, SteadyChoice, candidate_scores
from .settings import AnimationSettings, Background, Mode, Strategy
from .structures import DrivingMotion, Keypoints

PEOPLE_AT_ONCE = 6  # driving frames
NO_LAYERS = "scene {!r} needs a model that makes people of layers, this one does not tell them from their background"


class MotionStages(SavedPipeline):
    """The networks of a pipeline, and what each stage does with them."""

    keypoint_detector: KeypointDetector | PersonDetector
    dense_motion_network: DenseMotionNetwork | LayoutNetwork
    image_generator: ImageGenerator | LayerPainter
    avd_network: AVDNetwork | None
    background_predictor: BackgroundPredictor | CameraAligner | None
    selector: OptimalInterpolationSelector | None
    view_fusion: ViewFusion | None

    @property
    def hops(self) -> Hops:
        """The networks that take a source to a pose, in one hop or two."""
        return Hops(fast_backbone(self.dense_motion_network, self.image_generator, self.backend), self.view_fusion)

    @property
    def detector(self) -> KeypointDetector | PersonDetector:
        """What finds keypoints."""
        return fast_detector(self.keypoint_detector, self.backend)

    @property
    def size_multiple(self) -> int:
        """Height and width of the networks' images must be multiples of this."""
        networks = (self.keypoint_detector, self.dense_motion_network, self.image_generator)
        return max(network.size_multiple for network in networks)

    def read_picture(self, source: media.ImageSource, settings: AnimationSettings) -> Tensor:
        """A picture of any kind as ``(1, 3, H, W)`` in [0, 1], as the settings say."""
        return media.image_tensor(source, background=settings.matte, max_pixels=max_pixels(settings))

    def survey(self, video: media.VideoSource, settings: AnimationSettings) -> Keypoints | None:
        """A few poses of a driving video, see `motion_core.people.survey_video`; None for models that are not of people.

        Raises:
            InputError: nobody is in the video.
        """
        if not isinstance(self.keypoint_detector, PersonDetector):
            return None
        first = self._surveyed_first(settings)
        return survey_video(self.keypoint_detector, video, self.device, first, quick=not self._crops_itself(settings))

    def _surveyed_first(self, settings: AnimationSettings) -> int:
        """The frame that a survey begins with."""
        initial = settings.initial_frame if self.mode_of(settings) in FROM_INITIAL else 0
        return initial if isinstance(initial, int) else 0

    @torch.inference_mode()
    def check(
        self,
        picture: Tensor,
        placement: Placement,
        video: media.VideoSource,
        poses: Keypoints | None,
        settings: AnimationSettings,
    ) -> Check | None:
        """What can be said before a render of a picture ``(1, 3, H, W)`` in [0, 1]; None for models that are not of people.

        Args:
            placement: of the picture, as `place` gives it.
            poses: of the video, as `survey` gives them.
        """
        detector = self.keypoint_detector
        if poses is None or placement.person is None or not isinstance(detector, PersonDetector):
            return None
        image = to_network(picture, placement).to(self.device)
        found = detector.detect(image, torch.tensor([placement.person]), silhouettes=False).keypoints
        source = Keypoints(in_square(picture_points(found.points, placement), placement.picture_size))
        wanted = self._poses_to_take(poses, settings, source)
        looked_at = len(poses.points)
        if self._crops_itself(settings):  # otherwise the first person that is seen will do
            looked_at = len(surveyed_frames(video, self._surveyed_first(settings)))
        return check_people(source, wanted, poses, (placement.picture_size, video.size), looked_at)

    def place(
        self,
        picture: Tensor,
        settings: AnimationSettings,
        driving: Keypoints | None = None,
        name: str = "the picture",
    ) -> Placement:
        """What part of a picture ``(1, 3, H, W)`` in [0, 1] is used, and how it lies in the networks' image.

        Args:
            driving: for models of people, poses ``(S, K, N, 2)`` that there must be room for, as `survey` gives them.
            name: of the picture, for messages.

        Raises:
            InputError: a size that the networks cannot take, a crop that is not inside the picture, or for models of people,
                nobody in it.
        """
        picture_size = (picture.shape[-2], picture.shape[-1])
        size = self.network_size(settings)
        if isinstance(self.keypoint_detector, PersonDetector):
            poses = partial(self._poses_to_take, driving, settings) if self._crops_itself(settings) else None
            beyond = settings.scene == "driving"
            return place_person(self.keypoint_detector, picture.to(self.device), settings, size, poses, name, beyond)
        if settings.crop != "subject":
            return place_in(picture_size, size, settings.fit, settings.crop)
        whole = place_in(picture_size, size, "pad")
        with torch.inference_mode():
            points = self.detector(to_network(picture, whole).to(self.device)).points[0].cpu()  # (K, N, 2)
        box = subject_box(picture_points(points, whole), picture_size, aspect=size[1] / size[0])
        return place_in(picture_size, size, settings.fit, box)

    def _poses_to_take(self, driving: Keypoints | None, settings: AnimationSettings, source: Keypoints) -> Keypoints:
        """The poses that a source is to take for some of the driving ones, all in the squares around picture and frame."""
        if driving is None:
            return source
        first = motion_modes.best_frame(source, driving) if settings.initial_frame == "best" else 0
        return self.transfer(source, driving, settings, Keypoints(driving.points[first : first + 1]))

    def pose_in(self, picture: Tensor, name: str = "the picture") -> Keypoints | None:
        """`survey` of a single driving picture ``(1, 3, H, W)`` in [0, 1]."""
        if not isinstance(self.keypoint_detector, PersonDetector):
            return None
        keypoints, _ = find_person(self.keypoint_detector, picture.to(self.device), name)
        return Keypoints(in_square(keypoints.points, (picture.shape[-2], picture.shape[-1])))

    def place_other(
        self, picture: Tensor, placement: Placement, settings: AnimationSettings, name: str = "the picture"
    ) -> Placement:
        """How one more picture of the subject ``(1, 3, H, W)`` lies in an image of the size that the first one is placed in.

        Raises:
            InputError: for models of people, nobody in it.
        """
        size = (picture.shape[-2], picture.shape[-1])
        if not isinstance(self.keypoint_detector, PersonDetector):
            return place_in(size, placement.network_size, settings.fit)
        return place_other_person(self.keypoint_detector, picture.to(self.device), placement.network_size, name)

    def _crops_itself(self, settings: AnimationSettings) -> bool:
        """Whether a model of people may use a part of the picture: where nothing of the video's own places or scene is used."""
        moves = self.mode_of(settings) in FROM_INITIAL and settings.background == "identity"
        return moves and keeps_own_pixels(settings)

    @torch.inference_mode()
    def encode_source(self, image: Tensor, person: Region | None = None) -> Source:
        """What is computed once per source: `image` is ``(1, 3, h, w)`` in [0, 1], of a size that the networks can take.

        Args:
            person: where the person is in it, if that is known, as in `Placement`.
        """
        image, detector = image.to(self.device), self.detector
        if person is not None and isinstance(detector, PersonDetector):
            keypoints = detector.detect(image, torch.tensor([person])).keypoints
        else:
            keypoints = detector(image)
        return self.hops.backbone.encode(image, keypoints)

    @torch.inference_mode()
    def link(self, sources: Sequence[Source], background: Background = "identity") -> list[Tensor | None]:
        """Of each source, the background transform ``(1, 3, 3)`` from the first one's coordinates to its own; None: identity."""
        if background == "identity" or self.background_predictor is None:
            return [None for _ in sources]
        first, silhouette = sources[0].image, sources[0].keypoints.silhouette
        eye = torch.eye(3, device=first.device)[None]
        return [eye, *(self._background(other, first, background, silhouette) for other in sources[1:])]

    @torch.inference_mode()
    def _background(
        self,
        source: Source,
        images: Tensor,
        background: Background,
        silhouettes: Tensor | None = None,
        content: Box | None = None,
    ) -> Tensor | None:
        """The background transform ``(B, 3, 3)`` from other images ``(B, 3, h, w)`` to a source; None: identity.

        Args:
            silhouettes: of the people in the images, ``(B, 1, h, w)``, for models that look for them.
            content: of the source's image, what is no padding; None is all of it.
        """
        predictor = self.background_predictor
        if background == "identity" or predictor is None:
            return None
        if not isinstance(self.keypoint_detector, PersonDetector):
            return predictor(source.image.expand(len(images), -1, -1, -1), images)
        square = self.check_size(self.config["image_size"])
        return background_between(predictor, source, images, square, silhouettes, content)

    def driving_motion(
        self,
        source: Source,
        video: media.VideoSource,
        placement: Placement,
        settings: AnimationSettings,
        presence: Presence,
    ) -> Iterable[DrivingMotion]:
        """What is kept of a driving video, batch by batch.

        Args:
            presence: counts the frames in which people are looked for.
        """
        detector, network_size = self.detector, placement.network_size
        if not isinstance(detector, PersonDetector):
            batches = in_batches(video, self.batch_size_of(settings), network_size, settings.fit)
            return (self.analyse_driving(source, batch, settings.background) for batch in batches)

        def placed(points: Tensor, size: Size) -> Tensor:
            return network_points(points, place_in(size, network_size, settings.fit))

        def background(images: Tensor, silhouettes: Tensor | None) -> Tensor | None:
            return self._background(source, images, settings.background, silhouettes, placement.content)

        device = self.device  # which is found by a walk through all modules
        frames = (batch.to(device) for batch in driving_frames(video, self.batch_size_of(settings)))
        shapes = settings.background == "predicted" and isinstance(self.background_predictor, CameraAligner)
        return ahead(follow(detector, frames, placed, background, presence, shapes))

    @torch.inference_mode()
    def analyse_driving(self, source: Source, frames: Tensor, background: Background = "identity") -> DrivingMotion:
        """What is kept of driving frames ``(B, 3, h, w)`` in [0, 1]."""
        frames = frames.to(self.device)
        keypoints = self.detector(frames)
        return DrivingMotion(keypoints, self._background(source, frames, background, keypoints.silhouette))

    def analyse_picture(
        self,
        source: Source,
        picture: Tensor,
        placement: Placement,
        settings: AnimationSettings,
        name: str = "the picture",
    ) -> DrivingMotion:
        """What is kept of a single driving picture ``(1, 3, H, W)`` in [0, 1].

        Raises:
            InputError: for models of people, nobody in it.
        """
        size = (picture.shape[-2], picture.shape[-1])
        placed = place_in(size, placement.network_size, settings.fit)
        if not isinstance(self.keypoint_detector, PersonDetector):
            return self.analyse_driving(source, to_network(picture, placed), settings.background)
        picture = picture.to(self.device)
        keypoints, region = find_person(self.keypoint_detector, picture, name)
        silhouette = None
        if settings.background == "predicted":
            silhouette = self.keypoint_detector.detect(picture, torch.tensor([region])).silhouette
        transform = self._background(source, picture, settings.background, silhouette, placement.content)
        return DrivingMotion(Keypoints(network_points(keypoints.points, placed)), transform)

    def describe_driving(self, size: Size, settings: AnimationSettings) -> str:
        """What is used of a driving video of that (height, width), one line for people."""
        if isinstance(self.keypoint_detector, PersonDetector):
            height, width = reduced_size(size)
            return f"somebody is looked for in all of it, at {width} x {height}"
        return place_in(size, self.network_size(settings), settings.fit).describe()

    def resolved(self, settings: AnimationSettings) -> AnimationSettings:
        """The settings with what they leave to this model."""
        people = isinstance(self.keypoint_detector, PersonDetector)
        return replace(
            settings,
            mode=self.mode_of(settings),
            paste_back=settings.paste_back or (people and keeps_own_pixels(settings)),
            batch_size=self.batch_size_of(settings),
        )

    def batch_size_of(self, settings: AnimationSettings) -> int:
        """How many frames the settings compute together with this model."""
        return settings.batch_size or (PEOPLE_AT_ONCE if isinstance(self.keypoint_detector, PersonDetector) else 1)

    def mode_of(self, settings: AnimationSettings) -> Mode:
        """The mode that the settings mean with this model."""
        if settings.mode != "auto":
            return settings.mode
        return "relative" if self.keypoint_detector.parents is None else "pose"

    @torch.inference_mode()
    def transfer(
        self,
        source: Keypoints,
        driving: Keypoints,
        settings: AnimationSettings,
        initial: Keypoints | None = None,
        scale: float | None = None,
    ) -> Keypoints:
        """The driving keypoints carried over to the source's object, ``(B, K, N, 2)``.

        Args:
            source: ``(1, K, N, 2)``.
            driving: ``(B, K, N, 2)``.
            settings: `mode` and `strength`.
            initial, scale: for "relative" and "pose", see `motion_modes`; None is the first of the driving poses.
        """
        start = Keypoints(driving.points[:1]) if initial is None else initial
        parents = self.keypoint_detector.parents
        match self.mode_of(settings):
            case "pose":
                transferred = motion_modes.pose(source, driving, start, parents)
            case "relative":
                if parents is None:
                    transferred = motion_modes.relative(source, driving, start, scale)
                else:
                    transferred = motion_modes.relative_limbs(source, driving, start, parents)
            case "avd" if self.avd_network is not None:
                transferred = motion_modes.avd(self.avd_network, source, driving)
            case _:
                transferred = motion_modes.standard(driving)
        return motion_modes.with_strength(source, transferred, settings.strength)

    @torch.inference_mode()
    def select(
        self,
        source: Source,
        keypoints: Keypoints,
        background_transform: Tensor | None,
        settings: AnimationSettings,
        steady: SteadyChoice,
    ) -> Selection:
        """The time of the interpolated image to animate, for each of the poses `keypoints` ``(B, K, N, 2)``.

        Args:
            steady: carries the choice from batch to batch of one video.
        """
        count = len(keypoints.points)
        if settings.t is not None:
            return Selection.given(settings.t, count)
        if self.selector is None:
            return Selection.given(0, count)
        strategy: Strategy = settings.strategy or self.selector.default_strategy
        if strategy == "none":
            return Selection.given(0, count)
        if strategy == "fixed":
            return Selection.given(self.selector.fixed_time, count)
        times, scores = candidate_scores(
            self.selector,
            self.hops,
            self.keypoint_detector,
            source,
            keypoints,
            background_transform,
            strategy,
            settings.path,
        )
        return steady(times, scores)

    @torch.inference_mode()
    def generate(
        self,
        sources: Sequence[Source],
        keypoints: Keypoints,
        background_transform: Tensor | None = None,
        links: Sequence[Tensor | None] = (),
        t: Tensor | None = None,
        settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
    ) -> Generated:
        """The source in the poses of `keypoints`.

        Args:
            sources: the picture and, for a model with view fusion, more pictures of the subject.
            keypoints: ``(B, K, N, 2)``.
            background_transform: ``(B, 3, 3)``, coordinates of the poses to the first picture's.
            links: of the sources, from `link`.
            t: of the interpolated image to animate, ``(B,)``; None is 0, the picture itself.
            settings: `path`.
        """
        t = torch.zeros(len(keypoints.points)) if t is None else t
        backgrounds = [
            background_transform if link is None or background_transform is None else link @ background_transform
            for link in (links or [None] * len(sources))
        ]
        return self.hops.generate(sources, keypoints, backgrounds, t.to(keypoints.points), settings.path)

    @torch.inference_mode()
    def diagnose(self, source: Source, keypoints: Keypoints, generated: Generated) -> Diagnosis:
        """What can be measured of images of a source in the poses `keypoints`."""
        return diagnose(self.keypoint_detector, source, keypoints, generated)

    def scene(
        self,
        source: Source,
        initial: Keypoints,
        video: media.VideoSource,
        placement: Placement,
        settings: AnimationSettings,
    ) -> Scene | None:
        """What is behind the figure; None: its own background.

        Args:
            initial: the driving pose that the source's is compared with, ``(1, K, N, 2)``.

        Raises:
            InputError: the picture for it cannot be read, or the model is not for people.
        """
        if settings.scene == "source":
            return None
        detector, painter = self.keypoint_detector, self.image_generator
        if not isinstance(detector, PersonDetector) or not isinstance(painter, LayerPainter):
            raise InputError(NO_LAYERS.format(settings.scene))
        if settings.scene == "driving":
            part = free_part(source.keypoints.points, placement)
            frame = video.size, reduced_size(video.size)
            poses = source.keypoints, initial
            box = box_in_frame(part, placement, frame, self.mode_of(settings), poses, detector.parents)
            return DrivingScene(detector, painter, video, part, box)
        size = self.frame_size(video, placement, settings)
        box = placement.crop if settings.paste_back else (0, 0, *size)
        if settings.scene == "transparent":
            return StillScene(None, placement.content, box, size)
        picture = self.read_picture(settings.scene, settings)
        covering = place_in((picture.shape[-2], picture.shape[-1]), size, "crop")
        return StillScene(to_network(picture, covering), placement.content, box, size)

    @staticmethod
    def frame_size(video: media.VideoSource, placement: Placement, settings: AnimationSettings) -> Size:
        """(height, width) of the finished frames."""
        if settings.scene == "driving":
            return video.size
        return placement.picture_size if settings.paste_back else placement.content[2:]

    @staticmethod
    def finish(images: Tensor, picture: Tensor, placement: Placement, settings: AnimationSettings) -> Tensor:
        """Generated images ``(B, 3, h, w)`` as they are shown: without padding, or put back into the picture."""
        images = from_network(images, placement)
        return (
            paste_back(picture.to(images.device), images, placement, settings.feather)
            if settings.paste_back
            else images
        )

    def network_size(self, settings: AnimationSettings) -> tuple[int, int]:
        """(height, width) at which the networks work: the settings' size, or the model's own."""
        return self.check_size(self.config["image_size"] if settings.size is None else settings.size)

    def check_size(self, size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
        """A size as (height, width); raises InputError where the networks cannot take it."""
        multiple = self.size_multiple
        sides = (size, size) if isinstance(size, int) else size
        match sides:
            case (height, width) if all(side >= multiple and side % multiple == 0 for side in sides):
                return height, width
        raise InputError(f"size must be (height, width) in multiples of {multiple} for this model, got {sides!r}")


def max_pixels(settings: AnimationSettings) -> int:
    """The limit that the settings give, or the default."""
    return media.MAX_PIXELS if settings.max_pixels is None else settings.max_pixels
