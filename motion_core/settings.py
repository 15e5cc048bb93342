"""What can be chosen about an animation. The defaults live here; the pipeline, the command line and the UI read them.

Dataclasses and not pydantic models: each refusal is one sentence that names the argument, which pydantic's messages would have to
be rewritten into field by field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Number
from os import PathLike
from typing import Any, Literal, get_args

from .errors import InputError

Mode = Literal["auto", "relative", "pose", "standard", "avd"]
Fit = Literal["pad", "crop", "stretch"]
Background = Literal["identity", "predicted"]
KeypointPath = Literal["linear", "rigid"]
Variant = Literal["tpsmm", "int", "int_bt", "full", "v2"]
Strategy = Literal["learned", "analytic", "fixed", "none", "images"]
OnDamage = Literal["stop", "hold", "skip"]
Scene = Literal["source", "driving", "transparent"]
Backend = Literal["auto", "packed", "int8", "eager"]


def _take_plain_numbers(settings: Any) -> None:
    """Replace numbers of NumPy by Python's, which they are checked, compared and written as."""
    for each in fields(settings):
        object.__setattr__(settings, each.name, _plain(getattr(settings, each.name)))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, Number) and hasattr(value, "item") else value


@dataclass(frozen=True)
class OneEuro:
    """Settings of the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012).

    Attributes:
        min_cutoff: cut-off frequency of a point at rest, in Hz; lower is smoother.
        beta: how much a moving point raises it, in Hz per coordinate unit per second; higher follows faster.
        derivative_cutoff: cut-off frequency of the speed itself, in Hz.

    Raises:
        InputError: a frequency that is not positive, or a negative `beta`.
    """

    min_cutoff: float = 1.0
    beta: float = 20.0
    derivative_cutoff: float = 2.0

    def __post_init__(self) -> None:
        _take_plain_numbers(self)
        for name in ("min_cutoff", "derivative_cutoff"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"smoothing: {name} must be a positive frequency in Hz, got {getattr(self, name)}")
        if not 0 <= self.beta < math.inf:
            raise InputError(f"smoothing: beta must be 0 or more, got {self.beta}")


class _Group:
    """A group of settings: numbers of NumPy become Python's, and every value is checked."""

    def __post_init__(self) -> None:
        _take_plain_numbers(self)


def _check_choice(settings: object, name: str, allowed: Any) -> None:
    if getattr(settings, name) not in (*get_args(allowed), getattr(type(settings), name)):
        raise InputError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(settings, name)!r}")


@dataclass(frozen=True)
class PictureSettings(_Group):
    """What part of the source picture is animated, and how it lies in the networks' image.

    Attributes:
        size: side, or (height, width), of the networks' image; None is the model's own, or with models of people that of the
            animated part itself, from 256 to 1536, so that it keeps its pixels.
        fit: what happens to a picture or video of another shape. "pad": all of it is used and the aspect is kept; "crop":
            the middle is used; "stretch": the aspect is not kept.
        crop: the part of the picture to animate, (top, left, height, width) in its pixels, or "subject" for a square around
            the object, by the model's own keypoints; None is all of it, or with models of people, unless `size` or `fit` are
            given, what the person needs for the video's poses, which is put back into the picture.
        subject: a place (x, y) in the picture, in its pixels, for models of people: who is nearest to it is animated; None is
            the largest.
        paste_back: put the animated part back into the picture, so that the video has the picture's size.
        feather: width of the soft edge there, as a share of the part's shorter side, from 0 to 0.5.
        matte: what is put behind transparent parts of a picture: a colour's name, "#rrggbb" or (r, g, b).
        max_pixels: a larger picture or video frame is refused before it is decoded; None is 64 million.

    Raises:
        InputError: a value outside its range.
    """

    size: int | tuple[int, int] | None = None
    fit: Fit = "pad"
    crop: tuple[int, int, int, int] | Literal["subject"] | None = None
    subject: tuple[float, float] | None = None
    paste_back: bool = False
    feather: float = 0.1
    matte: str | tuple[int, int, int] = "white"
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice(self, "fit", Fit)
        if isinstance(self.crop, str) and self.crop != "subject":
            raise InputError(f"crop must be (top, left, height, width), 'subject' or None, got {self.crop!r}")
        if self.subject is not None and not (
            len(self.subject) == 2 and all(0 <= value < math.inf for value in self.subject)
        ):
            raise InputError(f"subject must be a place (x, y) in the picture, in pixels from 0, got {self.subject!r}")
        if not 0 <= self.feather <= 0.5:
            raise InputError(f"feather must be from 0 to 0.5, got {self.feather}")


