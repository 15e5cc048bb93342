"""Bad input: one line that names the thing and the rule, status 2, a ValueError in Python, and nothing left behind.

``python tests/test_bad_input.py`` prints what becomes of every case as a table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import av
import media_files as files
import numpy as np
import pytest
import torch
from PIL import Image
from subcases import each_case

if __name__ == "__main__":  # as a program, also where the package is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from motion_core import InputError, MotionInterpPipeline, commands, demo, media
from motion_core.__main__ import main
from motion_core.transfer import Composed, MotionTransfer

SIZE = 128  # of the networks' image
BASE = ("--size", str(SIZE), "--device", "cpu", "--dtype", "float32")
NOTICES = ("frames:",)  # besides errors, what `animate` writes to stderr
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
LONG = "x" * 300  # longer than file systems take

Maker = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """Something that a user gives, and what it must say.

    Attributes:
        name: of the row in the table.
        thing: how the message must begin; {source}, {driving}, {output} and {folder} stand for the paths.
        rule: what the message must contain.
        source, driving: make the input in a folder, and return its path, or for Python alone an array or a tensor; None is
            a good one.
        output: what to write, in the case's empty folder "out", where it is not absolute.
        options: settings that are given, under their names in Python.
        extra: options of the command line that Python does not have.
        python: "save": what Python does with them is the same, and its message too; otherwise what its message must
            contain instead; None: it has no such thing.
        command: whether the command line can be given this.
        at_frame: what happens to the driving video and the output folder while the second frame is made.
        room: what is left on the disk of the output folder, in kB; None is plenty.
        info: whether `info` must refuse the file too.
    """

    name: str
    thing: str
    rule: str
    source: Maker | None = None
    driving: Maker | None = None
    output: str = "out.mp4"
    options: dict[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    python: str | None = "save"
    command: bool = True
    at_frame: Callable[[Path], None] | None = None
    room: int | None = None
    info: bool = False


# Files


def once(make: Callable[..., Path]) -> Callable[..., Path]:
    """`make` writes a file into a folder; what it wrote the first time is copied from then on."""
    made: dict[str, tuple[str, bytes]] = {}

    @wraps(make)
    def copied(folder: Path, *given: Any, **options: Any) -> Path:
        key = repr((given, options))
        if key not in made:
            path = make(folder, *given, **options)
            made[key] = (path.name, path.read_bytes())
        name, data = made[key]
        return bytes_in(name, data, folder)

    return copied


@once
def good_picture(folder: Path) -> Path:
    media.save_image(folder / "me.png", demo.source_picture(SIZE))
    return folder / "me.png"


@once
def good_video(folder: Path, name: str = "dance.mp4", count: int = 6) -> Path:
    return files.write_video(folder / name, count)


@once
def large_video(folder: Path, crf: int = 23, **options: Any) -> Path:
    """12 frames of 160 x 128."""
    coding = {"g": "3", "crf": str(crf)}
    return files.write_video(folder / "dance.mp4", 12, frame=files.textured, options=coding, **options)


def named(name: str, folder: Path) -> Path:
    """A name under which there is nothing."""
    return folder / name


def bytes_in(name: str, data: bytes, folder: Path) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def text_in(name: str, folder: Path) -> Path:
    return bytes_in(name, b"This is no film.\n" * 100, folder)


def folder_with(names: tuple[str, ...], folder: Path) -> Path:
    (folder / "given").mkdir()
    for name in names:
        media.save_image(folder / "given" / name, demo.source_picture(SIZE))
    return folder / "given"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(name: str, width: int, height: int, folder: Path) -> Path:
    """A black and white PNG of that size, so says its header; its data are missing."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return bytes_in(name, b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""), folder)


@once
def png_bomb(folder: Path) -> Path:
    """A kilobyte or so that unpacks to 100 MB of text beside a small picture."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
    data = b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", zlib.compress(bytes(20))) + chunk(b"IEND", b"")
    return bytes_in("bomb.png", data, folder)


def ico_bomb(folder: Path) -> Path:
    """An icon that says 256 x 256 and holds a PNG of 40000 x 40000."""
    inner = png_header("inner.png", 40000, 40000, folder)
    data = inner.read_bytes()
    inner.unlink()
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(data), 22)
    return bytes_in("bomb.ico", struct.pack("<HHH", 0, 1, 1) + entry + data, folder)


def gif_bomb(folder: Path) -> Path:
    """A GIF of 10 x 10 whose second frame is 60000 x 60000, in 60 bytes."""
    head = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
    Image.new("P", (10, 10)).save(folder / "small.gif")
    small = (folder / "small.gif").read_bytes()
    (folder / "small.gif").unlink()
    picture = small[small.index(b"\x2c\0\0\0\0") + 10 : -1]
    frames = [b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + picture for side in (10, 60000)]
    return bytes_in("bomb.gif", head + b"".join(frames) + b";", folder)


def raw_video_bomb(folder: Path) -> Path:
    """An AVI of 60 kilobytes whose frames are 20000 x 20000, so says its header."""
    path = files.write_video(folder / "bomb.avi", 3, codec="rawvideo")
    data = bytearray(path.read_bytes())
    struct.pack_into("<ii", data, data.index(b"strf") + 12, 20000, 20000)
    path.write_bytes(data)
    return path


def cut_picture(folder: Path) -> Path:
    return files.cut(good_picture(folder), 0.6)


def cut_tiff(folder: Path) -> Path:
    """Pillow also warns of this one, on two lines."""
    Image.fromarray(demo.source_picture(SIZE)).save(folder / "me.tiff", compression="tiff_lzw")
    return files.cut(folder / "me.tiff", 0.1)


def float_tiff(value: float, folder: Path) -> Path:
    pixels = np.full((SIZE, SIZE), 0.5, np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(folder / "depth.tiff")
    return folder / "depth.tiff"


def tiff_of_channels(channels: int, folder: Path) -> Path:
    """An uncompressed TIFF of 8 x 8, such as a satellite's with its infrared bands."""
    data, place = bytes(64 * channels), 10 + 9 * 12 + 4
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 2), (273, place), (277, channels), (278, 8), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return bytes_in("bands.tiff", b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data, folder)


