"""Animated GIF, WebP and PNG, and single pictures as videos of one frame; decoded with Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, features

from ..errors import InputError
from .containers import open_container
from .files import FileStamp, existing_file
from .pictures import BAD_DATA, flatten, open_picture
from .timing import DEFAULT_RATE, Clock

_MAGIC = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")
_TOO_SHORT, _BROWSER_DELAY = 10, 100  # milliseconds; browsers show frames of 10 ms or less, or without a time, for 100


def is_picture(path: Path) -> bool:
    """Say whether a file begins like a picture that Pillow reads, animated or not."""
    with path.open("rb") as handle:
        head = handle.read(12)
    is_avif = head[4:] in (b"ftypavif", b"ftypavis") and bool(features.check("avif"))
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP") or is_avif


class AnimationReader:
    """An animated picture, or a still one. Frames are laid on `background` where they are transparent."""

    has_audio = False
    rotation = 0
    origin = Fraction(0)

    def __init__(self, path: Path, background: tuple[int, int, int], max_pixels: int) -> None:
        self.path: Path | None = existing_file(path, "a video or an animated picture")
        self.name = str(path)
        self._file, self._background, self._max_pixels = path, background, max_pixels
        self._stamp = FileStamp.of(path)
        milliseconds = []
        for delay, pixels in self._decoded():
            milliseconds.append(delay)
            self.size: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        self.kind = "animation" if len(milliseconds) > 1 else "picture"
        if len(milliseconds) == 1:
            self.clock = Clock.steady(1, DEFAULT_RATE)
        else:
            times = np.cumsum([0.0, *milliseconds]) / 1000
            self.clock = Clock.measured(times[:-1], milliseconds[-1] / 1000, self._stated_rates())

    def _stated_rates(self) -> list[Fraction | None]:
        """The rates that an AVIF file states; Pillow rounds the time of each of its frames to milliseconds."""
        with self._file.open("rb") as handle:
            if handle.read(12)[4:] != b"ftypavis":
                return []
        try:
            with open_container(self._file) as container:
                return [stream.average_rate for stream in container.streams.video if stream.frames > 1]
        except InputError:
            return []  # FFmpeg does not know this one

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on."""
        self._stamp.check()
        for number, (_, pixels) in enumerate(self._decoded()):
            if number >= index:
                yield number, pixels
        self._stamp.check()

    def _decoded(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (milliseconds on screen, (H, W, 3) uint8)."""
        with open_picture(self._file, self._max_pixels) as image:
            # A PNG may carry a still picture for old viewers that is not part of the animation.
            number = 1 if getattr(image, "default_image", False) else 0
            while self._seek(image, number):
                pixels = flatten(image, self._background, self._max_pixels, f"{self.name}: frame {number}")
                delay = float(image.info.get("duration") or 0)  # WebP knows it once the frame is decoded
                yield (delay if delay > _TOO_SHORT else _BROWSER_DELAY), pixels
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
