"""Motion modes: hull areas against scipy's, and what relative motion must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from motion_core import Keypoints, motion_modes
from motion_core.motion_modes import (
    best_frame,
    hull_area,
    pose,
    relative,
    relative_limbs,
    relative_scale,
    standard,
    with_strength,
)


def poses(count: int, seed: int) -> Keypoints:
    return Keypoints(
        torch.tensor(np.random.default_rng(seed).uniform(-0.8, 0.8, (count, 5, 5, 2)), dtype=torch.float32)
    )


def moved(keypoints: Keypoints, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> Keypoints:
    return Keypoints(keypoints.points * scale + torch.tensor([x, y]))


def assert_equal(result: Keypoints, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(result.points, expected, rtol=0, atol=tolerance)


SOURCE, INITIAL, DRIVING = poses(1, 0), poses(1, 1), poses(4, 2)


def test_hull_area_equals_scipys():
    for count in [3, 4, 10, 50, 500]:
        for seed in range(3):
            points = np.random.default_rng(seed).normal(size=(count, 2))
            assert hull_area(points) == pytest.approx(
                ConvexHull(points).volume, rel=1e-9
            )  # "volume" is the area in the plane


def test_hull_area_with_many_points_on_the_edges_and_where_points_span_none():
    lattice = np.array([(x, y) for x in range(5) for y in range(4)], float)
    assert hull_area(np.concatenate((lattice, lattice))) == pytest.approx(12)
    line = np.arange(9.0)
    for points in [
        np.zeros((0, 2)),
        np.array([[0.3, 0.2]]),
        np.array([[0.3, 0.2], [-0.5, 0.9]]),
        np.full((7, 2), 0.25),
        *(np.stack(axes, axis=1) for axes in ((line, 0 * line), (0 * line, line), (line, 2 * line))),
    ]:
        assert hull_area(points) == 0


def test_standard_is_the_driving_pose():
    assert standard(DRIVING) is DRIVING


def test_relative_equals_the_formula():
    areas = [ConvexHull(keypoints.points[0].reshape(-1, 2).numpy()).volume for keypoints in (SOURCE, INITIAL)]
    expected = (DRIVING.points - INITIAL.points) * math.sqrt(areas[0] / areas[1]) + SOURCE.points
    assert_equal(relative(SOURCE, DRIVING, INITIAL), expected)


def test_relative__the_initial_pose_gives_the_source():
    assert_equal(relative(SOURCE, INITIAL, INITIAL), SOURCE.points)


def test_relative__place_and_size_of_the_driving_object_do_not_matter():
    for elsewhere in ({"x": 0.3, "y": -0.2}, {"scale": 0.4, "x": 0.1}):
        result = relative(SOURCE, moved(DRIVING, **elsewhere), moved(INITIAL, **elsewhere))
        assert_equal(result, relative(SOURCE, DRIVING, INITIAL).points)


def test_relative__a_source_of_half_the_size_moves_by_half():
    half = moved(SOURCE, 0.5, x=0.2)
    motion = relative(SOURCE, DRIVING, INITIAL).points - SOURCE.points
    assert_equal(relative(half, DRIVING, INITIAL), half.points + motion / 2)


def test_relative__points_without_area_leave_the_scale_at_1():
    still = Keypoints(torch.zeros(1, 5, 5, 2))
    assert relative_scale(SOURCE, still) == relative_scale(still, INITIAL) == 1
    assert_equal(relative(SOURCE, moved(still, x=0.1), still), SOURCE.points + torch.tensor([0.1, 0.0]))


def test_avd_asks_the_network(golden_networks):
    with torch.inference_mode():
        result = motion_modes.avd(golden_networks.avd_network, SOURCE, DRIVING)
        expected = golden_networks.avd_network(SOURCE, DRIVING).points
    assert torch.equal(result.points, expected)


def test_strength_0_is_the_source_1_the_motion_2_twice_the_motion():
    assert_equal(with_strength(SOURCE, DRIVING, 0), SOURCE.points.expand(4, -1, -1, -1), 0)
    assert with_strength(SOURCE, DRIVING, 1) is DRIVING
    assert_equal(with_strength(SOURCE, DRIVING, 2), 2 * DRIVING.points - SOURCE.points)
    assert_equal(with_strength(SOURCE, DRIVING, 0.5), (DRIVING.points + SOURCE.points) / 2)


def test_best_frame_finds_the_sources_pose_elsewhere_and_in_another_size():
    for planted in [0, 17, 39]:
        driving = poses(40, 5).points
        driving[planted] = moved(SOURCE, 0.4, x=0.3, y=-0.25).points[0] + 0.01 * torch.randn(5, 5, 2)
        assert best_frame(SOURCE, Keypoints(driving)) == planted


def test_best_frame_prefers_the_pose_to_the_place():
    """A frame in the same place with another pose loses to the pose in another place."""
    near = SOURCE.points + 0.1 * torch.randn(1, 5, 5, 2)
    far = moved(SOURCE, 0.5, x=-0.6, y=0.5).points
    assert best_frame(SOURCE, Keypoints(torch.cat((near, far)))) == 1


def test_best_frame_takes_points_without_area():
    still = torch.zeros(2, 5, 5, 2)
    assert best_frame(SOURCE, Keypoints(torch.cat((still, SOURCE.points)))) == 2


# Limbs: a trunk from (0, -0.4) down to (0, 0.2), an upper arm that hangs on it and a forearm that hangs on that.

PARENTS = (-1, 0, 1)


def limb(near: complex, far: complex) -> list[list[float]]:
    """Five points: two on either side of each end, and the middle."""
    side = 0.05j * (far - near) / abs(far - near)
    corners = (near - side, near + side, far - side, far + side, (near + far) / 2)
    return [[point.real, point.imag] for point in corners]


def person(upper: float, lower: float, size: float = 1.0, at: complex = 0) -> Keypoints:
    """The arm's two angles in degrees, from hanging down (0) to the side (90)."""
    shoulder, hips = at - 0.3j * size, at + 0.2j * size

    def towards(angle: float) -> complex:
        return 0.3 * size * (math.sin(math.radians(angle)) + 1j * math.cos(math.radians(angle)))

    elbow = shoulder + towards(upper)
    trunk = limb(at - 0.4j * size, hips)
    return Keypoints(torch.tensor([[trunk, limb(shoulder, elbow), limb(elbow, elbow + towards(lower))]]))


