"""Tracks of real people: what is made of mediapipe's landmarks, and mediapipe for real on a person whose limbs are known."""

import shutil

import numpy as np
import pytest

from eval import workers
from eval.benchmark.annotations import read_annotations
from eval.benchmark.clip import Plan
from eval.benchmark.render import render_split
from eval.benchmark.tracks import CELLS, GROUPS, keypoints, tracks_file
from eval.person_tracks import find_person, main, person_keypoints, person_points, write_tracks
from eval.workers import start_worker
from motion_core.errors import InputError
from motion_core.media import VideoWriter, open_frames
from motion_core.networks.layered.limbs import STRIPS

SIDE, METRE = 200, 80.0
STANDING = {  # mediapipe's numbers; pixels
    0: (100, 40), 7: (104, 38), 8: (96, 38), 11: (115, 60), 12: (85, 60), 13: (130, 80), 14: (70, 80),
    15: (135, 105), 16: (65, 105), 17: (136, 112), 18: (64, 112),
    19: (135, 112), 20: (65, 112), 23: (110, 110), 24: (90, 110),
    25: (112, 145), 26: (88, 145),
    27: (112, 180), 28: (88, 180), 29: (112, 183), 30: (88, 183), 31: (115, 185), 32: (85, 185),
}  # fmt: skip


class Told:
    """A worker that gives the answers it is told, one after another, again and again."""

    def __init__(self, *answers):
        self.answers, self.asked = answers, 0

    def answer(self, image):
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]


def answer(moved=(), visibility=()):
    """What mediapipe would say of a standing person; some landmarks moved, some less visible."""
    points = np.zeros((33, 3))
    points[:, :2], points[:, 2] = (100.0, 100.0), 0.9
    for number, place in {**STANDING, **dict(moved)}.items():
        points[number, :2] = place
    for number, value in dict(visibility).items():
        points[number, 2] = value
    metres = np.concatenate((points[:, :2] / METRE, np.zeros((33, 1))), axis=1)
    silhouette = np.zeros((CELLS, CELLS), bool)
    silhouette[5:30, 10:22] = True
    return {"points": points.tolist(), "metres": metres.tolist(), "silhouette": silhouette.tolist()}


NOBODY = {"points": []}
IMAGE = np.zeros((SIDE, SIDE, 3), np.uint8)


def person(**changes):
    return find_person(Told(answer(**changes)), IMAGE)


def test_strips_lie_along_the_limbs_and_are_as_wide_as_those_of_rendered_people():
    found, known = person_keypoints(person())

    assert known.all()
    forearm = found[GROUPS.index(("right_forearm", "right_hand"))]
    np.testing.assert_allclose(forearm[:2].mean(axis=0), STANDING[14], atol=1e-9)
    np.testing.assert_allclose(forearm[2:4].mean(axis=0), STANDING[16], atol=1e-9)
    np.testing.assert_allclose(forearm[4], np.mean([STANDING[n] for n in (16, 18, 20)], axis=0))
    for group, (_, _, start_width, end_width, _) in enumerate(STRIPS):
        widths = np.linalg.norm(found[group, [0, 2]] - found[group, [1, 3]], axis=-1)
        np.testing.assert_allclose(widths, 2 * METRE * np.array((start_width, end_width)), rtol=1e-6)
    left, right = (found[GROUPS.index((f"{side}_forearm", f"{side}_hand")), 4] for side in ("left", "right"))
    np.testing.assert_allclose(left, (2 * 100 - right[0], right[1]), atol=0.5, err_msg="the person is symmetric")


def test_what_mediapipe_guesses_is_not_known():
    _, known = person_keypoints(person(visibility={16: 0.1}))

    assert (~known).any(axis=1).nonzero()[0].tolist() == [GROUPS.index(("right_forearm", "right_hand"))]


