"""Pairs of frames for evaluation, with known displacement, spread over its quartiles."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from motion_core.errors import InputError

from .annotations import Annotations, mean_displacement

COLUMNS = ("source", "driving", "source_frame", "driving_frame", "displacement", "quartile")
_CANDIDATES = 400
LEAST = 8  # joints that must be in both pictures


@dataclass(frozen=True)
class Pair:
    """Two frames of a clip: the source is to be moved to the driving frame.

    Attributes:
        video: the clip's name in its split, with its ending.
        source, driving: frame numbers.
        displacement: mean over the joints, in pixels.
        quartile: 1 (the smallest quarter of displacements) to 4; 0 as long as it is not known.
    """

    video: str
    source: int
    driving: int
    displacement: float
    quartile: int = 0


def draw_pairs(clip: Annotations, video: str, count: int, random: np.random.Generator) -> list[Pair]:
    """Pairs of one clip whose displacements are spread evenly from the smallest to the largest that it offers."""

    def displacement(i: int, j: int) -> float | None:
        both = ((clip.visibility[i] > 0) & (clip.visibility[j] > 0)).sum()
        return mean_displacement(clip, i, j) if i != j and both >= LEAST else None

    return spread_pairs(video, range(len(clip.joints)), displacement, count, random)


def spread_pairs(
    video: str,
    frames: Sequence[int],
    displacement: Callable[[int, int], float | None],
    count: int,
    random: np.random.Generator,
) -> list[Pair]:
    """Pairs of one clip whose displacements are spread evenly from the smallest to the largest among pairs drawn at random.

    Args:
        video: the clip's name in its split, with its ending.
        frames: the numbers of those that may be used.
        displacement: of two frames, source and driving; None where they are no pair.
        count: how many; fewer where the clip does not offer as many.
    """
    drawn = random.integers(len(frames), size=(_CANDIDATES, 2))
    found: dict[tuple[int, int], float] = {}
    for i, j in drawn.tolist():
        amount = displacement(frames[i], frames[j])
        if amount is not None:
            found[frames[i], frames[j]] = amount
    if not found:
        return []
    keys, values = list(found), np.array(list(found.values()))
    chosen: list[int] = []
    for wanted in np.linspace(values.min(), values.max(), count):
        distance = np.abs(values - wanted)
        distance[chosen] = np.inf
        if np.isfinite(distance).any():
            chosen.append(int(distance.argmin()))
    return [Pair(video, *keys[k], round(float(values[k]), 4)) for k in chosen]


def with_quartiles(pairs: Sequence[Pair], sides: Mapping[str, int] | None = None) -> list[Pair]:
    """The pairs with their quartile among all of them, in the order given; four equal groups (to one pair).

    Args:
        sides: of each clip's picture, in pixels, where they differ: displacements are then compared as shares of these.
    """
    order = np.argsort([pair.displacement / (sides[pair.video] if sides else 1) for pair in pairs], kind="stable")
    rank = np.empty(len(pairs), int)
    rank[order] = np.arange(len(pairs))
    return [replace(pair, quartile=int(4 * r // len(pairs)) + 1) for pair, r in zip(pairs, rank, strict=True)]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write a csv file whose columns `source` and `driving` are those of a training pair list."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for p in pairs:
            writer.writerow((p.video, p.video, p.source, p.driving, f"{p.displacement:.4f}", p.quartile))


def read_pairs(path: str | Path) -> list[Pair]:
    """Read what `write_pairs` wrote.

    Raises:
        InputError: it is not there, has other columns, or a pair of two clips.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(
            f"{path}: no such list of pairs; eval.rendered_people.render or eval.make_pairs makes one"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: must be a csv file in UTF-8, but is not ({error})") from error
    if not rows or any(name not in rows[0] for name in COLUMNS):
        raise InputError(f"{path}: must have rows with the columns {', '.join(COLUMNS)}")
    pairs = []
    for source, driving, *numbers in ([row[name] for name in COLUMNS] for row in rows):
        if source != driving:
            raise InputError(f"{path}: both frames must be of one clip, got {source!r} and {driving!r}")
        try:
            first, second, displacement, quartile = numbers
            pairs.append(Pair(source, int(first), int(second), float(displacement), int(quartile)))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: frames, displacement and quartile must be numbers: {error}") from error
    return pairs