def one_frame_gif(folder: Path) -> Path:
    Image.fromarray(files.numbered(0)).save(folder / "one.gif")
    return folder / "one.gif"


def jpeg(folder: Path) -> Path:
    Image.fromarray(files.numbered(0)).save(folder / "pose.jpg")
    return folder / "pose.jpg"


def damaged(folder: Path) -> Path:
    return files.damage(large_video(folder), 0.5, 1500)


def cover_only(folder: Path) -> Path:
    """Sound with a cover picture, as music files have it."""
    sound = files.write_sound(folder / "sound.mp4")
    files.ffmpeg("-i", sound, "-i", jpeg(folder), "-map", "0", "-map", "1", "-c", "copy",
                 "-disposition:v:0", "attached_pic", folder / "song.mp4")  # fmt: skip
    for path in (sound, folder / "pose.jpg"):
        path.unlink()
    return folder / "song.mp4"


def subtitles_only(folder: Path) -> Path:
    text = bytes_in("a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n\n", folder)
    files.ffmpeg("-i", text, folder / "subtitles.mkv")
    text.unlink()
    return folder / "subtitles.mkv"


def no_frames(folder: Path) -> Path:
    path = folder / "none.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 64
        output.start_encoding()
    return path


def pipe_in(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def loop_of_gif(folder: Path) -> Path:
    frames = [Image.fromarray(files.numbered(k)) for k in range(4)]
    frames[0].save(folder / "both.gif", save_all=True, append_images=frames[1:], duration=100)
    return folder / "both.gif"


def link_to_video(folder: Path) -> Path:
    (folder / "link.mp4").symlink_to(good_video(folder))
    return folder / "link.mp4"


def nan_tensor(shape: tuple[int, ...], _folder: Path) -> torch.Tensor:
    tensor = torch.full(shape, 0.5)
    tensor.view(-1)[-1] = torch.nan
    return tensor


def zeros(shape: tuple[int, ...], _folder: Path) -> np.ndarray:
    return np.zeros(shape, np.uint8)


# What happens while the second frame is made


def grow(folder: Path) -> None:
    with (folder / "dance.mp4").open("ab") as file:
        file.write(b"more")


def shorten(folder: Path) -> None:
    os.truncate(folder / "dance.mp4", 1000)


def overwrite(folder: Path) -> None:
    files.damage(folder / "dance.mp4", 0.6, 50_000)


def delete(folder: Path) -> None:
    (folder / "dance.mp4").unlink()


def another(folder: Path) -> None:
    files.write_video(folder / "new.mp4", 12).replace(folder / "dance.mp4")


PICTURE, VIDEO = "a picture file is needed", "a video is needed"
NO_PICTURE, NO_VIDEO = "must be a picture (PNG, JPEG, WebP, GIF, TIFF,", "must be a video, but it is not one"
LIMIT, FULL, SAME = "must have at most 64000000 pixels", "the disk is full", "must be another file than"
CHANGED, MOTION = "must not change while it is read", "must have at least 2 frames to take motion from"
STOP = {"on_damage": "stop"}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'

CASES = [
    # The source
    Case("missing picture", "{source}", f"no such file, {PICTURE}", source=partial(named, "gone.png")),
    Case("web address as picture", "https://example.com/a.png", f"is an address, and these are not fetched, {PICTURE}",
         source=lambda folder: "https://example.com/a.png"),
    Case("missing, line break in its name", "gone\\n.png", "no such file", source=partial(named, "gone\n.png")),
    Case("missing, name too long", "{source}", "File name too long", source=partial(named, LONG)),
    Case("empty picture", "{source}", "is empty (0 bytes)", source=partial(bytes_in, "a.png", b""), info=True),
    Case("text renamed to png", "{source}", NO_PICTURE, source=partial(text_in, "a.png")),
    Case("truncated picture", "{source}", "is damaged or cut off", source=cut_picture, info=True),
    Case("truncated TIFF", "{source}", NO_PICTURE, source=cut_tiff),
    Case("folder as picture", "{source}", f"is a folder, {PICTURE}", source=partial(folder_with, ("1.png",))),
    Case("video as picture", "{source}", NO_PICTURE, source=good_video),
    Case("SVG as picture", "{source}", NO_PICTURE, source=partial(bytes_in, "a.svg", SVG)),
    Case("HEIC as picture", "{source}", NO_PICTURE, source=partial(bytes_in, "a.heic", HEIC)),
    Case("zero-sized picture", "{source}", NO_PICTURE, source=partial(png_header, "a.png", 0, 9)),
    Case("zero-sized array", "array", "must have at least one pixel, got 9 x 0",
         source=partial(zeros, (0, 9, 3)), command=False),
    Case("20,000 x 20,000 pixels", "{source}", f"{LIMIT}, got 400000000: too large unless max_pixels is raised",
         source=partial(png_header, "a.png", 20000, 20000), info=True),
    Case("9,000 x 9,000 pixels", "{source}", f"{LIMIT}, got 9000 x 9000 = 81000000",
         source=partial(png_header, "a.png", 9000, 9000), info=True),
    Case("12,000 x 9,000 pixels", "{source}", f"{LIMIT}, got 12000 x 9000",  # Pillow also warns from 89 million on
         source=partial(png_header, "a.png", 12000, 9000), info=True),
    Case("20,000 x 20,000, limit raised", "{source}", "is damaged or cut off",  # no limit of another's is in the way
         source=partial(png_header, "a.png", 20000, 20000), options={"max_pixels": 400_000_000}),
    Case("decompression bomb, PNG", "{source}", "Decompressed data too large", source=png_bomb, info=True),
    Case("decompression bomb, ICO", "{source}", f"{LIMIT}, got 1600000000", source=ico_bomb),
    Case("NaN in a picture", "{source}", "grey values must be in 0..1, got nan", source=partial(float_tiff, np.nan)),
    Case("infinity in a picture", "{source}", "grey values must be in 0..1", source=partial(float_tiff, np.inf)),
    Case("NaN in a tensor", "tensor", "float values must be in [0, 1], got nan",
         source=partial(nan_tensor, (3, SIZE, SIZE)), command=False),
    Case("5 channels in a picture", "{source}", "of 1 to 4 channels", source=partial(tiff_of_channels, 5)),
    Case("4 channels in a tensor", "tensor", "must have the shape (3, H, W) or (1, 3, H, W), got (4, 9, 9)",
         source=lambda folder: torch.zeros(4, 9, 9), command=False),
    Case("2 channels in an array", "array", "must have the shape (H, W), (H, W, 3) or (H, W, 4), got (9, 9, 2)",
         source=partial(zeros, (9, 9, 2)), command=False),
    # The driving video
    Case("missing video", "{driving}", f"no such file, {VIDEO}", driving=partial(named, "gone.mp4")),
    Case("missing video, name too long", "{driving}", "File name too long", driving=partial(named, LONG)),
    Case("web address as video", "https://example.com/a.mp4", f"is an address, and these are not fetched, {VIDEO}",
         driving=lambda folder: "https://example.com/a.mp4"),
    Case("no name for the video", "video", "must be the name of a file or folder", driving=lambda folder: ""),
    Case("empty video", "{driving}", "is empty (0 bytes)", driving=partial(bytes_in, "a.mp4", b""), info=True),
    Case("text renamed to mp4", "{driving}", NO_VIDEO, driving=partial(text_in, "a.mp4"), info=True),
    Case("truncated video, index missing", "{driving}", "or it is damaged or cut off",
         driving=lambda folder: files.cut(large_video(folder), 0.6), info=True),
    Case("truncated video, index there", "{driving}", "of its 12 pictures are missing",
         driving=lambda folder: files.cut(large_video(folder, container={"movflags": "+faststart"}), 0.6), info=True),
    Case("video damaged in the middle", "{driving}", "is damaged at frame", driving=damaged, options=STOP),
    Case("... written as GIF", "{driving}", "is damaged at frame", driving=damaged, options=STOP, output="out.gif"),
    Case("... written as PNG files", "{driving}", "is damaged at frame", driving=damaged, options=STOP, output="out/"),
    Case("audio only", "{driving}", "must hold moving pictures, but has no video track (it holds sound)",
         driving=lambda folder: files.write_sound(folder / "a.mp4"), info=True),
    Case("cover picture only", "{driving}", "must hold moving pictures, but has no video track", driving=cover_only,
         info=True),
    Case("no video stream, no sound", "{driving}", "must hold moving pictures, but has no video track",
         driving=subtitles_only, info=True),
    Case("video of no frames", "{driving}", "must ", driving=no_frames, info=True),
    Case("video of one frame", "{driving}", f"{MOTION}, but has 1", driving=partial(good_video, count=1)),
    Case("GIF of one frame", "{driving}", f"{MOTION}, but is a single picture", driving=one_frame_gif),
    Case("picture as video", "{driving}", f"{MOTION}, but is a single picture", driving=jpeg),
    Case("folder of one frame", "{driving}", f"{MOTION}, but has 1", driving=partial(folder_with, ("1.png",))),
    Case("array of one frame", "video", f"{MOTION}, but has 1", driving=partial(zeros, (1, 9, 9, 3)), command=False),
    Case("one frame left by --end", "{driving}", f"{MOTION}, but has 1 in the part that is used", options={"end": 0.04}),
    Case("folder without pictures", "{driving}", "must hold pictures", driving=partial(folder_with, ()), info=True),
    Case("HEIC as video", "{driving}", "must be a video", driving=partial(bytes_in, "a.heic", HEIC), info=True),
    Case("pipe as video", "{driving}", f"is a pipe or a device, {VIDEO}", driving=pipe_in, info=True),
    Case("animation bomb", "{driving}", "exceeds limit", driving=gif_bomb, info=True),
    Case("video bomb", "{driving}", "must have frames that can be decoded, but has none", driving=raw_video_bomb,
         info=True),
    Case("video larger than the limit", "{driving}", "must have at most 20000 pixels, got 160 x 128 = 20480",
         driving=large_video, options={"max_pixels": 20_000}),
    Case("NaN in a video tensor", "video: frame 3: tensor", "float values must be in [0, 1], got nan",
         driving=partial(nan_tensor, (4, 3, SIZE, SIZE)), command=False),
    Case("4 channels in a video", "video", "an array must be (T, H, W, 3) uint8, got (5, 9, 9, 4) uint8",
         driving=partial(zeros, (5, 9, 9, 4)), command=False),
    Case("video grows while it is read", "{driving}", CHANGED, driving=large_video, at_frame=grow),
    Case("video is cut while it is read", "{driving}", CHANGED, driving=large_video, at_frame=shorten),
    Case("video is overwritten while it is read", "{driving}", CHANGED, driving=partial(large_video, crf=1),
         at_frame=overwrite),
    Case("video is deleted while it is read", "{driving}", CHANGED, driving=large_video, at_frame=delete),
    Case("video is replaced while it is read", "{driving}", CHANGED, driving=large_video, at_frame=another,
         output="out.gif"),
    # Options
    Case("unknown mode", "argument --mode", "invalid choice: 'absolute'", options={"mode": "absolute"},
         python="mode must be one of auto, relative, pose, standard, avd, got 'absolute'"),
    Case("size 0", "size", "must be (height, width) in multiples", options={"size": 0}),
    Case("size that the model cannot take", "size", "must be (height, width) in multiples", options={"size": 100}),
    Case("strength NaN", "strength", "must be 0 or more, got nan", options={"strength": float("nan")}),
    Case("frame rate 0", "frame_rate", "must be positive, got 0", options={"frame_rate": 0.0}),
    Case("start beyond the end", "{driving}", "start must be within the video's 0.240 s, got 9.0 s",
         options={"start": 9.0}),
    Case("start after end", "{driving}", "start must be before end", options={"start": 0.2, "end": 0.1}),
    Case("end beyond the end", "{driving}", "end must be within the video's 0.240 s", options={"end": 9.0}),
    Case("start NaN", "start", "must be a number of seconds, got nan", options={"start": float("nan")}),
    Case("crop outside of the picture", "crop box", "must be within the picture's", options={"crop": (90, 0, 60, 60)}),
    Case("initial frame beyond the end", "initial_frame", "must be below the driving video's 6 frames, got 99",
         options={"initial_frame": 99}),
    Case("batch size 0", "batch_size", "must be 1 or more, got 0", options={"batch_size": 0}),
    Case("unknown colour", "matte", "must be a colour name", options={"matte": "bleu"}),
    Case("model is a file", "{source}", "a file, not a saved pipeline", extra=("--model", "{source}"), python=None),
    Case("model is a folder of something else", "{folder}", "not a saved pipeline, it has no model_index.json",
         extra=("--model", "{folder}"), python=None),
    Case("unknown device", "device", "must be auto, cpu, cuda", extra=("--device", "warp"), python=None),
    Case("unknown dtype", "dtype", "must be auto, ", extra=("--device", "auto", "--dtype", "int8"), python=None),
    Case("crop that is no box", "argument --crop", "must be subject, or TOP,LEFT,HEIGHT,WIDTH in pixels, got '1,2'",
         extra=("--crop", "1,2"), python=None),
    Case("size that is no number", "argument --size", "must be a number of pixels, or HEIGHTxWIDTH, got 'big'",
         extra=("--size", "big"), python=None),
    Case("unknown option", "unrecognized arguments", "--stregth", extra=("--stregth=1",), python=None),
    # The output
    Case("output folder does not exist", "{output}", "must be in an existing folder, but there is no folder",
         output="none/out.mp4"),
    Case("output folder is a file", "{output}", "must be in an existing folder", output="{source}/out.mp4"),
    Case("output folder cannot be written", "{output}", "cannot be written", output="/proc/self/out.mp4"),
    Case("... nor made", "{output}", "cannot be written", output="/proc/self/out/"),
    Case("output without an ending", "{output}", "must end in one of .mp4, .gif, or a folder name", output="out"),
    Case("output with an unknown ending", "{output}", "must end in one of .mp4, .gif", output="out.avi"),
    Case("output name too long", "{output}", "File name too long", output=f"{LONG}.mp4"),
    Case("no name for the output", "output", "must be the name of a file or folder, got an empty one", output=""),
    Case("output is a folder with files in it", "{folder}", "must be an empty or a new folder", output="{folder}/"),
    Case("output is the driving video", "{output}", f"{SAME} {{driving}}", output="{driving}"),
    Case("output is a link to it", "{output}", f"{SAME} {{driving}}", driving=link_to_video, output="{folder}/dance.mp4"),
    Case("output is the source", "{output}", f"{SAME} {{source}}", source=loop_of_gif, output="{source}"),
    Case("comparison is the driving video", "{driving}", f"{SAME} {{driving}}", extra=("--compare", "{driving}"),
         python=None),
    Case("comparison is the output", "{output}", f"{SAME} {{output}}", extra=("--compare", "{output}"), python=None),
    Case("GIF with --resume", "{output}", "a GIF cannot be resumed", output="out.gif", extra=("--resume",), python=None),
    Case("disk full, mp4", "{output}", FULL, room=4),
    Case("disk full, GIF", "{output}", FULL, room=12, output="out.gif"),
    Case("disk full, PNG files", "{output}", FULL, room=60, output="out/"),
]  # fmt: skip


# Running a case


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        status: of the command, or the type of the exception.
        message: without the folder's name.
        lines: of stderr besides the notices.
        left: names in the output folder; "changed" where an input is not what it was.
    """

    status: int | type[BaseException] | None
    message: str
    lines: list[str]
    left: list[str]


@dataclass(frozen=True)
class Given:
    """The arguments of a case, with its files made in `folder`."""

    case: Case
    folder: Path
    source: Any
    driving: Any
    output: str

    @classmethod
    def of(cls, case: Case, folder: Path) -> Given:
        (folder / "out").mkdir()
        source, driving = (case.source or good_picture)(folder), (case.driving or good_video)(folder)
        output = case.output.format(source=source, driving=driving, folder=folder)
        if output and not output.startswith("/"):
            output = f"{folder}/out/{output}"
        return cls(case, folder, source, driving, output)

    def filled(self, text: str) -> str:
        """`text` with the paths in it, as messages have them."""
        paths = {"source": self.source, "driving": self.driving, "output": self.output, "folder": self.folder}
        return text.format(**{name: str(path).rstrip("/") for name, path in paths.items()})

    def arguments(self) -> list[str]:
        """Of the command line."""
        options = []
        for name, value in self.case.options.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            options += [f"--{name.replace('_', '-')}", text]
        extra = [self.filled(text) for text in self.case.extra]
        return ["animate", str(self.source), str(self.driving), "-o", self.output, *BASE, *options, *extra]

    @contextlib.contextmanager
    def circumstances(self) -> Iterator[None]:
        """What happens meanwhile; at the end, nothing of it is left."""
        with contextlib.ExitStack() as stack:
            if self.case.room is not None:
                stack.enter_context(small_disk(self.folder / "out", self.case.room))
            if self.case.at_frame is not None:
                stack.enter_context(while_a_frame_is_made(partial(self.case.at_frame, self.folder)))
            yield

    def inputs(self) -> dict[str, bytes | None]:
        """Everything there is beside the output folder."""
        paths = [path for path in self.folder.rglob("*") if self.folder / "out" not in (path, *path.parents)]
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}

    def outcome(self, status: Any, lines: list[str], message: str, before: dict[str, bytes | None]) -> Outcome:
        left = sorted(path.name for path in (self.folder / "out").iterdir() if path.name != "filler")
        if self.case.at_frame is None and self.inputs() != before:
            left.append("changed")
        return Outcome(status, message.replace(f"{self.folder}/", "").replace(str(self.folder), "."), lines, left)


def run_command(given: Given) -> Outcome:
    """Run a case through the command line, in this process."""
    before = given.inputs()
    with given.circumstances():
        with stderr() as text:
            status = main(given.arguments())
        lines = without_notices(text(), str(given.source))
        message = lines[-1].removeprefix("motion_core: ") if lines else ""
        return given.outcome(status, lines, message, before)


def run_python(given: Given, pipe: MotionInterpPipeline) -> Outcome:
    """Run a case through Python."""
    before = given.inputs()
    options = {"size": SIZE, **given.case.options}
    error: BaseException | None = None
    with given.circumstances():
        try:
            pipe(source_image=given.source, driving_video=given.driving, **options).save(given.output)
        except Exception as caught:
            error = caught
        return given.outcome(type(error) if error else None, [], str(error), before)


@contextlib.contextmanager
def stderr() -> Iterator[Callable[[], str]]:
    """Catch all that is written to stderr, by Python or by a C library; gives a function that returns it in the end."""
    caught: list[str] = []
    with tempfile.TemporaryFile() as file, open(file.fileno(), "w", closefd=False, errors="backslashreplace") as stream:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(open(os.devnull, "w")):
                yield caught.pop
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            stream.flush()
            caught.append(os.pread(file.fileno(), 1_000_000, 0).decode())


def without_notices(text: str, source: str) -> list[str]:
    """The lines of stderr that are not known notices; a progress bar writes its line over and over."""
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    placement = f"{source}: "
    return [
        line
        for line in lines
        if line and not line.startswith(NOTICES) and not (line.startswith(placement) and ", as " in line)
    ]


@contextlib.contextmanager
def while_a_frame_is_made(action: Callable[[], None], number: int = 2) -> Iterator[None]:
    """Do something while frame `number` (from 1) is made."""
    made = []
    compose = MotionTransfer.compose

    def compose_meanwhile(self: MotionTransfer, *arguments: Any) -> Composed:
        made.append(1)
        if len(made) == number:
            action()
        return compose(self, *arguments)

    with mock.patch.object(MotionTransfer, "compose", compose_meanwhile):
        yield
    assert len(made) >= number, "it was refused before a frame was made"


@contextlib.contextmanager
def small_disk(folder: Path, room: int) -> Iterator[None]:
    """A disk of 1 MB with `room` kB left for `folder`; where mounting is not allowed, files that cannot grow beyond 4 kB."""
    if not can_mount():
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 1024, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        return
    mount(folder)
    try:
        (folder / "filler").write_bytes(bytes((1024 - room) * 1024))
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def mount(folder: Path, access: str = "rw") -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size=1m,{access}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@cache
def can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mounted = mount(Path(folder))
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)
        return mounted


# Tests


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """The command line has a small pipeline, made once for all cases, and small frames need no second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = cache(lambda: demo.random_pipeline(image_size=SIZE))
    load = commands._load

    def kept(options: argparse.Namespace, *more: Any) -> MotionInterpPipeline:
        return load(options, *more) if options.model or options.device != "cpu" else made()

    with mock.patch.object(commands, "_load", kept):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="module")
