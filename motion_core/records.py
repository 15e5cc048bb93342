"""What is measured of each frame, as a JSON file: one object per frame, written as the frames come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from os import PathLike
from types import TracebackType
from typing import Any, Self, TextIO

from .atomic import final_path, hidden_folder, put
from .media.paths import check_file, naming


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
        self.path = check_file(path, ".json", others)
        self.count = 0
        self._made = self.path  # in a hidden folder, once it is there
        self._open = ExitStack()
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        with naming(self.path), ExitStack() as opened:
            self._made = opened.enter_context(hidden_folder(final_path(self.path).parent)) / "made.json"
            self._file = opened.enter_context(self._made.open("w", encoding="utf-8"))
            self._open = opened.pop_all()
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
        if kind is None:
            with naming(self.path), self._open:
                self._file.write("\n]\n" if self.count else "[]\n")
                self._file.close()
                put(self._made, self.path)
        else:
            with suppress(OSError):  # closing flushes, and the disk may be full
                self._open.close()