def ends(pose: Keypoints) -> torch.Tensor:
    """Near and far end of each limb, ``(K, 2, 2)``."""
    return torch.stack((pose.points[0, :, :2].mean(dim=1), pose.points[0, :, 2:4].mean(dim=1)), dim=1)


def test_limbs__a_source_in_the_initial_pose_takes_the_driving_pose_exactly():
    assert_equal(relative_limbs(person(10, 40), person(60, 130), person(10, 40), PARENTS), person(60, 130).points)
    assert_equal(relative_limbs(SOURCE, DRIVING, SOURCE, (2, 0, -1, 2, 3)), DRIVING.points, 1e-4)


def test_limbs__the_initial_pose_gives_the_source():
    assert_equal(relative_limbs(person(80, 20), person(10, 40), person(10, 40), PARENTS), person(80, 20).points)


def test_limbs__they_turn_as_the_driving_ones_do_and_stay_together():
    """Where displacements alone tear the arm off: it begins 70 degrees higher than the driving one."""
    source, initial, driving = person(80, 90), person(10, 20), person(50, 100)
    result = relative_limbs(source, driving, initial, PARENTS)
    assert_equal(result, person(80 + 40, 90 + 80).points, 1e-4)
    torn = ends(relative(source, driving, initial))
    assert (torn[2, 1] - torn[2, 0]).norm() != pytest.approx(0.3, abs=0.05), "the forearm"


def test_limbs__place_and_size_of_the_driving_person_do_not_matter():
    expected = relative_limbs(person(30, 60), person(50, 100), person(10, 20), PARENTS).points
    smaller = [person(*angles, size=0.5, at=0.2 + 0.1j) for angles in ((50, 100), (10, 20))]
    # The limbs' width is not a part of that: it is the same in all sizes here.
    found = relative_limbs(person(30, 60), *smaller, PARENTS)
    torch.testing.assert_close(ends(found), ends(Keypoints(expected)), rtol=0, atol=1e-4)
    moved_on = person(50, 100, size=0.5, at=0.3 + 0.1j)
    shifted = ends(relative_limbs(person(30, 60), moved_on, smaller[1], PARENTS)) - ends(found)
    torch.testing.assert_close(shifted, torch.tensor([0.2, 0.0]).expand(3, 2, 2), rtol=0, atol=1e-4)


def test_limbs__one_that_pointed_at_the_camera_does_not_become_endless():
    foreshortened = Keypoints(person(0, 0).points.clone())
    foreshortened.points[0, 2] = torch.tensor(limb(0j, 0.001j))
    result = relative_limbs(person(0, 0), person(0, 0), foreshortened, PARENTS)
    assert result.points.isfinite().all()
    assert result.points.abs().max() < 1.5


# The pose alone, in the source's size and place


def test_pose__size_and_place_of_the_driving_person_do_not_matter():
    for parents in [None, (-1, 0, 1)]:
        source = person(30, 60, size=1.4, at=0.1 - 0.2j)
        expected = pose(source, person(50, 100), person(10, 20), parents)
        smaller, start = (moved(person(*angles), 0.5, x=0.2, y=0.3) for angles in ((50, 100), (10, 20)))
        assert_equal(pose(source, smaller, start, parents), expected.points)
        shifted = moved(smaller, x=0.1)
        assert (pose(source, shifted, start, parents).points - expected.points)[..., 0].min() > 0.1, (
            "moving on is motion"
        )


def test_pose__a_person_of_the_same_build_becomes_the_driving_one_in_its_own_place():
    source, driving = person(80, 20, size=0.5, at=0.3 + 0.4j), person(10, 40)
    result = pose(source, driving, driving, PARENTS)
    assert_equal(
        result, moved(driving, 0.5, x=0.3, y=result.points[..., 1].max() - driving.points[..., 1].max() / 2).points
    )
    assert result.points[..., 1].max() == pytest.approx(float(source.points[..., 1].max())), "it stands where it stood"
    torch.testing.assert_close(ends(result)[0, 1, 0], ends(source)[0, 1, 0])


def test_pose__the_first_driving_frame_counts_for_size_and_place_of_all():
    source = person(0, 0)
    crouched = moved(person(90, 90), y=0.3)
    result = pose(source, crouched, person(90, 90), PARENTS)
    torch.testing.assert_close(result.points[..., 1].max() - source.points[..., 1].max(), torch.tensor(0.3))


def test_pose__one_limb_that_points_at_the_camera_does_not_make_the_person_larger():
    source, driving = person(0, 0), Keypoints(person(0, 0).points.clone())
    driving.points[0, 0] = torch.tensor(limb(0.1999j, 0.2j))  # bent towards the camera
    torch.testing.assert_close(ends(pose(source, driving, driving, PARENTS))[1:], ends(source)[1:])
