"""The data of the recipe as arrays that are read without being loaded, and the functions that write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from motion_core.errors import InputError

SIDE = 256  # of the pictures
FLOW_SIDE = 64  # of the flows: every fourth pixel from the third one on
UNKNOWN = 255  # label of pixels whose limb is not known
ARRAYS = ("frames", "labels", "scenes", "keypoints", "detected", "silhouettes", "clips", "pairs", "flows", "cameras")


@dataclass(frozen=True)
class Pack:
    """N pictures of people in clips, and P pairs of pictures of the same clip.

    Attributes:
        frames: ``(N, SIDE, SIDE, 3)`` uint8.
        labels: the layer that each pixel shows, ``(N, SIDE, SIDE)`` uint8: 0 background, 1 + limb, or `UNKNOWN`.
        scenes: the same view without the person, ``(N, SIDE / 2, SIDE / 2, 4)`` uint8; the fourth channel
            is 255 where it is known.
        keypoints: true strips ``(N, K, 5, 2)`` float32 in [-1, 1]; the detected ones where the true ones are not known.
        detected: strips as the detector finds them, likewise.
        silhouettes: as the detector finds them, ``(N, SIDE / 2, SIDE / 2)`` uint8, 255 is the person.
        clips: ``(N,)`` int32, the clip that a picture belongs to.
        pairs: ``(P, 2)`` int32, source and driving picture.
        flows: where in the source each shown point of the driving picture is, ``(P, FLOW_SIDE, FLOW_SIDE, 2)`` float16 in
            [-1, 1]; NaN where that is not known or hidden.
        cameras: the background's transform from driving to source coordinates, ``(P, 3, 3)`` float32; NaN where not known.
    """

    frames: np.ndarray
    labels: np.ndarray
    scenes: np.ndarray
    keypoints: np.ndarray
    detected: np.ndarray
    silhouettes: np.ndarray
    clips: np.ndarray
    pairs: np.ndarray
    flows: np.ndarray
    cameras: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read what `write` wrote; the arrays stay on disk.

        Raises:
            InputError: one is not there.
        """
        try:
            return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: must be a pack that stage 'data' wrote, but is not: {error}") from error

    def write(self, folder: Path) -> None:
        """Write the arrays as NAME.npy."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)


def joined(packs: list[Pack]) -> Pack:
    """Several packs as one."""
    first = np.cumsum([0] + [len(pack.frames) for pack in packs[:-1]])
    clips = np.cumsum([0] + [int(pack.clips.max(initial=-1)) + 1 for pack in packs[:-1]])
    moved = {
        "pairs": [pack.pairs + start for pack, start in zip(packs, first, strict=True)],
        "clips": [pack.clips + start for pack, start in zip(packs, clips, strict=True)],
    }
    columns = {name: moved.get(name, [getattr(pack, name) for pack in packs]) for name in ARRAYS}
    return Pack(**{name: np.concatenate(column).astype(column[0].dtype) for name, column in columns.items()})
