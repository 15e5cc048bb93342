"""The image regressor that two of the networks are built on: a backbone of timm's that ends in a few numbers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def regressor(architecture: str, in_channels: int, outputs: int) -> Any:
    """One of timm's networks without weights: ``(B, in_channels, H, W)`` to ``(B, outputs)``.

    "resnet18" has torchvision's parameter names, which are those of the published checkpoints.

    Raises:
        ValueError: timm has no network of that name.
    """
    import timm  # here, because importing it takes seconds

    if not timm.is_model(
        architecture
    ):  # also keeps `create_model` from fetching what a name such as "hf_hub:..." means
        raise ValueError(
            f"architecture must be the name of one of timm's networks, such as resnet18, got {architecture}"
        )
    # timm would start every block as the identity; the published networks, like torchvision's, do not.
    start: Any = {"zero_init_last": False} if architecture.startswith(("resnet", "regnet")) else {}
    model = timm.create_model(architecture, pretrained=False, in_chans=in_channels, num_classes=outputs, **start)
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.kernel_size == layer.stride == (1, 1) and layer.groups == 1:
            layer.__class__ = Pointwise
    return model


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is, which is faster for the small maps that these networks end in."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
