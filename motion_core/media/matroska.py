"""The structure of Matroska and WebM files. FFmpeg skips what it cannot make sense of, and frames are missing then.

It says so in its log only. PyAV hands that on under Python's lock, for which decoders in other threads could wait for ever.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_SEGMENT, _CLUSTER, _TIMESTAMP = 0x18538067, 0x1F43B675, 0xE7
# What may lie in a segment (seek head, info, tracks, clusters, cues, attachments, chapters, tags) or in a cluster
# (timestamp, blocks of both kinds, position, size of the one before, silent tracks, encrypted block), or in both.
_KNOWN = {
    *(0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
    *(_TIMESTAMP, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF),
    *(0xEC, 0xBF),  # void, checksum
}


def broken_structure(path: Path) -> list[str]:
    """Return where the structure of the file breaks first, or nothing if elements follow each other without a gap."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        position = _segment(handle)
        if position is None:
            return []  # not the structure that is known here
        handle.seek(position)
        _number(handle, marker=False)
        position, milliseconds = handle.tell(), 0
        while position < size:
            handle.seek(position)
            kind, length = _number(handle, marker=True), _number(handle, marker=False)
            inside = handle.tell()
            if kind == _CLUSTER:
                position = inside  # its contents are looked at like everything else
                continue
            if kind not in _KNOWN or length is None or inside + length > size:
                return [f"its structure is broken at {milliseconds / 1000:.2f} s, byte {position} of {size}"]
            if kind == _TIMESTAMP:
                milliseconds = int.from_bytes(handle.read(length), "big")
            position = inside + length
    return []


def _segment(handle: BinaryIO) -> int | None:
    """Return the position after the segment's identifier, or None if there is none after the file's head."""
    handle.seek(4)
    length = _number(handle, marker=False)
    if length is None:
        return None
    handle.seek(length, os.SEEK_CUR)
    return handle.tell() if _number(handle, marker=True) == _SEGMENT else None


def _number(handle: BinaryIO, marker: bool) -> int | None:
    """Read an integer whose leading bits say how long it is: an identifier with them, a length without.

    A length of all ones means "not known"; that and the end of the file give None.
    """
    first = handle.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(first + handle.read(extra), "big")
    if marker:
        return value
    ones = (1 << 7 * (extra + 1)) - 1
    return None if value & ones == ones else value & ones
