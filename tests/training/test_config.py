"""The configuration of training: what is taken, what is refused and how, and the configurations that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import motion_core
from motion_core.errors import InputError
from train.config import TrainingConfig
from train.config_file import changed_keys, load_config, parse_config

CONFIGS = Path(__file__).parents[2] / "train" / "configs"
LEAST = {"variant": "full", "data": {"root": "videos"}, "output": {"folder": "run"}}


def parsed(**sections) -> TrainingConfig:
    return parse_config({**LEAST, **sections})


VARIANTS = ("tpsmm", "int", "int_bt", "full", "v2")


def test_each_variant_and_the_avd_stage_have_a_configuration():
    for variant in VARIANTS:
        config = load_config(CONFIGS / f"{variant}.yaml")
        assert (config.variant, config.stage, config.output.folder) == (variant, "motion", f"runs/{variant}")
        assert load_config(CONFIGS / "small.yaml", [f"variant={variant}"]).variant == variant
    config = load_config(CONFIGS / "avd.yaml")
    assert config.stage == "avd"
    assert config.init_from


def test_the_variants_differ_in_what_makes_them_variants_only():
    """Otherwise their results could not be compared."""
    plain, *others = (load_config(CONFIGS / f"{name}.yaml") for name in VARIANTS)
    for other in others:
        for key in changed_keys(plain, other):
            assert key.startswith(("variant", "losses.", "schedule.selector_warmup", "output.folder")), key


def test_published_defaults():
    config = parsed()
    assert config.data.image_size == (256, 256)
    assert (config.model.num_splines, config.model.points_per_spline) == (10, 5)
    assert (config.schedule.learning_rate, config.schedule.betas) == (2e-4, (0.5, 0.999))
    assert (config.schedule.weight_decay, config.schedule.gamma, config.schedule.clip) == (1e-4, 0.1, 10)
    losses = config.losses
    assert (losses.reconstruction, losses.equivariance, losses.warp, losses.background) == (10, 10, 10, 10)
    assert losses.scales == (1, 2, 4, 8)
    dropout, steps = config.schedule.dropout, config.schedule.steps
    assert (dropout.start, dropout.until / steps, dropout.ramp / steps) == (0.0, 0.35, 0.1)
    assert [milestone / steps for milestone in config.schedule.milestones] == [0.7, 0.9]


def test_the_size_multiple_is_the_networks_own():
    for blocks, downs, shrink in ((5, 3, 4), (2, 5, 1)):
        config = parsed(
            model={
                "motion": {"num_blocks": blocks, "shrink": shrink, "num_masks": 1},
                "generator": {"num_down_blocks": downs},
            }
        )
        motion = motion_core.DenseMotionNetwork(
            1, num_blocks=blocks, shrink=shrink, num_masks=1, block_expansion=1, max_features=2
        )
        generator = motion_core.ImageGenerator(num_down_blocks=downs, num_masks=1, block_expansion=1, max_features=2)
        assert config.model.size_multiple == max(motion.size_multiple, generator.size_multiple)


def test_what_is_written_reads_back(tmp_path):
    config = parsed(schedule={"dropout": {"from": 0.1, "to": 0.5}}, data={"root": "x", "image_size": [128, 256]})
    (tmp_path / "c.yaml").write_text(config.as_yaml())
    assert load_config(tmp_path / "c.yaml") == config
    assert changed_keys(config, parsed()) == [
        "data.root",
        "data.image_size",
        "schedule.dropout.from",
        "schedule.dropout.to",
    ]


def test_overrides_are_yaml_and_win(tmp_path):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(LEAST))
    config = load_config(
        tmp_path / "c.yaml",
        ["schedule.steps=7", "schedule.learning_rate=1e-3", "data.image_size=[128, 256]", "ema=0.9"],
    )
    assert (config.schedule.steps, config.schedule.learning_rate, config.ema) == (7, 1e-3, 0.9)
    assert config.data.image_size == (128, 256)


def test_what_is_wrong_is_one_sentence_with_key_rule_and_value():
    for wrong, sentence in (
        ({"variant": "best"}, "variant: must be 'tpsmm', 'int', 'int_bt', 'full' or 'v2', got 'best'"),
        ({"schedule": {"dropout": {"p": 1}}}, "schedule.dropout.p: there is no such key"),
        ({"data": {}}, "data.root: must be given"),
        ({"schedule": {"steps": "many"}}, "schedule.steps: must be a valid integer, .* got 'many'"),
        ({"schedule": {"steps": True}}, "schedule.steps: must not be true or false"),
        ({"schedule": {"batch_size": 0}}, "schedule.batch_size: must be greater than or equal to 1, got '0'"),
        ({"schedule": {"learning_rate": float("nan")}}, "schedule.learning_rate: must be a finite number, got 'nan'"),
        ({"schedule": {"milestones": [9, 3]}}, "schedule: milestones must rise, got \\[9, 3\\]"),
        ({"schedule": [1]}, "schedule: must have keys of its own, got \\[1\\]"),
        ({"data": {"root": "x", "image_size": 200}}, "data.image_size must be multiples of 128 .* got \\[200, 200\\]"),
        ({"data": {"root": "x", "image_size": True}}, "data.image_size: must not be true or false"),
        ({"losses": {"scales": [1, 32]}}, "losses.scales must leave 16 pixels .* got 32"),
        (
            {"data": {"root": "x", "min_stride": 5, "max_stride": 2}},
            "data: max_stride must be at least min_stride = 5, got 2",
        ),
        ({"model": {"candidates": 1}}, "model.candidates must be 2 or more for full, got 1"),
        ({"data": {"root": "x", "id_sampling": True, "pair_list": "a.csv"}}, "data: id_sampling must be off where .*"),
        ({"model": {"composed_view": True}}, "model.composed_view must be false .* got full"),
        ({"stage": "avd"}, "init_from must name the saved pipeline .* got null"),
        ({"precision": "fp8"}, "precision: must be 'fp32', 'bf16' or 'fp16', got 'fp8'"),
    ):
        with pytest.raises(InputError, match=f"^configuration: {sentence}$") as caught:
            parsed(**wrong)
        assert "\n" not in str(caught.value)


def test_files_and_overrides_that_cannot_be_read(tmp_path):
    for text, overrides, sentence in (
        ("variant: [", [], "must be YAML"),
        ("- 1", [], "must be YAML with keys and values, got list"),
        ("seed: 1\nseed: 2", [], "the key 'seed' stands twice"),
        ("seed: 1", ["seed"], "an override must be KEY=VALUE"),
        ("seed: 1", ["seed.x=1"], "seed is a single value"),
        ("seed: 1", ["data={root: x}"], "must set a single value"),
        ("seed: 1", ["seed=["], "the value must be YAML"),
    ):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(InputError, match=sentence):
            load_config(tmp_path / "c.yaml", overrides)
    with pytest.raises(InputError, match="No such file"):
        load_config(tmp_path / "none.yaml")
