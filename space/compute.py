"""The calls that use the networks; on ZeroGPU each runs where the GPU is, so all that goes in and out can be pickled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.animation import AnimatedFrame
from motion_core.framing import Placement

from . import insight
from .choices import AppliedVariant
from .insight import Explanation, Pair, Seen, View, encode_pair
from .models import Models, as_variant
from .zerogpu import on_gpu

_PAIRS = 8  # encoded pairs that are kept, for the slider to answer at once
_stores: dict[str, Models] = {}
_pairs: OrderedDict[tuple[str, Chosen, int, int, AnimationSettings], Pair] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Chosen:
    """A model, by the key of its store, and the variant that it is run as."""

    store: str
    key: str
    variant: AppliedVariant = "as trained"

    def pipeline(self) -> MotionInterpPipeline:
        return as_variant(_stores[self.store].get(self.key).pipeline, self.variant)


def register(store: str, models: Models) -> None:
    """Let calls find the models of a service by its name."""
    _stores[store] = models


def forget(store: str) -> None:
    """Undo `register`, and let go of what was encoded."""
    _stores.pop(store, None)
    with _lock:
        for name in [name for name in _pairs if name[0] == store]:
            del _pairs[name]


@on_gpu
def frames(
    chosen: Chosen, picture: np.ndarray, driving: str, settings: AnimationSettings, photos: Sequence[np.ndarray] = ()
) -> Iterator[Placement | AnimatedFrame]:
    """How the picture is placed, and then the frames of an animation, one by one."""
    animation = chosen.pipeline().stream(picture, driving, settings, source_images=photos)
    try:
        yield animation.placement
        yield from animation.frames
    finally:
        animation.frames.close()


@on_gpu
def explain(
    chosen: Chosen,
    picture: np.ndarray,
    photos: Sequence[np.ndarray],
    settings: AnimationSettings,
    placement: Placement,
    keypoints: np.ndarray,
    times: Sequence[float],
) -> Explanation:
    """See `space.insight.explain`."""
    return insight.explain(chosen.pipeline(), picture, photos, settings, placement, keypoints, times)


@on_gpu
def look(
    chosen: Chosen, picture: np.ndarray | None, frames: list[np.ndarray] | None, settings: AnimationSettings
) -> Seen:
    """See `space.insight.look`."""
    return insight.look(chosen.pipeline(), picture, frames, settings)


@on_gpu
def views(
    chosen: Chosen, first: np.ndarray, second: np.ndarray, settings: AnimationSettings, times: Sequence[float]
) -> list[View]:
    """The moments at `times` between two pictures."""
    name = (chosen.store, chosen, hash(first.tobytes()), hash(second.tobytes()), settings)
    with _lock:
        pair = _pairs.get(name)
    if pair is None:
        pair = encode_pair(chosen.pipeline(), first, second, settings)
        with _lock:
            _pairs[name] = pair
            while len(_pairs) > _PAIRS:
                _pairs.popitem(last=False)
    return [pair.at(t) for t in times]


def preview(chosen: Chosen, picture: np.ndarray, settings: AnimationSettings) -> tuple[np.ndarray, str]:
    """The picture with what is not used dimmed, and in words what is used."""
    pipeline = chosen.pipeline()
    placement = pipeline.place(pipeline.read_picture(picture, settings), settings)
    return pipeline.preview(picture, settings), placement.describe()


preview_of_subject = on_gpu(preview)  # it looks for the subject, which takes a network
