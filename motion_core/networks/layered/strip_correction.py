"""Detected strips to where those of rendered people are, whose limbs are known: what a detector always gets wrong alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...geometry import geometry_precision
from .limbs import LIMBS, POINTS, TRUNK, upright
from .unet import zeroed

TRUNK_WIDTHS = 3.0  # widths of the trunk in a unit of length
# Units that a point is moved at most. Rendered people lose nothing by it; without it, poses unlike theirs are thrown over the
# whole picture (docs/people.md).
FARTHEST = 0.05


class StripCorrection(nn.Module):
    """A small network that moves each point of the strips by what all of them say; it starts as no change.

    It sees all poses with the trunk upright.

    Args:
        features: of the two hidden layers.
    """

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        size = 2 * len(LIMBS) * POINTS
        first, last = nn.Linear(size, features), zeroed(nn.Linear(features, size))
        self.net = nn.Sequential(first, nn.ReLU(), nn.Linear(features, features), nn.ReLU(), last)

    def forward(self, points: Tensor) -> Tensor:
        """Strips ``(B, K, 5, 2)``, in any unit that is the same across and down, corrected; fp32. What follows them stays."""
        with geometry_precision(points):
            points, rest = points.float().tensor_split([len(LIMBS)], dim=1)
            middle = points[:, TRUNK, :4].mean(dim=1)[:, None, None]
            unit = TRUNK_WIDTHS * (points[:, TRUNK, 0] - points[:, TRUNK, 1]).norm(dim=-1)[:, None, None, None]
            unit = unit.clamp(min=1e-6)
            rotation = upright(points)[:, None]
            change = self.net(((points - middle) / unit @ rotation.mT).flatten(1)).view_as(points)
            change = change * (FARTHEST / change.norm(dim=-1, keepdim=True).clamp(min=FARTHEST))
            return torch.cat((points + unit * (change @ rotation), rest), dim=1)
