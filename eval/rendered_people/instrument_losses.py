"""What the benchmark's own detector and embedder are trained to do, from frames drawn at random; see `instrument_pictures`."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .annotations import SEEN
from .identity_embedder import NUMBERS, IdentityNetwork
from .instrument_data import Frames, batch_of
from .instrument_pictures import degraded, elsewhere, moved, recoloured, without_limbs
from .joint_detector import SIDE, STRIDE, JointNetwork, peaks

_HIDDEN = 0.25  # weight of the place of a joint that cannot be seen, next to one that can
_NEAR = 0.06  # of the side: a joint farther from its place than this has not been found
_WIDTH = 1.0  # of the distribution that a heatmap should have, in cells
_SCALE, _MARGIN = 16.0, 0.2  # of the cosine softmax (Wang et al., "CosFace", CVPR 2018)


def joint_loss(network: JointNetwork, frames: Frames, numbers: np.ndarray) -> Tensor:
    """Cross entropies of the places of all joints in the picture, and of whether they are seen where the network puts them."""
    images, parts = batch_of(frames, numbers)
    joints, visibility = torch.from_numpy(frames.joints[numbers]), torch.from_numpy(frames.visibility[numbers])
    images, taken = without_limbs(images, parts, 0.5)
    column, row = joints.round().long().clamp(0, SIDE - 1).unbind(-1)  # (B, 18) each
    gone = taken.flatten(1).gather(1, row * SIDE + column)  # (B, 18)
    images, joints, state = moved(images, joints, torch.where(gone, 0, visibility))
    images = degraded(recoloured(images, 1.0), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        place, seen = network(images)  # (B, 18, 32, 32), (B, 18)

    cells = (joints + 0.5) / STRIDE - 0.5  # (B, 18, 2)
    inside = ((joints >= -0.5) & (joints < SIDE - 0.5)).all(-1) & (state > 0)
    axis = torch.arange(SIDE / STRIDE)
    x, y = (((cells[..., None] - axis) / _WIDTH) ** 2 / -2).softmax(-1).unbind(2)  # (B, 18, 32) each
    target = (y[..., :, None] * x[..., None, :]).flatten(2)  # (B, 18, 1024)
    weight = inside * torch.where(state == SEEN, 1.0, _HIDDEN)
    wrong_place = -(target * place.flatten(2).log_softmax(-1)).sum(-1)  # (B, 18)
    # A joint that is taken for another one, such as the other hand, shall rather be missing.
    right = (peaks(place.detach()) - joints).norm(dim=-1) < _NEAR * SIDE
    wrong_seen = F.binary_cross_entropy_with_logits(seen, (inside & (state == SEEN) & right).float())
    return (wrong_place * weight).sum() / weight.sum().clamp_min(1) + 2 * wrong_seen


class IdentityTrainer(nn.Module):
    """The embedder with a direction for each person in training, which is not kept."""

    def __init__(self, people: int) -> None:
        super().__init__()
        self.network = IdentityNetwork()
        self.people = nn.Parameter(torch.randn(people, NUMBERS))


def identity_loss(trainer: IdentityTrainer, frames: Frames, numbers: np.ndarray) -> Tensor:
    """Cosine softmax over the people, with a margin; many are put before other backgrounds, which say nothing about them."""
    images, parts = batch_of(frames, numbers)
    joints, visibility = torch.from_numpy(frames.joints[numbers]), torch.from_numpy(frames.visibility[numbers])
    images, _, _ = moved(elsewhere(images, parts, 0.4), joints, visibility)
    images = degraded(recoloured(images, 0.5), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        embedded = trainer.network(images)  # (B, 64)
    people = torch.from_numpy(frames.people[numbers]).long()
    cosines = embedded @ F.normalize(trainer.people, dim=-1).T  # (B, people)
    return F.cross_entropy(_SCALE * (cosines - _MARGIN * F.one_hot(people, len(trainer.people))), people)
