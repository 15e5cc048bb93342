"""Renders a data set of people.

python -m eval.rendered_people.render --out ROOT --split test --identities 20 --clips 4 --seed 0
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import cache, partial
from pathlib import Path

import numpy as np

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import VideoWriter

from .annotations import annotate, folder_of, pairs_file, scenes_of, write_annotations
from .camera import ROAMING
from .clip import SPLITS, Plan, Studio
from .pairs import Pair, draw_pairs, with_quartiles, write_pairs

_PAIRS = 2  # a stream of random numbers, after those of `clip`
Job = tuple[int, int]  # numbers of a person and of a clip
studio_of = cache(Studio)  # one in each process


def render_clip(plan: Plan, root: Path, job: Job, *, png: bool, pairs: int) -> list[Pair]:
    """Render one clip, write its video, its scene and its annotations, and return pairs of its frames."""
    shot = studio_of(plan).shot(*job)
    video = shot.name if png else f"{shot.name}.mp4"
    videos, scenes = (
        VideoWriter(f"{folder / video}{os.sep * png}", plan.rate)
        for folder in (root / plan.split, scenes_of(root, plan.split))
    )
    renderer, seen = shot.renderer(), []
    with videos, scenes:
        for frame in range(plan.frames):
            picture, faces = renderer.frame(frame)
            videos.write(picture)
            scenes.write(renderer.scene(frame))
            seen.append(faces)
    annotations = annotate(shot, np.stack(seen))
    write_annotations(root, plan, annotations, video)
    return draw_pairs(annotations, video, pairs, plan.random(job[0], _PAIRS, job[1]))


def render_split(
    plan: Plan, root: Path, identities: int, clips: int, *, png: bool = False, workers: int = 1, pairs: int = 8
) -> int:
    """Render the clips of a split, write its pairs, and return how many frames were made.

    Raises:
        InputError: an argument is out of range, or the split's folder has something in it.
    """
    for name, value in (("identities", identities), ("clips", clips), ("workers", workers), ("pairs", pairs)):
        if value < 1:
            raise InputError(f"{name}: must be at least 1, got {value}")
    studio_of(plan)  # files that cannot be read are reported here rather than by a worker
    for folder in (root / plan.split, folder_of(root, plan.split), scenes_of(root, plan.split)):
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"out: {folder} must be empty or not be there, but has files in it")
        folder.mkdir(parents=True, exist_ok=True)
    jobs = [(identity, clip) for identity in range(identities) for clip in range(clips)]
    drawn: list[Pair] = []
    for number, found in enumerate(_rendered(partial(render_clip, plan, root, png=png, pairs=pairs), jobs, workers), 1):
        drawn += found
        print(f"\r{number} of {len(jobs)} clips", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    write_pairs(pairs_file(root, plan.split), with_quartiles(drawn))
    return len(jobs) * plan.frames


def _rendered(render: Callable[[Job], list[Pair]], jobs: Sequence[Job], workers: int) -> Iterator[list[Pair]]:
    if workers == 1:
        yield from map(render, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(render, jobs)


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide what people look like, how they move and how they are seen."""
    add = parser.add_argument
    add("--split", required=True, choices=SPLITS)
    add("--seed", required=True, type=int, help="the same seed gives the same clips")
    add("--motion", type=Path, help="npz file with motion capture (see docs/benchmark.md) instead of random movements")
    add("--body", type=Path, help="npz file with a body to dress instead of simple bodies")
    photos = "photos (JPEG, PNG) in front of which people are in half of the clips"
    add("--places", type=Path, metavar="FOLDER", help=photos)
    add("--frames", type=int, default=Plan.frames, help="of a clip")
    add("--rate", type=int, default=Plan.rate, help="frames a second")
    add("--size", type=int, default=Plan.size, help="side of the pictures")
    roaming = f"that a person may go before the camera follows ({ROAMING[0]}, --near: {ROAMING[1]}); with less, people are larger"
    add("--roaming", type=float, metavar="METRES", help=roaming)
    near = "cameras in front of people, who fill the picture: 0.75 to 0.95 of its height when standing"
    add("--near", action="store_true", help=near)


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that the options of `add_plan_options` say; raises InputError if one is out of range."""
    return Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = CommandParser("python -m eval.rendered_people.render", __doc__)
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="ROOT", help="for SPLIT, scenes/SPLIT and annotations/SPLIT")
    add("--identities", required=True, type=int, help="how many people")
    add("--clips", required=True, type=int, help="how many clips of each")
    add_plan_options(parser)
    add("--png", action="store_true", help="folders of PNG files instead of MP4: exact pictures, larger files")
    add("--pairs", type=int, default=8, help="pairs for evaluation from each clip")
    add("--workers", type=int, default=1, help="processes; the result does not depend on it")
    return parser.run(_render, arguments)


def _render(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    how = {"png": options.png, "workers": options.workers, "pairs": options.pairs}
    frames = render_split(plan_of(options), options.out, options.identities, options.clips, **how)
    seconds = time.perf_counter() - began
    print(f"{frames} frames in {seconds:.0f} s, {frames / seconds:.1f} a second: {options.out / options.split}")


if __name__ == "__main__":
    sys.exit(main())
