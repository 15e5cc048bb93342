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
    yield (
        f"At {made.index / rate:.1f} s the pose is farthest from the picture's: points on the body are moved by {moved:.0f} % of "
        f"the width on average, and from the interpolated image at t = {made.t:.2f} by {moved * (1 - made.t):.0f} %."
    )
    seen = f"{100 * made.difference:.1f} % of the range of colours where something moved"
    if made.difference < SEEN:
        yield (
            f"Made from that image or straight from the picture, the frame is nearly the same (a difference of {seen}): "
            "here the two ways are equally good."
        )
    else:
        yield f"Made from that image and straight from the picture, the frames differ by {seen}."
    sources = ", ".join(f"{100 * share:.0f} % {name}" for name, share in made.shares.items())
    yield f"The frame's pixels come from: {sources}."
    if made.folded > FOLDED:
        yield f"{100 * made.folded:.0f} % of the frame is folded over: parts may be mirrored or torn."
    if made.missed > MISSED:
        yield "The result's pose is not quite the one that was asked for."


def _used(moments: Sequence[Moment]) -> str:
    hops = [moment.t for moment in moments if moment.t > 0]
    if not hops:
        return "The picture itself was animated, without an interpolated image."
    low, high = min(hops), max(hops)
    times = f"t = {low:.2f}" if high - low < 0.005 else f"t = {low:.2f} to {high:.2f}"
    share = "" if len(hops) == len(moments) else f" in {len(hops)} of {count(len(moments), 'frame')}"
    return f"The interpolated image at {times} was animated{share}."


def count(number: int, noun: str) -> str:
    """A number of things, such as "1 frame" and "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A length of time for people who wait."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
