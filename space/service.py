"""What the buttons do, without Gradio: files in, files and sentences out, one run beside the other."""

from __future__ import annotations

import json
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np

from motion_core import AnimationSettings, InputError, media
from motion_core.animation import AnimatedFrame
from motion_core.interpolation import check_times
from motion_core.settings import Fit, KeypointPath, Mode

from . import compute
from .choices import SHIPPED, AppliedVariant, Choices, Export
from .insight import View
from .limits import Limits
from .models import Model, Models
from .reading import open_driving, own_copy, read_picture
from .runs import Stop, Stopwatch, temporary_folder
from .words import Moment, chosen_times, diagnosis

_SHOWN_EVERY = 0.4  # seconds between two looks at the newest frame
_SEARCHED = 200_000_000  # pixels of a video that are searched for scene cuts
_MOST_IMAGES = 4  # interpolated images that are shown of one run


@dataclass(frozen=True)
class Result:
    """A finished animation; the files are gone when the run ends.

    Attributes:
        video: the animated video.
        comparison: source, driving video and result side by side.
        used: the images that were animated, each with what it is.
        moments: of each frame, what was chosen and measured.
        rate: frames a second.
        sentences: the diagnosis.
        records: the moments as JSON.
        model: its name.
    """

    video: Path
    comparison: Path
    used: list[tuple[Path, str]]
    moments: list[Moment]
    rate: float
    sentences: list[str]
    records: Path
    model: str


@dataclass(frozen=True)
class Update:
    """How far a run is; `result` comes with the last one, `frame` ``(H, W, 3)`` uint8 with some."""

    done: int
    total: int
    seconds_left: float | None = None
    frame: np.ndarray | None = None
    stopped: bool = False
    result: Result | None = None


