"""The pipeline: a source picture and a driving video in, an animated video out.

Read `MotionInterpPipeline.stream` first: it is the method from beginning to end, in numbered stages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import media, motion_modes
from .animation import AnimatedFrame, Animation, AnimationOutput, InterpolationOutput
from .animation import frames as animated_frames
from .components import OPTIONAL, check_components
from .driving import check_video, initial_keypoints, smoothed
from .errors import InputError
from .figure import cut_out
from .framing import check_box, preview, to_network
from .geometry import fold_over_share
from .interpolation import requested_times
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
from .selection import SteadyChoice
from .settings import AnimationSettings, KeypointPath, Mode, scene_file
from .stages import NO_LAYERS, MotionStages, max_pixels

logger = logging.getLogger(__name__)

Callback = Callable[["MotionInterpPipeline", int, int, dict[str, Tensor]], dict[str, Tensor] | None]


class MotionInterpPipeline(MotionStages):
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
        mode: Mode = AnimationSettings.mode,
        *,
        source_images: Sequence[media.ImageSource] = (),
        callback_on_step_end: Callback | None = None,
        **settings: Any,
    ) -> AnimationOutput:
        """Animate a picture and return all frames at once; `stream` does the same and keeps none.

        Args:
            source_image: path, PIL image, ``(H, W, 3)`` array (uint8, or float in [0, 1]) or ``(3, H, W)`` tensor in [0, 1].
            driving_video: path of a video, GIF or folder of frames, ``(T, H, W, 3)`` array, ``(T, 3, H, W)`` tensor, or a
                list of pictures.
            source_images: more pictures of the same subject, for models of variant "v2": what one does not show, another may.
            mode, **settings: the attributes of `AnimationSettings`, such as ``fit="crop"``.
            callback_on_step_end: called after each batch as ``callback(pipe, step, frame_index, {"frames": tensor})`` with
                frames ``(B, 3, H, W)`` in [0, 1]; it may return the dict with other frames, and set ``pipe.interrupt``.

        Raises:
            InputError: something given cannot be used; the message says what, and by which rule.
            TypeError: a setting that does not exist.

        Example:
            >>> pipe = MotionInterpPipeline.from_pretrained("path-or-hub-id")  # doctest: +SKIP
            >>> pipe(source_image="me.jpg", driving_video="dance.mp4").save("out.mp4")  # doctest: +SKIP
        """
        chosen = AnimationSettings(mode=mode, **settings)
        animation = self.stream(source_image, driving_video, chosen, callback_on_step_end, source_images=source_images)
        frames = list(animation)
        detector = self.keypoint_detector
        images = [frame.image for frame in frames]
        keypoints = [frame.keypoints for frame in frames]
        return AnimationOutput(
            np.stack(images) if frames else np.zeros((0, *animation.frame_size, 3), np.uint8),
            np.stack(keypoints)
            if frames
            else np.zeros((0, detector.num_splines, detector.points_per_spline, 2), np.float32),
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
        callback_on_step_end: Callback | None = None,
        skip_frames: int = 0,
        source_images: Sequence[media.ImageSource] = (),
    ) -> Animation:
        """An animation whose frames are computed as they are asked for; nothing of a frame stays in memory.

        Only with ``initial_frame`` other than 0 is the video read to its end before the first frame is made, and then only
        its keypoints are kept.

        Args:
            source_image, driving_video, callback_on_step_end, source_images: as in `__call__`.
            settings: what can be chosen.
            skip_frames: leave out this many frames at the beginning; the others are what they would be without it.

        Raises:
            InputError: as in `__call__`. What can be checked is checked here, before any frame is computed.
        """
        # 0. Inputs
        settings = self.resolved(settings)
        self.check_settings(settings)
        if source_images and self.view_fusion is None:
            raise InputError(f"source_images need a model of variant 'v2', this one is {self.config['variant']!r}")
        picture = self.read_picture(source_image, settings)  # (1, 3, H, W)
        if isinstance(settings.crop, tuple):
            check_box(settings.crop, (picture.shape[-2], picture.shape[-1]))
        more = [self.read_picture(image, settings) for image in source_images]
        video = media.open_video(
            driving_video,
            start=settings.start,
            end=settings.end,
            frame_rate=settings.frame_rate,
            max_pixels=max_pixels(settings),
            audio_track=settings.audio_track,
            on_damage=settings.on_damage,
        )
        check_video(video, settings)
        poses = self.survey(video, settings)
        placement = self.place(picture, settings, poses, _name(source_image, "source_image"))
        others = [
            (other, self.place_other(other, placement, settings, _name(image, "source_images")))
            for other, image in zip(more, source_images, strict=True)
        ]
        presence = Presence()
        self._interrupt = False

        def frames() -> Iterator[AnimatedFrame]:
            # 1. The source, once
            sources = [
                self.encode_source(to_network(each, place), place.person)
                for each, place in [(picture, placement), *others]
            ]
            source = sources[0]
            links = self.link(sources, settings.background)

            # 2. Driving keypoints
            driving = self.driving_motion(source, video, placement, settings, presence)
            driving = smoothed(driving, settings, float(video.frame_rate))
            initial, driving = initial_keypoints(source.keypoints, driving, settings)
            scale = motion_modes.relative_scale(source.keypoints, initial)
            scene = self.scene(source, initial, video, placement, settings)

            steady = SteadyChoice(settings.hysteresis)
            done = 0
            for step, motion in enumerate(driving):
                count = len(motion.keypoints.points)
                skipped = min(max(skip_frames - done, 0), count)
                if self._interrupt:
                    return

                # 3. Transferred keypoints
                keypoints = self.transfer(source.keypoints, motion.keypoints, settings, initial, scale)
                transform = motion.background_transform

                # 4. The optimal interpolated image, which depends on the frames before
                selection = self.select(source, keypoints, transform, settings, steady)

                if skipped < count:
                    # 5. Dense motion and image, in one hop or two
                    generated = self.generate(sources, keypoints, transform, links, selection.t, settings)

                    # 6. Frames
                    if scene is None:
                        images = self.finish(generated.image, picture, placement, settings)  # (B, 3, H, W)
                    else:
                        images = scene.frames(cut_out(generated), done)  # (B, 3 or 4, H, W)
                    if callback_on_step_end is not None:
                        images = (callback_on_step_end(self, step, done, {"frames": images}) or {}).get(
                            "frames", images
                        )
                    diagnosis = self.diagnose(source, keypoints, generated) if settings.diagnose else None
                    made = animated_frames(media.to_uint8(images), keypoints, selection, diagnosis)
                    yield from made[skipped:]
                done += count

        return Animation(
            self.frame_size(video, placement, settings),
            placement,
            video,
            self.model_name,
            self._with_progress(frames(), video, skip_frames),
            tuple(
                Path(given)
                for given in (source_image, driving_video, *source_images, *scene_file(settings))
                if isinstance(given, str | PathLike)
            ),
            presence,
            transparent=settings.scene == "transparent",
            check=partial(self.check, picture, placement, video, poses, settings),
        )

    @torch.inference_mode()
    def interpolate(
        self,
        source_image: media.ImageSource,
        driving_image: media.ImageSource,
        times: Sequence[float] | None = None,
        *,
        num: int | None = None,
        path: KeypointPath = AnimationSettings.path,
        settings: AnimationSettings = AnimationSettings(mode="standard"),  # noqa: B008 it is frozen
    ) -> InterpolationOutput:
        """Images at any times between a source and a driving pose, of the same or of different identities.

        Args:
            source_image, driving_image: pictures, as in `__call__`.
            times: in [0, 1], in any order, the same ones as often as wanted; what comes out at one does not depend on the
                others (with ``batch_size=1``, to the bit).
            num: instead of `times`, this many equal steps from 0 to 1, both included; 2 or more.
            path: of the keypoints, see `motion_core.interpolation.interpolate_keypoints`.
            settings: as for an animation; `mode` is "standard", which "auto" means here, "pose" or "avd".

        Raises:
            InputError: something given cannot be used; the message says what, and by which rule.
        """
        # 0. Inputs
        chosen = requested_times(times, num)  # (M,)
        if settings.mode == "auto":
            settings = replace(settings, mode="standard")
        if settings.scene != "source":
            raise InputError(f"scene {settings.scene!r} needs a video: animate, or leave it out")
        if settings.mode == "relative":
            raise InputError("mode 'relative' needs a video: interpolate with 'standard', 'pose' or 'avd'")
        settings = self.resolved(settings)
        self.check_settings(settings)
        picture, driving_picture = (self.read_picture(given, settings) for given in (source_image, driving_image))
        names = _name(source_image, "source_image"), _name(driving_image, "driving_image")
        placement = self.place(picture, settings, self.pose_in(driving_picture, names[1]), names[0])

        # 1. Both ends, once
        source = self.encode_source(to_network(picture, placement), placement.person)
        motion = self.analyse_picture(source, driving_picture, placement, settings, names[1])
        end = self.transfer(source.keypoints, motion.keypoints, settings)  # (1, K, N, 2)

        images, points, folds = [], [], []
        for t in chosen.split(self.batch_size_of(settings)):
            # 2. Keypoints, background and dense motion at t, and the image
            frames, keypoints, dense = self.hops.interpolate(
                source, end, motion.background_transform, t.to(end.points), path
            )
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
    ) -> np.ndarray:
        """The picture ``(H, W, 3)`` uint8, dimmed where it will not be used."""
        picture = self.read_picture(source_image, settings)
        return media.to_uint8(preview(picture, self.place(picture, settings)))[0]

    def _with_progress(
        self, frames: Iterator[AnimatedFrame], video: media.VideoSource, done: int
    ) -> Generator[AnimatedFrame, None, None]:
        config = {"desc": "frames", "unit": "frame", **getattr(self, "_progress_bar_config", {})}
        yield from tqdm(frames, total=video.frame_count, initial=done, **config)
        if video.damaged:
            logger.warning("%s: %s", video.name, video.describe_damage())

    def check_settings(self, settings: AnimationSettings) -> None:
        """Raise InputError where settings ask for what this model has not, or for a size that its networks cannot take."""
        self.network_size(settings)
        media.parse_color(settings.matte, "matte")
        if settings.mode == "avd" and self.avd_network is None:
            raise InputError(
                "mode 'avd' needs a model with an AVD network; this one has none: use 'relative' or 'standard'"
            )
        if settings.scene != "source" and not isinstance(self.image_generator, LayerPainter):
            raise InputError(NO_LAYERS.format(settings.scene))
        for path in scene_file(settings):
            media.load_image(path, max_pixels=max_pixels(settings))
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


def _name(given: media.ImageSource, argument: str) -> str:
    """A picture's name in messages: its file's, or the argument's."""
    return str(given) if isinstance(given, str | PathLike) else argument
