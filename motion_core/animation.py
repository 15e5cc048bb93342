"""What the pipeline gives back: frames as they are made, or all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np

from . import media
from .framing import Placement


@dataclass(frozen=True)
class AnimatedFrame:
    """One frame of the result.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        keypoints: the transferred keypoints that it was drawn with, ``(K, N, 2)`` float32.
    """

    image: np.ndarray
    keypoints: np.ndarray


@dataclass(frozen=True)
class Animation:
    """A video in the making: iterate over it once to compute its frames, one after the other.

    Attributes:
        frame_rate: frames per second, exact.
        frame_size: (height, width) of the frames.
        frame_count: how many there will be, or None where the driving video does not tell.
        placement: what part of the source picture is used, and how it lies in the networks' image.
        audio_from, start, end, model: as in `AnimationOutput`.
        frames: the iterator that computes them.
    """

    frame_rate: Fraction
    frame_size: tuple[int, int]
    frame_count: int | None
    placement: Placement
    audio_from: Path | None
    start: float | None
    end: float | None
    model: str
    frames: Iterator[AnimatedFrame] = field(repr=False)

    def __iter__(self) -> Iterator[AnimatedFrame]:
        return self.frames

    def writer(self, path: str | PathLike[str], *, audio: bool = True, provenance: bool = True) -> media.VideoWriter:
        """A writer for these frames; see `AnimationOutput.save`."""
        return media.VideoWriter(
            path,
            self.frame_rate,
            audio_from=self.audio_from if audio else None,
            start=self.start,
            end=self.end,
            metadata=media.provenance(self.model) if provenance else {},
        )


@dataclass(frozen=True)
class AnimationOutput:
    """A finished video.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8 RGB, in the picture's aspect.
        keypoints: the transferred keypoints of each frame, ``(T, K, N, 2)`` float32.
        animation: what it came from: frame rate, driving video, model.
        interrupted: whether it was stopped before the driving video ended.
    """

    frames: np.ndarray
    keypoints: np.ndarray
    animation: Animation
    interrupted: bool = False

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return self.animation.frame_rate

    def save(self, path: str | PathLike[str], *, audio: bool = True, provenance: bool = True) -> None:
        """Write ``.mp4`` with the driving video's sound, ``.gif``, or a folder of PNG files (a name that ends in /).

        Args:
            path: where to; it is written beside it first, so that there is never half a video.
            audio: take the driving video's sound along, where the format has sound.
            provenance: say in the file that it is synthetic, and by which model.

        Raises:
            InputError: the path cannot be written, or its ending is not known.
        """
        with self.animation.writer(path, audio=audio, provenance=provenance) as writer:
            for frame in self.frames:
                writer.write(frame)
