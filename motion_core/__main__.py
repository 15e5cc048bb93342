"""The command line: ``python -m motion_core animate | interpolate | live | info | convert | export | benchmark``."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn, get_args

from . import commands
from .command_line import CommandParser
from .settings import AnimationSettings, Backend, Background, Fit, KeypointPath, Mode, OnDamage, OneEuro, Strategy
from .version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 with one line on stderr for input that cannot be used."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damage; if it matters, an error says so in one line
    # A closed terminal is SIGHUP, which Windows does not have.
    before = {
        number: signal.signal(number, _stop) for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number
    }
    try:
        return _parser().run(_run, arguments)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(options: argparse.Namespace) -> None:
    try:
        options.run(options)
    except KeyboardInterrupt:
        kept = getattr(options, "resume", False)
        left = "what is finished is kept for --resume" if kept else "nothing was left behind"
        raise KeyboardInterrupt(f"interrupted, {left}") from None


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """The signal leaves through the same clean-up as an exception."""
    raise SystemExit(128 + number)


def _whole(text: str, rule: str, separator: str, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Return whole numbers; as many of them as `counts` allows."""
    try:
        numbers = tuple(int(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        raise argparse.ArgumentTypeError(f"must be {rule}, got {text!r}")
    return numbers


def _crop(text: str) -> tuple[int, ...] | str:
    """subject, or TOP,LEFT,HEIGHT,WIDTH."""
    return text if text == "subject" else _whole(text, "subject, or TOP,LEFT,HEIGHT,WIDTH in pixels", ",", (4,))


def _size(text: str) -> int | tuple[int, ...]:
    """256, or 256x384 (height x width)."""
    sides = _whole(text.lower(), "a number of pixels, or HEIGHTxWIDTH", "x", (1, 2))
    return sides[0] if len(sides) == 1 else sides


def _subject(text: str) -> tuple[int, ...]:
    """X,Y."""
    return _whole(text, "X,Y in pixels", ",", (2,))


def _initial_frame(text: str) -> int | str:
    return text if text == "best" else _whole(text, "a frame's number, or best", ",", (1,))[0]


def _parser() -> CommandParser:
    parser = CommandParser(
        "python -m motion_core",
        "Animate the object in a picture with the motion of a video.",
        epilog="Each command has its own --help.",
    )
    parser.add_argument("--version", action="version", version=f"motion_core {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_animate(subparsers)
    _add_interpolate(subparsers)
    _add_live(subparsers)
    _add_info(subparsers)
    _add_convert(subparsers)
    _add_export(subparsers)
    _add_benchmark(subparsers)
    return parser


def _command(
    subparsers: Any, name: str, run: Callable[[argparse.Namespace], None], **texts: str
) -> argparse.ArgumentParser:
    summary = (run.__doc__ or "").strip().splitlines()[0]
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary, description=summary, **texts)
    parser.set_defaults(run=run)
    return parser


def _add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        default="auto",
        help="of the convolutions: auto (bfloat16 if the processor computes in it), float32, ...",
    )
    parser.add_argument(
        "--backend",
        choices=get_args(Backend),
        default="auto",
        help="what computes the networks; packed: faster on a processor, for models of the published kind, the same up to "
        "rounding; int8: packed with the widest convolutions in int8, where frames are 40 dB or more from packed ones; "
        "eager: as they were trained; auto: packed where it can be",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    text = "what to write: NAME.mp4, NAME.gif, or FOLDER/ for PNG files"
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help=text)
    parser.add_argument(
        "--no-provenance", action="store_true", help="do not say in the file that it is synthetic, and by which model"
    )


def _add_model(parser: argparse.ArgumentParser, without: str = "the one that comes with the package") -> None:
    parser.add_argument(
        "--model",
        metavar="FOLDER_OR_HUB_ID",
        help=f"a saved pipeline, e.g. from `convert`; without it, {without}",
    )
    parser.add_argument("--device", default="auto", help="auto (the best there is), cpu, cuda, cuda:N or mps")


def _add_animate(subparsers: Any) -> None:
    default = AnimationSettings()
    parser = _command(
        subparsers,
        "animate",
        commands.animate,
        epilog="Example: python -m motion_core animate me.jpg dance.mp4 -o out.mp4 --model my-model",
    )
    parser.add_argument("source", metavar="SOURCE", help="the picture: JPEG, PNG, WebP, ...; any size")
    parser.add_argument(
        "driving", metavar="DRIVING", help="the video whose motion it gets: mp4, mov, webm, GIF, or a folder of frames"
    )
    _add_output(parser)
    _add_model(parser)
    _add_dtype(parser)

    motion = parser.add_argument_group("motion")
    motion.add_argument(
        "--mode",
        choices=get_args(Mode),
        default=default.mode,
        help="relative: what moves in the video moves the picture, from the pose it has; pose: the picture takes the video's "
        "poses, in its own size and place; standard: with the video's size and place; avd: the video's pose in the picture's "
        "proportions, if the model can; auto: pose with models that know limbs, relative with others",
    )
    motion.add_argument(
        "--strength", type=float, default=default.strength, help="of the motion: 1 as in the video, less is calmer"
    )
    motion.add_argument(
        "--initial-frame",
        type=_initial_frame,
        metavar="N|best",
        default=default.initial_frame,
        help="for relative and pose: which frame of the video (from 0) has the picture's pose, or its size and place; best: the "
        "one with the nearest pose",
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

    parser.add_argument(
        "--scene",
        metavar="source|driving|transparent|FILE",
        default=default.scene,
        help="what is behind the person, for models of people: the picture's own background; the driving video, in which the "
        "person takes the place of the one who is there; nothing (OUT is NAME.webm, NAME.mov or FOLDER/); or any picture",
    )

    _add_hops(parser)
    _add_picture(parser)
    parser.add_argument(
        "--source-image",
        dest="source_images",
        metavar="FILE",
        action="append",
        default=[],
        help="one more picture of the subject, for models of variant v2; may be given several times",
    )
    video = parser.add_argument_group("driving video")
    video.add_argument("--start", type=float, metavar="SECONDS", help="use the video from here")
    video.add_argument("--end", type=float, metavar="SECONDS", help="use the video up to here")
    video.add_argument("--frame-rate", type=float, metavar="FPS", help="of a folder of frames (default: 25)")
    video.add_argument(
        "--on-damage",
        choices=get_args(OnDamage),
        default=default.on_damage,
        help="what becomes of frames that cannot be decoded; hold: the last good one is shown for them; skip: they are left out, "
        "with their sound, and so is the missing end of a file that was cut off; stop: no video is made",
    )

    result = parser.add_argument_group("result")
    result.add_argument(
        "--resume",
        action="store_true",
        help="keep what is finished if this is interrupted, in OUT.parts; the same command again goes on from there",
    )
    result.add_argument(
        "--preview",
        action="store_true",
        help="make only a few frames from all over the video, as one picture beside OUT: NAME.preview.png",
    )
    result.add_argument(
        "--compare", metavar="FILE.mp4", help="also write source, driving video and result side by side"
    )
    result.add_argument(
        "--diagnosis",
        metavar="FILE.json",
        help="also write what was chosen and measured for each frame: the interpolated image's time and the candidates' scores, "
        "motion before and after the hop, visibility, fold-over, keypoint error",
    )
    sound = result.add_mutually_exclusive_group()
    sound.add_argument("--no-audio", action="store_true", help="leave the video's sound out")
    sound.add_argument(
        "--audio-track",
        type=int,
        metavar="N",
        help="which of the video's sound tracks to take, from 0 (default: the one that players take)",
    )
    result.add_argument(
        "--batch-size",
        type=int,
        default=default.batch_size,
        help="frames computed together (default: the model's own choice)",
    )


def _add_hops(parser: argparse.ArgumentParser) -> None:
    default = AnimationSettings()
    hops = parser.add_argument_group(
        "interpolated image", "which image between the picture and the driving pose is animated instead of the picture"
    )
    choice = hops.add_mutually_exclusive_group()
    choice.add_argument(
        "--strategy",
        choices=get_args(Strategy),
        help="for models with a selector: learned (their default, if it was trained): by the scorer; analytic: by what is "
        "visible and the motion left; fixed: at the model's fixed time; images: by making all candidates, which takes several "
        "times as long; none: the picture itself",
    )
    choice.add_argument(
        "--t",
        type=float,
        metavar="T",
        help="instead of choosing, the one at this time from 0 (the picture) to 1; any model",
    )
    hops.add_argument(
        "--hysteresis",
        type=float,
        default=default.hysteresis,
        help="a frame keeps the time of the one before unless another's score is better by more than this",
    )
    hops.add_argument(
        "--hold",
        type=int,
        default=default.hold,
        metavar="FRAMES",
        help="that one interpolated image serves at most; 1: one is chosen and made for every frame, which takes longer",
    )
    _add_path(hops)


def _add_path(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--path",
        choices=get_args(KeypointPath),
        default=AnimationSettings.path,
        help="of the keypoints: straight lines, or turning as rigid groups, so that a swinging limb does not shrink",
    )


def _add_interpolate(subparsers: Any) -> None:
    parser = _command(subparsers, "interpolate", commands.interpolate)
    parser.add_argument("source", metavar="A", help="the picture that is moved")
    parser.add_argument("driving", metavar="B", help="the picture whose pose it moves to; it may show somebody else")
    _add_output(parser)
    times = parser.add_mutually_exclusive_group()
    times.add_argument(
        "--num", type=int, default=9, help="images in equal steps from A (t = 0) to the pose of B (t = 1)"
    )
    times.add_argument("--times", type=float, nargs="+", metavar="T", help="instead, images at these times")
    _add_path(parser)
    parser.add_argument("--mode", choices=["standard", "avd"], default="standard", help="as for `animate`")
    parser.add_argument(
        "--background", choices=get_args(Background), default=AnimationSettings.background, help="as for `animate`"
    )
    parser.add_argument("--frame-rate", type=float, default=12.0, metavar="FPS", help="of the mp4 or GIF")
    _add_model(parser)
    _add_dtype(parser)
    _add_picture(parser)


def _add_picture(parser: argparse.ArgumentParser) -> None:
    default = AnimationSettings()
    picture = parser.add_argument_group("picture")
    picture.add_argument(
        "--size",
        type=_size,
        metavar="N|HxW",
        help="size at which the networks work (default: the model's own, or for models of people that of the animated part, "
        "which keeps its pixels)",
    )
    picture.add_argument(
        "--fit",
        choices=get_args(Fit),
        default=default.fit,
        help="for other shapes: pad keeps all of the picture and its aspect, crop uses the middle, stretch distorts",
    )
    picture.add_argument(
        "--crop",
        type=_crop,
        metavar="subject|T,L,H,W",
        help="animate this part only: the subject that the model finds, or top, left, height and width in pixels (default: "
        "all, or for models of people the part that the person needs, which is put back into the picture)",
    )
    picture.add_argument(
        "--subject",
        type=_subject,
        metavar="X,Y",
        help="of several people, the one at this place in the picture, in pixels (default: the largest)",
    )
    picture.add_argument(
        "--paste-back",
        action="store_true",
        help="put the animated part back into the picture, so that the video has the picture's size",
    )
    picture.add_argument(
        "--feather", type=float, default=default.feather, help="softness of the part's edge there, 0 to 0.5"
    )
    picture.add_argument("--matte", default=default.matte, help="colour behind transparent pictures: a name or #rrggbb")
    picture.add_argument(
        "--max-pixels", type=int, metavar="N", help="refuse larger pictures (default: 64 million pixels)"
    )


def _add_live(subparsers: Any) -> None:
    parser = _command(
        subparsers,
        "live",
        commands.live,
        epilog="Keys: q or Esc ends it; with r, the next pose counts as the picture's.",
    )
    parser.add_argument("source", metavar="SOURCE", help="the picture")
    parser.add_argument(
        "--camera", metavar="N|FILE", default="0", help="the camera's number, or a video that plays again and again"
    )
    parser.add_argument(
        "--virtual-camera", action="store_true", help="also be a camera for other programs (needs pyvirtualcam)"
    )
    parser.add_argument("--no-window", action="store_true", help="show no window, which needs opencv-python")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after this time, and say how fast it was")
    _add_model(parser)
    _add_dtype(parser)
    motion = parser.add_argument_group("motion")
    motion.add_argument("--mode", choices=get_args(Mode), default=AnimationSettings.mode, help="as for `animate`")
    motion.add_argument("--strength", type=float, default=AnimationSettings.strength, help="as for `animate`")
    motion.add_argument(
        "--smooth",
        dest="smoothing",
        type=float,
        default=OneEuro.min_cutoff,
        metavar="HZ",
        help="make still parts tremble less; lower is smoother",
    )
    _add_picture(parser)


def _add_info(subparsers: Any) -> None:
    parser = _command(subparsers, "info", commands.info)
    parser.add_argument("file", metavar="FILE", help="a picture, a video, a folder of frames, or a saved pipeline")
    _add_model(parser)
    _add_picture(parser)
    parser.add_argument("--preview", metavar="FILE.png", help="write the picture with the part that is used outlined")


def _add_convert(subparsers: Any) -> None:
    parser = _command(subparsers, "convert", commands.convert)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a published file such as vox.pth.tar; nothing in it is executed"
    )
    parser.add_argument("output", metavar="OUT_FOLDER", help="the folder to make")
    parser.add_argument(
        "--size", type=int, default=256, help="side of the images it was trained on, which the file does not tell"
    )


def _add_export(subparsers: Any) -> None:
    parser = _command(subparsers, "export", commands.export)
    parser.add_argument("model", metavar="MODEL", help="a saved pipeline: a folder or a Hub id")
    parser.add_argument("output", metavar="OUT_FOLDER", help="the folder to make")
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="of the graphs")
    parser.add_argument("--size", type=_size, metavar="N|HxW", help="of the images; without it, the model's own")


