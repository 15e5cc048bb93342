"""Two images to the affine motion of the background between them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusers_base import register_to_config
from ...geometry import geometry_precision
from ..base import CoordinateModel, public_component
from .blocks import Shrink
from .regressor import regressor


@public_component
class BackgroundPredictor(CoordinateModel):
    """Predicts the background transform, which takes *driving coordinates to source coordinates*.

    It starts as the identity: the last layer has weight 0 and the identity as bias.

    Args:
        image_channels: of each of the two images.
        architecture: of the backbone, by timm's name.
        shrink: whole factor that the images are reduced by first.

    Raises:
        ValueError: an unknown architecture, or `shrink` below 1.
    """

    _keep_in_fp32_modules = ["backbone"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(self, image_channels: int = 3, architecture: str = "resnet18", shrink: int = 1) -> None:
        super().__init__()
        self.shrink_image = Shrink(2 * image_channels, shrink)
        self.backbone = regressor(architecture, 2 * image_channels, 6)
        head = self.backbone.get_classifier()
        torch.nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, source_image: Tensor, driving_image: Tensor) -> Tensor:
        """The transform ``(B, 3, 3)`` of images ``(B, 3, H, W)`` in [0, 1]; the last row is (0, 0, 1)."""
        pair = torch.cat((source_image, driving_image), dim=1)
        with geometry_precision(pair):
            rows = self.backbone(self.compute(self.shrink_image(pair))).unflatten(1, (2, 3))  # (B, 2, 3)
        last = rows.new_tensor([0.0, 0, 1]).expand(rows.shape[0], 1, 3)
        return torch.cat((rows, last), dim=1)
