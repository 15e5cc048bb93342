"""Packing training data into one folder."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from motion_core.media import VideoWriter, open_frames
from train import pack_data
from train.data import PairDataset, PairOptions


@pytest.fixture
def sources(tmp_path):
    """A data root, a list of three clips, and a pair of photos."""

    def video(path, frames, size, level):
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, 25) as writer:
            for number in range(frames):
                writer.write(np.full((*size, 3), level + number, np.uint8))

    video(tmp_path / "drawn" / "train" / "a#1.mp4", 4, (64, 64), 40)
    video(tmp_path / "drawn" / "test" / "b#1.mp4", 4, (64, 64), 80)
    for name, level in (("x", 20), ("y", 60), ("z", 120)):
        video(tmp_path / "clips" / f"{name}.mp4", 30, (48, 96), level)
    rows = [
        ("path", "subject", "licence", "weights_may_ship", "source"),
        ("clips/x.mp4", "anna", "BSD-3", "yes", "somewhere/x"),
        ("clips/y.mp4", "bert", "MIT(repo)", "yes", "somewhere/y"),
        ("clips/z.mp4", "carl", "none", "no", "somewhere/z"),
    ]
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (tmp_path / "photos").mkdir()
    for number in (0, 1):
        Image.new("RGB", (40, 40), (50 * number + 50,) * 3).save(tmp_path / "photos" / f"jump_{number}.jpg")
    return tmp_path


def packed(sources, *more):
    out = sources / "pack"
    arguments = [str(sources / "drawn"), "--out", str(out), "--size", "32", "--clips", str(sources / "clips.csv")]
    arguments += ["--photos", str(sources / "photos"), "--photos-licence", "Unlicense", "--length", "10", *more]
    assert pack_data.main(arguments) == 0
    with (out / "contents.csv").open(newline="") as file:
        return out, {(row["split"], row["video"]): row for row in csv.DictReader(file)}


def test_all_kinds_are_packed_and_what_may_not_ship_is_not(sources):
    out, contents = packed(sources, "--held-back", "bert")
    assert sorted(contents) == [
        ("test", "bert#y-0.mp4"),
        ("test", "bert#y-1.mp4"),
        ("test", "drawn-b#1.mp4"),
        ("test", "photo-jump.mp4"),
        ("train", "anna#x-0.mp4"),
        ("train", "anna#x-1.mp4"),
        ("train", "drawn-a#1.mp4"),
    ]
    assert contents["train", "anna#x-0.mp4"]["licence"] == "BSD-3"
    assert contents["train", "anna#x-0.mp4"]["origin"] == "somewhere/x"
    assert contents["test", "photo-jump.mp4"]["licence"] == "Unlicense"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.mp4")} == {"/".join(key) for key in contents}

    piece = open_frames(out / "train" / "anna#x-1.mp4")
    frames = dict(piece.frames_at(range(piece.count)))
    assert piece.count == 5, "every second of the frames 20 to 29"
    assert frames[0].shape == (32, 32, 3)
    means = [frames[number].mean() for number in range(5)]
    np.testing.assert_allclose(means, [40, 42, 44, 46, 48], atol=2)
    photo = open_frames(out / "test" / "photo-jump.mp4")
    np.testing.assert_allclose([frame.mean() for _, frame in photo.frames_at([0, 1])], [50, 100], atol=3)

    sample = PairDataset(out, PairOptions(image_size=(32, 32)), seed=0)[0]
    assert sample["source"].shape == (3, 32, 32), "training reads it"


def test_only_the_licences_asked_for(sources):
    _, contents = packed(sources, "--licence", "BSD-3")
    assert [name for _, name in contents if "#x" in name or "#y" in name] == ["anna#x-0.mp4", "anna#x-1.mp4"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "must be one video or more"),
        (["drawn", "drawn"], "of different names"),
        (["--clips", "drawn"], "cannot be read as a csv file"),
        (["--clips", "wrong.csv"], "must have rows with the columns"),
        (["drawn", "--out", "photos"], "must be an empty folder"),
    ],
)
def test_bad_input_gives_a_sentence(sources, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(sources)
    (sources / "wrong.csv").write_text("a,b\n1,2\n")
    assert pack_data.main(["--out", "new", *arguments]) == 2
    assert sentence in capsys.readouterr().err
