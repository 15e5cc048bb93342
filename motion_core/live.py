"""A picture that moves as somebody before a camera does, frame by frame, as they come: `python -m motion_core live`."""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib import import_module
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import media
from .ahead import ahead
from .errors import InputError
from .framing import network_points, place_in, to_network
from .networks.layered.person_detector import PRESENT, PersonDetector
from .people import driving_frames, seek
from .settings import AnimationSettings, OneEuro
from .smoothing import OneEuroFilter
from .steady_poses import SteadySides
from .structures import Keypoints
from .transfer import Composed

if TYPE_CHECKING:
    from .pipeline import MotionInterpPipeline

SIZE = 256  # of the networks' image, unless the settings have another: frames must keep up with a camera
RATE = 20.0  # frames a second that smoothing counts with
TOLD_EVERY = 2.0  # seconds


class LivePicture:
    """Takes camera frames in order, and gives the picture in each one's pose.

    The first pose that is seen counts as the picture's, as with `initial_frame` 0.

    Args:
        pipeline: of any model.
        source_image: the picture.
        settings: of the picture and the motion, and `t`; their `size` is 256 unless it is given.

    Raises:
        InputError: as for `MotionInterpPipeline.stream`.
    """

    @torch.inference_mode()
    def __init__(
        self,
        pipeline: MotionInterpPipeline,
        source_image: media.ImageSource,
        settings: AnimationSettings = AnimationSettings(smoothing=OneEuro()),  # noqa: B008 it is frozen
    ) -> None:
        self._pipeline, self._method = pipeline, pipeline.method
        self._settings = pipeline.resolved(replace(settings, size=settings.size or SIZE))
        self._picture = pipeline.read_picture(source_image, self._settings)  # (1, 3, H, W)
        self._placement = pipeline.place(self._picture, self._settings)
        self._source = pipeline.subject.encode(self._picture, self._placement)
        smoothing = self._settings.smoothing
        self._smooth = None if smoothing is None else OneEuroFilter(smoothing, RATE)
        self._region: torch.Tensor | None = None  # where the person was in the last frame, (1, 4)
        self._steady = SteadySides()
        self._pose: Keypoints | None = None  # the last one
        self._initial: Keypoints | None = None

    def restart(self) -> None:
        """The next pose that is shown counts as the picture's."""
        self._initial = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """The picture ``(h, w, 3)`` uint8 in the pose of a camera frame ``(H, W, 3)`` uint8; in the last one where nobody is."""
        return self.show(self.look(frame))

    @torch.inference_mode()
    def look(self, frame: np.ndarray) -> Keypoints | None:
        """The pose in a frame, ``(1, K, N, 2)`` in the networks' image; the last one where nobody is, None if there was none.

        While one frame is shown, the next one may be looked at, in another thread.
        """
        detector, device = self._method.detector, self._pipeline.device
        small = next(driving_frames([frame], 1)).to(device)  # (1, 3, h, w)
        placed = place_in((small.shape[-2], small.shape[-1]), self._placement.network_size, self._settings.fit)
        if isinstance(detector, PersonDetector):
            people = seek(detector, small, self._region, search=False)
            self._region = people.region if people.score.item() >= PRESENT else None
            if self._region is None:
                self._steady.forget()
                return self._pose
            found = Keypoints(network_points(self._steady(people.keypoints.points), placed))
        else:
            found = detector(to_network(small, placed))
        self._pose = found if self._smooth is None else self._smooth(found)
        return self._pose

    def show(self, pose: Keypoints | None) -> np.ndarray:
        """The picture ``(h, w, 3)`` uint8 in a pose that `look` gave."""
        return self.paint(self.compose(pose))

    @torch.inference_mode()
    def compose(self, pose: Keypoints | None) -> Composed:
        """What is seen of the picture in a pose that `look` gave; in another thread again, while the one before is painted."""
        source, settings = self._source.keypoints, self._settings
        poses = source
        if pose is not None:
            self._initial = initial = self._initial or pose
            poses = self._method.transfer(source, pose, settings, initial)
        t = poses.points.new_tensor([settings.t or 0.0])
        first = self._method.first_hop(self._source, poses, None, t, settings.path)
        return self._method.compose([self._source], poses, [None], first)

    @torch.inference_mode()
    def paint(self, composed: Composed) -> np.ndarray:
        """The picture ``(h, w, 3)`` uint8 of what `compose` gave."""
        made, settings = self._method.paint(composed), self._settings
        return media.to_uint8(self._pipeline.finish(made.image, self._picture, self._placement, settings))[0]


