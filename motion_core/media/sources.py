"""Videos in: what `open_video` plays at a constant rate, what `open_frames` reads by frame numbers, and where scenes change."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image

from ..errors import InputError
from ..settings import AnimationSettings, OnDamage
from .frames import NEAR, Clock, FrameReader, exact_rate
from .paths import existing_file, reading
from .pictures import MAX_PIXELS, AnimationReader, ImageSource, PictureReader, StripReader, frames_in, is_picture
from .video_files import ContainerReader, main_audio_stream, open_container, sound_tracks

_THUMBNAIL = (64, 36)  # (w, h): small enough that noise and small movements vanish
_LEVELS = 6  # of each channel in the colour histogram
_HISTORY = 12  # frames whose usual change a cut must stand out from
_SHORTEST = 3  # changes that must be known before it is clear what is usual
_CHANGE = 10.0  # mean difference in grey levels that a cut has at least
_COLORS = 0.2  # share of the pixels that change colour at a cut at least
_STANDS_OUT = 2.5  # times the usual change

VideoInput = str | os.PathLike[str] | np.ndarray | torch.Tensor | Iterable[ImageSource]


@dataclass(frozen=True, eq=False)
class VideoSource:
    """A video, or a part of one, at a constant frame rate. Iterate over it as often as you like.

    Frame k shows what is on screen `start + k / frame_rate` seconds after the first frame of the video.

    Attributes:
        reader: of the file, or of what else it is read from.
        clock: when its frames are shown.
        start, end: seconds.
        frame_rate: frames a second, exact.
        audio_track: the sound track that goes with it, from 0; None is the file's default.
        on_damage: what becomes of frames that cannot be decoded, see `AnimationSettings`.
        good: (n,) int64, numbers of the reader's frames that are used; None is all.
        damaged: numbers of the reader's damaged frames that were met so far.
    """

    reader: FrameReader
    clock: Clock
    start: Fraction
    end: Fraction
    frame_rate: Fraction
    audio_track: int | None = None
    on_damage: OnDamage = AnimationSettings.on_damage
    good: np.ndarray | None = None
    damaged: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.reader.name

    @property
    def path(self) -> Path | None:
        """The file or folder it is read from; None for arrays, tensors and lists."""
        return self.reader.path

    @property
    def kind(self) -> str:
        return self.reader.kind

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of every frame."""
        return self.reader.size

    @property
    def frame_count(self) -> int:
        """How many frames an iteration yields: exact."""
        return max(1, math.ceil((self.end - self.start) * self.frame_rate - Fraction(1, 100)))

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.frame_count / self.frame_rate

    @property
    def has_audio(self) -> bool:
        return self.reader.has_audio

    @property
    def sound_tracks(self) -> list[str]:
        """A line about each sound track of the file, in the order of their numbers."""
        return sound_tracks(self.reader.path) if self.reader.has_audio and self.reader.path is not None else []

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise that a player applies to the file's frames, as is done here."""
        return self.reader.rotation

    @property
    def is_variable(self) -> bool:
        """Whether the source has no constant rate, so that frames are repeated or left out."""
        return self.clock.variable

    def describe_damage(self) -> str:
        """What was damaged in the frames looked at so far, and what became of it; "" if nothing was."""
        if not self.damaged:
            return ""
        count = len(self.damaged)
        times = [f"{self.reader.clock.times[number]:.2f}" for number in sorted(self.damaged)[:5]] + ["..."] * (
            count > 5
        )
        places = f"{count} damaged frame{'s' * (count > 1)}, at {', '.join(times)} s"
        if self.good is None:
            return f"{places}: each shows the last good one"
        return f"{places}: they are left out{', and so is their sound' if self.has_audio else ''}"

    def parts(self) -> list[tuple[Fraction, Fraction]]:
        """The parts (begin, end) of the file that are shown, in seconds after its first frame: all but frames left out."""
        if self.good is None:
            return [(self.start, self.start + self.duration)]
        times = [_exact_time(float(time), "time") for time in (*self.clock.times, self.clock.duration)]
        found: list[tuple[Fraction, Fraction]] = []
        for number, (begin, end) in zip(self.good, pairwise(times), strict=True):
            moved = _exact_time(float(self.reader.clock.times[number]), "time") - begin
            begin, end = max(begin, self.start) + moved, min(end, self.start + self.duration) + moved
            if begin >= end:
                continue
            if found and abs(begin - found[-1][1]) < Fraction(1, 100_000):
                begin = found.pop()[0]
            found.append((begin, end))
        return found

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[np.ndarray]:
        """Yield (H, W, 3) uint8 RGB from frame `first` on.

        Raises:
            InputError: the file changes while it is read, or with ``on_damage="stop"``, is damaged.
        """
        if not 0 <= first <= self.frame_count:
            raise InputError(f"first: must be in 0..{self.frame_count}, the frames of {self.name}, got {first}")
        return self._frames(first)

    def _frames(self, first: int) -> Iterator[np.ndarray]:
        def number(k: int) -> int:
            index = self.clock.index_at(self.start + k / self.frame_rate)
            return index if self.good is None else int(self.good[index])

        shown, begin = -1, number(first)
        pixels: np.ndarray | None = None
        frames = self.reader.frames_from(begin)
        for k in range(first, self.frame_count):
            wanted = number(k)
            repeated = wanted <= shown
            while shown < wanted or pixels is None:
                shown, found = next(frames, (wanted, None))
                if isinstance(found, np.ndarray):
                    pixels, repeated = found, False
                    continue
                if found is not None:
                    if self.on_damage == "stop":
                        raise InputError(f"{found} (on_damage='hold' goes on)") from found
                    if shown >= begin:
                        self.damaged.add(shown)
                if pixels is None and shown >= wanted:
                    pixels = self._before(wanted)
                if pixels is None and found is None:
                    raise InputError(f"{self.name}: must have frames that can be decoded, but has none")
                repeated = True
            yield pixels.copy() if repeated else pixels
        if first < self.frame_count and wanted == len(self.reader.clock.times) - 1:
            next(frames, None)  # lets the reader check the end of the file

    def _before(self, number: int) -> np.ndarray | None:
        """The last good frame before a damaged one, (H, W, 3) uint8."""
        for begin in dict.fromkeys((max(0, number - NEAR), 0)):
            good: np.ndarray | None = None
            for each, found in self.reader.frames_from(begin):
                if each >= number:
                    break
                good = found if isinstance(found, np.ndarray) else good
            if good is not None:
                return good
        return None


