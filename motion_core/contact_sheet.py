"""A few frames of an animation as one picture, made in seconds: to see before a render whether it will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import media
from .driving import open_driving
from .errors import InputError
from .media.comparison import captioned, reduced
from .people import LONGEST
from .settings import AnimationSettings

if TYPE_CHECKING:
    from .pipeline import MotionInterpPipeline

FRAMES = 5


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
    video = open_driving(driving_video, settings)
    last = video.frame_count - 1
    chosen = sorted(set(np.linspace(0, last, min(count, last + 1)).round().astype(int).tolist()))
    initial = settings.initial_frame
    before = [] if initial in ("best", 0) else [min(int(initial), last)]
    frames = [reduced(next(video.frames(index)), LONGEST) for index in (*before, *chosen)]
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
    return captioned(frames[len(before) :], results, [f"{time:.2f} s" for time in times])


def sheet_beside(output: str | PathLike[str]) -> Path:
    """Where the sheet of an output is written: ``dance.mp4`` has ``dance.preview.png``."""
    path = Path(output)
    return path.with_name(f"{path.stem if path.suffix else path.name}.preview.png")
