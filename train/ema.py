"""Averaged weights: a second set of networks that follows the trained ones slowly."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AveragedNetworks:
    """Exponential moving average of all weights and running statistics.

    After step s the average moves by 1 - min(decay, (1 + s) / (10 + s)) of the way, so that it is not held at the random
    beginning for long (the ramp that TensorFlow's ExponentialMovingAverage has).

    Args:
        networks: what is trained; copied, in evaluation mode.
        decay: from 0 to 1; near 1 is slow.
    """

    def __init__(self, networks: nn.ModuleDict, decay: float) -> None:
        self.decay = decay
        self.networks = copy.deepcopy(networks).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, networks: nn.ModuleDict, step: int) -> None:
        """Move towards `networks` as they are after step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, trained = _tensors(self.networks), _tensors(networks)
        real = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in real], [trained[name] for name in real], 1 - decay)
        for name in averaged.keys() - set(real):  # counters
            averaged[name].copy_(trained[name])


def _tensors(networks: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in networks.state_dict().items()}