class Newest:
    """The newest of frames that come by themselves, in a thread; those that nobody takes in time are dropped.

    Attributes:
        seen: frames that came.
    """

    def __init__(self, frames: Iterator[np.ndarray]) -> None:
        self.seen = 0
        self._frames, self._ended = frames, False
        self._item: tuple[float, np.ndarray] | None = None
        self._error: Exception | None = None
        self._there = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._there:
                    if self._ended:
                        return
                    self._item = perf_counter(), frame
                    self.seen += 1
                    self._there.notify()
        except Exception as error:  # it is raised where frames are asked for
            self._error = error
        finally:
            with self._there:
                self._ended = True
                self._there.notify()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """When each frame came, on `perf_counter`, and the frame; ends when there are no more."""
        while True:
            with self._there:
                self._there.wait_for(lambda: self._item is not None or self._ended)
                item, self._item = self._item, None
            if item is None:
                if self._error is not None:
                    raise self._error
                return
            yield item

    def close(self) -> None:
        """Take no more."""
        with self._there:
            self._ended = True
        self._thread.join(2)


def run(pipeline: MotionInterpPipeline, options: argparse.Namespace, settings: AnimationSettings) -> None:
    """The command `live`: until its window is closed, its time is over, or Ctrl-C.

    Raises:
        InputError: no camera, no picture that can be used, or a package is missing.
    """
    frames = camera_frames(options.camera)
    picture = LivePicture(pipeline, options.source, settings)
    with ExitStack() as stack:
        newest = Newest(frames)
        window = None if options.no_window else stack.enter_context(closing(_Window()))
        other: _VirtualCamera | None = None
        latencies: list[float] = []
        began = told = perf_counter()
        threads = torch.get_num_threads()
        poses = ahead(((came, picture.look(frame)) for came, frame in newest), threads)
        for came, composed in ahead(((came, picture.compose(pose)) for came, pose in poses), threads):
            image = picture.paint(composed)
            if options.virtual_camera:
                other = other or stack.enter_context(closing(_VirtualCamera(image.shape[:2])))
                other.show(image)
            if window is not None and window.show(image) == "restart":
                picture.restart()
            now = perf_counter()
            latencies.append(now - came)
            if now - told > TOLD_EVERY:
                print(f"{len(latencies) / (now - began):.1f} frames/s", file=sys.stderr)
                told = now
            if (window is not None and window.closed) or now - began > (options.seconds or float("inf")):
                break
        spent = perf_counter() - began
        newest.close()  # or what is computed ahead would wait for one more
    if not latencies:
        raise InputError(f"{options.camera}: has no frames")
    first, *rest = latencies  # the first one warms up
    ordered = sorted(1000 * latency for latency in rest or [first])
    dropped = newest.seen - len(latencies)
    print(f"{len(latencies)} frames of {image.shape[1]} x {image.shape[0]}, {len(latencies) / spent:.1f} frames/s")
    print(f"latency {statistics.median(ordered):.0f} ms, 95 % within {ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms")
    print(f"{dropped} of {newest.seen} camera frames dropped")


def camera_frames(camera: str) -> Iterator[np.ndarray]:
    """Frames ``(H, W, 3)`` uint8 of a camera, by its number, or of a video file at its own speed, again and again.

    Raises:
        InputError: there is no such camera or file, or OpenCV is missing, which cameras need.
    """
    if not camera.isdecimal():
        return _played(media.open_video(camera))
    cv2 = _optional("cv2", "opencv-python")
    capture = cv2.VideoCapture(int(camera))
    if not capture.isOpened():
        raise InputError(f"camera {camera} cannot be opened: is it connected, and free?")

    def read() -> Iterator[np.ndarray]:
        try:
            while True:
                there, frame = capture.read()  # BGR
                if not there:
                    return
                yield np.ascontiguousarray(frame[:, ::-1, ::-1])  # as in a mirror
        finally:
            capture.release()

    return read()


def _played(video: media.VideoSource) -> Iterator[np.ndarray]:
    due = perf_counter()
    while True:
        for frame in video:
            due += 1 / float(video.frame_rate)
            sleep(max(0.0, due - perf_counter()))
            yield frame


class _Window:
    """Shows frames; q or Esc closes it, r lets the picture restart."""

    def __init__(self) -> None:
        self._cv2 = _optional("cv2", "opencv-python")
        self.closed = False

    def show(self, image: np.ndarray) -> str:
        self._cv2.imshow("motion transfer (synthetic)", image[..., ::-1])
        key = self._cv2.waitKey(1) & 0xFF
        self.closed = key in (27, ord("q"))
        return "restart" if key == ord("r") else ""

    def close(self) -> None:
        self._cv2.destroyAllWindows()


class _VirtualCamera:
    """A camera that other programs can choose."""

    def __init__(self, size: tuple[int, int]) -> None:
        pyvirtualcam = _optional("pyvirtualcam", "pyvirtualcam")
        try:
            self._camera = pyvirtualcam.Camera(width=size[1], height=size[0], fps=RATE)
        except RuntimeError as error:
            raise InputError(f"virtual camera: {error}") from error

    def show(self, image: np.ndarray) -> None:
        self._camera.send(image)

    def close(self) -> None:
        self._camera.close()


def _optional(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"this needs {package}: pip install {package}") from error
