"""What the buttons do, without Gradio: files in, files and sentences out, one run beside the other."""

from __future__ import annotations

import json
import re
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np

from motion_core import AnimationSettings, InputError, media
from motion_core.animation import AnimatedFrame
from motion_core.framing import Placement
from motion_core.interpolation import check_times
from motion_core.live import LivePicture
from motion_core.settings import Fit, KeypointPath, Mode

from . import compute
from .choices import EVERYTHING, SHIPPED, AppliedVariant, Box, Choices, Export, pixels_of
from .insight import View
from .limits import Limits
from .models import Model, Models, chooses_by_itself
from .reading import cut, cut_video, existing, open_driving, own_copy, read_picture, smaller
from .runs import Stop, Stopwatch, temporary_folder
from .words import Moment, count, diagnosis

_SHOWN_EVERY = 0.4  # seconds between two looks at the newest frame
_SEARCHED = 200_000_000  # pixels of a video that are searched for scene cuts
_LOOKED_AT = 8  # frames of a video, before a run
_SHOWN = 512  # pixels of a side of pictures that explain


@dataclass(frozen=True)
class Result:
    """A finished animation; the files are gone when the run ends.

    Attributes:
        video: the animated video, WebM where it is transparent.
        comparison: picture, video and result side by side; None where it is transparent.
        used: how one frame was made, in pictures, each with what it is.
        moments: of each frame, what was chosen and measured.
        rate: frames a second.
        sentences: the diagnosis.
        records: the moments as JSON.
        about: what the video is, for people.
    """

    video: Path
    comparison: Path | None
    used: list[tuple[Path, str]]
    moments: list[Moment]
    rate: float
    sentences: list[str]
    records: Path
    about: str


@dataclass(frozen=True)
class Update:
    """How far a run is; `result` comes with the last one, `frame` ``(H, W, 3 or 4)`` uint8 with some.

    Attributes:
        done, total: frames of the video that is made.
        video, videos: which of several that is.
    """

    done: int
    total: int
    seconds_left: float | None = None
    frame: np.ndarray | None = None
    stopped: bool = False
    rendered: Rendered | None = None
    result: Result | None = None
    video: int = 1
    videos: int = 1


@dataclass(frozen=True)
class Rendered:
    """A video and what it was made of.

    Attributes:
        path: of the video.
        size: (height, width) of its frames.
        picture, photos: ``(H, W, 3)`` uint8.
        driving: the part of the driving video that was used.
        settings, placement: of the run.
        keypoints: of each frame, ``(K, N, 2)``.
        times: of each frame, that of the interpolated image that was animated.
        metadata: what the file says of itself.
    """

    path: Path
    size: tuple[int, int]
    picture: np.ndarray
    photos: list[np.ndarray]
    driving: media.VideoSource
    settings: AnimationSettings
    placement: Placement
    keypoints: list[np.ndarray]
    times: list[float]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Checked:
    """What is found in the inputs before a run.

    Attributes:
        picture, driving: ``(H, W, 3)`` uint8, small; the driving video's first frame.
        limbs: of each, ``(K, 2, 2)`` as shares (x, y) of it.
        sentences: for people.
        works: whether a run would begin; if not, the last of the sentences says why.
    """

    picture: np.ndarray | None
    driving: np.ndarray | None
    limbs: tuple[np.ndarray | None, np.ndarray | None]
    sentences: tuple[str, ...]
    works: bool


