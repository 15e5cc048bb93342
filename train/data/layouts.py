"""The folders that training data lie in, as the field has them: root/{train,test}/NAME, and lists of pairs."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from motion_core.errors import InputError
from motion_core.media import FrameAccess, natural_key, open_frames

ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".png", ".jpg", ".jpeg")
_COLUMNS = ("source", "driving")


@dataclass(frozen=True)
class VideoFile:
    """A video found in a split: a file, or a folder with its frames."""

    name: str  # under the split, with its ending
    path: Path

    @property
    def identity(self) -> str:
        """What stands before the first #; without one, the name without a video's ending."""
        before, mark, _ = self.name.partition("#")
        stem, ending = os.path.splitext(self.name)
        return before if mark else stem if ending.lower() in ENDINGS else self.name


def find_videos(root: str | os.PathLike[str], split: str = "train") -> list[VideoFile]:
    """Return the videos of a split in natural order (clip2 before clip10); none of them is opened.

    Files that begin with a dot or have another ending than `ENDINGS` are left out.

    Raises:
        InputError: there is no such folder, or no video in it.
    """
    folder = _split_folder(root, split)
    found = [entry for entry in _entries(folder) if _is_video(entry)]
    if not found:
        raise InputError(
            f"data root: {folder} must hold videos ({', '.join(ENDINGS)} or folders of frames), but has none"
        )
    return [VideoFile(entry.name, entry) for entry in found]


def left_out(root: str | os.PathLike[str], split: str) -> list[str]:
    """Return the names in a split that `find_videos` takes for no videos, hidden files aside."""
    return [entry.name for entry in _entries(_split_folder(root, split)) if not _is_video(entry)]


def _entries(folder: Path) -> list[Path]:
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: (natural_key(entry.name), entry.name))


def _is_video(entry: Path) -> bool:
    return entry.is_dir() or entry.suffix.lower() in ENDINGS


def _split_folder(root: str | os.PathLike[str], split: str) -> Path:
    if not Path(root).is_dir():
        raise InputError(f"data root: must be a folder that holds train and test, but {root} is none")
    folder = Path(root) / split
    if not folder.is_dir():
        raise InputError(f"data root: {root} must hold a folder {split!r} with the videos, but it has none")
    return folder


def open_videos(videos: list[VideoFile]) -> list[FrameAccess | InputError]:
    """Open each video; where one cannot be used for training, its error is returned in its place."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(_opened, videos))


def _opened(video: VideoFile) -> FrameAccess | InputError:
    try:
        return open_frames(video.path)
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"{video.path}: cannot be read: {error.strerror or error}")


def read_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the (source, driving) names of a csv file with these two columns; further columns do not matter.

    Raises:
        InputError: it cannot be read, has not got the columns, or has no rows or an empty name.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise InputError(f"pair_list: {path} must have the columns source and driving, got {found}")
            pairs = [(row["source"], row["driving"]) for row in reader]
    except OSError as error:
        raise InputError(f"pair_list: {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"pair_list: {path} must be a csv file in UTF-8, but is not: {error}") from error
    if not pairs or not all(all(pair) for pair in pairs):
        raise InputError(f"pair_list: {path} must have a source and a driving name in every row, and at least one row")
    return pairs
