"""Workers in environments of their own: what goes over the pipes, and mediapipe for real."""

import sys

import numpy as np
import pytest
from evaluation_drawings import draw_face, draw_person

from eval import install_worker, workers
from eval.instruments import open_detector
from eval.instruments.bodies import JOINTS
from eval.workers import Worker
from motion_core.errors import InputError

# Answers with the image's size and its last pixel; a picture of 1 x 1 is an error, one of 2 x 2 its end.
SCRIPT = """
import json, sys
print(json.dumps({"version": "toy 1"}), flush=True)
for line in sys.stdin.buffer:
    size = json.loads(line)
    pixels = sys.stdin.buffer.read(size["height"] * size["width"] * 3)
    if size["height"] == 1:
        print(json.dumps({"error": "too small"}), flush=True)
    elif size["height"] == 2:
        sys.exit("no more paper")
    else:
        print(json.dumps({"points": [[size["width"], size["height"], 1], list(pixels[-3:])]}), flush=True)
"""


@pytest.fixture
def toy():
    return Worker([sys.executable, "-c", SCRIPT], "toy")


def test_images_go_there_and_points_come_back(toy):
    random = np.random.default_rng(0)
    for size in ((480, 640), (3, 5), (256, 256)):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        np.testing.assert_array_equal(toy.ask(image), [[size[1], size[0], 1], image[-1, -1]])
        np.testing.assert_array_equal(toy.ask(image[::-1])[1], image[0, -1])
    assert toy.version == "toy 1"


def test_a_worker_that_fails_is_an_error_and_not_a_missing_person(toy):
    with pytest.raises(InputError, match="toy: the worker failed: too small"):
        toy.ask(np.zeros((1, 1, 3), np.uint8))
    assert len(toy.ask(np.zeros((3, 3, 3), np.uint8))) == 2, "it goes on"
    for _ in range(2):
        with pytest.raises(InputError, match="toy: the worker ended with status 1: no more paper"):
            toy.ask(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(InputError, match="toy: the worker ended with status 3: it says nothing"):
        Worker([sys.executable, "-c", "raise SystemExit(3)"], "toy")


def test_a_worker_ends_with_its_object():
    worker = Worker([sys.executable, "-c", SCRIPT], "toy")
    process = worker._process

    del worker

    assert process.wait(10) != 0


def test_an_environment_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("a file where there should be a folder")
    monkeypatch.setenv("MOTION_CORE_CACHE", str(tmp_path / "cache"))

    assert install_worker.main(["mediapipe"]) == 2

    assert "the worker cannot be installed (Not a directory)" in capsys.readouterr().err
    assert not workers.is_installed()


@pytest.fixture(scope="session")
def _mediapipe():
    """The worker's environment, in the user's cache folder; it is made where it is missing and the network is there."""
    try:
        workers.install()
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_mediapipe")
def test_mediapipe_finds_the_joints_of_a_drawn_person():
    detector = open_detector("mediapipe-body")

    for angle, shift in ((0.2, 0), (1.2, -20), (2.4, 25)):
        image, joints = draw_person(angle, shift)
        found = detector.landmarks(image)
        assert found.shape == (18, 2)
        errors = {name: np.hypot(*(found[JOINTS.index(name)] - place)) for name, place in joints.items()}
        assert max(errors.values()) < 14, errors
        assert np.mean(list(errors.values())) < 7, errors
    assert np.isnan(detector.landmarks(np.full((256, 256, 3), 90, np.uint8))).all()
    assert detector.version.startswith("mediapipe 0.10.21")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_mediapipe")
def test_mediapipe_finds_a_drawn_face():
    detector = open_detector("mediapipe-face")
    plain, shifted = (detector.landmarks(draw_face(shift)) for shift in (0, 20))

    assert plain.shape == (468, 2)
    np.testing.assert_allclose((shifted - plain).mean(axis=0), (20, 0), atol=3)
    assert np.abs(plain[[61, 291]].mean(axis=0) - (128, 181)).max() < 8, "the middle of the mouth's corners"
    assert np.isnan(detector.landmarks(np.full((256, 256, 3), 90, np.uint8))).all()
