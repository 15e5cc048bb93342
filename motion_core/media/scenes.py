"""Where one scene of a video ends and the next begins. PySceneDetect would need OpenCV, which nothing else here does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from .sources import VideoSource

_THUMBNAIL = (64, 36)  # (w, h): small enough that noise and small movements vanish
_LEVELS = 6  # of each channel in the colour histogram
_HISTORY = 12  # frames whose usual change a cut must stand out from
_SHORTEST = 3  # changes that must be known before it is clear what is usual
_CHANGE = 10.0  # mean difference in grey levels that a cut has at least
_COLORS = 0.2  # share of the pixels that change colour at a cut at least
_STANDS_OUT = 2.5  # times the usual change


def scene_cuts(source: VideoSource) -> Iterator[float]:
    """Yield the times, in seconds after the first frame of `source`, at which a new scene begins.

    Hard cuts only: fades and dissolves have no such moment.
    """
    return (float(index / source.frame_rate) for index in cut_frames(source))


def cut_frames(frames: Iterable[np.ndarray]) -> Iterator[int]:
    """Yield the numbers of the frames ``(H, W, 3)`` uint8 that begin a new scene.

    A cut changes both the picture and its colours, by much more than is usual in the frames before it, and for good:
    movement changes the picture but hardly its colours, and a flash is over in the next frame.
    """
    usual: deque[float] = deque(maxlen=_HISTORY)
    before: np.ndarray | None = None  # the frame before `last`
    last: np.ndarray | None = None
    candidate = False  # `last` differs from `before` like a new scene
    for index, frame in enumerate(frames):
        small = _thumbnail(frame)
        if candidate and before is not None:
            if _is_new(before, small):
                yield index - 1
                usual.clear()
            else:
                last = before  # a flash: as if it had not been
        candidate = False
        if last is not None:
            change = _difference(last, small)
            stands_out = len(usual) >= _SHORTEST and change > _STANDS_OUT * float(np.median(usual))
            candidate = stands_out and _is_new(last, small)
            if not candidate:
                usual.append(change)
        before, last = last, small
    if candidate:
        yield index


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize(_THUMBNAIL, Image.Resampling.BOX))


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def _is_new(a: np.ndarray, b: np.ndarray) -> bool:
    if _difference(a, b) < _CHANGE:
        return False
    return float(np.abs(_histogram(a) - _histogram(b)).sum()) / 2 > _COLORS


def _histogram(picture: np.ndarray) -> np.ndarray:
    """Share of the pixels in each of 6 x 6 x 6 colour cells; sums to 1."""
    cells = (picture.reshape(-1, 3).astype(np.int32) * _LEVELS) // 256
    flat = (cells[:, 0] * _LEVELS + cells[:, 1]) * _LEVELS + cells[:, 2]
    return np.bincount(flat, minlength=_LEVELS**3) / len(flat)
