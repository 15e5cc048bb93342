"""Smoothing of keypoints over time: less trembling where the object is still, no lag where it is fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .settings import OneEuro
from .structures import Keypoints


@dataclass
class OneEuroFilter:
    """The running filter of one sequence of keypoints.

    Args:
        settings: of the filter.
        frame_rate: frames per second.
    """

    settings: OneEuro
    frame_rate: float
    _points: Tensor | None = field(default=None, init=False)
    _speed: Tensor | None = field(default=None, init=False)

    def __call__(self, keypoints: Keypoints) -> Keypoints:
        """The next frames ``(B, K, N, 2)``, in order, smoothed; the very first frame comes out as it is."""
        return Keypoints(torch.stack([self._next(points) for points in keypoints.points]))

    def _next(self, points: Tensor) -> Tensor:
        if self._points is None or self._speed is None:
            self._points, self._speed = points, torch.zeros_like(points)
            return points
        speed = (points - self._points) * self.frame_rate
        weight = self._weight(torch.as_tensor(self.settings.derivative_cutoff))
        self._speed = torch.lerp(self._speed, speed, weight.to(points))
        cutoff = self.settings.min_cutoff + self.settings.beta * self._speed.norm(dim=-1, keepdim=True)  # (K, N, 1)
        self._points = torch.lerp(self._points, points, self._weight(cutoff).expand_as(points))
        return self._points

    def _weight(self, cutoff: Tensor) -> Tensor:
        """Weight of the new value in exponential smoothing with that cut-off frequency."""
        ratio = 2 * math.pi * cutoff / self.frame_rate
        return ratio / (ratio + 1)
