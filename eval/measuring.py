"""The metrics of one video, frame by frame: figures where they are defined, and why not where they are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .embedders import IdentityEmbedder
from .landmarks import LandmarkDetector
from .metric_functions import (
    aed,
    aed_squared,
    akd,
    akd_per_coordinate,
    flicker,
    found,
    jitter_ratio,
    l1,
    mkr,
    relative_target,
)
from .similarity import Similarity

NOBODY_REAL = "nothing found in the real frame"
NOBODY_MADE = "nothing found in the made frame"
NOBODY_SOURCE = "nothing found in the picture that was animated"
NO_TARGET = "no joint found in the picture, the driving frame and its initial frame, or they span no area"
NO_JOINT = "no joint found in both frames"
IDENTICAL = "the frames are identical"
STILL = "too few joints in three frames running, or the driving video does not tremble"


@dataclass(frozen=True)
class Instruments:
    """What measures. Without a detector there is no AKD, MKR and jitter, without an embedder no AED."""

    similarity: Similarity | None
    detector: LandmarkDetector | None = None
    embedder: IdentityEmbedder | None = None


@dataclass
class VideoFigures:
    """The metrics of one video.

    Attributes:
        frames: how many were measured.
        per_frame: by form of a metric, one number a frame, None where it is not defined (flicker: never of the first frame).
        undefined: by metric, for how many frames (of "jitter": videos) it is not defined, and why.
        pooled: figures of the video that are not means over its frames.
    """

    frames: int = 0
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)
    undefined: dict[str, Counter[str]] = field(default_factory=dict)
    pooled: dict[str, float | None] = field(default_factory=dict)

    def add(self, metric: str, reason: str | None = None, **forms: Callable[[], float | None]) -> None:
        """Append the forms of a metric of the next frame; with a `reason` why they are not defined, None."""
        if reason is not None:
            self.undefined.setdefault(metric, Counter())[reason] += 1
        for name, compute in forms.items():
            self.per_frame.setdefault(name, []).append(None if reason is not None else compute())


@dataclass(frozen=True)
class Reference:
    """What an animation is measured against.

    Attributes:
        source: the picture that was animated, ``(H, W, 3)`` uint8.
        initial: the driving frame whose pose counts as the picture's, likewise.
    """

    source: np.ndarray
    initial: np.ndarray


def measure_reconstruction(
    made: Iterable[np.ndarray], real: Iterable[np.ndarray], instruments: Instruments
) -> VideoFigures:
    """The metrics of a reconstructed video: made and real frames, ``(H, W, 3)`` uint8, one for one."""
    detector, embedder = instruments.detector, instruments.embedder
    figures, points, before = VideoFigures(), [], None
    for ours, theirs in zip(made, real, strict=True):
        figures.frames += 1
        _add_pixels(figures, ours, theirs, before, instruments.similarity)
        if detector is not None:
            points.append((detector.landmarks(ours), detector.landmarks(theirs)))
            _add_landmarks(figures, *points[-1], NOBODY_REAL)
        if embedder is not None:
            _add_identity(figures, embedder.embed(ours), embedder.embed(theirs), NOBODY_REAL)
        before = ours, theirs
    if detector is not None:
        _add_video_landmarks(figures, points)
    return figures


def measure_animation(
    made: Iterable[np.ndarray], driving: Iterable[np.ndarray], reference: Reference, instruments: Instruments
) -> VideoFigures:
    """The metrics of a picture animated with somebody else's motion.

    Landmarks are compared with where they should be by the relative protocol (`metric_functions.relative_target`), jitter too: it
    is that of the driving video at the picture's size. Identity is compared with the picture's.

    Args:
        made, driving: frames ``(H, W, 3)`` uint8, one for one.
        reference: the picture, and the driving frame in its pose.
        instruments: the similarity is not used: there is no real frame.
    """
    detector, embedder = instruments.detector, instruments.embedder
    figures, points = VideoFigures(), []
    if detector is not None:
        start = detector.landmarks(reference.source), detector.landmarks(reference.initial)
    if embedder is not None:
        who, other = embedder.embed(reference.source), embedder.embed(reference.initial)
        figures.pooled["identity_apart"] = None if who is None or other is None else aed(who, other)
    for ours, theirs in zip(made, driving, strict=True):
        figures.frames += 1
        if detector is not None:
            target = relative_target(start[0], detector.landmarks(theirs), start[1])
            points.append((detector.landmarks(ours), target))
            _add_landmarks(figures, *points[-1], NO_TARGET)
        if embedder is not None:
            _add_identity(figures, embedder.embed(ours), who, NOBODY_SOURCE)
    if detector is not None:
        _add_video_landmarks(figures, points)
    return figures


def _add_pixels(
    figures: VideoFigures, made: np.ndarray, real: np.ndarray, before: Any, similarity: Similarity | None
) -> None:
    figures.add("l1", l1=lambda: l1(made, real))
    figures.add("flicker", flicker=lambda: flicker(made, real, *before) if before else None)
    if similarity is None:
        return
    same = IDENTICAL if np.array_equal(made, real) else None
    figures.add("psnr", same, psnr=lambda: similarity.psnr(made, real))
    figures.add("ssim", ssim=lambda: similarity.ssim(made, real))
    if similarity.lpips_missing is None:
        figures.add("lpips", lpips=lambda: similarity.lpips(made, real))


def _add_landmarks(figures: VideoFigures, made: np.ndarray, real: np.ndarray, nowhere: str) -> None:
    """Landmarks ``(J, 2)`` of a frame against those it should have; `nowhere` says why there are none of these."""
    own, given = found(made), found(real)
    reason = None
    if not (own & given).any():
        reason = nowhere if not given.any() else NOBODY_MADE if not own.any() else NO_JOINT
    figures.add("akd", reason, akd=lambda: akd(made, real), akd_per_coordinate=lambda: akd_per_coordinate(made, real))
    figures.add("mkr", None if given.any() else nowhere, mkr=lambda: mkr(made, real))


def _add_identity(figures: VideoFigures, made: np.ndarray | None, real: np.ndarray | None, nobody: str) -> None:
    if made is None or real is None:
        figures.add("aed", nobody if real is None else NOBODY_MADE, aed=lambda: None, aed_squared=lambda: None)
        return
    figures.add("aed", aed=lambda: aed(made, real), aed_squared=lambda: aed_squared(made, real))


def _add_video_landmarks(figures: VideoFigures, points: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """What is not a mean over frames, of the landmarks made and those they should be: the pooled MKR, and the jitter."""
    made, real = (np.stack(each) for each in zip(*points, strict=True))  # (T, J, 2)
    ratio, pooled = jitter_ratio(made, real), mkr(made, real)
    if math.isnan(ratio):
        figures.undefined["jitter"] = Counter({STILL: 1})
    figures.pooled["jitter"] = None if math.isnan(ratio) else ratio
    figures.pooled["mkr"] = None if math.isnan(pooled) else pooled
