"""Keypoints and background motion at any time between two poses."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from motion_core import InputError, Keypoints
from motion_core.geometry import affine_power
from motion_core.interpolation import (
    candidate_times,
    check_times,
    interpolate_background,
    interpolate_keypoints,
    remaining_background,
)

TIMES = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])


def random_keypoints(batch: int = 1) -> Keypoints:
    return Keypoints(torch.rand(batch, 3, 5, 2) * 2 - 1)


def near_identity(batch: int = 1, amount: float = 0.2) -> torch.Tensor:
    transform = torch.eye(3).repeat(batch, 1, 1)
    transform[:, :2] += amount * torch.randn(batch, 2, 3)
    return transform


def turned(points: torch.Tensor, angle: float, scale: float = 1.0) -> torch.Tensor:
    rotation = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ rotation.T


def test_path_begins_at_the_source_and_ends_at_the_driving_pose():
    for path in ["linear", "rigid"]:
        source, driving = random_keypoints(), random_keypoints()

        points = interpolate_keypoints(source, driving, TIMES, path).points

        torch.testing.assert_close(points[0], source.points[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(points[-1], driving.points[0], atol=1e-5, rtol=0)


def test_linear_path_between_equal_poses_stays_there_to_the_bit():
    """Rounding would make equal candidates differ, and one of them the best."""
    pose, times = random_keypoints(), torch.linspace(0, 1, 101)

    points = interpolate_keypoints(pose, pose, times).points

    assert points.equal(pose.points.expand_as(points))


def test_linear_path_is_a_straight_line():
    source, driving = random_keypoints(), random_keypoints()

    points = interpolate_keypoints(source, driving, TIMES).points

    for t, at_t in zip(TIMES.tolist(), points.numpy(), strict=True):
        expected = (1 - t) * source.points[0].double().numpy() + t * driving.points[0].double().numpy()
        np.testing.assert_allclose(at_t, expected, atol=1e-6)


def test_a_time_does_not_depend_on_the_others():
    for path in ["linear", "rigid"]:
        source, driving = random_keypoints(), random_keypoints()

        together = interpolate_keypoints(source, driving, torch.tensor([0.9, 0.3, 0.3, 0.1]), path).points

        torch.testing.assert_close(together[1], together[2], atol=0, rtol=0)
        alone = interpolate_keypoints(source, driving, torch.tensor([0.3]), path).points[0]
        torch.testing.assert_close(together[1], alone, atol=1e-6, rtol=0)


def test_rigid_path_turns_a_limb_without_shrinking_it():
    limb = torch.stack((torch.linspace(0, 0.8, 5), torch.zeros(5)), dim=-1)[None, None]  # along x
    swung = turned(limb, 2.0)

    def length(points):
        return (points[..., -1, :] - points[..., 0, :]).norm(dim=-1).flatten()

    half = torch.tensor([0.5])
    rigid = interpolate_keypoints(Keypoints(limb), Keypoints(swung), half, "rigid").points
    straight = interpolate_keypoints(Keypoints(limb), Keypoints(swung), half, "linear").points

    assert length(rigid).item() == pytest.approx(0.8, abs=1e-5)
    assert length(straight).item() < 0.8 * math.cos(1.0) + 1e-5
    direction = rigid[0, 0, -1] - rigid[0, 0, 0]
    assert math.atan2(direction[1], direction[0]) == pytest.approx(1.0, abs=1e-5)


def test_rigid_path_of_a_similarity_is_that_similarity_at_every_time():
    source = random_keypoints()
    driving = Keypoints(turned(source.points, 1.2, 1.5) + torch.tensor([0.3, -0.2]))

    points = interpolate_keypoints(source, driving, torch.tensor([0.4]), "rigid").points

    centre = source.points.mean(dim=2, keepdim=True)
    moved = (1 - 0.4) * centre + 0.4 * driving.points.mean(dim=2, keepdim=True)
    torch.testing.assert_close(points, turned(source.points - centre, 0.48, 1.5**0.4) + moved, atol=1e-5, rtol=0)


def test_rigid_path_of_points_in_one_spot_is_finite_and_has_finite_gradients():
    source = torch.zeros(1, 2, 5, 2, requires_grad=True)
    driving = random_keypoints().points[:, :2].requires_grad_()

    points = interpolate_keypoints(Keypoints(source), Keypoints(driving), torch.tensor([0.5]), "rigid").points
    points.square().sum().backward()

    assert torch.isfinite(points).all()
    assert torch.isfinite(source.grad).all()
    assert torch.isfinite(driving.grad).all()


def test_affine_power_equals_scipys():
    for t in [-1.0, 0.0, 0.3, 0.5, 1.0, 2.0]:
        transforms = near_identity(50, 0.3).double()
        expected = [scipy.linalg.expm(t * scipy.linalg.logm(a.numpy())).real for a in transforms]

        powers = affine_power(transforms, torch.full((50,), t, dtype=torch.float64))

        np.testing.assert_allclose(powers.numpy(), expected, atol=1e-11)


def test_affine_power_of_large_rotations_equals_the_angle_times_t():
    for angle in (1.0, 2.5, 3.1, -3.1):
        transform = torch.eye(3)[None].repeat(1, 1, 1)
        transform[0, :2, :2] = turned(torch.eye(2), angle).T

        power = affine_power(transform, torch.tensor([0.5]))

        assert math.atan2(power[0, 1, 0], power[0, 0, 0]) == pytest.approx(angle / 2, abs=1e-5)


def test_without_a_logarithm_the_path_still_ends_where_it_should():
    for linear in [[[-1.0, 0], [0, -2.0]], [[1.0, 0], [0, -1.0]], [[0.0, 0], [0, 1.0]]]:
        transform = torch.eye(3)[None].repeat(2, 1, 1)
        transform[1, :2, :2], transform[1, :2, 2] = (
            torch.tensor(linear),
            torch.tensor([0.1, 0.2]),
        )  # beside one that has one

        for t, expected in ((0.0, torch.eye(3)), (1.0, transform[1])):
            torch.testing.assert_close(affine_power(transform, torch.full((2,), t))[1], expected, atol=1e-6, rtol=0)
        assert torch.isfinite(affine_power(transform, torch.full((2,), 0.5))).all()


def test_background_is_consistent_between_the_hops_and_the_two_directions():
    """The first hop and then the second is the whole way; the way back at 1 - t is A^-1 A_t."""
    there = near_identity(20)
    back, t = torch.linalg.inv(there), torch.rand(20)

    first = interpolate_background(there, t)
    second = remaining_background(first, there)

    torch.testing.assert_close(first @ second, there, atol=1e-5, rtol=0)
    torch.testing.assert_close(second, interpolate_background(there, 1 - t), atol=1e-5, rtol=0)
    torch.testing.assert_close(interpolate_background(back, 1 - t), back @ first, atol=1e-5, rtol=0)


def test_background_path_has_gradients():
    transform = near_identity(3).requires_grad_()

    interpolate_background(transform, torch.rand(3)).sum().backward()

    assert torch.isfinite(transform.grad).all()
    assert transform.grad.abs().sum() > 0


def test_candidates_begin_at_the_source_and_stop_before_the_driving_pose():
    assert candidate_times(4).tolist() == [0, 0.25, 0.5, 0.75]


def test_times_and_paths_that_there_are_not_are_refused():
    for times in [[], [-0.1], [1.1], [float("nan")], ["soon"], [0.5, 2]]:
        with pytest.raises(InputError, match="times must be"):
            check_times(times)
    with pytest.raises(InputError, match="path must be one of linear, rigid, got 'round'"):
        interpolate_keypoints(random_keypoints(), random_keypoints(), TIMES[:1], "round")
    with pytest.raises(InputError, match="1 or more, got 0"):
        candidate_times(0)
