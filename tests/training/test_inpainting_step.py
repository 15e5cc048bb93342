"""The stage that teaches the image generator alone to paint what a figure hides."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from test_motion_step import configuration, features, moving_networks, pairs

from train.inpainting_step import InpaintingStep, hole_masks
from train.phase import phase_at
from train.preparation import build_step, needed_features, pair_options

CONFIG = configuration("tpsmm", stage="inpainting", losses={"pixels": 5})


def batch(shown: torch.Tensor):
    """Four pairs whose source images have the given silhouettes, ``(4, 1, 64, 64)``."""
    return pairs() | {"silhouette": torch.stack((shown, torch.ones_like(shown)), dim=1)}


def squares() -> torch.Tensor:
    shown = torch.zeros(4, 1, 64, 64)
    shown[..., 16:48, 16:48] = 1
    return shown


def step_of(networks):
    return InpaintingStep(networks, CONFIG, features())


def test_only_the_generator_learns():
    networks = moving_networks(CONFIG)
    step = step_of(networks)
    output = step(batch(squares()), phase_at(CONFIG, 0))
    assert set(output.losses) == {"reconstruction", "pixels"}
    assert output.losses["pixels"].item() == pytest.approx(5 * output.figures["l1"].mean().item(), rel=1e-5)
    output.total.backward()
    assert {name for name, part in networks.items() if any(p.grad is not None for p in part.parameters())} == {
        "image_generator"
    }
    assert {id(p) for p in step.parameters()} == {id(p) for p in networks["image_generator"].parameters()}


def test_holes_are_learned_to_be_painted():
    step, phase, given = step_of(moving_networks(CONFIG)), phase_at(CONFIG, 0), batch(squares())
    optimizer, seen = torch.optim.Adam(step.parameters(), 3e-3), []
    for _ in range(45):
        output = step(given, phase)
        seen.append(output.total.item())
        optimizer.zero_grad()
        output.total.backward()
        optimizer.step()
    assert seen[-1] < 0.7 * seen[0]


def test_a_hole_has_the_silhouette_of_another_sample():
    """Where there is no hole the picture is shown as it is, and where nobody knows the figure there is none."""
    shown = torch.ones(4, 1, 64, 64)
    shown[1] = squares()[1]
    with torch.no_grad():
        output = step_of(moving_networks(CONFIG))(batch(shown), phase_at(CONFIG, 0))
    assert (output.figures["visibility"] < 1).tolist() == [False, False, True, False]
    assert (output.figures["l1"] > 1e-4).tolist() == [False, False, True, False]


def test_what_is_to_be_painted_is_not_in_the_picture_that_is_encoded():
    """A figure of another picture is in front of it, and nothing of what is behind comes through."""
    step, given = step_of(moving_networks(CONFIG)), batch(squares())
    changed = given | {"driving": torch.where(squares() > 0, 1 - given["driving"], given["driving"])}
    with torch.no_grad():
        first, second = (step(each, phase_at(CONFIG, 0)).images["prediction"] for each in (given, changed))
        other = step(given | {"source": 1 - given["source"]}, phase_at(CONFIG, 0)).images["prediction"]
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_masks_are_closed_in_the_hole_at_every_size_but_for_the_leak():
    masks = hole_masks(squares(), torch.tensor([0, 0.1, 0.2, 0]), 4)
    assert [mask.shape[-1] for mask in masks] == [8, 16, 32, 64]
    for mask in masks:
        side = mask.shape[-1]
        leak = [0, 0.1, 0.2, 0] if side < 64 else [0] * 4
        assert mask[:, 0, side // 2, side // 2].tolist() == pytest.approx(leak, abs=1e-6)
        assert mask[..., 0, 0].eq(1).all()


def test_what_it_takes_of_the_data_and_of_the_features():
    options = pair_options(CONFIG)
    assert options.silhouettes
    assert options.tracked_only
    assert options.splines is None
    assert set(needed_features(CONFIG)) == {"vgg"}
    assert isinstance(
        build_step(moving_networks(CONFIG), configuration("tpsmm", stage="inpainting", features={"vgg": "random"})),
        InpaintingStep,
    )


def test_a_single_mask_is_refused():
    with pytest.raises(ValidationError, match="num_masks must be one for each level for stage inpainting, got 1"):
        configuration(
            "tpsmm", stage="inpainting", model={"motion": {**CONFIG.model.motion.model_dump(), "num_masks": 1}}
        )
