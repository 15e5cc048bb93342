"""Frames of a video file: decoded with PyAV, deinterlaced, upright, square pixels, (H, W, 3) uint8 sRGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .containers import Track, measure, open_container
from .files import FileStamp, existing_file
from .pictures import blend, check_size

_SEEK_FROM = 16  # frames; to an earlier frame, decoding from the start is as quick as seeking
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_BT709, _SRGB, _PQ, _HLG = 1, 13, 16, 18  # FFmpeg's numbers of primaries and transfer curves
# FFmpeg's AVColorSpace -> swscale's matrix; 2 (unspecified) is decided by size.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


class _SeekError(Exception):
    """Seeking did not get to a decodable frame at or before the one that is wanted."""


class ContainerReader:
    """A video file. Each call of `frames_from` opens it anew and closes it when done or abandoned."""

    kind = "video"

    def __init__(self, path: Path, background: tuple[int, int, int], max_pixels: int) -> None:
        self.path: Path | None = existing_file(path, "a video file")
        self.name = str(path)
        self._file, self._background, self._max_pixels = path, background, max_pixels
        self._stamp = FileStamp.of(path)
        self.track: Track = measure(path)
        self.clock, self.has_audio, self.origin = self.track.clock, self.track.has_audio, self.track.origin
        try:
            first = next(self._decoded(None), None)
        except av.FFmpegError as error:
            raise InputError(f"{self._damage(0)} ({error.strerror})") from error
        if first is None:
            raise InputError(f"{path}: must have frames that can be decoded, but has none")
        converter = _Converter(first[1], first[2], background)
        self.size: tuple[int, int] = converter.size
        self.rotation: int = converter.rotation

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on; raise InputError where the file is damaged."""
        self._stamp.check()
        if index >= _SEEK_FROM and self.track.ticks is not None:
            try:
                yield from self._converted(index, seek=True)
                return
            except _SeekError:
                pass  # an open group of pictures, or no index: decode from the start instead
        yield from self._converted(index, seek=False)

    def _converted(self, first: int, seek: bool) -> Iterator[tuple[int, np.ndarray]]:
        converter: _Converter | None = None
        expected = first
        try:
            for index, frame, stream in self._decoded(first if seek else None):
                self._check_order(index, expected, started=converter is not None, seek=seek)
                if frame.is_corrupt:
                    raise InputError(self._damage(index))
                if index < expected:
                    continue
                converter = converter or _Converter(frame, stream, self._background)
                yield index, converter(frame, f"{self.name}: frame {index}")
                expected = index + 1
        except (av.FFmpegError, InputError) as error:
            if seek and converter is None:
                raise _SeekError from error
            self._stamp.check()
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self._damage(expected)} ({error.strerror})") from error
        self._stamp.check()
        if seek and converter is None:
            raise _SeekError  # some formats without an index seek past the end
        if expected < self.track.count:
            raise InputError(f"{self._damage(expected)}: the last {self.track.count - expected} frames are missing")

    def _check_order(self, index: int, expected: int, started: bool, seek: bool) -> None:
        if index > expected and (started or seek):
            raise InputError(f"{self._damage(expected)}: {index - expected} frames are missing")

    def _damage(self, index: int) -> str:
        return f"{self.name}: is damaged at frame {index}, {self.clock.times[index]:.2f} s"

    def _decoded(self, seek_to: int | None) -> Iterator[tuple[int, VideoFrame, VideoStream]]:
        """Yield (frame number, frame, stream) in the order in which they are shown."""
        ticks = self.track.ticks
        with open_container(self._file) as container:
            stream = cast(VideoStream, container.streams[self.track.index])
            stream.thread_type = "AUTO"
            if seek_to is not None and ticks is not None:
                container.seek(int(ticks[seek_to]), stream=stream)
            for count, frame in enumerate(_deinterlaced(_sized(container, stream, self._max_pixels, self.name))):
                if ticks is None:
                    yield count, frame, stream
                elif frame.pts is not None and frame.time_base is not None:
                    tick = round(frame.pts * frame.time_base / self.track.time_base)
                    index = int(np.searchsorted(ticks, tick, side="right")) - 1
                    if index >= 0:
                        yield index, frame, stream


