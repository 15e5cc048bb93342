"""All pairs together and by quartile of displacement: means with standard errors, and what is not defined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..measuring import NOBODY_REAL
from .rows import NOBODY_BETWEEN, Row

GROUPS = ("all", "q1", "q2", "q3", "q4")
_NOT_AVERAGED = ("video", "source_frame", "driving_frame", "quartile", "side", "undefined", "interpolation")
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
}
# Of which it is said why they are not defined; the others follow from these.
_EXPLAINED = {
    "psnr": "PSNR",
    "akd_percent": "AKD",
    "copy_akd_percent": "AKD of the source itself",
    "mkr": "MKR",
    "aed": "AED",
    "copy_aed": "AED of the source itself",
    "epe_percent": "EPE",
}
Figure = dict[str, Any]


@dataclass(frozen=True)
class PairReport:
    """What was measured of a list of pairs.

    Attributes:
        rows: of each pair, in the order of the list; None where a figure is not defined, and "undefined" says why.
        summary: by group ("all", "q1" to "q4") and column: "mean", "stderr" (None for fewer than two pairs), "count" of the
            pairs that it is defined for, and "undefined", of how many it is not, by reason.
        interpolation: by time ("0.125" to "0.875") and group, the same of "keypoints_percent" and "identity"; empty where it
            was not measured.
        about: model, data, detector, embedder, settings and times.
    """

    rows: list[Row]
    summary: dict[str, dict[str, Figure]]
    interpolation: dict[str, dict[str, dict[str, Figure]]]
    about: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Everything, as values that JSON has."""
        return {
            "kind": "pairs",
            "about": self.about,
            "summary": self.summary,
            "interpolation": self.interpolation,
            "rows": self.rows,
        }

    def table(self) -> str:
        """What people want to see."""
        counts = Counter(f"q{row['quartile']}" for row in self.rows) | Counter(all=len(self.rows))
        lines = [f"  {name}: {value}" for name, value in self.about.items() if not isinstance(value, dict)]
        lines.append(f"{'':28}" + "".join(f"{group:>20}" for group in GROUPS))
        lines.append(f"{'pairs':28}" + "".join(f"{counts[group]:>20}" for group in GROUPS))
        lines += [
            f"{label:28}" + "".join(f"{_text(self.summary[group][column]):>20}" for group in GROUPS)
            for column, label in _LABELS.items()
            if column in self.summary["all"]
        ]
        for name, label in (("keypoints_percent", "keypoints off, %"), ("identity", "identity distance")):
            lines += [
                f"{f't = {t}: {label}':28}" + "".join(f"{_text(groups[group][name]):>20}" for group in GROUPS)
                for t, groups in self.interpolation.items()
                if name in groups["all"]
            ]
        figures = {label: self.summary["all"].get(column, {}) for column, label in _EXPLAINED.items()}
        figures |= {
            f"identity distance at t = {t}": groups["all"].get("identity", {})
            for t, groups in self.interpolation.items()
        }
        lines += [
            f"  {label}: not defined for {count} pairs: {reason}"
            for label, figure in figures.items()
            for reason, count in figure.get("undefined", {}).items()
        ]
        lines.append("mean over pairs +- standard error; %: of the picture's longer side; wins: over the source itself")
        return "\n".join(lines)


def _text(figure: Figure) -> str:
    if figure["mean"] is None:
        return "-"
    error = "" if figure["stderr"] is None else f" +- {figure['stderr']:.4f}"
    return f"{figure['mean']:.4f}{error}"


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Figure]]:
    """The `PairReport.summary` of rows that have the same columns."""
    columns = [name for name in rows[0] if name not in _NOT_AVERAGED]
    result = {}
    for group in GROUPS:
        own = _of(rows, group)
        result[group] = {
            name: _figure([row[name] for row in own], [row["undefined"].get(name) for row in own]) for name in columns
        }
        if "missing" in columns:
            result[group]["mkr_pooled"] = _pooled(own)
    return result


def summarise_interpolation(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Figure]]]:
    """The `PairReport.interpolation` of rows."""
    return {
        t: {group: _between(_of(rows, group), t, list(figures)) for group in GROUPS}
        for t, figures in rows[0].get("interpolation", {}).items()
    }


def _between(rows: Sequence[Row], t: str, names: Sequence[str]) -> dict[str, Figure]:
    values: Callable[[str], list[float | None]] = lambda name: [row["interpolation"][t][name] for row in rows]  # noqa: E731
    return {name: _figure(values(name), [NOBODY_BETWEEN] * len(rows)) for name in names}


def _of(rows: Sequence[Row], group: str) -> list[Row]:
    return [row for row in rows if group in ("all", f"q{row['quartile']}")]


def _figure(values: Sequence[float | None], reasons: Sequence[str | None]) -> Figure:
    there = [value for value in values if value is not None]
    mean = math.fsum(there) / len(there) if there else None
    error = None
    if mean is not None and len(there) > 1:
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in there) / (len(there) - 1) / len(there))
    missing = Counter(str(why) for value, why in zip(values, reasons, strict=True) if value is None)
    return {"mean": mean, "stderr": error, "count": len(there), "undefined": dict(missing)}


def _pooled(rows: Sequence[Row]) -> Figure:
    """The share of missing joints over all joints of the pairs."""
    counted = [row for row in rows if row["to_find"]]
    missing, wanted = (sum(row[name] for row in counted) for name in ("missing", "to_find"))
    reasons = {} if len(counted) == len(rows) else {NOBODY_REAL: len(rows) - len(counted)}
    return {"mean": missing / wanted if wanted else None, "stderr": None, "count": len(counted), "undefined": reasons}
