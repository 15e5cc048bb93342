"""Draw pairs of frames from ordinary clips: ``python -m eval.make_pairs --data ROOT --detector NAME --out FILE.csv``.

What rendered clips know, a detector finds here: the displacement is the mean distance of the landmarks found in both frames.
`eval.pair_scores` takes the list.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from motion_core.errors import InputError
from motion_core.hardware import choose_device
from motion_core.media import FrameAccess, open_frames

from .landmarks import DETECTORS, LandmarkDetector, open_detector
from .material import UnusableVideoError
from .metric_functions import akd, found
from .pairs.remembered import RememberedDetector
from .rendered_people.pairs import LEAST, Pair, spread_pairs, with_quartiles, write_pairs
from .videos import find_videos


@dataclass(frozen=True)
class DrawnPairs:
    """A list of pairs, and the clips that offer none, by name, with the reason."""

    pairs: list[Pair]
    left_out: dict[str, str]


def make_pairs(
    root: str | Path,
    split: str,
    detector: LandmarkDetector,
    count: int,
    seed: int,
    *,
    min_gap: int = 1,
    frames: int = 64,
    detector_size: int | None = None,
    cache: str | Path | None = None,
) -> DrawnPairs:
    """Draw pairs whose displacements are spread evenly from the smallest to the largest of each clip.

    The quartile is that of the displacement as a share of the picture's longer side. What is drawn from a clip depends on the
    seed and its name alone.

    Args:
        root, split: the clips are in root/split.
        detector: finds the landmarks; two frames are a pair if it finds 8 of them in both (or all, where it has fewer).
        count: of the pairs from each clip.
        min_gap: frames that lie between source and driving frame at least, counted as their difference.
        frames: the detector looks at this many frames of a clip, evenly spread.
        detector_size, cache: as in `eval.pair_scores`.

    Raises:
        InputError: a number out of its range, no clips, none that offers a pair, or the detector failed.
    """
    for name, value, least in (("count", count, 1), ("min_gap", min_gap, 1), ("frames", frames, 2), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} must be {least} or more, got {value}")
    if detector_size is not None and detector_size < 1:
        raise InputError(f"detector_size must be 1 pixel or more, got {detector_size}")
    looking = RememberedDetector(detector, detector_size, None if cache is None else Path(cache))
    drawn, sides, left_out = [], {}, {}
    for video in tqdm(find_videos(Path(root) / split).values(), desc="clips", disable=not sys.stderr.isatty()):
        try:
            access = _opened(video.path, min_gap)
            numbers = sorted({int(number) for number in np.linspace(0, access.count - 1, frames)})
            points = {number: looking.keep(frame) for number, frame in _readable(access, numbers)}
            drawn += _of_clip(video.name, points, count, min_gap, np.random.default_rng((seed, *video.name.encode())))
        except UnusableVideoError as error:
            left_out[video.name] = str(error)
            continue
        sides[video.name] = max(access.size)
    if not drawn:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"none of the {len(left_out)} clips offers a pair; {name}: {reason}")
    return DrawnPairs(with_quartiles(drawn, sides), left_out)


def _of_clip(
    video: str, points: dict[int, np.ndarray], count: int, min_gap: int, random: np.random.Generator
) -> list[Pair]:
    """Pairs of a clip, by the landmarks ``(J, 2)`` of its frames."""
    least = min(LEAST, *(len(landmarks) for landmarks in points.values()))

    def displacement(i: int, j: int) -> float | None:
        both = found(points[i]) & found(points[j])
        return akd(points[i], points[j]) if abs(i - j) >= min_gap and both.sum() >= least else None

    pairs = spread_pairs(video, list(points), displacement, count, random)
    if not pairs:
        seen = sum(int(found(landmarks).sum() >= least) for landmarks in points.values())
        raise UnusableVideoError(
            f"has no two frames {min_gap} or more apart with the same {least} landmarks; {least} or more were found in "
            f"{seen} of {len(points)} frames"
        )
    return pairs


def _opened(path: Path, min_gap: int) -> FrameAccess:
    try:
        access = open_frames(path)
    except (InputError, OSError) as error:
        raise UnusableVideoError(f"cannot be read: {error}") from error
    if access.count <= min_gap:
        raise UnusableVideoError(f"must have more than {min_gap} frames, got {access.count}")
    return access


def _readable(access: FrameAccess, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    try:
        yield from access.frames_at(numbers)
    except (InputError, OSError) as error:
        raise UnusableVideoError(f"cannot be read: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.make_pairs", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="the folder that holds the split")
    parser.add_argument("--split", default="test", help="folder with the clips (default: %(default)s)")
    parser.add_argument("--detector", required=True, help=f"{', '.join(DETECTORS)}; some with :FILE")
    parser.add_argument("--out", required=True, type=Path, help="the csv file to write")
    parser.add_argument("--count", type=int, default=8, help="pairs from each clip (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--min-gap", type=int, default=1, help="frames from source to driving frame at least")
    parser.add_argument("--frames", type=int, default=64, help="frames of a clip to look at (default: %(default)s)")
    parser.add_argument("--detector-size", type=int, metavar="SIDE", help="what the detector gets pictures enlarged to")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the detector finds")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    options = parser.parse_args(arguments)
    try:
        made = make_pairs(
            options.data,
            options.split,
            open_detector(options.detector, str(choose_device(options.device))),
            options.count,
            options.seed,
            min_gap=options.min_gap,
            frames=options.frames,
            detector_size=options.detector_size,
            cache=options.cache,
        )
        _write(options.out, made.pairs)
    except InputError as error:
        print(f"eval.make_pairs: {error}", file=sys.stderr)
        return 2
    clips = len({pair.video for pair in made.pairs})
    print(f"{options.out}: {len(made.pairs)} pairs of {clips} clips, {len(made.left_out)} clips left out")
    for name, reason in made.left_out.items():
        print(f"  left out: {name}: {reason}")
    return 0


def _write(path: Path, pairs: Sequence[Pair]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(path, pairs)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
