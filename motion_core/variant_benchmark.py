"""What the variants and strategies cost per driving frame beside the plain backbone, measured in one run.

Weights decide whether a hop is taken, and random ones decide by chance. So the time is set from outside, 0 (no hop) or 0.5 (two
hops, whose cost does not depend on the time), and the strategy's scores are computed all the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from . import media
from .benchmark import computed_by, gmacs_of, seconds_of
from .diagnosis import diagnose
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.view_fusion import ViewFusion
from .pipeline import MotionInterpPipeline
from .selection import SteadyChoice
from .settings import InterpolationSettings, Strategy


@dataclass(frozen=True)
class VariantCost:
    """Of one way to make a frame. Times are medians in seconds.

    Attributes:
        name: variant, strategy, and what else is done.
        t: time of the interpolated image; 0 is no hop.
        frame_seconds: per driving frame, from its keypoints to its image.
        scoring_seconds: of which to score the candidates, timed by itself.
        gmacs: multiply-accumulates per driving frame, 10^9.
        scoring_gmacs: of which to score the candidates.
    """

    name: str
    t: float
    frame_seconds: float
    scoring_seconds: float
    gmacs: float
    scoring_gmacs: float


def variants_of(pipeline: MotionInterpPipeline) -> dict[str, MotionInterpPipeline]:
    """The pipeline's networks as "tpsmm", "int", "v2" and "v2, composed view"; what it lacks is added with initial weights."""
    parts = dict(pipeline.components)
    generator, detector = pipeline.image_generator.config, pipeline.keypoint_detector.config
    widths = (generator["block_expansion"], generator["max_features"], generator["num_down_blocks"])
    selector = pipeline.selector or OptimalInterpolationSelector(image_channels=detector["image_channels"])
    made = {"tpsmm": parts | {"selector": None, "view_fusion": None, "variant": "tpsmm"}}
    made["int"] = parts | {"selector": selector, "view_fusion": None, "variant": "int"}
    for name, composed_view in (("v2", False), ("v2, composed view", True)):
        fusion = ViewFusion(*widths, composed_view=composed_view)
        made[name] = parts | {"selector": selector, "view_fusion": fusion, "variant": "v2"}
    dtype = pipeline.image_generator.dtype
    return {
        name: MotionInterpPipeline(**given, image_size=pipeline.config["image_size"]).to(
            pipeline.device, dtype, silence_dtype_warnings=True
        )
        for name, given in made.items()
    }


def _rows() -> list[tuple[str, str, Strategy, float, bool]]:
    """Name, variant, strategy, time, and whether the frame is diagnosed."""
    return [
        ("tpsmm", "tpsmm", "none", 0.0, False),
        ("tpsmm, diagnosed", "tpsmm", "none", 0.0, True),
        ("int, learned", "int", "learned", 0.0, False),
        ("int, fixed", "int", "fixed", 0.5, False),
        ("int, learned", "int", "learned", 0.5, False),
        ("int, analytic", "int", "analytic", 0.5, False),
        ("int, images", "int", "images", 0.5, False),
        ("v2, learned", "v2", "learned", 0.0, False),
        ("v2, learned", "v2", "learned", 0.5, False),
        ("v2, learned, composed view", "v2, composed view", "learned", 0.5, False),
    ]


@torch.inference_mode()
def measure_variants(
    pipeline: MotionInterpPipeline, source: np.ndarray, driving: np.ndarray, rounds: int = 5
) -> list[VariantCost]:
    """Time a driving frame in every variant; the first is the plain backbone.

    Args:
        pipeline: on the device and in the dtype to measure.
        source, driving: ``(H, W, 3)`` uint8, of a size that the networks take.
        rounds: times that everything is timed; the medians count.
    """
    device = pipeline.device
    pipelines = variants_of(pipeline)
    encoded = pipeline.method.encode(media.to_float(source[None]).to(device))
    frame = media.to_float(driving[None]).to(device)  # (1, 3, H, W)
    pose = pipeline.keypoint_detector(frame)

    def score(variant: str, strategy: Strategy) -> object:
        settings = InterpolationSettings(strategy=strategy)
        return pipelines[variant].method.select(encoded, pose, None, settings, SteadyChoice(0))

    def make(variant: str, strategy: Strategy, t: float, diagnosed: bool) -> object:
        method = pipelines[variant].method
        keypoints = method.detector(frame)  # (1, K, N, 2)
        score(variant, strategy)
        generated = method.generate([encoded], keypoints, [None], keypoints.points.new_tensor([t]))
        return generated, diagnose(method, encoded, keypoints, generated) if diagnosed else None

    rows = _rows()
    work: list[Callable[[], object]] = []
    for _, *how in rows:
        work.append(lambda how=how: make(*how))  # type: ignore[misc]  # mypy does not see the default
        work.append(lambda how=how: score(*how[:2]))  # type: ignore[misc]
    for each in pipelines.values():
        each.backend = pipeline.backend
    with computed_by("eager", *pipelines.values()):
        gmacs = [gmacs_of(run) for run in work]
    seconds: list[list[float]] = [[] for _ in work]
    for turn in range(rounds + 1):  # interleaved, so that a machine that slows down slows all alike; turn 0 warms up
        for times, run in zip(seconds, work, strict=True):
            taken = seconds_of(run, device)
            if turn:
                times.append(taken)
    medians = [statistics.median(times) for times in seconds]
    return [
        VariantCost(name, t, medians[2 * i], medians[2 * i + 1], gmacs[2 * i], gmacs[2 * i + 1])
        for i, (name, _, _, t, _) in enumerate(rows)
    ]


def report_variants(costs: Sequence[VariantCost], device: torch.device, dtype: str, size: tuple[int, int]) -> str:
    """The measurements as a table to print."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    plain = costs[0]
    lines = [f"per driving frame at {size[0]} x {size[1]} in {dtype} on {device}{threads}, torch {torch.__version__}"]
    heads = ("t", "ms", "over tpsmm", "scoring ms", "share", "GMACs", "over tpsmm", "scoring")
    lines.append(f"{'':<28}" + "".join(f"{head:>12}" for head in heads))
    for cost in costs:
        cells = (
            f"{cost.t:g}",
            f"{1e3 * cost.frame_seconds:.1f}",
            f"{cost.frame_seconds / plain.frame_seconds:.2f}",
            f"{1e3 * cost.scoring_seconds:.1f}",
            f"{100 * cost.scoring_seconds / cost.frame_seconds:.0f} %",
            f"{cost.gmacs:.2f}",
            f"{cost.gmacs / plain.gmacs:.2f}",
            f"{cost.scoring_gmacs:.2f}",
        )
        lines.append(f"{cost.name:<28}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append("t is set from outside, scores are computed all the same; int, int_bt and full run the same networks")
    return "\n".join(lines)
