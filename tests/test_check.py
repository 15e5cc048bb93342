"""What is said of a picture and a video before a render."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from subcases import each_case
from test_layered import standing

from motion_core import Keypoints, MotionInterpPipeline, media
from motion_core.check import Check, check_people
from motion_core.networks.layered.limbs import LIMBS, strip_ends

SQUARE = (100, 100)


def seen(source, driving, sizes=(SQUARE, SQUARE), looked_at=None):
    """The check of a person that takes the driving poses as they are."""
    poses = Keypoints(driving)
    return check_people(Keypoints(source), poses, poses, sizes, looked_at or len(driving))


def from_behind(points):
    """The same person seen from behind: mirrored, with the sides' names as they are."""
    return points * points.new_tensor([-1.0, 1.0])


def test_a_person_who_faces_the_camera_in_the_same_pose_leaves_nothing_to_say():
    check = seen(standing(), standing())

    assert check == Check(1, 1, (), (), False, 0, pytest.approx(0))
    assert check.sentences() == (
        "There is a person in the picture and in the video.",
        "The video moves a little from the picture's pose.",
    )


def test_the_distance_is_the_mean_of_the_limbs_in_heights_of_the_trunk_for_the_farthest_pose():
    source, poses = standing(), torch.cat((standing(), standing(shift=0.1), standing(raised=True)))

    check = seen(source, poses)

    start, end = (each[0].numpy() for each in strip_ends(source)[:2])
    trunk = np.linalg.norm((end - start)[LIMBS.index("torso")])
    by_hand = [np.linalg.norm(strip_ends(pose[None])[1][0].numpy() - end, axis=-1).mean() / trunk for pose in poses]
    assert check.distance == pytest.approx(max(by_hand), rel=1e-4)
    assert 0.1 < by_hand[1] < by_hand[2]


def test_limbs_out_of_the_picture_are_named_and_those_of_the_video_if_most_frames_lack_them():
    wide = (100, 200)  # of the square around it, the upper and lower quarter are out
    poses = torch.cat((standing(), standing(), standing(raised=True)))

    check = seen(standing(), poses, sizes=(wide, wide))

    assert check.out_of_picture == ("head", "right leg", "left leg")
    assert check.out_of_video == ("head", "right leg", "left leg")
    assert "Not in sight: head, right leg and left leg in the picture, and head" in check.sentences()[1]
    assert seen(standing(), poses, sizes=(SQUARE, wide)).out_of_picture == ()


@each_case("turn", [0.0, 1.5])
def test_who_is_seen_from_behind_has_the_right_shoulder_on_the_right(turn):
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float32)
    front, back = standing() @ rotation.mT, from_behind(standing()) @ rotation.mT

    assert not seen(front, front).turned_away
    assert seen(back, front).turned_away
    assert seen(back, front).sentences()[1].startswith("The person in the picture is seen from behind")
    assert seen(front, torch.cat((front, back, back))).driving_turned_away == 2


def test_who_is_seen_from_the_side_is_not_turned_away():
    side = from_behind(standing()) * torch.tensor([0.05, 1.0])

    assert not seen(side, side).turned_away


def test_never_more_than_four_sentences():
    wide = (100, 200)

    check = seen(from_behind(standing()), from_behind(standing()), sizes=(wide, wide), looked_at=8)

    assert len(check.sentences()) == 4
    assert check.sentences()[0] == "There is a person in the picture, and in 1 of 8 video frames that were looked at."


def test_models_that_are_not_of_people_say_nothing(variant_pipeline):
    pipe: MotionInterpPipeline = variant_pipeline("tpsmm")
    frames = np.random.default_rng(0).integers(0, 255, (2, 128, 128, 3), dtype=np.uint8)

    assert pipe.stream(media.load_image(frames[0]), frames).check() is None
