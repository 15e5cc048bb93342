"""Where points of the figure are in every frame: the tracks that training can learn motion from (docs/data.md).

python -m eval.benchmark.tracks ROOT
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from motion_core.errors import InputError

from .annotations import Annotations, folder_of, read_annotations
from .camera import project
from .clip import SPLITS
from .flow import in_front
from .skeleton import PARTS
from .surface import facing

PER_PART = 4
GROUPS = (  # body parts that move as one, as many as a model has splines
    ("head",),
    ("torso", "pelvis"),
    ("right_upper_arm",),
    ("right_forearm", "right_hand"),
    ("left_upper_arm",),
    ("left_forearm", "left_hand"),
    ("right_thigh",),
    ("right_shin", "right_foot"),
    ("left_thigh",),
    ("left_shin", "left_foot"),
)
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


def write_tracks(root: Path) -> int:
    """Write ROOT/tracks/SPLIT/NAME.npz for every clip that has annotations; returns how many.

    Raises:
        InputError: there are no annotations.
    """
    count = 0
    for split in SPLITS:
        for file in sorted(folder_of(root, split).glob("*.json")):
            places, visible, groups = tracks(read_annotations(root, split, file.stem))
            folder = root / "tracks" / split
            folder.mkdir(parents=True, exist_ok=True)
            rounded = np.round(255 * np.where(visible[..., None], places, 0)).astype(np.uint8)  # (0, 0): not visible
            np.savez_compressed(folder / f"{file.stem}.npz", places=rounded, groups=groups)
            count += 1
    if not count:
        raise InputError(f"root: {root} must have annotations, as eval.benchmark.render writes them, but has none")
    return count


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
