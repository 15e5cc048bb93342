"""The evaluation: one record per frame of what was made against what it should be, for pairs, reconstructions and animations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import metric_functions as metrics
from .instruments import IdentityEmbedder, LandmarkDetector
from .instruments.similarity import Similarity

NOBODY_REAL = "nothing found in the real frame"
NOBODY_MADE = "nothing found in the made frame"
NOBODY_SOURCE = "nothing found in the picture that was animated"
NO_TARGET = "no joint found in the picture, the driving frame and its initial frame, or they span no area"
NO_JOINT = "no joint found in both frames"
IDENTICAL = "the frames are identical"

Record = dict[str, Any]


@dataclass(frozen=True)
class Instruments:
    """The measuring instruments. Without a detector there is no AKD, MKR and jitter, without an embedder no AED."""

    similarity: Similarity | None = None
    detector: LandmarkDetector | None = None
    embedder: IdentityEmbedder | None = None


@dataclass(frozen=True)
class Reference:
    """The two pictures that an animation is measured against.

    Attributes:
        source: the picture that was animated, ``(H, W, 3)`` uint8.
        initial: the driving frame whose pose counts as the picture's, likewise.
    """

    source: np.ndarray
    initial: np.ndarray


def evaluate(
    frames: Iterable[tuple[np.ndarray, np.ndarray]], instruments: Instruments, reference: Reference | None = None
) -> list[Record]:
    """The metrics of one video, or of one image, as a record per frame.

    A record has a value per metric, NaN where it is not defined; "undefined psnr", "undefined akd", "undefined mkr" and
    "undefined aed" then have the reason (otherwise None). Metrics that are no mean over frames come as summands: "missing" and
    "to_find" are numbers of joints, "jitter" and "driving_jitter" the jumps of a frame's joints. "identity_apart" is the
    distance of the two identities of an animation.

    Args:
        frames: the made and the real frame, ``(H, W, 3)`` uint8; of an animation the second is the driving frame.
        reference: of an animation. Its landmarks should be where the relative protocol says
            (`metric_functions.relative_target`), its identity is the picture's, and pixels are not compared.
    """
    start, identity, apart = _reference_features(reference, instruments)
    records: list[Record] = []
    landmarks: list[tuple[np.ndarray, np.ndarray]] = []  # made and wanted, (J, 2) each
    before: tuple[np.ndarray, np.ndarray] | None = None
    for made, real in frames:
        record: Record = {"frame": len(records)}
        if reference is None:
            record |= pixel_metrics(made, real, before, instruments.similarity)
        if instruments.detector is not None:
            given = instruments.detector.landmarks(real)
            wanted = given if start is None else metrics.relative_target(start[0], given, start[1])
            landmarks = [*landmarks[-2:], (instruments.detector.landmarks(made), wanted)]
            record |= landmark_metrics(*landmarks[-1], NOBODY_REAL if reference is None else NO_TARGET)
            record |= jitter_summands(landmarks)
        if instruments.embedder is not None:
            target = instruments.embedder.embed(real) if reference is None else identity
            own = instruments.embedder.embed(made)
            record |= identity_metrics(own, target, NOBODY_REAL if reference is None else NOBODY_SOURCE)
            if reference is not None:
                record["identity_apart"] = apart
        records.append(record)
        before = made, real
    return records


def _reference_features(
    reference: Reference | None, instruments: Instruments
) -> tuple[tuple[np.ndarray, np.ndarray] | None, np.ndarray | None, float]:
    """The landmarks of source and initial frame, the source's identity, and how far it is from the initial frame's."""
    start, identity, apart = None, None, math.nan
    if reference is not None and instruments.detector is not None:
        start = instruments.detector.landmarks(reference.source), instruments.detector.landmarks(reference.initial)
    if reference is not None and instruments.embedder is not None:
        identity, other = (instruments.embedder.embed(image) for image in (reference.source, reference.initial))
        apart = math.nan if identity is None or other is None else metrics.aed(identity, other)
    return start, identity, apart


def pixel_metrics(
    made: np.ndarray,
    real: np.ndarray,
    before: tuple[np.ndarray, np.ndarray] | None = None,
    similarity: Similarity | None = None,
) -> Record:
    """The metrics of two frames ``(H, W, 3)`` uint8 by their pixels; `before` are the two frames before them."""
    record: Record = {
        "l1": metrics.l1(made, real),
        "flicker": math.nan if before is None else metrics.flicker(made, real, *before),
    }
    if similarity is None:
        return record
    same = np.array_equal(made, real)
    record |= {"psnr": math.nan if same else similarity.psnr(made, real), "undefined psnr": IDENTICAL if same else None}
    record["ssim"] = similarity.ssim(made, real)
    if similarity.lpips_missing is None:
        record["lpips"] = similarity.lpips(made, real)
    return record


def landmark_metrics(made: np.ndarray, wanted: np.ndarray, nowhere: str = NOBODY_REAL) -> Record:
    """The metrics of landmarks ``(J, 2)`` against those wanted; `nowhere` is the reason where there are none of these."""
    own, given = metrics.found(made), metrics.found(wanted)
    none_wanted = None if given.any() else nowhere
    reason = None
    if not (own & given).any():
        reason = none_wanted or (NO_JOINT if own.any() else NOBODY_MADE)
    return {
        "akd": metrics.akd(made, wanted),
        "akd_per_coordinate": metrics.akd_per_coordinate(made, wanted),
        "undefined akd": reason,
        "mkr": metrics.mkr(made, wanted),
        "missing": int((given & ~own).sum()),
        "to_find": int(given.sum()),
        "undefined mkr": none_wanted,
    }


def jitter_summands(landmarks: list[tuple[np.ndarray, np.ndarray]]) -> Record:
    """The sums of the `jitter` of made and wanted landmarks, over the joints found in the last three frames of both."""
    if len(landmarks) < 3:
        return {"jitter": 0.0, "driving_jitter": 0.0}
    jumps = [metrics.jitter(np.stack(points))[0] for points in zip(*landmarks, strict=True)]  # (J,) each
    both = ~np.isnan(jumps[0]) & ~np.isnan(jumps[1])
    return {"jitter": float(jumps[0][both].sum()), "driving_jitter": float(jumps[1][both].sum())}


def identity_metrics(made: np.ndarray | None, wanted: np.ndarray | None, nobody: str = NOBODY_REAL) -> Record:
    """The metrics of identity embeddings ``(D,)``, None for nobody; `nobody` is the reason where the wanted one is missing."""
    if made is None or wanted is None:
        reason = nobody if wanted is None else NOBODY_MADE
        return {"aed": math.nan, "aed_squared": math.nan, "undefined aed": reason}
    return {"aed": metrics.aed(made, wanted), "aed_squared": metrics.aed_squared(made, wanted), "undefined aed": None}
