"""Where points of a video's subject are in every frame, for videos of which that is known: ROOT/tracks/SPLIT/NAME.npz."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motion_core.errors import InputError
from motion_core.framing import Size

from .layouts import VideoFile

CELLS = 32  # of a silhouette, either way


@dataclass(frozen=True)
class Tracks:
    """Points of one video.

    Attributes:
        places: ``(T, N, 2)`` uint8, (x, y) as shares of width and height in 1/255, 0 and 255 at the picture's edges; (0, 0)
            where the point is not visible.
        groups: ``(N,)`` uint8, the spline that each point should belong to.
        keypoints: ``(T, K, N, 2)`` uint8, where keypoints should be, as `places`; (0, 0) where that is not known.
        mirrored: ``(K, N)`` uint8, which keypoint each one is in a mirrored picture, where left is right: N times the number
            of its spline, and its number there.
        silhouettes: ``(T, CELLS, CELLS)`` bool, cells of the picture that show any of the subject; None: not known.
    """

    places: np.ndarray
    groups: np.ndarray
    keypoints: np.ndarray
    mirrored: np.ndarray
    silhouettes: np.ndarray | None


def shares(places: np.ndarray) -> tuple[Tensor, Tensor]:
    """Places ``(..., 2)`` uint8 as float32 in [0, 1], and which of them are known, ``(...)`` bool."""
    found = torch.from_numpy(places)
    return found.float().div_(255), (found > 0).any(dim=-1)


def tracks_file(root: str | os.PathLike[str], split: str, video: VideoFile) -> Path:
    """Where the tracks of a video are, if it has any."""
    stem = video.path.stem if video.path.is_file() else video.name
    return Path(root) / "tracks" / split / f"{stem}.npz"


def read_tracks(
    path: Path,
    frames: int,
    size: Size,
    image_size: Size,
    splines: tuple[int, int] | None = None,
    flip: bool = False,
    silhouettes: bool = False,
) -> Tracks | None:
    """Read the tracks of a video; None if there are none.

    Args:
        path: of the file.
        frames, size: how many the video has, and their (h, w).
        image_size: (h, w) of the training, of the same aspect, since cutting and padding would move the points.
        splines: (K, N) of the keypoints that it must have; None if they are not needed.
        flip: pairs will be mirrored, so it must say what keypoints are then.
        silhouettes: read them, if it has any.

    Raises:
        InputError: it cannot be read, or does not fit the video.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            places = file["places"]
            groups = file["groups"] if "groups" in file.files else np.zeros(places.shape[1:2], np.uint8)
            keypoints = file["keypoints"] if splines else np.zeros((len(places), 0, 0, 2), np.uint8)
            packed = file["silhouettes"] if silhouettes and "silhouettes" in file.files else None
            mirrored = file["mirrored"] if splines and flip else np.zeros((0, 0), np.uint8)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        what = "places" if not splines else "places, keypoints and mirrored" if flip else "places and keypoints"
        raise InputError(f"{path}: must be an .npz file with {what}, but cannot be read: {error}") from error
    if places.dtype != np.uint8 or places.ndim != 3 or places.shape[2] != 2:
        raise InputError(f"{path}: must have places (T, N, 2) uint8, got {places.shape} {places.dtype}")
    if groups.dtype != np.uint8 or groups.shape != (places.shape[1],):
        raise InputError(f"{path}: must have groups ({places.shape[1]},) uint8, got {groups.shape} {groups.dtype}")
    if splines and (keypoints.dtype != np.uint8 or keypoints.shape != (len(places), *splines, 2)):
        raise InputError(
            f"{path}: must have keypoints ({len(places)}, {splines[0]}, {splines[1]}, 2) uint8, "
            f"got {keypoints.shape} {keypoints.dtype}"
        )
    if packed is not None and (packed.dtype != np.uint8 or packed.shape != (len(places), CELLS**2 // 8)):
        raise InputError(
            f"{path}: must have silhouettes ({len(places)}, {CELLS**2 // 8}) uint8, got {packed.shape} {packed.dtype}"
        )
    if splines and flip and (mirrored.shape != splines or sorted(mirrored.flat) != list(range(mirrored.size))):
        raise InputError(f"{path}: must have mirrored {splines}, each keypoint's number once, got {mirrored.shape}")
    if len(places) != frames:
        raise InputError(f"{path}: must have the {frames} frames of its video, got {len(places)}")
    if size[0] * image_size[1] != size[1] * image_size[0]:
        raise InputError(f"{path}: tracks need videos of the aspect of image_size {list(image_size)}, got {list(size)}")
    shown = None if packed is None else np.unpackbits(packed, axis=1).reshape(-1, CELLS, CELLS).astype(bool)
    return Tracks(places, groups, keypoints, mirrored, shown)


def to_coordinates(places: Tensor, size: Size) -> Tensor:
    """Corner-aligned network coordinates (x, y) from shares ``(..., 2)`` of an image of (h, w) pixels.

    >>> to_coordinates(torch.tensor([[0.125, 0.875]]), (4, 4))  # the middles of the first column and the last row
    tensor([[-1.,  1.]])
    """
    pixels = places.new_tensor((size[1], size[0]))
    return (places * pixels - 0.5) * 2 / (pixels - 1) - 1
