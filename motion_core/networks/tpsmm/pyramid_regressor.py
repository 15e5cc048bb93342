"""Images to points by a feature pyramid, which reads them at full size and says where points are at a quarter of it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .heatmap_regressor import mean_places

WIDTHS = (24, 48, 96, 128, 160)
EXTRA_LAYERS = (
    0,
    1,
    1,
    2,
    2,
)  # whether an arm is the left one is told from the whole body: most layers where that is small


class PyramidRegressor(nn.Module):
    """Heat maps of a quarter of the image's side: ``(B, C, H, W)`` to ``(B, P, 2)`` in [-1, 1].

    Thin limbs need the detail of the image, but no fine map: the mean place under a map is finer than its pixels. Levels are
    added from the coarsest to the second, as in Lin et al., "Feature pyramid networks for object detection", CVPR 2017.

    Args:
        in_channels: C.
        points: P.
    """

    size_multiple = 2 ** len(WIDTHS)  # image sides must be multiples of this

    def __init__(self, in_channels: int, points: int) -> None:
        super().__init__()
        widths = (in_channels, *WIDTHS)
        levels = range(len(WIDTHS))
        self.down = nn.ModuleList(
            nn.Sequential(
                _layer(widths[i], widths[i + 1], 2),
                *(_layer(widths[i + 1], widths[i + 1]) for _ in range(EXTRA_LAYERS[i])),
            )
            for i in levels
        )
        self.lower = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in levels[2:])
        self.merged = nn.ModuleList(_layer(widths[i], widths[i]) for i in levels[2:])
        self.maps = nn.Conv2d(WIDTHS[1], points, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = image - 0.5
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        coarser_first = list(zip(self.lower, self.merged, levels[1:-1], strict=True))[::-1]
        for lower, merged, level in coarser_first:
            x = merged(level + F.interpolate(lower(x), scale_factor=2.0))
        return mean_places(self.maps(x))  # (B, P, H / 4, W / 4)


def _layer(in_features: int, out_features: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(in_features, out_features, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_features), nn.ReLU(inplace=True))
