"""`eval.make_pairs`: pairs of ordinary clips by the landmarks of a detector."""

import numpy as np
import pytest
from evaluation_drawings import PLACES, Dots, dots, draw_dots, write_clip

from eval import make_pairs as command
from eval.instruments import DETECTORS
from eval.make_pairs import make_pairs
from eval.pair_scores import score_pairs
from eval.rendered_people.pairs import read_pairs
from motion_core.errors import InputError


@pytest.fixture
def ordinary(tmp_path):
    """Clips without annotations: dots at 64 x 48 and at twice that, a clip without any, a short one, and no video at all."""
    steps = [(k * k, 0) for k in range(5)]
    write_clip(tmp_path / "test" / "ann#1", [dots(step) for step in steps])
    large = [draw_dots([(2 * x + step[0], 2 * y) for x, y in PLACES], 96, 128) for step in steps]
    write_clip(tmp_path / "test" / "bob#1", large)
    write_clip(tmp_path / "test" / "bare", [np.full((48, 64, 3), 128, np.uint8)] * 5)
    write_clip(tmp_path / "test" / "short", [dots((0, 0))] * 2)
    (tmp_path / "test" / "torn.mp4").write_bytes(b"no video")
    return tmp_path


def test_pairs_of_ordinary_clips_have_the_displacement_of_their_landmarks(ordinary):
    made = make_pairs(ordinary, "test", Dots(), 4, seed=3, min_gap=2)

    assert made == make_pairs(ordinary, "test", Dots(), 4, seed=3, min_gap=2)
    assert {one.video for one in made.pairs} == {"ann#1", "bob#1"}
    for one in made.pairs:
        assert abs(one.source - one.driving) >= 2
        assert one.displacement == pytest.approx(abs(one.source**2 - one.driving**2))
    for video in ("ann#1", "bob#1"):
        own = sorted(one.displacement for one in made.pairs if one.video == video)
        assert (own[0], own[-1]) == (4, 16)
    shares = {one: one.displacement / {"ann#1": 64, "bob#1": 128}[one.video] for one in made.pairs}
    ordered = sorted(made.pairs, key=lambda one: shares[one])
    assert [one.quartile for one in ordered] == [1, 1, 2, 2, 3, 3, 4, 4]
    none = "has no two frames 2 or more apart with the same 4 landmarks; 4 or more were found in 0 of 5 frames"
    assert made.left_out["bare"] == none
    assert made.left_out["short"] == "must have more than 2 frames, got 2"
    assert made.left_out["torn.mp4"].startswith("cannot be read: ")


def test_a_list_of_ordinary_clips_can_be_scored(ordinary, monkeypatch, capsys):
    monkeypatch.setitem(DETECTORS, "dots", "evaluation_drawings:Dots")
    out = ordinary / "lists" / "pairs.csv"
    options = ("--data", ordinary, "--detector", "dots", "--count", 3, "--out", out, "--device", "cpu")
    assert command.main([str(option) for option in options]) == 0
    said = capsys.readouterr().out
    assert "8 pairs of 3 clips, 2 clips left out" in said  # of two frames there are only two pairs
    assert "left out: bare: has no two frames" in said

    rows = score_pairs(None, ordinary, "test", read_pairs(out), Dots()).rows
    assert list(rows["akd_pixels"]) == pytest.approx(list(rows["displacement"]), abs=1e-3)


def test_what_make_pairs_cannot_use_is_refused(ordinary):
    class Failing(Dots):
        def landmarks(self, image):
            raise InputError("the detector failed")

    for settings, message in [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"min_gap": 0}, "min_gap must be 1 or more, got 0"),
        ({"frames": 1}, "frames must be 2 or more, got 1"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"min_gap": 9}, "none of the 5 clips offers a pair; ann#1: must have more than 9 frames, got 5"),
        ({"detector": Failing()}, "the detector failed"),
    ]:
        given = {"detector": Dots(), "count": 4, "seed": 0} | settings
        with pytest.raises(InputError, match=message):
            make_pairs(ordinary, "test", **given)
