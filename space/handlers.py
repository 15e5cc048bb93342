"""Between the page and the service: files come in as Gradio has them, and errors go out as sentences."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from motion_core import InputError
from motion_core.version import __version__

from . import drawing
from .choices import SHIPPED, Choices, Offered, shares
from .limits import Limits
from .runs import WORK, Runs, temporary_folder
from .words import count, duration
from .workers import Workers

if TYPE_CHECKING:
    from .insight import View
    from .live import LiveSessions
    from .service import Service, Update

logger = logging.getLogger(__name__)
_INSTALLED = (Path(__file__).parents[1], *map(Path, sys.path[1:]))  # where this program is: nobody's business
_WORDINGS = (
    (r"^source_image: ", "the picture: "),
    (r"^(video|driving_video): ", "the video: "),
    (r"\bthe driving video\b", "the video"),
    (r"^(the (?:video|(?:first |second )?picture)): must", r"\1 must"),
    (r": too large unless max_pixels is raised", ": it is too large"),
    (r" \((?:[a-z ]+ out of range|Invalid data found when processing input)\)", ""),
    (r"\b1 frames\b", "1 frame"),
)
MAKE_ROOM = 4  # seconds, at most, that a check waits for a run's frames
LOOKING = 2  # quick looks at a time, beside the run at work
_LONGEST = 300  # letters of a sentence
_REMEMBERED = 20  # files of a session
OUR_FAULT = "Something went wrong here, and it is in the log. Please try again, or try another file."
FileLike = Mapping[str, Any] | None  # what Gradio gives for a file: its path and more
Images = list[tuple[np.ndarray, str]]


def sentences(workers: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """For methods of `Handlers`: what goes wrong in one is said in a sentence.

    Args:
        workers: the attribute that holds the threads in which it runs; "" for what computes nothing.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def streaming(self: Handlers, *given: Any, **named: Any) -> Iterator[Any]:
                try:
                    yield from getattr(self, workers).iterate(function(self, *given, **named))
                except Exception as error:
                    raise self.told(error) from error

            return streaming

        @functools.wraps(function)
        def calling(self: Handlers, *given: Any, **named: Any) -> Any:
            try:
                if workers:
                    return getattr(self, workers).call(function, self, *given, **named)
                return function(self, *given, **named)
            except Exception as error:
                raise self.told(error) from error

        return calling

    return decorate


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
        self.computing, self.looking = Workers("computing", limits.at_once), Workers("looking", LOOKING)
        self._live: LiveSessions | None = None
        self._at_rest = threading.Event()  # not while frames are made, for which quick looks make room
        self._at_rest.set()

    def close(self) -> None:
        """Begin nothing more."""
        for workers in (self.computing, self.looking):
            workers.close()
        if self._live is not None:
            self._live.close()

    @property
    def _service(self) -> Service:
        return self._loading.result()

    def health(self) -> tuple[bool, dict[str, object]]:
        """Whether the app can work, and what /health answers: its state, and how many runs wait or are at work."""
        state = "loading"
        if self._loading.done():
            state = "broken" if self._loading.exception() else "ready" if self._service.models.ready else "loading"
        return state == "ready", {"state": state, "version": __version__, "runs": len(self.runs)}

    def told(self, error: Exception) -> gr.Error:
        """An error as the page shows it."""
        if isinstance(error, gr.Error):
            return error
        if not isinstance(error, InputError):
            logger.error("a job failed", exc_info=error)
            return gr.Error(OUR_FAULT, print_exception=False)
        return gr.Error(escape(self._plain(str(error)), quote=False), print_exception=False)

    def _plain(self, text: str) -> str:
        """A sentence without what is nobody's business or nobody's language, and not endless."""
        for folder in (self._folder, *_INSTALLED):
            text = re.sub(rf"{re.escape(str(folder))}/(?:[^/\s]+/)*", "", text)
        for pattern, words in _WORDINGS:
            text = re.sub(pattern, words, text)
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 1]}…"
        if not text.split(maxsplit=1)[0].endswith(":"):  # a file's name keeps its letters
            text = text[:1].upper() + text[1:]
        return text

    def announce(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """A run was asked for: it can be stopped from now on."""
        self.runs.announce(_visitor(request))
        self._at_rest.clear()
        return drawing.progress("Waiting for its turn"), gr.update(interactive=False), gr.update(interactive=True)

    def finished(self) -> tuple[Any, Any]:
        """The buttons, after a run."""
        self._at_rest.set()
        return gr.update(interactive=True), gr.update(interactive=False)

    def cancel(self, request: gr.Request) -> str:
        """Stop what this visitor has running; what is made so far is kept."""
        count = self.runs.stop(_visitor(request))
        return "Stopping" if count else "Nothing is running"

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.runs.leave(_visitor(request))

    @sentences("looking")
    def preview(self, picture: FileLike, fit: str, crop: str, model: str) -> tuple[np.ndarray | None, str]:
        """How a picture will be cropped or padded: the unused part is dimmed."""
        if not picture:
            return None, ""
        return self._service.preview(_path(picture), Choices(fit=fit, crop=crop), model)  # type: ignore[arg-type]

    @sentences("looking")
    def describe(self, driving: FileLike, start: float | None, end: float | None, longest: float) -> str:
        """What a driving video is, and how much of it will be used."""
        if not driving:
            return ""
        return self._service.describe(_path(driving), _choices(start=start, end=end, longest=longest))

    @sentences("looking")
    def check(
        self,
        picture: FileLike,
        driving: FileLike,
        mode: str,
        fit: str,
        crop: str,
        start: float | None,
        end: float | None,
        longest: float,
        picture_box: str,
        driving_box: str,
        subject: str,
        model: str,
    ) -> str:
        """Whether picture and video can work, what is found in them, and what to expect; before a run."""
        choices = _choices(
            mode=mode, fit=fit, crop=crop, start=start, end=end, longest=longest,
            picture_box=picture_box, driving_box=driving_box, subject=subject,
        )  # fmt: skip
        if not picture and not driving:
            return ""
        self._at_rest.wait(MAKE_ROOM)
        seen = self._service.check(_path(picture), _path(driving), choices, model)
        return drawing.check(seen, self._plain, choices)

    @staticmethod
    def drawn(event: gr.EventData) -> tuple[Any, Any, Any]:
        """What somebody drew or clicked on the check's pictures, as texts: the boxes of picture and video, and the subject."""
        if getattr(event, "reset", False):
            return "", "", ""
        box, point = getattr(event, "box", None), getattr(event, "point", None)
        if box:
            text = ", ".join(f"{float(number):.3f}" for number in box)
            return (text, gr.skip(), "") if event.which == "picture" else (gr.skip(), text, gr.skip())
        if point and event.which == "picture":
            return gr.skip(), gr.skip(), ", ".join(f"{float(number):.3f}" for number in point)
        return gr.skip(), gr.skip(), gr.skip()

    @sentences("computing")
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
        scene: str = "source",
        behind: FileLike = None,
        picture_box: str = "",
        driving_box: str = "",
        subject: str = "",
        photos: list[FileLike] | None = None,
        model: str = SHIPPED,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio gives it
    ) -> Iterator[tuple[Any, ...]]:
        """Animate a picture with the motion of a video."""
        choices = _choices(
            mode=mode, best_frame=bool(best_frame), strength=strength, smooth=bool(smooth), selector=selector, t=t,
            variant=variant, fit=fit, crop=crop, paste_back=bool(paste_back), keep_audio=bool(keep_audio), start=start,
            end=end, longest=longest, scene=scene, behind=_path(behind), picture_box=picture_box, driving_box=driving_box,
            subject=subject, photos=photos,
        )  # fmt: skip
        with self.runs.take(_visitor(request)) as stop:
            for update in self._service.animate(_path(picture), _path(driving), choices, stop, model):
                shown: list[Any] = [gr.skip()] * 6
                if update.rendered is not None:
                    self._at_rest.set()
                if update.stopped and not update.done:  # nothing is there to be shown
                    shown = [None, None, [], "", "", None]
                elif update.rendered is not None and update.result is None:  # it plays while the rest is made
                    shown[0] = str(update.rendered.path)
                if update.result is not None:
                    made = update.result
                    lines = "\n".join(f"- {escape(sentence)}" for sentence in made.sentences)
                    shown = [
                        str(made.video),
                        None if made.comparison is None else str(made.comparison),
                        [(str(path), text) for path, text in made.used],
                        drawing.timeline(made.moments, made.rate),
                        lines,
                        str(made.records),
                    ]
                yield (*shown, _progress(update))

    @sentences()
    def remember(self, result: FileLike, made: list[str]) -> tuple[list[str], Any]:
        """The files of this session, with the newest result first."""
        kept = [path for path in (_path(result), *made) if path and Path(path).is_file()]
        kept = list(dict.fromkeys(kept))[:_REMEMBERED]
        return kept, gr.update(value=kept, visible=bool(kept))

    @sentences("looking")
    def as_gif(self, result: FileLike) -> Iterator[str]:
        """The result as a GIF."""
        with temporary_folder(self._folder / WORK) as folder:
            yield str(self._service.converted(_path(result), folder, ".gif"))

    @sentences("looking")
    def of_animation(self, file: FileLike) -> Iterator[str]:
        """A GIF, or whatever a browser does not take as a video, as one that it plays."""
        with temporary_folder(self._folder / WORK) as folder:
            yield str(self._service.converted(_path(file), folder, ".mp4"))

    @sentences("computing")
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
        choices = _choices(mode=mode, t=t, start=start, longest=longest)
        with self.runs.take(_visitor(request)) as stop:
            for update, videos, both in self._service.compare(_path(picture), _path(driving), choices, stop, model):
                if both is None:
                    yield gr.skip(), gr.skip(), _progress(update, bool(videos), kept=False)
                    continue
                (left, first), (right, second) = videos
                yield str(both), drawing.wipe(left, right, (first, second)), _progress(update, True)

    @sentences("computing")
    def interpolate(
        self, first: FileLike, second: FileLike, num: float, t: float, mode: str, path: str, model: str
    ) -> tuple[Images, np.ndarray, str, Images]:
        """Images at equal steps of t between a picture and the pose in another, and the moment t."""
        views = self._views(first, second, self._steps(num), mode, path, model)
        images = [(view.image, f"t = {view.t:.2f}") for view in views]
        return images, *self._moment(first, second, t, mode, path, model, views)

    @sentences("looking")
    def moment(
        self, first: FileLike, second: FileLike, t: float, mode: str, path: str, model: str
    ) -> tuple[np.ndarray | None, str, Images]:
        """The image at any t, its keypoints with their ways, and maps: deformation, contributions and occlusion."""
        if not first or not second:
            return None, "", []
        return self._moment(first, second, t, mode, path, model)

    @sentences("computing")
    def export(
        self, first: FileLike, second: FileLike, num: float, mode: str, path: str, kind: str, model: str
    ) -> Iterator[str]:
        """The images at equal steps of t as one file."""
        views = self._views(first, second, self._steps(num), mode, path, model)
        with temporary_folder(self._folder / WORK) as folder:
            yield str(self._service.export(views, kind, folder, model))  # type: ignore[arg-type]

    @sentences()
    def load_model(
        self, kind: str = SHIPPED, name: str = "", checkpoint: FileLike = None, size: float = 256
    ) -> tuple[str, str, str]:
        """Load a model; it is used in this session from then on."""
        model = self._service.models.load(
            kind,  # type: ignore[arg-type]
            str(name or ""),
            _path(checkpoint),
            int(_number(size, "size")),
        )
        return model.key, f"Loaded: {escape(model.describe())}.", banner(model.title, model.notice)

    @sentences("looking")
    def live_begin(self, picture: FileLike, model: str) -> str:
        """The word by which the page sends its camera's frames."""
        from .live import LiveSessions

        self._live = self._live or LiveSessions(self.limits.live)
        return self._live.begin(lambda: self._service.live(_path(picture), model))

    def live_frame(self, word: object = "", frame: object = "", *_: object) -> str:
        """The picture in the pose of a frame, see `space.live`."""
        return "" if self._live is None else self._live.frame(str(word), str(frame))

    def live_end(self, word: object = "", *_: object) -> None:
        """Its page stopped."""
        if self._live is not None:
            self._live.end(str(word))

    def shipped_banner(self) -> str:
        """What the page says about the model that it begins with."""
        model = self._service.model(SHIPPED)
        return banner(model.title, model.notice)

    @sentences()
    def offered(self, model: str) -> Offered:
        """What this model has."""
        return self._service.model(model).offered()

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
    return f'<p class="mc-banner" role="note">Model: {escape(title)}. {escape(notice)}</p>'


