"""Long videos in segments: what was finished before an interruption need not be computed again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.video.stream import VideoStream
from filelock import FileLock
from PIL import Image

from ..atomic import atomic_path, final_path, folder_lock, put, remove, remove_locked, remove_stale, take_lock
from ..errors import InputError
from .frames import exact_rate
from .paths import FRAMES, check_output, naming
from .sound import AudioSource, Sound, prepare_sound
from .video_files import ContainerReader, open_container
from .writing import LARGEST, FolderSink, VideoWriter, check_frame, open_output, written_size

_MANIFEST = "job.json"
_JOB = "job"  # the key of an output's metadata under which a digest of the job is


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a text about the content of a file, or of the files of a folder and their names, that changes when it does."""
    source = Path(path)
    digest = hashlib.sha256()
    try:
        if not source.is_dir():
            return _digest(source)
        for file in sorted(source.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                digest.update(f"{file.name}\0{_digest(file)}\n".encode(errors="surrogateescape"))
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_job(
    path: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]] = (), *, resume: bool = False
) -> str:
    """Return the kind of an output path if a `SegmentedWriter` can write it; call it before long work.

    Args:
        path, others: as for `check_output`.
        resume: whether a job that was interrupted is to go on.

    Raises:
        InputError: as `check_output`; another job is writing it now, or an unfinished one is not to be resumed.
    """
    parts = _parts_of(path)
    with naming(Path(path)):
        finished = resume and bool(_job_in(path))
    kind = check_output(path, others, filled=finished)
    with naming(parts):
        begun = parts.is_dir()
    if begun:
        lock = folder_lock(parts)
        _take(lock, parts, path)
        lock.release()
        if not resume and (parts / _MANIFEST).exists():
            raise InputError(f"{parts}: holds an unfinished job; resume it, or remove the folder")
    return kind


def _job_in(path: str | os.PathLike[str]) -> str:
    """The job that a finished output says it was made by; "" if there is no output, or it does not say so."""
    target = final_path(path)
    try:
        if target.is_dir():
            with Image.open(target / "000001.png") as first:
                return str(first.info.get(_JOB, ""))
        with open_container(target) as container:
            lines = container.metadata.get("comment", "").splitlines()
    except (InputError, OSError):
        return ""
    return next((line.removeprefix(f"{_JOB}: ") for line in lines if line.startswith(f"{_JOB}: ")), "")


def _parts_of(path: str | os.PathLike[str]) -> Path:
    target = final_path(path)
    return target.parent / f"{target.name}.parts"


def _numbered(folder: Path, ending: str) -> list[Path]:
    """The files 000001, 000002 and so on of a folder, up to the first gap."""
    found: list[Path] = []
    while (file := folder / f"{len(found) + 1:06d}.{ending}").exists():
        found.append(file)
    return found


def _take(lock: FileLock, parts: Path, path: str | os.PathLike[str]) -> None:
    with naming(parts):
        taken = take_lock(parts, lock)
    if not taken:
        raise InputError(f"{path}: is being written by another job; wait until it has ended, or name another output")


