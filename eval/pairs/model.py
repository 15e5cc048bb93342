"""A model takes the sources of pairs to their driving frames' poses, and to poses between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.benchmark import computed_by, gmacs_of
from motion_core.diagnosis import watch_fusion
from motion_core.hardware import synchronize
from motion_core.networks.layered.person_detector import PersonDetector
from motion_core.networks.view_fusion import ViewKind
from motion_core.selection import SteadyChoice
from motion_core.settings import Strategy
from motion_core.transfer import Moved, displacement

from .frames import PairFrames, shown

Background = Literal["auto", "predicted", "identity"]
VIEWS = ("source", "photos", "interpolated", "composed")  # that a fusion has
BETWEEN = tuple(step / 8 for step in range(1, 8))  # times at which interpolated images are measured


@dataclass(frozen=True)
class Result:
    """One source in the pose of its driving frame.

    Attributes:
        image: ``(h, w, 3)`` uint8, without padding.
        deformation: from the source, ``(h', w', 2)``, absolute backward grid of the networks' image; None where nothing moved.
        t: of the interpolated image that was animated; None where there is no model.
        shares: of each of `VIEWS`, what a fusion took from it, averaged over the pixels; they sum to 1. None without one.
    """

    image: np.ndarray
    deformation: Tensor | None = None
    t: float | None = None
    shares: dict[str, float] | None = None


@dataclass(frozen=True)
class MovedPairs(Moved):
    """Pairs' sources in their driving poses; `shares` of each as in `Result`."""

    shares: Sequence[dict[str, float] | None]


def copied(frames: PairFrames) -> Result:
    """The source itself for a result, which is what a model has to beat."""
    return Result(frames.source)


def pair_settings(
    pipeline: MotionInterpPipeline,
    image_size: int | tuple[int, int] | None = None,
    strategy: Strategy | None = None,
    t: float | None = None,
    background: Background = "auto",
) -> AnimationSettings:
    """The settings for one person and one scene, as in reconstruction: the driving pose as it is, and the background with it.

    Args:
        background: "auto" moves it where the model has a predictor.
    """
    if background == "auto":
        background = "identity" if pipeline.background_predictor is None else "predicted"
    return AnimationSettings(mode="standard", size=image_size, strategy=strategy, t=t, background=background)


