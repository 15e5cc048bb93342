"""Right and left limbs of two poses of one person, of which the detector takes one for the other at times."""

from __future__ import annotations

import torch
from torch import Tensor

from .limbs import GROUPS, LIMBS, SIDES_CHANGED, other_side

# Limbs whose sides are taken for each other together. The face goes with the arms.
ARMS = tuple(number for number, limb in enumerate(LIMBS) if limb.endswith("arm"))
LEGS = tuple(number for number, limb in enumerate(LIMBS) if limb.endswith(("thigh", "shin")))
FACE = GROUPS.index("face")
# Sides are exchanged where that is nearer to the other pose by so much, unless both are as near as a share of the person's size.
NEARER, NEAR = 0.5, 0.16
ALIKE = 0.2  # of the person's size, that looks which agree differ at most


def exchanged(points: Tensor, limbs: tuple[int, ...]) -> Tensor:
    """Keypoints ``(..., K, 5, 2)`` in which some limbs, `ARMS` or `LEGS`, are the other side's, and the face with the arms."""
    order = list(range(points.shape[-3]))
    for number in limbs:
        order[number] = LIMBS.index(other_side(LIMBS[number]))
    made = points[..., order, :, :]
    if limbs == ARMS:
        made[..., FACE:, :, :] = made[..., FACE:, SIDES_CHANGED, :]
    return made


def distance(pose: Tensor, other: Tensor, limbs: tuple[int, ...] = ARMS + LEGS) -> float:
    """How far limbs of a pose ``(K, 5, 2)`` are from those of another one; a share of that person's size."""
    body, moved = pose[list(ARMS + LEGS)].mean(dim=1), (other - pose)[list(limbs)].mean(dim=1)  # (L, 2)
    size = (body - body.mean(dim=0)).square().sum(dim=-1).mean().sqrt()
    return (moved.norm(dim=-1).mean() / size.clamp(min=1e-6)).item()


def other_way_round(pose: Tensor, points: Tensor, limbs: tuple[int, ...]) -> bool:
    """Whether limbs of `points` ``(K, 5, 2)`` are much nearer to those of a pose with their sides exchanged."""
    far = distance(pose, points, limbs)
    return far > NEAR and distance(pose, exchanged(points, limbs), limbs) < NEARER * far


def agreed(looks: Tensor) -> Tensor:
    """The pose ``(K, 5, 2)`` that most of several looks ``(N, K, 5, 2)`` at one person agree on.

    The mean of those that are like the one which is nearest to the others; with the sides of that one.
    """
    apart = looks.new_tensor([[min(distance(a, b), 2 * ALIKE) for b in looks] for a in looks])  # (N, N)
    middle = looks[int(apart.sum(dim=1).argmin())]
    alike = []
    for look in looks:
        for limbs in (ARMS, LEGS):
            if other_way_round(middle, look, limbs):
                look = exchanged(look, limbs)
        if distance(middle, look) <= ALIKE:
            alike.append(look)
    return torch.stack(alike).mean(dim=0)
