"""Reconstruct every test video from its first frame: ``python -m eval.reconstruct --model M --data ROOT --out DIR``.

Interrupted, it goes on where it was; started by ``accelerate launch``, each process takes its share. `python -m eval.metrics DIR`
measures the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.errors import InputError

from .generation import Job, add_options, finish, generate, join_processes, load, network_size, start
from .videos import find_videos


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 if a video could not be reconstructed, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.reconstruct", description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument(
        "--background",
        choices=["auto", "predicted", "identity"],
        default="auto",
        help="whether the background moves as predicted; auto: where the model has a predictor (default)",
    )
    options = parser.parse_args(arguments)
    try:
        # 1. What there is to do
        videos = find_videos(options.data / options.split)
        jobs = [Job(video.stem, video, video) for video in videos.values()]

        # 2. The model, and the folder for its results
        pipeline = load(options)
        settings = settings_of(options, pipeline)
        start("reconstruction", jobs, pipeline, options, settings, None)

        # 3. This process's share of the videos
        state = join_processes(options)
        share = (state.process_index, state.num_processes)
        summary = generate(pipeline, jobs, options.out, settings, options.limit, share)
    except InputError as error:
        print(f"eval.reconstruct: {error}", file=sys.stderr)
        return 2
    return finish(options, summary)


def settings_of(options: argparse.Namespace, pipeline: MotionInterpPipeline) -> AnimationSettings:
    """One person and one scene: the driving pose as it is, and the background along with it."""
    background = options.background
    if background == "auto":
        background = "identity" if pipeline.background_predictor is None else "predicted"
    return AnimationSettings(
        mode="standard",
        size=network_size(options),
        strategy=options.strategy,
        t=options.t,
        background=background,
        batch_size=options.batch_size,
        diagnose=True,
    )


if __name__ == "__main__":
    sys.exit(main())
