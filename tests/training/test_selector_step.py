"""The selector's own stage: all candidates compared, nothing else trained."""

from __future__ import annotations

import pytest
import torch

from motion_core.transfer import MotionTransfer
from train import losses
from train.config_file import parse_config
from train.networks import build_networks
from train.preparation import build_step
from train.schedule import Phase
from train.selector_step import SelectorStep


@pytest.fixture
def parts():
    """A step over tiny networks, and a batch for it."""
    config = parse_config(
        {
            "variant": "v2",
            "stage": "selector",
            "init_from": "not looked at here",
            "data": {"root": "none", "image_size": 32},
            "model": {
                "num_splines": 2,
                "points_per_spline": 3,
                "candidates": 3,
                "background_motion": {"architecture": "regnetx_002"},
                "motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 3, "shrink": 2},
                "generator": {"block_expansion": 4, "max_features": 8},
            },
            "losses": {"scales": [1, 2]},
            "features": {"vgg": "random:2"},
            "output": {"folder": "none"},
        }
    )
    networks = build_networks(config.model_copy(update={"init_from": None})).eval()
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(2, 3, 32, 32, generator=generator) for name in ("source", "driving")}
    return build_step(networks, config), networks, batch | {"number": torch.arange(2)}


def test_the_selector_alone_is_trained(parts):
    step, networks, batch = parts
    assert isinstance(step, SelectorStep)
    assert set(step.parameters()) == set(networks["selector"].parameters())
    step.train()
    assert not networks["image_generator"].training

    output = step(batch, Phase())
    output.total.backward()

    assert networks["selector"].head[-1].weight.grad.abs().sum() > 0
    others = [value for name, value in networks.named_parameters() if not name.startswith("selector.")]
    assert all(value.grad is None for value in others)
    assert output.figures["best"].le(output.figures["error"]).all()
    # with equal scores the first candidate is taken, which is the source itself
    torch.testing.assert_close(output.figures["error"], output.figures["straight"])


def test_its_errors_are_those_of_the_final_images(parts):
    step, networks, batch = parts
    output = step(batch, Phase())

    features = step._frozen[1]["vgg"]
    with torch.no_grad():
        method, detector = MotionTransfer(dict(networks.items())), networks["keypoint_detector"]
        encoded, pose = method.encode(batch["source"]), detector(batch["driving"])
        transform = networks["background_predictor"](batch["source"], batch["driving"])
        image = method.generate([encoded], pose, [transform], torch.zeros(2)).image
        expected = losses.perceptual_loss(features(image), features(batch["driving"]))
    torch.testing.assert_close(output.figures["straight"], expected, rtol=1e-4, atol=1e-5)
