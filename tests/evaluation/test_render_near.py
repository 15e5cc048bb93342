"""Cameras that are near: people fill the picture and face it."""

import numpy as np
import pytest

from eval.rendered_people.camera import draw_camera, project, to_camera
from eval.rendered_people.clip import Plan, Studio, _staying
from eval.rendered_people.figure import joints, pose
from eval.rendered_people.motion import from_angles
from eval.rendered_people.near_camera import ROAMING, draw_near_camera
from eval.rendered_people.skeleton import ANGLES, JOINTS

SIZE = 256
HEAD, FEET = [JOINTS.index(f"{side}_ear") for side in ("left", "right")], [
    JOINTS.index(f"{side}_ankle") for side in ("left", "right")
]  # fmt: skip


def upright(metres: float = 0.0) -> np.ndarray:
    """Joints ``(4, 18, 3)`` of a person with hanging arms who goes a way to the side."""
    figure, _ = Studio(Plan("test", 0)).figure(0)
    path = np.zeros((4, 3))
    path[:, 0] = np.linspace(0, metres / figure.leg_length, 4)
    return joints(figure, pose(figure, from_angles(np.zeros((4, len(ANGLES))), np.zeros((4, 3)), path, "standing")))


def places(camera, points: np.ndarray) -> np.ndarray:
    """Pixels ``(T, 18, 2)`` of joints."""
    in_view = [to_camera(pose, at) for pose, at in zip(camera.poses, points, strict=True)]
    return project(np.stack(in_view), camera.focal, camera.size)


@pytest.fixture(scope="module")
def views():
    """Cameras of a person who stands, and where they see the joints in their first frame."""
    points = upright()
    cameras = [draw_near_camera(np.random.default_rng(seed), points, (SIZE, SIZE), 4) for seed in range(120)]
    return cameras, np.stack([places(camera, points)[0] for camera in cameras])


def test_a_standing_person_fills_the_picture_or_is_cut_below_the_hips(views):
    _, seen = views
    whole = (seen[:, FEET, 1] < SIZE).all(1)
    assert 0.55 < whole.mean() < 0.85
    tall = (seen[:, FEET, 1].mean(1) - seen[:, HEAD, 1].mean(1))[whole] / SIZE  # from the ankles to the ears
    assert (tall > 0.6).all()  # the soles and the hair take another eighth
    assert (tall < 0.9).all()
    hips = seen[~whole][:, [JOINTS.index("left_hip"), JOINTS.index("right_hip")], 1]
    assert (hips < SIZE).all()
    assert (hips > 0.6 * SIZE).all()
    assert (seen[:, HEAD] > 0).all()


def test_most_cameras_are_in_front(views):
    cameras, _ = views
    backwards = -np.stack(
        [camera.poses[0, 2, :3] for camera in cameras]
    )  # from the person to the camera, whose z is away
    degrees = np.abs(np.rad2deg(np.arctan2(backwards[:, 0], backwards[:, 2])))
    assert 0.7 < (degrees < 32).mean() < 0.95  # orbits begin further out
    assert degrees.max() < 100


def test_who_goes_further_than_the_roaming_is_followed():
    here, away = (upright(metres) for metres in (0.5 * ROAMING, 3.0))
    for seed in range(20):
        near = draw_near_camera(np.random.default_rng(seed), away, (SIZE, SIZE), 4)
        assert near.move == "follow"
        assert (np.abs(places(near, away)[:, HEAD, 0] - SIZE / 2) < 0.5 * SIZE).mean() > 0.9
    moves = {draw_near_camera(np.random.default_rng(seed), here, (SIZE, SIZE), 4).move for seed in range(20)}
    assert "static" in moves


def test_plans_choose_the_cameras_and_how_far_people_may_go():
    far, near, followed = (
        Studio(Plan("test", 1, 4, 4, 64, **kind)).shot(0, 0) for kind in ({}, {"near": True}, {"roaming": 0.0})
    )
    random = Plan("test", 1).random(0, 1, 0)
    Studio(Plan("test", 1, 4, 4))._motion(random, 0, 0)
    again = draw_camera(random, far.joints, (64, 64), 4)
    np.testing.assert_array_equal(far.camera.poses, again.poses)
    assert (near.camera.poses != far.camera.poses).any()
    assert followed.camera.move == "follow"


def test_most_people_stay_where_the_camera_need_not_follow():
    """With the same poses as on their way."""
    studio = Studio(Plan("test", 1, 16, 4, 64, near=True))
    shots = [studio.shot(0, clip) for clip in range(16)]  # each kind of movement, walking too
    way = np.array([np.ptp(shot.joints[:, JOINTS.index("neck"), ::2], axis=0).max() for shot in shots])
    still = np.array([shot.camera.move != "follow" for shot in shots])
    assert 0.4 < still.mean() < 0.95
    assert way[still].max() < 2 * ROAMING  # the neck moves with the trunk
    motion = from_angles(
        np.zeros((3, len(ANGLES))), np.zeros((3, 3)), np.array(((0.0, 0, 0), (1, 0.2, 1), (2, 0, 4))), "a"
    )
    short = _staying(motion, 2.0)
    np.testing.assert_array_equal(short.turns, motion.turns)
    np.testing.assert_allclose(np.ptp(short.path, axis=0), (1, 0.2, 2), atol=1e-5)
    np.testing.assert_allclose(short.path.mean(0), motion.path.mean(0), atol=1e-5)
    np.testing.assert_array_equal(_staying(motion, 5.0).path, motion.path)
