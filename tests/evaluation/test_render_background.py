"""The background of rendered clips: how the camera's movement transforms it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.rendered_people.annotations import Annotations, annotate
from eval.rendered_people.background import background_transform
from eval.rendered_people.camera import Camera, look_at, outwards
from eval.rendered_people.clip import Plan, Shot, Studio
from eval.rendered_people.rotations import rounded
from motion_core.errors import InputError
from motion_core.geometry import identity_grid, sample

SIZE = 96


def filmed(shot: Shot, eye: np.ndarray, target: np.ndarray) -> tuple[Annotations, list[np.ndarray]]:
    """A clip as seen by a camera at `eye` that looks at `target`, both (T, 3), and its scenes (H, W, 3)."""
    shot = replace(shot, camera=Camera(rounded(look_at(eye, target)), 150.0, (SIZE, SIZE), "moving"))
    renderer = shot.renderer()
    seen = np.stack([renderer.frame(frame)[1] for frame in range(len(eye))])
    return annotate(shot, seen), [renderer.scene(frame) for frame in range(len(eye))]


@pytest.fixture(scope="module")
def shots():
    """Clips of three frames in front of walls with something on them."""
    studio = Studio(Plan("test", 3, 3, 4, SIZE))
    found = [studio.shot(identity, 0) for identity in range(5)]
    return [shot for shot in found if shot.scene.kind != "plain"]


def error(theta: np.ndarray, source: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference between `wanted` and what the transform makes of the other scene, away from the border."""
    places = identity_grid(SIZE, SIZE, torch.zeros(1).double()) @ torch.from_numpy(theta[:2, :2].T) + torch.from_numpy(
        theta[:2, 2]
    )
    image = torch.from_numpy(source).double().movedim(-1, 0)[None]
    warped = sample(image, places[None])[0].movedim(0, -1).numpy()
    inside = (places.abs() <= 1).all(-1).numpy()
    return float(np.abs(warped - wanted)[inside].mean())


@pytest.mark.parametrize(("movement", "most"), [("orbit", 0.75), ("handheld", 0.4), ("follow", 0.7)])
def test_the_source_scene_warped_by_the_transform_is_the_driving_scene(shots, movement, most):
    target = np.tile((0.0, 0.9, 0.0), (3, 1))
    eye = target + 3.5 * outwards(np.array((-6.0, 0.0, 6.0) if movement == "orbit" else (0.0, 0, 0)), 5.0)
    aside = np.array(((-0.3, 0, 0.05), (0, 0, 0), (0.2, 0.1, 0)))
    if movement == "follow":
        eye, target = eye + aside, target + aside
    elif movement == "handheld":
        target = target + aside
    assert len(shots) > 1
    gains = []
    for shot in shots:
        clip, scenes = filmed(shot, eye, target)
        for i, j in ((0, 2), (2, 1)):
            theta = background_transform(clip, i, j)
            gains.append(error(theta, scenes[j], scenes[i]) / error(np.eye(3), scenes[j], scenes[i]))
    assert max(gains) < 1
    assert np.mean(gains) < most, gains


def test_a_camera_that_stands_still_does_not_move_the_background(shots):
    clip, _ = filmed(shots[0], np.tile((0, 1.0, 4.0), (3, 1)), np.tile((0, 1.0, 0), (3, 1)))
    np.testing.assert_array_equal(background_transform(clip, 0, 2), np.eye(3))


def test_a_camera_that_only_turns_moves_the_background_by_the_turn(shots):
    """Without parallax: a small turn to the right moves everything to the left, by focal length x angle."""
    eye, angle = np.tile((0, 1.0, 4.0), (2, 1)), 0.01
    target = eye + ((0, 0, -1.0), (np.sin(angle), 0, -np.cos(angle)))
    clip, _ = filmed(replace(shots[0], transforms=shots[0].transforms[:2], joints=shots[0].joints[:2]), eye, target)
    moved = background_transform(clip, 0, 1) - np.eye(3)
    assert moved[0, 2] == pytest.approx(-150.0 * angle / ((SIZE - 1) / 2), rel=0.05)
    assert np.abs(moved[1]).max() < 1e-3


def test_data_without_planes_and_frames_that_are_not_there_are_refused(shots):
    clip, _ = filmed(shots[0], np.tile((0, 1.0, 4.0), (3, 1)), np.tile((0, 1.0, 0), (3, 1)))
    with pytest.raises(InputError, match="must say where its wall is"):
        background_transform(replace(clip, about={}), 0, 1)
    with pytest.raises(InputError, match=r"j: must be a frame in 0\.\.2"):
        background_transform(clip, 0, 3)
