"""Pictures and videos out. What is at the path is whole, or what was there before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import av
import numpy as np
from PIL import ExifTags, Image

from ..atomic import atomic_path, final_path, hidden_folder, put, remove
from ..errors import InputError
from ..version import __version__
from .encoding import FORMATS, FolderSink, FrameSink, GifSink, VideoSink, png_text, written_size
from .paths import FRAMES, check_file, check_output, naming
from .sound import AudioSource, Sound, prepare_sound
from .timing import exact_rate

_QUALITY = 18  # constant rate factor of H.264: hardly told from the original
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def provenance(model_name: str) -> dict[str, str]:
    """Return metadata that says that a video is synthetic and which model made it, for people and for programs."""
    return {
        "comment": f"Synthetic: a picture animated by the model {model_name}. It does not show a real event.",
        "software": f"motion-core {__version__}",
        "model": model_name,
        "digital_source_type": _SOURCE_TYPE,  # the IPTC term for pictures made in part by a trained model
    }


def check_frame(frame: np.ndarray, size: tuple[int, int] | None, path: Path, channels: int = 3) -> tuple[int, int]:
    """Return the (h, w) of a frame if it can be written after frames of `size`."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
        got = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise InputError(f"{path}: frames must be (H, W, {channels}) uint8 arrays, got {got}")
    height, width = frame.shape[:2]
    if min(height, width) < 1 or max(height, width) > 16384:
        raise InputError(f"{path}: frames must have sides of 1..16384 pixels, got {width} x {height}")
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
        quality: constant rate factor of H.264, from 0 (best) to 51.

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
        quality: int = _QUALITY,
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
        self._sink: FrameSink | None = None
        self._finished = False

    def __enter__(self) -> Self:
        place = final_path(self.path)
        with naming(self.path), ExitStack() as opened:
            folder = opened.enter_context(hidden_folder(place.parent))
            if self.kind in FORMATS:
                self._sound = prepare_sound(self._audio, folder, FORMATS[self.kind].sound)
            self._made = folder / f"made{place.suffix}"
            self._open = opened.pop_all()
        return self

    def _new_sink(self, made: Path, size: tuple[int, int]) -> FrameSink:
        if self.kind == FRAMES:
            return FolderSink(made, metadata=self._metadata)
        if self.kind == "gif":
            return GifSink(made, self.frame_rate, size, metadata=self._metadata)
        return VideoSink(
            made,
            FORMATS[self.kind],
            self.frame_rate,
            size,
            quality=self._quality,
            sound=self._sound,
            metadata=self._metadata,
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
            self._discard()

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

    def _discard(self) -> None:
        """Close and delete what is not finished."""
        try:
            if self._made is not None:
                remove(self._made)  # before closing, which would otherwise complete the file first
            if self._sink is not None:
                self._sink.close()
        except (OSError, av.FFmpegError):
            pass  # it cannot be completed, and need not be
        finally:
            if self._sound is not None:
                self._sound.close()
            self._open.close()


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