def open_video(
    source: VideoInput,
    *,
    start: float | None = None,
    end: float | None = None,
    frame_rate: Fraction | int | float | str | None = None,
    max_pixels: int | None = None,
    audio_track: int | None = None,
    on_damage: OnDamage = AnimationSettings.on_damage,
) -> VideoSource:
    """Open a video for reading, and measure it. White is behind what is transparent.

    Args:
        source: a video file, an animated GIF, WebP or PNG, a picture (one frame), a folder of frames in natural order,
            an array (T, H, W, 3) uint8, a float tensor (T, 3, H, W) in [0, 1], or a list of pictures. An iterable that
            is not a sequence is made a list.
        start, end: seconds after the first frame.
        frame_rate: the rate to resample to; for sources without times (folders, arrays, tensors, lists, a single
            picture) the rate that they have, by default 25.
        max_pixels: larger frames are refused; None is `MAX_PIXELS`.
        audio_track: which sound track of a video file goes with it, from 0; None is the one that players take.
        on_damage: what becomes of frames that cannot be decoded, see `AnimationSettings`. For "skip", all are decoded here.

    Raises:
        InputError: the source cannot be used; the message says why.
    """
    rate = None if frame_rate is None else exact_rate(frame_rate)
    reader = _reader_of(source, rate, MAX_PIXELS if max_pixels is None else max_pixels, on_damage == "skip")
    clock, good, damaged = reader.clock, None, set[int]()
    if on_damage == "skip":
        damaged = {number for number, found in reader.frames_from(0) if isinstance(found, InputError)}
    if damaged:
        good = np.setdiff1d(np.arange(len(clock.times)), list(damaged))
        clock = clock.without(damaged)
    first, last = _cut_out(clock.duration, start, end, reader.name)
    if audio_track is not None:
        if reader.path is None or reader.kind != "video":
            raise InputError(f"{reader.name}: is a {reader.kind} without sound, so it has no audio_track {audio_track}")
        with open_container(reader.path) as container:
            main_audio_stream(container, reader.path, audio_track)
    return VideoSource(reader, clock, first, last, rate or clock.rate, audio_track, on_damage, good, damaged)


def _cut_out(duration: Fraction, start: float | None, end: float | None, name: str) -> tuple[Fraction, Fraction]:
    """Return the part of a video between `start` and `end`, in seconds. Raises InputError if it is not in the video."""
    first = Fraction(0) if start is None else _exact_time(start, "start")
    last = duration if end is None else _exact_time(end, "end")
    if not 0 <= first < duration:
        raise InputError(f"{name}: start must be within the video's {float(duration):.3f} s, got {start} s")
    if last > duration + Fraction(1, 10):  # a tenth: what people read off a player
        raise InputError(f"{name}: end must be within the video's {float(duration):.3f} s, got {end} s")
    if last <= first:
        raise InputError(f"{name}: start must be before end, got start {float(first):g} s and end {float(last):g} s")
    return first, min(last, duration)


