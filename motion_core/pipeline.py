"""The pipeline: a source picture and a driving video in, an animated video out.

Read `MotionInterpPipeline.stream` first: it is the method from beginning to end, in numbered stages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import media
from .animation import AnimatedFrame, Animation, AnimationOutput, InterpolationOutput
from .backbone import Source
from .background import linked
from .check import Check
from .components import COMPONENTS, OPTIONAL, check_components
from .diagnosis import diagnose
from .driving import check_video, initial_keypoints, open_driving, smoothed
from .errors import InputError
from .figure import cut_out
from .framing import Placement, Size, check_box, from_network, paste_back, preview
from .geometry import fold_over_share
from .interpolation import requested_times
from .key_frames import KeyFrames
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
from .people import Presence
from .saved_pipeline import SavedPipeline
from .scene import scene_of
from .selection import FrameSelection
from .settings import AnimationSettings, PictureSettings, scene_file
from .structures import DrivingMotion, Keypoints
from .subjects import Objects, People
from .transfer import Composed, MotionTransfer

logger = logging.getLogger(__name__)

Callback = Callable[["MotionInterpPipeline", int, int, dict[str, Tensor]], dict[str, Tensor] | None]


class MotionInterpPipeline(SavedPipeline):
    """Animates the object in a picture with the motion of a video.

    Args:
        keypoint_detector, dense_motion_network, image_generator: the backbone; a PersonDetector, a LayoutNetwork and a
            LayerPainter are the layered one, for people.
        avd_network: for ``mode="avd"``.
        background_predictor: for ``background="predicted"``.
        selector: chooses the interpolated image that is animated, in all variants but "tpsmm".
        view_fusion: fuses the views, in variant "v2".
        variant: what runs. "tpsmm": the picture is animated; "int", "int_bt", "full": an interpolated image is, if the selector
            prefers one (they differ in how they were trained); "v2": the views of both are fused.
        image_size: side, or (height, width), that the networks were trained at and that pictures are fitted to; the layered
            backbone only enlarges smaller ones to it.

    Raises:
        ValueError: components that do not belong together, or an image size that they cannot take.
    """

    keypoint_detector: KeypointDetector | PersonDetector
    dense_motion_network: DenseMotionNetwork | LayoutNetwork
    image_generator: ImageGenerator | LayerPainter
    avd_network: AVDNetwork | None
    background_predictor: BackgroundPredictor | CameraAligner | None
    selector: OptimalInterpolationSelector | None
    view_fusion: ViewFusion | None
    _optional_components = list(OPTIONAL)
    _callback_tensor_inputs = ["frames"]

    def __init__(
        self,
        keypoint_detector: KeypointDetector | PersonDetector,
        dense_motion_network: DenseMotionNetwork | LayoutNetwork,
        image_generator: ImageGenerator | LayerPainter,
        avd_network: AVDNetwork | None = None,
        background_predictor: BackgroundPredictor | CameraAligner | None = None,
        image_size: int | tuple[int, int] | list[int] = 256,  # JSON has no tuples
        selector: OptimalInterpolationSelector | None = None,
        view_fusion: ViewFusion | None = None,
        variant: str = "tpsmm",  # a Variant; diffusers cannot read a Literal
    ) -> None:
        super().__init__()
        self.register_modules(
            keypoint_detector=keypoint_detector,
            dense_motion_network=dense_motion_network,
            image_generator=image_generator,
            avd_network=avd_network,
            background_predictor=background_predictor,
            selector=selector,
            view_fusion=view_fusion,
        )
        check_components(self.components, variant)
        self.register_to_config(image_size=self.check_size(image_size), variant=variant)
        self._interrupt = False

    @property
    def interrupt(self) -> bool:
        """Set it to True, from a callback or another thread, to stop; the frames made so far are kept."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, value: bool) -> None:
        self._interrupt = value

    def __call__(
        self,
        source_image: media.ImageSource,
        driving_video: media.VideoInput,
        settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
        *,
        source_images: Sequence[media.ImageSource] = (),
        callback_on_step_end: Callback | None = None,
        **changes: Any,
    ) -> AnimationOutput:
        """Animate a picture and return all frames at once; `stream` does the same and keeps none.

        Args:
            source_image: path, PIL image, ``(H, W, 3)`` array (uint8, or float in [0, 1]) or ``(3, H, W)`` tensor in [0, 1].
            driving_video: path of a video, GIF or folder of frames, ``(T, H, W, 3)`` array, ``(T, 3, H, W)`` tensor, or a
                list of pictures.
            settings: what can be chosen, see `AnimationSettings`.
            source_images: more pictures of the same subject, for models of variant "v2": what one does not show, another may.
            callback_on_step_end: called after each batch as ``callback(pipe, step, frame_index, {"frames": tensor})`` with
                frames ``(B, 3, H, W)`` in [0, 1]; it may return the dict with other frames, and set ``pipe.interrupt``.
            **changes: single settings by their names, such as ``mode="pose"``, in place of those in `settings`.

        Raises:
            InputError: something given cannot be used; the message says what, and by which rule.
            TypeError: a setting that does not exist.

        Example:
            >>> pipe = MotionInterpPipeline.from_pretrained("path-or-hub-id")  # doctest: +SKIP
            >>> pipe(source_image="me.jpg", driving_video="dance.mp4").save("out.mp4")  # doctest: +SKIP
        """
        animation = self.stream(
            source_image,
            driving_video,
            settings,
            source_images=source_images,
            callback_on_step_end=callback_on_step_end,
            **changes,
        )
        frames = list(animation)
        detector = self.keypoint_detector
        images = [frame.image for frame in frames] or np.zeros((0, *animation.frame_size, 3), np.uint8)
        keypoints = [frame.keypoints for frame in frames] or np.zeros(
            (0, len(detector.parents or range(detector.num_splines)), detector.points_per_spline, 2), np.float32
        )
        return AnimationOutput(
            np.asarray(images),  # (T, H, W, 3)
            np.asarray(keypoints),  # (T, K, N, 2)
            animation,
            tuple(frame.selection for frame in frames),
            tuple(frame.diagnosis for frame in frames if frame.diagnosis is not None),
            self._interrupt,
        )

    def stream(
        self,
        source_image: media.ImageSource,
        driving_video: media.VideoInput,
        settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
        *,
        source_images: Sequence[media.ImageSource] = (),
        callback_on_step_end: Callback | None = None,
        skip_frames: int = 0,
        **changes: Any,
    ) -> Animation:
        """An animation whose frames are computed as they are asked for; nothing of a frame stays in memory.

        Only with ``initial_frame`` other than 0 is the video read to its end before the first frame is made, and then only
        its keypoints are kept.

        Args:
            source_image, driving_video, settings, source_images, callback_on_step_end, **changes: as in `__call__`.
            skip_frames: leave out this many frames at the beginning; the others are what they would be without it.

        Raises:
            InputError: as in `__call__`. What can be checked is checked here, before any frame is computed.
        """
        # 0. Inputs
        settings = self.resolved(settings, **changes)
        if source_images and self.view_fusion is None:
            raise InputError(f"source_images need a model of variant 'v2', this one is {self.config['variant']!r}")
        behind = next((self.read_picture(file, settings) for file in scene_file(settings)), None)  # (1, 3, h, w)
        picture = self.read_picture(source_image, settings)  # (1, 3, H, W)
        if isinstance(settings.crop, tuple):
            check_box(settings.crop, (picture.shape[-2], picture.shape[-1]))
        more = [self.read_picture(image, settings) for image in source_images]
        video = open_driving(driving_video, settings)
        check_video(video, settings)
        method, subject = self.method, self.subject
        poses = subject.survey(video, settings)  # (S, K, N, 2)
        placement = self.place(picture, settings, poses, _name(source_image, "source_image"))
        others = [
            (other, subject.place_other(other, placement, settings, _name(image, "source_images")))
            for other, image in zip(more, source_images, strict=True)
        ]
        size = self.frame_size(video, placement, settings)
        presence = Presence()
        self._interrupt = False

        @cache
        @torch.inference_mode()
        def encoded() -> Source:
            return subject.encode(picture, placement)

        @torch.inference_mode()
        def check() -> Check | None:
            return subject.check(encoded(), placement, video, poses, settings)

        @torch.inference_mode()
        def frames() -> Iterator[AnimatedFrame]:
            # 1. The source, once
            threads = torch.get_num_threads()
            source = encoded()
            sources = [source, *(subject.encode(other, place) for other, place in others)]
            links = method.links(sources, settings.background)  # (1, 3, 3) each

            # 2. Driving keypoints
            driving = subject.analyse_video(source, video, placement, settings, presence)
            driving = smoothed(driving, settings, float(video.frame_rate))
            initial, driving = initial_keypoints(source.keypoints, driving, settings)  # (1, K, N, 2)
            painter: Any = self.image_generator  # a LayerPainter, where there is a scene
            scene = scene_of(settings, method, painter, (source, initial), video, placement, size, behind)

            @torch.inference_mode()
            def moved() -> Iterator[tuple[int, DrivingMotion, Keypoints, list[FrameSelection], Composed | None]]:
                key_frames = KeyFrames(method, source, settings)
                done = 0
                for motion in driving:
                    if self._interrupt:
                        return
                    # 3. Transferred keypoints
                    keypoints = method.transfer(source.keypoints, motion.keypoints, settings, initial)  # (B, K, N, 2)
                    backgrounds = linked(links, motion.background_transform)  # (B, 3, 3) each

                    # 4. The optimal interpolated image, which depends on the frames before
                    keys = key_frames.of(keypoints, backgrounds[0])  # B

                    # 5. Dense motion, in one hop or two, and what is seen of the source
                    composed, count = None, len(keys)
                    if done + count > skip_frames:
                        composed = method.compose(sources, keypoints, backgrounds, key_frames.first_hop(keys))
                    yield done, motion, keypoints, [key.selection for key in keys], composed
                    done += count

            side_by_side = subject.beside(moved(), threads)
            for step, (done, motion, keypoints, selections, composed) in enumerate(side_by_side):
                if self._interrupt:
                    return
                if composed is not None:
                    # 6. What is not seen, and frames
                    generated = method.paint(composed)
                    if scene is None:
                        images = self.finish(generated.image, picture, placement, settings)  # (B, 3, H, W)
                    else:
                        images = scene.frames(cut_out(generated), done, motion.hidden)  # (B, 3 or 4, H, W)
                    if callback_on_step_end is not None:
                        changed = callback_on_step_end(self, step, done, {"frames": images}) or {}
                        images = changed.get("frames", images)
                    count = len(selections)
                    measured = diagnose(method, source, keypoints, generated) if settings.diagnose else [None] * count
                    points = keypoints.points.float().cpu().numpy()  # (B, K, N, 2)
                    made = zip(media.to_uint8(images), points, selections, measured, strict=True)
                    yield from [AnimatedFrame(*parts) for parts in made][max(skip_frames - done, 0) :]

        files = (source_image, driving_video, *source_images, *scene_file(settings))
        return Animation(
            size,
            placement,
            video,
            self.model_name,
            self._with_progress(frames(), video, skip_frames),
            tuple(Path(given) for given in files if isinstance(given, str | PathLike)),
            presence,
            transparent=settings.scene == "transparent",
            check=check,
        )

    @torch.inference_mode()
    def interpolate(
        self,
        source_image: media.ImageSource,
        driving_image: media.ImageSource,
        times: Sequence[float] | None = None,
        settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
        *,
        num: int | None = None,
        **changes: Any,
    ) -> InterpolationOutput:
        """Images at any times between a source and a driving pose, of the same or of different identities.

        Args:
            source_image, driving_image: pictures, as in `__call__`.
            times: in [0, 1], in any order, the same ones as often as wanted; what comes out at one does not depend on the
                others (with ``batch_size=1``, to the bit).
            settings, **changes: as in `__call__`; `mode` is "standard", which "auto" means here, "pose" or "avd".
            num: instead of `times`, this many equal steps from 0 to 1, both included; 2 or more.

        Raises:
            InputError: something given cannot be used; the message says what, and by which rule.
            TypeError: a setting that does not exist.
        """
        # 0. Inputs
        chosen = requested_times(times, num)  # (M,)
        settings = replace(settings, **changes)
        if settings.mode == "auto":
            settings = replace(settings, mode="standard")
        if settings.scene != "source":
            raise InputError(f"scene {settings.scene!r} needs a video: animate, or leave it out")
        if settings.mode == "relative":
            raise InputError("mode 'relative' needs a video: interpolate with 'standard', 'pose' or 'avd'")
        settings = self.resolved(settings)
        picture, driving = (self.read_picture(given, settings) for given in (source_image, driving_image))
        names = _name(source_image, "source_image"), _name(driving_image, "driving_image")
        method, subject = self.method, self.subject
        placement = self.place(picture, settings, subject.pose_in(driving, names[1]), names[0])

        # 1. Both ends, once
        source = subject.encode(picture, placement)
        motion = subject.analyse_picture(source, driving, placement, settings, names[1])
        pose = method.transfer(source.keypoints, motion.keypoints, settings)  # (1, K, N, 2)

        images, points, folds = [], [], []
        for t in chosen.split(settings.batch_size or 1):
            # 2. Keypoints, background and dense motion at t, and the image
            frames, keypoints, dense = method.interpolate(
                source, pose, motion.background_transform, t.to(pose.points), settings.path
            )  # (B, 3, h, w), (B, K, N, 2)
            images.append(media.to_uint8(self.finish(frames, picture, placement, settings)))
            points.append(keypoints.points.cpu().numpy())
            folds.append(fold_over_share(dense.deformation).cpu().numpy())
        return InterpolationOutput(
            np.concatenate(images), chosen.numpy(), np.concatenate(points), np.concatenate(folds), self.model_name
        )

    def preview(
        self,
        source_image: media.ImageSource,
        settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
        **changes: Any,
    ) -> np.ndarray:
        """The picture ``(H, W, 3)`` uint8, dimmed where it will not be used; arguments as in `__call__`."""
        settings = replace(settings, **changes)
        picture = self.read_picture(source_image, settings)
        return media.to_uint8(preview(picture, self.place(picture, settings)))[0]

    # What the recipes above are made of

    @property
    def method(self) -> MotionTransfer:
        """The method over this pipeline's networks."""
        people = isinstance(self.keypoint_detector, PersonDetector)
        size = self.check_size(self.config["image_size"]) if people else None
        networks = {name: getattr(self, name) for name in COMPONENTS}
        return MotionTransfer(networks, background_size=size, backend=self.backend)

    @property
    def subject(self) -> Objects | People:
        """What the pictures of this model show."""
        kind = People if isinstance(self.keypoint_detector, PersonDetector) else Objects
        return kind(self.method, self.device)

    def resolved(self, settings: AnimationSettings, **changes: Any) -> AnimationSettings:
        """The settings with single ones changed, and with what they leave to this model.

        Raises:
            InputError: they ask for what this model has not, or for a size that its networks cannot take.
            TypeError: a setting that does not exist.
        """
        settings = replace(settings, **changes)
        self.network_size(settings)
        media.parse_color(settings.matte, "matte")
        if settings.mode == "avd" and self.avd_network is None:
            raise InputError(
                "mode 'avd' needs a model with an AVD network; this one has none: use 'relative' or 'standard'"
            )
        if settings.scene != "source" and not isinstance(self.image_generator, LayerPainter):
            raise InputError(
                f"scene {settings.scene!r} needs a model that makes people of layers, this one does not tell them from their "
                "background"
            )
        if settings.subject is not None and not isinstance(self.keypoint_detector, PersonDetector):
            raise InputError(
                "subject needs a model that looks for people; this one does not: leave it out, or give a crop"
            )
        if settings.strategy not in (None, "none") and self.selector is None:
            raise InputError(
                f"strategy {settings.strategy!r} needs a model with a selector; this one is of variant "
                f"{self.config['variant']!r}: leave it out, or give a time t"
            )
        if settings.background == "predicted" and self.background_predictor is None:
            raise InputError("background 'predicted' needs a model with a background predictor; this one has none")
        subject = self.subject
        return replace(
            settings,
            mode=subject.method.mode_of(settings),
            paste_back=settings.paste_back or subject.pastes_back(settings),
            batch_size=settings.batch_size or subject.batch_size,
        )

    @staticmethod
    def read_picture(source: media.ImageSource, settings: PictureSettings) -> Tensor:
        """A picture of any kind as ``(1, 3, H, W)`` in [0, 1], as the settings say."""
        return media.image_tensor(source, background=settings.matte, max_pixels=settings.max_pixels)

    def place(
        self,
        picture: Tensor,
        settings: AnimationSettings,
        poses: Keypoints | None = None,
        name: str = "the picture",
    ) -> Placement:
        """What part of a picture ``(1, 3, H, W)`` in [0, 1] is used, and how it lies in the networks' image.

        Args:
            poses: for models of people, ``(S, K, N, 2)`` that there must be room for, as `subject.survey` gives them.
            name: of the picture, for messages.

        Raises:
            InputError: a size that the networks cannot take, a crop that is not inside the picture, or for models of people,
                nobody in it.
        """
        return self.subject.place(picture, self.network_size(settings), settings, poses, name)

    @staticmethod
    def frame_size(video: media.VideoSource, placement: Placement, settings: AnimationSettings) -> Size:
        """(height, width) of the finished frames."""
        if settings.scene == "driving":
            return video.size
        return placement.picture_size if settings.paste_back else placement.content[2:]

    @staticmethod
    def finish(images: Tensor, picture: Tensor, placement: Placement, settings: PictureSettings) -> Tensor:
        """Generated images ``(B, 3, h, w)`` as they are shown: without padding, or put back into the picture."""
        images = from_network(images, placement)  # (B, 3, content_h, content_w)
        if not settings.paste_back:
            return images
        return paste_back(picture.to(images.device), images, placement, settings.feather)  # (B, 3, H, W)

    @property
    def size_multiple(self) -> int:
        """Height and width of the networks' images must be multiples of this."""
        networks = (self.keypoint_detector, self.dense_motion_network, self.image_generator)
        return max(network.size_multiple for network in networks)

    def network_size(self, settings: PictureSettings) -> Size:
        """(height, width) at which the networks work: the settings' size, or the model's own."""
        return self.check_size(self.config["image_size"] if settings.size is None else settings.size)

    def check_size(self, size: int | tuple[int, int] | list[int]) -> Size:
        """A size as (height, width); raises InputError where the networks cannot take it."""
        multiple = self.size_multiple
        sides = (size, size) if isinstance(size, int) else size
        match sides:
            case (int(height), int(width)) if all(side >= multiple and side % multiple == 0 for side in sides):
                return height, width
        raise InputError(f"size must be (height, width) in multiples of {multiple} for this model, got {sides!r}")

    def _with_progress(
        self, frames: Iterator[AnimatedFrame], video: media.VideoSource, done: int
    ) -> Generator[AnimatedFrame, None, None]:
        config = {"desc": "frames", "unit": "frame", **getattr(self, "_progress_bar_config", {})}
        yield from tqdm(frames, total=video.frame_count, initial=done, **config)
        if video.damaged:
            logger.warning("%s: %s", video.name, video.describe_damage())


def _name(given: media.ImageSource, argument: str) -> str:
    """A picture's name in messages: its file's, or the argument's."""
    return str(given) if isinstance(given, str | PathLike) else argument
