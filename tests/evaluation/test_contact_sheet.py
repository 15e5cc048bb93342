"""Sheets of pairs and what models make of them."""

from __future__ import annotations

import numpy as np
import pytest

from eval.contact_sheet import contact_sheet, main
from eval.pairs.frames import open_clips, read_frames
from eval.rendered_people.annotations import folder_of
from eval.rendered_people.clip import Plan
from eval.rendered_people.pairs import read_pairs
from eval.rendered_people.render import render_split
from motion_core import InputError, media

SIDE, GAP = 64, 3


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    render_split(Plan("test", 5, frames=4, size=SIDE), root, 1, 1, pairs=4)
    return root


@pytest.fixture
def model(variant_pipeline):
    return variant_pipeline("v2")


def test_a_row_is_source_driving_image_and_results(rendered, model):
    pairs = read_pairs(folder_of(rendered, "test") / "pairs.csv")[:2]
    sheet = contact_sheet([model, model], rendered, "test", pairs)

    side = model.config["image_size"][0]
    assert sheet.shape == (2 * side + GAP, 4 * side + 3 * GAP, 3)
    for place, frames in read_frames(open_clips(rendered, "test", pairs), pairs, (side, side)):
        row = sheet[place * (side + GAP) :][:side]
        source, driving, first, second = (row[:, k * (side + GAP) :][:, :side] for k in range(4))
        np.testing.assert_array_equal(source, frames.source)
        np.testing.assert_array_equal(driving, frames.driving)
        np.testing.assert_array_equal(first, second)  # the same model twice
        assert not np.array_equal(first, source)
    assert sheet[side : side + GAP].min() == 255


def test_the_command_line(rendered, model, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model")
    words = ["--model", str(tmp_path / "model"), "--data", str(rendered), "--out", str(tmp_path / "sheet.png")]
    assert main([*words, "--rows", "1", "--between"]) == 0
    side = model.config["image_size"][0]
    assert media.load_image(tmp_path / "sheet.png").shape == (side, 10 * side + 9 * GAP, 3), "seven more images"
    assert main(["--model", str(tmp_path / "none"), *words[2:]]) == 2
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="must be pairs to show"):
        contact_sheet([model], rendered, "test", [])