def _exact_time(value: float | Fraction, name: str) -> Fraction:
    """Return seconds as a Fraction, rounded to microseconds. Raises InputError for anything but a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not math.isfinite(value):
        raise InputError(f"{name}: must be a number of seconds, got {value!r}")
    return Fraction(round(value * 1_000_000), 1_000_000)


def _reader_of(source: VideoInput, rate: Fraction | None, max_pixels: int, take_cut_off: bool) -> FrameReader:
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise InputError("video: must be the name of a file or folder, got an empty one")
        with reading(source):
            if os.path.isdir(source):
                return PictureReader(frames_in(Path(source)), Path(source), rate, max_pixels)
            file = existing_file(source, "a video")
            if is_picture(file):
                return AnimationReader(file, max_pixels, rate)
            return ContainerReader(file, max_pixels, take_cut_off)
    if isinstance(source, np.ndarray | torch.Tensor):
        shape = tuple(source.shape)
        if isinstance(source, torch.Tensor):
            if source.ndim != 4 or shape[1] != 3:
                raise InputError(f"video: a tensor must have the shape (T, 3, H, W), got {shape}")
        elif source.ndim != 4 or shape[3] != 3 or source.dtype != np.uint8:
            raise InputError(f"video: an array must be (T, H, W, 3) uint8, got {shape} {source.dtype}")
        return PictureReader(cast(Sequence[ImageSource], source), None, rate, max_pixels)  # it uses len() and [] only
    if isinstance(source, Image.Image) or not isinstance(source, Iterable):
        raise InputError(
            f"video: must be a path, an array, a tensor or a list of pictures, got {type(source).__name__}"
        )
    pictures = source if isinstance(source, Sequence) else list(source)
    return PictureReader(pictures, None, rate, max_pixels)


def open_frames(path: str | os.PathLike[str]) -> FrameReader:
    """Open a video file, an animated GIF, a folder of frames in natural order, or a picture, to read single frames by number.

    A picture whose width is a whole number of times its height holds square frames side by side, the first one left.
    Little is decoded here: damage in the middle of a file shows when its frames are asked for.

    Raises:
        InputError: it cannot be used; the message names the file and says why.
    """
    with reading(path):
        if os.path.isdir(path):
            return PictureReader(frames_in(Path(path)), Path(path), None, MAX_PIXELS, check=False)
        file = existing_file(path, "a video")
        if not is_picture(file):
            return ContainerReader(file, MAX_PIXELS)
        return AnimationReader(file, MAX_PIXELS, measure=False) if file.suffix.lower() == ".gif" else StripReader(file)


def scene_cuts(source: VideoSource) -> Iterator[float]:
    """Yield the times, in seconds after the first frame of `source`, at which a new scene begins.

    Hard cuts only: fades and dissolves have no such moment.
    """
    return (float(index / source.frame_rate) for index in cut_frames(source))


def cut_frames(frames: Iterable[np.ndarray]) -> Iterator[int]:
    """Yield the numbers of the frames ``(H, W, 3)`` uint8 that begin a new scene.

    A cut changes both the picture and its colours, by much more than is usual in the frames before it, and for good:
    movement changes the picture but hardly its colours, and a flash is over in the next frame. By hand, since PySceneDetect
    needs OpenCV.
    """
    usual: deque[float] = deque(maxlen=_HISTORY)
    before: np.ndarray | None = None  # the frame before `last`
    last: np.ndarray | None = None
    candidate = False  # `last` differs from `before` like a new scene
    for index, frame in enumerate(frames):
        small = np.asarray(Image.fromarray(frame).resize(_THUMBNAIL, Image.Resampling.BOX))
        if candidate and before is not None:
            if _is_new(before, small):
                yield index - 1
                usual.clear()
            else:
                last = before  # a flash: as if it had not been
        candidate = False
        if last is not None:
            change = _difference(last, small)
            stands_out = len(usual) >= _SHORTEST and change > _STANDS_OUT * float(np.median(usual))
            candidate = stands_out and _is_new(last, small)
            if not candidate:
                usual.append(change)
        before, last = last, small
    if candidate:
        yield index


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def _is_new(a: np.ndarray, b: np.ndarray) -> bool:
    return _difference(a, b) >= _CHANGE and float(np.abs(_histogram(a) - _histogram(b)).sum()) / 2 > _COLORS


def _histogram(picture: np.ndarray) -> np.ndarray:
    """Share of the pixels in each of 6 x 6 x 6 colour cells; sums to 1."""
    cells = (picture.reshape(-1, 3).astype(np.int32) * _LEVELS) // 256
    flat = (cells[:, 0] * _LEVELS + cells[:, 1]) * _LEVELS + cells[:, 2]
    return np.bincount(flat, minlength=_LEVELS**3) / len(flat)
