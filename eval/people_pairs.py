"""The pairs that `eval.people` measures: of rendered clips, and of photos that are held back; all at 256 x 256."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from motion_core.errors import InputError
from motion_core.framing import place_in, to_network
from motion_core.media import load_image, open_frames, to_float, to_uint8

from .instruments import LandmarkDetector
from .instruments.bodies import BlazePoseInstrument
from .photo_pairs import photo_pairs
from .rendered_people.annotations import Annotations, read_annotations
from .rendered_people.instruments import JointDetector
from .rendered_people.skeleton import BONE
from .videos import FrameSequence, find_videos

SIDE = 256  # pixels of all pictures
SPLIT = "test"
QUANTILES = (1.0, 0.75, 0.45)  # of the distances between a clip's frames: the pairs that are taken
AROUND = 4  # pixels around a person that belong to the figure
_FOUND = 0.5  # score of a person from which on the landmarks in a photo are taken for true
Each = TypeVar("Each")


@dataclass(frozen=True)
class PeoplePair:
    """Two pictures of one person; the source is to be taken to the driving picture.

    Attributes:
        name: of the pair.
        source, driving: ``(256, 256, 3)`` uint8.
        source_figure, driving_figure: ``(256, 256)`` bool, where the person is, and `AROUND` pixels around.
        turned: degrees by which the chest is turned between them, as the camera sees it; NaN where that is not known.
    """

    name: str
    source: np.ndarray
    driving: np.ndarray
    source_figure: np.ndarray
    driving_figure: np.ndarray
    turned: float = math.nan


class PairSet(Protocol):
    """A set of pairs, read one after another.

    Attributes:
        title: for the report.
        detector: of joints, in the driving pictures and in results.
        left_out: why pairs are not measured, by their names; complete when all are read.
    """

    title: str
    detector: LandmarkDetector
    left_out: dict[str, str]

    def __len__(self) -> int:
        """The number of pairs, those that are left out too."""

    def __iter__(self) -> Iterator[PeoplePair]:
        """Those that are measured. Raises InputError where a file cannot be used."""


class RenderedPairs:
    """A `PairSet`: three pairs of each clip of ROOT/test, which `eval.rendered_people.render` wrote at 256 x 256.

    Args:
        root: the data's root.
        limit: so many pairs, evenly of all; None is all.

    Raises:
        InputError: no such folder, or no clips in it.
    """

    title = "Rendered people"

    def __init__(self, root: Path, limit: int | None = None) -> None:
        self.detector: LandmarkDetector = JointDetector()
        self.left_out: dict[str, str] = {}
        self._root, self._clips = root, find_videos(root / SPLIT)
        self._wanted = spread([(clip, place) for clip in self._clips for place in range(len(QUANTILES))], limit)

    def __len__(self) -> int:
        return len(self._wanted)

    def __iter__(self) -> Iterator[PeoplePair]:
        for clip, wanted in groupby(self._wanted, itemgetter(0)):
            yield from self._of_clip(clip, [place for _, place in wanted])

    def _of_clip(self, clip: str, places: list[int]) -> Iterator[PeoplePair]:
        access, known = open_frames(self._clips[clip].path), read_annotations(self._root, SPLIT, clip)
        wanted, real = (len(known.joints), SIDE, SIDE), (access.count, *access.size)
        if not wanted == real == known.seen.shape:
            raise InputError(
                f"{access.path}: must have as many frames as its annotations and {SIDE} x {SIDE} pixels, "
                f"got {real} and annotations of {known.seen.shape} (frames, height, width)"
            )
        frames, pairs = list(FrameSequence(access)), choose_pairs(known.joints)
        for source, driving in (pairs[place] for place in places):
            name, figures = f"{clip} {source}-{driving}", [around(known.seen[k] >= 0) for k in (source, driving)]
            if not all(figure.any() for figure in figures):
                self.left_out[name] = "the person is not in both pictures"
                continue
            turned = turn_between(known, source, driving)
            yield PeoplePair(name, frames[source], frames[driving], figures[0], figures[1], turned)


class PhotoPairs:
    """A `PairSet`: the pairs of photos in a folder that are held back from training, see `eval.photo_pairs`.

    Args:
        folder: all pairs NAME_0.jpg, NAME_1.jpg, those for training too.
        limit: as in `RenderedPairs`.

    Raises:
        InputError: no pairs in the folder.
    """

    title = "Photos of real people"

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._instrument = BlazePoseInstrument()
        self.detector: LandmarkDetector = self._instrument
        self.left_out: dict[str, str] = {}
        self._wanted = spread([pair for pair in photo_pairs(folder) if pair.held_back], limit)
        if not self._wanted:
            raise InputError(f"{folder}: must be a folder with pairs of photos NAME_0.jpg and NAME_1.jpg, but has none")

    def __len__(self) -> int:
        return len(self._wanted)

    def __iter__(self) -> Iterator[PeoplePair]:
        for pair in self._wanted:
            photos = []
            for photo in map(load_image, (pair.first, pair.second)):
                middle = place_in((photo.shape[0], photo.shape[1]), (SIDE, SIDE), "crop")
                photos.append(to_uint8(to_network(to_float(photo[None]), middle))[0])
            people = [self._instrument.find(photo) for photo in photos]
            figures = [around(person.silhouette) for person in people]
            if min(person.score for person in people) < _FOUND or not all(figure.any() for figure in figures):
                self.left_out[pair.name] = "BlazePose does not find a person in both photos"
                continue
            yield PeoplePair(pair.name, photos[0], photos[1], figures[0], figures[1])


def choose_pairs(points: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (source, driving) of a clip's frames at `QUANTILES` of their distance, the largest first.

    All pairs of frames count, also those of a frame with itself. The earlier frame is the source.

    Args:
        points: places of the joints, ``(T, N, 2)``; their mean distance is that of two frames.

    Example:
        >>> choose_pairs(np.array([0.0, 5.0, 7.0])[:, None, None] * np.ones((3, 1, 2)))
        [(0, 2), (0, 1), (1, 2)]
    """
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(axis=2)  # (T, T)
    order = np.argsort(distances, axis=None, kind="stable")
    ranks = [min(int(share * distances.size), distances.size - 1) for share in QUANTILES]
    chosen = [divmod(int(order[rank]), len(points)) for rank in ranks]
    return [(min(pair), max(pair)) for pair in chosen]


