"""Files in and places out: what can be known before the work, and one sentence for every failure."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import av

from ..atomic import final_path
from ..errors import InputError

FRAMES = "frames"  # the kind of a folder of PNG files; files are of the kind that their ending names
_ENDINGS, _ALPHA_ENDINGS = (".mp4", ".gif"), (".webm", ".mov")
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
        if address := _ADDRESS.match(os.fspath(path)):
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


class FileStamp:
    """What a file looked like when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path, self._state = path, path.stat()

    def check(self) -> None:
        """Raise InputError if the file is no longer what it was."""
        then, rule = self._state, f"{self._path}: must not change while it is read"
        try:
            now = self._path.stat()
        except OSError as error:
            raise InputError(f"{rule}, but it is gone") from error
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise InputError(f"{rule}, but it did ({then.st_size} bytes then, {now.st_size} now)")


def check_output(
    path: str | os.PathLike[str],
    others: Iterable[str | os.PathLike[str]] = (),
    *,
    alpha: bool = False,
    filled: bool = False,
) -> str:
    """Return the kind of an output path if it can be written, "frames" or its ending; call it before long work.

    A path that ends in a separator, or an existing folder, means a folder of PNG frames. Links are followed.

    Args:
        path: where to: .mp4, .gif or a folder.
        others: files that the output must not replace, such as those that it is made from.
        alpha: the output has transparency: .webm, .mov or a folder.
        filled: whether a folder may have something in it.

    Raises:
        InputError: unknown ending, no such parent folder, no permission, a folder with something in it, or one of `others`.
    """
    text, ending = os.fspath(path), Path(path).suffix.lower()
    if not text:
        raise InputError("output: must be the name of a file or folder, got an empty one")
    if not os.path.isdir(text) and not text.endswith((os.sep, os.altsep or os.sep)):
        endings = _ALPHA_ENDINGS if alpha else _ENDINGS
        if ending not in endings:
            known = f"{', '.join(endings)}, or a folder name ending in {os.sep} for PNG frames"
            wanted = f"{known} to have transparency" if alpha else known
            raise InputError(f"{text}: must end in one of {wanted}, got {Path(text).suffix or 'no ending'!r}")
        check_file(path, ending, others)
        return ending[1:]
    _check_other(path, others)
    target = Path(path)
    with naming(target):
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: must be a folder, but is a file")
        if target.is_dir():
            if not filled and any(target.iterdir()):
                raise InputError(f"{target}: must be an empty or a new folder, but has files in it")
            if os.path.ismount(target) or os.path.samefile(target, os.curdir):  # the finished folder takes its place
                raise InputError(
                    f"{target}: must be a folder that can be replaced, but is the current one or a mounted disk; "
                    f"name a new one in it"
                )
        _check_writable(target)
    return FRAMES


def check_file(path: str | os.PathLike[str], ending: str, others: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Return the path of a file of a known ending if it can be written; call it before long work.

    Args:
        path: where to; links are followed.
        ending: such as ".json".
        others: files that it must not replace.

    Raises:
        InputError: another ending, a place that cannot be written, or one of `others`.
    """
    target = Path(path)
    if target.suffix.lower() != ending.lower():
        raise InputError(f"{target}: must end in {ending}, got {target.suffix or 'no ending'!r}")
    _check_other(path, others)
    with naming(target):
        if target.exists() and not target.is_file():
            raise InputError(f"{target}: must be a file that can be replaced, but is something else")
        _check_writable(target)
    return target


def _check_other(path: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]]) -> None:
    """Raise InputError if `path` is one of the files `others`, under whatever name."""
    for other in others:
        try:
            same = os.path.samefile(path, other)
        except OSError:  # one of them is not there yet
            same = os.path.realpath(path) == os.path.realpath(other)
        if same:
            raise InputError(f"{path}: must be another file than {other}, which it would replace")


def _check_writable(target: Path) -> None:
    final = final_path(target)
    parent = final.parent
    if not parent.is_dir():
        raise InputError(f"{target}: must be in an existing folder, but there is no folder {parent}")
    TemporaryFile(dir=parent).close()  # without a name where the system can, so that even a killed run leaves nothing
    if final.exists() and parent.stat().st_mode & stat.S_ISVTX and hasattr(os, "geteuid"):  # sticky, as /tmp is
        owners = {final.stat().st_uid, parent.stat().st_uid}
        if os.geteuid() not in owners | {0}:
            raise InputError(f"{target}: belongs to another user, and in {parent} only its owner can replace it")


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn other failures to read than those that are foreseen into InputErrors that name the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn failures to write into InputErrors that name the final path."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"{path}: cannot be written, the disk is full ({error.strerror})") from error
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
