"""Where the limbs of real people are, as mediapipe sees them: ``python -m eval.person_tracks PACK --pictures ROOT``.

It writes PACK/tracks/train/NAME.npz (docs/data.md, "Tracks") for the videos of PACK that have none, in the form that
`eval.benchmark.tracks` gives to rendered ones. ROOT has the same videos in a size that mediapipe sees more in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from motion_core.errors import InputError
from motion_core.media import FrameAccess, open_frames
from motion_core.networks.layered.limbs import BETWEEN, PLACES

from .benchmark.tracks import CELLS, GROUPS, MIRRORED, save_tracks, strips, tracks_file
from .videos import find_videos
from .workers import Worker, start_worker

SPLIT = "train"

# Of each group of `GROUPS`: places that its points lie between.
_AXES = (
    ("neck", "head"),
    ("neck", "hips"),
    *(
        (f"{side}_{start}", f"{side}_{end}")
        for joints in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
        for side in ("right", "left")
        for start, end in pairwise(joints)
    ),
)
_ALONG = (0.3, 0.5, 0.7)  # of an axis: where the points are
_GUESSED, _SEEN = 0.3, 0.7  # below the first, a landmark is not where mediapipe says; above the second, it is in sight
_THICKNESS = 0.09  # metres: an arm hides what of the torso is nearer to it in the picture
_ARMS = (2, 3, 4, 5)  # of the groups


@dataclass(frozen=True)
class Person:
    """One picture's person, in pixels.

    Attributes:
        places: by name, ``(2,)``.
        sure: by name, how sure mediapipe is that it is in sight, in [0, 1].
        metre: pixels.
        silhouette: ``(CELLS, CELLS)`` bool, cells that show any of the person.
    """

    places: dict[str, np.ndarray]
    sure: dict[str, float]
    metre: float
    silhouette: np.ndarray


def find_person(worker: Worker, image: np.ndarray) -> Person | None:
    """The person in an image ``(H, W, 3)`` uint8, or None. Raises InputError if the worker fails."""
    answer = worker.answer(image)
    points = np.array(answer["points"], np.float64)  # (33, 3), x and y in pixels, visibility
    if not len(points):
        return None
    world = np.array(answer["metres"], np.float64)[:, :2]  # (33, 2)
    certain = points[:, 2] >= _SEEN
    if certain.sum() < 4:
        return None
    spread = [float(np.linalg.norm(of[certain] - of[certain].mean(axis=0))) for of in (points[:, :2], world)]
    places = {name: points[list(numbers), :2].mean(axis=0) for name, numbers in PLACES.items()}
    sure = {name: float(points[list(numbers), 2].min()) for name, numbers in PLACES.items()}
    for name, (start, end, share) in BETWEEN.items():
        places[name] = places[start] + share * (places[end] - places[start])
        sure[name] = min(sure[start], sure[end])
    return Person(
        places,
        sure,
        spread[0] / max(spread[1], 1e-6),
        np.array(answer["silhouette"], bool),
    )


def person_keypoints(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints ``(K, 5, 2)`` in pixels, and which of them are known, ``(K, 5)`` bool: where mediapipe does not guess."""
    places = {name: place[None] for name, place in person.places.items()}
    points = strips(places, np.array([[person.metre]]))[0]
    sure = [min(person.sure[start], person.sure[end]) for start, end in _AXES]
    return points, np.repeat(np.array(sure)[:, None] >= _GUESSED, points.shape[1], axis=1)


def person_points(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Points along the axes of limbs ``(N, 2)`` in pixels, and which of them are in sight, ``(N,)`` bool.

    Those of the torso are hidden where an arm is in front of them, and where it might be.
    """
    ends = np.array([[person.places[start], person.places[end]] for start, end in _AXES])  # (K, 2, 2)
    points = np.stack([ends[:, 0] + share * (ends[:, 1] - ends[:, 0]) for share in _ALONG], axis=1)  # (K, 3, 2)
    sure = np.array([min(person.sure[start], person.sure[end]) for start, end in _AXES]) >= _SEEN
    seen = np.repeat(sure[:, None], len(_ALONG), axis=1)
    for arm in _ARMS:
        near = _distances(points[1], *ends[arm]) < _THICKNESS * person.metre
        seen[1] &= ~near
    return points.reshape(-1, 2), seen.flatten()


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Of points ``(N, 2)`` from the line between two others."""
    along = end - start
    share = np.clip((points - start) @ along / max(along @ along, 1e-6), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def write_person_tracks(worker: Worker, video: FrameAccess, file: Path) -> bool:
    """Write the tracks of a video; False, and nothing is written, where mediapipe finds nobody in it.

    Raises:
        InputError: a frame cannot be read, or the worker fails.
    """
    height, width = video.size
    groups = np.repeat(np.arange(len(GROUPS), dtype=np.uint8), len(_ALONG))
    nobody = (
        (np.zeros((len(groups), 2)), np.zeros(len(groups), bool)),
        (np.zeros((*MIRRORED.shape, 2)), np.zeros(MIRRORED.shape, bool)),
        np.ones((CELLS, CELLS), bool),
    )
    found = []
    for _, frame in video.frames_at(range(video.count)):
        person = find_person(worker, frame)
        found.append(nobody if person is None else (person_points(person), person_keypoints(person), person.silhouette))
    points, known, silhouettes = zip(*found, strict=True)
    (places, visible), (keypoints, sure) = (
        (np.stack([at for at, _ in each]), np.stack([seen for _, seen in each])) for each in (points, known)
    )
    if not sure.any():
        return False
    places, keypoints = ((each + 0.5) / (width, height) for each in (places, keypoints))
    save_tracks(file, (places, visible), groups, (keypoints, sure), np.stack(silhouettes))
    return True


def write_tracks(pack: Path, pictures: Path, worker: Worker) -> tuple[int, int]:
    """Write the tracks of the training videos of `pack` that have none.

    Returns:
        how many were written, and of how many videos.

    Raises:
        InputError: there are no videos, `pictures` has one of them not, or what `write_person_tracks` raises.
    """
    larger = find_videos(pictures / SPLIT)
    written = count = 0
    for name in find_videos(pack / SPLIT):
        file = tracks_file(pack, SPLIT, name)
        if file.is_file():
            continue
        if name not in larger:
            raise InputError(f"pictures: {pictures / SPLIT} must have {name}, as {pack / SPLIT} has, but has not")
        count += 1
        written += write_person_tracks(worker, open_frames(larger[name].path), file)
    return written, count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    parser = argparse.ArgumentParser(description="Writes where the limbs of real people are, as mediapipe sees them.")
    parser.add_argument("pack", type=Path, metavar="PACK", help="data root whose training videos get tracks")
    parser.add_argument("--pictures", type=Path, required=True, metavar="ROOT", help="the same videos, larger")
    options = parser.parse_args(arguments)
    try:
        written, count = write_tracks(options.pack, options.pictures, start_worker("mediapipe", "person"))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{written} of {count} videos without tracks: {options.pack / 'tracks'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
