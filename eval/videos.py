"""The videos of a test split, root/test/NAME as the field has them, lists of pairs, and frames one after another."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError
from motion_core.media import FrameAccess, natural_key, open_frames

ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class VideoFile:
    """A video of a split: a file, a folder with its frames, or a picture with square frames side by side."""

    name: str  # under the split, with its ending
    path: Path

    @property
    def stem(self) -> str:
        """The name without a video's ending; results have this name."""
        stem, ending = os.path.splitext(self.name)
        return stem if ending.lower() in ENDINGS else self.name

    @property
    def identity(self) -> str:
        """What stands before the first #."""
        return self.stem.partition("#")[0]


def find_videos(folder: str | os.PathLike[str]) -> dict[str, VideoFile]:
    """The videos of a folder by their stem, in natural order (clip2 before clip10); none of them is opened.

    Raises:
        InputError: there is no such folder, no video in it, or two have the same stem.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: must be a folder with videos, but there is no such folder")
    videos: dict[str, VideoFile] = {}
    for entry in sorted(Path(folder).iterdir(), key=lambda entry: (natural_key(entry.name), entry.name)):
        if entry.name.startswith(".") or not (entry.is_dir() or entry.suffix.lower() in ENDINGS):
            continue
        video = VideoFile(entry.name, entry)
        if video.stem in videos:
            raise InputError(
                f"{folder}: {video.name} and {videos[video.stem].name} would have results of the same name"
            )
        videos[video.stem] = video
    if not videos:
        raise InputError(f"{folder}: must hold videos ({', '.join(ENDINGS)} or folders of frames), but has none")
    return videos


def read_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """The (source, driving) names of a csv file with these two columns; further columns do not matter.

    Raises:
        InputError: it cannot be read, has not got the columns, or has no rows or an empty name.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            if not {"source", "driving"} <= set(columns):
                raise InputError(
                    f"{path}: must have the columns source and driving, got {', '.join(columns) or 'none'}"
                )
            pairs = [(row["source"], row["driving"]) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: must be a csv file in UTF-8, but is not ({error})") from error
    if not pairs or not all(source and driving for source, driving in pairs):
        raise InputError(f"{path}: must have a source and a driving name in every row, and at least one row")
    return pairs


class FrameSequence(Sequence[np.ndarray]):
    """The frames of a video, decoded as they are asked for; one after another is quick, and none of them is kept.

    Args:
        access: the video.
        limit: use this many frames from its beginning; None is all.
    """

    def __init__(self, access: FrameAccess, limit: int | None = None) -> None:
        self._access = access
        self._count = access.count if limit is None else min(limit, access.count)
        self._coming: Iterator[tuple[int, np.ndarray]] = iter(())
        self._next = -1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Frame `index`, ``(H, W, 3)`` uint8; raises InputError where the file is damaged."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        if index != self._next:
            self._coming = self._access.frames_at(range(index, self._count))
        _, pixels = next(self._coming)
        self._next = index + 1
        return pixels


def first_frame(path: str | os.PathLike[str]) -> np.ndarray:
    """The first frame of a video, or a picture, ``(H, W, 3)`` uint8; raises InputError where it cannot be had."""
    return FrameSequence(open_frames(path), 1)[0]
