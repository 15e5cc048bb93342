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
from motion_core.video_folders import VideoFile

from .options import add_animation, add_data, add_device, load_pipeline
from .runs import FAILED, FRAMES, RESULT, VIDEOS, Kind, Result, Run, claim, write_json
from .videos import FrameSequence, first_frame


@dataclass(frozen=True)
class Job:
    """One video to make: the first frame of `source`, moved by `driving`."""

    name: str
    source: VideoFile
    driving: VideoFile


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

    A video goes to ``videos/NAME``, an error of the data to ``failed/NAME.json``, and is tried again by the next call.

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
    if options.size is not None and len(options.size) > 2:
        raise InputError(f"--size must be a side, or height and width, got {len(options.size)} numbers")
    state = join_processes(options.device)
    # "cpu:0", as Accelerate calls it, rounds otherwise than "cpu".
    own = options.device == "auto" and state.device.type != "cpu"
    pipeline = load_pipeline(options.model, state.device if own else options.device, options.dtype)
    settings = replace(
        settings_for(pipeline),
        size=options.size and (options.size[0] if len(options.size) == 1 else tuple(options.size)),
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
    rank, processes = state.process_index, state.num_processes
    own = jobs[rank::processes]
    missing = [job for job in own if not (options.out / VIDEOS / job.name).is_dir()]
    failed: dict[str, str] = {}
    for job in tqdm(missing, desc="videos", disable=not sys.stderr.isatty()):
        complaint = options.out / FAILED / f"{job.name}.json"
        try:
            _write_video(pipeline, job, options.out / VIDEOS, settings, options.limit)
            complaint.unlink(missing_ok=True)
        except InputError as error:
            failed[job.name] = str(error)
            write_json(complaint, {"error": str(error)})
    if failed and len(failed) == len(own):
        raise InputError(next(iter(failed.values())))
    made, present = len(missing) - len(failed), len(own) - len(missing)
    who = f"process {rank} of {processes}: " if processes > 1 else ""
    print(f"{who}{options.out}: {made} made, {present} were there already, {len(failed)} failed")
    for name, reason in failed.items():
        print(f"  {name}: {reason}", file=sys.stderr)
    return int(bool(failed))


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
