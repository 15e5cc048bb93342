"""Videos with transparency out: VP9 in WebM, ProRes 4444 in MOV, or a folder of PNG files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .mp4 import open_stream
from .outputs import FRAMES, check_file, check_output
from .sound import IN_MP4, IN_WEBM, Sound, SoundCodecs
from .writing import AudioSource, FolderSink, FrameSink, FrameWriter, audio_part

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Format:
    """How a kind of file is encoded.

    Attributes:
        container, codec, pixels: FFmpeg's names.
        options: of the encoder.
        sound: codecs of the sound that fits into it.
    """

    container: str
    codec: str
    pixels: str
    options: Mapping[str, str]
    sound: SoundCodecs


# Alpha allows no hidden frames, which are the alternate references.
_VP9 = {"crf": "18", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
_FORMATS = {
    ".webm": _Format("webm", "libvpx-vp9", "yuva420p", _VP9, IN_WEBM),
    ".mov": _Format("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, IN_MP4),
}


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


class AlphaWriter(FrameWriter):
    """Writes a video with transparency; like `VideoWriter`, it is used in a ``with`` statement, and appears whole.

    Args:
        path: ``.webm`` (VP9), ``.mov`` (ProRes 4444) or a folder for PNG files.
        frame_rate: frames a second, taken exactly.
        audio_from: a video whose sound goes along with a file.
        metadata: text to store in the file.

    Raises:
        InputError: as `check_alpha_output`, or the disk is full.
    """

    channels = 4  # RGB as it is without transparency, and opacity

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame_rate: Fraction | int | float | str,
        *,
        audio_from: AudioSource | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(path, check_alpha_output(path), frame_rate, audio_part(audio_from, None, None), metadata)

    @property
    def sound_codecs(self) -> SoundCodecs | None:
        """Of the sound that the output can have; None if it has none."""
        return None if self.kind == FRAMES else _FORMATS[self.kind].sound

    def _new_sink(self, made: Path, size: tuple[int, int]) -> FrameSink:
        if self.kind == FRAMES:
            return FolderSink(made, metadata=self._metadata)
        return _AlphaSink(made, _FORMATS[self.kind], self.frame_rate, size, self._sound, self._metadata)


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
        begin = partial(_begin, path, form, frame_rate, size, metadata)
        try:
            self._container, self._stream = begin(sound)
        except (av.FFmpegError, ValueError) as error:
            if sound is None:
                raise
            logger.warning("%s: has no sound, which does not fit into it: %s", path, error)
            self._sound = None
            self._container, self._stream = begin(None)

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
        self._container.close()


def _begin(
    path: Path,
    form: _Format,
    frame_rate: Fraction,
    size: tuple[int, int],
    metadata: Mapping[str, str],
    sound: Sound | None,
) -> tuple[OutputContainer, VideoStream]:
    """Open a file and write its header; raises what FFmpeg does where the sound does not fit into it."""
    container = av.open(f"file:{path}", "w", format=form.container)
    try:
        container.metadata.update(metadata)
        stream = container.add_stream(form.codec, rate=frame_rate, options=dict(form.options))
        assert isinstance(stream, VideoStream)
        stream.metadata["alpha_mode"] = "1"  # WebM says so for each track
        open_stream(stream, frame_rate, size, form.pixels)
        if sound is not None:
            sound.add_to(container)
        container.start_encoding()
    except BaseException:
        container.close()
        raise
    return container, stream
