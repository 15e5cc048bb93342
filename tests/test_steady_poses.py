"""Poses of a video: sides that change for a moment are changed back, and limbs do not tremble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from toy_people import turned_round

from motion_core.steady_poses import AVERAGED, BELIEVED_AFTER, SteadySides, without_trembling
from motion_core.structures import DrivingMotion, Keypoints


@pytest.fixture
def pose():
    """Keypoints ``(11, 5, 2)`` of limbs that are apart, and a face."""
    middle = torch.rand(11, 1, 2, generator=torch.Generator().manual_seed(0))
    return middle + 0.05 * torch.rand(11, 5, 2, generator=torch.Generator().manual_seed(1))


def steadied(poses, frame_rate, batch=4):
    batches = (DrivingMotion(Keypoints(part), None) for part in poses.split(batch))
    made = list(without_trembling(batches, frame_rate))
    assert [len(motion.keypoints.points) for motion in made] == [len(part) for part in poses.split(batch)]
    return torch.cat([motion.keypoints.points for motion in made])


def test_sides_that_change_for_a_moment_are_kept_and_those_that_last_are_believed(pose):
    own, turned = pose[None], turned_round(pose[None])
    assert not torch.equal(own, turned)

    def of_sequence(given):
        steady = SteadySides()
        return torch.cat([steady(each) for each in given])

    kept = of_sequence([own, own, *[turned] * 5, own, *[turned] * BELIEVED_AFTER])
    assert torch.equal(kept, own.expand_as(kept))
    believed = of_sequence([own, *[turned] * (BELIEVED_AFTER + 2)])
    assert torch.equal(believed[:-2], own.expand_as(believed[:-2]))
    assert torch.equal(believed[-2:], turned.expand(2, -1, -1, -1))


def test_legs_are_exchanged_without_arms(pose):
    crossed = pose.clone()
    crossed[6:10] = pose[[8, 9, 6, 7]]
    steady = SteadySides()
    steady(pose[None])
    assert torch.equal(steady(crossed[None])[0], pose)


def test_trembling_is_averaged_with_gaussian_weights_whatever_the_batches_are(pose):
    poses = pose + 0.01 * torch.randn(40, 11, 5, 2, generator=torch.Generator().manual_seed(2))
    made = steadied(poses, 30)
    for batch in (1, 7, 40):
        assert torch.equal(steadied(poses, 30, batch), made)
    known = gaussian_filter1d(poses.double().numpy(), AVERAGED * 30, axis=0, radius=3)
    np.testing.assert_allclose(made[3:-3], known[3:-3], atol=1e-6)
    assert torch.equal(made[[0, -1]], poses[[0, -1]]), "nothing on one side"


def test_motion_does_not_lag_and_slow_videos_stay_as_they_are(pose):
    moving = pose + 0.01 * torch.arange(20.0)[:, None, None, None]
    torch.testing.assert_close(steadied(moving, 30), moving)
    poses = pose + torch.randn(9, 11, 5, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(steadied(poses, 8), poses)


def test_poses_before_and_after_a_cut_are_not_mixed(pose):
    poses = torch.cat([pose.expand(6, -1, -1, -1), pose.expand(6, -1, -1, -1) + 1])
    torch.testing.assert_close(steadied(poses, 30), poses)