def turn_between(clip: Annotations, i: int, j: int) -> float:
    """Degrees by which the chest is turned between two frames, as the camera sees it."""
    forward = [clip.camera[k, :, :3] @ clip.transforms[k, BONE["chest"], :, 2] for k in (i, j)]
    cosine = forward[0] @ forward[1] / np.linalg.norm(forward, axis=1).prod()
    return math.degrees(math.acos(np.clip(cosine, -1, 1)))


def spread(given: Sequence[Each], limit: int | None) -> list[Each]:
    """At most `limit` of them, evenly spread. Raises InputError where that is below 1."""
    if limit is not None and limit < 1:
        raise InputError(f"limit must be 1 pair or more, got {limit}")
    count = len(given) if limit is None else min(limit, len(given))
    return [given[k * len(given) // count] for k in range(count)]


def around(mask: np.ndarray) -> np.ndarray:
    """A mask ``(H, W)`` bool, grown by `AROUND` pixels in every direction, diagonals too.

    Example:
        >>> grown = around(np.arange(400).reshape(20, 20) == 190)  # row 9, column 10
        >>> int(grown.sum()) == (2 * AROUND + 1) ** 2, bool(grown[9 - AROUND, 10 + AROUND])
        (True, True)
    """
    grown = F.max_pool2d(torch.from_numpy(mask)[None, None].float(), 2 * AROUND + 1, stride=1, padding=AROUND)
    return grown[0, 0].numpy() > 0
