"""Each metric against a computation of its own: planted shifts, dropped joints, known embeddings."""

import doctest
import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.distance import euclidean, sqeuclidean

from eval import metric_functions as metrics
from eval.landmarks import bodies
from motion_core import Keypoints, motion_modes


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize("module", [metrics, bodies])
def test_the_examples_run(module):
    assert doctest.testmod(module).failed == 0
    without = [test.name for test in doctest.DocTestFinder().find(module) if not test.examples]
    assert without == [module.__name__], "every function has an example"


@pytest.mark.parametrize("shift", [(3, 4), (-6, 0), (0, 2.5)])
def test_akd_of_a_planted_shift(random, shift):
    real = random.uniform(0, 255, (68, 2))
    made = real + shift

    assert metrics.akd(made, real) == pytest.approx(math.hypot(*shift))
    assert metrics.akd_per_coordinate(made, real) == pytest.approx((abs(shift[0]) + abs(shift[1])) / 2)


def test_akd_is_over_the_joints_found_in_both(random):
    real = random.uniform(0, 255, (18, 2))
    made = real + (3, 4)
    made[2], real[5] = math.nan, math.nan
    made[7] += (30, 40)  # one joint of 16 is 50 pixels further off

    assert metrics.akd(made, real) == pytest.approx(5 + 50 / 16)
    assert metrics.akd_per_coordinate(made, real) == pytest.approx(3.5 + 35 / 16)


def test_mkr_of_dropped_joints(random):
    real = random.uniform(0, 255, (2, 18, 2))
    made = real.copy()
    made[0, :3], made[1, 4:6] = math.nan, math.nan
    real[1, 4:14] = math.nan  # in the second frame, 8 joints are there; none of the dropped ones is among them

    assert metrics.mkr(made[0], real[0]) == 3 / 18
    assert metrics.mkr(made[1], real[1]) == 0
    assert metrics.mkr(made, real) == 3 / 26
    assert metrics.mkr(real[1], real[0]) == 10 / 18


def test_landmark_metrics_are_undefined_where_nothing_is_found(random):
    real, nothing = random.uniform(0, 255, (18, 2)), np.full((18, 2), math.nan)

    for made, theirs in ((nothing, real), (real, nothing)):
        assert math.isnan(metrics.akd(made, theirs))
        assert math.isnan(metrics.akd_per_coordinate(made, theirs))
    assert metrics.mkr(nothing, real) == 1
    assert math.isnan(metrics.mkr(real, nothing))


def test_aed_of_known_embeddings(random):
    one, other = random.normal(size=(2, 128))

    assert metrics.aed(one, other) == pytest.approx(euclidean(one, other))
    assert metrics.aed_squared(one, other) == pytest.approx(sqeuclidean(one, other))


def test_l1_is_that_of_images_from_0_to_1(random):
    made, real = random.integers(0, 256, (2, 16, 12, 3), dtype=np.uint8)
    expected = torch.nn.functional.l1_loss(torch.from_numpy(made) / 255, torch.from_numpy(real) / 255).item()

    assert metrics.l1(made, real) == pytest.approx(expected, rel=1e-6)
    assert metrics.l1(real, made) == pytest.approx(expected, rel=1e-6)


def test_the_relative_target_is_what_the_relative_mode_does_to_keypoints(random):
    points = random.uniform(-1, 1, (3, 2, 5, 2))
    source, driving, initial = (Keypoints(torch.from_numpy(each[None])) for each in points)
    expected = motion_modes.relative(source, driving, initial).points.reshape(10, 2).numpy()

    result = metrics.relative_target(*points.reshape(3, 10, 2))

    np.testing.assert_allclose(result, expected)


def test_the_relative_target_scales_by_the_joints_found_in_both_pictures(random):
    source, driving, initial = random.uniform(0, 255, (3, 18, 2))
    source[3], initial[4], driving[5] = math.nan, math.nan, math.nan
    both = np.delete(np.arange(18), [3, 4])
    scale = math.sqrt(
        ConvexHull(source[both]).volume / ConvexHull(initial[both]).volume
    )  # in 2-D, the volume is the area

    result = metrics.relative_target(source, driving, initial)

    np.testing.assert_allclose(result[6], source[6] + scale * (driving[6] - initial[6]))
    assert np.isnan(result[3:6]).all()
    assert not np.isnan(np.delete(result, [3, 4, 5], axis=0)).any()


def test_the_relative_target_is_nowhere_for_joints_on_a_line():
    line = np.arange(10.0)[:, None] * np.ones(2)

    assert np.isnan(metrics.relative_target(line, line, line)).all()


def test_jitter_is_the_length_of_second_differences(random):
    points = random.uniform(0, 255, (6, 4, 2))
    points[2, 1] = math.nan

    result = metrics.jitter(points)

    for t in range(1, 5):
        for j in range(4):
            if j == 1 and t in (1, 2, 3):
                assert math.isnan(result[t - 1, j])
                continue
            around = [points[t + step, j] for step in (-1, 0, 1)]
            assert result[t - 1, j] == pytest.approx(math.dist(around[0] + around[2], 2 * around[1]))


def test_jitter_ratio_is_over_joints_found_in_both(random):
    driving = random.uniform(0, 255, (8, 5, 2))
    made = 2 * driving + 7 + 10 * np.arange(8.0)[:, None, None]  # place, size and steady motion do not matter
    made[:, 2] = random.uniform(0, 2550, (8, 2))
    driving[:, 2] = math.nan

    assert metrics.jitter_ratio(made, driving) == pytest.approx(2)
    assert math.isnan(metrics.jitter_ratio(made, np.ones((8, 5, 2)))), "the driving video does not tremble"
    assert math.isnan(metrics.jitter_ratio(made[:2], driving[:2])), "too short"


def test_flicker_sees_errors_that_change_and_no_motion(random):
    real = random.integers(0, 200, (2, 8, 8, 3), dtype=np.uint8)
    constant = real + np.uint8(20)
    changing = real + np.array([20, 31], np.uint8)[:, None, None, None]

    assert metrics.flicker(constant[1], real[1], constant[0], real[0]) == 0
    assert metrics.flicker(changing[1], real[1], changing[0], real[0]) == pytest.approx(11 / 255)