class PairModel:
    """A pipeline with settings; it keeps the time that it takes.

    Attributes:
        size: (h, w) of the networks' images.

    Raises:
        InputError: settings that the pipeline cannot take.
    """

    def __init__(self, pipeline: MotionInterpPipeline, settings: AnimationSettings) -> None:
        self._pipeline, self._settings = pipeline, settings
        self.size = pipeline.network_size(settings)
        pipeline.resolved(settings)
        detector = pipeline.keypoint_detector
        self._look = detector.carefully if isinstance(detector, PersonDetector) else None  # as pictures of people are
        self._seconds: list[tuple[int, float]] = []  # pairs of each batch, and the time it took
        self._first: tuple[Tensor, Tensor] | None = None  # source and driving image of the first pair

    @torch.inference_mode()
    def move(self, pairs: Sequence[PairFrames]) -> MovedPairs:
        """The sources in their driving poses. The result of a pair does not depend on the others."""
        each = zip(*((pair.network_source, pair.network_driving, *pair.network_photos) for pair in pairs), strict=True)
        source, driving, *photos = (torch.cat(images).to(self._pipeline.device) for images in each)  # (B, 3, h, w)
        if self._first is None:
            self._first = source[:1], driving[:1]
            self._pipeline.method.move(*self._first, self._settings, look=self._look)  # warms up before the clock runs
        synchronize(self._pipeline.device)
        began = time.perf_counter()
        method = self._pipeline.method
        noted = watch_fusion(method)
        moved = method.move(source, driving, self._settings, photos, self._look)
        synchronize(self._pipeline.device)
        self._seconds.append((len(pairs), time.perf_counter() - began))
        alone = None if method.view_fusion is None else {view: float(view == "source") for view in VIEWS}
        return MovedPairs(**vars(moved), shares=_shares(*noted[-1]) if noted else [alone] * len(pairs))

    def results(self, pairs: Sequence[PairFrames], moved: MovedPairs) -> list[Result]:
        """Each result by itself."""
        grids = self.deformation(moved)
        return [
            Result(shown(moved.generated.image[k : k + 1], pair.placement), grids[k], float(moved.t[k]), shares)
            for k, (pair, shares) in enumerate(zip(pairs, moved.shares, strict=True))
        ]

    @torch.inference_mode()
    def deformation(self, moved: Moved) -> Tensor:
        """The deformation from the source itself over all hops, ``(B, h', w', 2)``, absolute backward grid."""
        hops = moved.generated.hops
        last = hops[-1].deformation
        if len(hops) == 2:
            hopped = (moved.t > 0)[:, None, None, None]
            # Composed with the identity, a motion that points outside of the source would end at its border.
            last = torch.where(hopped, self._pipeline.method.backbone.composed(*hops).deformation, last)
        return last.float().cpu()

    @torch.inference_mode()
    def between(self, moved: Moved) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The interpolated images of the pairs at the times `BETWEEN`, one time after another.

        Yields:
            the time, the images ``(B, 3, h, w)``, and how far the keypoints found in each are from those that it was made for,
            on average, ``(B,)`` in coordinate units (2 is the width of the image).
        """
        method = self._pipeline.method
        for t in BETWEEN:
            times = moved.poses.points.new_full((len(moved.poses.points),), t)
            images, keypoints, _ = method.interpolate(
                moved.source, moved.poses, moved.background, times, self._settings.path
            )
            yield t, images, displacement(method.detector(images.clamp(0, 1)), keypoints).float().cpu()

    @torch.inference_mode()
    def _counted(self, source: Tensor, driving: Tensor) -> dict[str, float]:
        """Multiply-accumulates of one pair, 10^9: "source" to encode it; a frame in "one hop" and, with a selector, "two hops".

        Choosing t is part of a frame. As `motion_core.variant_benchmark` counts them; the time is set from outside.
        """
        with computed_by("eager", self._pipeline):
            method, settings = self._pipeline.method, self._settings
        encoded = method.encode(source)

        def frame(t: float) -> None:
            motion = method.analyse(encoded, driving, settings.background)
            pose, background = motion.keypoints, motion.background_transform
            method.select(encoded, pose, background, settings, SteadyChoice(settings.hysteresis))
            method.generate([encoded], pose, [background], pose.points.new_tensor([t]), settings.path)

        work = {"source": lambda: method.encode(source), "one hop": lambda: frame(0.0)}
        if method.selector is not None or settings.t:
            work["two hops"] = lambda: frame(0.5)
        return {name: gmacs_of(run) for name, run in work.items()}

    def about(self) -> dict[str, Any]:
        """The model, and what a pair costs: of the source and one driving frame, without reading and measuring them."""
        assert self._first is not None, "nothing was moved"
        pipeline, seconds = self._pipeline, sum(taken for _, taken in self._seconds)
        parts = [part for part in pipeline.components.values() if part]
        return {
            "model": pipeline.model_name,
            "variant": pipeline.config["variant"],
            "weights": pipeline.weights_digest(),
            "parameters": sum(weight.numel() for part in parts for weight in part.parameters()),
            "device": str(pipeline.device),
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            "composed_view": pipeline.view_fusion is not None and pipeline.view_fusion.composed_view,
            "settings": asdict(self._settings),
            "model_seconds": round(seconds, 3),
            "milliseconds_per_pair": round(1e3 * seconds / sum(pairs for pairs, _ in self._seconds), 2),
            "gmacs": {name: round(count, 4) for name, count in self._counted(*self._first).items()},
        }


def _shares(weights: Tensor, kinds: Sequence[ViewKind]) -> list[dict[str, float]]:
    """Of each sample what the fusion took from each of `VIEWS`, by its `weights` ``(B, V, h, w)`` of views of these kinds."""
    first = kinds.index("source")  # the pictures given: the source, then the photos
    names = ["photos" if kind == "source" and view != first else kind for view, kind in enumerate(kinds)]
    means = weights.mean(dim=(2, 3)).tolist()
    return [
        {view: sum(share for name, share in zip(names, sample, strict=True) if name == view) for view in VIEWS}
        for sample in means
    ]
