"""Frames into files, one after the other: MP4 (H.264), WebM (VP9) and MOV (ProRes 4444) with sound, GIF, folders of PNG files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol, cast

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image, PngImagePlugin

from ..errors import InputError
from .containers import open_container
from .decoding import ready
from .sound import IN_MOV, IN_MP4, IN_WEBM, Sound, SoundCodecs

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_BT709 = 1  # FFmpeg's number of the primaries, the transfer curve and the matrix alike
_MP4_TAGS = ("title", "artist", "comment", "copyright", "date", "description")  # keys that MP4 has boxes for
_PNG_KEYWORDS = ("title", "comment", "copyright", "software")  # the standard's own, which begin with a capital there
_TICK = 100  # of GIF, a second
_SHORTEST = 2  # of these; browsers show shorter frames much longer


class FrameSink(Protocol):
    """Something that takes frames ``(h, w, 3 or 4)`` uint8 and writes them to a temporary path."""

    def write(self, frame: np.ndarray) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Format:
    """How a kind of video file is encoded.

    Attributes:
        container, codec, pixels: FFmpeg's names.
        options: of the encoder.
        sound: codecs of the sound that fits into it.
        channels: 3 for RGB, 4 with transparency.
    """

    container: str
    codec: str
    pixels: str
    options: Mapping[str, str]
    sound: SoundCodecs
    channels: int


# VP9: alpha allows no hidden frames, which are the alternate references.
_VP9 = {"crf": "18", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
FORMATS = {
    "mp4": Format("mp4", "libx264", "yuv420p", {"preset": "medium"}, IN_MP4, 3),
    "webm": Format("webm", "libvpx-vp9", "yuva420p", _VP9, IN_WEBM, 4),
    "mov": Format("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, IN_MOV, 4),
}


def _open_output(path: Path, container: str, metadata: Mapping[str, str]) -> OutputContainer:
    """Open a video file for writing. Metadata keys that MP4 and MOV have no place for are added to its comment."""
    index_first = {"movflags": "+faststart"} if container == "mp4" else {}
    output = av.open(f"file:{path}", "w", format=container, container_options=index_first)
    if container == "webm":
        output.metadata.update(metadata)
        return output
    output.metadata.update({key: value for key, value in metadata.items() if key in _MP4_TAGS})
    if "software" in metadata:
        output.metadata["encoding_tool"] = metadata["software"]
    others = [f"{key}: {value}" for key, value in metadata.items() if key not in (*_MP4_TAGS, "software")]
    comment = "\n".join([metadata[key] for key in ("comment",) if key in metadata] + others)
    if comment:
        output.metadata["comment"] = comment
    return output


def written_size(kind: str, size: tuple[int, int]) -> tuple[int, int]:
    """The (h, w) that frames of `size` have in an output of that kind: MP4 has even sides only."""
    return (size[0] + size[0] % 2, size[1] + size[1] % 2) if kind == "mp4" else size


class VideoSink:
    """Encodes frames ``(h, w, channels)`` uint8 into a video file. For MP4, odd sizes are made even by repeating the last row or
    column.

    Args:
        path, form, frame_rate, size: what is written, and the (h, w) of the frames.
        quality: constant rate factor of H.264.
        sound: goes along, if it fits into the file.
        metadata: text to store in it.
    """

    def __init__(
        self,
        path: Path,
        form: Format,
        frame_rate: Fraction,
        size: tuple[int, int],
        *,
        quality: int,
        sound: Sound | None,
        metadata: Mapping[str, str],
    ) -> None:
        self._form, self._rate, self._count, self._sound = form, frame_rate, 0, sound
        height, width = written_size(form.container, size)
        self._padding = [(0, height - size[0]), (0, width - size[1]), (0, 0)]
        self._reformatter = VideoReformatter()
        options = dict(form.options)
        if form.codec == "libx264":
            options["crf"] = str(quality)
            if torch.backends.cpu.get_cpu_capability() == "AVX512":
                # With AVX-512 (x264 165), 6 of 981 encodings of the same four frames differed in the last bytes; with AVX2, none.
                options["x264-params"] = "asm=avx2"
        self._container = _open_output(path, form.container, metadata)
        try:
            self._stream = cast(VideoStream, self._container.add_stream(form.codec, rate=frame_rate, options=options))
            self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, form.pixels
            if form.channels == 4:
                self._stream.metadata["alpha_mode"] = "1"  # WebM says so for each track
            context = self._stream.codec_context
            context.time_base = 1 / frame_rate
            context.color_range = ColorRange.MPEG
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.open()
            if sound:
                sound.add_to(self._container)
            self._container.start_encoding()
        except BaseException as error:
            self._container.close()
            if isinstance(error, av.codec.codec.UnknownCodecError):
                raise InputError(
                    f"{form.codec}: this FFmpeg has none; install PyAV from its wheels: pip install av"
                ) from error
            raise

    def write(self, frame: np.ndarray) -> None:
        if any(after for _, after in self._padding):
            frame = np.pad(frame, self._padding, mode="edge")
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(
                np.ascontiguousarray(frame), format="rgb24" if self._form.channels == 3 else "rgba"
            ),
            format=self._form.pixels,
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


def join(
    parts: list[Path],
    path: Path,
    frame_rate: Fraction,
    *,
    sound: Sound | None,
    metadata: Mapping[str, str],
) -> None:
    """Put MP4 files of one size and rate one after another, without encoding their frames again."""
    container = _open_output(path, "mp4", metadata)
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


class GifSink:
    """Writes frames ``(h, w, 3)`` uint8 into a looping GIF, with one palette for all of them: one palette a frame would flicker.

    Times are whole hundredths of a second; they are rounded so that the error does not add up. Above 50 frames a second some
    frames are left out. The palette is known after the last frame, until which they wait in a lossless file beside the output.
    """

    def __init__(self, path: Path, frame_rate: Fraction, size: tuple[int, int], *, metadata: Mapping[str, str]) -> None:
        self._path, self._rate, self._metadata = path, frame_rate, metadata
        self._count = 0
        self._ticks: list[int] = []  # when frames are shown
        self._waiting = path.with_suffix(".waiting.mkv")
        self._container = av.open(f"file:{self._waiting}", "w", format="matroska")
        self._stream = self._container.add_stream("ffv1", rate=_TICK)
        self._stream.height, self._stream.width, self._stream.pix_fmt = *size, "bgr0"

    def write(self, frame: np.ndarray) -> None:
        tick = round(self._count * _TICK / self._rate)
        self._count += 1
        if self._ticks and tick - self._ticks[-1] < _SHORTEST:
            return
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format="bgr0")
        picture.pts = len(self._ticks)
        self._container.mux(self._stream.encode(picture))
        self._ticks.append(tick)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self.close()
        size = self._stream.width, self._stream.height
        with av.open(str(self._waiting)) as waiting:
            palette = next(_filtered(waiting.decode(video=0), _graph("palettegen", "", (*size, "bgr0"))))
        painting = _graph(
            "paletteuse",
            "dither=floyd_steinberg",
            (*size, "bgr0"),
            (palette.width, palette.height, palette.format.name),
        )
        palette.pts = 0
        for picture in (palette, None):
            painting.vpush(picture, at=1)
        end = max(round(self._count * _TICK / self._rate), self._ticks[-1] + _SHORTEST)
        last = {"final_delay": str(min(end - self._ticks[-1], 65535))}
        with (
            av.open(str(self._waiting)) as waiting,
            av.open(f"file:{self._path}", "w", format="gif", container_options=last) as gif,
        ):
            stream = gif.add_stream("gif", rate=_TICK)
            stream.width, stream.height, stream.pix_fmt = *size, "pal8"
            for tick, picture in zip(self._ticks, _filtered(waiting.decode(video=0), painting), strict=True):
                picture.pts, picture.time_base = tick, Fraction(1, _TICK)
                gif.mux(stream.encode(picture))
            gif.mux(stream.encode(None))
        self._waiting.unlink()
        _add_comment(self._path, "\n".join(f"{key}: {value}" for key, value in self._metadata.items()))

    def close(self) -> None:
        self._container.close()


def _graph(name: str, options: str, *inputs: tuple[int, int, str]) -> Graph:
    """One of FFmpeg's filters, ready to be used, whose inputs are of (width, height, pixel format)."""
    graph = Graph()
    node, sink = graph.add(name, options), graph.add("buffersink")
    for number, (width, height, pixels) in enumerate(inputs):
        source = graph.add_buffer(width=width, height=height, format=VideoFormat(pixels), time_base=Fraction(1, _TICK))
        source.link_to(node, 0, number)
    node.link_to(sink)
    graph.configure()
    return graph


