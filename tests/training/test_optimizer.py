"""One step of the optimiser: learning rates, and fp16's loss scale."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from subcases import each_case
from torch import nn

from train.config import ScheduleConfig
from train.motion_step import StepOutput
from train.update import build_optimizer, take_step


@pytest.fixture(autouse=True)
def _alone():
    """accelerate keeps its state for the process."""
    AcceleratorState._reset_state(reset_partial_state=True)


def summed(networks: nn.ModuleDict) -> StepOutput:
    """A loss whose gradient is 1 for each parameter: Adam's first step moves each by the learning rate."""
    return StepOutput({"sum": sum(parameter.sum() for parameter in networks.parameters())})


@each_case("names", [("image_generator", "selector"), ("image_generator",)])
def test_the_selector_has_a_learning_rate_of_its_own(names):
    networks = nn.ModuleDict({name: nn.Linear(2, 3) for name in names})
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    accelerator = Accelerator(cpu=True)
    optimizer = accelerator.prepare(
        build_optimizer(networks, networks, ScheduleConfig(selector_rate=5, weight_decay=0))
    )
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2 * len(names)
    output = summed(networks)
    accelerator.backward(output.total)
    assert take_step(accelerator, networks, optimizer, [output], 0.01, 10) == ()
    for name, value in networks.state_dict().items():
        moved = 0.05 if name.startswith("selector.") else 0.01
        torch.testing.assert_close(before[name] - value, torch.full_like(value, moved), rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_unscaled_and_an_overflow_halves_the_scale():
    """With torch's loss scaler for processors; accelerate makes it for fp16 on a GPU only."""
    networks = nn.ModuleDict({"keypoint_detector": nn.Linear(1, 1, bias=False)})
    weight = networks["keypoint_detector"].weight
    accelerator = Accelerator(cpu=True)
    accelerator.scaler, accelerator.native_amp = torch.amp.GradScaler("cpu", init_scale=8.0), True
    accelerator.state._mixed_precision = "fp16"
    optimizer = accelerator.prepare(torch.optim.SGD(networks.parameters(), 1.0))

    def step(factor: float) -> tuple[float, tuple[str, ...]]:
        before, output = weight.item(), StepOutput({"sum": factor * weight.sum()})
        accelerator.backward(output.total)
        bad = take_step(accelerator, networks, optimizer, [output], 0.1, 10)
        return before - weight.item(), bad

    assert step(20.0) == (pytest.approx(1.0), ())  # clipped to 10, which the scale of 8 does not reach
    assert step(1e38) == (0.0, ("gradient",))
    assert accelerator.scaler.get_scale() == 4.0
    assert step(2.0) == (pytest.approx(0.2), ())
