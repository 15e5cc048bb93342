"""What can be chosen in the app. Nothing heavy is imported here, so that the page comes up at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from motion_core import AnimationSettings, InputError, OneEuro
from motion_core.settings import Fit, Mode

SHIPPED = "shipped"  # the key of the model that comes with the app
Kind = Literal["shipped", "folder", "hub", "checkpoint"]
AppliedVariant = Literal["as trained", "tpsmm", "full", "v2"]
Selector = Literal["automatic", "fixed", "none"]
Crop = Literal["everything", "subject"]
Export = Literal["GIF", "MP4", "PNG"]


@dataclass(frozen=True)
class Choices:
    """About an animation; the defaults are the library's.

    Attributes:
        best_frame: relative motion starts at the frame whose pose is most like the picture's.
        smooth: still parts tremble less.
        selector: which image is animated: "automatic", the one at the time `t` ("fixed"), or the picture itself ("none").
        variant: what runs of the model.
        crop: move all of the picture, or only the subject.
        start, end: the part of the driving video, in seconds; None is its beginning or end.
        longest: use at most this many seconds.
        mode, strength, fit, paste_back: as in `motion_core.settings.AnimationSettings`.
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
    paste_back: bool = False
    keep_audio: bool = True
    start: float | None = None
    end: float | None = None
    longest: float = 10

    def settings(self) -> AnimationSettings:
        """As the library has them; raises InputError for a value out of its range."""
        for name, value, allowed in (("selector", self.selector, Selector), ("crop", self.crop, Crop)):
            if value not in get_args(allowed):
                raise InputError(f"{name} must be one of {', '.join(get_args(allowed))}, got {value!r}")
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
            diagnose=True,
            start=self.start,
            end=self.end,
        )
