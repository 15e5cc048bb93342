"""Rendered people in front of photos."""

from dataclasses import replace

import numpy as np
import pytest

from eval.rendered_people.camera import Camera, look_at, outwards, project, to_camera
from eval.rendered_people.clip import Plan, Studio
from eval.rendered_people.places import Photo, Places
from eval.rendered_people.planes import Planes
from eval.rendered_people.render import main
from eval.rendered_people.rotations import rounded
from eval.rendered_people.scene import Backdrop
from motion_core.errors import InputError
from motion_core.media import save_image

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photos that get redder to the right and greener downwards."""
    folder = tmp_path_factory.mktemp("places")
    x, y = np.meshgrid(np.linspace(20, 220, 120), np.linspace(20, 220, 90))
    for number in range(6):
        picture = np.stack((x, y, np.full(x.shape, 40.0 * number)), axis=-1)
        save_image(folder / f"place{number}.png", picture.round().astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def shots(folder):
    studio = Studio(Plan("train", 4, 3, 4, SIZE, places=folder))
    return [studio.shot(identity, 0) for identity in range(8)]


def test_a_photo_has_its_pixels_where_the_projector_throws_them():
    """By the camera's own projection; beyond the border it is mirrored."""
    picture = np.random.default_rng(0).uniform(size=(5, 7, 3)).astype(np.float32)
    pose = look_at(np.array((0.3, 1.2, 3.0)), np.array((0.0, 0.9, 0.0)))
    photo = Photo("a", picture, pose, 20.0, np.array((-3 / 20, -2 / 20)))
    points = np.random.default_rng(1).uniform(-1, 1, (400, 3)) * (0.7, 0.5, 0.2) + (0, 0.9, 0)
    place = project(to_camera(pose, points), 20.0, (5, 7))
    nearest = np.round(place).astype(int)
    exact = np.linalg.norm(place - nearest, axis=1) < 0.12
    x, y = np.pad(np.arange(7), 8, "reflect")[nearest[:, 0] + 8], np.pad(np.arange(5), 8, "reflect")[nearest[:, 1] + 8]
    assert exact.sum() > 10
    assert ((nearest < 0) | (nearest >= (7, 5)))[exact].any()
    assert np.abs(photo.colors(points) - picture[y, x])[exact].max() < 0.2


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_a_photo_covers_the_view_of_every_frame(shots, folder, degrees):
    """Nowhere does it go on mirrored: the colours always change in the same direction."""
    target = np.tile((0.0, 0.9, 0.0), (3, 1))
    eye = target + 3.5 * outwards(np.array((-degrees, 0.0, degrees)), 5.0)
    camera = Camera(rounded(look_at(eye, target)), 100.0, (SIZE, SIZE), "orbit")
    scene = replace(shots[0].scene, planes=Planes(np.array((0.0, 0, 1)), 2.0))
    places = Places(folder)
    for seed in range(4):
        photo = places.draw(np.random.default_rng(seed), places.files, camera, scene.planes)
        backdrop = Backdrop(replace(scene, kind="photo", photo=photo), camera, np.ones(3))
        for frame in range(3):
            colors, floor, points = backdrop.at(frame)
            across = np.diff(colors[..., 0], axis=1)
            assert (across > 0).mean() > 0.98 or (across < 0).mean() > 0.98
            assert (np.diff(colors[..., 1], axis=0) > 0).mean() > 0.98
            assert len(floor) == len(points) > 0  # for the shadow


def test_half_of_the_clips_have_a_photo_and_are_otherwise_the_same(shots, folder):
    without = Studio(Plan("train", 4, 3, 4, SIZE))
    with_photo = [shot for shot in shots if shot.scene.photo is not None]
    assert 2 <= len(with_photo) <= 6
    for number, shot in enumerate(shots):
        other = without.shot(number, 0)
        np.testing.assert_array_equal(shot.camera.poses, other.camera.poses)
        np.testing.assert_array_equal(shot.transforms, other.transforms)
        assert (shot.scene.kind == "photo") == (shot in with_photo) == ("place" in shot.about)
    assert {shot.about["place"] for shot in with_photo} <= {f"place{k}.png" for k in (2, 3, 4)}  # those of this split


def test_the_command_line_takes_a_folder_of_photos_and_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    plan = ("--split", "test", "--identities", "3", "--clips", "1", "--seed", "4", "--frames", "2", "--size", "32")
    written = []
    for root in (tmp_path / "one", tmp_path / "two"):
        assert main([*plan, "--near", "--places", str(folder), "--out", str(root)]) == 0
        written.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*.*") if path.is_file()})
    assert written[0] == written[1]
    assert any(b'"place": "place0.png"' in content for content in written[0].values())


def test_folders_without_photos_are_refused(tmp_path):
    with pytest.raises(InputError, match="must be a folder of photos"):
        Studio(Plan("test", 1, places=tmp_path / "none"))
    with pytest.raises(InputError, match="must have photos in it"):
        Studio(Plan("test", 1, places=tmp_path))
