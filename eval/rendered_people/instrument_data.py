"""Rendered frames in memory, for training and measuring the benchmark's own detector and embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from motion_core.errors import InputError
from motion_core.media import open_video, to_float, to_uint8

from .annotations import Annotations, folder_of, read_annotations
from .joint_detector import SIDE


@dataclass(frozen=True)
class Frames:
    """Frames of many clips, N in all, at the size of the networks' image.

    Attributes:
        images: ``(N, 128, 128, 3)`` uint8.
        parts: ``(N, 128, 128)`` uint8, numbers in `skeleton.PARTS`.
        joints: ``(N, 18, 2)`` float32, pixels.
        visibility: ``(N, 18)`` uint8: 0 outside of the picture, 1 hidden, 2 seen.
        people, clips, roots: ``(N,)`` numbers. People of two roots are different ones, whatever their names.
    """

    images: np.ndarray
    parts: np.ndarray
    joints: np.ndarray
    visibility: np.ndarray
    people: np.ndarray
    clips: np.ndarray
    roots: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def read_frames(roots: Sequence[Path], split: str) -> Frames:
    """Decode all clips of a split of several data sets.

    Raises:
        InputError: one has none, or a clip that is not square or cannot be read.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    people: dict[tuple[int, str], int] = {}
    for root_number, root in enumerate(roots):
        names = sorted(path.stem for path in folder_of(root, split).glob("*#*.json"))
        if not names:
            raise InputError(f"data: {root} must have rendered clips of the split {split}, but has none")
        for name in names:
            clip = read_annotations(root, split, name)
            person = people.setdefault((root_number, clip.identity), len(people))
            numbers = (np.full(len(clip.joints), number) for number in (person, len(columns), root_number))
            columns.append((*_pictures(clip, root / split / str(clip.about["video"])), clip.visibility, *numbers))
    return Frames(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _pictures(clip: Annotations, video: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, parts and joints of a clip, at the networks' size."""
    side = clip.size[0]
    images = np.stack(list(open_video(video)))  # (T, h, w, 3)
    if images.shape[:3] != (len(clip.joints), side, side):
        raise InputError(f"{video}: must have {len(clip.joints)} frames of {side} x {side}, got {images.shape[:3]}")
    nearest = (np.arange(SIDE) * 2 + 1) * side // (2 * SIDE)
    joints = (clip.joints + 0.5) * (SIDE / side) - 0.5
    return resized(images, SIDE), clip.parts[:, nearest][:, :, nearest], joints.astype(np.float32)


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """``(N, h, w, 3)`` uint8 to ``(N, side, side, 3)``, bicubic with antialiasing; the same array if it has the size."""
    if images.shape[1:3] == (side, side):
        return images
    return to_uint8(F.interpolate(to_float(images), (side, side), mode="bicubic", antialias=True))


def batch_of(frames: Frames, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``(B, 3, 128, 128)`` float32 in [0, 1] and parts ``(B, 1, 128, 128)`` int64 of these frames."""
    return to_float(frames.images[numbers]), torch.from_numpy(frames.parts[numbers]).long()[:, None]
