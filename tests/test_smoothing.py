"""The One-Euro filter against the paper's algorithm in plain Python, and what its default is good for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from subcases import each_case

from motion_core import InputError, Keypoints, OneEuro
from motion_core.smoothing import OneEuroFilter

RATE = 25.0
PIXEL = 2 / 255  # of a 256-pixel image, in coordinate units


def smoothed(points: np.ndarray, settings: OneEuro, rate: float = RATE) -> np.ndarray:
    """``(T, P, 2)`` through the filter, all at once."""
    keypoints = Keypoints(torch.tensor(points)[:, None])  # one spline of P points
    return OneEuroFilter(settings, rate)(keypoints).points[:, 0].numpy()


def plain_one_euro(xs: list[float], ys: list[float], settings: OneEuro, rate: float) -> list[tuple[float, float]]:
    """Casiez, Roussel, Vogel (2012), algorithm 1, number by number; the cut-off follows the speed of the point."""

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * rate)

    x, y, dx, dy = xs[0], ys[0], 0.0, 0.0
    result = [(x, y)]
    for new_x, new_y in zip(xs[1:], ys[1:], strict=True):
        a = alpha(settings.derivative_cutoff)
        dx = a * (new_x - x) * rate + (1 - a) * dx
        dy = a * (new_y - y) * rate + (1 - a) * dy
        a = alpha(settings.min_cutoff + settings.beta * math.hypot(dx, dy))
        x, y = a * new_x + (1 - a) * x, a * new_y + (1 - a) * y
        result.append((x, y))
    return result


def walk(frames: int, points: int, seed: int = 0) -> np.ndarray:
    """Random walks with noise, ``(T, P, 2)``."""
    rng = np.random.default_rng(seed)
    return 0.05 * rng.standard_normal((frames, points, 2)).cumsum(0) + 0.01 * rng.standard_normal((frames, points, 2))


@each_case("rate", [24.0, 30000 / 1001, 60.0])
@each_case("settings", [OneEuro(), OneEuro(0.5, 0.0, 2.0), OneEuro(3.0, 40.0, 0.3)])
def test_equals_a_plain_implementation(settings, rate):
    points = walk(60, 3)
    result = smoothed(points, settings, rate)
    for p in range(3):
        expected = plain_one_euro(points[:, p, 0].tolist(), points[:, p, 1].tolist(), settings, rate)
        np.testing.assert_allclose(result[:, p], expected, rtol=0, atol=1e-6)


@each_case("sizes", [[1] * 12, [5, 7], [11, 1], [1, 4, 4, 3]])
def test_how_frames_are_batched_does_not_matter(sizes):
    points = torch.tensor(walk(12, 10)).reshape(12, 2, 5, 2)
    together = OneEuroFilter(OneEuro(), RATE)(Keypoints(points)).points
    running = OneEuroFilter(OneEuro(), RATE)
    parts = [running(Keypoints(part)).points for part in points.split(sizes)]
    assert torch.equal(torch.cat(parts), together)


def test_two_filters_do_not_share_a_state():
    points = Keypoints(torch.rand(3, 2, 5, 2))
    first, second = OneEuroFilter(OneEuro(), RATE), OneEuroFilter(OneEuro(), RATE)
    first(Keypoints(torch.rand(3, 2, 5, 2)))
    assert torch.equal(second(points).points, OneEuroFilter(OneEuro(), RATE)(points).points)


@each_case("noise", [0.3 * PIXEL, 0.6 * PIXEL])
def test_trembling_of_a_still_point_falls_to_under_two_fifths(noise):
    points = noise * np.random.default_rng(1).standard_normal((400, 10, 2))
    steady = smoothed(points, OneEuro())[20:]
    jitter = np.diff(steady, axis=0).std() / np.diff(points, axis=0).std()
    assert jitter < 0.4
    assert steady.std() < 0.6 * points.std()


@each_case("speed", [0.5, 1.0, 2.0])
def test_lag_on_a_fast_ramp_is_under_one_frame(speed):
    """Coordinate units per second; 2 is the whole width in one second."""
    time = np.arange(60) / RATE
    ramp = np.stack((speed * time, np.zeros_like(time)), axis=1)[:, None]
    lag = (ramp - smoothed(ramp, OneEuro()))[:, 0, 0] / speed * RATE  # in frames
    assert lag.min() > -1e-6, "never ahead"
    assert lag[25:].max() < 0.6
    assert lag[25:].max() < lag.max() < 1, "it catches up"


def test_settings_out_of_range_are_refused():
    for value in [0.0, -1.0, math.inf, math.nan]:
        for name in ("min_cutoff", "derivative_cutoff"):
            with pytest.raises(InputError, match=rf"{name} must be a positive frequency in Hz, got {value}"):
                OneEuro(**{name: value})
        if value != 0:
            with pytest.raises(InputError, match=rf"beta must be 0 or more, got {value}"):
                OneEuro(beta=value)
