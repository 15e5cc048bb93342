"""Animated GIF out, one frame at a time: Pillow codes each picture, this file puts them into one stream."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

_TICK = 100  # a second
_SHORTEST = 2  # ticks; browsers show shorter frames much longer
_DRIFT = 1.3  # a palette is kept until its colours fit this much worse than they fitted the frame it was made for
_SLACK = 1.0  # grey levels of error that never ask for a new palette
_SAMPLES = 128  # pixels a side on which that is measured


class GifSink:
    """Writes frames (h, w, 3) uint8 into a looping GIF.

    Times are whole hundredths of a second; they are rounded so that the error does not add up. Above 50 frames a second
    some frames are left out. A palette serves until the picture has changed: one palette a frame would flicker.
    """

    def __init__(self, path: Path, frame_rate: Fraction, size: tuple[int, int], *, metadata: Mapping[str, str]) -> None:
        self._rate, self._count = frame_rate, 0
        self._waiting: tuple[int, bytes] | None = None  # (tick from which it is shown, coded picture)
        self._palette: Image.Image | None = None
        self._limit = 0.0
        self._file = path.open("wb")
        self._file.write(b"GIF89a" + _word(size[1]) + _word(size[0]) + b"\x70\x00\x00")  # no global palette
        self._file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # loop for ever
        comment = "\n".join(f"{key}: {value}" for key, value in metadata.items()).encode()
        if comment:
            self._file.write(b"\x21\xfe" + b"".join(_sub_blocks(comment)) + b"\x00")

    def write(self, frame: np.ndarray) -> None:
        tick = self._tick(self._count)
        self._count += 1
        if self._waiting is not None:
            if tick - self._waiting[0] < _SHORTEST:
                return
            self._emit(tick)
        self._waiting = tick, self._coded(Image.fromarray(frame))

    def finish(self) -> None:
        if self._waiting is not None:
            self._emit(max(self._tick(self._count), self._waiting[0] + _SHORTEST))
        self._file.write(b";")
        self.close()

    def close(self) -> None:
        self._file.close()

    def _tick(self, count: int) -> int:
        return round(count * _TICK / self._rate)

    def _emit(self, until: int) -> None:
        """Write the waiting picture, now that it is known how long it is shown."""
        if self._waiting is not None:
            since, picture = self._waiting
            self._file.write(b"\x21\xf9\x04\x04" + _word(min(until - since, 65535)) + b"\x00\x00" + picture)
            self._waiting = None

    def _coded(self, image: Image.Image) -> bytes:
        """Return the picture as an image block with its own palette."""
        if self._palette is None or _error(image, self._palette) > self._limit:
            self._palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            self._limit = _DRIFT * _error(image, self._palette) + _SLACK
        indexed = image.quantize(palette=self._palette, dither=Image.Dither.FLOYDSTEINBERG)
        indexed.info.clear()
        buffer = io.BytesIO()
        indexed.save(buffer, format="GIF", optimize=False, interlace=0)
        return _image_block(buffer.getvalue())


def _error(image: Image.Image, palette: Image.Image) -> float:
    """Root mean square difference in grey levels after quantising a small copy; a mean would miss small new colours."""
    small = image.resize((min(image.width, _SAMPLES), min(image.height, _SAMPLES)), Image.Resampling.NEAREST)
    mapped = small.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
    return float(np.sqrt(np.square(np.asarray(small, np.float32) - np.asarray(mapped, np.float32)).mean()))


def _image_block(gif: bytes) -> bytes:
    """Cut the picture out of a GIF of one frame, and give it the palette of that file."""
    flags = gif[10]
    colors = gif[13 : 13 + (3 << ((flags & 7) + 1))]
    start = 13 + len(colors)
    while gif[start] == 0x21:  # an extension: skip its sub-blocks
        start += 2
        while gif[start]:
            start += gif[start] + 1
        start += 1
    interlaced = gif[start + 9] & 0x40
    descriptor = gif[start : start + 9] + bytes([0x80 | interlaced | (flags & 7)])  # 0x80: its own palette follows
    return descriptor + colors + gif[start + 10 : -1]


def _word(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _sub_blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 255):
        block = data[start : start + 255]
        yield bytes([len(block)]) + block
