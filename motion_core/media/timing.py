"""Frame rates and times: which frame of a source is on screen at which moment.

Times are seconds after the first frame of the video. Rates are frames a second, exact fractions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..errors import InputError

DEFAULT_RATE = Fraction(25)  # of frames that have no clock of their own: folders, arrays, lists
MAX_RATE = 1000
_BROADCAST = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120))
_STEADY = 0.25  # frames; a constant rate's time stamps are at most this far from the grid (rounding, capture jitter)
_ROUNDING = 0.001  # seconds; containers round times to milliseconds


def exact_rate(value: Fraction | int | float | str, name: str = "frame_rate") -> Fraction:
    """Return a rate as a Fraction; floats such as 29.97 become the broadcast rate they stand for.

    Raises:
        InputError: not a number of frames a second above 0 and at most 1000.
    """
    try:
        rate = Fraction(value)
        exact = rate.limit_denominator(1_000_000)  # FFmpeg has 32 bits for each part
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"{name}: must be a number of frames a second, got {value!r}") from error
    if not 0 < exact <= MAX_RATE:
        raise InputError(f"{name}: must be above 0 and at most {MAX_RATE} frames a second, got {value!r}")
    return _snapped(rate, 2e-5) if isinstance(value, float) else exact


def exact_time(value: float | Fraction, name: str) -> Fraction:
    """Return seconds as a Fraction, rounded to microseconds. Raises InputError for anything but a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not math.isfinite(value):
        raise InputError(f"{name}: must be a number of seconds, got {value!r}")
    return Fraction(round(value * 1_000_000), 1_000_000)


def _snapped(rate: Fraction, tolerance: float) -> Fraction:
    nearest = min((*_BROADCAST, Fraction(max(1, round(rate)))), key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= tolerance * nearest else rate.limit_denominator(1001)


@dataclass(frozen=True, eq=False)
class Clock:
    """When each frame of a source is on screen.

    `rate` is the exact rate of a steady source, and otherwise the constant rate that its frames are resampled to.
    """

    times: np.ndarray  # (n,) float64 seconds, ascending, the first is 0
    rate: Fraction
    duration: Fraction  # seconds, to the end of the last frame
    variable: bool

    @classmethod
    def steady(cls, count: int, rate: Fraction) -> Clock:
        return cls(np.arange(count) / float(rate), rate, count / rate, variable=False)

    @classmethod
    def measured(cls, times: np.ndarray, last_duration: float, stated: Iterable[Fraction | None] = ()) -> Clock:
        """Find the constant rate behind time stamps, if there is one.

        times (n,) seconds, ascending, first 0; last_duration seconds, 0 if unknown; stated: rates the file claims.
        """
        count = len(times)
        interval = float(np.median(np.diff(times))) if count > 1 else last_duration
        total = float(times[-1]) + (last_duration or interval)
        mean = Fraction(count / total).limit_denominator(100_000) if total > 0 else DEFAULT_RATE
        for rate in (*stated, _snapped(mean, 1e-3), mean):
            if rate and _is_steady(times, rate):
                return cls.steady(count, rate)
        rate = _snapped(Fraction(1 / interval), 0.02)  # the rate while something moves, not the average over pauses
        if not rate:  # more than half an hour a frame: such time stamps mean nothing
            return cls.steady(count, next((rate for rate in stated if rate), DEFAULT_RATE))
        return cls(times, min(rate, Fraction(MAX_RATE)), Fraction(total).limit_denominator(1_000_000), variable=True)

    def without(self, left_out: Collection[int]) -> Clock:
        """Return the clock of what is left without some frames, whose time is cut out."""
        lengths = np.diff(self.times, append=float(self.duration))
        lengths = np.delete(lengths, list(left_out))
        if not self.variable:
            return Clock.steady(len(lengths), self.rate)
        times = np.cumsum([0.0, *lengths])
        duration = Fraction(float(times[-1])).limit_denominator(1_000_000)
        return Clock(times[:-1], self.rate, duration, variable=True)

    def index_at(self, time: Fraction) -> int:
        """Return the index of the frame on screen at `time`."""
        if self.variable:
            index = int(np.searchsorted(self.times, float(time) + _ROUNDING, side="right")) - 1
        else:
            index = math.floor(time * self.rate + Fraction(1, 100))
        return min(max(index, 0), len(self.times) - 1)


def _is_steady(times: np.ndarray, rate: Fraction) -> bool:
    slots = times * float(rate)
    return bool(rate <= MAX_RATE and np.abs(slots - np.arange(len(times))).max() < _STEADY)


def cut_out(duration: Fraction, start: float | None, end: float | None, name: str) -> tuple[Fraction, Fraction]:
    """Return the part of a video between `start` and `end`, in seconds. Raises InputError if it is not in the video."""
    first = Fraction(0) if start is None else exact_time(start, "start")
    last = duration if end is None else exact_time(end, "end")
    if not 0 <= first < duration:
        raise InputError(f"{name}: start must be within the video's {float(duration):.3f} s, got {start} s")
    if last > duration + Fraction(1, 10):  # a tenth: what people read off a player
        raise InputError(f"{name}: end must be within the video's {float(duration):.3f} s, got {end} s")
    if last <= first:
        raise InputError(f"{name}: start must be before end, got start {float(first):g} s and end {float(last):g} s")
    return first, min(last, duration)
