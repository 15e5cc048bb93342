"""A pipeline as pairs are scored with it: its settings checked, its time taken, its operations counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.hardware import synchronize

from .frames import PairFrames
from .moving import Between, Moved, between, gmacs, move


class PairModel:
    """Takes the sources of pairs to their driving frames' poses.

    Raises:
        InputError: settings that the pipeline cannot take.
    """

    def __init__(self, pipeline: MotionInterpPipeline, settings: AnimationSettings) -> None:
        self._pipeline, self._settings = pipeline, settings
        self.size = pipeline.network_size(settings)
        pipeline.resolved(settings)
        self._seconds: list[tuple[int, float]] = []  # pairs of each batch, and the time it took
        self._gmacs: dict[str, float] = {}

    def move(self, pairs: Sequence[PairFrames]) -> Moved:
        """See `moving.move`."""
        sources = self._stack([pair.network_source for pair in pairs])
        driving = self._stack([pair.network_driving for pair in pairs])
        if not self._gmacs:
            self._gmacs = gmacs(self._pipeline, sources[:1], driving[:1], self._settings)
        synchronize(self._pipeline.device)
        began = time.perf_counter()
        moved = move(self._pipeline, sources, driving, self._settings)
        synchronize(self._pipeline.device)
        self._seconds.append((len(pairs), time.perf_counter() - began))
        return moved

    def between(self, moved: Moved) -> Iterator[Between]:
        """See `moving.between`."""
        return between(self._pipeline, moved, self._settings)

    def _stack(self, images: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(images)).to(self._pipeline.device)  # (B, 3, h, w)

    def about(self) -> dict[str, Any]:
        """What it is, and what a pair costs: of the source and one driving frame, without reading and measuring them."""
        pipeline, seconds = self._pipeline, sum(taken for _, taken in self._seconds)
        return {
            "model": pipeline.model_name,
            "variant": pipeline.config["variant"],
            "weights": pipeline.weights_digest(),
            "parameters": sum(
                weight.numel() for part in pipeline.components.values() if part for weight in part.parameters()
            ),
            "device": str(pipeline.device),
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            "settings": asdict(self._settings),
            "model_seconds": round(seconds, 3),
            "milliseconds_per_pair": round(1e3 * seconds / sum(pairs for pairs, _ in self._seconds), 2),
            "gmacs": {name: round(count, 4) for name, count in self._gmacs.items()},
        }
