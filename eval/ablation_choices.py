"""What rows of an ablation would be if the time t had been chosen otherwise, and whether rows may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motion_core.errors import InputError

from .ablation_table import Scores

_COMMON = ("pairs_digest", "detector", "embedder", "detector_size", "split")  # of what rows say about themselves


def no_hop(at: Mapping[float, Scores], label: str, name: str) -> Scores:
    """Time 0 for all pairs: nothing is interpolated.

    Args:
        at: the scores of one model by the time that all pairs had; 0 is among them.
    """
    return _like(at, label, name, at[0].content["rows"])


def oracle(at: Mapping[float, Scores], label: str, name: str) -> Scores:
    """Of each pair the time at which its final image differs least (L1) from the real one: what no selector can know.

    Args:
        at: the scores of one model by the time that all pairs had.
    """
    rows = [
        min(each, key=lambda row: row["l1"])
        for each in zip(*(scores.content["rows"] for scores in at.values()), strict=True)
    ]
    return _like(at, label, name, rows)


def best_fixed(at: Mapping[float, Scores], label: str, name: str) -> Scores:
    """The time that serves all pairs best (mean L1).

    Each half of the clips has that of the other half, so that it is not fitted to the pairs that it is measured on.

    Args:
        at: the scores of one model by the time that all pairs had.
    """
    errors = {t: np.array([row["l1"] for row in scores.content["rows"]]) for t, scores in at.items()}  # (P,) each
    clips = [row["video"] for row in next(iter(at.values())).content["rows"]]
    half = np.array([list(dict.fromkeys(clips)).index(clip) % 2 for clip in clips], dtype=bool)  # (P,)
    best = {side: min(at, key=lambda t: errors[t][half != side].mean()) for side in (False, True)}
    return _like(at, label, name, [at[best[bool(side)]].content["rows"][k] for k, side in enumerate(half)])


def _like(at: Mapping[float, Scores], label: str, name: str, rows: list[dict[str, Any]]) -> Scores:
    own = next(iter(at.values()))
    about = {key: value for key, value in own.content["about"].items() if key not in ("gmacs", "milliseconds_per_pair")}
    return Scores(label, own.variant, name, {"rows": rows, "interpolation": {}, "about": about})


def check_comparable(scores: Sequence[Scores]) -> None:
    """Refuse rows that were measured on other pairs, by other instruments, or trained from another base or for another time.

    Raises:
        InputError: naming what differs.
    """
    for key in _COMMON:
        _same(scores, key, lambda each, key=key: each.content["about"].get(key))
    trained = [each for each in scores if each.content.get("training")]
    _same(trained, "base", lambda each: each.content["training"].get("init_from"))
    _same(trained, "number of pairs seen", lambda each: each.content["training"]["progress"]["samples"])
    _same(trained, "features", lambda each: each.content["training"]["features"]["vgg"])


def _same(scores: Sequence[Scores], what: str, read: Any) -> None:
    first: dict[str, str] = {}
    for each in scores:
        first.setdefault(repr(read(each)), each.name)
    if len(first) > 1:
        (one, name), (other, another) = list(first.items())[:2]
        raise InputError(f"rows cannot be compared: {what} is {one} for {name} and {other} for {another}")
