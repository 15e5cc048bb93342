"""The step of each variant: its losses, where their gradients go, and that a sample's share does not depend on the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch
from subcases import each_case
from torch import Tensor, nn

from motion_core.interpolation import candidate_times
from motion_core.networks.interpolation_selector import OptimalInterpolationSelector
from motion_core.structures import Candidates
from train import losses
from train.config import TrainingConfig
from train.draws import Draws, draw
from train.equivariance import RandomSpline
from train.features import load_vgg, load_vit
from train.motion_step import MotionStep
from train.networks import build_networks
from train.schedule import phase_at

VARIANTS = ("tpsmm", "int", "int_bt", "full", "v2")
CPU = torch.device("cpu")


def configuration(variant: str = "full", **changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {
        "variant": variant,
        "data": {"root": "unused", "image_size": 64},
        "model": {
            "num_splines": 5,
            "keypoints": {"architecture": "regnetx_002"},
            "background_motion": {"architecture": "regnetx_002"},
            "motion": {"block_expansion": 8, "max_features": 32, "num_blocks": 3},
            "generator": {"block_expansion": 8, "max_features": 32},
        },
        "losses": {"scales": [1, 2]},
        "output": {"folder": "unused"},
    }
    for name, value in changes.items():
        settings[name] = {**settings.get(name, {}), **value} if isinstance(value, dict) else value
    return TrainingConfig.model_validate(settings)


@cache
def features() -> Mapping[str, nn.Module]:
    return {"vgg": load_vgg("random:8", (1, 2)), "vit": load_vit("random", 32)}


def moving_networks(config: TrainingConfig) -> nn.ModuleDict:
    """Networks whose keypoints lie apart and differ from image to image."""
    networks = build_networks(config)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        head = networks["keypoint_detector"].backbone.get_classifier()
        nn.init.normal_(head.weight, std=0.2)
        nn.init.normal_(head.bias, std=0.7)
        if "background_predictor" in networks:
            nn.init.normal_(networks["background_predictor"].backbone.get_classifier().weight, std=0.002)
    return networks


def pairs(count: int = 4, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, count, 3, 8, 8, generator=generator)
    source, driving = (nn.functional.interpolate(each, size=(64, 64), mode="bilinear") for each in coarse)
    return {"source": source, "driving": driving, "number": torch.arange(count) + 10}


def part(batch: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in batch.items()}


@each_case("variant", VARIANTS)
def test_each_variant_has_its_losses_and_every_parameter_learns(variant):
    config = configuration(variant, schedule={"selector_warmup": 10})
    networks = moving_networks(config)
    if variant != "tpsmm":  # it starts with weights 0 behind the others
        nn.init.normal_(networks["selector"].head[-1].weight)
    output = MotionStep(networks, config, features())(pairs(2), phase_at(config, 0))
    expected = {"reconstruction", "equivariance", "warp", "background"}
    expected |= {"ranking"} if variant != "tpsmm" else set()
    expected |= {"feature"} if variant in ("int_bt", "full", "v2") else set()
    expected |= {"appearance", "structure"} if variant in ("full", "v2") else set()
    assert set(output.losses) == expected
    assert output.total.item() == pytest.approx(sum(loss.item() for loss in output.losses.values()), rel=1e-5)
    assert all(value.shape == (2,) for value in output.figures.values())
    output.total.backward()
    silent = [
        name for name, parameter in networks.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not [name for name in silent if not name.endswith("conv.bias")]  # a norm takes those out again


def test_gradients_of_a_joint_batch_are_the_mean_of_its_halves():
    """With BatchNorm in eval mode and draws tied to the samples: what makes DDP the same as one process."""
    resnets = {
        "keypoints": {},
        "background_motion": {},
    }  # the points of smaller networks nearly coincide, and rounding grows
    config = configuration("v2", model=resnets, schedule={"dropout": {"until": 100, "ramp": 1, "to": 0.5}})
    networks = moving_networks(config).eval()
    step, batch, phase = MotionStep(networks, config, features()), pairs(2), phase_at(config, 5)
    assert phase.dropout == 0.5

    def gradients(*batches: dict[str, Tensor]) -> dict[str, Tensor]:
        networks.zero_grad(set_to_none=True)
        for each in batches:
            (step(each, phase).total / len(batches)).backward()
        return {name: p.grad.clone() for name, p in networks.named_parameters() if p.grad is not None}

    joint, halves = gradients(batch), gradients(part(batch, slice(0, 1)), part(batch, slice(1, 2)))
    assert joint.keys() == halves.keys()
    for name, gradient in joint.items():
        error = (gradient - halves[name]).abs().max()
        # Not less: other processors order sums otherwise, and where |x| is near 0 its sign turns
        assert error <= 2e-2 * gradient.abs().max() + 1e-5, name


def test_the_backbone_step_gives_the_published_losses(golden, golden_networks, monkeypatch):
    """The whole step, on the conformance data: not only the losses, but what they are given."""
    names = ("keypoint_detector", "dense_motion_network", "image_generator", "background_predictor")
    networks = nn.ModuleDict({name: copy.deepcopy(getattr(golden_networks, name)) for name in names}).eval()
    motion, generator = networks["dense_motion_network"].config, networks["image_generator"].config
    config = configuration(
        "tpsmm",
        data={"image_size": 128},
        model={
            "num_splines": motion["num_splines"],
            "motion": {"block_expansion": motion["block_expansion"], "max_features": motion["max_features"]},
            "generator": {"block_expansion": generator["block_expansion"], "max_features": generator["max_features"]},
        },
        losses={"scales": [1, 2, 4, 8]},
    )
    spline = RandomSpline(*(torch.from_numpy(golden.arrays[f"equivariance/{n}"]) for n in ("theta", "control_params")))
    given = Draws((spline, spline), torch.zeros(1, 2), torch.zeros(1), torch.ones(1, motion["num_splines"]))
    step = MotionStep(networks, config, {"vgg": load_vgg("random")})
    monkeypatch.setattr(step, "_draw", lambda numbers, device: given)
    batch = {
        "source": golden.image(golden.arrays["source"]),
        "driving": golden.image(golden.arrays["driving"][1]),
        "number": torch.zeros(1, dtype=torch.int64),
    }
    output = step(batch, phase_at(config, 10**6))
    expected = {"equivariance": "equivariance_value", "warp": "warp_loss", "background": "bg"}
    for name, key in expected.items():
        assert output.losses[name].item() == pytest.approx(float(golden.arrays[f"loss/{key}"]), rel=1e-5)
    prediction = output.images["prediction"].numpy()
    assert abs(prediction - golden.arrays["standard_bg/prediction"]).max() <= 1e-3


def test_a_candidate_at_zero_is_the_plain_backbone():
    """A step of `int` whose draws all fall on t = 0 reconstructs like a step of `tpsmm`."""
    config, plain = configuration("int", model={"candidates": 2}), configuration("tpsmm")
    networks = moving_networks(config).eval()
    batch, phase = pairs(8), phase_at(configuration("int", schedule={"selector_warmup": 9}), 0)
    hop = MotionStep(networks, config, features())(batch, phase)
    backbone = nn.ModuleDict({name: network for name, network in networks.items() if name != "selector"})
    straight = MotionStep(backbone, plain, features())(batch, phase_at(plain, 0))
    still = hop.figures["t"] == 0
    assert 0 < still.sum() < 8
    torch.testing.assert_close(hop.images["prediction"][still], straight.images["prediction"][still], rtol=0, atol=1e-5)
    assert (hop.images["prediction"] - straight.images["prediction"])[~still].abs().max() > 1e-3
    assert torch.equal(hop.images["interpolation"][still], batch["source"][still])


def test_both_directions_meet_in_one_pose(monkeypatch):
    """The backward direction at 1 - t has the keypoints of the forward one at t."""
    config = configuration("int_bt", schedule={"selector_warmup": 9})
    step = MotionStep(moving_networks(config), config, features())
    given = []
    consistency = step._consistency
    monkeypatch.setattr(step, "_consistency", lambda *each: (given.append(each), consistency(*each))[1])
    batch = pairs(8)
    step(batch, phase_at(config, 0))
    ((generated, _images, hopped, _phase),) = given
    assert hopped.sum() > 0
    first, second = (half[hopped] for half in generated.optimal.keypoints.points.chunk(2))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    still = step.networks["keypoint_detector"].eval()(batch["source"]).points[hopped]
    assert (first - still).abs().max() > 0.01


def test_warm_up_takes_chance_and_then_the_selector():
    config = configuration("int", schedule={"selector_warmup": 1})
    networks = moving_networks(config).eval()
    with torch.no_grad():  # a selector that always wants the largest t
        networks["selector"].head[0].weight.zero_()
        networks["selector"].head[0].weight[0, -3] = 1  # the column of t
        networks["selector"].head[-1].weight.zero_()
        networks["selector"].head[-1].weight[0, 0] = 1
    step, batch = MotionStep(networks, config, features()), pairs(6)
    drawn = draw(config.seed, batch["number"].tolist(), 8, 5, CPU)
    times = candidate_times(8)[drawn.candidates]
    warm, later = (step(batch, phase_at(config, at)).figures["t"] for at in (0, 1))
    assert torch.equal(warm, times.gather(1, drawn.coin[:, None]).squeeze(1))
    assert torch.equal(later, times.amax(dim=1))
    assert not torch.equal(warm, later)


def test_the_selector_learns_which_candidate_is_better_from_ranking_alone():
    """Errors that are least at t = 0 for small motion and at t = 0.5 for large motion: the scores end in that order."""
    torch.manual_seed(0)
    selector = OptimalInterpolationSelector()
    optimizer = torch.optim.Adam(selector.parameters(), 3e-3)
    picture = torch.rand(1, 3, 16, 16)

    def candidates(whole: Tensor, times: Tensor) -> Candidates:
        count = len(whole)
        grid = torch.zeros(count, times.shape[1], 16, 16, 2)
        visible = (1 - whole[:, None] * times)[:, :, None, None].expand(-1, -1, 16, 16)
        return Candidates(times, grid, visible, whole[:, None] * (1 - times), whole)

    def errors(whole: Tensor, times: Tensor) -> Tensor:
        return (times - (whole[:, None] > 0.5) * 0.5).abs()

    for _ in range(150):
        whole = torch.rand(32)
        times = candidate_times(8)[torch.rand(32, 8).argsort(dim=1)[:, :2]]
        loss = losses.ranking_loss(selector(picture, candidates(whole, times)), errors(whole, times)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    times = candidate_times(8).expand(2, -1)
    small, large = times.gather(1, selector(picture, candidates(torch.tensor([0.1, 0.9]), times)).argmax(1)[:, None])
    assert small.item() == 0
    assert large.item() == pytest.approx(0.5, abs=0.13)


def test_draws_belong_to_the_sample():
    together = draw(3, [5, 6, 7], 8, 10, CPU)
    alone = draw(3, [6], 8, 10, CPU)
    assert torch.equal(together.candidates[1:2], alone.candidates)
    assert torch.equal(together.dropout[1:2], alone.dropout)
    assert torch.equal(together.splines[0].theta[1:2], alone.splines[0].theta)
    assert not torch.equal(together.splines[0].theta, together.splines[1].theta)
    other = draw(4, [6], 8, 10, CPU)
    assert not torch.equal(other.dropout, alone.dropout)


def test_draws_are_spread():
    drawn = draw(0, range(4000), 8, 10, CPU)
    assert (drawn.candidates[:, 0] != drawn.candidates[:, 1]).all()
    shares = torch.bincount(drawn.candidates.flatten(), minlength=8) / 8000
    assert (shares - 1 / 8).abs().max() < 0.015
    assert drawn.coin.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert drawn.dropout.mean().item() == pytest.approx(0.5, abs=0.01)
    deviation = torch.cat([spline.theta - torch.eye(2, 3) for spline in drawn.splines]).std()
    assert deviation.item() == pytest.approx(0.05, rel=0.03)


def test_phases_follow_the_schedule():
    config = configuration(
        "full",
        losses={"feature": 2, "ramp_start": 10, "ramp_steps": 5, "scales": [1]},
        schedule={
            "background_from": 3,
            "selector_warmup": 7,
            "dropout": {"until": 20, "ramp": 10, "from": 0.0, "to": 0.4},
        },
    )
    phases = {step: phase_at(config, step) for step in (0, 2, 3, 6, 7, 9, 10, 12, 14, 19, 20, 99)}
    assert [phases[step].weights.feature for step in (0, 9, 10, 12, 14, 99)] == pytest.approx([0, 0, 0.4, 1.2, 2, 2])
    assert all(phase.weights.reconstruction == 10 for phase in phases.values())
    assert [phases[step].background for step in (0, 2, 3, 99)] == [False, False, True, True]
    assert [phases[step].warmup for step in (0, 6, 7)] == [True, True, False]
    assert [phases[step].dropout for step in (0, 9, 19, 20)] == pytest.approx([0.04, 0.4, 0.4, 0])


def test_the_step_uses_dropout_and_background_as_the_phase_says():
    config = configuration("tpsmm", schedule={"dropout": {"until": 9, "ramp": 1, "to": 0.9}, "background_from": 5})
    networks = moving_networks(config).eval()
    step = MotionStep(networks, config, features())
    early, late = (step(pairs(), phase_at(config, at)) for at in (0, 20))
    assert "background" not in early.losses
    assert "background" in late.losses
    assert (early.images["prediction"] - late.images["prediction"]).abs().max() > 1e-3
