"""The model that comes with the package: what it is, how large, what it says of itself, and that it moves people."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from eval.instruments import open_detector
from eval.pair_scores import score_pairs
from eval.pairs.model import PairModel
from eval.rendered_people.annotations import folder_of
from eval.rendered_people.clip import Plan
from eval.rendered_people.pairs import read_pairs
from eval.rendered_people.render import render_split
from motion_core import MotionInterpPipeline
from motion_core.saved_pipeline import SHIPPED

SEED = 424_242  # of people that nothing was trained on or chosen with


@pytest.fixture(scope="module")
def pipe() -> MotionInterpPipeline:
    pipeline = MotionInterpPipeline.from_pretrained()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_it_opens_without_a_name(pipe):
    assert pipe.variant == "v2"
    assert pipe.image_size == (256, 256)
    assert pipe.model_name == SHIPPED.name


def test_its_files_are_small():
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*.safetensors")]
    assert max(sizes) <= 9.2e6
    assert sum(sizes) <= 30e6
    assert not [
        path for path in SHIPPED.rglob("*") if path.is_file() and path.suffix not in (".safetensors", ".json", ".md")
    ]


def test_its_card_says_what_it_was_trained_on():
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for name in (
        "CMU Graphics Lab Motion Capture Database",
        "NSF EIA-0196217",
        "MakeHuman",
        "free-exercise-db",
        "mediapipe",
        "EfficientNet-Lite0",
        "Apache-2.0, from the PyPI wheel",
        "The selector is not trained",
    ):
        assert name in card
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (\d+) \|$", card, re.MULTILINE)
    assert len(rows) > 20
    assert {licence for _, licence, _ in rows} <= {
        "-", "Unlicense", "CC-BY-4.0", "BSD-3", "Apache-2.0", "Apache-2.0(repo)", "MIT(repo)"
    }  # fmt: skip
    assert [origin for origin, licence, _ in rows if licence == "-"] == ["rendered by this project"]


def test_it_moves_people_it_never_saw(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(PairModel, "about", lambda model: {})  # what it costs takes seconds to count
    render_split(Plan("test", SEED, frames=8, rate=3, near=True), tmp_path, 3, 1, pairs=2)
    pairs = read_pairs(folder_of(tmp_path, "test") / "pairs.csv")
    detector = open_detector("benchmark", "cpu")

    def score(model: MotionInterpPipeline | None, size: int | None = None) -> tuple[float, float]:
        rows = score_pairs(model, tmp_path, "test", pairs, detector, image_size=size).rows
        return rows["l1"].mean(), rows["akd_percent"].mean()

    (error, joints), (of_copy, joints_of_copy) = score(pipe), score(None, 256)
    assert error < of_copy
    assert joints < 0.8 * joints_of_copy


def test_without_motion_the_picture_stays(pipe, tmp_path):
    render_split(Plan("test", SEED, frames=2, near=True), tmp_path, 1, 1)
    from motion_core.media import open_video

    (video,) = (tmp_path / "test").glob("*.mp4")
    picture = next(iter(open_video(video)))
    made = pipe(picture, np.stack([picture] * 2)).frames
    assert np.abs(made[1].astype(int) - picture).mean() < 1.5  # of 255; 4.7 before equal poses moved nothing


def test_half_precision_files_are_computed_with_in_full_precision(pipe):
    kinds = {
        parameter.dtype
        for network in pipe.components.values()
        if network is not None
        for parameter in network.parameters()
    }
    assert kinds == {torch.float32}
