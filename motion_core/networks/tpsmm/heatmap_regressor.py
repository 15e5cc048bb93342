"""Images to points by heat maps: a point is the mean place under its map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...geometry import geometry_precision, identity_grid
from ..base import for_sampling
from .blocks import Down, Up, conv

TEMPERATURE = 0.1


class HeatmapRegressor(nn.Module):
    """An hourglass whose softmax over the pixels is a distribution for each point: ``(B, C, H, W)`` to ``(B, P, 2)`` in [-1, 1].

    Points found so move with what they lie on before anything is learned, which makes it the faster one to train; as in
    Siarohin et al., "First order motion model for image animation", NeurIPS 2019.

    Args:
        in_channels: C.
        points: P.
        features, max_features, levels: level i (from 1) has min(max_features, features * 2^i) features.
    """

    def __init__(
        self, in_channels: int, points: int, features: int = 16, max_features: int = 128, levels: int = 4
    ) -> None:
        super().__init__()
        widths = [in_channels] + [min(max_features, features * 2**level) for level in range(1, levels + 1)]
        self.encoder = nn.ModuleList(Down(widths[i], widths[i + 1]) for i in range(levels))
        self.decoder = nn.ModuleList()
        decoded = widths[-1]
        for level in reversed(range(levels)):
            made = min(max_features, features * 2**level)
            self.decoder.append(Up(decoded, made))
            decoded = made + widths[level]
        self.maps = conv(decoded, points, 7)

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return 2 ** len(self.encoder)

    def forward(self, image: Tensor) -> Tensor:
        skips = [image]
        for down in self.encoder:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.decoder:
            x = torch.cat((up(x), skips.pop()), dim=1)
        return mean_places(self.maps(x))


def mean_places(maps: Tensor) -> Tensor:
    """The mean place of the distribution that each map is, in fp32: ``(B, P, H, W)`` to ``(B, P, 2)`` in [-1, 1]."""
    with geometry_precision(maps):
        logits = for_sampling(maps) / TEMPERATURE
        weights = logits.flatten(2).softmax(dim=2)  # (B, P, H * W)
        height, width = maps.shape[-2:]
        return weights @ identity_grid(height, width, weights).flatten(0, 1)
