"""Image to keypoints: a network (ResNet-18, as published) that finds K groups of N points."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from ...geometry import geometry_precision
from ...structures import Keypoints
from ..base import CoordinateModel, public_component
from .blocks import Shrink
from .heatmap_regressor import HeatmapRegressor
from .pyramid_regressor import PyramidRegressor
from .regressor import regressor

MAPS = {"heatmaps": HeatmapRegressor, "pyramid": PyramidRegressor}  # architectures that find points by maps


@public_component
class KeypointDetector(CoordinateModel):
    """Finds the keypoints of an image, without knowing what the object is.

    Args:
        num_splines: K, groups of points, one thin-plate spline each.
        points_per_spline: N, three or more.
        image_channels: of the input.
        architecture: of the backbone: timm's name of a network that regresses the coordinates, or of one that
            finds points by maps, "heatmaps" or "pyramid".
        shrink: whole factor that the image is reduced by first.
        mirrored: for keypoints whose meaning is known, as that of limbs: which one each of the K * N is in a mirrored picture.
            Outside of training the picture is seen both ways round then, and the mean place is taken. Ours.
        parents: for splines that are limbs: which one each of the K hangs on, -1 for one; see `motion_modes.relative_limbs`.

    Raises:
        ValueError: fewer than one spline, or than three points each; an unknown architecture; `shrink` below 1; a `mirrored`
            that mirrored once more is not the picture itself; `parents` that do not all lead to one.
    """

    _keep_in_fp32_modules = ["backbone"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        points_per_spline: int = 5,
        image_channels: int = 3,
        architecture: str = "resnet18",
        shrink: int = 1,
        mirrored: Sequence[int] | None = None,
        parents: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if num_splines < 1:
            raise ValueError(f"num_splines must be 1 or more, got {num_splines}")
        if points_per_spline < 3:
            raise ValueError(f"points_per_spline must be 3 or more for a spline to exist, got {points_per_spline}")
        self.num_splines, self.points_per_spline = num_splines, points_per_spline
        self.shrink_image = Shrink(image_channels, shrink)
        count = num_splines * points_per_spline
        if mirrored is not None and (
            sorted(mirrored) != list(range(count)) or any(mirrored[mirrored[i]] != i for i in range(count))
        ):
            raise ValueError(f"mirrored must exchange the {count} keypoints in pairs, got {list(mirrored)}")
        self.mirrored = None if mirrored is None else list(mirrored)
        if parents is not None and not (points_per_spline >= 4 and _is_tree(parents, num_splines)):
            raise ValueError(f"parents must make {num_splines} splines of 4 or more points a tree, got {list(parents)}")
        self.parents = None if parents is None else list(parents)
        self.backbone: Any
        if architecture in MAPS:
            self.backbone = MAPS[architecture](image_channels, count)
        else:
            self.backbone = regressor(architecture, image_channels, 2 * count)

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return self.shrink_image.factor * getattr(self.backbone, "size_multiple", 1)

    def forward(self, image: Tensor) -> Keypoints:
        """Keypoints of images ``(B, 3, H, W)`` in [0, 1], not normalised."""
        if self.mirrored is None or self.training:
            return Keypoints(self._points(image))
        points, other = self._points(torch.cat((image, image.flip(-1)))).flatten(1, 2).chunk(2)
        back = other[:, self.mirrored] * other.new_tensor((-1.0, 1.0))
        return Keypoints(((points + back) / 2).unflatten(1, (self.num_splines, self.points_per_spline)))

    def _points(self, image: Tensor) -> Tensor:
        # The pyramid's convolutions may be autocast's in training, which halves its time; the places are fp32 all the same.
        precision = nullcontext() if isinstance(self.backbone, PyramidRegressor) else geometry_precision(image)
        with precision:
            points = self.backbone(self.compute(self.shrink_image(image)))  # (B, K * N, 2), or (B, K * N * 2) logits
        if not isinstance(self.backbone, tuple(MAPS.values())):
            points = (points.sigmoid() * 2 - 1).unflatten(1, (-1, 2))
        return points.unflatten(1, (self.num_splines, self.points_per_spline))  # (B, K, N, 2)


def _is_tree(parents: Sequence[int], count: int) -> bool:
    """Whether `count` limbs, each hanging on another but for one with -1, hang together."""
    if len(parents) != count or list(parents).count(-1) != 1 or not all(-1 <= parent < count for parent in parents):
        return False
    reached = {-1}
    for _ in parents:
        reached |= {limb for limb, parent in enumerate(parents) if parent in reached}
    return len(reached) == count + 1
