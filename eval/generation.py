"""Making the videos that are measured: every video of a list, each whole or not at all, shared among processes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from tqdm import tqdm

from motion_core import AnimationSettings, MotionInterpPipeline, media
from motion_core.atomic import hidden_folder, put
from motion_core.errors import InputError
from motion_core.hardware import choose_device, choose_dtype
from motion_core.media.outputs import naming

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
    """How many videos of this process's share were made now, were there before, and failed (why, by name)."""

    made: int
    there: int
    failed: dict[str, str]


def generate(
    pipeline: MotionInterpPipeline,
    jobs: Sequence[Job],
    folder: Path,
    settings: AnimationSettings,
    limit: int | None = None,
    share: tuple[int, int] = (0, 1),
) -> Summary:
    """Make the videos of a list that are not there yet.

    Args:
        jobs: all videos.
        folder: from `start`; a video goes to ``videos/NAME``, an error of the data to ``failed/NAME.json``, and is tried again by
            the next call.
        limit: use this many frames of each driving video.
        share: (r, n): this is process r of n, and takes every n-th video.

    Raises:
        InputError: every video of this process's share failed; the message is the first one's.
    """
    failed: dict[str, str] = {}
    made = there = 0
    share_of_jobs = jobs[share[0] :: share[1]]
    for job in tqdm(share_of_jobs, desc="videos", disable=not sys.stderr.isatty()):
        if (folder / VIDEOS / job.name).is_dir():
            there += 1
            continue
        complaint = folder / FAILED / f"{job.name}.json"
        try:
            _write_video(pipeline, job, folder / VIDEOS, settings, limit)
        except InputError as error:
            failed[job.name] = str(error)
            write_json(complaint, {"error": str(error)})
            continue
        complaint.unlink(missing_ok=True)
        made += 1
    if failed and len(failed) == len(share_of_jobs):
        raise InputError(next(iter(failed.values())))
    return Summary(made, there, failed)


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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that reconstruction and animation have in common."""
    parser.add_argument("--model", required=True, help="a saved pipeline: folder or Hub id")
    parser.add_argument("--data", required=True, type=Path, help="the folder that holds the split")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the results; where it holds some, it goes on"
    )
    parser.add_argument("--split", default="test", help="folder with the videos (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="use this many frames of each driving video")
    parser.add_argument("--strategy", help="how the interpolated image is chosen, as in `motion_core animate`")
    parser.add_argument("--t", type=float, help="animate the interpolated image at this time in [0, 1]")
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="SIDE", help="side, or height and width, of the networks"
    )
    parser.add_argument("--batch-size", type=int, default=AnimationSettings.batch_size, help="frames computed together")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--dtype", default="float32", help="of the convolutions: float32 (default), bfloat16, auto")


def network_size(options: argparse.Namespace) -> int | tuple[int, int] | None:
    """The option --size as the settings have it; raises InputError for more than two numbers."""
    match options.size:
        case None:
            return None
        case [side]:
            return int(side)
        case [height, width]:
            return int(height), int(width)
    raise InputError(f"--size must be a side, or height and width, got {len(options.size)} numbers")


def join_processes(options: argparse.Namespace) -> PartialState:
    """Join the other processes, if a launcher started several.

    Raises:
        InputError: they do not find each other; each would do all of the work.
    """
    no_accelerator = options.device in ("auto", "cpu") and choose_device(options.device).type == "cpu"
    state = PartialState(cpu=no_accelerator or parse_flag_from_env("ACCELERATE_USE_CPU"))
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != state.num_processes:
        raise InputError(f"the launcher started {started} processes, but {state.num_processes} found each other")
    return state


def load(options: argparse.Namespace) -> MotionInterpPipeline:
    """The pipeline that the options name, on this process's device."""
    from diffusers.utils import logging

    if options.limit is not None and options.limit < 2:
        raise InputError(f"--limit must be 2 frames or more, got {options.limit}")
    state = join_processes(options)
    own = (
        options.device == "auto" and state.device.type != "cpu"
    )  # "cpu:0", as Accelerate calls it, rounds otherwise than "cpu"
    device = state.device if own else choose_device(options.device)
    logging.disable_progress_bar()
    pipeline = MotionInterpPipeline.from_pretrained(options.model, dtype=choose_dtype(device, options.dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def start(
    kind: Kind,
    jobs: Sequence[Job],
    pipeline: MotionInterpPipeline,
    options: argparse.Namespace,
    settings: AnimationSettings,
    pairs: str | None,
) -> None:
    """Claim the folder for results; every process does so, and writes the same.

    Raises:
        InputError: it holds something else, or the model cannot work at that size.
    """
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


def finish(options: argparse.Namespace, summary: Summary) -> int:
    """Print what this process did; the exit status is 1 if a video failed."""
    state = PartialState()
    who = f"process {state.process_index} of {state.num_processes}: " if state.num_processes > 1 else ""
    print(f"{who}{options.out}: {summary.made} made, {summary.there} were there already, {len(summary.failed)} failed")
    for name, error in summary.failed.items():
        print(f"  {name}: {error}", file=sys.stderr)
    return int(bool(summary.failed))
