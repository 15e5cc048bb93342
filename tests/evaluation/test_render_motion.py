"""Random movements."""

import numpy as np
import pytest

from eval.rendered_people.choreography import KINDS, choreograph, mirrored, vector
from eval.rendered_people.motion import from_angles
from eval.rendered_people.skeleton import ANGLE, ANGLES, HIGH, LOW
from motion_core.errors import InputError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_movements_keep_to_the_joint_limits_and_do_not_jump(kind, seed):
    motion = choreograph(kind, np.random.default_rng(seed), 50, 25)
    identity = motion.turns @ np.swapaxes(motion.turns, -1, -2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
    step = motion.turns[1:] @ np.swapaxes(motion.turns[:-1], -1, -2)
    degrees = np.rad2deg(np.arccos(np.clip((np.trace(step, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert degrees.max() < 45  # a frame


def test_an_angle_out_of_its_limits_is_refused():
    angles = np.tile(LOW.clip(0), (2, 1))
    angles[1, list(ANGLES).index("left_knee")] = 160
    with pytest.raises(InputError, match=r"left_knee: must be in 0\.\.145 degrees, got 0 to 160"):
        from_angles(angles, np.zeros((2, 3)), np.zeros((2, 3)), "x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_movement_moves_and_is_another_one_with_another_seed(kind):
    first, second = (choreograph(kind, np.random.default_rng(seed), 50, 25).turns for seed in (0, 1))
    assert np.abs(first - first[:1]).max() > 0.3
    assert np.abs(first - second).max() > 0.3


def test_a_mirrored_pose_has_left_and_right_exchanged():
    pose = vector({"left_elbow": 70, "spine_side": 20, "head_turn": -30, "spine_bend": 10, "right_hip_side": 15})
    other = mirrored(pose)
    expected = {
        "right_elbow": 70,
        "spine_side": -20,
        "head_turn": 30,
        "spine_bend": 10,
        "left_hip_side": 15,
        "left_elbow": 14,
    }
    for name, value in expected.items():
        assert other[ANGLE[name]] == value
    np.testing.assert_array_equal(mirrored(other), pose)
    assert (LOW < HIGH).all()


def test_there_is_no_such_movement():
    with pytest.raises(InputError, match="kind: must be one of walking"):
        choreograph("flying", np.random.default_rng(0), 5, 25)