def pipe() -> MotionInterpPipeline:
    pipeline = demo.random_pipeline(image_size=SIZE)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check_message(message: str, thing: str, rule: str, folder: Path) -> None:
    thing, rule = (text.replace(f"{folder}/", "").replace(str(folder), ".") for text in (thing, rule))
    assert message.startswith((f"{thing}: ", f"{thing} ", f"{thing}.parts"))  # of what is written first
    assert rule in message


@each_case("case", [case for case in CASES if case.command])
def test_the_command_line_refuses_it_in_one_line(case: Case, tmp_path: Path) -> None:
    given = Given.of(case, tmp_path)

    outcome = run_command(given)

    assert outcome.status == 2
    assert len(outcome.lines) == 1, outcome.lines
    assert outcome.lines[0].startswith("motion_core: ")
    check_message(outcome.message, given.filled(case.thing), given.filled(case.rule), tmp_path)
    assert outcome.left == []


# What Python does by the same functions as the command line is asked once for each way in which it can end.
ONE_OF_ITS_KIND = ("missing picture", "truncated TIFF", "video is replaced while it is read", "disk full, GIF")


def of_python(case: Case) -> bool:
    """Whether Python must be asked too."""
    ends_alike = (
        case.command and case.output in ("out.mp4", "out.gif", "out/") and not (case.options and case.driving is None)
    )
    return bool(case.python) and (case.python != "save" or not ends_alike or case.name in ONE_OF_ITS_KIND)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # the command line hides what Pillow warns of
