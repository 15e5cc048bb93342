"""A model takes sources to the poses of driving frames of the same scene, and to poses between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.framing import Placement
from motion_core.selection import SteadyChoice
from motion_core.settings import Strategy
from motion_core.structures import EncodedSource, Keypoints
from motion_core.transfer import displacement

from .frames import PairFrames, shown

Background = Literal["auto", "predicted", "identity"]
BETWEEN = tuple(step / 8 for step in range(1, 8))  # times at which interpolated images are measured


@dataclass(frozen=True)
class Made:
    """One source in the pose of its driving frame.

    Attributes:
        image: ``(h, w, 3)`` uint8, without padding.
        deformation: from the source, ``(h', w', 2)``, absolute backward grid of the networks' image; None where nothing moved.
        t: of the interpolated image that was animated; None where there is no model.
    """

    image: np.ndarray
    deformation: Tensor | None = None
    t: float | None = None


def left_as_it_is(frames: PairFrames) -> Made:
    """The source itself for a result, which is what a model has to beat."""
    return Made(frames.source)


@dataclass(frozen=True)
class Moved:
    """B sources in the poses of their driving frames.

    Attributes:
        images: ``(B, 3, h, w)`` in [0, 1].
        deformation: from the source itself, of all hops, ``(B, h', w', 2)``, absolute backward grid.
        t: of the interpolated image that was animated, ``(B,)``; 0 is the source.
        source, pose, background: what they were made of, and can be made of again at other times.
    """

    images: Tensor
    deformation: Tensor
    t: Tensor
    source: EncodedSource
    pose: Keypoints
    background: Tensor | None

    def at(self, index: int, placement: Placement) -> Made:
        """One of them."""
        image = shown(self.images[index : index + 1], placement)
        return Made(image, self.deformation[index], float(self.t[index]))


@dataclass(frozen=True)
class Between:
    """B interpolated images at one time: the images ``(B, 3, h, w)``, and of each how far the keypoints found in it are from
    those that it was made for, on average, ``(B,)`` in coordinate units (2 is the width of the image)."""

    t: float
    images: Tensor
    keypoint_error: Tensor


def pair_settings(
    pipeline: MotionInterpPipeline,
    image_size: int | tuple[int, int] | None = None,
    strategy: Strategy | None = None,
    t: float | None = None,
    background: Background = "auto",
) -> AnimationSettings:
    """One person and one scene, as in reconstruction: the driving pose as it is, and the background along with it.

    Args:
        background: "auto" moves it where the model has a predictor.
    """
    if background == "auto":
        background = "identity" if pipeline.background_predictor is None else "predicted"
    return AnimationSettings(mode="standard", size=image_size, strategy=strategy, t=t, background=background)


@torch.inference_mode()
def move(pipeline: MotionInterpPipeline, sources: Tensor, driving: Tensor, settings: AnimationSettings) -> Moved:
    """Take sources to the poses of as many driving frames, both ``(B, 3, h, w)`` in [0, 1] at a size that the networks take.

    What becomes of a pair does not depend on the others.
    """
    method, device = pipeline.method, pipeline.device
    moved = method.move(sources.to(device), driving.to(device), settings)
    generated, t = moved.generated, moved.t
    deformation = generated.hops[-1].deformation
    if len(generated.hops) == 2:
        hopped = (t > 0)[:, None, None, None]
        # Composed with the identity, a motion that points outside of the source would end at its border.
        deformation = torch.where(hopped, method.backbone.composed(*generated.hops).deformation, deformation)
    return Moved(generated.image, deformation.float().cpu(), t.cpu(), moved.source, moved.poses, moved.background)


@torch.inference_mode()
def between(pipeline: MotionInterpPipeline, moved: Moved, settings: AnimationSettings) -> Iterator[Between]:
    """The interpolated images of the same pairs at the times `BETWEEN`, one time after another."""
    for t in BETWEEN:
        times = torch.full((len(moved.pose.points),), t).to(moved.pose.points)
        images, keypoints, _ = pipeline.method.interpolate(
            moved.source, moved.pose, moved.background, times, settings.path
        )
        found = pipeline.keypoint_detector(images.clamp(0, 1))
        yield Between(t, images, displacement(found, keypoints).float().cpu())


@torch.inference_mode()
def gmacs(
    pipeline: MotionInterpPipeline, source: Tensor, driving: Tensor, settings: AnimationSettings
) -> dict[str, float]:
    """Multiply-accumulates of one pair, 10^9: "source" to encode it, and of the frame "one hop" and, with a selector, "two hops".

    Choosing t is part of both. As `motion_core.variant_benchmark` counts them; the time is set from outside.
    """
    method = pipeline.method
    source, driving = source.to(pipeline.device), driving.to(pipeline.device)
    encoded = method.encode(source)

    def frame(t: float) -> None:
        motion = method.analyse(encoded, driving, settings.background)
        pose, background = motion.keypoints, motion.background_transform
        method.select(encoded, pose, background, settings, SteadyChoice(settings.hysteresis))
        method.generate([encoded], pose, [background], pose.points.new_tensor([t]), settings.path)

    work = {"source": lambda: method.encode(source), "one hop": lambda: frame(0.0)}
    if pipeline.selector is not None or settings.t:
        work["two hops"] = lambda: frame(0.5)
    counted = {}
    for name, run in work.items():
        with FlopCounterMode(display=False) as counter:
            run()
        counted[name] = counter.get_total_flops() / 2e9
    return counted
