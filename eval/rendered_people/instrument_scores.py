"""How far the benchmark's own detector and embedder are off, on rendered people that they were not trained on.

They are measured through what the evaluation uses, one 8-bit picture at a time.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from motion_core.errors import InputError
from motion_core.media import to_uint8

from ..embedders import IdentityEmbedder
from ..landmarks import LandmarkDetector
from .annotations import HIDDEN, SEEN
from .instrument_data import Frames, batch_of, resized
from .instrument_pictures import filled
from .joint_detector import SIDE
from .skeleton import PART

Scores = dict[str, float | None]


def _scores(**figures: float) -> Scores:
    """Rounded; None for a mean of nothing, which json does not know otherwise."""
    return {name: None if math.isnan(value) else round(float(value), 4) for name, value in figures.items()}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def joint_scores(detector: LandmarkDetector, frames: Frames, root: int, side: int = SIDE) -> Scores:
    """Errors in one of the data sets, of pictures at `side` pixels.

    Returns:
        Of joints that are seen and found: mean and median error in percent of the picture's side, the mean in pixels at 256,
        and the share that is within 5 percent; of joints seen: the share found; of joints hidden: the share found.
    """
    chosen = np.flatnonzero(frames.roots == root)
    truth = (frames.joints[chosen] + 0.5) * (side / SIDE) - 0.5
    points = np.stack([detector.landmarks(image) for image in resized(frames.images[chosen], side)])  # (F, 18, 2)
    found, visibility = np.isfinite(points).all(-1), frames.visibility[chosen]
    errors = 100 * np.linalg.norm(points - truth, axis=-1)[found & (visibility == SEEN)] / side
    return _scores(
        mean_percent_of_side=_mean(errors),
        median_percent_of_side=float(np.median(errors)) if len(errors) else math.nan,
        mean_pixels_at_256=2.56 * _mean(errors),
        share_within_5_percent=_mean(errors < 5),
        found_of_seen=_mean(found[visibility == SEEN]),
        found_of_hidden=_mean(found[visibility == HIDDEN]),
    )


def missing_limb_scores(detector: LandmarkDetector, frames: Frames, root: int) -> Scores:
    """Of joints seen on the right forearm, hand, shin and foot: the share found, and that when these are not in the picture.

    They are taken away as in training (`instrument_pictures.filled`), so this says that missing joints can be missed, and not
    how well it is done where a model leaves a limb out in its own way.
    """
    taken = [PART[f"right_{part}"] for part in ("forearm", "hand", "shin", "foot")]
    numbers = np.flatnonzero(frames.roots == root)
    images, parts = batch_of(frames, numbers)
    hole = torch.isin(parts, torch.tensor(taken))  # (F, 1, 128, 128)
    column, row = np.round(frames.joints[numbers]).astype(int).clip(0, SIDE - 1).transpose(2, 0, 1)  # (F, 18) each
    gone = hole[np.arange(len(numbers))[:, None], 0, row, column].numpy() & (frames.visibility[numbers] == SEEN)
    found = []
    for pictures in (frames.images[numbers], to_uint8(filled(images, hole))):
        points = np.stack([detector.landmarks(picture) for picture in pictures])
        found.append(_mean(np.isfinite(points).all(-1)[gone]))
    return _scores(found_before=found[0], found_when_taken_away=found[1])


def identity_scores(embedder: IdentityEmbedder, frames: Frames, root: int, side: int = SIDE) -> Scores:
    """How well two pictures of one person from different clips are told from those of two persons of the same data set.

    Returns:
        Mean distances of both kinds of pairs; the area under the ROC curve (the chance that a pair of one person is closer than
        one of two); the accuracy at the distance at which both kinds of errors are as frequent; and that distance.
    """
    chosen = np.flatnonzero(frames.roots == root)
    embedded = [embedder.embed(image) for image in resized(frames.images[chosen], side)]
    vectors = np.stack([vector for vector in embedded if vector is not None])  # (F, D)
    distances = np.sqrt(np.maximum(((vectors[:, None] - vectors) ** 2).sum(-1), 0))  # (F, F)
    people, clips = frames.people[chosen], frames.clips[chosen]
    upper = np.triu(np.ones(distances.shape, bool), 1)
    same = np.sort(distances[upper & (people[:, None] == people) & (clips[:, None] != clips)])
    other = np.sort(distances[upper & (people[:, None] != people)])
    if not len(same) or not len(other):
        raise InputError("held-out: needs at least two people, and two clips of one of them")
    closer = (np.searchsorted(other, same, "left") + np.searchsorted(other, same, "right")) / 2
    missed = 1 - np.searchsorted(same, other, "right") / len(same)  # of one person, farther apart than each distance
    confused = np.searchsorted(other, other, "right") / len(other)
    equal = int(np.abs(missed - confused).argmin())
    return _scores(
        mean_distance_same_person_other_clip=same.mean(),
        mean_distance_other_person=other.mean(),
        area_under_curve=1 - closer.mean() / len(other),
        accuracy_at_equal_errors=1 - (missed[equal] + confused[equal]) / 2,
        distance_at_equal_errors=other[equal],
    )
