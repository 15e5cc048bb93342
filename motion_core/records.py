"""What is measured of each frame, as a JSON file: one object per frame, written as the frames come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from . import media
from .errors import InputError
from .media.outputs import naming, temporary_beside


class RecordWriter:
    """Writes a JSON array of objects, one per line; nothing of them is kept in memory.

    The file appears at the end of the ``with`` block, complete or, after an exception, not at all.

    Args:
        path: a name ending in .json.
        others: files that it must not replace.

    Raises:
        InputError: another ending, a place that cannot be written, or one of `others`.
    """

    def __init__(self, path: str | PathLike[str], others: Iterable[str | PathLike[str]] = ()) -> None:
        check_record_file(path, others)
        self.path = Path(path)
        self.count = 0
        self._temporary = temporary_beside(self.path)
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        with naming(self.path):
            self._file = self._temporary.open("w", encoding="utf-8")
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        """Append what is known of the next frame; its index is added as "frame"."""
        if self._file is None:
            raise ValueError("a RecordWriter is used in a with block")
        with naming(self.path):
            self._file.write(",\n" if self.count else "[\n")
            self._file.write(json.dumps({"frame": self.count, **record}))
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            if kind is None:
                with naming(self.path):
                    self._file.write("\n]\n" if self.count else "[]\n")
                    self._file.close()
                    self._temporary.replace(self.path)
        finally:
            with suppress(OSError):  # it flushes, and the disk may be full
                self._file.close()
            self._temporary.unlink(missing_ok=True)


def check_record_file(path: str | PathLike[str], others: Iterable[str | PathLike[str]] = ()) -> None:
    """Raise InputError unless a JSON file can be written there that is none of the files `others`."""
    target = Path(path)
    if target.suffix.lower() != ".json":
        raise InputError(f"{target}: must end in .json, got {target.suffix or 'no ending'!r}")
    media.check_other(path, others)
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: must be a file that can be replaced, but is something else")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target}: must be in an existing folder, but there is no folder {target.absolute().parent}")
    with naming(target):
        probe = temporary_beside(target)
        probe.touch()
        probe.unlink()
