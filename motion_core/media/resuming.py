"""Long videos in segments: what was finished before an interruption need not be computed again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..errors import InputError
from .containers import measure
from .mp4 import join
from .outputs import FRAMES, check_output, naming, remove, replace, temporary_beside
from .timing import exact_rate
from .writing import QUALITY, AudioSource, FolderSink, VideoWriter, audio_part, check_frame, check_quality

_MANIFEST = "job.json"


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a text about a file, or the files of a folder, that changes when they do: names, sizes, times of change."""
    source = Path(path)
    try:
        files = sorted(source.iterdir()) if source.is_dir() else [source]
        stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error
    return f"{source.resolve()} {stamps}"


class SegmentedWriter:
    """A `VideoWriter` for long jobs: an interruption costs the frames of one segment, not all of them.

    Finished segments are kept in ``<name>.parts`` beside the output, together with what they were made from; after an
    interruption that folder stays, and a writer with ``resume=True`` goes on from there. At the end of the ``with``
    block the segments are joined without encoding their frames again, and the folder is removed.

    Args:
        path, frame_rate, audio_from, start, end, metadata, quality: as for `VideoWriter`; ``.mp4`` or a folder.
        fingerprint: any text that is the same only if inputs and settings are the same.
        resume: go on with an interrupted job; if there is none, begin one.
        keep: leave the finished segments behind when the ``with`` block ends with an exception, to be resumed.
        segment_frames: frames in a segment.

    Attributes:
        frames_done: frames that are already there when the ``with`` block begins; do not write them again.

    Raises:
        InputError: as `VideoWriter`; also if there are parts of another job, or of this one and `resume` is False.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame_rate: Fraction | int | float | str,
        *,
        fingerprint: str,
        resume: bool = False,
        keep: bool = True,
        segment_frames: int = 250,
        audio_from: AudioSource | None = None,
        start: float | None = None,
        end: float | None = None,
        metadata: Mapping[str, str] | None = None,
        quality: int = QUALITY,
    ) -> None:
        self.path = Path(path)
        self.kind = check_output(path)
        if self.kind not in ("mp4", FRAMES):
            raise InputError(f"{self.path}: only .mp4 and folders of frames can be resumed, got {self.path.suffix}")
        if isinstance(segment_frames, bool) or not isinstance(segment_frames, int) or segment_frames < 1:
            raise InputError(f"segment_frames: must be a whole number of at least 1, got {segment_frames!r}")
        self.frame_rate = exact_rate(frame_rate)
        self.parts = self.path.absolute().parent / f"{self.path.name}.parts"
        self._frames = self.parts / "frames"  # of a folder output
        self._audio = audio_part(audio_from, start, end)
        self._metadata = dict(metadata or {})
        self._quality, self._segment_frames = check_quality(quality), segment_frames
        self._keep = keep
        self._size: tuple[int, int] | None = None
        self._writer: VideoWriter | None = None
        self._folder: FolderSink | None = None
        self._job = {"fingerprint": fingerprint, "frame_rate": str(self.frame_rate), "quality": quality}
        self._check_parts(resume)
        self.frames_done = self._count_done()
        self.frame_count = self.frames_done  # frames written, in all runs together

    def __enter__(self) -> Self:
        try:
            with naming(self.parts):
                self.parts.mkdir(exist_ok=True)
                for unfinished in self.parts.glob(".motion-core-*.partial"):  # of a run that was killed
                    remove(unfinished)
                self._save_job()
        except BaseException:
            if not self.frames_done:
                shutil.rmtree(self.parts, ignore_errors=True)
            raise
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame ``(H, W, 3)`` uint8 RGB, the first being number `frames_done`."""
        size = check_frame(frame, self._size, self.path)
        if self._size is None:
            self._size = size
            self._save_job()
        if self.kind == FRAMES:
            with naming(self.path):
                self._folder = self._folder or FolderSink(self._frames, metadata=self._metadata, count=self.frames_done)
                self._folder.write(frame)
        else:
            self._write_segment(frame)
        self.frame_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finished = False
        try:
            if self._writer is not None:  # the unfinished segment is completed, or thrown away
                self._writer.__exit__(kind, error, trace)
            if kind is None:
                self._finish()
                finished = True
        finally:
            if not (finished or self._keep):
                shutil.rmtree(self.parts, ignore_errors=True)

    def _write_segment(self, frame: np.ndarray) -> None:
        if self._writer is None:
            segment = self.parts / f"{len(self._segments()) + 1:06d}.mp4"
            self._writer = VideoWriter(segment, self.frame_rate, quality=self._quality)
        self._writer.write(frame)
        if self._writer.frame_count == self._segment_frames:
            self._writer.__exit__(None, None, None)
            self._writer = None

    def _finish(self) -> None:
        if not self.frame_count:
            raise InputError(f"{self.path}: a video needs at least one frame, got none")
        temporary = self._frames if self.kind == FRAMES else temporary_beside(self.path)
        try:
            with naming(self.path):
                if self.kind != FRAMES:
                    join(self._segments(), temporary, self.frame_rate, audio=self._audio, metadata=self._metadata)
                replace(temporary, self.path)
        finally:
            if self.kind != FRAMES:
                remove(temporary)
        shutil.rmtree(self.parts)

    def _segments(self) -> list[Path]:
        """Return the finished segments in order, up to the first gap."""
        segments: list[Path] = []
        while (segment := self.parts / f"{len(segments) + 1:06d}.mp4").exists():
            segments.append(segment)
        return segments

    def _check_parts(self, resume: bool) -> None:
        """Raise InputError unless there are no parts, or parts of this very job that are to be resumed."""
        if not os.path.exists(self.parts) or (self.parts.is_dir() and not any(self.parts.iterdir())):
            return
        if not resume:
            raise InputError(f"{self.parts}: holds an unfinished job; resume it, or remove the folder")
        job = self._load_job()
        for key, value in self._job.items():
            if job.get(key) != value:
                hint = "" if key == "fingerprint" else f" ({key} {job.get(key)} there, {value} now)"
                raise InputError(f"{self.parts}: cannot be resumed, it was made from other inputs or settings{hint}")
        if isinstance(job.get("size"), list):
            self._size = (int(job["size"][0]), int(job["size"][1]))

    def _count_done(self) -> int:
        if self.kind == FRAMES:
            count = 0
            while (self._frames / f"{count + 1:06d}.png").exists():
                count += 1
            return count
        return sum(measure(segment).count for segment in self._segments())

    def _load_job(self) -> dict[str, Any]:
        try:
            job = json.loads((self.parts / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.parts}: cannot be resumed, it has no readable {_MANIFEST} ({error})") from error
        return job if isinstance(job, dict) else {}

    def _save_job(self) -> None:
        with naming(self.parts):
            temporary = temporary_beside(self.parts / _MANIFEST)
            temporary.write_text(json.dumps(self._job | {"size": self._size}, indent=2), encoding="utf-8")
            os.replace(temporary, self.parts / _MANIFEST)
