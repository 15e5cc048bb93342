"""The figures of one pair, beside those of leaving the source as it is, and why a figure is not defined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..measuring import Instruments, VideoFigures, measure_reconstruction
from ..metric_functions import aed, found
from ..rendered_people.flow import Flow
from ..rendered_people.scores import end_point_error
from ..similarity import Similarity
from .exact import copied, in_picture
from .frames import PairFrames
from .moving import Made, left_as_it_is
from .remembered import RememberedDetector, RememberedEmbedder

# By metric of `eval.measuring`, its forms; those of LENGTHS are distances in pixels, and given as percent of the side too.
FORMS = {
    "l1": ("l1",),
    "psnr": ("psnr",),
    "ssim": ("ssim",),
    "lpips": ("lpips",),
    "akd": ("akd", "akd_per_coordinate"),
    "mkr": ("mkr",),
    "aed": ("aed", "aed_squared"),
}
LENGTHS = ("akd", "akd_per_coordinate", "epe")
COMPARED = {
    "l1": "l1",
    "akd": "akd_percent",
    "aed": "aed",
    "epe": "epe_percent",
}  # against the source itself; less is better

UNSEEN = "no point of the figure is seen in both frames"
NOBODY_BETWEEN = "nobody found in the source or the interpolated image"

Row = dict[str, Any]


@dataclass(frozen=True)
class PairInstruments:
    """What pairs are measured with."""

    similarity: Similarity
    detector: RememberedDetector | None
    embedder: RememberedEmbedder | None

    def measure(self, made: np.ndarray, real: np.ndarray) -> VideoFigures:
        """One image against the real one, both ``(h, w, 3)`` uint8."""
        return measure_reconstruction([made], [real], Instruments(self.similarity, self.detector, self.embedder))

    def look_at(self, *real: np.ndarray) -> None:
        """Look at real frames, and keep what is found for other runs."""
        for frame in real:
            for instrument in (self.detector, self.embedder):
                if instrument is not None:
                    instrument.keep(frame)


def measure_pair(frames: PairFrames, made: Made, exact: Flow | None, instruments: PairInstruments) -> Row:
    """All figures of a pair.

    Args:
        frames: the real frames.
        made: the source in the driving pose.
        exact: flow from the driving frame to the source; None where it is not known.
    """
    pair, row = frames.pair, _Figures()
    row.values |= {
        "video": pair.video,
        "source_frame": pair.source,
        "driving_frame": pair.driving,
        "quartile": pair.quartile,
        "side": frames.side,
        "displacement": pair.displacement,
        "displacement_percent": 100 * pair.displacement / frames.picture_side,
    }
    if made.t is not None:
        row.values |= {"t": made.t, "hopped": float(made.t > 0)}
    instruments.look_at(frames.source, frames.driving)
    for prefix, result in (("", made), ("copy_", left_as_it_is(frames))):
        row.add_metrics(prefix, instruments.measure(result.image, frames.driving), frames.side)
        if instruments.detector is not None:
            own, given = (found(instruments.detector.landmarks(image)) for image in (result.image, frames.driving))
            row.values |= {f"{prefix}missing": int((given & ~own).sum()), f"{prefix}to_find": int(given.sum())}
        if exact is not None:
            row.add_end_point_error(prefix, result, exact, frames)
    for name, column in COMPARED.items():
        if column in row.values:
            row.compare(name, column)
    return row.values | {"undefined": row.undefined}


class _Figures:
    """The columns of a row as they come, and why some have no value."""

    def __init__(self) -> None:
        self.values: Row = {}
        self.undefined: dict[str, str] = {}

    def add(self, column: str, value: float | None, why: str | None) -> None:
        self.values[column] = value
        if value is None:
            self.undefined[column] = str(why)

    def add_metrics(self, prefix: str, figures: VideoFigures, side: int) -> None:
        for metric, forms in FORMS.items():
            why = next(iter(figures.undefined.get(metric, {})), None)
            for form in forms:
                if form not in figures.per_frame:
                    continue
                value = figures.per_frame[form][0]
                if form not in LENGTHS:
                    self.add(f"{prefix}{form}", value, why)
                    continue
                self.add(f"{prefix}{form}_percent", None if value is None else 100 * value / side, why)
                self.add(f"{prefix}{form}_pixels", value, why)

    def add_end_point_error(self, prefix: str, made: Made, exact: Flow, frames: PairFrames) -> None:
        """It is computed in pixels of the annotated picture; given are those of the networks' image, and percent."""
        placement = frames.placement
        grid = copied(placement) if made.deformation is None else in_picture(made.deformation, placement)
        mean, points = end_point_error(grid, exact)
        percent = None if math.isnan(mean) else 100 * mean / frames.picture_side
        self.add(f"{prefix}epe_percent", percent, UNSEEN)
        self.add(f"{prefix}epe_pixels", None if percent is None else percent * frames.side / 100, UNSEEN)
        self.values["epe_points"] = points

    def compare(self, name: str, column: str) -> None:
        """Whether the result is better than the source itself: 1, 0, or 0.5 where they are equal."""
        own, other = self.values[column], self.values[f"copy_{column}"]
        why = self.undefined.get(column) or self.undefined.get(f"copy_{column}")
        self.add(f"wins_{name}", None if why else 0.5 if own == other else float(own < other), why)


def measure_between(
    frames: PairFrames, image: np.ndarray, keypoint_error: float, instruments: PairInstruments
) -> dict[str, float | None]:
    """The figures of an interpolated image of a pair.

    Args:
        image: it, ``(h, w, 3)`` uint8 without padding.
        keypoint_error: in coordinate units, see `moving.Between`.
    """
    figures: dict[str, float | None] = {"keypoints_percent": 50 * keypoint_error}  # 2 is the width
    if instruments.embedder is not None:
        who, own = instruments.embedder.keep(frames.source), instruments.embedder.embed(image)
        figures["identity"] = None if who is None or own is None else aed(own, who)
    return figures
