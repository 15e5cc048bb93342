"""The stages that the pipeline's recipes are made of: each takes typed values and gives typed values, and can be used alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import media, motion_modes
from .diagnosis import Diagnosis, diagnose
from .errors import InputError
from .framing import Placement, from_network, paste_back, picture_points, place_in, subject_box, to_network
from .backbone import Source, backbone_of
from .hops import Generated, Hops
from .networks.tpsmm.avd_network import AVDNetwork
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .networks.view_fusion import ViewFusion
from .saved_pipeline import SavedPipeline
from .selection import Selection, SteadyChoice, candidate_scores
from .settings import AnimationSettings, Background, Mode
from .structures import DrivingMotion, Keypoints


class MotionStages(SavedPipeline):
    """The networks of a pipeline, and what each stage does with them."""

    keypoint_detector: KeypointDetector
    dense_motion_network: DenseMotionNetwork
    image_generator: ImageGenerator
    avd_network: AVDNetwork | None
    background_predictor: BackgroundPredictor | None
    selector: OptimalInterpolationSelector | None
    view_fusion: ViewFusion | None

    @property
    def hops(self) -> Hops:
        """The networks that take a source to a pose, in one hop or two."""
        return Hops(backbone_of(self.dense_motion_network, self.image_generator), self.view_fusion)

    @property
    def size_multiple(self) -> int:
        """Height and width of the networks' images must be multiples of this."""
        networks = (self.keypoint_detector, self.dense_motion_network, self.image_generator)
        return max(network.size_multiple for network in networks)

    def read_picture(self, source: media.ImageSource, settings: AnimationSettings) -> Tensor:
        """A picture of any kind as ``(1, 3, H, W)`` in [0, 1], as the settings say."""
        return media.image_tensor(source, background=settings.matte, max_pixels=max_pixels(settings))

    def place(self, picture: Tensor, settings: AnimationSettings) -> Placement:
        """What part of a picture ``(1, 3, H, W)`` in [0, 1] is used, and how it lies in the networks' image.

        Raises:
            InputError: a size that the networks cannot take, or a crop that is not inside the picture.
        """
        size = self.network_size(settings)
        picture_size = (picture.shape[-2], picture.shape[-1])
        if settings.crop != "subject":
            return place_in(picture_size, size, settings.fit, settings.crop)
        whole = place_in(picture_size, size, "pad")
        with torch.inference_mode():
            points = self.keypoint_detector(to_network(picture, whole).to(self.device)).points[0].cpu()  # (K, N, 2)
        box = subject_box(picture_points(points, whole), picture_size, aspect=size[1] / size[0])
        return place_in(picture_size, size, settings.fit, box)

    @torch.inference_mode()
    def encode_source(self, image: Tensor) -> Source:
        """What is computed once per source: `image` is ``(1, 3, h, w)`` in [0, 1], of a size that the networks can take."""
        image = image.to(self.device)
        return self.hops.backbone.encode(image, self.keypoint_detector(image))

    @torch.inference_mode()
    def link(self, sources: Sequence[Source], background: Background = "identity") -> list[Tensor | None]:
        """Of each source, the background transform ``(1, 3, 3)`` from the first one's coordinates to its own; None: identity."""
        if background == "identity" or self.background_predictor is None:
            return [None for _ in sources]
        first = sources[0].image
        eye = torch.eye(3, device=first.device)[None]
        return [eye, *(self.background_predictor(other.image, first) for other in sources[1:])]

    @torch.inference_mode()
    def analyse_driving(
        self, source: Source, frames: Tensor, background: Background = "identity"
    ) -> DrivingMotion:
        """What is kept of driving frames ``(B, 3, h, w)`` in [0, 1]."""
        frames = frames.to(self.device)
        transform = None
        if background == "predicted" and self.background_predictor is not None:
            image = source.image.expand(frames.shape[0], -1, -1, -1)
            transform = self.background_predictor(image, frames)
        return DrivingMotion(self.keypoint_detector(frames), transform)

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
        strategy = settings.strategy or "learned"
        if settings.t is not None:
            return Selection.given(settings.t, count)
        if self.selector is None or strategy == "none":
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
