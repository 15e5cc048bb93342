"""A few frames of an animation as one picture, made in seconds: to see before a render whether it will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import media
from .errors import InputError
from .people import LONGEST
from .settings import AnimationSettings

if TYPE_CHECKING:
    from .pipeline import MotionInterpPipeline

FRAMES = 5
TILE = 256  # pixels of a frame's longer side
_GAP, _TYPE = 4, 14  # pixels
_BEHIND = (16, 16, 16)
_CHECKS = 12, (255, 255, 255), (204, 204, 204)  # side and colours of the pattern that stands for transparency


def contact_sheet(
    pipeline: MotionInterpPipeline,
    source_image: media.ImageSource,
    driving_video: media.VideoInput,
    settings: AnimationSettings = AnimationSettings(),  # noqa: B008 it is frozen
    source_images: Sequence[media.ImageSource] = (),
    count: int = FRAMES,
) -> np.ndarray:
    """Frames from all over a driving video above what becomes of them, ``(H, W, 3)`` uint8.

    They are what a render has there, but for what it smooths over time; and the nearest pose, if that is to be found, is the
    nearest of these.

    Args:
        pipeline, source_image, driving_video, settings, source_images: as for `MotionInterpPipeline.stream`.
        count: frames, 2 or more.

    Raises:
        InputError: as `MotionInterpPipeline.stream` does.
    """
    if count < 2:
        raise InputError(f"count must be 2 frames or more, got {count}")
    video = media.open_video(
        driving_video,
        start=settings.start,
        end=settings.end,
        frame_rate=settings.frame_rate,
        max_pixels=media.MAX_PIXELS if settings.max_pixels is None else settings.max_pixels,
        on_damage=settings.on_damage,
    )
    last = video.frame_count - 1
    chosen = sorted(set(np.linspace(0, last, min(count, last + 1)).round().astype(int).tolist()))
    initial = settings.initial_frame
    before = [] if initial in ("best", 0) else [min(int(initial), last)]
    frames = [_reduced(next(video.frames(index)), LONGEST) for index in (*before, *chosen)]
    alone = replace(
        settings,
        start=None,
        end=None,
        frame_rate=None,
        smoothing=None,
        audio_track=None,
        initial_frame="best" if initial == "best" else 0,
    )
    made = pipeline.stream(source_image, frames, alone, source_images=source_images)
    results = [frame.image for frame in made][len(before) :]
    times = [float(index / video.frame_rate) for index in chosen]
    return _sheet(frames[len(before) :], results, [f"{time:.2f} s" for time in times])


def sheet_beside(output: str | PathLike[str]) -> Path:
    """Where the sheet of an output is written: ``dance.mp4`` has ``dance.preview.png``."""
    path = Path(output)
    return path.with_name(f"{path.stem if path.suffix else path.name}.preview.png")


def _reduced(frame: np.ndarray, longest: int) -> np.ndarray:
    """A frame ``(H, W, 3 or 4)`` uint8, neither side above `longest`."""
    scale = longest / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = (max(1, round(scale * frame.shape[1])), max(1, round(scale * frame.shape[0])))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def _sheet(upper: Sequence[np.ndarray], lower: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    rows = [[_tile(frame) for frame in frames] for frames in (upper, lower)]
    width = max(tile.width for row in rows for tile in row) + _GAP
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (width * len(captions) - _GAP, 2 * _TYPE + sum(heights) - _GAP), _BEHIND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TYPE)
    for number, caption in enumerate(captions):
        pen.text((number * width + _GAP, _TYPE // 3), caption, font=font)
        top = 2 * _TYPE
        for row, height in zip(rows, heights, strict=True):
            tile = row[number]
            sheet.paste(tile, (number * width + (width - _GAP - tile.width) // 2, top))
            top += height
    return np.asarray(sheet)


def _tile(frame: np.ndarray) -> Image.Image:
    small = Image.fromarray(_reduced(frame, TILE))
    if small.mode != "RGBA":
        return small
    side, light, dark = _CHECKS
    rows, columns = np.indices((small.height, small.width)) // side
    pattern = np.where(((rows + columns) % 2)[..., None] == 0, np.array(light), np.array(dark))
    tile = Image.fromarray(pattern.astype(np.uint8))
    tile.paste(small, mask=small.getchannel("A"))
    return tile
