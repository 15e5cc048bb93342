"""A run's diagnosis, frame by frame, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# Where numbers of `motion_core.animation.FrameDiagnosis` begin to mean something; distances in coordinates, 2 is the width.
LARGE_DISPLACEMENT = 0.25  # an eighth of the picture, on average over the keypoints
HIDDEN = 0.5  # share that is visible
FOLDED = 0.05  # share that is folded over
MISSED = 0.15  # distance between the pose asked for and the one found
_PASSAGES = 4  # that are told one by one
_GAP = 3  # frames; shorter pauses do not end a passage


@dataclass(frozen=True)
class Moment:
    """What is kept of a frame that was made.

    Attributes:
        t: time of the interpolated image that was animated; 0 is the picture itself.
        displacement, remaining, visibility, fold_over, cycle_error: as in `motion_core.animation.FrameDiagnosis`.
    """

    t: float
    displacement: float
    remaining: float
    visibility: float
    fold_over: float
    cycle_error: float


def diagnosis(moments: Sequence[Moment], rate: float) -> list[str]:
    """Sentences about a video of `rate` frames a second."""
    if not moments:
        return ["No frame was made."]
    sentences = [*_hops(moments, rate)]
    for fault, text in (
        (lambda moment: moment.visibility < HIDDEN, "more than half of the frame was hidden and had to be painted"),
        (lambda moment: moment.fold_over > FOLDED, "the deformation folds over: parts may be mirrored or torn"),
        (lambda moment: moment.cycle_error > MISSED, "the result's pose is not quite the one that was asked for"),
    ):
        where = passages(moments, fault)
        if where:
            sentences.append(f"In {spans(where, rate)} {text}.")
    return sentences


def _hops(moments: Sequence[Moment], rate: float) -> Iterator[str]:
    large = passages(moments, lambda moment: moment.displacement >= LARGE_DISPLACEMENT)
    if not large:
        yield f"The displacement is small throughout: {_used(moments)}."
    for passage in sorted(sorted(large, key=lambda passage: passage[0] - passage[1])[:_PASSAGES]):
        yield f"Large displacement in {spans([passage], rate)}: {_used(moments[slice(*passage)])}."
    if len(large) > _PASSAGES:
        yield f"There are {len(large) - _PASSAGES} more such places, all of them shorter."
    covered = {index for first, last in large for index in range(first, last)}
    elsewhere = [moment for index, moment in enumerate(moments) if index not in covered]
    if large and elsewhere:
        yield f"Elsewhere {_used(elsewhere)}."


def _used(moments: Sequence[Moment]) -> str:
    hops = [moment.t for moment in moments if moment.t > 0]
    if not hops:
        return "no hop was used, the picture itself was animated"
    low, high = min(hops), max(hops)
    times = f"t = {low:.2f}" if high - low < 0.005 else f"t = {low:.2f} to {high:.2f}"
    share = "" if len(hops) == len(moments) else f" in {len(hops)} of {len(moments)} frames"
    return f"one hop used{share}, over the interpolated image at {times}"


def passages(moments: Sequence[Moment], test: Callable[[Moment], bool]) -> list[tuple[int, int]]:
    """Where the test holds, as (first frame, frame after the last); short pauses are ignored."""
    found: list[tuple[int, int]] = []
    for index, moment in enumerate(moments):
        if not test(moment):
            continue
        if found and index - found[-1][1] < _GAP:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


def spans(where: Sequence[tuple[int, int]], rate: float, most: int = 3) -> str:
    """Passages in seconds, such as "1.2 s - 2.0 s"; beyond `most` of them, the longest."""
    shown = sorted(sorted(where, key=lambda passage: passage[0] - passage[1])[:most])
    text = ", ".join(f"{first / rate:.1f} s - {last / rate:.1f} s" for first, last in shown)
    return text if len(where) <= most else f"{text} and {len(where) - most} more places"


def chosen_times(moments: Sequence[Moment]) -> list[tuple[float, int]]:
    """The times that were chosen, and in how many frames, the most frequent first."""
    return Counter(round(moment.t, 4) for moment in moments).most_common()


def duration(seconds: float) -> str:
    """A length of time for people who wait."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
