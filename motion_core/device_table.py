"""A table of what a device does, to paste into a document: ``python -m motion_core.device_table``, for people with a GPU.

Published sizes with random weights, in each dtype, as they are and compiled, and the model of people that comes along; each at
several batch sizes, with how far its frames are from those of the processor in fp32.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from . import demo, media
from .backends.nearness import psnr
from .benchmark import Contestant, seconds_of
from .command_line import CommandParser
from .errors import InputError
from .hardware import DTYPES, choose_device
from .networks.tpsmm.blocks import Down, Residual, Same, Up
from .pipeline import MotionInterpPipeline

HEAD = (
    "| model | dtype | compiled | batch | ms a frame | frames/s | dB from the processor's fp32 |",
    "|---|---|---|---|---|---|---|",
)


def compile_blocks(pipeline: MotionInterpPipeline, backend: str = "inductor") -> None:
    """Compile the convolutional blocks of a pipeline of the published kind in place; splines and sampling stay as they are.

    Args:
        backend: of `torch.compile`.
    """
    for network in (pipeline.dense_motion_network, pipeline.image_generator):
        for module in network.modules():
            if isinstance(module, Same | Down | Up | Residual):
                module.compile(backend=backend)


@torch.inference_mode()
def rows(
    name: str,
    load: Callable[[], MotionInterpPipeline],
    device: torch.device,
    dtypes: Sequence[str],
    batches: Sequence[int],
    size: int,
    rounds: int,
    compilers: Sequence[str | None],
) -> list[str]:
    """The lines of one model.

    Args:
        load: gives it, in fp32 on the processor.
        size: side of its images.
        rounds: times that each is timed; the medians count.
        compilers: backends of `torch.compile`; None is none.
    """
    source = media.to_float(demo.source_picture(size)[None])
    driving = media.to_float(np.stack(demo.driving_frames(100, size)[: max(batches)]))
    wanted = Contestant(load(), "eager", source).frame(driving[:1])
    lines = []
    for dtype in dtypes:
        for compiler in compilers:
            pipeline = load()
            if compiler is not None:
                compile_blocks(pipeline, compiler)
            pipeline.to(device, DTYPES[dtype], silence_dtype_warnings=True)
            contestant = Contestant(pipeline, "eager", source)  # what there is on every device
            for batch in batches:
                animate = partial(contestant.frame, driving[:batch].to(device))
                near = psnr(animate()[:1].cpu(), wanted)  # warms up, and compiles
                seconds = statistics.median(seconds_of(animate, device) for _ in range(rounds)) / batch
                compiled = "no" if compiler is None else compiler
                lines.append(
                    f"| {name} | {dtype} | {compiled} | {batch} | {1e3 * seconds:.1f} | {1 / seconds:.1f} | "
                    f"{near:.1f} |"
                )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = CommandParser("python -m motion_core.device_table", "Print a table of what a device does.")
    parser.add_argument("--device", default="auto", help="auto (the best there is), cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16], help="frames at once")
    parser.add_argument("--size", type=int, default=256, help="side of the images")
    parser.add_argument("--rounds", type=int, default=10, help="times that each is timed; medians count")
    parser.add_argument("--compiler", default="inductor", help="of torch.compile; none leaves compiled rows out")
    parser.add_argument("--small", action="store_true", help="networks of a toy's size, to try the table itself")
    return parser.run(_print_table, arguments)


def _print_table(options: argparse.Namespace) -> None:
    if min(*options.batches, options.rounds) < 1:
        raise InputError(f"batches and rounds must be 1 or more, got {options.batches} and {options.rounds}")
    device = choose_device(options.device)
    widths, what = (demo.SMALL, "toy sizes") if options.small else (demo.PUBLISHED, "published sizes")
    compilers = [None] if options.compiler == "none" else [None, options.compiler]
    given = (device, options.dtypes, options.batches, options.size, options.rounds)
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}"
    print(f"{hardware}, torch {torch.__version__}, {options.size} x {options.size}\n")
    print("\n".join(HEAD))

    people = MotionInterpPipeline.from_pretrained()
    for line in rows(what, lambda: demo.random_pipeline(widths, options.size), *given, compilers):
        print(line)
    for line in rows("people", lambda: copy.deepcopy(people), *given, [None]):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
