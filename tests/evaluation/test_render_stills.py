"""Chosen frames and clips are those of the data set."""

import numpy as np

from eval.rendered_people.clip import Plan
from eval.rendered_people.render import render_split
from eval.rendered_people.stills import main
from motion_core.media import load_image

OPTIONS = ["--split", "test", "--seed", "5", "--frames", "3", "--rate", "8", "--size", "32", "--near"]


def test_chosen_frames_are_those_of_the_data_set(tmp_path):
    render_split(Plan("test", 5, 3, 8, 32, near=True), tmp_path / "all", 1, 2, png=True, pairs=1)
    assert main(["--out", str(tmp_path / "some"), *OPTIONS, "0#1@2", "0#0"]) == 0

    whole = tmp_path / "all" / "test"
    some = {"0#1@2.png": "test0000#001/000003.png", "0#0/000001.png": "test0000#000/000001.png"}
    for name, same in some.items():
        np.testing.assert_array_equal(load_image(tmp_path / "some" / name), load_image(whole / same))
    assert len(list((tmp_path / "some" / "0#0").iterdir())) == 3
    assert len(list((tmp_path / "some").iterdir())) == 2


def test_an_item_that_is_none_is_refused_before_anything_is_rendered(tmp_path, capsys):
    for item, words in (("3", "must be IDENTITY#CLIP"), ("0#1@3", "must have a frame in 0..2")):
        assert main(["--out", str(tmp_path / "none"), *OPTIONS, "0#0", item]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
