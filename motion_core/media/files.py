"""Input files on disk: they must exist, hold something, be whole, and stay the same while they are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from .matroska import EBML, check_matroska


def existing_file(path: str | os.PathLike[str], what: str) -> Path:
    """Return `path` as a Path if it names a file with something in it; `what` is the kind of file that is needed."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
        if stat.S_ISREG(mode):
            with file.open("rb") as handle:
                empty = not handle.read(1)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file, {what} is needed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', error)}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{file}: is a folder, {what} is needed")
    if not stat.S_ISREG(mode):  # reading a pipe may never end, and cannot go back
        raise InputError(f"{file}: is a pipe or a device, {what} is needed")
    if empty:
        raise InputError(f"{file}: is empty (0 bytes), {what} is needed")
    return file


@dataclass(frozen=True)
class FileStamp:
    """What a file looked like when it was opened."""

    path: Path
    size: int  # bytes
    modified: int  # nanoseconds since 1970

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        state = path.stat()
        return cls(path, state.st_size, state.st_mtime_ns)

    def check(self) -> None:
        """Raise InputError if the file is no longer what it was."""
        try:
            now = FileStamp.of(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: must not change while it is read, but it is gone") from error
        if now != self:
            raise InputError(
                f"{self.path}: must not change while it is read, but it did ({self.size} bytes then, {now.size} now)"
            )


def check_whole(path: Path) -> None:
    """Raise InputError if the file's own structure says that it goes on after its last byte, or has a hole.

    Decoders take a cut-off file for a shorter one. MP4/MOV, Matroska/WebM, AVI and WebP say how long they are; other
    formats do not, and pass.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(12)
        if head[:4] == b"RIFF":  # AVI, WebP, WAV
            needed = 8 + int.from_bytes(head[4:8], "little")
        elif int.from_bytes(head[:4], "big") == EBML:
            return check_matroska(path)
        elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            needed = max((end for _, end in _mp4_boxes(handle, size)), default=0)
        else:
            return
    if needed > size:
        raise InputError(f"{path}: is cut off, {needed} bytes are needed and {size} are there")


def _mp4_boxes(handle: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield (type, end in bytes) of the top-level boxes."""
    start = 0
    while start + 8 <= size:
        handle.seek(start)
        head = handle.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:  # a 64-bit length follows
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not kind.isalnum():  # 0: to the end of the file; else not a box: bytes appended by other tools
            return
        start += length
        yield kind, start
