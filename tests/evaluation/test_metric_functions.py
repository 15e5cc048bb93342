"""Each metric against a computation of its own: dropped joints, known embeddings."""

import doctest
import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.distance import euclidean, sqeuclidean

from eval import metric_functions as metrics
from eval import people, people_pairs, tables
from eval.instruments import bodies
from motion_core import Keypoints, motion_modes


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_examples_run():
    for module in (metrics, bodies, tables, people, people_pairs):
        assert doctest.testmod(module).failed == 0, module.__name__
    without = [test.name for test in doctest.DocTestFinder().find(metrics) if not test.examples]
    assert without == [metrics.__name__], "every function has an example"


def test_akd_and_mkr_are_over_joints_found(random):
    real = random.uniform(0, 255, (2, 18, 2))
    made = real + (3, 4)
    made[0, 2], real[0, 5] = math.nan, math.nan
    made[0, 7] += (30, 40)  # one joint of 16 is 50 pixels further off

    assert metrics.akd(made[0], real[0]) == pytest.approx(5 + 50 / 16)
    assert metrics.akd_per_coordinate(made[0], real[0]) == pytest.approx(3.5 + 35 / 16)
    assert metrics.mkr(made[0], real[0]) == 1 / 17
    assert metrics.mkr(made, real) == 1 / 35


def test_aed_of_known_embeddings(random):
    one, other = random.normal(size=(2, 128))

    assert metrics.aed(one, other) == pytest.approx(euclidean(one, other))
    assert metrics.aed_squared(one, other) == pytest.approx(sqeuclidean(one, other))


def test_l1_is_that_of_images_from_0_to_1(random):
    made, real = random.integers(0, 256, (2, 16, 12, 3), dtype=np.uint8)
    expected = torch.nn.functional.l1_loss(torch.from_numpy(made) / 255, torch.from_numpy(real) / 255).item()

    assert metrics.l1(made, real) == metrics.l1(real, made) == pytest.approx(expected, rel=1e-6)


def test_the_relative_target_is_what_the_relative_mode_does_to_keypoints(random):
    points = random.uniform(-1, 1, (3, 2, 5, 2))
    source, driving, initial = (Keypoints(torch.from_numpy(each[None])) for each in points)
    expected = motion_modes.relative(source, driving, initial).points.reshape(10, 2).numpy()

    np.testing.assert_allclose(metrics.relative_target(*points.reshape(3, 10, 2)), expected)


def test_the_relative_target_scales_by_the_joints_found_in_both_pictures(random):
    source, driving, initial = random.uniform(0, 255, (3, 18, 2))
    source[3], initial[4], driving[5] = math.nan, math.nan, math.nan
    both = np.delete(np.arange(18), [3, 4])
    areas = [ConvexHull(points[both]).volume for points in (source, initial)]  # in 2-D, the volume is the area

    result = metrics.relative_target(source, driving, initial)

    np.testing.assert_allclose(result[6], source[6] + math.sqrt(areas[0] / areas[1]) * (driving[6] - initial[6]))
    np.testing.assert_array_equal(np.isnan(result).all(axis=1), np.isin(np.arange(18), [3, 4, 5]))
    line = np.arange(10.0)[:, None] * np.ones(2)
    assert np.isnan(metrics.relative_target(line, line, line)).all(), "joints on a line span no area"


def test_flicker_sees_errors_that_change_and_no_motion(random):
    real = random.integers(0, 200, (2, 8, 8, 3), dtype=np.uint8)
    constant = real + np.uint8(20)
    changing = real + np.array([20, 31], np.uint8)[:, None, None, None]

    assert metrics.flicker(constant[1], real[1], constant[0], real[0]) == 0
    assert metrics.flicker(changing[1], real[1], changing[0], real[0]) == pytest.approx(11 / 255)
