"""Pictures and videos out. What is at the path is whole, or what was there before.

MP4 (H.264), WebM (VP9) and MOV (ProRes 4444) with sound, GIF, WebP animations, PNG files and folders of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, cast

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import ExifTags, Image, PngImagePlugin

from ..atomic import atomic_path, final_path, hidden_folder, put, remove
from ..errors import InputError
from ..version import __version__
from .frames import exact_rate
from .paths import FRAMES, check_file, check_output, naming
from .sound import IN_MOV, IN_MP4, IN_WEBM, AudioSource, Sound, SoundCodecs, prepare_sound
from .video_files import filter_graph, ready

LARGEST = 16384  # pixels of a side
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_BT709 = 1  # FFmpeg's number of the primaries, the transfer curve and the matrix alike
_MP4_TAGS = ("title", "artist", "comment", "copyright", "date", "description")  # keys that MP4 has boxes for
_PNG_KEYWORDS = ("title", "comment", "copyright", "software")  # the standard's own, which begin with a capital there
_TICK = 100  # of GIF, a second
_SHORTEST = 2  # of these; browsers show shorter frames much longer


@dataclass(frozen=True)
class Format:
    """FFmpeg's names of how a kind of video file is encoded, options of its encoder, and codecs of sound that fits into it."""

    codec: str
    pixels: str
    options: Mapping[str, str]
    sound: SoundCodecs


