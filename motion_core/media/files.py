"""Input files on disk: they must exist, hold something, and stay the same while they are read."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # of the web; a Path has lost the second slash; C:/ is none


def existing_file(path: str | os.PathLike[str], what: str) -> Path:
    """Return `path` as a Path if it names a file with something in it; `what` is the kind of file that is needed."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
        if stat.S_ISREG(mode):
            with file.open("rb") as handle:
                empty = not handle.read(1)
    except FileNotFoundError as error:
        address = _ADDRESS.match(os.fspath(path))
        if address:
            whole = f"{address[1]}://{os.fspath(path)[address.end() :]}"
            raise InputError(f"{whole}: is an address, and these are not fetched, {what} is needed") from error
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
