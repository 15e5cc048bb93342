"""`python -m eval.metrics` on folders of videos: those that match, and those that do not."""

import json
import re
import shutil

import pytest
from evaluation_drawings import Dots, draw_dots

from eval.instruments import DETECTORS, EMBEDDERS
from eval.metrics import main
from motion_core import media
from motion_core.errors import InputError

SQUARE = ((10, 10), (40, 10), (40, 30), (10, 30))


class Failing(Dots):
    def landmarks(self, image):
        raise InputError("failing: out of order")


@pytest.fixture(autouse=True)
def _dots(monkeypatch):
    monkeypatch.setitem(DETECTORS, "dots", "evaluation_drawings:Dots")
    monkeypatch.setitem(EMBEDDERS, "dots", "evaluation_drawings:Dots")
    monkeypatch.setitem(DETECTORS, "failing", f"{__name__}:Failing")


def write(folder, shift=0, count=3, size=(48, 64), points=SQUARE):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with media.VideoWriter(f"{folder}/", 25) as writer:
        for t in range(count):
            places = [point and (point[0] + t, point[1] + shift) for point in points]
            writer.write(draw_dots(places, *size))


@pytest.fixture
def folders(tmp_path):
    """Two videos, and results that are 2 and 4 pixels too low."""
    for name, shift in (("a", 2), ("b", 4)):
        write(tmp_path / "data" / "test" / name)
        write(tmp_path / "made" / name, shift)
    return tmp_path


def run(folders, *more):
    return main([str(each) for each in (folders / "made", "--data", folders / "data", "--device", "cpu", *more)])


def read(folders):
    return json.loads((folders / "made" / "metrics.json").read_text())


def test_folders_that_match(folders, capsys):
    assert run(folders, "--detector", "dots") == 0

    report = read(folders)
    assert report["overall"]["akd"]["clean"] == 3
    assert report["overall"]["akd"]["published"] == 1.5
    assert report["videos"]["a"]["clean"]["akd"] == 2
    assert report["about"]["detector"] == "dots, 1"
    assert report["about"]["embedder"] == "none: not measured what needs one, give --embedder"
    assert report["excluded"] == {}
    assert "2 videos, 6 frames, 0 videos excluded" in capsys.readouterr().out


def test_videos_that_cannot_be_measured_are_excluded_and_reported(folders, capsys):
    write(folders / "data" / "test" / "c", count=5)
    write(folders / "made" / "c")
    write(folders / "data" / "test" / "d")
    write(folders / "made" / "d", size=(48, 66))
    damaged = folders / "made" / "b" / "000002.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    write(folders / "data" / "test" / "e")

    assert run(folders, "--detector", "dots") == 2
    assert "1 of 5 videos are missing (e); make them, or give --partial" in capsys.readouterr().err
    assert run(folders, "--detector", "dots", "--partial") == 0

    report = read(folders)
    assert "000002.png" in report["excluded"].pop("b")
    assert report["excluded"] == {
        "e": "is missing",
        "c": "has 3 frames, the real video 5",
        "d": "has frames of (48, 66) (h, w), the real video of (48, 64)",
    }
    assert report["overall"]["akd"]["clean"] == 2
    assert "excluded: c: has 3 frames" in capsys.readouterr().out


def test_what_cannot_be_used_is_an_error_in_one_line(folders, capsys):
    for options, message in [
        (["--detector", "dotz"], "detector must be one of mediapipe-body, .*, got 'dotz'"),
        (["--embedder", "eye"], "embedder must be one of dlib, benchmark, dots, got 'eye'"),
        (["--detector", "failing"], "failing: out of order"),
        (["--embedder", "dots"], r"dots is of no use here, in 6 frames .*: nothing found in the real frame \(6\)"),
        (["--split", "val"], "val: must be a folder with videos, but there is no such folder"),
        (["--device", "abacus"], "device must be auto, cpu, .* got abacus"),
    ]:
        assert run(folders, *options) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("eval.metrics: ")
        assert re.search(message, line), line
        assert not (folders / "made" / "metrics.json").exists()


def test_folders_that_do_not_belong_together_are_an_error(folders, capsys):
    def refused(message, *arguments):
        assert main([str(each) for each in arguments]) == 2
        assert message in capsys.readouterr().err

    made, data = folders / "made", folders / "data"
    refused("has no run.json; say with --data which videos", made)
    refused("must be a folder with videos to measure", folders / "nowhere")
    write(made / "z")
    refused("there is none named 'z'", made, "--data", data)
    shutil.rmtree(made / "z")
    for name in "ab":
        shutil.rmtree(made / name)
        write(made / name, count=2)
    refused("none of the 2 videos can be measured; a: has 2 frames, the real video 3", made, "--data", data)
