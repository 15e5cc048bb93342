"""How well pictures of people are made, pair by pair and all together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .metric_functions import akd, l1, mkr
from .people_pairs import PeoplePair

LUMA = (0.299, 0.587, 0.114)  # of R, G, B


@dataclass(frozen=True)
class PairScore:
    """One result against the driving picture of its pair.

    Attributes:
        l1, figure_l1: mean absolute difference, images from 0 to 1: of the whole picture, and on the driving figure.
        akd: mean distance of the joints found in both, per cent of the side; NaN if there are none.
        mkr: share of the joints of the driving picture that are not found in the result; NaN if there are none to find.
        gradient, real_gradient: mean `luma_gradient` on the figure, of the result and of the driving picture.
    """

    l1: float
    figure_l1: float
    akd: float
    mkr: float
    gradient: float
    real_gradient: float


def score_pair(pair: PeoplePair, result: np.ndarray, joints: np.ndarray, copied: bool = False) -> PairScore:
    """Compare a result with the driving picture.

    Args:
        result: ``(256, 256, 3)`` uint8.
        joints: found in it, ``(18, 2)``.
        copied: it is the source itself, whose figure is elsewhere: its gradient is taken there.
    """
    figure = pair.driving_figure
    return PairScore(
        l1(result, pair.driving),
        l1(result[figure], pair.driving[figure]),
        100 * akd(joints, pair.joints) / max(result.shape),
        mkr(joints, pair.joints),
        float(luma_gradient(result)[pair.source_figure if copied else figure].mean()),
        float(luma_gradient(pair.driving)[figure].mean()),
    )


def luma_gradient(image: np.ndarray) -> np.ndarray:
    """The magnitude of the gradient of luma: how much it changes to the next pixel on the right and to the next one below.

    Args:
        image: ``(H, W, 3)`` uint8.

    Returns:
        ``(H, W)``, luma from 0 to 1; it does not change beyond the border.

    Example:
        >>> luma_gradient(np.repeat(np.array([[0, 153], [0, 0]], np.uint8)[..., None], 3, axis=2)).round(3).tolist()
        [[0.6, 0.6], [0.0, 0.0]]
    """
    luma = image @ np.array(LUMA) / 255
    right = np.diff(luma, axis=1, append=luma[:, -1:])
    below = np.diff(luma, axis=0, append=luma[-1:])
    return np.hypot(right, below)


@dataclass(frozen=True)
class Summary:
    """A model's figures for a set of pairs; means are over pairs.

    Attributes:
        l1: of the whole picture, images from 0 to 1.
        l1_ratio, figure_ratio: mean L1 over that of the source itself, of the whole picture and on the figure.
        akd: per cent of the side, over the pairs that have a joint in both pictures; NaN without any.
        mkr: over the pairs that have joints to find; NaN without any.
        sharpness: mean gradient of luma on the figure over that of the driving pictures.
    """

    l1: float
    l1_ratio: float
    figure_ratio: float
    akd: float
    mkr: float
    sharpness: float


def summarise(scores: Sequence[PairScore], copies: Sequence[PairScore]) -> Summary:
    """All pairs together, one or more.

    Args:
        scores: of the model.
        copies: of the source itself, of the same pairs.
    """
    return Summary(
        statistics.fmean(score.l1 for score in scores),
        _ratio((score.l1 for score in scores), (score.l1 for score in copies)),
        _ratio((score.figure_l1 for score in scores), (score.figure_l1 for score in copies)),
        _known_mean(score.akd for score in scores),
        _known_mean(score.mkr for score in scores),
        _ratio((score.gradient for score in scores), (score.real_gradient for score in scores)),
    )


def _known_mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def _ratio(values: Iterable[float], others: Iterable[float]) -> float:
    """The mean of values over the mean of as many others; NaN where that is 0."""
    below = math.fsum(others)
    return math.fsum(values) / below if below else math.nan