def _progress(update: Update, ended: bool = False, kept: bool = True) -> str:
    """How far a run is.

    Args:
        ended: whether this is the last of it; with a result it is in any case.
        kept: whether what is made before a stop is shown.
    """
    done, total = update.done, count(update.total, "frame")
    ended = ended or update.result is not None
    which = f" of video {update.video} of {update.videos}" if update.videos > 1 else ""
    bar = done + (update.video - 1) * update.total, update.videos * update.total
    if update.stopped and not done:
        return drawing.progress("Stopped before it began.", tone="ended")
    if update.stopped and ended:
        shown = "What was made until then is shown." if kept else "Both videos are needed, so nothing is shown."
        return drawing.progress(f"Stopped after {done} of {total}{which}. {shown}", tone="ended")
    if ended:
        about = "" if update.result is None else f" {update.result.about}."
        made = count(done, "frame") if update.videos == 1 else f"{update.videos} videos of {count(done, 'frame')}"
        return drawing.progress(f"Done: {made}.{about}", tone="ended")
    if update.stopped:
        return drawing.progress(f"Stopping after {done} of {total}{which}", *bar)
    if not bar[0]:
        return drawing.progress("Starting", *bar)
    if bar[0] == bar[1]:
        return drawing.progress("Putting everything together", *bar)
    left = "" if update.seconds_left is None else f", about {duration(update.seconds_left)} left"
    return drawing.progress(f"{done} of {total}{which}{left}", *bar, update.frame)


def _choices(
    *,
    strength: object = Choices.strength,
    t: object = Choices.t,
    longest: object = Choices.longest,
    start: object = None,
    end: object = None,
    picture_box: str = "",
    driving_box: str = "",
    subject: str = "",
    photos: list[FileLike] | None = None,
    **plain: Any,  # what the settings check
) -> Choices:
    return Choices(
        strength=_number(strength, "strength"),
        t=_number(t, "t"),
        longest=_number(longest, "the length limit"),
        start=_second(start, "start"),
        end=_second(end, "end"),
        picture_box=shares(str(picture_box or ""), 4, "the part of the picture"),  # type: ignore[arg-type]
        driving_box=shares(str(driving_box or ""), 4, "the part of the video"),  # type: ignore[arg-type]
        subject=shares(str(subject or ""), 2, "the person's place"),  # type: ignore[arg-type]
        photos=tuple(path for photo in photos or () if (path := _path(photo))),
        **plain,
    )


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