class Service:
    """The app's work. One service serves all visitors.

    Args:
        folder: for temporary files; each run's own are deleted when it ends.
        limits: what may be asked for.
        models: the pipelines; None is the shipped one and what visitors load.
    """

    def __init__(self, folder: Path, limits: Limits | None = None, models: Models | None = None) -> None:
        self.limits = limits or Limits.of()
        self.models = models or Models(self.limits)
        self._folder = folder
        self._name = secrets.token_hex(8)
        compute.register(self._name, self.models)

    def close(self) -> None:
        """Let go of the models."""
        compute.forget(self._name)

    def model(self, key: str = SHIPPED) -> Model:
        return self.models.get(key)

    def preview(self, picture: str | None, choices: Choices, key: str = SHIPPED) -> tuple[np.ndarray, str]:
        """What part of a picture will be used: the picture with the rest dimmed, and a line of text."""
        settings = choices.settings()
        pixels = read_picture(picture, self.limits)
        look = compute.preview_of_subject if settings.crop else compute.preview
        return look(self._chosen(key), pixels, settings)

    def describe(self, driving: str | None, choices: Choices) -> str:
        """What a driving video is, and how much of it will be used, in a line of text."""
        with temporary_folder(self._folder) as folder:
            return self._described(open_driving(own_copy(driving, folder, self.limits), choices, self.limits))

    @staticmethod
    def _described(video: media.VideoSource) -> str:
        height, width = video.size
        whole, rate = float(video.reader.clock.duration), float(video.frame_rate)
        part = (
            "all of it is used"
            if video.duration >= whole - 0.5 / rate
            else f"{float(video.duration):.1f} s of it is used"
        )
        text = (
            f"{whole:.1f} s, {width} x {height} pixels, {'with' if video.has_audio else 'without'} sound; {part}: "
            f"{count(video.frame_count, 'frame')}."
        )
        if video.frame_count * height * width <= _SEARCHED and (cuts := list(media.scene_cuts(video))):
            times = ", ".join(f"{float(video.start) + time:.1f} s" for time in cuts)
            text += f" A new scene begins at {times}: choose one scene, motion does not cross a cut."
        return text

    def check(self, picture: str | None, driving: str | None, choices: Choices, key: str = SHIPPED) -> Checked:
        """Look at the inputs before a run; either may be missing. What cannot be used is said, and not raised."""
        shown: list[np.ndarray | None] = [None, None]
        told: list[str] = []
        pixels, frames = None, None
        try:
            settings = self._placed(choices)
            if picture:
                whole = read_picture(picture, self.limits)
                shown[0], pixels = smaller(whole, _SHOWN), cut(whole, choices.picture_box)
                settings = self._placed(choices, whole)
            if driving:
                with temporary_folder(self._folder) as folder:
                    video = open_driving(own_copy(driving, folder, self.limits), choices, self.limits)
                    told.append(f"The video: {self._described(video)}")
                    places = np.linspace(0, video.frame_count - 1, min(_LOOKED_AT, video.frame_count)).round()
                    looked_at = [next(video.frames(int(place))) for place in places]
                    shown[1] = smaller(looked_at[0], _SHOWN)
                    frames = [cut(frame, choices.driving_box) for frame in looked_at]
            seen = compute.look(self._chosen(key), pixels, frames, replace(settings, start=None, end=None))
        except InputError as error:
            return Checked(shown[0], shown[1], (None, None), (*told, str(error)), False)
        limbs = [
            None if points is None else _in_whole(points, box)
            for points, box in zip(seen.limbs, (choices.picture_box, choices.driving_box), strict=True)
        ]
        return Checked(shown[0], shown[1], (limbs[0], limbs[1]), (*told, *seen.sentences), seen.works)

    @staticmethod
    def _placed(choices: Choices, whole: np.ndarray | None = None) -> AnimationSettings:
        """The settings, with the place of the subject in pixels of what is left of a picture."""
        settings = choices.settings()
        if choices.subject is None or whole is None:
            return settings
        height, width = whole.shape[:2]
        top, left, *_ = pixels_of(choices.picture_box or EVERYTHING, (height, width))
        x, y = (share * (side - 1) for share, side in zip(choices.subject, (width, height), strict=True))
        return replace(settings, subject=(max(0.0, x - left), max(0.0, y - top)))

    def animate(
        self, picture: str | None, driving: str | None, choices: Choices, stop: Stop, key: str = SHIPPED
    ) -> Iterator[Update]:
        """Animate a picture. What is made before a stop is kept, and is a whole video; nothing is if that is before its turn."""
        with temporary_folder(self._folder) as folder:
            for update in self._render(picture, driving, choices, stop, key, folder):
                yield update
            made = update.rendered
            if made is None:
                return
            comparison = None
            if choices.scene != "transparent":
                comparison = made.path.with_name(f"{made.path.stem}-side-by-side.mp4")
                sound = made.driving if choices.keep_audio else None
                shown: list[np.ndarray | media.VideoSource] = [made.picture, made.driving, media.open_video(made.path)]
                self._compose(shown, ["picture", "video", "result"], comparison, sound, made.metadata)
            why = compute.explain(
                self._chosen(key, choices.variant),
                made.picture,
                made.photos,
                made.settings,
                made.placement,
                np.stack(made.keypoints),
                made.times,
            )
            moments = [
                Moment(t, moved, (1 - t) * moved) for t, moved in zip(made.times, why.displacements, strict=True)
            ]
            rate = float(made.driving.frame_rate)
            height, width = made.size
            yield replace(
                update,
                result=Result(
                    made.path,
                    comparison,
                    _saved(why.pictures, folder),
                    moments,
                    rate,
                    diagnosis(moments, rate, why),
                    _written(made.path.with_suffix(".json"), [asdict(moment) for moment in moments]),
                    f"{width} x {height} pixels, {rate:.3g} frames a second",
                ),
            )

    def _render(
        self,
        picture: str | None,
        driving: str | None,
        choices: Choices,
        stop: Stop,
        key: str,
        folder: Path,
    ) -> Iterator[Update]:
        """Updates of a run; the last one has what is rendered, unless it was stopped before its turn."""
        whole = read_picture(picture, self.limits)
        settings = self._placed(choices, whole)
        pixels = cut(whole, choices.picture_box)
        if choices.behind:
            read_picture(choices.behind, self.limits, "the picture behind the person")
        photos = [read_picture(photo, self.limits, "a photo of the subject") for photo in choices.photos]
        copied = own_copy(driving, folder, self.limits)
        video = open_driving(copied, choices, self.limits)
        if stop.asked:
            yield Update(0, video.frame_count, stopped=True)
            return
        settings = replace(settings, start=float(video.start), end=float(video.end))
        if choices.driving_box is not None:
            copied = cut_video(video, choices.driving_box, folder)
            video = media.open_video(copied)
            settings = replace(settings, start=None, end=None)
        chosen = self._chosen(key, choices.variant)
        total = video.frame_count
        yield Update(0, total)
        transparent = choices.scene == "transparent"
        path = folder / f"{_plain(picture)}-{_plain(driving)}.{'webm' if transparent else 'mp4'}"
        metadata = media.provenance(chosen.pipeline().model_name)
        keypoints: list[np.ndarray] = []
        times: list[float] = []
        size = (0, 0)
        watch = Stopwatch(total)
        kind = media.AlphaWriter if transparent else media.VideoWriter
        sound = video if choices.keep_audio else None
        with (
            kind(path, video.frame_rate, audio_from=sound, metadata=metadata) as writer,
            closing(compute.frames(chosen, pixels, copied, settings, photos)) as made,  # type: ignore[type-var]
        ):
            placement = cast(Placement, next(made))
            for frame in cast(Iterator[AnimatedFrame], made):
                writer.write(frame.image)
                keypoints.append(frame.keypoints)
                times.append(frame.selection.t)
                size = frame.image.shape[:2]
                if watch.is_due(_SHOWN_EVERY):
                    yield Update(len(times), total, watch.seconds_left(len(times)), frame.image)
                if stop.asked:
                    break
        rendered = Rendered(path, size, pixels, photos, video, settings, placement, keypoints, times, metadata)
        yield Update(len(times), total, 0.0, stopped=stop.asked, rendered=rendered)

    def compare(
        self, picture: str | None, driving: str | None, choices: Choices, stop: Stop, key: str = SHIPPED
    ) -> Iterator[tuple[Update, list[tuple[Path, str]], Path | None]]:
        """Animate the same pair by the plain backbone and by the full method.

        Yields updates over both runs; with the last one, the two videos with their names, and both side by side.
        """
        pipeline = self.model(key).pipeline
        full = "With a helper picture, where it helps"
        hop = f"With a helper picture, t = {choices.t:.2f}"
        runs = [
            ("Straight from the picture", replace(choices, selector="none", variant="tpsmm")),
            (full, choices) if chooses_by_itself(pipeline) else (hop, replace(choices, selector="fixed")),
        ]
        with temporary_folder(self._folder) as folder:
            videos: list[tuple[Path, str]] = []
            rendered: list[Rendered] = []
            watch: Stopwatch | None = None
            for number, (name, run) in enumerate(runs):
                own = folder / str(number)
                own.mkdir()
                for update in self._render(picture, driving, run, stop, key, own):
                    watch = watch or Stopwatch(update.total * len(runs))
                    left = watch.seconds_left(update.done + number * update.total)
                    update = replace(update, seconds_left=left, video=number + 1, videos=len(runs))
                    yield update, [], None
                if update.rendered is not None:
                    rendered.append(update.rendered)
                    videos.append((update.rendered.path, name))
                if stop.asked:
                    break
            both = None
            if len(rendered) == len(runs):
                both = folder / "compared.mp4"
                last = rendered[-1]
                self._compose(
                    [media.open_video(path) for path, _ in videos],
                    [name for _, name in videos],
                    both,
                    last.driving if choices.keep_audio else None,
                    last.metadata,
                )
            yield replace(update, rendered=None, stopped=stop.asked), videos, both

    def interpolate(
        self,
        first: str | None,
        second: str | None,
        times: Sequence[float],
        mode: Mode = "standard",
        path: KeypointPath = "linear",
        fit: Fit = AnimationSettings.fit,
        key: str = SHIPPED,
    ) -> list[View]:
        """Images between a picture and the pose in another one, at any times in [0, 1]."""
        if len(times) > self.limits.moments:
            raise InputError(f"at most {self.limits.moments} images are made at a time, got {len(times)}")
        wanted = check_times(times).tolist()
        if mode == "relative":
            raise InputError("mode 'relative' needs a video: interpolate with 'standard', 'pose' or 'avd'")
        settings = AnimationSettings(mode=mode, path=path, fit=fit)
        pipeline = self.model(key).pipeline
        if mode == "avd" and pipeline.avd_network is None:
            raise InputError("mode 'avd' needs a model with an AVD network; this one has none: use 'standard'")
        pixels = [
            read_picture(file, self.limits, what)
            for file, what in ((first, "the first picture"), (second, "the second picture"))
        ]
        return compute.views(self._chosen(key), pixels[0], pixels[1], settings, wanted)

    def export(self, views: Sequence[View], kind: Export, folder: Path, key: str = SHIPPED) -> Path:
        """Write images as one file: a GIF, an MP4, or a ZIP of PNG files."""
        if kind not in get_args(Export):
            raise InputError(f"the format must be one of {', '.join(get_args(Export))}, got {kind!r}")
        metadata = media.provenance(self.model(key).pipeline.model_name)
        if kind == "PNG":
            target = folder / "interpolated.zip"
            with zipfile.ZipFile(target, "w") as archive:
                for index, view in enumerate(views):
                    picture = folder / f"{index:02d}-t-{view.t:.3f}.png"
                    media.save_image(picture, view.image, metadata)
                    archive.write(picture, picture.name)
            return target
        target = folder / f"interpolated.{kind.lower()}"
        with media.VideoWriter(target, 12, metadata=metadata) as writer:
            for view in views:
                writer.write(view.image)
        return target

    def live(self, picture: str | None, key: str = SHIPPED) -> LivePicture:
        """A picture that moves with a camera."""
        return LivePicture(self.model(key).pipeline, read_picture(picture, self.limits))

    def converted(self, file: str | None, folder: Path, ending: str) -> Path:
        """A video as another kind of file, ".gif" or ".mp4"."""
        path = existing(file, "the video", self.limits.video_megabytes)
        video = media.open_video(path, max_pixels=self.limits.video_pixels)
        if video.frame_count > self.limits.frames:
            raise InputError(f"{path.name}: has {video.frame_count} frames, at most {self.limits.frames} are taken")
        target = folder / f"{_plain(str(path))}{ending}"
        with media.VideoWriter(target, video.frame_rate, audio_from=video) as writer:
            for frame in video:
                writer.write(frame)
        return target

    def _chosen(self, key: str, variant: AppliedVariant = "as trained") -> compute.Chosen:
        self.model(key)  # loads the shipped one, and says so if another is gone
        return compute.Chosen(self._name, key, variant)

    @staticmethod
    def _compose(
        shown: Sequence[np.ndarray | media.VideoSource],
        captions: Sequence[str],
        output: Path,
        sound: media.VideoSource | None,
        metadata: dict[str, str],
    ) -> None:
        last = shown[-1]
        height = last.size[0] if isinstance(last, media.VideoSource) else last.shape[0]
        media.compose_comparison(
            shown, captions, output, height=min(max(256, height), 480), audio_from=sound, metadata=metadata
        )


def _in_whole(limbs: np.ndarray, box: Box | None) -> np.ndarray:
    """Points ``(..., 2)`` as shares (x, y) of a part, as those of the whole."""
    top, left, height, width = box or EVERYTHING
    return np.array([left, top]) + limbs * np.array([width, height])


def _saved(pictures: list[tuple[np.ndarray, str]], folder: Path) -> list[tuple[Path, str]]:
    """Pictures as small files, each with what it is."""
    saved = []
    for index, (pixels, text) in enumerate(pictures):
        path = folder / f"how-{index + 1}.png"
        media.save_image(path, smaller(pixels, _SHOWN))
        saved.append((path, text))
    return saved


def _plain(path: str | None) -> str:
    """A file's name without its ending, as part of another's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(path or "").stem).strip("-")[:40] or "video"


def _written(path: Path, records: list[dict[str, float]]) -> Path:
    path.write_text(json.dumps([{"frame": index, **record} for index, record in enumerate(records)]), encoding="utf-8")
    return path
