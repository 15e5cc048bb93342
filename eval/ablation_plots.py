"""The ablation's plots as PNG files: AKD over displacement, identity over t, and how often which t was chosen."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError

from .ablation_table import Scores, by_label

BINS = 8


def plot_all(scores: Sequence[Scores], folder: Path) -> None:
    """Write akd.png, identity.png and times.png, as far as there is something to show.

    Raises:
        InputError: matplotlib is not installed.
    """
    rows = by_label(scores)
    for name, plot in (("akd", _akd), ("identity", _identity), ("times", _times)):
        figure, axes = _figure()
        if plot(axes, rows):
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


def _akd(axes: Any, rows: dict[str, list[Scores]]) -> bool:
    """Mean AKD in groups of equally many pairs, over their mean displacement."""
    for label, models in rows.items():
        moved = np.array(models[0].values("displacement_percent"), float)
        found = [[np.nan if value is None else value for value in each.values("akd_percent")] for each in models]
        if not all(found) or np.isnan(found).all():
            continue
        groups = [group for group in np.array_split(np.argsort(moved, kind="stable"), BINS) if len(group)]
        values = np.array(found, float)
        means = [np.nanmean(values[:, group]) if not np.isnan(values[:, group]).all() else np.nan for group in groups]
        axes.plot([moved[group].mean() for group in groups], means, marker="o", label=label)
    axes.set(
        xlabel="displacement, % of the side", ylabel="AKD, % of the side", title="Keypoint error over displacement"
    )
    return _finished(axes)


def _identity(axes: Any, rows: dict[str, list[Scores]]) -> bool:
    """Identity distance of the interpolated images to the source, over their time: all pairs, and the fourth quartile dashed."""
    for label, models in rows.items():
        given = [each.content["interpolation"] for each in models if each.content["interpolation"]]
        if not given or "identity" not in next(iter(given[0].values()))["all"]:
            continue
        times = sorted(given[0], key=float)
        for group, style in (("all", "-"), ("q4", "--")):
            means = [[each[t][group]["identity"]["mean"] for each in given] for t in times]
            line = [statistics.fmean(row) if None not in row else np.nan for row in means]
            name = label if group == "all" else f"{label}, q4"
            axes.plot([float(t) for t in times], line, style, marker="o", label=name)
    axes.set(xlabel="t", ylabel="distance to the source's identity", title="Identity of the interpolated image")
    return _finished(axes)


def _times(axes: Any, rows: dict[str, list[Scores]]) -> bool:
    """The share of pairs for which each time was chosen; 0 is no hop."""
    chosen = {
        label: [t for each in models for t in each.values("t") if t is not None]
        for label, models in rows.items()
        if models[0].variant not in ("copy", "tpsmm")
    }
    chosen = {label: times for label, times in chosen.items() if times}
    edges = np.arange(10) / 8 - 1 / 16
    if chosen:
        weights = [np.full(len(times), 1 / len(times)) for times in chosen.values()]
        axes.hist(list(chosen.values()), bins=edges, weights=weights, label=list(chosen))
    axes.set(xlabel="t that was chosen", ylabel="share of pairs", title="Chosen times")
    return _finished(axes)


def _finished(axes: Any) -> bool:
    if not axes.get_legend_handles_labels()[1]:
        return False
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return True
