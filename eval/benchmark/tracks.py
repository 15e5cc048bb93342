"""Where the figure and points of it are in every frame, and where keypoints of its limbs should be: what
training can learn motion from beside the images (docs/data.md).

python -m eval.benchmark.tracks ROOT
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from motion_core.errors import InputError
from motion_core.networks.layered import limbs
from motion_core.networks.layered.limbs import LIMBS

from .annotations import Annotations, folder_of, read_annotations
from .camera import project
from .clip import SPLITS
from .flow import in_front
from .skeleton import JOINTS, PARTS
from .surface import facing

PER_PART = 4
CELLS = 32  # of a silhouette, either way
_ENDS = {  # of limbs: the part that moves with the one of the limb's name
    "torso": "pelvis",
    "right_forearm": "right_hand",
    "left_forearm": "left_hand",
    "right_shin": "right_foot",
    "left_shin": "left_foot",
}
GROUPS = tuple((limb, _ENDS[limb]) if limb in _ENDS else (limb,) for limb in LIMBS)  # body parts that move as one
MIRRORED = np.array(limbs.MIRRORED, np.uint8).reshape(len(LIMBS), limbs.POINTS)
GROUP_OF_PART = {part: number for number, parts in enumerate(GROUPS) for part in parts}


def tracks(clip: Annotations, per_part: int = PER_PART) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the middles of some faces of each body part; a hand has as many as the torso.

    Returns:
        places ``(T, N, 2)``: (x, y) as shares of width and height, 0 and 1 at the picture's edges; visible ``(T, N)``
        bool, where the point is in the picture, on the side turned to the camera, and has nothing in front of it; and groups
        ``(N,)`` uint8, the number in `GROUPS` of each point's body part.
    """
    random = np.random.default_rng(list(clip.identity.encode()))
    chosen: list[int] = []
    for part in range(1, len(PARTS)):
        of_part = np.flatnonzero(clip.surface["parts"] == part)
        chosen += sorted(random.choice(of_part, min(per_part, len(of_part)), replace=False))
    faces = clip.surface["faces"][chosen]  # (N, 3)
    two_sided = clip.surface["two_sided"][chosen]
    height, width = clip.size
    places, visible = [], []
    for frame in range(len(clip.joints)):
        vertices = clip.vertices(frame)
        points = vertices[faces].mean(1)
        pixels = project(points, clip.focal, clip.size)
        turned = facing(vertices, faces) | two_sided.astype(bool)
        visible.append(turned & in_front(clip, frame, vertices, points, pixels))
        places.append((pixels + 0.5) / (width, height))
    groups = [GROUP_OF_PART[PARTS[clip.surface["parts"][face]]] for face in chosen]
    return np.stack(places), np.stack(visible), np.array(groups, np.uint8)


def keypoints(clip: Annotations) -> np.ndarray:
    """Keypoints for each group of `GROUPS`: the corners of a strip along the limb, as wide as it is, and one point more.

    The strip's sides are those in the picture, whichever side of the limb is seen, so it keeps its width when a person turns.

    Returns:
        ``(T, K, 5, 2)``: (x, y) as shares of width and height, also outside of the picture and where the limb is hidden.
    """
    places = {name: clip.joints[:, number].astype(float) for number, name in enumerate(JOINTS)}  # (T, 2) pixels each
    vertices = [clip.vertices(frame) for frame in range(len(clip.joints))]
    for part in ("head", "torso", "right_hand", "left_hand", "right_foot", "left_foot"):
        of_part = np.unique(clip.surface["faces"][clip.surface["parts"] == PARTS.index(part)])
        places[part] = np.stack([project(moved[of_part].mean(0), clip.focal, clip.size) for moved in vertices])
    places["hips"] = (places["right_hip"] + places["left_hip"]) / 2
    metre = clip.focal / clip.joint_depth[:, JOINTS.index("neck"), None]  # (T, 1)
    height, width = clip.size
    return (strips(places, metre) + 0.5) / (width, height)


def strips(places: Mapping[str, np.ndarray], metre: np.ndarray) -> np.ndarray:
    """The keypoints of T frames, ``(T, K, 5, 2)`` in pixels.

    Args:
        places: those of `limbs.STRIPS` by name, ``(T, 2)`` in pixels each.
        metre: pixels of a metre, ``(T, 1)``.
    """
    as_tensors = {name: torch.from_numpy(place) for name, place in places.items()}
    return limbs.strips(as_tensors, torch.from_numpy(metre)).numpy()


def silhouettes(clip: Annotations) -> np.ndarray:
    """Where the figure is in each frame: cells of the picture that show any of it, ``(T, CELLS, CELLS)`` bool."""
    shown = clip.seen >= 0
    for axis in (1, 2):
        side = shown.shape[axis]
        shown = np.logical_or.reduceat(shown, np.arange(CELLS) * side // CELLS, axis=axis)
    return shown


def write_tracks(root: Path) -> int:
    """Write ROOT/tracks/SPLIT/NAME.npz for every clip that has annotations; returns how many.

    Raises:
        InputError: there are no annotations.
    """
    count = 0
    for split in SPLITS:
        for described in sorted(folder_of(root, split).glob("*.json")):
            clip = read_annotations(root, split, described.stem)
            places, visible, groups = tracks(clip)
            known = keypoints(clip)
            file = tracks_file(root, split, described.stem)
            save_tracks(file, (places, visible), groups, (known, np.ones(known.shape[:-1], bool)), silhouettes(clip))
            count += 1
    if not count:
        raise InputError(f"root: {root} must have annotations, as eval.benchmark.render writes them, but has none")
    return count


def tracks_file(root: Path, split: str, name: str) -> Path:
    """Where training looks for the tracks of a video, of whose file `name` is the stem."""
    return root / "tracks" / split / f"{name}.npz"


def save_tracks(
    file: Path,
    points: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
    known: tuple[np.ndarray, np.ndarray],
    silhouettes: np.ndarray,
) -> None:
    """Write one video's tracks as training reads them.

    Args:
        file: its folder is made.
        points: places ``(T, N, 2)``, as shares of width and height, and which are visible, ``(T, N)`` bool.
        groups: ``(N,)`` uint8.
        known: the same of keypoints, ``(T, K, 5, 2)`` and ``(T, K, 5)``; outside of the picture they are not known.
        silhouettes: ``(T, CELLS, CELLS)`` bool.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        file,
        places=_bytes(*points),
        groups=groups,
        keypoints=_bytes(*known),
        mirrored=MIRRORED,
        silhouettes=np.packbits(silhouettes.reshape(len(silhouettes), -1), axis=1),
    )


def _bytes(places: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Places in 1/255 of the picture; (0, 0) where they are not known, or outside."""
    inside = np.all((places >= 0) & (places <= 1), axis=-1)
    return np.round(255 * np.where((known & inside)[..., None], places, 0)).astype(np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    parser = argparse.ArgumentParser(description="Writes where points of rendered people are in every frame.")
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="what eval.benchmark.render wrote")
    try:
        for root in parser.parse_args(arguments).roots:
            print(f"{write_tracks(root)} clips: {root / 'tracks'}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
