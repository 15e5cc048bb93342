"""`eval.people`: planted results have the figures that are known of them, and photos for training are not measured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from evaluation_drawings import Dots, draw_person
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from eval import people
from eval.instruments.bodies import JOINTS, BlazePoseInstrument
from eval.people import COLUMNS, people_record, summarise
from eval.people_pairs import PeoplePair, PhotoPairs, RenderedPairs, around, choose_pairs, turn_between
from eval.photo_pairs import photo_pairs
from eval.rendered_people.clip import Plan
from eval.rendered_people.render import render_split
from eval.rendered_people.rotations import turn
from eval.rendered_people.skeleton import BONE
from motion_core import media
from motion_core.errors import InputError
from train.recipes.people.prepare import photos_for_training

SIDE = 256


@pytest.fixture(scope="module")
def pair():
    """A figure of noise that moved by (12, 5) pixels before a grey wall."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 60, 3), np.uint8)
    pictures, figures = np.full((2, SIDE, SIDE, 3), 128, np.uint8), np.zeros((2, SIDE, SIDE), bool)
    for number, (x, y) in enumerate(((80, 60), (92, 65))):
        pictures[number, y : y + 120, x : x + 60] = noise
        figures[number, y : y + 120, x : x + 60] = True
    return PeoplePair("noise", *pictures, *map(around, figures))


class Corner(Dots):
    """The corners of the figure, which stands before a grey wall."""

    joints = 2

    def landmarks(self, image):
        y, x = np.nonzero((image != 128).any(axis=-1))
        return np.array([(x.min(), y.min()), (x.max(), y.max())], float)


def summary(pair, **results):
    """The rows of the table: the source itself, and each result."""
    records = {"copy": people_record(pair, pair.source, Corner(), copied=True)}
    records |= {name: people_record(pair, result, Corner()) for name, result in results.items()}
    return summarise(pd.DataFrame([{"model": name} | record for name, record in records.items()]))


def test_a_copy_a_perfect_result_a_shifted_and_a_blurred_one(pair):
    near, far, soft = (
        np.roll(pair.driving, 1, 1),
        np.roll(pair.driving, 40, 1),
        gaussian_filter(pair.driving, (1, 1, 0)),
    )
    rows = summary(pair, perfect=pair.driving, near=near, far=far, soft=soft)

    assert list(rows.loc["copy", ["L1 over copying", "on the figure", "MKR"]]) == [1, 1, 0]
    assert rows.loc["copy", "sharpness"] == pytest.approx(1, abs=0.01)
    assert rows.loc["copy", "AKD, %"] == pytest.approx(100 * 13 / SIDE)
    assert list(rows.loc["perfect", ["L1", "on the figure", "AKD, %", "sharpness"]]) == [0, 0, 0, 1]
    assert rows.loc["near", "AKD, %"] == pytest.approx(100 / SIDE)
    assert 0 < rows.loc["near", "L1"] < rows.loc["far", "L1"]
    assert rows.loc["near", "sharpness"] == pytest.approx(1, abs=0.01)
    assert (
        rows.loc["soft", "sharpness"] < 0.4
    )  # of noise, whose neighbours have nothing in common, a Gaussian leaves little
    assert 0 < rows.loc["soft", "on the figure"] < rows.loc["near", "on the figure"]


def test_means_are_of_pairs_and_ratios_of_means():
    one = dict(zip(COLUMNS, (0.2, 0.3, 5.0, 0.1, 0.4, 0.5), strict=True))
    more = one | {"l1": 0.6, "gradient": 1.2, "akd": np.nan, "mkr": 0.5}
    records = [{"model": "copy"} | one, {"model": "copy"} | one | {"figure_l1": 0.9}]
    row = summarise(pd.DataFrame([*records, {"model": "m"} | one, {"model": "m"} | more])).loc["m"]

    assert list(row[["L1", "L1 over copying", "on the figure"]]) == pytest.approx([0.4, 2, 0.5])
    assert row["sharpness"] == pytest.approx(0.8 / 0.5)
    assert row["AKD, %"] == 5.0  # of the one pair that has it
    assert row["MKR"] == pytest.approx(0.3)


