"""Animate pictures with videos of others: ``python -m eval.animate --model M --data ROOT --pairs FILE.csv --out DIR``.

The csv file has the columns source and driving, names under ROOT/test with their endings. The first frame of the source is moved
by the driving video, after the published protocol: relative motion from the driving video's first frame, the background at rest.
Resumable and shared among processes as `eval.reconstruct` is; `python -m eval.metrics DIR` measures the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from motion_core import AnimationSettings
from motion_core.errors import InputError

from .generation import Job, add_options, finish, generate, join_processes, load, network_size, start
from .videos import VideoFile, find_videos, read_pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 if a pair could not be animated, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.animate", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--pairs", required=True, help="csv file with the columns source and driving")
    parser.add_argument("--mode", default="relative", help="relative (default), standard or avd")
    parser.add_argument("--initial-frame", type=int, default=0, help="driving frame in the source's pose (default: 0)")
    options = parser.parse_args(arguments)
    try:
        # 1. What there is to do
        jobs = pair_jobs(read_pairs(options.pairs), find_videos(options.data / options.split), options.pairs)

        # 2. The model, and the folder for its results
        pipeline = load(options)
        settings = AnimationSettings(
            mode=options.mode,
            size=network_size(options),
            strategy=options.strategy,
            t=options.t,
            initial_frame=options.initial_frame,
            batch_size=options.batch_size,
            diagnose=True,
        )
        start("animation", jobs, pipeline, options, settings, str(options.pairs))

        # 3. This process's share of the pairs
        state = join_processes(options)
        share = (state.process_index, state.num_processes)
        summary = generate(pipeline, jobs, options.out, settings, options.limit, share)
    except InputError as error:
        print(f"eval.animate: {error}", file=sys.stderr)
        return 2
    return finish(options, summary)


def pair_jobs(pairs: Sequence[tuple[str, str]], videos: Mapping[str, VideoFile], origin: str) -> list[Job]:
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
