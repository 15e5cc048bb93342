"""Putting a trained pipeline in the place of the one that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from motion_core import InputError, MotionInterpPipeline, media
from train import ship as shipping
from train.config_file import parse_config
from train.networks import build_networks
from train.networks import pipeline_of as networks_to_pipeline
from train.ship import main, mean_psnr, provenance, ship


@pytest.fixture
def pack(tmp_path) -> Path:
    """Two short videos for testing, and where they are from."""
    generator = np.random.default_rng(0)
    for index in range(2):
        folder = tmp_path / "pack" / "test" / f"v{index}"
        folder.mkdir(parents=True)
        for frame in range(2):
            media.save_image(folder / f"{frame}.png", generator.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    rows = [
        "video,split,origin,licence",
        "a.mp4,train,somewhere,CC0",
        "b.mp4,train,somewhere,CC0",
        "v0,test,elsewhere,MIT",
    ]
    (tmp_path / "pack" / "contents.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "pack"


@pytest.fixture
def pipeline() -> MotionInterpPipeline:
    """A small one: the largest of its networks has 2.3 million parameters."""
    config = parse_config(
        {
            "variant": "tpsmm",
            "data": {"root": "none", "image_size": 64},
            "model": {
                "num_splines": 2,
                "points_per_spline": 3,
                "keypoints": {"architecture": "heatmaps", "shrink": 2},
                "background_motion": {"architecture": "regnetx_002"},
                "motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 3, "shrink": 2},
                "generator": {"block_expansion": 4, "max_features": 8},
            },
            "losses": {"scales": [1, 2]},
            "output": {"folder": "none"},
        }
    )
    return networks_to_pipeline(build_networks(config).eval(), config)


def test_it_ships_half_precision_with_a_card_that_names_the_data(pipeline, pack, tmp_path):
    out = tmp_path / "weights" / "people"
    (out / "old").mkdir(parents=True)
    before = {name: value.clone() for name, value in pipeline.image_generator.state_dict().items()}

    text = ship(pipeline, pack, "# A model\n", out)

    assert "in half precision" in text
    assert not (out / "old").exists()
    assert [path.name for path in out.parent.iterdir()] == ["people"]  # nothing half-written is left
    for path in out.rglob("*.safetensors"):
        kinds = {value.dtype for value in load_file(path).values() if value.is_floating_point()}
        assert kinds == {torch.float16}, path
    loaded = MotionInterpPipeline.from_pretrained(out)
    for name, value in loaded.image_generator.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-6)
        assert torch.equal(pipeline.image_generator.state_dict()[name], before[name])  # the one given is as it was
    card = (out / "README.md").read_text()
    assert card.startswith("# A model\n")
    assert text in card
    assert "| somewhere | CC0 | train | 2 |" in card
    assert "| elsewhere | MIT | test | 1 |" in card


def test_half_precision_must_not_cost_a_tenth_of_a_decibel(pipeline, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "MOST_LOST", -1.0)  # whatever it costs is too much
    out = tmp_path / "people"
    assert "in full precision" in ship(pipeline, pack, "", out)
    (path,) = (out / "image_generator").glob("*.safetensors")
    assert {value.dtype for value in load_file(path).values() if value.is_floating_point()} == {torch.float32}


def test_files_are_small_and_too_large_a_model_is_refused(pipeline, pack, tmp_path, monkeypatch):
    out = tmp_path / "people"
    monkeypatch.setattr(shipping, "LARGEST_FILE", 1_000_000)
    ship(pipeline, pack, "", out)
    sizes = [path.stat().st_size for path in out.rglob("*.safetensors")]
    assert len(sizes) > 5
    MotionInterpPipeline.from_pretrained(out)

    monkeypatch.setattr(shipping, "LARGEST_SUM", 100)
    with pytest.raises(InputError, match="too large to ship"):
        ship(pipeline, pack, "", out)
    MotionInterpPipeline.from_pretrained(out)  # what was there is still there


def test_psnr_is_against_the_driving_image(pipeline, pack, monkeypatch):
    def with_an_error_of_a_tenth(networks, source, driving):
        return driving + 0.1, driving, torch.zeros(1)

    monkeypatch.setattr(shipping, "predict", with_an_error_of_a_tenth)
    assert mean_psnr(pipeline, pack) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_data_that_was_not_packed_is_told(content, tmp_path):
    if content is not None:
        (tmp_path / "contents.csv").write_text(content)
    with pytest.raises(InputError, match=r"must be a folder that `train\.pack_data` has made"):
        provenance(tmp_path)


def test_the_command_line(pipeline, pack, tmp_path, capsys):
    pipeline.save_pretrained(tmp_path / "made")
    (tmp_path / "about.md").write_text("# Mine")
    words = [str(tmp_path / "made"), "--data", str(pack), "--out", str(tmp_path / "out")]
    assert main([*words, "--about", str(tmp_path / "none.md")]) == 2
    assert "none.md: cannot be read" in capsys.readouterr().err
    assert main([*words, "--about", str(tmp_path / "about.md")]) == 0
    assert "MB in half precision" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "model_index.json").read_text())["variant"] == "tpsmm"
