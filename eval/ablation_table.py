"""The ablation's tables in Markdown: rows are variants, each the mean over its seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .pairs.report import GROUPS, by_group
from .tables import markdown, statistics

# Column, heading, digits; of the figures of `pair_scores`. AKD and EPE are in percent of the image's longer side.
COLUMNS = (
    ("l1", "L1", 4),
    ("akd_percent", "AKD, %", 2),
    ("mkr_pooled", "MKR", 3),
    ("akd_percent_second", "AKD 2, %", 2),  # by the second detector
    ("mkr_pooled_second", "MKR 2", 3),
    ("aed", "AED", 3),
    ("epe_percent", "EPE, %", 2),
)
COMPARED = ("l1", "akd_percent", "akd_percent_second", "aed", "epe_percent")  # pair by pair
PLAIN = "tpsmm"
SIMPLER = {"int_bt": "int", "full": "int_bt", "v2": "full"}  # what a part of the method is added to, other than PLAIN
NO_HOP, BEST_FIXED, ORACLE = "no hop", "best fixed", "oracle"  # how t is chosen

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
    """The scores of one model by `eval.pair_scores`.

    Attributes:
        label: of the row; models that differ in their seed alone have the same. That of the table's own choice of t is the
            variant, others are `labelled`.
        variant: of the model, or "copy".
        name: of the model.
        content: the JSON file.
    """

    label: str
    variant: str
    name: str
    content: dict[str, Any]

    @classmethod
    def read(cls, label: str, variant: str, path: Path) -> Scores:
        """Read a file of `eval.pair_scores`."""
        return cls(label, variant, path.stem, json.loads(path.read_text(encoding="utf-8")))


def labelled(variant: str, choice: str) -> str:
    """The label of a variant whose t is chosen in another way than the table's."""
    return f"{variant}, {choice}"


def rows_of(scores: Sequence[Scores]) -> pd.DataFrame:
    """The rows of all models, a pair of a model each, with the columns "label", "variant", "model" and "pair"."""
    each = [
        {"label": own.label, "variant": own.variant, "model": own.name, "pair": pair}
        | {column: value for column, value in row.items() if column not in ("undefined", "interpolation")}
        for own in scores
        for pair, row in enumerate(own.content["rows"])
    ]
    rows = pd.DataFrame(each)
    figures = [column for column, _, _ in COLUMNS if column in rows]
    return rows.astype({column: float for column in figures})


def by_label(scores: Sequence[Scores]) -> dict[str, list[Scores]]:
    """The models of each row."""
    rows: dict[str, list[Scores]] = {}
    for each in scores:
        rows.setdefault(each.label, []).append(each)
    return rows


def model_means(rows: pd.DataFrame) -> pd.DataFrame:
    """The figures of each model over its pairs: a row per ("label", "model"); "mkr_pooled" is over all joints."""
    models = rows.groupby(["label", "model"], sort=False)
    figures = [column for column, _, _ in COLUMNS if column in rows]
    means = models[[*figures, *(["hopped"] if "hopped" in rows else [])]].mean()
    for own in ("", "_second"):
        if f"missing{own}" in rows:
            means[f"mkr_pooled{own}"] = models[f"missing{own}"].sum() / models[f"to_find{own}"].sum()
    return means


def tables(scores: Sequence[Scores]) -> str:
    """All tables of some models."""
    rows = rows_of(scores)
    means = model_means(rows)
    measured = [column for column in COLUMNS if column[0] in means and means[column[0]].notna().any()]
    parts = [
        "All pairs; of several seeds the mean and half the range. Less is better.\n\n"
        + _overall(scores, means, measured),
        "By quartile of displacement, q4 the largest:\n\n" + _by_quartile(rows, measured),
    ]
    compared = [column for column in measured if column[0] in COMPARED]
    if couples := _couples(scores):
        parts.append(
            "Pair by pair (seeds averaged): mean difference and its standard error; below 0 is better.\n\n"
            + _differences(rows, couples, compared)
        )
    if chosen := _chosen(rows):
        parts.append(
            "Hops, their times, and the share of what the oracle gains in L1 over no hop that is gained:\n\n" + chosen
        )
    parts.append("How the rows were trained:\n\n" + _training(by_label(scores)))
    return "\n\n".join(parts) + "\n"


def _overall(scores: Sequence[Scores], means: pd.DataFrame, columns: Sequence[tuple[str, str, int]]) -> str:
    lines = []
    for label, models in by_label(scores).items():
        cells = [spread(means[column].loc[label], digits) for column, _, digits in columns]
        hopped = spread(means["hopped"].loc[label], 2) if "hopped" in means else "-"
        times = pd.Series([each.content["about"].get("milliseconds_per_pair") for each in models], dtype=float)
        counts = models[0].content["about"].get("gmacs") or {}
        cost = " / ".join(f"{count:.2f}" for count in counts.values()) or "-"
        lines.append([f"`{label}`", *cells, hopped, cost, spread(times, 0)])
    return markdown(["", *(head for _, head, _ in columns), "hop used", "GMACs", "ms a pair"], lines)