class SegmentedWriter:
    """A `VideoWriter` for long jobs: an interruption costs the frames of one segment, not all of them.

    Finished segments are kept in ``<name>.parts`` beside the output, together with what they were made from; after an
    interruption that folder stays, and a writer with ``resume=True`` goes on from there, whenever and however the other was
    stopped. At the end of the ``with`` block the segments are joined without encoding their frames again, and the folder is
    removed. It is locked from the beginning of the block to its end, or to the death of the process.

    Args:
        path, frame_rate, audio_from, metadata: as for `VideoWriter`; ``.mp4`` or a folder.
        fingerprint: any text that is the same only if inputs and settings are the same.
        resume: go on with an interrupted job; if there is none, begin one.
        keep: leave the finished segments behind when the ``with`` block ends with an exception, to be resumed.
        segment_frames: frames in a segment.

    The output says by which job it was made: a digest in its metadata. The same job, to be resumed again, finds it finished.

    Attributes:
        frames_done: frames that are already there when the ``with`` block begins; do not write them again.
        finished: whether the output is in its place, and nothing can be written any more.

    Raises:
        InputError: as `VideoWriter`; also if there are parts of another job, or of this one and `resume` is False, or if
            another process is writing them.
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
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.kind = check_job(path, resume=resume)
        if self.kind not in ("mp4", FRAMES):
            raise InputError(f"{self.path}: only .mp4 and folders of frames can be resumed, got {self.path.suffix}")
        if isinstance(segment_frames, bool) or not isinstance(segment_frames, int) or segment_frames < 1:
            raise InputError(f"segment_frames: must be a whole number of at least 1, got {segment_frames!r}")
        self.frame_rate = exact_rate(frame_rate)
        self.parts = _parts_of(path)
        self._frames = self.parts / "frames"  # of an output that is a folder
        self._audio = audio_from
        self._sound: Sound | None = None
        self._segment_frames = segment_frames
        self._resume, self._keep = resume, keep
        self._size: tuple[int, int] | None = None
        self._writer: VideoWriter | None = None  # of a segment
        self._segment = ExitStack()
        self._folder: FolderSink | None = None
        self._job = {"fingerprint": fingerprint, "frame_rate": str(self.frame_rate)}
        self._metadata = {**(metadata or {}), _JOB: hashlib.sha256(repr(self._job).encode()).hexdigest()}
        self._lock: FileLock | None = None
        self.finished = False
        self.frames_done = 0
        self.frame_count = 0  # frames written, in all runs together

    def __enter__(self) -> Self:
        begun, self._lock = self.parts.exists(), folder_lock(self.parts)
        try:  # a signal may come anywhere
            _take(self._lock, self.parts, self.path)
            with naming(self.parts):
                remove_stale(self.parts.parent)
                for unfinished in self.parts.glob(".motion-core-*"):  # of a run that was killed
                    remove(unfinished)
                self.finished = self._resume and _job_in(self.path) == self._metadata[_JOB]
            begun = (self.parts / _MANIFEST).exists() or bool(self._segments())
            if begun and not self.finished:
                self._check_parts()
            elif self._resume:
                check_output(f"{self.path}{os.sep}" if self.kind == FRAMES else self.path, filled=self.finished)
            with naming(self.parts):
                self.frame_count = self.frames_done = self._count_done()
                if self.finished:
                    return self
                if self.kind == "mp4":
                    self._sound = prepare_sound(self._audio, self.parts)
                self._save_job()
        except BaseException:
            self._leave(keep=begun)
            raise
        return self

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """The (height, width) that the frames have in the output; None before the first one."""
        return None if self._size is None else written_size(self.kind, self._size)

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
            if self._writer is None:
                segment = self.parts / f"{len(self._segments()) + 1:06d}.mp4"
                self._writer = self._segment.enter_context(VideoWriter(segment, self.frame_rate))
            self._writer.write(frame)
            if self._writer.frame_count == self._segment_frames:
                self._writer = None
                self._segment.close()
        self.frame_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._segment.__exit__(kind, error, trace)  # it is completed, or thrown away
            if kind is None:
                self.finish()
        finally:
            kept = self._keep and (self.parts / _MANIFEST).exists()
            self._leave(keep=kept and not (self.finished and kind is None))

    def finish(self) -> None:
        """Put the video into its place before the ``with`` block ends; nothing can be written after that.

        If the block then ends with an exception, a job that is kept can be resumed still, without a frame to be made.
        """
        if self.finished:
            return
        self._segment.close()
        if not self.frame_count:
            raise InputError(f"{self.path}: a video needs at least one frame, got none")
        with naming(self.path):
            made = self._frames
            if self.kind != FRAMES:
                made = self.parts / "joined.mp4"
                self._join(made)
            put(made, self.path)
        self.finished = True

    def _join(self, path: Path) -> None:
        """Put the segments one after another, without encoding their frames again."""
        stream: VideoStream | None = None
        shift, last = 0, -(2**63)  # ticks
        with open_output(path, "mp4", self._metadata) as output:
            for part in self._segments():
                with open_container(part) as segment:
                    source = segment.streams.video[0]
                    if stream is None:
                        stream = output.add_stream_from_template(source)
                        if self._sound:
                            self._sound.add_to(output)
                    frame, count = 1 / (self.frame_rate * (source.time_base or Fraction(1))), 0  # ticks
                    for packet in segment.demux(source):
                        if packet.size:
                            packet.pts = (packet.pts or 0) + shift
                            packet.dts = last = max((packet.dts or 0) + shift, last + 1)  # it must go on rising
                            packet.stream = stream
                            output.mux(packet)
                            count += 1
                    shift += round(count * frame)
                    if self._sound:
                        self._sound.mux_until(shift / frame / self.frame_rate)

    def _leave(self, *, keep: bool) -> None:
        """Unlock the parts, or remove them."""
        if self._sound is not None:
            self._sound.close()
        if self._lock is None:
            return
        if keep:
            self._lock.release()
        elif self._lock.is_locked or take_lock(self.parts, self._lock):
            remove_locked(self.parts, self._lock)
        self._lock = None

    def _segments(self) -> list[Path]:
        """The finished segments in order."""
        return _numbered(self.parts, "mp4")

    def _check_parts(self) -> None:
        """Raise InputError unless the parts are of this very job, which is to be resumed."""
        if not self._resume:
            raise InputError(f"{self.parts}: holds an unfinished job; resume it, or remove the folder")
        try:
            job = dict(json.loads((self.parts / _MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.parts}: cannot be resumed, it has no readable {_MANIFEST} ({error})") from error
        for key, value in self._job.items():
            if job.get(key) != value:
                hint = "" if key == "fingerprint" else f" ({key} {job.get(key)} there, {value} now)"
                raise InputError(f"{self.parts}: cannot be resumed, it was made from other inputs or settings{hint}")
        if isinstance(job.get("size"), list):
            self._size = (int(job["size"][0]), int(job["size"][1]))

    def _count_done(self) -> int:
        output = final_path(self.path)
        if self.kind == FRAMES:
            return len(_numbered(output if self.finished else self._frames, "png"))
        videos = [output] if self.finished else self._segments()
        return sum(ContainerReader(video, LARGEST**2).count for video in videos)

    def _save_job(self) -> None:
        with naming(self.parts), atomic_path(self.parts / _MANIFEST) as temporary:
            temporary.write_text(json.dumps(self._job | {"size": self._size}, indent=2), encoding="utf-8")
