"""Frames of a video file: decoded with PyAV, deinterlaced, upright, square pixels, (H, W, 3) uint8 sRGB."""

from __future__ import annotations

import logging
import struct
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.codec import CodecContext
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .containers import Track, measure, open_container, packets_of
from .paths import FileStamp
from .pictures import WHITE, blend, check_size
from .readers import FrameReader

logger = logging.getLogger(__name__)

_SEEK_FROM = 16  # frames; to an earlier frame, decoding from the start is as quick as seeking
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_BT709, _SRGB, _PQ, _HLG = 1, 13, 16, 18  # FFmpeg's numbers of primaries and transfer curves
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
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


class ContainerReader(FrameReader):
    """A video file. Each call of `frames_from` opens it anew and closes it when done or abandoned.

    Args:
        path: the file.
        max_pixels: larger frames are refused.
        take_cut_off: whether what is there of a file will do if it says itself that pictures are missing.
    """

    path: Path
    kind = "video"

    def __init__(self, path: Path, max_pixels: int, take_cut_off: bool = False) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._stamp = FileStamp.of(path)
        self.track: Track = measure(path, take_cut_off=take_cut_off)
        for fault in self.track.faults:
            logger.warning("%s: %s", path, fault)
        self.clock, self.has_audio, self.origin = self.track.clock, self.track.has_audio, self.track.origin
        with closing(self._decoded(None)) as frames:
            first = next(frames, None)
            if first is None:
                raise InputError(f"{path}: must have frames that can be decoded, but has none")
            converter = _Converter(*first[1:])
        self.size: tuple[int, int] = converter.size
        self.rotation: int = converter.rotation

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on, or the error where a frame is damaged.

        Damage that is met on the way to `index` comes first: what follows may show traces of it.
        """
        self._stamp.check()
        can_seek = index >= _SEEK_FROM and self.track.ticks is not None and self.track.can_seek
        for seek in (True, False) if can_seek else (False,):
            try:
                yield from self._converted(index, seek=seek)
                break
            except _SeekError:  # an open group of pictures, or no index: decode from the start instead
                continue
            except InputError:
                self._stamp.check()  # if the file has changed, that is why
                raise
        self._stamp.check()

    def _converted(self, first: int, *, seek: bool) -> Iterator[tuple[int, np.ndarray | InputError]]:
        converter: _Converter | None = None
        previous = -1
        for index, frame, stream in self._decoded(first if seek else None):
            if converter is None and seek:
                if index > first:
                    raise _SeekError
                previous = index - 1  # what leads up to the first key frame is no damage
            converter = converter or _Converter(frame, stream)
            for missing in range(previous + 1, index):
                yield missing, self._damage(missing, "is missing")
            if index <= previous:
                continue
            previous = index
            if frame.is_corrupt:
                yield index, self._damage(index, "is damaged")
            elif index >= first:
                yield index, converter(frame, self.size)
        if seek and previous < first:
            raise _SeekError  # some formats without an index seek past the end
        for missing in range(max(first, previous + 1), self.count):
            yield missing, self._damage(missing, "is missing")

    def _damage(self, index: int, what: str) -> InputError:
        self._stamp.check()
        return InputError(f"{self.name}: is damaged at frame {index}, {self.clock.times[index]:.2f} s: it {what}")

    def _decoded(self, seek_to: int | None) -> Generator[tuple[int, VideoFrame, VideoStream], None, None]:
        """Yield (frame number, frame, stream) in the order in which they are shown."""
        ticks, time_base = self.track.ticks, self.track.time_base
        with open_container(self.path) as container:
            stream = cast(VideoStream, container.streams[self.track.index])
            stream.thread_type = "SLICE"  # a decoder of several frames at once loses others with a damaged one
            if seek_to is not None and ticks is not None:
                try:
                    container.seek(int(ticks[seek_to]), stream=stream)
                except av.FFmpegError as error:
                    raise _SeekError from error
            for count, frame in enumerate(_deinterlaced(_frames_of(container, stream, self._max_pixels, self.name))):
                if ticks is None:
                    yield count, frame, stream
                elif frame.pts is not None:
                    tick = round(frame.pts * (frame.time_base or time_base) / time_base)
                    index = int(np.searchsorted(ticks, tick, side="right")) - 1
                    if index >= 0:
                        yield index, frame, stream


def _frames_of(container: InputContainer, stream: VideoStream, max_pixels: int, name: str) -> Iterator[VideoFrame]:
    """Decode packet by packet; what cannot be decoded is left out, what is too large is refused."""
    check_size(max(1, stream.height), max(1, stream.width), max_pixels, name)  # 0: not known before decoding
    decoder = _decoder_of(stream)
    for packet in chain(_readable(container, stream), (None,)):  # None: what the decoder still holds
        with suppress(av.FFmpegError):
            for frame in decoder.decode(packet):
                check_size(frame.height, frame.width, max_pixels, name)
                yield frame


def _readable(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets up to where the file cannot be read, which `measure` has told."""
    with suppress(av.FFmpegError):
        for packet in packets_of(container, stream):
            if packet.size:
                yield packet


def _decoder_of(stream: VideoStream) -> VideoCodecContext:
    """The decoder of a track: for VP8 and VP9 with transparency libvpx, since FFmpeg's own ones do not see that."""
    name = _WITH_ALPHA.get(stream.codec_context.name) if stream.metadata.get("alpha_mode") == "1" else None
    if name is None or name not in av.codecs_available:
        return stream.codec_context
    decoder = cast(VideoCodecContext, CodecContext.create(name, "r"))
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Pass frames through; from the first interlaced one on, through a filter that rebuilds the missing lines."""
    graph: Graph | None = None
    size: tuple[int, int] | None = None
    for frame in chain(frames, (None,)):
        if graph is not None and (frame is None or (frame.width, frame.height) != size):
            graph.push(None)
            yield from ready(graph)
            graph = None
        if frame is None:
            return
        if graph is None and frame.interlaced_frame:
            graph, size = _deinterlacer(frame), (frame.width, frame.height)
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from ready(graph)


def _deinterlacer(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    # send_frame: one frame for each two fields. deint=interlaced: progressive frames between them stay as they are.
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def ready(graph: Graph) -> Iterator[VideoFrame]:
    """The frames that a filter graph has finished so far."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Converter:
    """Turns the frames of one stream into upright (H, W, 3) uint8 sRGB with square pixels, of the size of the first."""

    def __init__(self, frame: VideoFrame, stream: VideoStream) -> None:
        self._reformatter = VideoReformatter()
        aspect = max(stream.sample_aspect_ratio or 0, 0) or 1
        self._matrix = _display_matrix(frame)
        self.rotation = frame.rotation % 360  # degrees, counter-clockwise
        self._turned = abs(self._matrix[1]) > abs(self._matrix[0])
        height, width = frame.height, max(1, round(frame.width * aspect))
        self.size = (width, height) if self._turned else (height, width)

    def __call__(self, frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """Return a frame at `size`, (h, w); one of another shape is stretched, as FFmpeg's own program does."""
        height, width = size[::-1] if self._turned else size  # as it is stored
        has_alpha = any(component.is_alpha for component in frame.format.components)
        is_hdr = frame.color_trc in (_PQ, _HLG)
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
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
            pixels = blend(pixels, WHITE)
        return np.ascontiguousarray(_upright(pixels, self._matrix))


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
