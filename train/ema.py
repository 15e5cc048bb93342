"""Averaged weights: torch's `AveragedModel` with a decay that rises."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(networks: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of all weights and running statistics; call its `update_parameters` after each step.

    The first update copies. After s of them the next moves by 1 - min(decay, (2 + s) / (11 + s)) of the way, so that the random
    beginning is soon forgotten (the ramp that TensorFlow's ExponentialMovingAverage has).

    Args:
        networks: what is trained; ``.module`` of the result is a copy in evaluation mode.
        decay: from 0 to 1; near 1 is slow.
    """

    @torch.no_grad()
    def move(averaged: Tensors, trained: Tensors, updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, trained, 1 - min(decay, (2 + int(updates)) / (11 + int(updates))))
        else:  # counters
            torch._foreach_copy_(averaged, trained)

    model = AveragedModel(networks, multi_avg_fn=move, use_buffers=True)
    return model.requires_grad_(False).eval()