def test_pairs_are_at_quantiles_of_the_distance():
    points = np.random.default_rng(0).normal(size=(12, 18, 2))
    distances = sum(cdist(each, each) for each in points.swapaxes(0, 1)) / 18
    ranks = np.argsort(np.argsort(distances, axis=None, kind="stable")).reshape(12, 12)
    chosen = choose_pairs(points)
    assert distances[chosen[0]] == distances.max()
    assert [sorted((ranks[i, j], ranks[j, i]))[0] // 2 for i, j in chosen] == [143 // 2, 108 // 2, 64 // 2]
    assert all(i < j for i, j in chosen)


def test_how_far_a_chest_is_turned_is_what_it_turns_beside_the_camera():
    camera, transforms = np.zeros((3, 3, 4)), np.zeros((3, len(BONE), 3, 4))
    for k, (of_camera, of_chest) in enumerate(((0, 30), (0, 100), (50, 30))):
        camera[k, :, :3], transforms[k, BONE["chest"], :, :3] = turn("y", of_camera), turn("y", of_chest)
    clip = SimpleNamespace(camera=camera, transforms=transforms)
    assert [turn_between(clip, 0, k) for k in range(3)] == pytest.approx([0, 70, 50])


@pytest.fixture(scope="module")
def drawn():
    """A drawn person ``(256, 256, 3)``, and where its joints are."""
    return draw_person()


@pytest.fixture(scope="module")
def photos(tmp_path_factory, drawn):
    """12 photos of the person, one of them of a wall, and the second ones to four of them."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        for k in (0, 1) if number in (0, 1, 2, 10) else (0,):
            picture = np.full((SIDE, SIDE, 3), 128, np.uint8) if number == 10 else np.roll(drawn[0], 20 * k, axis=1)
            Image.fromarray(picture).save(folder / f"pose{number:02}_{k}.jpg", quality=95)
    return folder


def test_photos_held_back_are_measured_and_never_trained_on(photos):
    pairs = photo_pairs(photos)
    assert [pair.name for pair in pairs if pair.held_back] == ["pose00", "pose10"]
    assert len(pairs) == 4  # the others have no second photo
    trained = {pair.name for pair in photos_for_training(photos)}
    assert trained == {"pose01", "pose02"}

    measured = PhotoPairs(photos)
    (pair,) = measured
    assert pair.name == "pose00"
    assert measured.left_out == {"pose10": "BlazePose does not find a person in both photos"}
    assert pair.driving_figure[100, 148], "the chest"
    assert not pair.driving_figure[40, 40]


def test_the_instrument_finds_a_drawn_persons_joints_in_a_wide_picture(drawn):
    image, joints = drawn
    wide = np.pad(image, ((0, 0), (0, 144), (0, 0)), mode="edge")
    found = BlazePoseInstrument().find(wide)
    for name in joints:
        np.testing.assert_allclose(found.joints[JOINTS.index(name)], joints[name], atol=12)
    assert found.score > 0.5
    assert found.silhouette.shape == (256, 400)
    assert found.silhouette[100, 128]
    assert not found.silhouette[:, 300:].any()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    render_split(Plan("test", 5, frames=4, size=SIDE), root, 1, 1, pairs=2)
    return root


@pytest.fixture
def model(variant_pipeline, tmp_path):
    """A saved model that works at 128 x 128."""
    variant_pipeline("full").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_command_prints_a_table_and_writes_rows_and_sheets(rendered, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(people, "SHEET_ROWS", 2)
    least, more, _ = sorted(pair.turned for pair in RenderedPairs(rendered))
    monkeypatch.setattr(people, "FACING", (least + more) / 2)
    options = ["--model", model, "--rendered", rendered, "--csv", tmp_path / "out.csv", "--sheet", tmp_path / "out.png"]
    assert people.main([str(option) for option in options]) == 0

    said = capsys.readouterr().out
    assert "**Rendered people**, 3 pairs; joints by joints of the rendered benchmark" in said
    rows = [line.split(" | ") for line in said.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows[:2]] == ["| `copy`", f"| `{model}`"]
    assert rows[0][2:4] == ["1.000", "1.000"]
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written) == ["set", "pair", "model", "turned", *COLUMNS]
    assert list(written["model"]) == ["copy"] * 3 + [str(model)] * 3
    assert float(rows[1][1]) == pytest.approx(written["l1"][3:].mean(), abs=1e-4)
    assert "Of these, 1 in which the chest turns by less than" in said
    assert float(rows[3][1]) == pytest.approx(written["l1"][3 + written["turned"][3:].argmin()], abs=1e-4)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["out-1.png", "out-2.png"]
    sheet = media.load_image(tmp_path / "out-2.png")
    assert sheet.shape == (SIDE, 3 * SIDE + 2 * 3, 3)  # the third pair: source, driving picture, result
    *_, last = RenderedPairs(rendered)
    np.testing.assert_array_equal(sheet[:, :SIDE], last.source)
    assert not np.array_equal(sheet[:, -SIDE:], last.source)


def test_a_pair_that_a_model_refuses_counts_as_copied(rendered, variant_pipeline, monkeypatch):
    pipeline = variant_pipeline("tpsmm")
    model = people.Model("strict", pipeline, people.pair_settings(pipeline))

    def refuse(*given):
        raise InputError("nobody is in this picture")

    monkeypatch.setattr(pipeline, "stream", refuse)
    measured = people.measure([model], RenderedPairs(rendered, limit=1))
    copy, strict = (measured.records.loc[k].drop("model") for k in (0, 1))
    pd.testing.assert_series_equal(copy, strict, check_names=False)
    said = people.table(measured, [model])
    assert "`strict` refused 1 pairs, which count as copied: nobody is in this picture (" in said


def test_sources_drive_themselves_where_nothing_is_to_move(rendered, model, tmp_path, capsys):
    csv = tmp_path / "still.csv"
    options = ["--still", "--model", model, "--rendered", rendered, "--csv", csv, "--limit", 1]
    assert people.main([str(option) for option in options]) == 0
    copy, made = pd.read_csv(csv).to_dict("records")
    assert (copy["figure_l1"], copy["gradient"]) == (0, pytest.approx(made["real_gradient"]))
    assert made["figure_l1"] > 0
    assert "| `copy` | 0.0000 | - | - |" in capsys.readouterr().out


def test_what_cannot_be_used_is_an_error_in_one_line(rendered, tmp_path, capsys):
    render_split(Plan("test", 5, frames=2, size=64), tmp_path / "small", 1, 1, pairs=1)
    capsys.readouterr()
    for options, message in [
        ((), "give --rendered, --photos or both"),
        (("--photos", tmp_path), "must be a folder with pairs of photos"),
        (("--rendered", tmp_path / "small"), "as its annotations and 256 x 256 pixels, got (2, 64, 64)"),
        (("--rendered", rendered, "--limit", "0"), "limit must be 1 pair or more, got 0"),
        (("--rendered", rendered, "--model", "copy"), "is measured in any case"),
        (("--rendered", rendered, "--sheet", tmp_path / "sheet.jpg"), "must end in .png, got '.jpg'"),
        (("--rendered", rendered, "--csv", tmp_path / "no" / "out.csv"), "must be in an existing folder"),
    ]:
        assert people.main([str(option) for option in options]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
