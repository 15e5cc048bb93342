"""Between the page and the service: files come in as Gradio has them, and errors go out as sentences."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from motion_core import InputError

from . import drawing
from .choices import SHIPPED, Choices
from .limits import Limits
from .runs import Runs, temporary_folder
from .words import duration

if TYPE_CHECKING:
    from .insight import View
    from .service import Service, Update

logger = logging.getLogger(__name__)
OUR_FAULT = "Something went wrong here, and it is in the log. Please try again, or try another file."
FileLike = Mapping[str, Any] | None  # what Gradio gives for a file: its path and more
Images = list[tuple[np.ndarray, str]]


def sentences(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a `Handlers`, with what goes wrong in it said in a sentence."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def streaming(self: Handlers, *given: Any, **named: Any) -> Iterator[Any]:
            try:
                yield from function(self, *given, **named)
            except Exception as error:
                raise self.told(error) from error

        return streaming

    @functools.wraps(function)
    def calling(self: Handlers, *given: Any, **named: Any) -> Any:
        try:
            return function(self, *given, **named)
        except Exception as error:
            raise self.told(error) from error

    return calling


class Handlers:
    """What the page's events call. A visitor is known by the session that Gradio gives them.

    Args:
        service: does the work; it may still be loading while the page is up already.
        limits: of what may be asked for.
        folder: of temporary files, whose names are nobody's business.
    """

    def __init__(self, service: Future[Service], limits: Limits, folder: Path) -> None:
        self.limits, self.runs = limits, Runs()
        self._loading, self._folder = service, folder

    @property
    def _service(self) -> Service:
        return self._loading.result()

    def told(self, error: Exception) -> gr.Error:
        """An error as the page shows it."""
        if isinstance(error, gr.Error):
            return error
        if not isinstance(error, InputError):
            logger.error("a job failed", exc_info=error)
            return gr.Error(OUR_FAULT, print_exception=False)
        text = re.sub(rf"{re.escape(str(self._folder))}/(?:[^/\s]+/)*", "", str(error))
        if not text.split(maxsplit=1)[0].endswith(":"):  # a file's name keeps its letters
            text = text[:1].upper() + text[1:]
        return gr.Error(escape(text, quote=False), print_exception=False)

    def announce(self, request: gr.Request) -> tuple[str, Any, Any]:
        """A run was asked for: it can be stopped from now on."""
        self.runs.announce(_visitor(request))
        return drawing.progress("Waiting for its turn"), gr.update(interactive=False), gr.update(interactive=True)

    def finished(self) -> tuple[Any, Any]:
        """The buttons, after a run."""
        return gr.update(interactive=True), gr.update(interactive=False)

    def cancel(self, request: gr.Request) -> str:
        """Stop what this visitor has running; what is made so far is kept."""
        count = self.runs.stop(_visitor(request))
        return "Stopping" if count else "Nothing is running"

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.runs.leave(_visitor(request))

    @sentences
    def preview(self, picture: FileLike, fit: str, crop: str, model: str) -> tuple[np.ndarray | None, str]:
        """How a picture will be cropped or padded: the unused part is dimmed."""
        if not picture:
            return None, ""
        return self._service.preview(_path(picture), Choices(fit=fit, crop=crop), model)  # type: ignore[arg-type]

    @sentences
    def describe(self, driving: FileLike, start: float | None, end: float | None, longest: float) -> str:
        """What a driving video is, and how much of it will be used."""
        if not driving:
            return ""
        return self._service.describe(
            _path(driving),
            Choices(
                start=_second(start, "start"), end=_second(end, "end"), longest=_number(longest, "the length limit")
            ),
        )

    @sentences
    def animate(
        self,
        picture: FileLike,
        driving: FileLike,
        mode: str,
        best_frame: bool,
        strength: float,
        smooth: bool,
        selector: str,
        t: float,
        variant: str,
        fit: str,
        crop: str,
        paste_back: bool,
        keep_audio: bool,
        start: float | None,
        end: float | None,
        longest: float,
        model: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Animate a picture with the motion of a video."""
        choices = Choices(
            mode=mode,  # type: ignore[arg-type]  # the settings check what a client sends
            best_frame=bool(best_frame),
            strength=_number(strength, "strength"),
            smooth=bool(smooth),
            selector=selector,  # type: ignore[arg-type]
            t=_number(t, "t"),
            variant=variant,  # type: ignore[arg-type]
            fit=fit,  # type: ignore[arg-type]
            crop=crop,  # type: ignore[arg-type]
            paste_back=bool(paste_back),
            keep_audio=bool(keep_audio),
            start=_second(start, "start"),
            end=_second(end, "end"),
            longest=_number(longest, "the length limit"),
        )
        with self.runs.take(_visitor(request)) as stop:
            for update in self._service.animate(_path(picture), _path(driving), choices, stop, model):
                shown = [gr.skip()] * 6
                if update.result is not None:
                    made = update.result
                    used = [(str(path), text) for path, text in made.used]
                    lines = "\n".join(f"- {escape(sentence)}" for sentence in made.sentences)
                    shown = [
                        str(made.video),
                        str(made.comparison),
                        used,
                        drawing.timeline(made.moments, made.rate),
                        lines,
                        str(made.records),
                    ]
                yield (*shown, _progress(update))

    @sentences
    def compare(
        self,
        picture: FileLike,
        driving: FileLike,
        mode: str,
        t: float,
        start: float | None,
        longest: float,
        model: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Animate the same pair by the plain backbone and by the full method."""
        choices = Choices(
            mode=mode,  # type: ignore[arg-type]
            t=_number(t, "t"),
            start=_second(start, "start"),
            longest=_number(longest, "the length limit"),
        )
        with self.runs.take(_visitor(request)) as stop:
            for update, videos, both in self._service.compare(_path(picture), _path(driving), choices, stop, model):
                if both is None:
                    yield gr.skip(), gr.skip(), _progress(update, bool(videos))
                    continue
                (left, first), (right, second) = videos
                yield str(both), drawing.wipe(left, right, (first, second)), _progress(update, True)

    @sentences
    def interpolate(
        self, first: FileLike, second: FileLike, num: float, t: float, mode: str, path: str, model: str
    ) -> tuple[Images, np.ndarray, str, Images]:
        """Images at equal steps of t between a picture and the pose in another, and the moment t."""
        views = self._views(first, second, self._steps(num), mode, path, model)
        images = [(view.image, f"t = {view.t:.2f}") for view in views]
        return images, *self._moment(first, second, t, mode, path, model, views)

    @sentences
    def moment(
        self, first: FileLike, second: FileLike, t: float, mode: str, path: str, model: str
    ) -> tuple[np.ndarray | None, str, Images]:
        """The image at any t, its keypoints with their ways, and maps: deformation, contributions and occlusion."""
        if not first or not second:
            return None, "", []
        return self._moment(first, second, t, mode, path, model)

    @sentences
    def export(
        self, first: FileLike, second: FileLike, num: float, mode: str, path: str, kind: str, model: str
    ) -> Iterator[str]:
        """The images at equal steps of t as one file."""
        views = self._views(first, second, self._steps(num), mode, path, model)
        with temporary_folder(self._folder / "work") as folder:
            yield str(self._service.export(views, kind, folder, model))  # type: ignore[arg-type]

    @sentences
    def load_model(self, kind: str, name: str, checkpoint: FileLike, size: float) -> tuple[str, str, str]:
        """Load a model; it is used in this session from then on."""
        model = self._service.models.load(
            kind,  # type: ignore[arg-type]
            str(name or ""),
            _path(checkpoint),
            int(_number(size, "size")),
        )
        return model.key, f"Loaded. {escape(model.describe())}.", banner(model.title, model.notice)

    def shipped_banner(self) -> str:
        """What the page says about the model that it begins with."""
        model = self._service.model(SHIPPED)
        return banner(model.title, model.notice)

    def _moment(
        self,
        first: FileLike,
        second: FileLike,
        t: float,
        mode: str,
        path: str,
        model: str,
        way: list[View] | None = None,
    ) -> tuple[np.ndarray, str, Images]:
        (view,) = self._views(first, second, [_number(t, "t")], mode, path, model)
        way = way or self._views(first, second, [index / 8 for index in range(9)], mode, path, model)
        maps = [
            (view.deformation, "Deformation"),
            (view.contributions, "Contribution"),
            (view.occlusion, "Occlusion"),
        ]
        ways = np.stack([each.keypoints for each in way])
        return view.image, drawing.keypoint_paths(view.image, ways, view.keypoints), maps

    def _views(
        self, first: FileLike, second: FileLike, times: list[float], mode: str, path: str, model: str
    ) -> list[View]:
        return self._service.interpolate(_path(first), _path(second), times, mode, path, key=model)  # type: ignore[arg-type]

    def _steps(self, num: float) -> list[float]:
        count, most = _number(num, "the number of images"), self.limits.moments
        if count != int(count) or not 2 <= count <= most:
            raise InputError(f"the number of images must be a whole number from 2 to {most}, got {count:g}")
        return [index / (int(count) - 1) for index in range(int(count))]


def banner(title: str, notice: str) -> str:
    """The line under the page's title: which model is used, and what to know about it."""
    warning = f'<strong class="mc-notice">{escape(notice)}</strong>' if notice else ""
    return f'<p class="mc-banner" role="note">Model: {escape(title)}. {warning}</p>'


def _progress(update: Update, ended: bool = False) -> str:
    done, total = update.done, update.total
    if update.stopped and (ended or update.result is not None):
        return drawing.progress(
            f"Stopped after {done} of {total} frames. What was made until then is shown.", tone="ended"
        )
    if ended or update.result is not None:
        return drawing.progress(f"Done: {done} frames.", tone="ended")
    if update.stopped:
        return drawing.progress(f"Stopping after {done} of {total} frames", done, total)
    if not done:
        return drawing.progress("Starting", 0, total)
    if done == total:
        return drawing.progress("Putting the videos together", done, total)
    left = "" if update.seconds_left is None else f", about {duration(update.seconds_left)} left"
    return drawing.progress(f"{done} of {total} frames{left}", done, total, update.frame)


def _visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def _path(file: FileLike) -> str | None:
    return str(file["path"]) if file and file.get("path") else None


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number, got {value!r}")
    return float(value)


def _second(value: object, name: str) -> float | None:
    """0 and an empty field are the beginning, or the end."""
    return None if value is None else _number(value, name) or None
