"""A source of frames: which of them is on screen at which moment, and how it is read from any frame on.

Times are seconds after the first frame of the video. Rates are frames a second, exact fractions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import InputError
from .paths import reading

DEFAULT_RATE = Fraction(25)  # of frames that have no clock of their own: folders, arrays, lists
MAX_RATE = 1000
NEAR = 32  # frames; to go on decoding this far is as quick as to open the file and seek again
_BROADCAST = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120))
_STEADY = 0.25  # frames; a constant rate's time stamps are at most this far from the grid (rounding, capture jitter)
_ROUNDING = 0.001  # seconds; containers round times to milliseconds


def exact_rate(value: Fraction | int | float | str) -> Fraction:
    """Return a rate as a Fraction; floats such as 29.97 become the broadcast rate they stand for.

    Raises:
        InputError: not a number of frames a second above 0 and at most 1000.
    """
    try:
        rate = Fraction(value)
        exact = rate.limit_denominator(1_000_000)  # FFmpeg has 32 bits for each part
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(f"frame_rate: must be a number of frames a second, got {value!r}") from error
    if not 0 < exact <= MAX_RATE:
        raise InputError(f"frame_rate: must be above 0 and at most {MAX_RATE} frames a second, got {value!r}")
    return _snapped(rate, 2e-5) if isinstance(value, float) else exact


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
            if rate and rate <= MAX_RATE and np.abs(times * float(rate) - np.arange(count)).max() < _STEADY:
                return cls.steady(count, rate)
        rate = _snapped(Fraction(1 / interval), 0.02)  # the rate while something moves, not the average over pauses
        if not rate:  # more than half an hour a frame: such time stamps mean nothing
            return cls.steady(count, next((rate for rate in stated if rate), DEFAULT_RATE))
        return cls(times, min(rate, Fraction(MAX_RATE)), Fraction(total).limit_denominator(1_000_000), variable=True)

    def without(self, left_out: Collection[int]) -> Clock:
        """Return the clock of what is left without some frames, whose time is cut out."""
        lengths = np.delete(np.diff(self.times, append=float(self.duration)), list(left_out))
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


class FrameReader(ABC):
    """A source of frames (H, W, 3) uint8 RGB that can be read as often as wanted, from any frame on; none is resampled.

    Attributes:
        path: the file or folder; None for arrays, tensors and lists.
        kind: "video", "animation", "picture", "frames side by side", "folder of frames" or "frames".
        size: (h, w) of a frame, upright.
        clock: when frames are shown.
        has_audio: whether there is sound that can be decoded.
        rotation: degrees counter-clockwise that are applied to make frames upright.
        origin: the time in the file, in seconds, of the first frame.
        independent: whether a frame costs the same whether or not its neighbours are wanted.
    """

    path: Path | None
    kind: str
    size: tuple[int, int]
    clock: Clock
    has_audio = False
    rotation = 0
    origin = Fraction(0)
    independent = False

    @property
    def name(self) -> str:
        """For messages."""
        return "video" if self.path is None else str(self.path)

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.clock.times)

    @abstractmethod
    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) for every frame from `index` on, or the error where it is damaged."""

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, (H, W, 3) uint8) in ascending order, each number once.

        Raises:
            InputError: the file is damaged there, or has changed.
        """
        numbers = np.array(sorted(set(wanted)), int)
        near = 1 if self.independent else NEAR
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > near) + 1) if numbers.size else ():
            remaining = set(run.tolist())
            with reading(self.name):
                for number, found in self.frames_from(min(remaining)):
                    if isinstance(found, InputError):
                        raise found
                    if number in remaining:
                        remaining.remove(number)
                        yield number, found
                    if not remaining:
                        break
            if remaining:
                raise InputError(f"{self.name}: is damaged at frame {min(remaining)}")
