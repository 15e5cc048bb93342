"""The videos of a test split, root/test/NAME as the field has them, lists of pairs, and frames one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from motion_core import video_folders
from motion_core.errors import InputError
from motion_core.media import FrameReader, open_frames
from motion_core.video_folders import VIDEO_ENDINGS, VideoFile


class UnusableVideoError(InputError):
    """A video that is left out; the message is the reason."""


@contextmanager
def unusable_where_unreadable() -> Iterator[None]:
    """Raise UnusableVideoError where a video cannot be read."""
    try:
        yield
    except UnusableVideoError:
        raise
    except (InputError, OSError) as error:
        raise UnusableVideoError(f"cannot be read: {error}") from error


def find_videos(folder: str | os.PathLike[str]) -> dict[str, VideoFile]:
    """The videos of a folder by their stem, in natural order (clip2 before clip10); none of them is opened.

    Raises:
        InputError: there is no such folder, no video in it, or two have the same stem.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: must be a folder with videos, but there is no such folder")
    videos: dict[str, VideoFile] = {}
    for video in video_folders.videos_in(Path(folder)):
        if video.stem in videos:
            raise InputError(
                f"{folder}: {video.name} and {videos[video.stem].name} would have results of the same name"
            )
        videos[video.stem] = video
    if not videos:
        raise InputError(f"{folder}: must hold videos ({', '.join(VIDEO_ENDINGS)} or folders of frames), but has none")
    return videos


class FrameSequence(Sequence[np.ndarray]):
    """The frames of a video, decoded as they are asked for; one after another is quick, and none of them is kept.

    Args:
        access: the video.
        limit: use this many frames from its beginning; None is all.
    """

    def __init__(self, access: FrameReader, limit: int | None = None) -> None:
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
