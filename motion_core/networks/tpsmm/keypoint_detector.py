"""Image to keypoints: a network (ResNet-18, as published) that finds K groups of N points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...diffusers_base import register_to_config
from ...geometry import geometry_precision
from ...structures import Keypoints
from ..base import CoordinateModel, public_component
from .blocks import Shrink
from .heatmap_regressor import HeatmapRegressor
from .regressor import regressor


@public_component
class KeypointDetector(CoordinateModel):
    """Finds the keypoints of an image, without knowing what the object is.

    Args:
        num_splines: K, groups of points, one thin-plate spline each.
        points_per_spline: N, three or more.
        image_channels: of the input.
        architecture: of the backbone: timm's name of a network that regresses the coordinates, or "heatmaps" for one that
            finds points as mean places under maps.
        shrink: whole factor that the image is reduced by first.

    Raises:
        ValueError: fewer than one spline, or than three points each; an unknown architecture; `shrink` below 1.
    """

    _keep_in_fp32_modules = ["backbone"]  # type: ignore[assignment]  # the base class has None
    parents: Sequence[int] | None = None  # limb that each spline hangs on; these splines are no limbs

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        points_per_spline: int = 5,
        image_channels: int = 3,
        architecture: str = "resnet18",
        shrink: int = 1,
    ) -> None:
        super().__init__()
        if num_splines < 1:
            raise ValueError(f"num_splines must be 1 or more, got {num_splines}")
        if points_per_spline < 3:
            raise ValueError(f"points_per_spline must be 3 or more for a spline to exist, got {points_per_spline}")
        self.num_splines, self.points_per_spline = num_splines, points_per_spline
        self.shrink_image = Shrink(image_channels, shrink)
        count = num_splines * points_per_spline
        self.backbone: Any
        if architecture == "heatmaps":
            self.backbone = HeatmapRegressor(image_channels, count)
        else:
            self.backbone = regressor(architecture, image_channels, 2 * count)

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return self.shrink_image.factor * getattr(self.backbone, "size_multiple", 1)

    def forward(self, image: Tensor) -> Keypoints:
        """Keypoints of images ``(B, 3, H, W)`` in [0, 1], not normalised."""
        small = self.shrink_image(image)
        if isinstance(self.backbone, HeatmapRegressor):
            points = self.backbone(self.compute(small))  # (B, K * N, 2); in autocast's dtype but for the mean places
        else:
            with geometry_precision(small):
                logits = self.backbone(self.compute(small))  # (B, K * N * 2)
            points = (logits.sigmoid() * 2 - 1).unflatten(1, (-1, 2))
        return Keypoints(points.unflatten(1, (self.num_splines, self.points_per_spline)))  # (B, K, N, 2)
