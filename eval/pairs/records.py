"""The table of pairs: a row per pair with the metrics of the result and, as "copy_...", of the source itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from motion_core.geometry import identity_grid

from ..evaluation import Instruments, Record, evaluate
from ..metric_functions import aed
from ..rendered_people.flow import Flow, end_point_error
from ..tables import plain
from .exact_flow import in_picture
from .frames import PairFrames
from .model import Result, copied

LENGTHS = ("akd", "akd_per_coordinate")  # measured in pixels, given in per cent of the side as well
METRICS = ("l1", "psnr", "ssim", "lpips", "mkr", "aed", "aed_squared", "missing", "to_find")  # given as they are
# Compared with the source itself, lower is better.
COMPARED = {"l1": "l1", "akd": "akd_percent", "aed": "aed", "epe": "epe_percent"}
UNSEEN = "no point of the figure is seen in both frames"
NOBODY_BETWEEN = "nobody found in the source or the interpolated image"


def pair_record(frames: PairFrames, made: Result, exact: Flow | None, instruments: Instruments) -> Record:
    """All figures of a pair, and as "undefined METRIC" the reason where one is NaN.

    Args:
        frames: the real frames.
        made: the source in the driving pose.
        exact: flow from the driving frame to the source; None where it is not known.
    """
    pair = frames.pair
    record: Record = {
        "video": pair.video,
        "source_frame": pair.source,
        "driving_frame": pair.driving,
        "quartile": pair.quartile,
        "side": frames.side,
        "displacement": pair.displacement,
        "displacement_percent": 100 * pair.displacement / frames.picture_side,
    }
    if made.t is not None:
        record |= {"t": made.t, "hopped": float(made.t > 0)}
    if made.shares is not None:
        record |= {f"from_{view}": share for view, share in made.shares.items()}
    for prefix, result in (("", made), ("copy_", copied(frames))):
        record |= result_record(prefix, frames, result, exact, instruments)
    for name, column in COMPARED.items():
        if column in record:
            own, copy = record[column], record[f"copy_{column}"]
            record[f"wins_{name}"] = math.nan if math.isnan(own + copy) else 0.5 if own == copy else float(own < copy)
            record[f"undefined wins_{name}"] = record.get(f"undefined {name}") or record.get(f"undefined copy_{name}")
    return record


def result_record(
    prefix: str, frames: PairFrames, result: Result, exact: Flow | None, instruments: Instruments
) -> Record:
    """The figures of one result, lengths in per cent and in pixels of the networks' image; all names begin with `prefix`."""
    measured = evaluate([(result.image, frames.driving)], instruments)[0]
    figures: Record = {name: value for name, value in measured.items() if name in METRICS}
    for name in (name for name in LENGTHS if name in measured):
        figures |= {f"{name}_percent": 100 * measured[name] / frames.side, f"{name}_pixels": measured[name]}
    points = {}
    if exact is not None:  # it is in pixels of the annotated picture
        if result.deformation is None:
            grid = identity_grid(*frames.placement.picture_size, torch.zeros(1, dtype=torch.float64))
        else:
            grid = in_picture(result.deformation, frames.placement)
        error, count = end_point_error(grid, exact)
        percent = 100 * error / frames.picture_side
        figures |= {"epe_percent": percent, "epe_pixels": percent * frames.side / 100}
        measured["undefined epe"] = UNSEEN if math.isnan(error) else None
        points = {"epe_points": count}
    reasons = {
        f"undefined {prefix}{name.removeprefix('undefined ')}": reason
        for name, reason in measured.items()
        if name.startswith("undefined ")
    }
    return {f"{prefix}{name}": value for name, value in figures.items()} | points | reasons


def reasons(rows: pd.DataFrame, column: str) -> pd.Series | None:
    """For each row why a column is not defined; None where it always is."""
    metric = column.removeprefix("copy_")
    if not metric.startswith("wins_"):
        metric = metric.split("_")[0]  # the forms of a metric are defined together
    return rows.get(f"undefined {'copy_' if column.startswith('copy_') else ''}{metric}")


def between_record(
    frames: PairFrames, t: float, image: np.ndarray, keypoint_error: float, instruments: Instruments
) -> Record:
    """The figures of an interpolated image of a pair.

    Args:
        t: its time.
        image: it, ``(h, w, 3)`` uint8 without padding.
        keypoint_error: in coordinate units, see `model.PairModel.between`.
    """
    record: Record = {
        "t": t,
        "quartile": frames.pair.quartile,
        "keypoints_percent": 50 * keypoint_error,
    }  # 2 is the width
    if instruments.embedder is not None:
        source, own = (instruments.embedder.embed(each) for each in (frames.source, image))
        record["identity"] = math.nan if source is None or own is None else aed(own, source)
        record["undefined identity"] = NOBODY_BETWEEN if source is None or own is None else None
    return record


def figures_of(rows: pd.DataFrame) -> list[str]:
    """The columns of a table that are no reasons."""
    return [str(column) for column in rows if not str(column).startswith("undefined ")]


def rows_json(rows: pd.DataFrame, between: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as values that JSON has: a figure that is not defined is None, and "undefined" says why.

    Args:
        between: `between_record`s with the column "pair", the row that they belong to.
    """
    why = {column: own for column in figures_of(rows) if (own := reasons(rows, column)) is not None}
    written = []
    for place in rows.index:
        row = {column: plain(rows.at[place, column]) for column in figures_of(rows)}
        row["undefined"] = {name: str(own[place]) for name, own in why.items() if row[name] is None}
        written.append(row)
    names = [name for name in ("keypoints_percent", "identity") if name in between]
    for each in between.to_dict("records"):
        images = written[each["pair"]].setdefault("interpolation", {})
        images[f"{each['t']:g}"] = {name: plain(each[name]) for name in names}
    return written


def tables(records: Sequence[Record], between: Sequence[Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records with the column "pair", their place in the list, as tables in its order."""
    rows = pd.DataFrame(records).set_index("pair").sort_index()
    return rows, pd.DataFrame(between, columns=None if between else ["pair", "t", "quartile"])