def _filtered(frames: Iterator[VideoFrame], graph: Graph) -> Iterator[VideoFrame]:
    """Frames through the first input of a filter."""
    for frame in chain(frames, (None,)):
        graph.vpush(frame, at=0)
        yield from ready(graph)


def _add_comment(gif: Path, comment: str) -> None:
    """Put a comment behind the head of a GIF file, which FFmpeg does not write."""
    if not comment:
        return
    data, text = gif.read_bytes(), comment.encode()
    head = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # signature, screen, palette
    blocks = b"".join(bytes([len(text[k : k + 255])]) + text[k : k + 255] for k in range(0, len(text), 255))
    gif.write_bytes(data[:head] + b"\x21\xfe" + blocks + b"\x00" + data[head:])


class FolderSink:
    """Writes ``000001.png``, ``000002.png`` and so on into a folder, each under its name only when it is whole."""

    def __init__(self, folder: Path, *, metadata: Mapping[str, str], count: int = 0) -> None:
        self._folder, self._count = folder, count
        self._text = png_text(metadata)
        folder.mkdir(exist_ok=True)

    def write(self, frame: np.ndarray) -> None:
        path = self._folder / f"{self._count + 1:06d}.png"
        partial = path.with_suffix(
            ".partial"
        )  # unlike a name of `atomic_path` it is written again where a killed job goes on
        with partial.open("wb") as file:
            Image.fromarray(frame).save(file, format="PNG", pnginfo=self._text, compress_level=4)
        partial.rename(path)
        self._count += 1

    def finish(self) -> None:
        """Nothing is open between frames."""

    def close(self) -> None:
        """Nothing is open between frames."""


def png_text(metadata: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    """Metadata as a PNG file has it."""
    text = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        text.add_itxt(key.capitalize() if key in _PNG_KEYWORDS else key, value)
    return text
