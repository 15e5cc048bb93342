"""The optimiser: what it trains, and how fast."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from train.config import ScheduleConfig
from train.motion_step import StepOutput
from train.phase import Phase
from train.update import StopSignal, build_optimizer, update


class Sum(nn.Module):
    """A step whose loss is the sum of all parameters: Adam's first step moves each by the learning rate."""

    def __init__(self, networks: nn.ModuleDict) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, batch: dict[str, torch.Tensor], phase: Phase) -> StepOutput:
        total = sum(parameter.sum() for parameter in self.networks.parameters())
        return StepOutput({"sum": total}, total)


@pytest.mark.parametrize("names", [("image_generator", "selector"), ("image_generator",)])
def test_the_selector_has_a_learning_rate_of_its_own(names):
    networks = nn.ModuleDict({name: nn.Linear(2, 3) for name in names})
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    schedule, step = ScheduleConfig(selector_rate=5, weight_decay=0), Sum(networks)
    optimizer = build_optimizer(step, networks, schedule)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2 * len(names)
    update(Accelerator(cpu=True), step, networks, optimizer, [{}], Phase(), 0.01, 10, StopSignal())
    for name, value in networks.state_dict().items():
        moved = 0.05 if name.startswith("selector.") else 0.01
        torch.testing.assert_close(before[name] - value, torch.full_like(value, moved), rtol=1e-4, atol=1e-6)
