"""What the variants and strategies cost per driving frame beside the plain backbone, measured in one run.

Weights decide whether a hop is taken, and random ones decide by chance. So the time is set from outside, 0 (no hop) or 0.5 (two
hops, whose cost does not depend on the time), and the strategy's scores are computed all the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import media
from .backbone import Source
from .benchmark import computed_by, duration_of, gmacs_of
from .components import fusion_widths
from .diagnosis import diagnose
from .key_frames import KeyFrames
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.layered.person_detector import PersonDetector
from .networks.view_fusion import ViewFusion
from .pipeline import MotionInterpPipeline
from .selection import FrameSelection, SteadyChoice, given_time
from .settings import InterpolationSettings, Strategy
from .structures import Keypoints
from .transfer import MotionTransfer

HOLD = InterpolationSettings.hold


@dataclass(frozen=True)
class VariantCost:
    """Of one way to make a frame. Times are medians in seconds of the processor, or on the clock where that is another device.

    Attributes:
        name: variant, strategy, and what else is done.
        t: time of the interpolated image; 0 is no hop.
        hold: frames that an interpolated image serves.
        frame_seconds: per driving frame, from the frame to its image, over a key frame and those that it serves.
        scoring_seconds: of which to score the candidates.
        gmacs: multiply-accumulates per driving frame, 10^9.
        scoring_gmacs: of which to score the candidates.
    """

    name: str
    t: float
    hold: int
    frame_seconds: float
    scoring_seconds: float
    gmacs: float
    scoring_gmacs: float


@dataclass(frozen=True)
class _Row:
    """What is measured: a variant with a strategy, whose choice is replaced by t."""

    name: str
    variant: str
    strategy: Strategy
    t: float = 0.0
    hold: int = HOLD
    diagnosed: bool = False


ROWS = (
    _Row("tpsmm", "tpsmm", "none"),
    _Row("tpsmm, diagnosed", "tpsmm", "none", diagnosed=True),
    _Row("int, fixed", "int", "fixed", 0.5),
    _Row("int, learned", "int", "learned", 0.5),
    _Row("int, images", "int", "images", 0.5),
    _Row("v2, learned", "v2", "learned"),
    _Row("v2, learned", "v2", "learned", 0.5),
    _Row("v2, learned, composed view", "v2, composed view", "learned", 0.5),
    _Row("v2, learned", "v2", "learned", 0.5, hold=1),
)


class _ToldMethod(MotionTransfer):
    """The method, whose choice is made and then replaced by a time."""

    def __init__(self, pipeline: MotionInterpPipeline, t: float) -> None:
        super().__init__(pipeline.components, backend=pipeline.backend)
        self.t, self.device = t, pipeline.device
        self.choosing = 0.0  # seconds until now

    def select(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        settings: InterpolationSettings,
        steady: SteadyChoice,
    ) -> list[FrameSelection]:
        """The time, after the choice that the settings ask for."""
        choose = partial(super().select, source, poses, background, settings, steady)
        self.choosing += duration_of(choose, self.device).processor
        return given_time(self.t, len(poses.points))


class _Video:
    """A key frame and the frames that it may serve, of one source, one after another."""

    def __init__(self, pipeline: MotionInterpPipeline, source: np.ndarray, frames: Sequence[np.ndarray]) -> None:
        self.frames = media.to_float(np.stack(frames)).to(pipeline.device).split(1)  # (1, 3, H, W) each
        detector = pipeline.keypoint_detector
        self.region = detector.find(self.frames[0]) if isinstance(detector, PersonDetector) else None
        self.source = pipeline.method.encode(media.to_float(source[None]).to(pipeline.device))
        self.poses = [self._pose(pipeline.method, frame) for frame in self.frames]

    def _pose(self, method: MotionTransfer, frame: Tensor) -> Keypoints:
        """Keypoints ``(1, K, N, 2)``; a person is where it was, as in a video."""
        if self.region is None:
            return method.detector(frame)
        return method.detector.detect(frame, self.region, silhouettes=False).keypoints

    def animate(self, row: _Row, method: _ToldMethod) -> None:
        """All that is done for the frames, and nothing twice."""
        keys = KeyFrames(method, self.source, InterpolationSettings(strategy=row.strategy, hold=row.hold))
        for frame in self.frames:
            pose = self._pose(method, frame)
            first = keys.first_hop(keys.of(pose, None))
            generated = method.paint(method.compose([self.source], pose, [None], first))
            if row.diagnosed:
                diagnose(method, self.source, pose, generated)

    def score(self, row: _Row, method: _ToldMethod) -> None:
        """Of which: the choices."""
        keys = KeyFrames(method, self.source, InterpolationSettings(strategy=row.strategy, hold=row.hold))
        for pose in self.poses:
            keys.of(pose, None)


def variants_of(pipeline: MotionInterpPipeline) -> dict[str, MotionInterpPipeline]:
    """The pipeline's networks as "tpsmm", "int", "v2" and "v2, composed view"; what it lacks is added with initial weights."""
    parts = dict(pipeline.components)
    channels, widths = pipeline.keypoint_detector.config["image_channels"], fusion_widths(pipeline.image_generator)
    selector = pipeline.selector or OptimalInterpolationSelector(image_channels=channels)
    made = {"tpsmm": parts | {"selector": None, "view_fusion": None, "variant": "tpsmm"}}
    made["int"] = parts | {"selector": selector, "view_fusion": None, "variant": "int"}
    for name, composed_view in (("v2", False), ("v2, composed view", True)):
        fusion = ViewFusion(**widths, composed_view=composed_view)
        made[name] = parts | {"selector": selector, "view_fusion": fusion, "variant": "v2"}
    dtype = pipeline.image_generator.dtype
    return {
        name: MotionInterpPipeline(**given, image_size=pipeline.config["image_size"]).to(
            pipeline.device, dtype, silence_dtype_warnings=True
        )
        for name, given in made.items()
    }


