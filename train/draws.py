"""Every random number of a training step, drawn from its sample's number: the same however many processes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .equivariance import GRID, RandomSpline

_STREAM = 0x57E9  # keeps these draws apart from those that choose the frames of the same sample
_DIRECTIONS = 2


@dataclass(frozen=True)
class Draws:
    """The random numbers of B samples.

    Attributes:
        splines: for the equivariance of the source and of the driving image, in this order.
        candidates: two different candidates each, ``(B, 2)``, whole numbers from 0 to M - 1.
        coin: which of the two is preferred while the selector is not asked yet, ``(B,)``, 0 or 1.
        dropout: uniform in [0, 1), ``(B, K)``; a spline is kept where it is at least the dropout probability.
    """

    splines: tuple[RandomSpline, RandomSpline]
    candidates: Tensor
    coin: Tensor
    dropout: Tensor


def draw(seed: int, numbers: Sequence[int], num_candidates: int, num_splines: int, device: torch.device) -> Draws:
    """The draws of the samples with these numbers; `num_candidates` M of 2 or more, or 1 where none is needed."""
    points = GRID**2
    normal, pairs, coins, uniform = [], [], [], []
    for number in numbers:
        generator = np.random.default_rng((seed, int(number), _STREAM))
        normal.append(generator.standard_normal((_DIRECTIONS, 6 + points), dtype=np.float32))
        pairs.append(generator.permutation(max(num_candidates, 2))[:2] % num_candidates)
        coins.append(generator.integers(2))
        uniform.append(generator.random(num_splines, dtype=np.float32))
    noise = torch.from_numpy(np.stack(normal)).to(device)  # (B, 2, 31)
    source, driving = (
        RandomSpline.from_noise(each[:, :6].unflatten(1, (2, 3)), each[:, 6:]) for each in noise.unbind(dim=1)
    )
    return Draws(
        (source, driving),
        torch.from_numpy(np.stack(pairs)).to(device),
        torch.tensor(np.array(coins), device=device),
        torch.from_numpy(np.stack(uniform)).to(device),
    )
