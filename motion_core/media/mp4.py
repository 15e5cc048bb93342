"""MP4 out: H.264, yuv420p, BT.709, exact rational frame rate, index at the front."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .containers import open_container
from .sound import Sound

_OPTIONS = {"movflags": "+faststart"}
_TAGS = ("title", "artist", "comment", "copyright", "date", "description")  # keys that MP4 has boxes for
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_BT709 = 1  # FFmpeg's number of the primaries, the transfer curve and the matrix alike


def open_output(path: Path, metadata: Mapping[str, str]) -> OutputContainer:
    """Open an MP4 for writing. Metadata keys that MP4 has no place for are added to its comment."""
    container = av.open(f"file:{path}", "w", format="mp4", container_options=_OPTIONS)
    container.metadata.update({key: value for key, value in metadata.items() if key in _TAGS})
    if "software" in metadata:
        container.metadata["encoding_tool"] = metadata["software"]
    others = [f"{key}: {value}" for key, value in metadata.items() if key not in (*_TAGS, "software")]
    comment = "\n".join([metadata[key] for key in ("comment",) if key in metadata] + others)
    if comment:
        container.metadata["comment"] = comment
    return container


class Mp4Sink:
    """Encodes frames (h, w, 3) uint8 into an MP4 file. Odd sizes are made even by repeating the last row or column."""

    def __init__(
        self,
        path: Path,
        frame_rate: Fraction,
        size: tuple[int, int],
        *,
        quality: int,
        sound: Sound | None,
        metadata: Mapping[str, str],
    ) -> None:
        self._rate, self._count = frame_rate, 0
        self._padding = [(0, size[0] % 2), (0, size[1] % 2), (0, 0)]
        self._reformatter = VideoReformatter()
        self._container = open_output(path, metadata)
        try:
            height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
            self._stream = _h264_stream(self._container, frame_rate, height, width, quality)
            self._sound = sound
            if sound:
                sound.add_to(self._container)
        except BaseException:
            self._container.close()
            raise

    def write(self, frame: np.ndarray) -> None:
        if any(after for _, after in self._padding):
            frame = np.pad(frame, self._padding, mode="edge")
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
            interpolation=_EXACT,
        )
        picture.pts, picture.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        if self._sound:
            self._sound.mux_until(self._count / self._rate)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Close all files; also after a failure, when the output is thrown away."""
        self._container.close()


def _h264_stream(
    container: OutputContainer, frame_rate: Fraction, height: int, width: int, quality: int
) -> VideoStream:
    try:
        stream = container.add_stream("libx264", rate=frame_rate, options={"crf": str(quality), "preset": "medium"})
    except av.codec.codec.UnknownCodecError as error:
        raise InputError("mp4: this FFmpeg has no libx264; install PyAV from its wheels: pip install av") from error
    open_stream(stream, frame_rate, (height, width), "yuv420p")
    return stream


def open_stream(stream: VideoStream, frame_rate: Fraction, size: tuple[int, int], pixels: str) -> None:
    """Open the encoder of a new track for frames of a size (h, w) in a pixel format of FFmpeg's, in BT.709."""
    stream.height, stream.width = size
    stream.pix_fmt = pixels
    context = stream.codec_context
    context.time_base = 1 / frame_rate
    context.color_range = ColorRange.MPEG
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.open()


def join(
    parts: list[Path],
    path: Path,
    frame_rate: Fraction,
    *,
    sound: Sound | None,
    metadata: Mapping[str, str],
) -> None:
    """Put MP4 files of one size and rate one after another, without encoding their frames again."""
    container = open_output(path, metadata)
    stream: VideoStream | None = None
    shift, last = 0, -(2**63)
    try:
        for part in parts:
            with open_container(part) as segment:
                source = segment.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(source)
                    if sound:
                        sound.add_to(container)
                tick = 1 / (frame_rate * (source.time_base or Fraction(1)))
                count = 0
                for packet in segment.demux(source):
                    if packet.size:
                        last = _shift(packet, shift, last)
                        packet.stream = stream
                        container.mux(packet)
                        count += 1
                shift += round(count * tick)
                if sound:
                    sound.mux_until(shift / tick / frame_rate)
    finally:
        container.close()


def _shift(packet: Packet, ticks: int, last: int) -> int:
    """Move a packet in time; decoding times must go on rising. Return its decoding time."""
    packet.pts = (packet.pts or 0) + ticks
    packet.dts = max((packet.dts or 0) + ticks, last + 1)
    return packet.dts
