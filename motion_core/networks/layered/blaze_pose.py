"""BlazePose: where the landmarks of the one person are that fills a picture, and its silhouette.

The network that mediapipe calls "pose landmark, full" (Bazarevsky et al., "BlazePose: on-device real-time body pose
tracking", 2020; Apache-2.0), rebuilt from its description as a graph. `train.convert_blazepose` fills it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 256  # pixels of the crops that it was trained on
LANDMARKS = 39  # 33 of the body, two that say where to crop (`CENTRE`, `REACH`), four that nobody uses
CENTRE, REACH = 33, 34  # the middle of the hips, and a point as far from it as the farthest part of the body
# Which of the landmarks each one is in a mirrored picture: of the face and, from the shoulders to the feet, odd numbers are left.
MIRRORED_LANDMARKS = (
    *(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9),
    *(number + 1 if number % 2 else number - 1 for number in range(11, 33)),
    *range(33, LANDMARKS),
)
STEM, FIRST = 24, 16  # features
STAGES = (  # each halves the side in its first block; of each block: kernel size, growth of the features inside, features
    ((3, 4, 24), (3, 6, 24)),
    ((5, 6, 32), (5, 6, 32)),
    ((3, 6, 64), (3, 6, 64), (3, 6, 64), (5, 6, 88), (5, 6, 88), (5, 6, 88)),
    ((5, 6, 144), (5, 6, 144), (5, 6, 144), (5, 6, 144)),
)
TOP = 864  # features of the coarsest level, 1/32 of the side
LATERAL, FINE = 48, 8  # features of the levels that the silhouette is made of: all but the finest, the finest
REGRESSION = 288  # features of the branch that gives numbers
REGRESSION_STRIDES = (2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1)


@dataclass(frozen=True)
class BodyPose:
    """The person in each of B crops.

    Attributes:
        landmarks: ``(B, 39, 2)``, (x, y) in pixels of a 256 x 256 crop, 0 and 256 at its edges; outside of it as well.
        visibility: ``(B, 39)`` in [0, 1], how likely each is in sight.
        metres: ``(B, 39, 3)``, from the middle of the hips; x right, y down, z away from the camera.
        score: ``(B,)`` in [0, 1], how likely there is a person.
    """

    landmarks: Tensor
    visibility: Tensor
    metres: Tensor
    score: Tensor

    def mirrored(self) -> BodyPose:
        """The person in the mirrored crops."""
        order = list(MIRRORED_LANDMARKS)
        x, y = self.landmarks[:, order].unbind(dim=-1)
        return BodyPose(
            landmarks=torch.stack((SIDE - x, y), dim=-1),
            visibility=self.visibility[:, order],
            metres=self.metres[:, order] * self.metres.new_tensor((-1.0, 1.0, 1.0)),
            score=self.score,
        )


class Encoder(nn.Module):
    """What `BlazePose` and `PersonFinder` begin with, in two sizes.

    Args:
        stages: as `STAGES`.
        top: features of the coarsest level.
    """

    def __init__(self, stages: Sequence[Sequence[tuple[int, int, int]]], top: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, STEM, 3, stride=2, padding=1), nn.ReLU6(inplace=True))
        self.first = _separable(STEM, FIRST)
        self.stages = nn.ModuleList()
        features = FIRST
        for stage in stages:
            blocks = nn.Sequential()
            for number, (kernel, growth, out) in enumerate(stage):
                blocks.append(Block(features, out, kernel, growth, stride=1 if number else 2))
                features = out
            self.stages.append(blocks)
        self.top = nn.Sequential(
            nn.Conv2d(features, top, 1), nn.ReLU6(inplace=True), depthwise(top, 3), nn.ReLU6(inplace=True)
        )

    def encode(self, crops: Tensor) -> list[Tensor]:
        """Features from the finest to the coarsest: ``(B, 16, S/2, S/2)``, those of each stage, ``(B, top, S/32, S/32)``."""
        levels = [self.first(self.stem(crops))]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        levels[-1] = self.top(levels[-1])
        return levels


class BlazePose(Encoder):
    """Crops ``(B, 3, 256, 256)`` in [0, 1] to the pose and the silhouette of the person in each."""

    def __init__(self) -> None:
        super().__init__(STAGES, TOP)
        # From the finest to the coarsest.
        widths = (FIRST, *(stage[-1][-1] for stage in STAGES[:-1]), TOP)
        self.lateral = nn.ModuleList(
            nn.Sequential(_separable(width, LATERAL if level else FINE), nn.ReLU6(inplace=True))
            for level, width in enumerate(widths)
        )
        self.narrow = nn.Sequential(_separable(LATERAL, FINE), nn.ReLU6(inplace=True))
        self.at_half = nn.Sequential(Residual(FINE), Residual(FINE))
        self.at_full = nn.Sequential(Residual(FINE), Residual(FINE))
        self.silhouette = nn.Conv2d(FINE, 1, 3, padding=1)
        self.regression = nn.Sequential(_separable(TOP, REGRESSION), nn.ReLU6(inplace=True))
        self.regression.extend(Residual(REGRESSION, stride) for stride in REGRESSION_STRIDES)
        self.landmarks = nn.Conv2d(REGRESSION, 5 * LANDMARKS, 2)
        self.metres = nn.Conv2d(REGRESSION, 3 * LANDMARKS, 2)
        self.score = nn.Conv2d(REGRESSION, 1, 2)

    def pose(self, levels: list[Tensor]) -> BodyPose:
        """The pose in what `encode` gave, fp32."""
        x = self.regression(levels[-1])  # (B, 288, 2, 2)
        values = self.landmarks(x).float().unflatten(1, (LANDMARKS, 5)).flatten(2)  # x, y, z, visibility, presence
        return BodyPose(
            landmarks=values[..., :2],
            visibility=values[..., 3].sigmoid(),
            metres=self.metres(x).float().unflatten(1, (LANDMARKS, 3)).flatten(2),
            score=self.score(x).float().flatten().sigmoid(),
        )

    def mask(self, levels: list[Tensor]) -> Tensor:
        """Logits of where the person is in what `encode` gave, ``(B, 1, 256, 256)``, fp32."""
        *finer, x = (lateral(level) for lateral, level in zip(self.lateral, levels, strict=True))
        while len(finer) > 1:
            x = doubled(x) + finer.pop()
        x = self.at_half(doubled(self.narrow(x)) + finer.pop())  # (B, 8, 128, 128)
        return self.silhouette(self.at_full(doubled(x))).float()

    def forward(self, crops: Tensor) -> tuple[BodyPose, Tensor]:
        """The pose, and the logits of the silhouette ``(B, 1, 256, 256)``."""
        levels = self.encode(crops)
        return self.pose(levels), self.mask(levels)


class Block(nn.Module):
    """Widened, convolved channel by channel, narrowed; added to what came in where the shape is the same."""

    def __init__(self, in_features: int, out_features: int, kernel: int, growth: int, stride: int) -> None:
        super().__init__()
        inside = growth * in_features
        self.expand = nn.Sequential(nn.Conv2d(in_features, inside, 1), nn.ReLU6(inplace=True))
        self.project = _separable(inside, out_features, kernel, stride)
        self.added = stride == 1 and in_features == out_features

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.expand(x))
        return x + y if self.added else y


class Residual(nn.Module):
    """ReLU6(x + separable(x)); with stride 2, x is the larger of each 2 x 2 and padding is right and below only."""

    def __init__(self, features: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = _separable(features, features, stride=stride, padding=1 if stride == 1 else 0)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return F.relu6(x + self.convolution(x), inplace=True)
        return F.relu6(F.max_pool2d(x, 2) + self.convolution(F.pad(x, (0, 1, 0, 1))), inplace=True)


def depthwise(features: int, kernel: int, stride: int = 1, padding: int | None = None) -> nn.Conv2d:
    """A convolution channel by channel, by itself padded so that only the stride makes the side smaller."""
    return nn.Conv2d(features, features, kernel, stride, kernel // 2 if padding is None else padding, groups=features)


def _separable(
    in_features: int, out_features: int, kernel: int = 3, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    """A convolution channel by channel, ReLU6, and one of single pixels."""
    return nn.Sequential(
        depthwise(in_features, kernel, stride, padding),
        nn.ReLU6(inplace=True),
        nn.Conv2d(in_features, out_features, 1),
    )


def doubled(x: Tensor) -> Tensor:
    """Twice the side, bilinear; the pictures' edges stay where they are, as the network was trained with, not their corners."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
