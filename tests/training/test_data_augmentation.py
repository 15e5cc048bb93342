"""Colours, against the standard library's conversions."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch

from train.config import JitterConfig
from train.data.augmentation import Colors, change_colors


@pytest.fixture
def images():
    return 0.3 + 0.4 * torch.rand(2, 3, 6, 8)  # far enough from 0 and 1 that nothing is clamped


def test_no_change_is_no_change(images):
    assert change_colors(images, Colors()) is images
    torch.testing.assert_close(change_colors(images, Colors(hue=1.0)), images, atol=1e-5, rtol=0)


def test_brightness_is_a_factor(images):
    torch.testing.assert_close(change_colors(images, Colors(brightness=1.2)), 1.2 * images)


def test_contrast_is_measured_from_the_grey_of_both_images(images):
    grey = np.mean([colorsys.rgb_to_yiq(*pixel)[0] for pixel in images.permute(0, 2, 3, 1).reshape(-1, 3).tolist()])
    expected = grey + 1.3 * (images - grey)
    torch.testing.assert_close(change_colors(images, Colors(contrast=1.3)), expected, atol=2e-3, rtol=0)


def test_without_saturation_all_is_grey(images):
    grey = change_colors(images, Colors(saturation=0.0))
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(grey[0, 0, 0, 0], torch.dot(images[0, :, 0, 0], torch.tensor([0.299, 0.587, 0.114])))


def test_hue_turns_in_yiq(images):
    turned = change_colors(images, Colors(hue=0.1))
    for before, after in zip(images[0].flatten(1).T.tolist(), turned[0].flatten(1).T.tolist(), strict=True):
        y, i, q = colorsys.rgb_to_yiq(*before)
        angle = math.atan2(q, i) + 2 * math.pi * 0.1
        radius = math.hypot(i, q)
        expected = colorsys.yiq_to_rgb(y, radius * math.cos(angle), radius * math.sin(angle))
        assert np.abs(np.array(after) - expected).max() < 5e-3  # its matrix is rounded to two digits


def test_nothing_leaves_the_range():
    changed = change_colors(torch.rand(2, 3, 8, 8), Colors(2.0, 2.0, 2.0, 0.5))
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_draws_stay_within_the_jitter():
    rng, jitter = np.random.default_rng(0), JitterConfig(brightness=0.1, contrast=0.2, saturation=0.3, hue=0.4)
    draws = [Colors.draw(rng, jitter) for _ in range(500)]
    for name in ("brightness", "contrast", "saturation", "hue"):
        values = np.array([getattr(draw, name) for draw in draws]) - (name != "hue")
        assert np.abs(values).max() <= getattr(jitter, name)
        assert np.ptp(values) > 1.9 * getattr(jitter, name)
