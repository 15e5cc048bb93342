"""What the pipeline gives back: frames as they are made, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from . import media
from .check import Check
from .diagnosis import FrameDiagnosis
from .framing import Placement
from .people import Presence
from .records import RecordWriter
from .selection import FrameSelection


@dataclass(frozen=True)
class AnimatedFrame:
    """One frame of the result.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB; ``(H, W, 4)`` where the scene is transparent.
        keypoints: the transferred keypoints that it was drawn with, ``(K, N, 2)`` float32.
        selection: which interpolated image was animated.
        diagnosis: of the frame; None unless the settings ask for it.
    """

    image: np.ndarray
    keypoints: np.ndarray
    selection: FrameSelection
    diagnosis: FrameDiagnosis | None = None

    def record(self) -> dict[str, Any]:
        """The selection, and the diagnosis if there is one, as values that JSON has."""
        return _record(self.selection, self.diagnosis)


def _record(selection: FrameSelection, diagnosis: FrameDiagnosis | None) -> dict[str, Any]:
    return {"selection": asdict(selection)} | ({} if diagnosis is None else {"diagnosis": asdict(diagnosis)})


@dataclass(frozen=True)
class Animation:
    """A video in the making: iterate over it once to compute its frames, one after the other.

    Attributes:
        frame_size: (height, width) of the frames.
        placement: what part of the source picture is used, and how it lies in the networks' image.
        video: the driving video, or the part of it that is used; its sound goes with the result.
        model: name of the model.
        frames: the iterator that computes them.
        inputs: the files that it is made from, which a writer does not replace.
        presence: with models of people, in how many of the driving frames looked at so far there was one.
        transparent: whether frames are ``(H, W, 4)``, with transparency.
        check: says what to expect, with models of people; it may be called before a render.
    """

    frame_size: tuple[int, int]
    placement: Placement
    video: media.VideoSource
    model: str
    frames: Generator[AnimatedFrame, None, None] = field(repr=False)
    inputs: tuple[Path, ...] = ()
    presence: Presence = field(default_factory=Presence)
    transparent: bool = False
    check: Callable[[], Check | None] = field(default=lambda: None, repr=False)

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact: the driving video's."""
        return self.video.frame_rate

    def __iter__(self) -> Iterator[AnimatedFrame]:
        return self.frames

    def writer(self, path: str | PathLike[str], *, audio: bool = True, provenance: bool = True) -> media.VideoWriter:
        """A writer for these frames; see `AnimationOutput.save`."""
        media.check_output(path, self.inputs, alpha=self.transparent)
        writer = media.AlphaWriter if self.transparent else media.VideoWriter
        return writer(
            path,
            self.frame_rate,
            audio_from=self.video if audio else None,
            metadata=media.provenance(self.model) if provenance else {},
        )

    def segmented_writer(
        self,
        path: str | PathLike[str],
        fingerprint: str,
        *,
        resume: bool,
        audio: bool = True,
        provenance: bool = True,
    ) -> media.SegmentedWriter:
        """A writer whose work can be resumed: with `resume`, it keeps what is finished, and goes on from there next time.

        Args:
            path, audio, provenance: see `AnimationOutput.save`; not for GIF.
            fingerprint: any text that is the same only for the same source, driving video, model and settings.
        """
        media.check_job(path, self.inputs, resume=resume)
        return media.SegmentedWriter(
            path,
            self.frame_rate,
            fingerprint=fingerprint,
            resume=resume,
            keep=resume,
            audio_from=self.video if audio else None,
            metadata=media.provenance(self.model) if provenance else {},
        )


@dataclass(frozen=True)
class AnimationOutput:
    """A finished video.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8 RGB, ``(T, H, W, 4)`` where the scene is transparent.
        keypoints: the transferred keypoints of each frame, ``(T, K, N, 2)`` float32.
        animation: what it came from: frame rate, driving video, model.
        selections: of each frame, which interpolated image was animated.
        diagnoses: of each frame; empty unless the settings ask for it.
        interrupted: whether it was stopped before the driving video ended.
    """

    frames: np.ndarray
    keypoints: np.ndarray
    animation: Animation
    selections: tuple[FrameSelection, ...] = ()
    diagnoses: tuple[FrameDiagnosis, ...] = ()
    interrupted: bool = False

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second, exact."""
        return self.animation.frame_rate

    @property
    def presence(self) -> Presence:
        """With models of people, in how many of the driving frames there was one; the others have the last pose."""
        return self.animation.presence

    def save(self, path: str | PathLike[str], *, audio: bool = True, provenance: bool = True) -> None:
        """Write ``.mp4`` with the driving video's sound, ``.gif``, or a folder of PNG files (a name that ends in /).

        Frames with transparency are written as ``.webm`` (VP9), ``.mov`` (ProRes 4444) or a folder of PNG files.

        Args:
            path: where to; it is written beside it first, so that there is never half a video.
            audio: take the driving video's sound along, where the format has sound.
            provenance: say in the file that it is synthetic, and by which model.

        Raises:
            InputError: the path cannot be written, its ending is not known, or it is one of the files that it is made from.
        """
        with self.animation.writer(path, audio=audio, provenance=provenance) as writer:
            for frame in self.frames:
                writer.write(frame)

    def save_diagnosis(self, path: str | PathLike[str]) -> None:
        """Write what is known of each frame as JSON: an array of objects with the frame's index, its selection, and its
        diagnosis if the settings asked for one; their fields are those of `FrameSelection` and `FrameDiagnosis`.

        Args:
            path: a name ending in .json; the file appears whole.

        Raises:
            InputError: the path cannot be written, or is one of the files that the video is made from.
        """
        diagnoses = self.diagnoses or [None] * len(self.selections)
        with RecordWriter(path, self.animation.inputs) as writer:
            for selection, diagnosis in zip(self.selections, diagnoses, strict=True):
                writer.write(_record(selection, diagnosis))


@dataclass(frozen=True)
class InterpolationOutput:
    """Images at chosen times between a source and a driving pose.

    Attributes:
        images: ``(M, H, W, 3)`` uint8 RGB, in the order of the times.
        times: ``(M,)`` in [0, 1]; 0 is the model's own reconstruction of the source, 1 the driving pose.
        keypoints: that each image was drawn with, ``(M, K, N, 2)`` float32.
        fold_over: share of each image's deformation that is folded over, ``(M,)``; above 0, parts are drawn mirrored.
        model: name of the model.
    """

    images: np.ndarray
    times: np.ndarray
    keypoints: np.ndarray
    fold_over: np.ndarray
    model: str

    def save(self, path: str | PathLike[str], *, frame_rate: float = 12, provenance: bool = True) -> None:
        """Write the images as ``.mp4``, ``.gif``, or a folder of PNG files (a name that ends in /).

        Raises:
            InputError: the path cannot be written, or its ending is not known.
        """
        metadata = media.provenance(self.model) if provenance else {}
        with media.VideoWriter(path, frame_rate, metadata=metadata) as writer:
            for image in self.images:
                writer.write(image)
