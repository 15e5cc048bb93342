"""The selector's own stage: all candidates compared, nothing else trained."""

from __future__ import annotations

import pytest
import torch

from train import losses
from train.config_file import parse_config
from train.networks import build_networks, hops_of
from train.phase import Phase
from train.preparation import build_step
from train.selector_step import SelectorStep, weighted_ranking_loss


def test_pairs_count_as_much_as_their_errors_differ():
    errors = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    scores = torch.tensor([[0.0, 1.0], [0.0, -2.0]], requires_grad=True)

    loss = weighted_ranking_loss(scores, errors)

    softplus = torch.nn.functional.softplus
    torch.testing.assert_close(
        loss, (0.5 * softplus(torch.tensor(1.0)) + 1.5 * softplus(torch.tensor(-2.0))) / 2, rtol=1e-6, atol=0
    )
    torch.testing.assert_close(weighted_ranking_loss(scores, 10 * errors), loss)
    loss.backward()
    assert scores.grad[:, 0].lt(0).all()  # the first is better in both, so its score rises
    assert scores.grad[:, 1].gt(0).all()


def test_equal_errors_say_nothing():
    scores = torch.randn(3, 4, requires_grad=True)
    loss = weighted_ranking_loss(scores, torch.ones(3, 4))
    loss.backward()
    assert loss == 0
    assert scores.grad.eq(0).all()


def test_scores_learn_the_order_of_many_candidates():
    errors = torch.tensor([[3.0, 1.0, 2.0, 5.0]])
    scores = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        weighted_ranking_loss(scores, errors).backward()
        optimizer.step()
    assert scores[0].argsort(descending=True).tolist() == errors[0].argsort().tolist()


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
        hops, detector = hops_of(networks), networks["keypoint_detector"]
        encoded, pose = hops.backbone.encode(batch["source"], detector(batch["source"])), detector(batch["driving"])
        transform = networks["background_predictor"](batch["source"], batch["driving"])
        image = hops.generate([encoded], pose, [transform], torch.zeros(2)).image
        expected = losses.perceptual_loss(features(image), features(batch["driving"]))
    torch.testing.assert_close(output.figures["straight"], expected, rtol=1e-4, atol=1e-5)