@dataclass
class _Made:
    """What is kept of the frames while they are made."""

    moments: list[Moment] = field(default_factory=list)
    furthest: dict[float, tuple[float, np.ndarray]] = field(default_factory=dict)  # by t: displacement, keypoints

    def add(self, frame: AnimatedFrame) -> None:
        if frame.diagnosis is None:
            raise ValueError("a frame without its diagnosis")
        moment = Moment(frame.selection.t, **asdict(frame.diagnosis))
        self.moments.append(moment)
        key = round(moment.t, 4)
        if moment.displacement >= self.furthest.get(key, (-1.0, frame.keypoints))[0]:
            self.furthest[key] = (moment.displacement, frame.keypoints)


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
            video = open_driving(own_copy(driving, folder, self.limits), choices, self.limits)
            height, width = video.size
            whole, rate = float(video.reader.clock.duration), float(video.frame_rate)
            used = (
                "all of it is used"
                if video.duration >= whole - 0.5 / rate
                else f"{float(video.duration):.1f} s of it are used"
            )
            lines = [
                f"{whole:.1f} s, {width} x {height}, {'with' if video.has_audio else 'without'} sound; {used}: "
                f"{video.frame_count} frames."
            ]
            if video.frame_count * height * width <= _SEARCHED and (cuts := list(media.scene_cuts(video))):
                times = ", ".join(f"{float(video.start) + time:.1f} s" for time in cuts)
                lines.append(f"A new scene begins at {times}: choose one scene, motion does not cross a cut.")
            return " ".join(lines)

    def animate(
        self, picture: str | None, driving: str | None, choices: Choices, stop: Stop, key: str = SHIPPED
    ) -> Iterator[Update]:
        """Animate a picture. What is made before a stop is kept, and is a whole video."""
        settings = choices.settings()
        pixels = read_picture(picture, self.limits)
        with temporary_folder(self._folder) as folder:
            driving = own_copy(driving, folder, self.limits)
            video = open_driving(driving, choices, self.limits)
            settings = replace(settings, start=float(video.start), end=float(video.end))
            model = self.model(key)
            chosen = self._chosen(key, choices.variant)
            yield Update(0, video.frame_count)
            made = _Made()
            result = folder / "animated.mp4"
            sound = video if choices.keep_audio else None
            metadata = media.provenance(chosen.pipeline().model_name)
            with media.VideoWriter(result, video.frame_rate, audio_from=sound, metadata=metadata) as writer:
                watch = Stopwatch(video.frame_count)
                with closing(compute.frames(chosen, pixels, driving, settings)) as frames:  # type: ignore[type-var]
                    for frame in frames:
                        writer.write(frame.image)
                        made.add(frame)
                        done = writer.frame_count
                        left = watch.seconds_left(done)
                        if watch.is_due(_SHOWN_EVERY):
                            yield Update(done, video.frame_count, left, frame.image)
                        if stop.asked:
                            break
            yield Update(writer.frame_count, video.frame_count, 0.0, stopped=stop.asked)
            comparison = folder / "side-by-side.mp4"
            self._compose(
                [pixels, video, media.open_video(result)], ["source", "driving", "result"], comparison, sound, metadata
            )
            yield Update(
                writer.frame_count,
                video.frame_count,
                stopped=stop.asked,
                result=Result(
                    result,
                    comparison,
                    self._used(chosen, pixels, settings, made, folder),
                    made.moments,
                    float(video.frame_rate),
                    diagnosis(made.moments, float(video.frame_rate)),
                    _written(folder / "frames.json", [asdict(moment) for moment in made.moments]),
                    model.title,
                ),
            )

    def compare(
        self, picture: str | None, driving: str | None, choices: Choices, stop: Stop, key: str = SHIPPED
    ) -> Iterator[tuple[Update, list[tuple[Path, str]], Path | None]]:
        """Animate the same pair by the plain backbone and by the full method.

        Yields updates over both runs; with the last one, the two videos with their names, and both side by side.
        """
        has_method = self.model(key).pipeline.selector is not None
        runs = [
            (
                "tpsmm: the picture itself is animated",
                replace(choices, selector="none", variant="tpsmm", paste_back=False),
            )
        ]
        if has_method:
            name = f"{self.model(key).pipeline.config['variant']}: the full method"
            runs.append((name, replace(choices, variant="as trained", paste_back=False)))
        else:  # a converted checkpoint has no selector; a hop at a given time works with every model
            runs.append((f"one hop at t = {choices.t:.2f}", replace(choices, selector="fixed", paste_back=False)))
        with temporary_folder(self._folder) as folder:
            driving = own_copy(driving, folder, self.limits)
            videos: list[tuple[Path, str]] = []
            for number, (name, chosen) in enumerate(runs):
                for update in self.animate(picture, driving, chosen, stop, key):
                    if update.result is not None:
                        kept = folder / f"{number}.mp4"
                        kept.write_bytes(update.result.video.read_bytes())
                        videos.append((kept, name))
                    done, total = update.done + number * update.total, update.total * len(runs)
                    left = None if update.seconds_left is None else update.seconds_left * (len(runs) - number)
                    yield replace(update, done=done, total=total, seconds_left=left, result=None), [], None
                if stop.asked:
                    break
            both = None
            if len(videos) == len(runs):
                both = folder / "compared.mp4"
                shown = [media.open_video(path) for path, _ in videos]
                sound = open_driving(driving, choices, self.limits)
                metadata = media.provenance(self.model(key).pipeline.model_name)
                self._compose(
                    shown, [name for _, name in videos], both, sound if choices.keep_audio else None, metadata
                )
            yield Update(done, total, stopped=stop.asked), videos, both

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

    def _chosen(self, key: str, variant: AppliedVariant = "as trained") -> compute.Chosen:
        self.model(key)  # loads the shipped one, and says so if another is gone
        return compute.Chosen(self._name, key, variant)

    def _used(
        self, chosen: compute.Chosen, pixels: np.ndarray, settings: AnimationSettings, made: _Made, folder: Path
    ) -> list[tuple[Path, str]]:
        """The images that were animated: of each of the most frequent t, that of its largest displacement."""
        times = chosen_times(made.moments)[:_MOST_IMAGES]
        poses = [(t, made.furthest[t][1]) for t, _ in times]
        shown = []
        for (t, count), image in zip(times, compute.used_images(chosen, pixels, settings, poses), strict=True):
            path = folder / f"t-{t:.3f}.png"
            media.save_image(path, image)
            what = "the picture" if t == 0 else f"t = {t:.2f}"
            shown.append((path, f"{what}: {count} frames"))
        return shown

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


def _written(path: Path, records: list[dict[str, float]]) -> Path:
    path.write_text(json.dumps([{"frame": index, **record} for index, record in enumerate(records)]), encoding="utf-8")
    return path
