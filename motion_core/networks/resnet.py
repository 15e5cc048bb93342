"""The ResNet-18 that two of the networks are built on."""

from __future__ import annotations

from typing import Any


def resnet18(in_channels: int, outputs: int) -> Any:
    """timm's ResNet-18 without weights: ``(B, in_channels, H, W)`` to ``(B, outputs)``, torchvision's parameter names."""
    import timm  # here, because importing it takes seconds

    # timm would start every block as the identity; the published networks, like torchvision's, do not.
    return timm.create_model(
        "resnet18", pretrained=False, in_chans=in_channels, num_classes=outputs, zero_init_last=False
    )
