"""The command line: ``python -m motion_core animate | convert | benchmark | demo``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from .errors import InputError
from .settings import AnimationSettings, Background, Fit, Mode, OneEuro
from .version import __version__

if TYPE_CHECKING:
    from .pipeline import MotionInterpPipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 with one line on stderr for input that cannot be used."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        options.run(options)
    except InputError as error:
        print(f"motion_core: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("motion_core: interrupted, nothing was left behind", file=sys.stderr)
        return 130
    return 0


def animate(options: argparse.Namespace) -> None:
    """Animate a picture with the motion of a video."""
    from . import media

    media.check_output(options.output)
    settings = _settings(options)
    pipeline = _load(options)
    animation = pipeline.stream(options.source, options.driving, settings)
    print(f"{options.source}: {animation.placement.describe()}", file=sys.stderr)
    count = 0
    with animation.writer(options.output, audio=not options.no_audio, provenance=not options.no_provenance) as writer:
        for frame in animation:
            writer.write(frame.image)
            count += 1
    height, width = animation.frame_size
    print(f"{options.output}: {count} frames, {width} x {height}, {float(animation.frame_rate):.3f} frames/s")


def convert(options: argparse.Namespace) -> None:
    """Turn a published TPSMM checkpoint into a saved pipeline."""
    from .checkpoint_conversion import convert as convert_networks
    from .checkpoint_conversion import read_checkpoint
    from .pipeline import MotionInterpPipeline
    from .saved_pipeline import check_target, save_whole

    check_target(options.output)
    networks = convert_networks(read_checkpoint(options.checkpoint))
    pipeline = MotionInterpPipeline(
        **{part.name: getattr(networks, part.name) for part in fields(networks)}, image_size=options.size
    )
    save_whole(pipeline, options.output)
    motion = networks.dense_motion_network.config
    missing = [name for name in ("avd_network", "background_predictor") if getattr(networks, name) is None]
    print(
        f"{options.output}: {motion['num_splines']} splines of {motion['points_per_spline']} points, "
        f"{motion['num_masks']} occlusion mask(s), widths {motion['block_expansion']} to {motion['max_features']}, images of {options.size} x {options.size}"
        + (f"; without {' and '.join(missing)}" if missing else "")
    )


def benchmark(options: argparse.Namespace) -> None:
    """Print speed, share of the convolution ceiling and accuracy, per dtype."""
    import torch

    from . import demo
    from .benchmark import PUBLISHED_GMACS, measure, report
    from .hardware import DTYPES, choose_device

    device = choose_device(options.device)
    dtypes = [DTYPES[name] for name in options.dtypes]

    def load(dtype: torch.dtype) -> MotionInterpPipeline:
        if options.model is None:
            pipeline = demo.random_pipeline(demo.PUBLISHED, options.size)
            pipeline.to(device, dtype, silence_dtype_warnings=True)
            return pipeline
        return _load(options, dtype=dtype)

    if options.model is None:
        print("model: the published sizes (10 splines, widths 64 to 512 and 1024) with random weights")
    source, frames = demo.source_picture(options.size), demo.driving_frames(options.frames, options.size)
    results = measure(load, source, frames, dtypes, options.rounds)
    print(report(results, device, (options.size, options.size)))
    print(
        f"for comparison: the published program needs {PUBLISHED_GMACS} GMACs per frame at 256 x 256, at its published sizes"
    )


def run_demo(options: argparse.Namespace) -> None:
    """Animate a picture and a video that the program draws itself."""
    from . import demo, media

    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    source, driving, result = folder / "source.png", folder / "driving.mp4", folder / "animated.mp4"
    media.save_image(source, demo.source_picture())
    with media.VideoWriter(driving, 24) as writer:
        for frame in demo.driving_frames(options.frames):
            writer.write(frame)
    print(f"drew {source} and {driving}")
    main(["animate", str(source), str(driving), "-o", str(result)])


def _load(options: argparse.Namespace, dtype: Any = None) -> MotionInterpPipeline:
    """The pipeline that the options name, on their device."""
    from . import demo
    from .hardware import choose_device, choose_dtype
    from .pipeline import MotionInterpPipeline

    device = choose_device(options.device)
    dtype = dtype or choose_dtype(device, options.dtype)
    if options.model is None:
        print(demo.RANDOM_WEIGHTS_NOTICE, file=sys.stderr)
        pipeline = demo.random_pipeline()
        return pipeline.to(device, dtype, silence_dtype_warnings=True)
    pipeline = MotionInterpPipeline.from_pretrained(options.model, dtype=dtype)
    return pipeline.to(device)


def _settings(options: argparse.Namespace) -> AnimationSettings:
    given = {
        field.name: getattr(options, field.name) for field in fields(AnimationSettings) if hasattr(options, field.name)
    }
    if given["smoothing"] is not None:
        given["smoothing"] = OneEuro(min_cutoff=given["smoothing"])
    return AnimationSettings(**given)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM leaves through the same clean-up as an exception."""
    raise SystemExit(128 + number)


