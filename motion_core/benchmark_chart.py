"""The benchmark's measurements as a picture: milliseconds per stage of each backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .benchmark import Measurement
from .errors import InputError

COLOURS = ("#9ecae1", "#4292c6", "#08519c")


def empty_chart(path: str, panels: int) -> Any:
    """A figure with axes side by side; made before anything is measured, since that takes minutes.

    Raises:
        InputError: matplotlib is not installed, or a picture cannot be written there.
    """
    if Path(path).suffix != ".png" or not Path(path).absolute().parent.is_dir():
        raise InputError(f"chart must be the name of a PNG file in an existing folder, got {path}")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("a chart needs matplotlib: pip install '.[eval]'") from None
    figure = Figure(figsize=(6 * panels, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(1, panels, sharey=True, squeeze=False)
    return figure


def draw(figure: Any, tables: Mapping[str, Sequence[Measurement]], path: str) -> None:
    """Write a bar for each measurement, of one panel for each table, by its title."""
    for axes, (title, results) in zip(figure.axes, tables.items(), strict=True):
        names = [f"{str(each.dtype).removeprefix('torch.')}, {each.backend}" for each in results]
        starts = [0.0] * len(results)
        for stage, colour in zip(results[0].stages, COLOURS, strict=True):
            widths = [1000 * each.stages[stage].processor for each in results]
            axes.barh(names, widths, left=starts, color=colour, label=stage)
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        for row, (end, each) in enumerate(zip(starts, results, strict=True)):
            axes.text(end, row, f"  {end:.0f} ms, {each.speed:.2f} x", va="center", fontsize=8)
        axes.set(title=title, xlabel="ms of the processor per driving frame", xlim=(0, 1.3 * max(starts)))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS), frameon=False
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})