def _by_quartile(rows: pd.DataFrame, columns: Sequence[tuple[str, str, int]]) -> str:
    means = {group: model_means(own) for group, own in by_group(rows).items() if group != "all"}
    lines = [
        [f"`{label}`", head, *(spread(own[column].get(label), digits) for own in means.values())]
        for column, head, digits in columns
        for label in rows["label"].unique()
    ]
    return markdown(["", "", *means], lines)


def _couples(scores: Sequence[Scores]) -> list[tuple[str, str]]:
    """The rows that are compared.

    Each variant, with its hops and without, with the plain backbone; it with what it adds to, and with itself without hops.
    """
    labels = by_label(scores)
    variants = [label for label, (own, *_) in labels.items() if label == own.variant and label not in (PLAIN, "copy")]
    straight = [(own, labelled(own, NO_HOP)) for own in variants]
    couples = [(label, PLAIN) for pair in straight for label in pair] + list(SIMPLER.items()) + straight
    return [couple for couple in couples if set(couple) <= set(labels)]


def _differences(
    rows: pd.DataFrame, couples: Sequence[tuple[str, str]], columns: Sequence[tuple[str, str, int]]
) -> str:
    """The differences over the pairs for which the figure is defined in all models of both rows."""
    pairs = rows.drop_duplicates("pair").set_index("pair")
    wide = rows.pivot(index="pair", columns=["label", "model"], values=[column for column, _, _ in columns])
    lines = []
    for label, other in couples:
        for column, head, digits in columns:
            own, others = (wide[column][each].mean(axis=1, skipna=False) for each in (label, other))
            compared = pairs.assign(difference=own - others)
            cells = [_difference(group["difference"], digits + 1) for group in by_group(compared).values()]
            lines.append([f"`{label}` - `{other}`", head, *cells])
    return markdown(["", "", *GROUPS], lines)


def _chosen(rows: pd.DataFrame) -> str:
    """Of each row whose t can be compared with the oracle's: how often it hops, where to, and what it gains by it."""
    by_name = {label: by_group(own) for label, own in rows.groupby("label", sort=False)}
    lines = []
    for label, variant in rows[["label", "variant"]].drop_duplicates().itertuples(index=False):
        bounds = [labelled(variant, choice) for choice in (NO_HOP, ORACLE)]
        if label in bounds or not set(bounds) <= set(by_name):
            continue
        figures = []
        for group in GROUPS:
            chosen, none, best = (by_name[each][group] for each in (label, *bounds))
            gain = none["l1"].mean() - best["l1"].mean()
            gained = (none["l1"].mean() - chosen["l1"].mean()) / gain if gain > 0 else None
            figures.append((chosen["hopped"].mean(), chosen["t"][chosen["hopped"] > 0].mean(), gained))
        for head, values in zip(("hops", "mean t of hops", "gained"), zip(*figures, strict=True), strict=True):
            lines.append([f"`{label}`", head, *(spread(pd.Series([value], dtype=float), 2) for value in values)])
    return markdown(["", "", *GROUPS], lines) if lines else ""


def _difference(values: pd.Series, digits: int) -> str:
    figure = statistics(values)
    if figure["stderr"] is None:
        return "-"
    return f"{figure['mean']:+.{digits}f} ± {figure['stderr']:.{digits}f}"


def spread(values: pd.Series | None, digits: int) -> str:
    """The mean over seeds and half their range; None or NaN where there is no value."""
    defined = pd.Series(dtype=float) if values is None else values.dropna()
    if not len(defined):
        return "-"
    text = f"{defined.mean():.{digits}f}"
    return text if len(defined) == 1 else f"{text} ± {(defined.max() - defined.min()) / 2:.{digits}f}"


def _training(rows: dict[str, list[Scores]]) -> str:
    heads = ["", "seeds", "steps", "pairs seen", "minutes each", "VGG features", "ViT features"]
    lines = []
    for label, models in rows.items():
        runs = [each.content.get("training") or {} for each in models]
        if not all(runs):
            continue

        def joined(read: Callable[[dict[str, Any]], Any], runs: list[dict[str, Any]] = runs) -> str:
            return ", ".join(dict.fromkeys(str(read(run)) for run in runs))

        uses_vit = models[0].variant in ("full", "v2")
        cells = [joined(lambda run: run["seed"]), joined(lambda run: run["progress"]["step"])]
        cells.append(joined(lambda run: run["progress"]["samples"]))
        cells.append(joined(lambda run: round(run["progress"]["seconds"] / 60)))
        cells.append(joined(lambda run: Path(run["features"]["vgg"]).name))
        cells.append(joined(lambda run: Path(run["features"]["vit"]).name) if uses_vit else "-")
        lines.append([f"`{label}`", *cells])
    return markdown(heads, lines)
