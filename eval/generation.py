"""The videos that are measured are made: every video of a list, each whole or not at all, shared among processes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

from motion_core import AnimationSettings, MotionInterpPipeline, media
from motion_core.atomic import hidden_folder, put
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.hardware import choose_device
from motion_core.media.paths import naming

from .options import add_animation, add_data, add_device, load_pipeline
from .runs import FAILED, FRAMES, RESULT, VIDEOS, Kind, Result, Run, claim, write_json
from .videos import FrameSequence, VideoFile, first_frame


@dataclass(frozen=True)
class Job:
    """One video to make: the first frame of `source`, moved by `driving`."""

    name: str
    source: VideoFile
    driving: VideoFile


@dataclass(frozen=True)
class Summary:
    """The videos of this process's share: how many were made now and were present before, and why others failed, by name."""

    made: int
    present: int
    failed: dict[str, str]


def generate(
    pipeline: MotionInterpPipeline,
    jobs: Sequence[Job],
    folder: Path,
    settings: AnimationSettings,
    limit: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Summary:
    """Make the videos of a list that are missing.

    Args:
        jobs: all videos.
        folder: claimed for this run; a video goes to ``videos/NAME``, an error of the data to ``failed/NAME.json``, and is
            tried again by the next call.
        limit: use this many frames of each driving video.
        share: (r, n): this is process r of n, and takes every n-th video.

    Raises:
        InputError: every video of this process's share failed; the message is the first one's.
    """
    failed: dict[str, str] = {}
    made = present = 0
    share_of_jobs = jobs[share[0] :: share[1]]
    for job in tqdm(share_of_jobs, desc="videos", disable=not sys.stderr.isatty()):
        if (folder / VIDEOS / job.name).is_dir():
            present += 1
            continue
        report = folder / FAILED / f"{job.name}.json"
        try:
            _write_video(pipeline, job, folder / VIDEOS, settings, limit)
        except InputError as error:
            failed[job.name] = str(error)
            write_json(report, {"error": str(error)})
            continue
        report.unlink(missing_ok=True)
        made += 1
    if failed and len(failed) == len(share_of_jobs):
        raise InputError(next(iter(failed.values())))
    return Summary(made, present, failed)


def _write_video(
    pipeline: MotionInterpPipeline, job: Job, folder: Path, settings: AnimationSettings, limit: int | None
) -> None:
    """Write one video's folder under a hidden name, and give it its own when all is there."""
    began = time.perf_counter()
    frames = FrameSequence(media.open_frames(job.driving.path), limit)
    animation = pipeline.stream(first_frame(job.source.path), frames, settings)
    with ExitStack() as opened:
        with naming(folder / job.name):
            folder.mkdir(parents=True, exist_ok=True)
            partial = opened.enter_context(hidden_folder(folder)) / "made"
            partial.mkdir()
        records = []
        with media.VideoWriter(f"{partial / FRAMES}/", 25, metadata=media.provenance(pipeline.model_name)) as writer:
            for frame in animation:
                writer.write(frame.image)
                records.append(frame.record())
        result = Result(
            source=job.source.name,
            driving=job.driving.name,
            frames=writer.frame_count,
            network_size=animation.placement.network_size,
            fit=settings.fit,
            initial_frame=int(settings.initial_frame),
            seconds=round(time.perf_counter() - began, 3),
            records=records,
        )
        write_json(partial / RESULT, asdict(result))
        with naming(folder / job.name):
            put(partial, folder / job.name)


def add_options(parser: CommandParser, background: bool) -> None:
    """Add the options that reconstruction and animation have in common."""
    parser.add_argument("--model", required=True, help="a saved pipeline: folder or Hub id")
    add_data(parser)
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the results; where it holds some, it goes on"
    )
    parser.add_argument("--limit", type=int, help="use this many frames of each driving video")
    add_animation(parser, background=background)
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="SIDE", help="side, or height and width, of the networks"
    )
    parser.add_argument("--batch-size", type=int, default=AnimationSettings.batch_size, help="frames computed together")
    add_device(parser)


def make_videos(
    kind: Kind,
    jobs: Sequence[Job],
    options: argparse.Namespace,
    settings_for: Callable[[MotionInterpPipeline], AnimationSettings],
    pairs: str | None = None,
) -> int:
    """Make this process's share of the videos, with the model and into the folder that the options name.

    Args:
        settings_for: the settings for the model; `size`, `strategy`, `t`, `batch_size` and `diagnose` are set here.
        pairs: the file of the list, for animations.

    Returns:
        The exit status: 1 if a video failed.

    Raises:
        InputError: the model, the settings or the folder cannot be used, or every video failed.
    """
    # 1. The model
    if options.limit is not None and options.limit < 2:
        raise InputError(f"--limit must be 2 frames or more, got {options.limit}")
    state = join_processes(options.device)
    # "cpu:0", as Accelerate calls it, rounds otherwise than "cpu".
    own = options.device == "auto" and state.device.type != "cpu"
    pipeline = load_pipeline(options.model, state.device if own else options.device, options.dtype)
    settings = replace(
        settings_for(pipeline),
        size=network_size(options.size),
        strategy=options.strategy,
        t=options.t,
        batch_size=options.batch_size,
        diagnose=True,
    )

    # 2. The folder; every process claims it, and writes the same
    pipeline.network_size(settings)
    run = Run(
        kind=kind,
        model=pipeline.model_name,
        variant=pipeline.config["variant"],
        weights=pipeline.weights_digest(),
        data=str(options.data.resolve()),
        split=options.split,
        pairs=pairs,
        videos=[job.name for job in jobs],
        limit=options.limit,
        settings=asdict(settings),
        dtype=str(pipeline.dtype).removeprefix("torch."),
    )
    claim(options.out, run)

    # 3. The videos
    share = (state.process_index, state.num_processes)
    summary = generate(pipeline, jobs, options.out, settings, options.limit, share)
    who = f"process {share[0]} of {share[1]}: " if share[1] > 1 else ""
    print(
        f"{who}{options.out}: {summary.made} made, {summary.present} were there already, {len(summary.failed)} failed"
    )
    for name, error in summary.failed.items():
        print(f"  {name}: {error}", file=sys.stderr)
    return int(bool(summary.failed))


def network_size(given: Sequence[int] | None) -> int | tuple[int, int] | None:
    """The option --size as the settings have it; raises InputError for more than two numbers."""
    match given:
        case None:
            return None
        case [side]:
            return side
        case [height, width]:
            return height, width
    raise InputError(f"--size must be a side, or height and width, got {len(given)} numbers")


def join_processes(device: str) -> PartialState:
    """Join the other processes, if a launcher started several.

    Raises:
        InputError: they do not find each other; each would do all of the work.
    """
    no_accelerator = device in ("auto", "cpu") and choose_device(device).type == "cpu"
    state = PartialState(cpu=no_accelerator or parse_flag_from_env("ACCELERATE_USE_CPU"))
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != state.num_processes:
        raise InputError(f"the launcher started {started} processes, but {state.num_processes} found each other")
    return state