@each_case("case", [case for case in CASES if of_python(case)])
def test_python_raises_an_input_error_with_the_same_message(case: Case, tmp_path: Path, pipe) -> None:
    given = Given.of(case, tmp_path)

    outcome = run_python(given, pipe)

    assert outcome.status is InputError
    assert issubclass(InputError, ValueError)
    assert len(outcome.message.splitlines()) == 1
    if case.python == "save":
        check_message(outcome.message, given.filled(case.thing), given.filled(case.rule), tmp_path)
    else:
        assert case.python in outcome.message
    assert outcome.left == []


@each_case("case", [case for case in CASES if case.info])
def test_info_refuses_it_too(case: Case, tmp_path: Path) -> None:
    given = Given.of(case, tmp_path)
    file = given.source if case.source else given.driving

    with stderr() as text:
        status = main(["info", str(file), *BASE[:4]])

    assert status == 2
    lines = without_notices(text(), str(given.source))
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"motion_core: {file}: ")


def test_a_limit_that_is_raised_lets_the_picture_in(tmp_path, pipe):
    picture, video = good_picture(tmp_path), good_video(tmp_path, count=2)

    with pytest.raises(
        InputError, match=f"must have at most {SIZE * SIZE - 1} pixels, got {SIZE} x {SIZE} = {SIZE * SIZE}"
    ):
        pipe(picture, video, max_pixels=SIZE * SIZE - 1)
    assert len(pipe(picture, video, max_pixels=SIZE * SIZE).frames) == 2


