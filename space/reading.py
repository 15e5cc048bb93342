"""Visitors' files, and the sentences with which those that cannot be used are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from motion_core import InputError, media
from motion_core.media.pictures import picture_size

from .choices import Box, Choices, pixels_of
from .limits import MEGABYTE, Limits

MOST_ASPECT = 6  # of a picture's longer side to its shorter one
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
_MAY_MOVE = (b"GIF8", b"RIFF", b"\x89PNG")  # formats that have animations too


def read_picture(path: str | None, limits: Limits, what: str = "the picture") -> np.ndarray:
    """A picture file as ``(H, W, 3)`` uint8, made smaller if a side is longer than the limits' `longest_side`.

    Raises:
        InputError: no file, too large a file or picture, an animation, or not a picture.
    """
    file = existing(path, what, limits.picture_megabytes)
    with file.open("rb") as handle:
        head = handle.read(12)
    if head[4:12] in _HEIC:
        raise InputError(f"{file.name}: HEIC pictures cannot be read here, save it as JPEG or PNG")
    height, width = picture_size(file)
    if height * width > limits.picture_pixels:
        raise InputError(
            f"{file.name}: a picture may have at most {limits.picture_pixels / 1e6:.0f} megapixels, this one has "
            f"{height * width / 1e6:.0f}: make it smaller"
        )
    if max(height, width) > MOST_ASPECT * min(height, width):
        raise InputError(
            f"{file.name}: is {width} x {height}, one side may be at most {MOST_ASPECT} times the other: cut it"
        )
    pixels = media.load_image(file, max_pixels=limits.picture_pixels)
    if head[:4] in _MAY_MOVE:
        found = media.open_video(file, max_pixels=limits.picture_pixels)
        if found.kind != "picture":
            raise InputError(
                f"{file.name}: is an animation of {found.frame_count} frames, not a picture: save one frame of it as PNG or JPEG"
            )
    return smaller(pixels, limits.longest_side)


def open_driving(path: str | None, choices: Choices, limits: Limits) -> media.VideoSource:
    """The part of a driving video that is used.

    Raises:
        InputError: no file, too large or too long, or not a video.
    """
    file = existing(path, "the video", limits.video_megabytes)
    whole = media.open_video(file, max_pixels=limits.video_pixels)
    for name, second in (("start", choices.start), ("end", choices.end)):
        if second is not None and not 0 <= second < limits.video_seconds:
            raise InputError(f"{name} must be a second of the video, got {second:g}")
    if whole.duration > limits.video_seconds:
        raise InputError(
            f"{file.name}: is {float(whole.duration):.0f} s long, at most {limits.video_seconds:.0f} s are taken: cut it before"
        )
    if not choices.longest > 0:
        raise InputError(f"the length limit must be above 0 seconds, got {choices.longest:g}")
    first = choices.start or 0.0
    last = float(whole.duration) if choices.end is None else choices.end
    allowed = first + min(choices.longest, limits.seconds)
    part = media.open_video(file, start=choices.start, end=min(last, allowed), max_pixels=limits.video_pixels)
    if part.frame_count > limits.frames:
        raise InputError(
            f"{file.name}: {part.frame_count} frames would be made, at most {limits.frames} are: use a shorter part"
        )
    return part


def own_copy(path: str | None, folder: Path, limits: Limits) -> str:
    """A copy of a driving video in a run's own folder.

    Gradio keeps equal uploads of all visitors at one path and writes it anew for each, while a run may be reading it.
    """
    file = existing(path, "the video", limits.video_megabytes)
    place = folder / "given"
    place.mkdir(exist_ok=True)
    return str(shutil.copyfile(file, place / file.name))


def cut(pixels: np.ndarray, box: Box | None) -> np.ndarray:
    """A part of a picture ``(H, W, 3)``."""
    if box is None:
        return pixels
    top, left, height, width = pixels_of(box, (pixels.shape[0], pixels.shape[1]))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def cut_video(video: media.VideoSource, box: Box, folder: Path) -> str:
    """A part of a video's frames as a video of its own, with its sound; nearly without loss."""
    path = folder / "part.mp4"
    with media.VideoWriter(path, video.frame_rate, audio_from=video, quality=8) as writer:
        for frame in video:
            writer.write(cut(frame, box))
    return str(path)


def existing(path: str | None, what: str, megabytes: int) -> Path:
    """A file that is there and not too large; raises InputError otherwise."""
    if not path:
        raise InputError(f"{what} is missing: choose a file or an example")
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{what} is not there any more: choose it again")
    size = file.stat().st_size
    if size > megabytes * MEGABYTE:
        raise InputError(f"{file.name}: {what} may have at most {megabytes} MB, this file has {size / MEGABYTE:.0f}")
    return file


def smaller(pixels: np.ndarray, longest_side: int) -> np.ndarray:
    """A picture ``(H, W, 3)`` uint8 whose sides are at most `longest_side`; the same array if they are already."""
    scale = longest_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return resized(pixels, scale)


def resized(pixels: np.ndarray, scale: float) -> np.ndarray:
    """A picture ``(H, W, 3)`` uint8 with both sides times `scale`."""
    size = [max(1, round(side * scale)) for side in pixels.shape[:2]]
    image = F.interpolate(media.to_float(pixels[None]), size, mode="bicubic", antialias=True)  # (1, 3, h, w)
    return media.to_uint8(image)[0]