def _add_benchmark(subparsers: Any) -> None:
    parser = _command(subparsers, "benchmark", commands.benchmark)
    _add_model(parser, "networks of the published sizes with random weights")
    parser.add_argument(
        "--dtypes", nargs="+", default=["float32", "bfloat16"], help="the first is the reference of the others"
    )
    parser.add_argument("--size", type=int, default=256, help="side of the images")
    parser.add_argument("--frames", type=int, default=8, help="driving frames whose accuracy is compared")
    parser.add_argument(
        "--memory", action="store_true", help="instead, print the peak memory of a short and of a longer animation"
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="instead, print what the variants and strategies cost beside the plain backbone",
    )
    parser.add_argument("--rounds", type=int, default=5, help="times that each thing is timed; medians count")
    parser.add_argument(
        "--threads", type=int, nargs="+", metavar="N", help="of the processor, with a table for each (default: 1 2)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="driving frames computed together, with a table for each",
    )
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=["packed", "int8"],
        default=["packed", "int8"],
        help="to compare with the eager one",
    )
    parser.add_argument("--source", metavar="PICTURE", help="to measure with; without it, a drawn figure")
    parser.add_argument("--driving", metavar="VIDEO", help="whose first frames it is measured with")
    parser.add_argument(
        "--chart", metavar="FILE.png", help="also draw the stages' milliseconds there (needs matplotlib)"
    )


if __name__ == "__main__":
    sys.exit(main())
