"""The report on pairs: means and standard errors over all of them and by quartile of displacement, and what is not defined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..evaluation import NOBODY_REAL
from ..tables import Figure, plain, statistics
from .records import figures_of, reasons, rows_json

GROUPS = ("all", "q1", "q2", "q3", "q4")
_NOT_AVERAGED = ("video", "source_frame", "driving_frame", "quartile", "side")
# Of the table; what was not measured is left out.
_LABELS = {
    "displacement_percent": "displacement, %",
    "l1": "L1, 0 to 1",
    "copy_l1": "  of the source itself",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "akd_percent": "AKD, %",
    "copy_akd_percent": "  of the source itself",
    "akd_per_coordinate_percent": "AKD as published, %",
    "mkr": "MKR, mean over pairs",
    "mkr_pooled": "MKR, over all joints",
    "aed": "AED",
    "copy_aed": "  of the source itself",
    "aed_squared": "AED as published, squared",
    "epe_percent": "EPE, %",
    "copy_epe_percent": "  of the source itself",
    "wins_l1": "wins by L1",
    "wins_akd": "wins by AKD",
    "wins_aed": "wins by AED",
    "wins_epe": "wins by EPE",
    "hopped": "interpolated image used",
    "t": "t",
    "from_source": "taken from the source",
    "from_photos": "  from the photos",
    "from_interpolated": "  from the interpolated",
    "from_composed": "  from the composed view",
}
# Whose reasons are printed; the others follow from these.
_EXPLAINED = {
    "psnr": "PSNR",
    "akd_percent": "AKD",
    "copy_akd_percent": "AKD of the source itself",
    "mkr": "MKR",
    "aed": "AED",
    "copy_aed": "AED of the source itself",
    "epe_percent": "EPE",
}
Summary = dict[str, dict[str, Figure]]


def by_group(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of all pairs and of each quartile of displacement."""
    return {group: rows if group == "all" else rows[rows["quartile"] == int(group[1])] for group in GROUPS}


def summarise(rows: pd.DataFrame) -> Summary:
    """Of each group and column of `pair_record`s the `statistics`; "mkr_pooled" is over all joints of all pairs."""
    columns = [column for column in figures_of(rows) if column not in _NOT_AVERAGED]
    result = {}
    for group, own in by_group(rows).items():
        result[group] = {column: statistics(own[column], reasons(own, column)) for column in columns}
        if "missing" in columns:
            result[group]["mkr_pooled"] = _pooled(own)
    return result


def _pooled(rows: pd.DataFrame) -> Figure:
    """The share of missing joints over all joints of the pairs."""
    count, empty = int((rows["to_find"] > 0).sum()), int((rows["to_find"] == 0).sum())
    mean = plain(rows["missing"].sum() / rows["to_find"].sum()) if count else None
    return {"mean": mean, "stderr": None, "count": count, "undefined": {NOBODY_REAL: empty} if empty else {}}


@dataclass(frozen=True)
class PairReport:
    """The measured pairs.

    Attributes:
        rows: a row per pair in the order of the list, see `records.pair_record`.
        between: a row per interpolated image, see `records.between_record`; empty where these were not measured.
        about: model, data, detector, embedder, settings and times.
    """

    rows: pd.DataFrame
    between: pd.DataFrame
    about: dict[str, Any]

    @property
    def summary(self) -> Summary:
        """See `summarise`."""
        return summarise(self.rows)

    @property
    def interpolation(self) -> dict[str, Summary]:
        """By time and group the statistics of "keypoints_percent" and "identity"."""
        names = [name for name in ("keypoints_percent", "identity") if name in self.between]
        return {
            f"{t:g}": {
                group: {name: statistics(own[name], own.get(f"undefined {name}")) for name in names}
                for group, own in by_group(images).items()
            }
            for t, images in self.between.groupby("t")
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as values that JSON has."""
        return {
            "kind": "pairs",
            "about": self.about,
            "summary": self.summary,
            "interpolation": self.interpolation,
            "rows": rows_json(self.rows, self.between),
        }

    def table(self) -> str:
        """The report as text."""
        summary, interpolation = self.summary, self.interpolation
        lines = [f"  {name}: {value}" for name, value in self.about.items() if not isinstance(value, dict)]
        lines.append(_line("", GROUPS))
        lines.append(_line("pairs", [str(len(rows)) for rows in by_group(self.rows).values()]))
        lines += [
            _line(label, [_text(summary[group][column]) for group in GROUPS])
            for column, label in _LABELS.items()
            if column in summary["all"]
        ]
        for name, label in (("keypoints_percent", "keypoints off, %"), ("identity", "identity distance")):
            lines += [
                _line(f"t = {t}: {label}", [_text(groups[group][name]) for group in GROUPS])
                for t, groups in interpolation.items()
                if name in groups["all"]
            ]
        figures = {label: summary["all"].get(column, {}) for column, label in _EXPLAINED.items()}
        figures |= {
            f"identity distance at t = {t}": groups["all"].get("identity", {}) for t, groups in interpolation.items()
        }
        lines += [
            f"  {label}: not defined for {count} pairs: {reason}"
            for label, figure in figures.items()
            for reason, count in figure.get("undefined", {}).items()
        ]
        lines.append("mean over pairs +- standard error; %: of the picture's longer side; wins: over the source itself")
        return "\n".join(lines)


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:28}" + "".join(f"{cell:>20}" for cell in cells)


def _text(figure: Figure) -> str:
    if figure["mean"] is None:
        return "-"
    error = "" if figure["stderr"] is None else f" +- {figure['stderr']:.4f}"
    return f"{figure['mean']:.4f}{error}"
