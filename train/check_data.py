"""Look through a folder of training data: ``python -m train.check_data ROOT``.

Prints what was found, what is broken and why, and which pairs would be sampled. Ends with status 0 if all is well, 1 if
something is broken, and 2 if there is nothing to look through. Nothing is written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import FrameReader
from train.config import DataConfig
from train.config_file import parse_section
from train.data import PairDataset, find_videos
from train.data.layouts import VideoFile, left_out, open_videos
from train.data.pairs import PairPlan, too_short

SAMPLING = ("root", "id_sampling", "pair_list", "min_stride", "max_stride")  # settings that choose pairs

_GRID = 32  # cells along each side, at most, in which two frames are compared
_CELL = 8  # pixels along a side of a cell, at least: the mean of fewer is noisy
_SAME = 3.0  # grey levels: no cell of two frames that look the same differs by more; codecs make about 2
_FEW = 0.02  # share of pairs that may look the same
_STRIDES = 10


@dataclass
class Scan:
    """Findings about one video; `pairs[k]` frames k apart were compared, `same[k]` of these looked the same."""

    file: VideoFile
    access: FrameReader | None = None
    error: str | None = None
    pairs: np.ndarray = field(default_factory=lambda: np.zeros(_STRIDES + 1, np.int64))
    same: np.ndarray = field(default_factory=lambda: np.zeros(_STRIDES + 1, np.int64))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser("python -m train.check_data", __doc__)
    parser.add_argument("root", help="the folder that holds train and test")
    parser.add_argument("--quick", action="store_true", help="do not decode every frame")
    parser.add_argument("--id-sampling", action="store_true", help="as in the training configuration")
    parser.add_argument("--pair-list", help="as in the training configuration")
    parser.add_argument("--min-stride", type=int, default=1, help="likewise")
    parser.add_argument("--max-stride", type=int, help="likewise")
    parser.add_argument("--seed", type=int, default=0, help="of the examples")
    parser.add_argument("--examples", type=int, default=5, help="how many sampled pairs to print")
    return parser.run(check, arguments)


def check(options: argparse.Namespace) -> int:
    """Print what is in the folder; returns 1 if something is broken, else 0."""
    given = {name: getattr(options, name) for name in SAMPLING}
    sampling = parse_section(DataConfig, given | {"cache_mb": 0, "skip_broken": True}, "pairs")
    train = _scan(find_videos(options.root, "train"), options)
    _report(options.root, "train", train)
    test = _test_split(options)
    both = sorted({scan.file.identity for scan in train} & {scan.file.identity for scan in test or ()})
    if both:
        print(f"identities in both train and test: {len(both)} ({_some(both)}): a test on them says little")
    read = "only opened, --quick: damage inside them does not show" if options.quick else "decoded from end to end"
    print(f"the videos were {read}")
    sampled = _examples(options, sampling)
    return int(test is None or any(scan.error for scan in (*train, *test)) or not sampled)


def _test_split(options: argparse.Namespace) -> list[Scan] | None:
    """Report on the test split, which may be missing; None if it is there but empty."""
    if not os.path.isdir(os.path.join(options.root, "test")):
        print("test: no such folder, so there is nothing to validate on")
        return []
    try:
        test = _scan(find_videos(options.root, "test"), options)
    except InputError as error:
        print(f"test: {error}")
        return None
    _report(options.root, "test", test)
    return test


def _scan(files: list[VideoFile], options: argparse.Namespace) -> list[Scan]:
    """Open every video, and decode it unless `quick`."""
    fewest = 1 if options.pair_list else 2
    scans = []
    for file, video in zip(files, open_videos(files), strict=True):
        if isinstance(video, InputError):
            scans.append(Scan(file, error=str(video)))
        else:
            scans.append(Scan(file, video, None if video.count >= fewest else too_short(video)))
    if not options.quick:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for number, _ in enumerate(pool.map(_decode, scans), 1):
                if sys.stderr.isatty():
                    print(f"\r{number} of {len(scans)}", end="\n" if number == len(scans) else "", file=sys.stderr)
    return scans


def _decode(scan: Scan) -> None:
    """Decode all of a video, and count frames that look the same as earlier ones."""
    if scan.access is None or scan.error is not None:
        return
    before: list[np.ndarray] = []  # the last frame first
    try:
        for _, pixels in scan.access.frames_at(range(scan.access.count)):
            cells = _cells(pixels)
            for k, earlier in enumerate(before, 1):
                scan.pairs[k] += 1
                scan.same[k] += np.abs(cells - earlier).max() < _SAME
            before = [cells, *before[: _STRIDES - 1]]
    except InputError as error:
        scan.error = str(error)
    except OSError as error:
        scan.error = f"{scan.file.path}: cannot be read: {error}"


def _cells(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to the means of a grid of equal cells, (h, w, 3) float in 0..255; a rest at the edge is left out."""
    h, w = (min(_GRID, max(1, side // _CELL)) for side in pixels.shape[:2])
    tall, wide = pixels.shape[0] // h, pixels.shape[1] // w
    return pixels[: h * tall, : w * wide].reshape(h, tall, w, wide, 3).mean((1, 3), dtype=np.float32)


def _report(root: str, split: str, scans: list[Scan]) -> None:
    opened = [scan.access for scan in scans if scan.access is not None]
    identities = {scan.file.identity for scan in scans}
    print(f"{split}: videos: {len(scans)}, identities: {len(identities)}")
    if opened:
        counts = [access.count for access in opened]
        print(f"  frames: {sum(counts)} in all; {min(counts)} to {max(counts)} a video, median {median(counts):g}")
        print(f"  kinds: {_counted(access.kind for access in opened)}")
        print(f"  sizes: {_counted(f'{access.size[1]} x {access.size[0]}' for access in opened)}")
    others = left_out(root, split)
    if others:
        print(f"  not videos, left out: {len(others)} ({_some(others)})")
    for line in _repeated(scans):
        print(f"  {line}")
    broken = [scan.error for scan in scans if scan.error]
    print(f"  broken: {len(broken) or 'none'}")
    for error in broken:
        print(f"    {error}")


def _repeated(scans: list[Scan]) -> Iterator[str]:
    """Say how often neighbouring frames look the same, and from which distance on they hardly do."""
    pairs, same = (np.sum([getattr(scan, name) for scan in scans], axis=0) for name in ("pairs", "same"))
    if not pairs[1]:
        return
    worst = max((scan for scan in scans if scan.pairs[1]), key=lambda scan: scan.same[1] / scan.pairs[1])
    most = f"; most in {worst.file.name}, {worst.same[1] / worst.pairs[1]:.0%}" if same[1] else ""
    yield f"repeated frames: {same[1] / pairs[1]:.1%} look like the frame before{most}"
    share = same / np.maximum(pairs, 1)
    strides = [k for k in range(1, _STRIDES + 1) if pairs[k] and share[k] <= _FEW]
    if not strides:
        yield f"more than {_FEW:.0%} look the same up to {_STRIDES} frames apart: there is little motion in these videos"
    elif strides[0] > 1:
        yield f"suggested min_stride: {strides[0]} ({share[strides[0]]:.1%} of frames so far apart look the same)"


def _examples(options: argparse.Namespace, sampling: DataConfig) -> bool:
    """Print pairs that would be sampled; False if none can be."""
    try:
        dataset = PairDataset(sampling, options.seed)
    except InputError as error:
        print(f"nothing can be sampled: {error}")
        return False
    print(f"a pass is {len(dataset)} samples; the first with seed {options.seed}:")
    for n in range(max(0, options.examples)):
        print(f"  {n}: {_described(dataset, dataset.plan(n))}")
    return True


def _described(dataset: PairDataset, plan: PairPlan) -> str:
    source, driving = dataset.files[plan.source_video].name, dataset.files[plan.driving_video].name
    other = "" if source == driving else f"{driving} "
    return f"{source} frame {plan.source_frame} -> {other}frame {plan.driving_frame}{', mirrored' * plan.flip}"


def _counted(values: Iterator[str]) -> str:
    common = Counter(values).most_common()
    more = f" and {len(common) - 5} others" if len(common) > 5 else ""
    return ", ".join(f"{value} ({number})" for value, number in common[:5]) + more


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


if __name__ == "__main__":
    sys.exit(main())
