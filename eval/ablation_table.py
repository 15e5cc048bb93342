"""The ablation's tables in Markdown: rows are variants, each the mean over its seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pairs.report import GROUPS

# Column, heading, digits; of the figures of `pair_scores`. AKD and EPE are in percent of the image's longer side.
COLUMNS = (
    ("l1", "L1", 4),
    ("akd_percent", "AKD, %", 2),
    ("mkr_pooled", "MKR", 3),
    ("aed", "AED", 3),
    ("epe_percent", "EPE, %", 2),
)
COMPARED = ("l1", "akd_percent", "aed", "epe_percent")  # pair by pair with the plain backbone

PUBLISHED = """
Published, Tai-Chi-HD at 256 x 256: other data, training, detector and embedder, so not to be compared with the rows above
(Wang & Li, ICML 2025; AKD per coordinate in pixels):

| | L1 | (AKD, MKR) | AED |
|---|---|---|---|
| TPSMM | 0.045 | (4.57, 0.018) | 0.151 |
| + interpolation (`int`) | - | (5.56, 0.026) | - |
| + bidirectional training (`int_bt`) | 0.048 | (4.31, 0.016) | 0.158 |
| + ViT losses (`full`) | 0.047 | (4.21, 0.014) | 0.157 |
| V2 (`v2`) | 0.046 | (3.67, 0.013) | 0.149 |
"""


@dataclass(frozen=True)
class Scores:
    """What `eval.pair_scores` said of one model.

    Attributes:
        label: of the row; models that differ in their seed alone have the same.
        variant: of the model, or "copy".
        content: the JSON file.
    """

    label: str
    variant: str
    content: dict[str, Any]

    @classmethod
    def read(cls, label: str, variant: str, path: Path) -> Scores:
        """Read a file of `eval.pair_scores`."""
        return cls(label, variant, json.loads(path.read_text(encoding="utf-8")))

    def mean(self, column: str, group: str = "all") -> float | None:
        """The mean over the pairs of a group, None where it was not measured or is not defined."""
        figure = self.content["summary"][group].get(column)
        return None if figure is None else figure["mean"]

    def values(self, column: str, group: str = "all") -> list[float | None]:
        """A figure of every pair of a group, in the order of the list of pairs."""
        rows = self.content["rows"]
        return [row.get(column) for row in rows if group == "all" or f"q{row['quartile']}" == group]


def by_label(scores: Sequence[Scores]) -> dict[str, list[Scores]]:
    """The models of each row."""
    rows: dict[str, list[Scores]] = {}
    for each in scores:
        rows.setdefault(each.label, []).append(each)
    return rows


def tables(scores: Sequence[Scores]) -> str:
    """All tables of some models."""
    rows = by_label(scores)
    measured = [column for column in COLUMNS if any(each.mean(column[0]) is not None for each in scores)]
    parts = [
        "All pairs; of several seeds the mean and half the range. Less is better.\n\n" + _overall(rows, measured),
        "By quartile of displacement, q4 the largest:\n\n" + _by_quartile(rows, measured),
    ]
    if "tpsmm" in rows:
        parts.append(
            "Pair by pair against `tpsmm` (seeds averaged): mean difference and its standard error; below 0 is better.\n\n"
            + _against(rows, rows["tpsmm"], [column for column in measured if column[0] in COMPARED])
        )
    parts.append("How the rows were trained:\n\n" + _training(rows))
    return "\n\n".join(parts) + "\n"


def published() -> str:
    """The published numbers, marked as such."""
    return PUBLISHED


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(cells)} |" for cells in (heads, *lines)]
    return "\n".join([rows[0], "|---" * len(heads) + "|", *rows[1:]])


def _overall(rows: dict[str, list[Scores]], columns: Sequence[tuple[str, str, int]]) -> str:
    heads = ["", *(head for _, head, _ in columns), "hop used", "GMACs", "ms a pair"]
    lines = []
    for label, models in rows.items():
        cells = [spread([each.mean(column) for each in models], digits) for column, _, digits in columns]
        cells.append(spread([each.mean("hopped") for each in models], 2))
        cells += [_cost(models), spread([each.content["about"].get("milliseconds_per_pair") for each in models], 0)]
        lines.append([f"`{label}`", *cells])
    return _table(heads, lines)


def _cost(models: Sequence[Scores]) -> str:
    counts = models[0].content["about"].get("gmacs") or {}
    return " / ".join(f"{count:.2f}" for count in counts.values()) or "-"


def _by_quartile(rows: dict[str, list[Scores]], columns: Sequence[tuple[str, str, int]]) -> str:
    lines = [
        [f"`{label}`", head, *(spread([each.mean(column, group) for each in models], digits) for group in GROUPS[1:])]
        for column, head, digits in columns
        for label, models in rows.items()
    ]
    return _table(["", "", *GROUPS[1:]], lines)


def _against(rows: dict[str, list[Scores]], plain: list[Scores], columns: Sequence[tuple[str, str, int]]) -> str:
    lines = []
    for label, models in rows.items():
        if models is plain or label == "copy":
            continue
        for column, head, digits in columns:
            cells = [_difference(models, plain, column, group, digits + 1) for group in GROUPS]
            lines.append([f"`{label}`", head, *cells])
    return _table(["", "", *GROUPS], lines)


def _difference(models: list[Scores], plain: list[Scores], column: str, group: str, digits: int) -> str:
    """Over the pairs for which the figure is defined in all models of both rows."""
    ours, theirs = ([each.values(column, group) for each in row] for row in (models, plain))
    differences = [
        statistics.fmean(a) - statistics.fmean(b)
        for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
        if None not in (*a, *b)
    ]
    if len(differences) < 2:
        return "-"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{statistics.fmean(differences):+.{digits}f} ± {error:.{digits}f}"


def spread(values: Sequence[float | None], digits: int) -> str:
    """The mean of what several seeds gave, and half their range."""
    defined = [value for value in values if value is not None]
    if not defined:
        return "-"
    text = f"{statistics.fmean(defined):.{digits}f}"
    return text if len(defined) == 1 else f"{text} ± {(max(defined) - min(defined)) / 2:.{digits}f}"


def _training(rows: dict[str, list[Scores]]) -> str:
    heads = ["", "seeds", "steps", "pairs seen", "minutes each", "VGG features", "ViT features"]
    lines = []
    for label, models in rows.items():
        runs = [each.content.get("training") or {} for each in models]
        if not all(runs):
            continue

        def told(read: Callable[[dict[str, Any]], Any], runs: list[dict[str, Any]] = runs) -> str:
            return ", ".join(dict.fromkeys(str(read(run)) for run in runs))

        uses_vit = models[0].variant in ("full", "v2")
        cells = [told(lambda run: run["seed"]), told(lambda run: run["progress"]["step"])]
        cells.append(told(lambda run: run["progress"]["samples"]))
        cells.append(told(lambda run: round(run["progress"]["seconds"] / 60)))
        cells.append(told(lambda run: Path(run["features"]["vgg"]).name))
        cells.append(told(lambda run: Path(run["features"]["vit"]).name) if uses_vit else "-")
        lines.append([f"`{label}`", *cells])
    return _table(heads, lines)
