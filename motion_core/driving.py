"""The driving side between the video and the transfer: frames in batches, keypoints smoothed, the initial pose found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor

from . import media, motion_modes
from .errors import InputError
from .framing import place_in, to_network
from .settings import AnimationSettings, Fit
from .smoothing import OneEuroFilter
from .structures import DrivingMotion, Keypoints

FROM_INITIAL = ("relative", "pose")  # modes in which a driving frame stands for the picture


def in_batches(
    video: Iterable[np.ndarray], batch_size: int, network_size: tuple[int, int], fit: Fit
) -> Iterator[Tensor]:
    """Frames of a video as the networks take them, ``(B, 3, h, w)`` in [0, 1]."""
    frames = iter(video)
    while batch := list(islice(frames, batch_size)):
        images = media.to_float(np.stack(batch))  # (B, 3, H, W)
        yield to_network(images, place_in((images.shape[-2], images.shape[-1]), network_size, fit))


def smoothed(
    driving: Iterable[DrivingMotion], settings: AnimationSettings, frame_rate: float
) -> Iterable[DrivingMotion]:
    """The driving motion with its keypoints smoothed over time, if the settings say so."""
    if settings.smoothing is None:
        return driving
    smooth = OneEuroFilter(settings.smoothing, frame_rate)
    return (replace(motion, keypoints=smooth(motion.keypoints)) for motion in driving)


def open_driving(driving_video: media.VideoInput, settings: AnimationSettings) -> media.VideoSource:
    """The part of a driving video that the settings name, at their rate."""
    return media.open_video(
        driving_video,
        start=settings.start,
        end=settings.end,
        frame_rate=settings.frame_rate,
        max_pixels=settings.max_pixels,
        audio_track=settings.audio_track,
        on_damage=settings.on_damage,
    )


def check_video(video: media.VideoSource, settings: AnimationSettings) -> None:
    """Check that there is motion in a driving video, and the initial frame that the settings name.

    Raises:
        InputError: fewer than 2 frames, or no frame of that index.
    """
    count = video.frame_count
    if count < 2:
        found = "is a single picture" if video.kind == "picture" else "has 1 in the part that is used"
        raise InputError(f"{video.name}: must have at least 2 frames to take motion from, but {found}")
    initial = settings.initial_frame
    if settings.mode in FROM_INITIAL and isinstance(initial, int) and initial >= count:
        raise InputError(f"initial_frame must be below the driving video's {count} frames, got {initial}")


def initial_keypoints(
    source: Keypoints, driving: Iterable[DrivingMotion], settings: AnimationSettings
) -> tuple[Keypoints, Iterable[DrivingMotion]]:
    """The driving pose that the picture's is compared with, and the driving motion from its beginning.

    For an initial frame other than the first, all of the video is looked at before, and its keypoints are kept.

    Args:
        source: ``(1, K, N, 2)``.
        driving: batches of the driving motion, in order.
        settings: `initial_frame` and `mode`, as checked by `check_video`.

    Returns:
        Keypoints ``(1, K, N, 2)`` of the initial driving frame, and all batches.
    """
    driving = iter(driving)
    if settings.mode not in FROM_INITIAL or settings.initial_frame == 0:
        first = next(driving, None)
        if first is None:
            return source, ()
        return Keypoints(first.keypoints.points[:1]), chain((first,), driving)
    kept = list(driving)
    points = torch.cat([motion.keypoints.points for motion in kept])  # (T, K, N, 2)
    index = settings.initial_frame
    if index == "best":
        index = motion_modes.best_frame(source, Keypoints(points))
    return Keypoints(points[index : index + 1]), kept
