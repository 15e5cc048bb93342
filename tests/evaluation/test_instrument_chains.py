"""Detectors and embedders: the real ones where they are installed, and what is said where they are not."""

import sys

import numpy as np
import pytest
from evaluation_drawings import draw_face

from eval.instruments import bodies, open_detector, open_embedder
from motion_core.errors import InputError

DARK_SKIN = (110, 75, 55)


@pytest.fixture
def missing(monkeypatch):
    """Makes packages impossible to import, as if they were not installed."""

    def make(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return make


def test_what_is_missing_or_wrong_is_named_in_one_sentence(missing, monkeypatch, tmp_path):
    missing("dlib", "face_alignment")
    monkeypatch.setenv("MOTION_CORE_CACHE", str(tmp_path))
    for opened, spec, message in [
        (open_detector, "dlib", r"pip install '.\[faces\]'"),
        (open_detector, "face-alignment", r"pip install '.\[face-alignment\]'"),
        (open_detector, "mediapipe-body", "python -m eval.install_worker mediapipe"),
        (open_detector, "mediapipe-face", "python -m eval.install_worker mediapipe"),
        (open_detector, "openpose", "detector must be one of mediapipe-body, .*, benchmark, got 'openpose'"),
        (open_detector, "benchmark:nowhere.pth", "benchmark:FILE: there is no file nowhere.pth"),
        (open_detector, "mediapipe-face:large", "mediapipe-face takes nothing after a colon, got 'large'"),
        (open_embedder, "dlib", r"pip install '.\[faces\]'"),
        (open_embedder, "resnet", "embedder must be one of dlib, benchmark, got 'resnet'"),
    ]:
        with pytest.raises(InputError, match=message):
            opened(spec)


def test_the_18_joints_are_those_of_the_same_name():
    points = np.arange(66.0).reshape(33, 2)
    found = ~np.isin(bodies.POSE, ["nose", "left shoulder"])

    joints = dict(zip(bodies.JOINTS, bodies.body_joints(points, found, bodies.POSE), strict=True))

    assert len(joints) == 18
    for name, joint in joints.items():
        expected = np.nan if name in ("nose", "left shoulder", "neck") else points[bodies.POSE.index(name)]
        np.testing.assert_array_equal(joint, np.broadcast_to(expected, 2))


@pytest.mark.slow
def test_dlib_finds_a_drawn_face_and_who_it_is():
    pytest.importorskip("dlib", reason="dlib is not installed: pip install '.[faces]'")
    detector, embedder = open_detector("dlib"), open_embedder("dlib")
    plain, shifted = (detector.landmarks(draw_face(shift)) for shift in (0, 20))

    assert plain.shape == (68, 2)
    assert np.abs(plain[[48, 54]].mean(axis=0) - (128, 181)).max() < 4, "the middle of the mouth's corners"
    np.testing.assert_allclose((shifted - plain).mean(axis=0), (20, 0), atol=2)
    assert np.isnan(detector.landmarks(np.full((256, 256, 3), 90, np.uint8))).all()
    same, other = (
        np.linalg.norm(embedder.embed(image) - embedder.embed(draw_face()))
        for image in (draw_face(10), draw_face(0, DARK_SKIN))
    )
    assert same < 0.2 < other
    assert embedder.embed(np.full((256, 256, 3), 90, np.uint8)) is None