def test_points_are_between_the_joints_and_hidden_where_an_arm_may_be():
    points, seen = person_points(person())
    points, seen = points.reshape(len(GROUPS), -1, 2), seen.reshape(len(GROUPS), -1)
    assert seen.all()
    np.testing.assert_allclose(points[3, 1], (np.array(STANDING[14]) + STANDING[16]) / 2)

    _, crossed = person_points(person(moved={14: (80, 85), 16: (100, 85)}, visibility={27: 0.5}))
    crossed = crossed.reshape(len(GROUPS), -1)
    assert not crossed[1, 1], "the middle of the torso is behind the right forearm"
    assert crossed[1, 2], "its lower part is not"
    assert not crossed[GROUPS.index(("left_shin", "left_foot"))].any(), "an ankle that mediapipe is not sure of"


def test_nobody_is_nobody():
    assert find_person(Told(NOBODY), IMAGE) is None
    assert person(visibility=dict.fromkeys(range(33), 0.1)) is None, "mediapipe is sure of nothing"


def folders(tmp_path, names):
    for name in names:
        for root in ("pack", "large"):
            (tmp_path / root / "train").mkdir(parents=True, exist_ok=True)
            with VideoWriter(tmp_path / root / "train" / f"{name}.mp4", 25) as writer:
                for _ in range(2):
                    writer.write(np.zeros((64, 64, 3), np.uint8))
    return tmp_path / "pack", tmp_path / "large"


def test_tracks_are_written_for_videos_that_have_none(tmp_path):
    pack, large = folders(tmp_path, ("a", "b", "empty"))
    there = tracks_file(pack, "train", "a")
    there.parent.mkdir(parents=True)
    there.write_bytes(b"as it was")
    small = answer()
    small["points"] = (np.array(small["points"]) * (64 / SIDE, 64 / SIDE, 1)).tolist()

    assert write_tracks(pack, large, Told(small, NOBODY, NOBODY, NOBODY)) == (1, 2)

    assert there.read_bytes() == b"as it was"
    assert not tracks_file(pack, "train", "empty").exists()
    with np.load(tracks_file(pack, "train", "b")) as file:
        assert file["keypoints"].shape == (2, len(GROUPS), 5, 2)
        assert file["keypoints"][0].any(axis=-1).all()
        assert not file["keypoints"][1].any(), "nobody was found in the second frame"
        assert not file["places"][1].any()
        elbow = file["keypoints"][0, 3, :2].mean(axis=0) / 255
        np.testing.assert_allclose(elbow, np.array(STANDING[14]) / SIDE, atol=0.01)
        cells = np.unpackbits(file["silhouettes"], axis=1).reshape(-1, CELLS, CELLS)
        assert cells[1].all(), "where nobody was found, nothing is known to be background"
        assert not cells[0].all()

    shutil.rmtree(large / "train")
    folders(tmp_path / "other", ("a",))
    there.with_name("b.npz").unlink()
    with pytest.raises(InputError, match=r"pictures: .* must have b, as "):
        write_tracks(pack, tmp_path / "other" / "large", Told(NOBODY))


def test_without_mediapipe_it_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MOTION_CORE_CACHE", str(tmp_path))

    assert main([str(tmp_path), "--pictures", str(tmp_path)]) == 2

    assert "python -m eval.install_worker mediapipe" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mediapipe_sees_limbs_where_rendered_people_have_them(tmp_path):
    """The strips of a rendered person are known; mediapipe's are within 3 % of the side of them."""
    try:
        workers.install("mediapipe")
    except InputError as error:
        pytest.skip(str(error))
    render_split(Plan("train", 3, 6, 4, 384), tmp_path, 2, 2, png=True)
    worker, apart = start_worker("mediapipe", "person"), []
    for described in sorted((tmp_path / "annotations" / "train").glob("*#*.json")):
        clip = read_annotations(tmp_path, "train", described.stem)
        known = keypoints(clip)
        for frame, picture in open_frames(tmp_path / "train" / described.stem).frames_at(range(0, 6, 2)):
            someone = find_person(worker, picture)
            if someone is not None:
                found, sure = person_keypoints(someone)
                distance = np.linalg.norm((found + 0.5) / 384 - known[frame], axis=-1)
                apart.append(
                    np.where(sure & ((known[frame] >= 0) & (known[frame] <= 1)).all(axis=-1), distance, np.nan)
                )
    assert len(apart) >= 6
    assert np.nanmedian(apart) < 0.03