@pytest.mark.slow
def test_a_picture_of_20000_by_20000_is_used_if_the_limit_is_raised():
    """400 million pixels, more than Pillow takes by itself; 7 GB of memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.png"
        Image.new("1", (20000, 20000), 1).save(path)
        assert media.load_image(path, max_pixels=400_000_000).shape == (20000, 20000, 3)
    assert Image.MAX_IMAGE_PIXELS == 89478485


@each_case("output", ["out.mp4", "out.gif"])
def test_a_failure_leaves_the_file_that_was_there(tmp_path, output):
    given = Given.of(Case("", "", "", driving=damaged, output=output, options=STOP), tmp_path)
    Path(given.output).write_bytes(b"yesterday's film")

    assert run_command(given).status == 2

    assert Path(given.output).read_bytes() == b"yesterday's film"
    assert os.listdir(tmp_path / "out") == [output]


def test_a_failure_keeps_the_parts_that_are_to_be_resumed(tmp_path):
    given = Given.of(Case("", "", "", driving=damaged, output="out/", options=STOP, extra=("--resume",)), tmp_path)

    assert run_command(given).status == 2

    assert os.listdir(tmp_path / "out") == ["out.parts"]


@each_case("room", [0, 8, 12, 16])
def test_wherever_the_disk_gets_full_nothing_is_left(tmp_path, room):
    """From no room even for the note of what the parts are made from, to all parts made and no room to join them."""
    if not can_mount():
        pytest.skip("mounting a small disk is not allowed here")  # CASES have it without one
    given = Given.of(Case("", "", ""), tmp_path)
    with small_disk(tmp_path / "out", room):
        with stderr() as text:
            assert main(given.arguments()) == 2
        assert os.listdir(tmp_path / "out") == ["filler"]
    lines = without_notices(text(), str(given.source))
    assert len(lines) == 1, lines
    assert FULL in lines[0]
    assert lines[0].startswith(f"motion_core: {given.output}")


@each_case("output", ["out.mp4", "out.gif", "out/"])
def test_a_disk_that_is_read_only_is_refused_before_any_work(tmp_path, output):
    """Unlike permissions, this stops root too."""
    if not can_mount():
        pytest.skip("mounting a small disk is not allowed here")  # CASES have /proc instead
    given = Given.of(Case("", "", "", output=output), tmp_path)
    assert mount(tmp_path / "out", "ro")
    try:
        with stderr() as text:
            assert main(given.arguments()) == 2
    finally:
        subprocess.run(["umount", "-l", tmp_path / "out"], check=True)
    path = given.output.rstrip("/")
    assert text() == f"motion_core: {path}: cannot be written (Read-only file system)\n"


@each_case(
    ("source", "driving", "output"),
    [
        ("my photo, é 写真.png", "dance (1) 100%d.mp4", "résultat final.mp4"),
        ("-a\nb.png", "c\n'd'\td.mp4", "e\nf.mp4"),
        ("a\udcff.png", "b\udcfe.mp4", "c\udcfd.mp4"),  # bytes that are no text, from an old archive
    ],
)
def test_names_of_all_kinds_work(tmp_path, source, driving, output):
    try:
        os.fsencode(source)
        good_picture(tmp_path).rename(tmp_path / source)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    good_video(tmp_path, count=2).rename(tmp_path / driving)

    with stderr() as text:
        status = main(
            ["animate", *(str(tmp_path / name) for name in (source, driving)), "-o", str(tmp_path / output), *BASE]
        )

    assert status == 0, text()
    assert media.open_video(tmp_path / output).frame_count == 2
    assert sorted(os.listdir(tmp_path)) == sorted([source, driving, output])


@each_case(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND (see python -m motion_core --help)"),
        (["animate"], "the following arguments are required: SOURCE, DRIVING, -o/--output"),
        (["animate", "a.png", "b.mp4", "-o"], "argument -o/--output: expected one argument"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--start", "soon"], "argument --start: invalid float value: 'soon'"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--initial-frame", "1st"], "must be a frame's number, or best, got '1st'"),
        (["animate", "a.png", "b.mp4", "-o", "c.mp4", "--smooth", "0"], "smoothing: min_cutoff must be a positive frequency"),
        (["paint"], "invalid choice: 'paint'"),
        (["info", "{folder}/me.png", "--preview", "{folder}/me.png"], "me.png: must be another file than"),
        (["info", LONG], "File name too long"),
        (["convert", "{folder}/me.png", "{folder}/none/model"], "does not exist"),
        (["interpolate", "{folder}/me.png", "{folder}/gone.png", "-o", "{folder}/a.gif"], "gone.png: no such file"),
        (["interpolate", "{folder}/me.png", "{folder}/me.png", "-o", "{folder}/a.gif", "--times", "nan"], "must be"),
        (["interpolate", "{folder}/me.png", "{folder}/me.png", "-o", "{folder}/a.gif", "--num", "0"], "must be"),
        (["interpolate", "{folder}/me.png", "{folder}/me.png", "-o", "{folder}/me.png"], "me.png: must end in one of"),
    ],
)  # fmt: skip
def test_other_commands_refuse_in_one_line(tmp_path, arguments, message):
    picture = good_picture(tmp_path).read_bytes()

    with stderr() as text:
        try:
            status = main([argument.format(folder=tmp_path) for argument in arguments])
        except SystemExit as leaving:
            status = leaving.code

    assert status == 2
    lines = [line for line in without_notices(text(), "") if not line.startswith("drew ")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("motion_core: ")
    assert message in lines[0]
    assert (tmp_path / "me.png").read_bytes() == picture
    assert not list(tmp_path.rglob(".*"))


def test_a_damaged_frame_costs_no_render(tmp_path, caplog):
    given = Given.of(Case("", "", "", driving=damaged), tmp_path)
    with stderr():
        assert main(given.arguments()) == 0
    assert "each shows the last good one" in caplog.text
    assert media.open_video(given.output).frame_count == 12


# Signals


@each_case(
    ("number", "output", "extra", "kept", "finishing"),
    [
        (signal.SIGHUP, "out.mp4", (), [], False),
        *((number, output, extra, kept, finishing)
          for number in (signal.SIGINT, signal.SIGTERM)
          for output, extra, kept in (
              *((target, (), []) for target in ("out.mp4", "out.gif", "out/")),
              ("out.mp4", ("--resume",), ["out.mp4.parts"]),
              ("out/", ("--resume",), ["out.parts"]),
          )
          for finishing in (False, True)),
    ],
)  # fmt: skip
def test_a_signal_leaves_no_partial_file(tmp_path, number, output, extra, kept, finishing):
    """The signal comes from the system, to this very process, at a moment that is known."""
    given = Given.of(Case("", "", "", driving=partial(good_video, count=3), output=output, extra=extra), tmp_path)
    strike = partial(os.kill, os.getpid(), number)
    with contextlib.ExitStack() as stack:
        text = stack.enter_context(stderr())
        if finishing:
            stack.enter_context(before_the_result_is_in_place(strike))
        else:
            stack.enter_context(while_a_frame_is_made(strike))
        try:
            status = main(given.arguments())
        except SystemExit as leaving:
            status = leaving.code

    lines = without_notices(text(), str(given.source))
    if number == signal.SIGINT:
        assert status == 130
        left = "what is finished is kept for --resume" if extra else "nothing was left behind"
        assert lines == [f"motion_core: interrupted, {left}"]
    else:
        assert (status, lines) == (128 + number, [])
    assert os.listdir(tmp_path / "out") == kept


@contextlib.contextmanager
def before_the_result_is_in_place(action: Callable[[], None]) -> Iterator[None]:
    """Do something just before the finished file or folder gets its final name."""
    from motion_core.media import resuming, writing

    def put_later(made: Path, path: Path) -> None:
        if path.parent.suffix == ".parts":  # of a segment
            return os.replace(made, path)
        action()
        raise AssertionError("the signal did not arrive")

    with mock.patch.object(resuming, "put", put_later), mock.patch.object(writing, "put", put_later):
        yield


@pytest.mark.slow
def test_ctrl_c_in_the_program_itself(tmp_path):
    """With --resume, as a folder of PNG files; tests/test_command_line.py has the other signals, for mp4 without it."""
    given = Given.of(
        Case("", "", "", driving=partial(good_video, count=500), output="out/", extra=("--resume",)), tmp_path
    )
    demo.random_pipeline(image_size=SIZE).save_pretrained(tmp_path / "model")
    command = [sys.executable, "-m", "motion_core", *given.arguments(), "--model", str(tmp_path / "model")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD)
    frames = tmp_path / "out" / "out.parts" / "frames"
    deadline = time.monotonic() + 120
    while not list(frames.glob("*.png")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)

    assert process.returncode == 130, error
    assert without_notices(error, str(given.source)) == [
        "motion_core: interrupted, what is finished is kept for --resume"
    ]
    assert os.listdir(tmp_path / "out") == ["out.parts"]
    done = sorted(path.name for path in frames.iterdir())
    assert done[0] == "000001.png"
    for path in frames.glob("*.png"):
        assert media.load_image(path).shape[2] == 3  # whole, each of them


# A terminal


@each_case("name", ["truncated TIFF", "video damaged in the middle"])
def test_there_is_no_traceback_on_the_terminal(name, tmp_path):
    """Nor what FFmpeg and Pillow say themselves."""
    case = next(case for case in CASES if case.name == name)
    given = Given.of(case, tmp_path)

    status, text = on_a_terminal(lambda: main(given.arguments()))

    assert status == 2, text
    assert "Traceback" not in text
    last = without_notices(text, str(given.source))[-1]  # before it: what is seen in picture and video
    assert last.startswith("motion_core: ")
    assert given.filled(case.rule) in last
    assert os.listdir(tmp_path / "out") == []


def on_a_terminal(call: Callable[[], int]) -> tuple[int, str]:
    """Call it while stderr is a terminal; returns what it returns, and what the terminal got from Python and C libraries."""
    ours, theirs = os.openpty()
    text = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # the end of a terminal
            while data := os.read(ours, 65536):
                text.extend(data)

    reader, kept = threading.Thread(target=read), os.dup(2)
    reader.start()
    try:
        with open(theirs, "w") as stream, open(os.devnull, "w") as nowhere:
            os.dup2(theirs, 2)
            with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(nowhere):
                status = call()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    reader.join(10)
    os.close(ours)
    return status, text.decode()


def print_table() -> int:
    """Run all cases, and return 1 if any is not as it must be."""
    pipe = demo.random_pipeline(image_size=SIZE)
    pipe.set_progress_bar_config(disable=True)
    rows, wrong = [("case", "status", "in Python", "left", "message")], 0
    for case in CASES:
        outcomes = []
        for wanted, run in ((case.command, run_command), (case.python, partial(run_python, pipe=pipe))):
            with tempfile.TemporaryDirectory() as folder:
                outcomes.append(run(Given.of(case, Path(folder).resolve())) if wanted else None)
        command, python = outcomes
        wrong += not all(
            outcome is None or (outcome.status in (2, InputError) and not outcome.left and len(outcome.lines) < 2)
            for outcome in outcomes
        )
        message = (command or python).message.replace(LONG, "x...x")
        left = ", ".join(name for outcome in outcomes if outcome for name in outcome.left) or "nothing"
        status = str(command.status) if command else "-"
        rows.append((case.name, status, python.status.__name__ if python and python.status else "-", left, message))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))
    print(f"{len(CASES)} cases, {wrong} not as they must be")
    return min(wrong, 1)


if __name__ == "__main__":
    with quick():
        sys.exit(print_table())
