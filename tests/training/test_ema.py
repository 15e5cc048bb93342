"""Averaged weights against the sum that they stand for."""

from __future__ import annotations

import torch
from torch import nn

import motion_core
from train.ema import AveragedNetworks


def networks() -> nn.ModuleDict:
    return nn.ModuleDict({"avd_network": motion_core.AVDNetwork(1, 3, 2, 2, (4,))})


def change(trained: nn.ModuleDict) -> None:
    with torch.no_grad():
        for tensor in trained.state_dict().values():
            tensor.copy_(torch.randn_like(tensor) if tensor.is_floating_point() else tensor + 1)


def test_the_average_is_the_weighted_sum_of_all_that_was():
    trained, decay = networks(), 0.9
    averaged = AveragedNetworks(trained, decay)
    expected = {name: value.clone().double() for name, value in trained.state_dict().items()}
    for step in range(1, 101):
        change(trained)
        averaged.update(trained, step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in trained.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * value.double()
    for name, value in averaged.networks.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, trained.state_dict()[name])  # counters are copied


def test_it_is_a_copy_for_evaluation():
    trained = networks().train()
    averaged = AveragedNetworks(trained, 0.5)
    assert not averaged.networks.training
    assert trained.training
    assert not any(parameter.requires_grad for parameter in averaged.networks.parameters())
    before = {name: value.clone() for name, value in averaged.networks.state_dict().items()}
    change(trained)
    assert all(torch.equal(value, before[name]) for name, value in averaged.networks.state_dict().items())
