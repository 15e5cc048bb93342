"""Folders of videos as the field has them, one file or folder of frames each, and lists of pairs of them."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .media import natural_key

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".png", ".jpg", ".jpeg")
_COLUMNS = ("source", "driving")


@dataclass(frozen=True)
class VideoFile:
    """A video of a folder: a file, a folder with its frames, or a picture with square frames side by side."""

    name: str  # in the folder, with its ending
    path: Path

    @property
    def stem(self) -> str:
        """The name without a video's ending."""
        stem, ending = os.path.splitext(self.name)
        return stem if ending.lower() in VIDEO_ENDINGS else self.name

    @property
    def identity(self) -> str:
        """What stands before the first #."""
        return self.stem.partition("#")[0]


def is_video(entry: Path) -> bool:
    """Whether something in a folder is taken for a video: it is a folder, or has an ending of `VIDEO_ENDINGS`."""
    return entry.is_dir() or entry.suffix.lower() in VIDEO_ENDINGS


def entries(folder: Path) -> list[Path]:
    """What is in a folder, hidden files aside, in natural order (clip2 before clip10)."""
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: (natural_key(entry.name), entry.name))


def videos_in(folder: Path) -> list[VideoFile]:
    """The videos of a folder in natural order; none of them is opened."""
    return [VideoFile(entry.name, entry) for entry in entries(folder) if is_video(entry)]


def read_pairs(path: str | os.PathLike[str], subject: str, cause: str) -> list[tuple[str, str]]:
    """The (source, driving) names of a csv file with these two columns; further columns do not matter.

    Args:
        subject: what an error's message begins with, such as "pairs.csv:".
        cause: how it gives another program's words, with {} for these: ": {}" or " ({})".

    Raises:
        InputError: it cannot be read, has not got the columns, or has no rows or an empty name.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise InputError(f"{subject} must have the columns source and driving, got {found}")
            pairs = [(row["source"], row["driving"]) for row in reader]
    except OSError as error:
        raise InputError(f"{subject} cannot be read{cause.format(error.strerror)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{subject} must be a csv file in UTF-8, but is not{cause.format(error)}") from error
    if not pairs or not all(source and driving for source, driving in pairs):
        raise InputError(f"{subject} must have a source and a driving name in every row, and at least one row")
    return pairs
