"""Image to keypoints of a person's limbs, and its silhouette."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ...geometry import identity_grid, sample
from ...structures import Keypoints
from ..base import CoordinateModel, public_component
from .blaze_pose import CENTRE, REACH, SIDE, BlazePose, BodyPose
from .limbs import LIMBS, PARENTS, POINTS, limb_points, to_coordinates

SHIPPED_DETECTOR = Path(__file__).resolve().parents[2] / "weights" / "person_detector"  # comes with the package

ROUNDS = 2  # in which the person is found before it is looked at
MARGIN = 1.25  # half the side of the crop over the reach of the person


@dataclass(frozen=True)
class DetectedPeople:
    """The person in each of B pictures of h x w pixels.

    Places in pixels are (x, y), (0, 0) the centre of the first pixel.

    Attributes:
        keypoints: of the limbs, ``(B, 10, 5, 2)``; its `silhouette` is None if it was not asked for.
        landmarks: BlazePose's, ``(B, 33, 2)`` in pixels, outside of the picture as well.
        visibility: how likely each of them is in sight, ``(B, 33)`` in [0, 1].
        score: how likely there is a person, ``(B,)`` in [0, 1].
        region: where to look for the person in the next frame, ``(B, 3)``: x and y of the middle, half the side, in pixels.
    """

    keypoints: Keypoints
    landmarks: Tensor
    visibility: Tensor
    score: Tensor
    region: Tensor

    @property
    def silhouette(self) -> Tensor | None:
        """Where the person is, ``(B, 1, h, w)`` in [0, 1]."""
        return self.keypoints.silhouette


def whole(images: Tensor) -> Tensor:
    """The region that is all of each picture, ``(B, 3)``."""
    height, width = images.shape[-2:]
    return images.new_tensor(((width - 1) / 2, (height - 1) / 2, max(height, width) / 2)).expand(len(images), 3)


def cut(images: Tensor, region: Tensor) -> Tensor:
    """The square regions ``(B, 3)`` of pictures ``(B, C, h, w)``, ``(B, C, 256, 256)``; what is outside of a picture is black.

    Pictures are halved, or more, by means first where they have that many more pixels than the crop, which would be noise.
    """
    factor = max(1, int(2 * region[:, 2].min().item() / SIDE))
    if factor > 1:
        images = F.avg_pool2d(images, factor, ceil_mode=True)
        middle = (region[:, :2] - (factor - 1) / 2) / factor
        region = torch.cat((middle, region[:, 2:] / factor), dim=1)
    height, width = images.shape[-2:]
    scale = region[:, 2:] * (SIDE - 1) / SIDE  # pixels from the middle of the crop to the centres of its outermost pixels
    grid = region[:, None, None, :2] + scale[:, None, None] * identity_grid(SIDE, SIDE, region)  # (B, 256, 256, 2)
    return sample(images, to_coordinates(grid, height, width))


@public_component
class PersonDetector(CoordinateModel):
    _keep_in_fp32_modules = ["network"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.network = BlazePose()
