"""Pairs of frames for training and validation, numbered n = 0, 1, 2, ...; what sample n is depends on n alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from motion_core.errors import InputError
from motion_core.media import FrameReader
from train.config import DataConfig

from .augmentation import Colors, change_colors
from .frames import BrokenFrameError, FrameStore
from .layouts import VideoFile, find_videos, open_videos, read_pairs

logger = logging.getLogger(__name__)

_UNCHANGED = Colors()
_ORDER, _SAMPLE, _VALIDATION, _ANEW = 0, 1, 2, 3  # so that different draws never share a seed
_DRAWS = 20  # of one sample; if frames of all are damaged, so is most of the data


@dataclass(frozen=True)
class PairPlan:
    """A sample before anything is decoded: video indices, frame numbers, and draws for `augmentation`."""

    source_video: int
    source_frame: int
    driving_video: int
    driving_frame: int
    flip: bool = False
    colors: Colors = _UNCHANGED


class PairDataset(Dataset[dict[str, Tensor]]):
    """Training pairs. ``dataset[n]`` is the same for the same configuration, seed and n, in any process and order.

    A pass is `len(dataset)` numbers: each video (identity with `id_sampling`, row with `pair_list`) once, in an order of
    its own per pass. n goes on past the first pass without end.

    Raises:
        InputError: no videos, a video that cannot be opened (unless `skip_broken`), a pair that names no video.
    """

    def __init__(self, config: DataConfig, seed: int = 0, split: str = "train") -> None:
        self.config, self.seed = config, seed
        rows = None if config.pair_list is None else read_pairs(config.pair_list)
        files = find_videos(config.root, split)
        if rows is not None:
            files = _named_in(rows, files, str(config.pair_list))
        self.files, videos = _usable(files, config, fewest=1 if rows else 2)
        self._choices = _choices(self.files, rows, config.id_sampling)
        self._counts = [video.count for video in videos]
        for a, b in (pair for pairs in self._choices for pair in pairs):
            if a == b and self._counts[a] < 2:
                raise InputError(too_short(videos[a]))
        short = sum(count <= config.min_stride for count in self._counts)
        if short and not rows:
            logger.warning(
                "%d videos have no frames min_stride = %d apart: their ends are used", short, config.min_stride
            )
        self._store = FrameStore(videos, config.image_size, config.fit, config.cache_mb)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        return len(self._choices)

    def plan(self, n: int, draw: int = 0) -> PairPlan:
        """Say what sample n is, without decoding anything; `draw` counts how often it was broken, see `skip_broken`."""
        if n < 0:
            raise IndexError(f"n: must be 0 or more, got {n}")
        turn, place = divmod(n, len(self))
        if self._order[0] != turn:
            self._order = (turn, np.random.default_rng((self.seed, _ORDER, turn)).permutation(len(self)))
        rng = np.random.default_rng((self.seed, _ANEW, n, draw) if draw else (self.seed, _SAMPLE, n))
        choices = self._choices[rng.integers(len(self)) if draw else self._order[1][place]]
        a, b = choices[rng.integers(len(choices))]
        if a == b and self._counts[a] > 1:
            i, j = _two_frames(rng, self._counts[a], self.config.min_stride, self.config.max_stride)
        else:
            i, j = int(rng.integers(self._counts[a])), int(rng.integers(self._counts[b]))
        flip = bool(rng.random() < 0.5) and self.config.flip
        colors = Colors.draw(rng, self.config.jitter)
        return PairPlan(a, i, b, j, flip, colors)

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Return "source" and "driving" (3, H, W) float32 in [0, 1], "number", n as int64, and "redrawn", int64: how many
        other samples were drawn for it before, see `skip_broken`.

        Raises:
            BrokenFrameError: a frame cannot be decoded; the message names the file.
        """
        plans = (self.plan(n, draw) for draw in range(_DRAWS))
        redrawn, plan, images = _first_whole(self._store, plans, self.config)
        images = change_colors(images, plan.colors)  # (2, 3, H, W)
        if plan.flip:
            images = images.flip(-1)
        number, count = torch.tensor(n), torch.tensor(redrawn)
        return {"source": images[0], "driving": images[1], "number": number, "redrawn": count}


