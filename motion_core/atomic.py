"""Files and folders that appear whole or not at all: made under a hidden name beside the final one, and then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX, _SUFFIX = ".motion-core-", ".partial"  # of hidden folders
_LOCK = "lock"  # a file in a folder, locked by the process that works there; the system unlocks it if that is killed


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, over: bool = False) -> Iterator[Path]:
    """A hidden path to write a file or a folder to at once; it becomes `path` at the end, after an exception it is removed.

    Links are followed, and the mode of what is replaced is kept. The hidden path has the suffix of `path`. What takes longer
    is made in a `hidden_folder`, which is found and removed where the process is killed.

    Args:
        path: in an existing folder.
        over: also put a folder in the place of one that holds something.

    Raises:
        OSError: it cannot be written, or is a folder that holds something; what was there before is there still.
    """
    target = final_path(path)
    made, old = _hidden(target.parent, target.suffix), _hidden(target.parent)
    try:
        if target.is_file():
            made.touch(_mode(target) | stat.S_IWUSR)  # what others may not read they may not read meanwhile either
        yield made
        if over and target.is_dir():
            target.rename(old)
        put(made, target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        remove(made)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """A private folder with a hidden name in `parent`, for what is not finished; it is removed at the end.

    What killed processes left in `parent` is removed first.
    """
    remove_stale(parent)
    folder = _hidden(parent)
    folder.mkdir(mode=0o700)
    lock = lock_folder(folder)
    try:
        yield folder
    finally:
        _remove_folder(folder, lock)


def final_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path that is written for `path`: of a link, what it leads to."""
    return Path(os.path.realpath(path))


def put(made: Path, path: str | os.PathLike[str]) -> None:
    """Rename a finished file or folder to `path`, in the place of a file or of an empty folder, whose mode is kept."""
    target = final_path(path)
    if target.exists():
        made.chmod(_mode(target))
    if made.is_dir() and target.is_dir():
        target.rmdir()
    os.replace(made, target)


def folder_lock(folder: Path) -> FileLock:
    """The lock of a folder, not taken yet."""
    return FileLock(folder / _LOCK, thread_local=False)


def lock_folder(folder: Path) -> FileLock | None:
    """Lock a folder for this process, and make it where there is none; None if it is locked already."""
    lock = folder_lock(folder)
    return lock if take_lock(folder, lock) else None


def take_lock(folder: Path, lock: FileLock) -> bool:
    """Take the lock of a folder, which is made where there is none; False if another process has it."""
    folder.mkdir(exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError:  # the disk may be full
        with suppress(OSError):
            folder.rmdir()
        raise
    return True


def remove_locked(folder: Path, lock: FileLock) -> None:
    """Remove a folder that this process has locked, at one stroke: others see all of it or nothing."""
    with suppress(OSError):  # some systems do not move open files
        folder = folder.rename(_hidden(folder.parent))
    _remove_folder(folder, lock)


def _remove_folder(folder: Path, lock: FileLock | None) -> None:
    """The lock goes last: if this is killed, `remove_stale` finds it."""
    with suppress(OSError):
        for each in folder.iterdir():
            if each.name != _LOCK:
                remove(each)
    if lock is not None:
        lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Remove the hidden folders of processes that are no more; those of running ones are locked."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if (left / _LOCK).is_file():
            with suppress(OSError):  # another user's
                if lock := lock_folder(left):
                    _remove_folder(left, lock)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _hidden(parent: Path, suffix: str = "") -> Path:
    """An unused name; it does not grow with that of the file, which may be as long as the system allows."""
    return parent / f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}{suffix}"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
