"""What can be chosen in the app. Nothing heavy is imported here, so that the page comes up at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from motion_core import AnimationSettings, InputError, OneEuro
from motion_core.settings import Fit, Mode, Scene

SHIPPED = "shipped"  # the key of the model that comes with the app
STRONGEST = 2.0  # of the motion
Kind = Literal["shipped", "folder", "hub", "checkpoint"]
AppliedVariant = Literal["as trained", "tpsmm", "full", "v2"]
Selector = Literal["automatic", "fixed", "none"]
Crop = Literal["everything", "subject"]
Export = Literal["GIF", "MP4", "PNG"]
PICTURE = "picture"  # the scene that is a picture of the visitor's
Box = tuple[float, float, float, float]  # top, left, height, width, as shares of the whole
EVERYTHING: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Choices:
    """About an animation; the defaults are the library's.

    Attributes:
        best_frame: relative motion starts at the frame whose pose is most like the picture's.
        smooth: still parts tremble less.
        selector: which image is animated: "automatic", the one at the time `t` ("fixed"), or the picture itself ("none").
        variant: what runs of the model.
        crop: move all of the picture, or only the subject.
        paste_back: the video has the picture's size, whatever part of it moves.
        start, end: the part of the driving video, in seconds; None is its beginning or end.
        longest: use at most this many seconds.
        scene: what is behind the person, as in the settings, or "picture" for the file `behind`.
        picture_box, driving_box: the part of the picture, and of the video's frames, that is used; None is all of it.
        subject: of several people, the one at this place (x, y), as shares of the whole picture.
        photos: files, more pictures of the subject.
        mode, strength, fit: as in `motion_core.settings.AnimationSettings`.
    """

    mode: Mode = AnimationSettings.mode
    best_frame: bool = False
    strength: float = AnimationSettings.strength
    smooth: bool = False
    selector: Selector = "automatic"
    t: float = 0.5
    variant: AppliedVariant = "as trained"
    fit: Fit = AnimationSettings.fit
    crop: Crop = "everything"
    paste_back: bool = True
    keep_audio: bool = True
    start: float | None = None
    end: float | None = None
    longest: float = 10
    scene: str = "source"
    behind: str | None = None
    picture_box: Box | None = None
    driving_box: Box | None = None
    subject: tuple[float, float] | None = None
    photos: tuple[str, ...] = ()

    def settings(self) -> AnimationSettings:
        """As the library has them; raises InputError for a value out of its range."""
        for name, value, allowed in (
            ("selector", self.selector, get_args(Selector)),
            ("crop", self.crop, get_args(Crop)),
            ("scene", self.scene, (*get_args(Scene), PICTURE)),
        ):
            if value not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if not 0 <= self.strength <= STRONGEST:
            raise InputError(f"strength must be from 0 to {STRONGEST:g}, got {self.strength:g}")
        if self.scene == PICTURE and not self.behind:
            raise InputError("the picture behind the person is missing: choose one, or another scene")
        return AnimationSettings(
            mode=self.mode,
            initial_frame="best" if self.best_frame else 0,
            strength=self.strength,
            smoothing=OneEuro() if self.smooth else None,
            strategy="none" if self.selector == "none" else None,
            t=self.t if self.selector == "fixed" else None,
            fit=self.fit,
            crop="subject" if self.crop == "subject" else None,
            paste_back=self.paste_back,
            start=self.start,
            end=self.end,
            scene=str(self.behind) if self.scene == PICTURE else self.scene,
        )


@dataclass(frozen=True)
class Offered:
    """What a model has, of what can be chosen.

    Attributes:
        modes, variants, scenes: by their names.
        photos: whether more pictures of the subject help.
        chooses: whether it chooses by itself which interpolated image is animated.
    """

    modes: tuple[str, ...]
    variants: tuple[str, ...]
    scenes: tuple[str, ...]
    photos: bool
    chooses: bool

    @property
    def selectors(self) -> tuple[str, ...]:
        """The ways to choose the image that is animated, the usual one first."""
        return ("automatic", "fixed", "none") if self.chooses else ("none", "fixed")


# What the shipped model has; the page is up before it is loaded.
OF_SHIPPED = Offered(
    ("auto", "relative", "pose", "standard"),
    get_args(AppliedVariant),
    (*get_args(Scene), PICTURE),
    photos=True,
    chooses=False,
)


def shares(text: str, count: int, name: str) -> tuple[float, ...] | None:
    """Numbers from 0 to 1 with commas between them, such as "0.1, 0.2, 0.5, 0.6"; None for an empty text."""
    if not text.strip():
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) and 0 <= number <= 1 for number in numbers):
        raise InputError(f"{name} must be {count} numbers from 0 to 1 with commas between them, got {text!r}")
    return numbers


def pixels_of(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box (top, left, height, width) in pixels of something of that (height, width), at least 16 either way if it can be."""
    spans = []
    for start, length, side in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        pixels = min(side, max(16, round(length * side)))
        spans.append((min(round(start * side), side - pixels), pixels))
    (top, height), (left, width) = spans
    return top, left, height, width
