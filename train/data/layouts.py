"""The folders that training data lie in, as the field has them: root/{train,test}/NAME, and lists of pairs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from motion_core import video_folders
from motion_core.errors import InputError
from motion_core.media import FrameReader, open_frames
from motion_core.video_folders import VIDEO_ENDINGS, VideoFile

__all__ = ["VideoFile", "find_videos", "left_out", "open_videos", "read_pairs"]


def find_videos(root: str | os.PathLike[str], split: str = "train") -> list[VideoFile]:
    """Return the videos of a split in natural order (clip2 before clip10); none of them is opened.

    Files that begin with a dot or have another ending than `VIDEO_ENDINGS` are left out.

    Raises:
        InputError: there is no such folder, or no video in it.
    """
    folder = _split_folder(root, split)
    found = video_folders.videos_in(folder)
    if not found:
        raise InputError(
            f"data root: {folder} must hold videos ({', '.join(VIDEO_ENDINGS)} or folders of frames), but has none"
        )
    return found


def left_out(root: str | os.PathLike[str], split: str) -> list[str]:
    """Return the names in a split that `find_videos` takes for no videos, hidden files aside."""
    return [
        entry.name for entry in video_folders.entries(_split_folder(root, split)) if not video_folders.is_video(entry)
    ]


def _split_folder(root: str | os.PathLike[str], split: str) -> Path:
    if not Path(root).is_dir():
        raise InputError(f"data root: must be a folder that holds train and test, but {root} is none")
    folder = Path(root) / split
    if not folder.is_dir():
        raise InputError(f"data root: {root} must hold a folder {split!r} with the videos, but it has none")
    return folder


def open_videos(videos: list[VideoFile]) -> list[FrameReader | InputError]:
    """Open each video; where one cannot be used for training, its error is returned in its place."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(_opened, videos))


def _opened(video: VideoFile) -> FrameReader | InputError:
    try:
        return open_frames(video.path)
    except InputError as error:
        return error


def read_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the (source, driving) names of a csv file, see `motion_core.video_folders.read_pairs`."""
    return video_folders.read_pairs(path, f"pair_list: {path}", ": {}")
