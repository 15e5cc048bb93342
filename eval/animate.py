"""Animate pictures with videos of others: ``python -m eval.animate --model M --data ROOT --pairs FILE.csv --out DIR``.

The csv file has the columns source and driving, names under ROOT/test with their endings. The first frame of the source is moved
by the driving video, after the published protocol: relative motion from the driving video's first frame, the background at rest.
Resumable and shared among processes as `eval.reconstruct` is; `python -m eval.metrics DIR` measures the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from motion_core import AnimationSettings, video_folders
from motion_core.command_line import CommandParser
from motion_core.errors import InputError

from .generation import Job, add_options, make_videos
from .videos import find_videos


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 if a pair could not be animated, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.animate", __doc__)
    add_options(parser, background=False)
    parser.add_argument("--pairs", required=True, help="csv file with the columns source and driving")
    parser.add_argument("--mode", default="relative", help="relative, standard or avd")
    parser.add_argument("--initial-frame", type=int, default=0, help="driving frame in the source's pose")
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> int:
    pairs = video_folders.read_pairs(options.pairs, f"{options.pairs}:", " ({})")
    jobs = pair_jobs(pairs, find_videos(options.data / options.split), options.pairs)
    settings = AnimationSettings(mode=options.mode, initial_frame=options.initial_frame)
    return make_videos("animation", jobs, options, lambda pipeline: settings, options.pairs)


def pair_jobs(
    pairs: Sequence[tuple[str, str]], videos: Mapping[str, video_folders.VideoFile], origin: str
) -> list[Job]:
    """The pairs of a list as videos to make, each named ``SOURCE--DRIVING``.

    Raises:
        InputError: a name is not in the split, a pair is of one identity, or is there twice.
    """
    by_name = {video.name: video for video in videos.values()}
    jobs: dict[str, Job] = {}
    for row, names in enumerate(pairs, 1):
        for name in names:
            if name not in by_name:
                raise InputError(f"{origin}: row {row} must name videos of the split with their endings, got {name!r}")
        source, driving = (by_name[name] for name in names)
        if source.identity == driving.identity:
            raise InputError(f"{origin}: row {row} must be of two identities, got {names[0]!r} and {names[1]!r}")
        name = f"{source.stem}--{driving.stem}"
        if name in jobs:
            raise InputError(f"{origin}: every pair must be there once, row {row} is there twice")
        jobs[name] = Job(name, source, driving)
    return list(jobs.values())


if __name__ == "__main__":
    sys.exit(main())
