"""The narrow VGG-19 that is trained on what the benchmark knows of its pictures."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from eval.rendered_people.clip import Plan
from eval.rendered_people.instrument_data import read_frames
from eval.rendered_people.render import render_split
from eval.rendered_people.skeleton import PARTS
from eval.rendered_people.train_features import _MIRRORED, FeatureTrainer, equalise, main
from train.features import load_vgg


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    render_split(Plan("train", 3, frames=4, size=64), root, 2, 1)
    return root


@pytest.fixture
def trainer():
    torch.manual_seed(0)
    return FeatureTrainer(2, 3)


def test_its_layers_are_those_that_losses_open(root, tmp_path, capsys):
    out = tmp_path / "features.safetensors"
    assert main(["--data", str(root), "--out", str(out), "--width", "2", "--steps", "2", "--batch", "2"]) == 0
    assert re.search(r"2 of 2, loss \d", capsys.readouterr().out)

    features = load_vgg(str(out), (1, 2))
    assert [tap.shape[1] for tap in features(torch.rand(1, 3, 64, 64))[:5]] == [2, 4, 8, 16, 16]
    assert json.loads(out.with_suffix(".json").read_text())["people"] == 2


def test_it_gives_what_the_loss_sees(trainer):
    from train.features import PerceptualFeatures, vgg_layers

    layers = vgg_layers(2)
    layers.load_state_dict(trainer.features.state_dict())
    image = torch.rand(2, 3, 32, 32)
    for ours, theirs in zip(trainer(image), PerceptualFeatures(layers, (1,))(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_equalising_changes_the_size_of_features_and_nothing_else(root, trainer):
    frames = read_frames([root], "train")
    with torch.no_grad():
        for index, parameter in enumerate(trainer.features.parameters()):
            parameter.mul_(1 + index % 3).add_(0.01)
        images = torch.from_numpy(frames.images).movedim(-1, 1).float() / 255
        before = trainer(images)
        equalise(trainer, frames)
        after = trainer(images)
    for old, new in zip(before, after, strict=True):
        assert new.square().mean().item() == pytest.approx(1, rel=1e-3)
        torch.testing.assert_close(new, old / old.square().mean().sqrt(), rtol=1e-3, atol=1e-4)


def test_a_mirrored_picture_has_its_sides_exchanged():
    assert [PARTS[number] for number in _MIRRORED][:8] == [
        "background", "head", "torso", "pelvis", "left_upper_arm", "left_forearm", "left_hand", "right_upper_arm"
    ]  # fmt: skip
    np.testing.assert_array_equal(np.array(_MIRRORED)[_MIRRORED], np.arange(len(PARTS)))


def test_training_lowers_the_loss(root, tmp_path, capsys):
    out = tmp_path / "features.safetensors"
    words = ["--data", str(root), "--out", str(out), "--width", "4", "--batch", "4"]
    losses = []
    for steps in ("2", "60"):
        assert main([*words, "--steps", steps]) == 0
        losses.append(float(re.findall(r"loss ([\d.]+)", capsys.readouterr().out)[-1]))
    assert losses[1] < losses[0] - 1


@pytest.mark.parametrize(
    ("option", "message"), [("--width", "width: must be at least 1"), ("--steps", "steps: must be at")]
)
def test_the_command_refuses(option, message, root, tmp_path, capsys):
    assert main(["--data", str(root), "--out", str(tmp_path / "f.safetensors"), option, "0"]) == 2
    assert message in capsys.readouterr().err