def _sized(container: InputContainer, stream: VideoStream, max_pixels: int, name: str) -> Iterator[VideoFrame]:
    """Decode, and refuse frames that are too large or of changing size."""
    check_size(max(1, stream.height), max(1, stream.width), max_pixels, name)  # 0: not known before decoding
    size: tuple[int, int] | None = None
    for frame in container.decode(stream):
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            at = f" at {frame.time:.2f} s" if frame.time is not None else ""
            new = f"{frame.width} x {frame.height}"
            raise InputError(f"{name}: must keep its size of {size[0]} x {size[1]}, but changes{at} to {new}")
        check_size(frame.height, frame.width, max_pixels, name)
        yield frame


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Pass frames through; from the first interlaced one on, through a filter that rebuilds the missing lines."""
    graph: Graph | None = None
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            graph = _deinterlacer(frame)
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from _ready(graph)
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)


def _deinterlacer(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    # send_frame: one frame for each two fields. deint=interlaced: progressive frames between them stay as they are.
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Converter:
    """Turns the frames of one stream into upright (H, W, 3) uint8 sRGB with square pixels."""

    def __init__(self, frame: VideoFrame, stream: VideoStream, background: tuple[int, int, int]) -> None:
        self._reformatter = VideoReformatter()
        self._background = background
        aspect = stream.sample_aspect_ratio or Fraction(1)
        self._width = max(1, round(frame.width * aspect)) if aspect > 0 else frame.width
        self._matrix = _display_matrix(frame)
        self.rotation = frame.rotation % 360  # degrees, counter-clockwise
        turned = abs(self._matrix[1]) > abs(self._matrix[0])
        self.size = (self._width, frame.height) if turned else (frame.height, self._width)

    def __call__(self, frame: VideoFrame, name: str) -> np.ndarray:
        has_alpha = any(component.is_alpha for component in frame.format.components)
        is_hdr = frame.color_trc in (_PQ, _HLG)
        rgb = self._reformatter.reformat(
            frame,
            width=self._width,
            format="rgba" if has_alpha else "rgb24",
            src_colorspace=_matrix_of(frame),
            src_color_range=_range_of(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT,
            dst_color_trc=_SRGB if is_hdr else None,
            dst_color_primaries=_BT709 if is_hdr else None,
        )
        pixels = rgb.to_ndarray()
        if has_alpha:
            pixels = blend(pixels, self._background)
        pixels = np.ascontiguousarray(_upright(pixels, self._matrix))
        if pixels.shape[:2] != self.size:
            raise InputError(f"{name}: must have the size of the first, {self.size}, got {pixels.shape[:2]}")
        return pixels


def _matrix_of(frame: VideoFrame) -> Colorspace | None:
    """Return the YCbCr matrix; an untagged file is read as players read it: HD as BT.709, smaller as BT.601."""
    if frame.format.is_rgb:
        return None
    large = frame.width >= 1280 or frame.height > 576
    return _MATRICES.get(frame.colorspace, Colorspace.ITU709 if large else Colorspace.ITU601)


def _range_of(frame: VideoFrame) -> ColorRange:
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb
    return ColorRange.JPEG if full else ColorRange.MPEG


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Return (a, b, c, d): pixel (x, y) is shown at (a x + c y, b x + d y), up to scale and offset."""
    data = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    values = struct.unpack("=9i", bytes(data))
    return values[0], values[1], values[3], values[4]


def _upright(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply the rotation (to the nearest quarter turn) and mirroring of a display matrix to (H, W, 3)."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if d < 0 else pixels
