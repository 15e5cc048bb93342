"""Reconstruct every test video from its first frame: ``python -m eval.reconstruct --model M --data ROOT --out DIR``.

Interrupted, it goes on where it was; started by ``accelerate launch``, each process takes its share. `python -m eval.metrics DIR`
measures the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from motion_core.command_line import CommandParser

from .generation import Job, add_options, make_videos
from .pairs.model import pair_settings
from .videos import find_videos


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 if a video could not be reconstructed, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.reconstruct", __doc__)
    add_options(parser, background=True)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> int:
    videos = find_videos(options.data / options.split)
    jobs = [Job(video.stem, video, video) for video in videos.values()]
    return make_videos(
        "reconstruction", jobs, options, lambda pipeline: pair_settings(pipeline, background=options.background)
    )


if __name__ == "__main__":
    sys.exit(main())