@dataclass(frozen=True)
class MotionSettings(_Group):
    """How the driving motion is carried over.

    Attributes:
        mode: how the driving motion is carried over. "relative": what moves in the video moves the picture, from the
            pose it has; "pose": the picture takes the video's poses, in its own size and place; "standard": with the video's size
            and place as well; "avd": the video's pose in the picture's proportions, for models that have an AVD network; "auto":
            "pose" with models whose keypoints are limbs, "relative" with others.
        strength: of the motion; 1 is the video's own, 0 none.
        initial_frame: for "relative" the driving frame whose pose counts as the picture's, for "pose" the one whose size and
            place do: its index (from 0), or "best" for the one nearest to the picture's pose, by the model's own keypoints.
        smoothing: of the driving keypoints over time; None is none.
        background: "predicted" moves the background as it moves in the video, which is right where both show one scene.

    Raises:
        InputError: a value outside its range.
    """

    mode: Mode = "auto"
    strength: float = 1.0
    initial_frame: int | Literal["best"] = 0
    smoothing: OneEuro | None = None
    background: Background = "identity"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice(self, "mode", Mode)
        _check_choice(self, "background", Background)
        if not 0 <= self.strength < math.inf:
            raise InputError(f"strength must be 0 or more, got {self.strength}")
        if self.initial_frame != "best" and not (isinstance(self.initial_frame, int) and self.initial_frame >= 0):
            raise InputError(f"initial_frame must be a frame's index from 0, or 'best', got {self.initial_frame!r}")


@dataclass(frozen=True)
class InterpolationSettings(_Group):
    """Which interpolated image is animated, see `motion_core.transfer`.

    Attributes:
        strategy: how the interpolated image that is animated instead of the picture is chosen, for models with a selector
            (None is the model's own choice: "learned", or "none" if its selector was not trained). "learned": by the trained
            scorer; "analytic": by what is visible and the motion left; "fixed": at one time; "images": by making all candidates
            and looking at them, which takes several times as long; "none": the picture itself is animated.
        t: instead of choosing, animate the interpolated image at this time in [0, 1]; 0 is the picture itself. It works
            with every model.
        hysteresis: a frame keeps the time of the one before it unless another's score is better by more than this.
        hold: frames of a video that one interpolated image serves at most: its time is chosen and it is made for the first of
            them (`motion_core.key_frames`). 1 chooses and makes one for every frame, which takes several times as long.
        path: of the keypoints to the interpolated image, see `motion_core.interpolation.interpolate_keypoints`.

    Raises:
        InputError: a value outside its range.
    """

    strategy: Strategy | None = None
    t: float | None = None
    hysteresis: float = 0.05
    hold: int = 4
    path: KeypointPath = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice(self, "strategy", Strategy)
        _check_choice(self, "path", KeypointPath)
        if self.t is not None and not 0 <= self.t <= 1:
            raise InputError(f"t must be in [0, 1], got {self.t!r}")
        if self.t is not None and self.strategy is not None:
            raise InputError(
                f"give either a time t or a strategy that chooses it, got {self.t!r} and {self.strategy!r}"
            )
        if not 0 <= self.hysteresis < math.inf:
            raise InputError(f"hysteresis must be 0 or more, got {self.hysteresis!r}")
        if not (isinstance(self.hold, int) and self.hold >= 1):
            raise InputError(f"hold must be 1 or more frames, got {self.hold!r}")


@dataclass(frozen=True)
class OutputSettings(_Group):
    """What is made of the driving video: which part of it, before which scene, and what is measured.

    Attributes:
        scene: what is behind the person, for models of people. "source": the picture's own background; "driving": the driving
            video, in which the person takes the place of the one who is there; "transparent": nothing, frames are (H, W, 4) with
            transparency; or a picture's path, fitted to cover the frames.
        diagnose: measure each frame, see `motion_core.animation.FrameDiagnosis`; costs a few per cent.
        batch_size: driving frames computed together; more than 1 pays on a GPU, and a little for models of people. None is the
            model's own choice: 6 for people, else 1.
        start, end: the part of the driving video to use, in seconds; None is its beginning or end.
        frame_rate: frames per second of a driving video that has none of its own (a folder, an array); None is 25.
        on_damage: what becomes of frames of the driving video that cannot be decoded. "hold": the last good one is shown for
            them; "skip": they are left out, and so are pictures that are missing at the end of a file that was cut off; "stop":
            the animation ends with an error there. Their number is said.
        audio_track: which of the driving video's sound tracks goes with the result, from 0; None is the one that players take.

    Raises:
        InputError: a value outside its range.
    """

    scene: Scene | str | PathLike[str] = "source"
    diagnose: bool = False
    batch_size: int | None = None
    start: float | None = None
    end: float | None = None
    frame_rate: float | None = None
    on_damage: OnDamage = "hold"
    audio_track: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice(self, "on_damage", OnDamage)
        if not isinstance(self.scene, str | PathLike) or not str(self.scene):
            raise InputError(f"scene must be {', '.join(get_args(Scene))} or a picture's path, got {self.scene!r}")
        if self.batch_size is not None and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            raise InputError(f"batch_size must be 1 or more, got {self.batch_size!r}")
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise InputError(f"frame_rate must be positive, got {self.frame_rate}")
        if self.audio_track is not None and not (isinstance(self.audio_track, int) and self.audio_track >= 0):
            raise InputError(f"audio_track must be a track's number from 0, got {self.audio_track!r}")


@dataclass(frozen=True)
class AnimationSettings(OutputSettings, InterpolationSettings, MotionSettings, PictureSettings):
    """All settings of one animation; a stage takes the group that it uses.

    Raises:
        InputError: a value outside its range, or two that exclude each other.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scene != "source" and self.background != "identity":
            raise InputError(
                f"background {self.background!r} moves the picture's own, which scene {self.scene!r} leaves out"
            )


def scene_file(settings: AnimationSettings) -> tuple[str | PathLike[str], ...]:
    """The picture that the settings put behind the person, if there is one."""
    return () if settings.scene in get_args(Scene) else (settings.scene,)
