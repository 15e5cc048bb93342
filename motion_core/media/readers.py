"""Readers of each kind of source: frames in order from any number on, or single ones, none of them resampled."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, features

from ..errors import InputError
from .paths import FileStamp, reading
from .pictures import BAD_DATA, WHITE, ImageSource, check_size, flatten, load_image, open_picture, picture_size
from .timing import DEFAULT_RATE, Clock

_NEAR = 32  # frames; to go on decoding this far is as quick as to open the file and seek again
_PICTURE_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".gif"}
_MAGIC = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")
_TOO_SHORT, _BROWSER_DELAY = 10, 100  # milliseconds; browsers show frames of 10 ms or less, or without a time, for 100


class FrameReader(ABC):
    """A source of frames (H, W, 3) uint8 RGB that can be read as often as wanted, from any frame on.

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
        for run in _runs(sorted(set(wanted)), 1 if self.independent else _NEAR):
            remaining = set(run)
            with reading(self.name):
                for number, found in self.frames_from(run[0]):
                    if isinstance(found, InputError):
                        raise found
                    if number in remaining:
                        remaining.remove(number)
                        yield number, found
                    if not remaining:
                        break
            if remaining:
                raise InputError(f"{self.name}: is damaged at frame {min(remaining)}")


def _runs(numbers: list[int], near: int) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number - runs[-1][-1] <= near:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


class PictureReader(FrameReader):
    """Pictures one after another: a folder of frames, an array, a tensor or a list.

    Args:
        pictures: the frames.
        folder: whose files they are.
        rate: of the frames.
        max_pixels: larger ones are refused.
        check: look at the size of each file now; else they are opened when wanted.
    """

    independent = True

    def __init__(
        self,
        pictures: Sequence[ImageSource],
        folder: Path | None,
        rate: Fraction | None,
        max_pixels: int,
        *,
        check: bool = True,
    ) -> None:
        if not len(pictures):
            raise InputError("video: must have at least one frame, got none")
        self.path = folder
        self.kind = "folder of frames" if folder else "frames"
        self._pictures, self._max_pixels = pictures, max_pixels
        self.clock = Clock.steady(len(pictures), rate or DEFAULT_RATE)
        self.size = self._size(0)
        check_size(*self.size, max_pixels, str(pictures[0]) if folder else self.name)
        for number in range(len(pictures) if folder and check else 0):
            self._check_size(number, self._size(number))

    def _size(self, number: int) -> tuple[int, int]:
        """(h, w), without decoding what is in a file."""
        return picture_size(self._pictures[number]) if self.path else self._frame(number).shape[:2]  # type: ignore[arg-type]

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on, or the error where a file is damaged."""
        for number in range(index, len(self._pictures)):
            try:
                pixels = self._frame(number)
            except InputError as error:
                if not self.path:
                    raise
                yield number, error
                continue
            self._check_size(number, (pixels.shape[0], pixels.shape[1]))
            yield number, pixels

    def _frame(self, number: int) -> np.ndarray:
        try:
            return load_image(self._pictures[number], max_pixels=self._max_pixels)
        except InputError as error:
            if self.path:
                raise  # names the file already
            raise InputError(f"{self.name}: frame {number}: {error}") from error

    def _check_size(self, number: int, size: tuple[int, int]) -> None:
        if size != self.size:
            frame = self._pictures[number] if self.path else f"{self.name}: frame {number}"
            raise InputError(f"{frame}: must have the (h, w) of the first frame, {self.size}, got {size}")


def frames_in(folder: Path) -> list[Path]:
    """The pictures in a folder in natural order. Raises InputError if there are none."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in _PICTURE_ENDINGS and file.name[0] != "."]
    if not files:
        raise InputError(f"{folder}: must hold pictures ({', '.join(sorted(_PICTURE_ENDINGS))}), but holds none")
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


class StripReader(FrameReader):
    """A picture as a video: square frames side by side, the first one left, if its width is a multiple of its height."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        height, width = picture_size(path)
        count = width // height if width % height == 0 else 1
        self.kind = "frames side by side" if count > 1 else "picture"
        self.size, self.clock = (height, width // count), Clock.steady(count, DEFAULT_RATE)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on."""
        pixels, (height, width) = load_image(self.path), self.size
        if pixels.shape[:2] != (height, width * self.count):
            raise InputError(f"{self.name}: must not change while it is used, but it has another size now")
        for number in range(index, self.count):
            yield number, pixels[:, number * width : (number + 1) * width]


def is_picture(path: Path) -> bool:
    """Say whether a file begins like a picture that Pillow reads, animated or not."""
    with path.open("rb") as handle:
        head = handle.read(12)
    is_avif = head[4:] == b"ftypavif" and bool(features.check("avif"))  # an animated one is a video to FFmpeg
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP") or is_avif


class AnimationReader(FrameReader):
    """An animated GIF, WebP or PNG, or a still picture. Frames are laid on white where they are transparent.

    Args:
        path: the file, which exists.
        max_pixels: larger ones are refused.
        rate: of a still picture.
        measure: decode all of it now, to know when frames are shown and whether it is damaged; else they are only counted.
    """

    path: Path

    def __init__(self, path: Path, max_pixels: int, rate: Fraction | None = None, *, measure: bool = True) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._stamp = FileStamp.of(path)
        if not measure:
            with open_picture(path, max_pixels) as image:
                self.kind, self.size = "animation", (image.height, image.width)
                try:
                    self.clock = Clock.steady(int(getattr(image, "n_frames", 1)), DEFAULT_RATE)
                except BAD_DATA as error:
                    raise InputError(f"{path}: is damaged or cut off: {error}") from error
            return
        milliseconds = []
        for _, delay, pixels in self._decoded(0):
            milliseconds.append(delay)
            self.size = (pixels.shape[0], pixels.shape[1])
        self.kind = "animation" if len(milliseconds) > 1 else "picture"
        if len(milliseconds) == 1:
            self.clock = Clock.steady(1, rate or DEFAULT_RATE)
        else:
            times = np.cumsum([0.0, *milliseconds]) / 1000
            self.clock = Clock.measured(times[:-1], milliseconds[-1] / 1000)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on."""
        self._stamp.check()
        for number, _, pixels in self._decoded(index):
            yield number, pixels
        self._stamp.check()

    def _decoded(self, index: int) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (frame number, milliseconds on screen, (H, W, 3) uint8) from frame `index` on."""
        with open_picture(self.path, self._max_pixels) as image:
            # A PNG may carry a still picture for old viewers that is not part of the animation.
            still = 1 if getattr(image, "default_image", False) else 0
            number = index
            while self._seek(image, number + still):
                pixels = flatten(image, WHITE, self._max_pixels, f"{self.name}: frame {number}")
                delay = float(image.info.get("duration") or 0)  # WebP knows it once the frame is decoded
                yield number, (delay if delay > _TOO_SHORT else _BROWSER_DELAY), pixels
                number += 1

    def _seek(self, image: Image.Image, number: int) -> bool:
        try:
            image.seek(number)
        except EOFError:
            return False
        except BAD_DATA as error:
            self._stamp.check()
            raise InputError(f"{self.name}: is damaged or cut off at frame {number}: {error}") from error
        return True
