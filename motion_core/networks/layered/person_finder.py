"""Where people are in a picture, how large, and which way up: what `BlazePose` has to be told before it looks.

The network that mediapipe calls "pose detection" (Bazarevsky et al., "BlazePose: on-device real-time body pose tracking", 2020;
Apache-2.0), rebuilt from its description as a graph. `train.convert_blazepose` fills it. Its weights come with the package and
are part of no saved pipeline: they are the same for all, and were never trained here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from .blaze_pose import Encoder, depthwise, doubled

SHIPPED_FINDER = Path(__file__).resolve().parents[2] / "weights" / "person_finder" / "model.safetensors"

SIDE = 224  # pixels of the crops that it was trained on
STAGES = (  # as in `blaze_pose`
    ((3, 4, 24), (3, 6, 24)),
    ((5, 6, 40), (5, 6, 40)),
    ((3, 6, 80), (3, 6, 80), (3, 6, 80), (5, 6, 112), (5, 6, 112), (5, 6, 112)),
    ((5, 6, 192), (5, 6, 192), (5, 6, 192), (5, 6, 192)),
)
TOP = 1152  # features of the coarsest level
WIDTHS = (96, 192)  # features of the two levels above it, once joined with what comes from below: 28 and 14 cells
GUESSES = (2, 2, 6)  # for each cell, of 28 x 28, 14 x 14 and 7 x 7
VALUES = 12  # of a guess: a box and four places, of which the first two are used


@dataclass(frozen=True)
class Guesses:
    """N guesses where a person is in each of B crops.

    Attributes:
        score: ``(B, N)`` in [0, 1].
        middle: of the hips, ``(B, N, 2)``, (x, y) in pixels of a 224 x 224 crop, 0 and 224 at its edges; outside of it as well.
        reach: ``(B, N, 2)``, straight up from there, seen by the person, as far as the farthest part of the body is.
    """

    score: Tensor
    middle: Tensor
    reach: Tensor


class PersonFinder(Encoder):
    """Crops ``(B, 3, 224, 224)`` in [0, 1] to guesses where people are."""

    def __init__(self) -> None:
        super().__init__(STAGES, TOP)
        below = (STAGES[1][-1][-1], STAGES[2][-1][-1])
        self.lateral = nn.ModuleList(
            nn.Sequential(*_linear(features, width), nn.ReLU6(inplace=True))
            for features, width in zip(below, WIDTHS, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(*widths, 1) for widths in ((WIDTHS[1], WIDTHS[0]), (TOP, WIDTHS[1])))
        self.join = nn.ModuleList(nn.Sequential(Residual(width), Residual(width)) for width in WIDTHS)
        widths = [width // 4 for width in (*WIDTHS, TOP)]
        self.scores = nn.ModuleList(_linear(*each, stride=2) for each in zip(widths, GUESSES, strict=True))
        self.places = nn.ModuleList(
            _linear(width, VALUES * count, stride=2) for width, count in zip(widths, GUESSES, strict=True)
        )

    def forward(self, crops: Tensor) -> Guesses:
        """Guesses of all levels, the finest first, fp32."""
        *_, fine, middle, coarse = self.encode(2 * crops - 1)
        middle = self._joined(1, middle, coarse)
        levels = (self._joined(0, fine, middle), middle, coarse)
        found: list[tuple[Tensor, Tensor]] = []
        for level, score, places in zip(levels, self.scores, self.places, strict=True):
            x = _unfolded(level)
            found.append((score(x).float().sigmoid().flatten(1), _about_cells(places(x).float())))
        values = torch.cat([value for _, value in found], dim=1)  # (B, N, 12)
        return Guesses(torch.cat([score for score, _ in found], dim=1), values[..., 4:6], values[..., 6:8])

    def _joined(self, level: int, features: Tensor, coarser: Tensor) -> Tensor:
        enlarged = F.relu6(doubled(self.narrow[level](coarser)))  # a convolution of single pixels, so it may come first
        joined: Tensor = self.join[level](self.lateral[level](features) + enlarged)
        return joined


@cache
def shipped_finder(device: torch.device) -> PersonFinder:
    """The network with the weights that come with the package, fp32."""
    with torch.inference_mode(False):
        finder = PersonFinder()
        finder.load_state_dict({name: value.float() for name, value in load_file(SHIPPED_FINDER).items()})
    return finder.to(device).eval().requires_grad_(False)


class Residual(nn.Module):
    """ReLU6(x + what convolutions channel by channel, and of single pixels, make of x)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.convolution = _linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + self.convolution(x), inplace=True)


def _linear(in_features: int, out_features: int, stride: int = 1) -> nn.Sequential:
    """A convolution channel by channel and one of single pixels, with nothing between them."""
    return nn.Sequential(depthwise(in_features, 3, stride), nn.Conv2d(in_features, out_features, 1))


def _unfolded(x: Tensor) -> Tensor:
    """Features ``(B, 4 C, h, w)``, those of each 2 x 2 places one after another, as ``(B, C, 2 h, 2 w)``."""
    batch, features, height, width = x.shape
    x = x.view(batch, 2, 2, features // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, features // 4, 2 * height, 2 * width)


def _about_cells(values: Tensor) -> Tensor:
    """Values ``(B, A * 12, h, w)`` of A guesses about each cell, x and y by turns, as places in the crop, ``(B, A h w, 12)``."""
    height, width = values.shape[-2:]
    x, y = ((torch.arange(count, device=values.device) + 0.5) * (SIDE / count) for count in (width, height))
    middles = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None])).repeat(VALUES // 2, 1, 1)  # (12, h, w)
    return (values.unflatten(1, (-1, VALUES)) + middles).movedim(2, -1).flatten(1, 3)