# VP9: alpha allows no hidden frames, which are the alternate references.
_VP9 = {"crf": "18", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
FORMATS = {
    "mp4": Format("libx264", "yuv420p", {"preset": "medium"}, IN_MP4),
    "webm": Format("libvpx-vp9", "yuva420p", _VP9, IN_WEBM),
    "mov": Format("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, IN_MOV),
}


def provenance(model_name: str) -> dict[str, str]:
    """Return metadata that says that a video is synthetic and which model made it, for people and for programs."""
    return {
        "comment": f"Synthetic: a picture animated by the model {model_name}. It does not show a real event.",
        "software": f"motion-core {__version__}",
        "model": model_name,
        # The IPTC term for pictures made in part by a trained model.
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
    }


def check_frame(frame: np.ndarray, size: tuple[int, int] | None, path: Path, channels: int = 3) -> tuple[int, int]:
    """Return the (h, w) of a frame if it can be written after frames of `size`."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
        got = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise InputError(f"{path}: frames must be (H, W, {channels}) uint8 arrays, got {got}")
    height, width = frame.shape[:2]
    if min(height, width) < 1 or max(height, width) > LARGEST:
        raise InputError(f"{path}: frames must have sides of 1..{LARGEST} pixels, got {width} x {height}")
    if size is not None and (height, width) != size:
        raise InputError(f"{path}: frames must have the (h, w) of the first one, {size}, got {(height, width)}")
    return height, width


class VideoWriter:
    """Writes a video frame by frame; use it in a ``with`` statement.

    The kind follows from the path: ``.mp4`` (H.264, with sound), ``.gif``, or a folder of PNG frames where the path
    ends in a separator or is an empty folder. It is written in a hidden folder beside its place, and put there at the end
    of the ``with`` block; if that ends with an exception, of whatever kind, nothing is left behind. What a killed process
    left behind goes when the next video is written beside it.

    Args:
        path: where to.
        frame_rate: frames a second, taken exactly.
        audio_from: a video, or a file with sound, whose sound goes along where the format has sound, never longer than the
            frames. It is read and checked when the ``with`` block begins; what cannot be used is left out with a warning.
        metadata: text to store in the file, for example `provenance`.
        quality: constant rate factor of H.264, from 0 (best) to 51; 18 is hardly told from the original.

    Raises:
        InputError: the path cannot be written, an argument is out of range, or the disk is full.
    """

    channels: ClassVar[int] = 3  # of the frames

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame_rate: Fraction | int | float | str,
        *,
        audio_from: AudioSource | None = None,
        metadata: Mapping[str, str] | None = None,
        quality: int = 18,
    ) -> None:
        self.path = Path(path)
        self.kind = check_output(path, alpha=self.channels == 4)
        self.frame_rate = exact_rate(frame_rate)
        self.frame_count = 0  # frames written
        self._audio = audio_from
        self._sound: Sound | None = None
        self._metadata = dict(metadata or {})
        if isinstance(quality, bool) or not isinstance(quality, int) or not 0 <= quality <= 51:
            raise InputError(f"quality: must be a whole number in 0 (best) to 51 (worst), got {quality!r}")
        self._quality = quality
        self._open = ExitStack()
        self._made: Path | None = None  # in a hidden folder
        self._size: tuple[int, int] | None = None
        self._sink: VideoSink | GifSink | FolderSink | None = None
        self._finished = False

    def __enter__(self) -> Self:
        place = final_path(self.path)
        with naming(self.path), ExitStack() as opened:
            folder = opened.enter_context(hidden_folder(place.parent))
            if self.kind in FORMATS:
                self._sound = prepare_sound(self._audio, folder, FORMATS[self.kind].sound)
                if self._sound:
                    opened.callback(self._sound.close)
            self._made = folder / f"made{place.suffix}"
            self._open = opened.pop_all()
        return self

    def _new_sink(self, made: Path, size: tuple[int, int]) -> VideoSink | GifSink | FolderSink:
        if self.kind == FRAMES:
            return FolderSink(made, metadata=self._metadata)
        if self.kind == "gif":
            return GifSink(made, self.frame_rate, size, metadata=self._metadata)
        return VideoSink(
            made, self.kind, self.frame_rate, size, quality=self._quality, sound=self._sound, metadata=self._metadata
        )

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """The (height, width) that the frames have in the output; None before the first one."""
        return None if self._size is None else written_size(self.kind, self._size)

    def write(self, frame: np.ndarray) -> None:
        """Append a frame ``(H, W, channels)`` uint8; all frames have the size of the first."""
        if self._made is None:
            raise ValueError("a writer is used in a with block")
        self._size = check_frame(frame, self._size, self.path, self.channels)
        with naming(self.path):
            self._sink = self._sink or self._new_sink(self._made, self._size)
            self._sink.write(frame)
        self.frame_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            with self._open, suppress(OSError, av.FFmpegError):  # what cannot be completed need not be
                if self._made is not None:
                    remove(self._made)  # before closing, which would otherwise complete the file first
                if self._sink is not None:
                    self._sink.close()

    def finish(self) -> None:
        """Put the video into its place before the ``with`` block ends; nothing can be written after that."""
        if self._finished:
            return
        if self._made is None or self._sink is None:
            raise InputError(f"{self.path}: a video needs at least one frame, got none")
        with naming(self.path):
            self._sink.finish()
            put(self._made, self.path)
        self._finished = True


class AlphaWriter(VideoWriter):
    """A `VideoWriter` of frames with transparency: ``.webm`` (VP9), ``.mov`` (ProRes 4444) or a folder for PNG files."""

    channels = 4  # RGB as it is without transparency, and opacity


def save_image(path: str | os.PathLike[str], pixels: np.ndarray, metadata: Mapping[str, str] | None = None) -> None:
    """Write ``(H, W, 3)`` uint8 RGB as a PNG file, with `metadata` as its text. Raises InputError if it cannot."""
    target = check_file(path, ".png")
    check_frame(pixels, None, target)
    with naming(target), atomic_path(target) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", pnginfo=png_text(metadata or {}))


def save_animation(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    frame_rate: Fraction | int | float | str,
    metadata: Mapping[str, str] | None = None,
    *,
    quality: int = 80,
) -> None:
    """Write frames ``(H, W, 3)`` uint8 RGB as a WebP animation that loops for ever.

    Args:
        path: where to, ending in .webp.
        frames: at least one, all of one size; they are kept in memory until the file is written.
        frame_rate: frames a second; times are whole milliseconds, rounded so that the error does not add up.
        metadata: text to store in the file, for example `provenance`.
        quality: from 0 (smallest) to 100 (best).

    Raises:
        InputError: the path cannot be written, no frames, frames of several sizes, or a quality out of range.
    """
    target, rate = check_file(path, ".webp"), exact_rate(frame_rate)
    if not 0 <= quality <= 100:
        raise InputError(f"quality: must be in 0 (smallest) to 100 (best), got {quality!r}")
    pictures: list[Image.Image] = []
    size = None
    for frame in frames:
        size = check_frame(frame, size, target)
        pictures.append(Image.fromarray(frame))
    if not pictures:
        raise InputError(f"{target}: an animation needs at least one frame, got none")
    times = [round(1000 * number / rate) for number in range(len(pictures) + 1)]
    durations = [after - before for before, after in pairwise(times)]
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "\n".join(f"{key}: {value}" for key, value in (metadata or {}).items())
    options = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0}
    with naming(target), atomic_path(target) as temporary:
        pictures[0].save(temporary, format="WEBP", quality=quality, method=4, exif=exif, **options)


# A sink takes frames (h, w, 3 or 4) uint8 and writes them to a temporary path. It is closed when it is finished, and also
# after a failure, when the output is thrown away.


class VideoSink:
    """Encodes frames of `size` (h, w) into a video file. MP4 gets even sizes by repeating the last row or column."""

    def __init__(
        self,
        path: Path,
        kind: str,
        frame_rate: Fraction,
        size: tuple[int, int],
        *,
        quality: int,
        sound: Sound | None,
        metadata: Mapping[str, str],
    ) -> None:
        form = FORMATS[kind]
        self._pixels, self._rate, self._count, self._sound = form.pixels, frame_rate, 0, sound
        height, width = written_size(kind, size)
        self._padding = [(0, height - size[0]), (0, width - size[1]), (0, 0)]
        self._reformatter = VideoReformatter()
        options = dict(form.options)
        if form.codec == "libx264":
            options["crf"] = str(quality)
            if torch.backends.cpu.get_cpu_capability() == "AVX512":
                # With AVX-512 (x264 165), 6 of 981 encodings of the same four frames differed in the last bytes; with AVX2, none.
                options["x264-params"] = "asm=avx2"
        self._container = open_output(path, kind, metadata)
        try:
            self._stream = cast(VideoStream, self._container.add_stream(form.codec, rate=frame_rate, options=options))
            self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, form.pixels
            if kind == "webm":
                self._stream.metadata["alpha_mode"] = "1"  # of each track
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
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24" if frame.shape[2] == 3 else "rgba")
        picture = self._reformatter.reformat(
            rgb,
            format=self._pixels,
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
        self._container.close()


def written_size(kind: str, size: tuple[int, int]) -> tuple[int, int]:
    """The (h, w) that frames of `size` have in an output of that kind: MP4 has even sides only."""
    return (size[0] + size[0] % 2, size[1] + size[1] % 2) if kind == "mp4" else size


def open_output(path: Path, kind: str, metadata: Mapping[str, str]) -> OutputContainer:
    """Open a video file for writing. Metadata keys that MP4 and MOV have no place for are added to its comment."""
    options = {"movflags": "+faststart"} if kind == "mp4" else {}  # the index comes first
    output = av.open(f"file:{path}", "w", format=kind, container_options=options)
    if kind == "webm":
        output.metadata.update(metadata)
        return output
    output.metadata.update({key: value for key, value in metadata.items() if key in _MP4_TAGS})
    if "software" in metadata:
        output.metadata["encoding_tool"] = metadata["software"]
    others = [f"{key}: {value}" for key, value in metadata.items() if key not in (*_MP4_TAGS, "software")]
    if others:
        output.metadata["comment"] = "\n".join([*filter(None, [metadata.get("comment")]), *others])
    return output


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
        size, tick = (self._stream.width, self._stream.height, "bgr0"), Fraction(1, _TICK)
        with av.open(str(self._waiting)) as waiting:
            palette = next(_filtered(waiting.decode(video=0), filter_graph("palettegen", "", [size], tick)))
        colors = (palette.width, palette.height, palette.format.name)
        painting = filter_graph("paletteuse", "dither=floyd_steinberg", [size, colors], tick)
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
            stream.width, stream.height, stream.pix_fmt = *size[:2], "pal8"
            for shown, picture in zip(self._ticks, _filtered(waiting.decode(video=0), painting), strict=True):
                picture.pts, picture.time_base = shown, tick
                gif.mux(stream.encode(picture))
            gif.mux(stream.encode(None))
        self._waiting.unlink()
        _add_comment(self._path, "\n".join(f"{key}: {value}" for key, value in self._metadata.items()))

    def close(self) -> None:
        self._container.close()


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
        partial = path.with_suffix(".partial")  # where a killed job goes on, this is written again
        with partial.open("wb") as file:
            Image.fromarray(frame).save(file, format="PNG", pnginfo=self._text, compress_level=4)
        partial.rename(path)
        self._count += 1

    def finish(self) -> None:
        """Nothing is open between frames."""

    close = finish


def png_text(metadata: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    """Metadata as a PNG file has it."""
    text = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        text.add_itxt(key.capitalize() if key in _PNG_KEYWORDS else key, value)
    return text
