"""The ablation's plots as PNG files: AKD over displacement, identity over t, and how often which t was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError

from .ablation_table import PLAIN, Scores, by_label, rows_of

BINS = 8


def plot_all(scores: Sequence[Scores], folder: Path) -> None:
    """Write akd.png, identity.png and times.png, those that have something to show.

    Raises:
        InputError: matplotlib is not installed.
    """
    for name, plot in (("akd", _akd), ("identity", _identity), ("times", _times)):
        figure, axes = _figure()
        if plot(axes, scores):
            figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight", metadata={"Software": None})


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("plots need matplotlib: pip install '.[eval]'") from None
    figure = Figure(figsize=(7, 4.5))
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _akd(axes: Any, scores: Sequence[Scores]) -> bool:
    """Mean AKD of each variant in groups of equally many pairs, over their mean displacement."""
    for label, rows in rows_of(_variants(scores)).groupby("label", sort=False):
        if "akd_percent" not in rows or rows["akd_percent"].isna().all():
            continue
        pairs = rows.groupby("pair")["displacement_percent"].first()
        groups = [group for group in np.array_split(np.argsort(pairs.to_numpy(), kind="stable"), BINS) if len(group)]
        means = [rows[rows["pair"].isin(pairs.index[group])]["akd_percent"].mean() for group in groups]
        axes.plot([pairs.iloc[group].mean() for group in groups], means, marker="o", label=label)
    axes.set(
        xlabel="displacement, % of the side", ylabel="AKD, % of the side", title="Keypoint error over displacement"
    )
    return _finished(axes)


def _identity(axes: Any, scores: Sequence[Scores]) -> bool:
    """Identity distance of the interpolated images to the source, over their time: all pairs, and the fourth quartile dashed."""
    for label, models in by_label(scores).items():
        given = [each.content["interpolation"] for each in models if each.content["interpolation"]]
        if not given or "identity" not in next(iter(given[0].values()))["all"]:
            continue
        times = sorted(given[0], key=float)
        for group, style in (("all", "-"), ("q4", "--")):
            means = np.array([[each[t][group]["identity"]["mean"] for t in times] for each in given], float)
            name = label if group == "all" else f"{label}, q4"
            axes.plot([float(t) for t in times], means.mean(axis=0), style, marker="o", label=name)
    axes.set(xlabel="t", ylabel="distance to the source's identity", title="Identity of the interpolated image")
    return _finished(axes)


def _times(axes: Any, scores: Sequence[Scores]) -> bool:
    """The share of pairs for which each variant chose each time; 0 is no hop."""
    rows = rows_of([each for each in _variants(scores) if each.variant not in ("copy", PLAIN)])
    chosen = rows.dropna(subset="t").groupby("label", sort=False)["t"].apply(list).to_dict() if "t" in rows else {}
    if chosen:
        weights = [np.full(len(times), 1 / len(times)) for times in chosen.values()]
        edges = np.arange(10) / 8 - 1 / 16
        axes.hist(list(chosen.values()), bins=edges, weights=weights, label=list(chosen))
    axes.set(xlabel="t that was chosen", ylabel="share of pairs", title="Chosen times")
    return _finished(axes)


def _variants(scores: Sequence[Scores]) -> list[Scores]:
    """Without what they would be with another choice of t."""
    return [each for each in scores if each.label == each.variant]


def _finished(axes: Any) -> bool:
    if not axes.get_legend_handles_labels()[1]:
        return False
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return True
