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

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.hardware import choose_device
from motion_core.media import FrameReader, open_frames

from .instruments import DETECTORS, LandmarkDetector, open_detector
from .instruments.cached import CachedDetector
from .metric_functions import akd, found
from .options import add_data, add_device
from .rendered_people.pairs import LEAST, Pair, spread_pairs, with_quartiles, write_pairs
from .videos import UnusableVideoError, find_videos, unusable_where_unreadable


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
    cached = CachedDetector(detector, detector_size, None if cache is None else Path(cache))
    drawn, sides, left_out = [], {}, {}
    for video in tqdm(find_videos(Path(root) / split).values(), desc="clips", disable=not sys.stderr.isatty()):
        try:
            with unusable_where_unreadable():
                access = open_frames(video.path)
            if access.count <= min_gap:
                raise UnusableVideoError(f"must have more than {min_gap} frames, got {access.count}")
            points = {number: cached.landmarks(image, keep=True) for number, image in _spread_frames(access, frames)}
            drawn += _of_clip(video.name, points, count, min_gap, np.random.default_rng((seed, *video.name.encode())))
        except UnusableVideoError as error:
            left_out[video.name] = str(error)
            continue
        sides[video.name] = max(access.size)
    if not drawn:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"none of the {len(left_out)} clips offers a pair; {name}: {reason}")
    return DrawnPairs(with_quartiles(drawn, sides), left_out)


def _spread_frames(access: FrameReader, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """At most `count` frames, evenly spread, with their numbers; raises UnusableVideoError where one cannot be read."""
    with unusable_where_unreadable():
        yield from access.frames_at(sorted({int(number) for number in np.linspace(0, access.count - 1, count)}))


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.make_pairs", __doc__)
    add_data(parser)
    parser.add_argument("--detector", required=True, help=f"{', '.join(DETECTORS)}; some with :FILE")
    parser.add_argument("--out", required=True, type=Path, help="the csv file to write")
    parser.add_argument("--count", type=int, default=8, help="pairs from each clip")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs that are drawn")
    parser.add_argument("--min-gap", type=int, default=1, help="frames from source to driving frame at least")
    parser.add_argument("--frames", type=int, default=64, help="frames of a clip to look at")
    parser.add_argument("--detector-size", type=int, metavar="SIDE", help="what the detector gets pictures enlarged to")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the detector finds")
    add_device(parser, dtype=False)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
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
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(options.out, made.pairs)
    except OSError as error:
        raise InputError(f"{options.out}: cannot be written ({error.strerror})") from error
    clips = len({pair.video for pair in made.pairs})
    print(f"{options.out}: {len(made.pairs)} pairs of {clips} clips, {len(made.left_out)} clips left out")
    for name, reason in made.left_out.items():
        print(f"  left out: {name}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
