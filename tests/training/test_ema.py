"""Averaged weights against the sum that they stand for."""

from __future__ import annotations

import torch
from torch import nn

from train.ema import averaged_model


def test_the_average_is_the_weighted_sum_of_all_that_was():
    trained, decay = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).train(), 0.9
    averaged = averaged_model(trained, decay)
    assert trained.training
    assert not averaged.module.training
    assert not any(parameter.requires_grad for parameter in averaged.parameters())
    expected: dict[str, torch.Tensor] = {}
    for step in range(1, 101):
        with torch.no_grad():
            for tensor in trained.state_dict().values():
                tensor.copy_(torch.randn_like(tensor) if tensor.is_floating_point() else tensor + 1)
        averaged.update_parameters(trained)
        kept = min(decay, (1 + step) / (10 + step)) if expected else 0.0  # the random beginning has no part in it
        for name, value in trained.state_dict().items():
            expected[name] = kept * expected.get(name, 0) + (1 - kept) * value.double()
    for name, value in averaged.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, trained.state_dict()[name])  # counters are copied