def _size(text: str) -> int | tuple[int, int]:
    """256, or 256x384 (height x width)."""
    parts = [int(part) for part in text.lower().split("x")]
    if len(parts) > 2:
        raise ValueError(text)
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _initial_frame(text: str) -> int | str:
    return text if text == "best" else int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m motion_core",
        description="Animate the object in a picture with the motion of a video.",
        epilog="Each command has its own --help.",
    )
    parser.add_argument("--version", action="version", version=f"motion_core {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_animate(commands)
    _add_convert(commands)
    _add_benchmark(commands)
    _add_demo(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], **texts: str
) -> argparse.ArgumentParser:
    summary = (run.__doc__ or "").strip().splitlines()[0]
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **texts
    )
    parser.set_defaults(run=run)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="FOLDER_OR_HUB_ID",
        help="a saved pipeline, e.g. from `convert`; without it, a small one of random weights, which makes nonsense",
    )
    parser.add_argument("--device", default="auto", help="auto (the best there is), cpu, cuda, cuda:N or mps")


def _add_animate(commands: Any) -> None:
    default = AnimationSettings()
    parser = _command(
        commands,
        "animate",
        animate,
        epilog="Example: python -m motion_core animate me.jpg dance.mp4 -o out.mp4 --model my-model",
    )
    parser.add_argument("source", metavar="SOURCE", help="the picture: JPEG, PNG, WebP, ...; any size")
    parser.add_argument(
        "driving", metavar="DRIVING", help="the video whose motion it gets: mp4, mov, webm, GIF, or a folder of frames"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="what to write: NAME.mp4, NAME.gif, or FOLDER/ for PNG files",
    )
    _add_model(parser)
    parser.add_argument(
        "--dtype",
        default="auto",
        help="of the convolutions: auto (bfloat16 if the processor computes in it), float32, ...",
    )

    motion = parser.add_argument_group("motion")
    motion.add_argument(
        "--mode",
        choices=get_args(Mode),
        default=default.mode,
        help="relative: what moves in the video moves the picture, from the pose it has; standard: the picture takes the video's "
        "pose, place and proportions; avd: the video's pose in the picture's proportions, if the model can",
    )
    motion.add_argument(
        "--strength", type=float, default=default.strength, help="of the motion: 1 as in the video, less is calmer"
    )
    motion.add_argument(
        "--initial-frame",
        type=_initial_frame,
        metavar="N|best",
        default=default.initial_frame,
        help="for relative: which frame of the video (from 0) has the picture's pose; best: find it",
    )
    motion.add_argument(
        "--smooth",
        dest="smoothing",
        type=float,
        nargs="?",
        const=OneEuro.min_cutoff,
        metavar="HZ",
        help=f"make still parts tremble less; lower is smoother ({OneEuro.min_cutoff} if no number is given)",
    )
    motion.add_argument(
        "--background",
        choices=get_args(Background),
        default=default.background,
        help="predicted: the background moves as in the video, for a video of the same scene",
    )

    shape = parser.add_argument_group("picture and video")
    shape.add_argument(
        "--size", type=_size, metavar="N|HxW", help="size at which the networks work (default: the model's own)"
    )
    shape.add_argument(
        "--fit",
        choices=get_args(Fit),
        default=default.fit,
        help="for other shapes: pad keeps all of the picture and its aspect, crop uses the middle, stretch distorts",
    )
    shape.add_argument("--start", type=float, metavar="SECONDS", help="use the video from here")
    shape.add_argument("--end", type=float, metavar="SECONDS", help="use the video up to here")
    shape.add_argument("--frame-rate", type=float, metavar="FPS", help="of a folder of frames (default: 25)")
    shape.add_argument(
        "--batch-size", type=int, default=default.batch_size, help="frames computed together; more pays on a GPU"
    )
    shape.add_argument("--no-audio", action="store_true", help="leave the video's sound out")
    shape.add_argument(
        "--no-provenance", action="store_true", help="do not say in the file that it is synthetic, and by which model"
    )


def _add_convert(commands: Any) -> None:
    parser = _command(commands, "convert", convert)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a published file such as vox.pth.tar; nothing in it is executed"
    )
    parser.add_argument("output", metavar="OUT_FOLDER", help="the folder to make")
    parser.add_argument(
        "--size", type=int, default=256, help="side of the images it was trained on, which the file does not tell"
    )


def _add_benchmark(commands: Any) -> None:
    parser = _command(commands, "benchmark", benchmark)
    _add_model(parser)
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "bfloat16"], help="the first is the reference of the others"
    )
    parser.add_argument("--size", type=int, default=256, help="side of the images")
    parser.add_argument("--frames", type=int, default=8, help="driving frames whose accuracy is compared")
    parser.add_argument("--rounds", type=int, default=5, help="times that each thing is timed; medians count")


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", run_demo)
    parser.add_argument("-o", "--output", default="demo", help="folder for the pictures and videos")
    parser.add_argument("--frames", type=int, default=48, help="length of the video it draws")


if __name__ == "__main__":
    sys.exit(main())
