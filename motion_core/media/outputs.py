"""Places to write to: known endings, temporary names beside the final one, one sentence for every failure."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import av

from ..errors import InputError

FRAMES = "frames"  # the kind of a folder of PNG files; files are of the kind that their ending names
ENDINGS = {".mp4": "mp4", ".gif": "gif"}
_KNOWN = f"{', '.join(ENDINGS)}, or a folder name ending in {os.sep} for PNG frames"


def check_output(path: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]] = ()) -> str:
    """Return the kind of an output path ("mp4", "gif" or "frames") if it can be written; call it before long work.

    A path that ends in a separator, or an existing folder, means a folder of PNG frames.

    Args:
        path: where to.
        others: files that the output must not replace, such as those that it is made from.

    Raises:
        InputError: unknown ending, no such parent folder, no permission, a folder with something in it, or one of `others`.
    """
    if not os.fspath(path):
        raise InputError("output: must be the name of a file or folder, got an empty one")
    check_other(path, others)
    target = Path(path)
    kind = _kind_of(path)
    with naming(target):
        if kind == FRAMES:
            if target.is_dir() and any(target.iterdir()):
                raise InputError(f"{target}: must be an empty or a new folder, but has files in it")
            if target.exists() and not target.is_dir():
                raise InputError(f"{target}: must be a folder, but is a file")
        elif target.exists() and not target.is_file():
            raise InputError(f"{target}: must be a file that can be replaced, but is something else")
        _check_writable(target)
    return kind


def check_other(path: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]]) -> None:
    """Raise InputError if `path` is one of the files `others`, under whatever name."""
    for other in others:
        if _same(path, other):
            raise InputError(f"{path}: must be another file than {other}, which it would replace")


def _same(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:  # one of them is not there yet
        return os.path.realpath(a) == os.path.realpath(b)


def _kind_of(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text.endswith(os.sep) or (os.altsep and text.endswith(os.altsep)) or os.path.isdir(text):
        return FRAMES
    kind = ENDINGS.get(Path(text).suffix.lower())
    if kind is None:
        raise InputError(f"{text}: must end in one of {_KNOWN}, got {Path(text).suffix or 'no ending'!r}")
    return kind


def _check_writable(target: Path) -> None:
    parent = target.absolute().parent
    if not parent.is_dir():
        raise InputError(f"{target}: must be in an existing folder, but there is no folder {parent}")
    with TemporaryFile(dir=parent):  # without a name where the system can, so that even a killed run leaves nothing
        pass


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
