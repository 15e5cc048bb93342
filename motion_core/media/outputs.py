"""Places to write to: known endings, temporary names beside the final one, one sentence for every failure."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from ..errors import InputError

FRAMES = "frames"  # the kind of a folder of PNG files; files are of the kind that their ending names
ENDINGS = {".mp4": "mp4", ".gif": "gif"}
_KNOWN = f"{', '.join(ENDINGS)}, or a folder name ending in {os.sep} for PNG frames"


def check_output(path: str | os.PathLike[str]) -> str:
    """Return the kind of an output path ("mp4", "gif" or "frames") if it can be written; call it before long work.

    A path that ends in a separator, or an existing folder, means a folder of PNG frames.

    Raises:
        InputError: unknown ending, no such parent folder, no permission, or a folder with something in it.
    """
    target = Path(path)
    kind = _kind_of(path)
    if kind == FRAMES:
        if target.is_dir() and any(target.iterdir()):
            raise InputError(f"{target}: must be an empty or a new folder, but has files in it")
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: must be a folder, but is a file")
    elif target.exists() and not target.is_file():
        raise InputError(f"{target}: must be a file that can be replaced, but is something else")
    _check_writable(target)
    return kind


def _kind_of(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text.endswith(os.sep) or (os.altsep and text.endswith(os.altsep)) or Path(text).is_dir():
        return FRAMES
    kind = ENDINGS.get(Path(text).suffix.lower())
    if kind is None:
        raise InputError(f"{text}: must end in one of {_KNOWN}, got {Path(text).suffix or 'no ending'!r}")
    return kind


def _check_writable(target: Path) -> None:
    parent = target.absolute().parent
    if not parent.is_dir():
        raise InputError(f"{target}: must be in an existing folder, but there is no folder {parent}")
    probe = temporary_beside(target)
    with naming(target):
        probe.touch()
        probe.unlink()


def temporary_beside(path: Path) -> Path:
    """Return an unused hidden name in the folder of `path`, from which a rename is atomic."""
    return path.absolute().parent / f".motion-core-{secrets.token_hex(6)}.partial"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn failures to write into InputErrors that name the final path."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"{path}: cannot be written, the disk is full ({error.strerror})") from error
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def replace(temporary: Path, path: Path) -> None:
    """Put a finished file, or a folder into the place of an empty one."""
    if temporary.is_dir() and path.is_dir():
        path.rmdir()
    os.replace(temporary, path)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
