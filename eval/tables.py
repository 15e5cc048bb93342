"""Statistics of columns of figures, and tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

Figure = dict[str, Any]


def statistics(values: pd.Series, reasons: pd.Series | None = None) -> Figure:
    """The mean, its standard error, and what is left out.

    Args:
        values: NaN where the figure is not defined.
        reasons: for the same rows, why it is not.

    Returns:
        "mean", "stderr" (None for fewer than two values), "count" of the values, and "undefined": rows without one, by reason.

    Example:
        >>> statistics(pd.Series([1.0, 3.0, math.nan]), pd.Series([None, None, "nobody"]))
        {'mean': 2.0, 'stderr': 1.0, 'count': 2, 'undefined': {'nobody': 1}}
    """
    undefined = {} if reasons is None else counts(reasons[values.isna()])
    return {
        "mean": plain(values.mean()),
        "stderr": plain(values.sem()),
        "count": int(values.count()),
        "undefined": undefined,
    }


def counts(reasons: pd.Series) -> dict[str, int]:
    """The frequency of each reason; None is no reason.

    Example:
        >>> counts(pd.Series(["nobody", None, "nobody"]))
        {'nobody': 2}
    """
    return {str(reason): int(count) for reason, count in reasons.value_counts(sort=False).items()}


def plain(value: Any) -> Any:
    """A cell of a table as JSON has it: Python's own types, None for NaN.

    Example:
        >>> plain(pd.Series([1, 2])[0]), plain(math.nan), plain("a")
        (1, None, 'a')
    """
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    Example:
        >>> print(markdown(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    rows = [f"| {' | '.join(cells)} |" for cells in (heads, *lines)]
    return "\n".join([rows[0], "|---" * len(heads) + "|", *rows[1:]])