@torch.inference_mode()
def measure_variants(
    pipeline: MotionInterpPipeline,
    source: np.ndarray,
    driving: Sequence[np.ndarray],
    rounds: int = 5,
) -> list[VariantCost]:
    """Time a driving frame in every variant; the first is the plain backbone.

    Args:
        pipeline: on the device and in the dtype to measure.
        source: ``(H, W, 3)`` uint8, of a size that the networks take.
        driving: frames of the same size that follow each other; as many as an interpolated image serves, or a multiple.
        rounds: times that everything is timed; the medians count.
    """
    rows, video, pipelines = ROWS, _Video(pipeline, source, driving), variants_of(pipeline)
    for each in pipelines.values():
        each.backend = pipeline.backend

    def methods() -> list[_ToldMethod]:
        return [_ToldMethod(pipelines[row.variant], row.t) for row in rows]

    with computed_by("eager", *pipelines.values()):
        eager = methods()
    gmacs = [gmacs_of(partial(video.animate, *of)) for of in zip(rows, eager, strict=True)]
    scoring = [gmacs_of(partial(video.score, *of)) for of in zip(rows, eager, strict=True)]
    timed = methods()
    seconds: list[list[tuple[float, float]]] = [[] for _ in rows]
    for turn in range(rounds + 1):  # interleaved, so that a machine that slows down slows all alike; turn 0 warms up
        for row, method, times in zip(rows, timed, seconds, strict=True):
            method.choosing = 0.0
            taken = duration_of(partial(video.animate, row, method), pipeline.device).processor
            if turn:
                times.append((taken, method.choosing))
    costs = []
    for row, times, *counted in zip(rows, seconds, gmacs, scoring, strict=True):
        measured = [statistics.median(column) for column in zip(*times, strict=True)]
        costs.append(VariantCost(row.name, row.t, row.hold, *(each / len(driving) for each in (*measured, *counted))))
    return costs


def report_variants(costs: Sequence[VariantCost], device: torch.device, dtype: str, size: tuple[int, int]) -> str:
    """The measurements as a table to print."""
    threads = f", {torch.get_num_threads()} threads, ms of the processor" if device.type == "cpu" else ""
    plain = costs[0]
    lines = [f"per driving frame at {size[0]} x {size[1]} in {dtype} on {device}{threads}, torch {torch.__version__}"]
    heads = ("t", "hold", "ms", "over tpsmm", "scoring ms", "share", "GMACs", "over tpsmm", "scoring")
    lines.append(f"{'':<28}" + "".join(f"{head:>12}" for head in heads))
    for cost in costs:
        cells = (
            f"{cost.t:g}",
            f"{cost.hold}",
            f"{1e3 * cost.frame_seconds:.1f}",
            f"{cost.frame_seconds / plain.frame_seconds:.2f}",
            f"{1e3 * cost.scoring_seconds:.1f}",
            f"{100 * cost.scoring_seconds / cost.frame_seconds:.0f} %",
            f"{cost.gmacs:.2f}",
            f"{cost.gmacs / plain.gmacs:.2f}",
            f"{cost.scoring_gmacs:.2f}",
        )
        lines.append(f"{cost.name:<28}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append(
        "t is set from outside, scores are computed all the same; hold: frames that an interpolated image serves; "
        "int, int_bt and full run the same networks"
    )
    return "\n".join(lines)
