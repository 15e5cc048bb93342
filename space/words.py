"""What was done in a run, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .insight import Explanation

# From where numbers begin to mean something.
SEEN = 0.01  # mean difference of two frames, of the range of colours, below which people hardly see one
FOLDED = 0.05  # share that is folded over
MISSED = 0.075  # share of the width between the pose asked for and the one found
_HELPER = "a helper picture that the model makes between the two poses"


@dataclass(frozen=True)
class Moment:
    """A frame that was made.

    Attributes:
        t: time of the interpolated image that was animated; 0 is the picture itself.
        displacement, remaining: of the keypoints, from the picture and from what was animated; 2 is the width.
    """

    t: float
    displacement: float
    remaining: float


def diagnosis(moments: Sequence[Moment], rate: float, explained: Explanation) -> list[str]:
    """Sentences about a video of `rate` frames a second, one frame of which is explained."""
    return [_used(moments), *_one_frame(explained, rate)]


def _one_frame(made: Explanation, rate: float) -> Iterator[str]:
    moved = 50 * made.displacements[made.index]  # per cent of the width
    rest = f", from the interpolated image by {moved * (1 - made.t):.0f} %" if made.used else ""
    yield (
        f"The largest movement is at {made.index / rate:.1f} s: on average, points of the body move by {moved:.0f} % of the "
        f"picture's width{rest}."
    )
    if made.difference < SEEN:
        yield "With and without the interpolated image this frame looks nearly the same: both ways are equally good."
    else:
        yield f"With and without the interpolated image this frame differs by {100 * made.difference:.1f} % in its colours."
    origins = " ".join(f"{name} ({100 * share:.0f} %)." for name, share in made.shares.items())
    yield f"{origins} No colour: the picture, unchanged."
    if made.folded > FOLDED:
        yield f"{100 * made.folded:.0f} % of the frame is folded over: parts may be mirrored or torn."
    if made.missed > MISSED:
        yield "The result's pose is not quite the one that was asked for."


def _used(moments: Sequence[Moment]) -> str:
    hops = [moment.t for moment in moments if moment.t > 0]
    if not hops:
        return f"Made straight from the picture, without an interpolated image ({_HELPER})."
    low, high = min(hops), max(hops)
    times = f"t = {low:.2f}" if high - low < 0.005 else f"t = {low:.2f} to {high:.2f}"
    share = "" if len(hops) == len(moments) else f" in {len(hops)} of {count(len(moments), 'frame')}"
    return f"Made by way of an interpolated image ({_HELPER}) at {times}{share}."


def count(number: int, noun: str) -> str:
    """A number of things, such as "1 frame" and "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A length of time for people who wait."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
