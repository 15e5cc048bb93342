"""Videos with transparency out: VP9 in WebM, ProRes 4444 in MOV, or a folder of PNG files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ..atomic import final_path, hidden_folder, put, remove
from ..errors import InputError
from .outputs import FRAMES, check_file, check_output, naming
from .sound import Sound, prepare_sound
from .timing import exact_rate
from .writing import AudioSource, FolderSink, FrameSink, audio_part, check_frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Format:
    """How a kind of file is encoded.

    Attributes:
        container, codec, pixels: FFmpeg's names.
        options: of the encoder.
        sound: whether the driving video's sound, as it goes into an MP4, fits into it.
    """

    container: str
    codec: str
    pixels: str
    options: Mapping[str, str]
    sound: bool


_VP9 = {
    "crf": "18",
    "b": "0",
    "auto-alt-ref": "0",
    "deadline": "good",
    "cpu-used": "4",
}  # alpha allows no hidden frames
_FORMATS = {
    ".webm": _Format("webm", "libvpx-vp9", "yuva420p", _VP9, sound=False),
    ".mov": _Format("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, sound=True),
}
_BT709 = 1  # FFmpeg's number of the primaries, the transfer curve and the matrix alike


def check_alpha_output(path: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]] = ()) -> str:
    """Return the kind of an output with transparency (".webm", ".mov" or "frames") if it can be written.

    Args:
        path: where to; one that ends in a separator, or an existing folder, means PNG files.
        others: files that it must not replace.

    Raises:
        InputError: another ending, or what `check_output` refuses.
    """
    ending = Path(path).suffix.lower()
    if os.path.isdir(path) or os.fspath(path).endswith((os.sep, os.altsep or os.sep)):
        return check_output(path, others)
    if ending not in _FORMATS:
        known = f"{', '.join(_FORMATS)}, or a folder name ending in {os.sep} for PNG files"
        raise InputError(f"{path}: must end in one of {known} to have transparency, got {ending or 'no ending'!r}")
    check_file(path, ending, others)
    return ending


class AlphaWriter:
    """Writes a video with transparency; like `VideoWriter`, it is used in a ``with`` statement, and appears whole.

    Args:
        path: ``.webm`` (VP9), ``.mov`` (ProRes 4444, with sound) or a folder for PNG files.
        frame_rate: frames a second, taken exactly.
        audio_from: a video whose sound goes along, where the format has it.
        metadata: text to store in the file.

    Raises:
        InputError: as `check_alpha_output`, or the disk is full.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame_rate: Fraction | int | float | str,
        *,
        audio_from: AudioSource | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.kind = Path(path), check_alpha_output(path)
        self.frame_rate = exact_rate(frame_rate)
        self.frame_count = 0  # frames written
        self.frame_size: tuple[int, int] | None = None  # (height, width) of the frames; None before the first one
        self._audio, self._metadata = audio_part(audio_from, None, None), dict(metadata or {})
        self._open = ExitStack()
        self._folder: Path | None = None  # hidden
        self._sink: FrameSink | None = None
        self._finished = False

    def __enter__(self) -> Self:
        with naming(self.path):
            self._folder = self._open.enter_context(hidden_folder(final_path(self.path).parent))
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame ``(H, W, 4)`` uint8: RGB as it is without transparency, and opacity."""
        if self._folder is None:
            raise ValueError("an AlphaWriter is used in a with block")
        self.frame_size = check_frame(frame, self.frame_size, self.path, channels=4)
        with naming(self.path):
            self._sink = self._sink or self._new_sink(self._folder, self.frame_size)
            self._sink.write(frame)
        self.frame_count += 1

    def finish(self) -> None:
        """Put the video into its place before the ``with`` block ends; nothing can be written after that."""
        if self._finished:
            return
        if self._folder is None or self._sink is None:
            raise InputError(f"{self.path}: a video needs at least one frame, got none")
        with naming(self.path):
            self._sink.finish()
            put(self._made(self._folder), self.path)
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            if self._folder is not None:
                remove(self._made(self._folder))  # before closing, which would complete the file first
            try:
                if self._sink is not None:
                    self._sink.close()
            except (OSError, av.FFmpegError):
                pass  # it cannot be completed, and need not be
            finally:
                self._open.close()

    def _made(self, folder: Path) -> Path:
        return folder / f"made{'' if self.kind == FRAMES else self.kind}"

    def _new_sink(self, folder: Path, size: tuple[int, int]) -> FrameSink:
        if self.kind == FRAMES:
            return FolderSink(self._made(folder), metadata=self._metadata)
        form = _FORMATS[self.kind]
        sound = prepare_sound(self._audio, folder) if form.sound else None
        return _AlphaSink(self._made(folder), form, self.frame_rate, size, sound, self._metadata)


class _AlphaSink:
    """Encodes frames ``(h, w, 4)`` uint8."""

    def __init__(
        self,
        path: Path,
        form: _Format,
        frame_rate: Fraction,
        size: tuple[int, int],
        sound: Sound | None,
        metadata: Mapping[str, str],
    ) -> None:
        self._rate, self._form, self._count = frame_rate, form, 0
        self._reformatter = VideoReformatter()
        self._sound = sound
        try:
            self._container, self._stream = _begin(path, form, frame_rate, size, sound, metadata)
        except (av.FFmpegError, ValueError) as error:
            if sound is None:
                raise
            logger.warning("%s: has no sound, which does not fit into it: %s", path, error)
            self._sound = None
            sound.close()
            self._container, self._stream = _begin(path, form, frame_rate, size, None, metadata)

    def write(self, frame: np.ndarray) -> None:
        picture = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgba"),
            format=self._form.pixels,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
        )
        picture.pts, picture.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        if self._sound is not None:
            self._sound.mux_until(self._count / self._rate)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Close all files; also after a failure, when the output is thrown away."""
        if self._sound is not None:
            self._sound.close()
        self._container.close()


def _begin(
    path: Path,
    form: _Format,
    frame_rate: Fraction,
    size: tuple[int, int],
    sound: Sound | None,
    metadata: Mapping[str, str],
) -> tuple[OutputContainer, VideoStream]:
    """Open a file and write its header; raises what FFmpeg does where the sound does not fit into it."""
    container = av.open(f"file:{path}", "w", format=form.container)
    try:
        container.metadata.update(metadata)
        stream = container.add_stream(form.codec, rate=frame_rate, options=dict(form.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], form.pixels
        stream.metadata["alpha_mode"] = "1"  # WebM says so for each track
        context = stream.codec_context
        context.time_base = 1 / frame_rate
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.open()
        if sound is not None:
            sound.add_to(container)
        container.start_encoding()
    except BaseException:
        container.close()
        raise
    return container, stream