class ValidationPairs(Dataset[dict[str, Tensor]]):
    """A few pairs of each video of a split, always the same ones, nothing augmented.

    Pair k of `per_video` is (k + 1) / per_video of the video's length apart, so that small and large motions are there
    alike; where it begins, and which of the two frames is the source, is drawn from the seed and the video's name. Its
    frames are kept under a bound of `cache_mb` of its own.
    """

    def __init__(self, config: DataConfig, seed: int = 0, split: str = "test", per_video: int = 4) -> None:
        self.config = config
        self.files, videos = _usable(find_videos(config.root, split), config, fewest=2)
        self._store = FrameStore(videos, config.image_size, config.fit, config.cache_mb, whole_videos=False)
        self._plans: list[PairPlan] = []
        for index, (file, video) in enumerate(zip(self.files, videos, strict=True)):
            rng = np.random.default_rng((seed, _VALIDATION, *file.name.encode()))
            for k in range(per_video):
                gap = max(1, round((k + 1) / per_video * (video.count - 1)))
                first = int(rng.integers(video.count - gap))
                i, j = (first, first + gap) if rng.random() < 0.5 else (first + gap, first)
                self._plans.append(PairPlan(index, i, index, j))

    def __len__(self) -> int:
        return len(self._plans)

    def plan(self, n: int) -> PairPlan:
        """Say what sample n is, without decoding anything."""
        return self._plans[n]

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Return "source", "driving" and "number" as `PairDataset` does, and "video": its index in `files`, int64.

        With `skip_broken`, the next pair that is whole stands for a broken one.
        """
        if not 0 <= n < len(self):
            raise IndexError(f"there is no pair {n} of {len(self)}")  # which also ends a loop over all of them
        plans = (self._plans[(n + k) % len(self)] for k in range(len(self)))
        _, plan, images = _first_whole(self._store, plans, self.config)  # images (2, 3, H, W)
        video = torch.tensor(plan.source_video)
        return {"source": images[0], "driving": images[1], "number": torch.tensor(n), "video": video}


def _first_whole(store: FrameStore, plans: Iterable[PairPlan], config: DataConfig) -> tuple[int, PairPlan, Tensor]:
    """Return how many plans were broken, the first that is not (without `skip_broken`, the first) and its images (2, 3, H, W)."""
    last: BrokenFrameError | None = None
    for broken, plan in enumerate(plans):
        try:
            return broken, plan, _images(store, plan)
        except BrokenFrameError as error:
            last = error
            if not config.skip_broken:
                break
            logger.warning("another sample is drawn: %s", error)
    advice = f"list what is broken with: python -m train.check_data {config.root}"
    also = (
        "; what was drawn instead is broken too"
        if config.skip_broken
        else "; data.skip_broken=true draws other samples"
    )
    raise BrokenFrameError(f"{last} ({advice}{also})") from last


def _images(store: FrameStore, plan: PairPlan) -> Tensor:
    """Return source and driving image, (2, 3, H, W) float32 in [0, 1]."""
    if plan.source_video == plan.driving_video:
        frames = store.frames(plan.source_video, (plan.source_frame, plan.driving_frame))
    else:
        frames = store.frames(plan.source_video, (plan.source_frame,))
        frames += store.frames(plan.driving_video, (plan.driving_frame,))
    return torch.stack(frames).float().div_(255)


def _two_frames(rng: np.random.Generator, count: int, min_stride: int, max_stride: int | None) -> tuple[int, int]:
    """Draw (source, driving) frame numbers: every pair with an allowed distance is as likely as any other."""
    longest = count - 1
    least = min(min_stride, longest)
    gaps = np.arange(least, min(longest, max(least, max_stride or longest)) + 1)
    places = count - gaps  # where a pair that far apart can begin
    gap = int(rng.choice(gaps, p=places / places.sum()))
    first = int(rng.integers(count - gap))
    return (first, first + gap) if rng.random() < 0.5 else (first + gap, first)


def _named_in(rows: Sequence[tuple[str, str]], files: list[VideoFile], pair_list: str) -> list[VideoFile]:
    """Return the videos that the rows name. Raises InputError for a name that is none."""
    known = {file.name for file in files}
    for row in rows:
        for column, name in zip(("source", "driving"), row, strict=True):
            if name not in known:
                raise InputError(f"pair_list: {pair_list} must name videos of the split, but {column} {name!r} is none")
    used = {name for row in rows for name in row}
    return [file for file in files if file.name in used]


def _usable(files: list[VideoFile], config: DataConfig, fewest: int) -> tuple[list[VideoFile], list[FrameReader]]:
    """Open the videos; return those with at least `fewest` frames. Raises InputError for others, or leaves them out."""
    usable, broken = [], []
    for file, video in zip(files, open_videos(files), strict=True):
        if isinstance(video, InputError):
            broken.append(str(video))
        elif video.count < fewest:
            broken.append(too_short(video))
        else:
            usable.append((file, video))
    if broken and (not config.skip_broken or not usable):
        others = f"{len(broken)} of {len(files)} videos cannot be used" if len(files) > 1 else "it cannot be used"
        advice = f"list them with: python -m train.check_data {config.root}; data.skip_broken=true leaves them out"
        raise InputError(f"{broken[0]} ({others}; {advice})")
    if broken:
        logger.warning(
            "%d of %d videos cannot be used and are left out: %s", len(broken), len(files), "; ".join(broken)
        )
    return [file for file, _ in usable], [video for _, video in usable]


def too_short(video: FrameReader) -> str:
    """The sentence about a video of one frame."""
    height, width = video.size
    hint = (
        f"; frames side by side must each be as wide as high, it is {width} x {height}"
        if video.kind == "picture"
        else ""
    )
    return f"{video.path}: must have at least 2 frames, got {video.count}{hint}"


def _choices(
    files: list[VideoFile], rows: Sequence[tuple[str, str]] | None, id_sampling: bool
) -> list[list[tuple[int, int]]]:
    """Return for each number of a pass the (source, driving) videos to choose from."""
    index = {file.name: k for k, file in enumerate(files)}
    if rows is not None:
        found = [[(index[a], index[b])] for a, b in rows if a in index and b in index]  # skip_broken: not all are left
        if not found:
            raise InputError("pair_list: must have a pair of which both videos can be used, but has none")
        return found
    if not id_sampling:
        return [[(k, k)] for k in range(len(files))]
    groups: dict[str, list[tuple[int, int]]] = {}
    for k, file in enumerate(files):
        groups.setdefault(file.identity, []).append((k, k))
    return list(groups.values())
