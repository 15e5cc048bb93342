"""Animation via disentanglement (AVD): the driving pose in the proportions of the source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ...diffusers_base import register_to_config
from ...geometry import geometry_precision
from ...structures import Keypoints
from ..base import CoordinateModel, public_component


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with BatchNorm and ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


@public_component
class AVDNetwork(CoordinateModel):
    """Takes the pose of the driving keypoints and the shape of the source's, and decodes both to keypoints.

    Siarohin et al., "Motion representations for articulated animation", CVPR 2021.

    Args:
        num_splines: K.
        points_per_spline: N.
        id_features: width of the code of the source.
        pose_features: width of the code of the driving frame.
        hidden_features: widths of the encoders' hidden layers; the decoder has them backwards.

    Raises:
        ValueError: a width below 1.
    """

    _keep_in_fp32_modules = ["id_encoder", "pose_encoder", "decoder"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        points_per_spline: int = 5,
        id_features: int = 128,
        pose_features: int = 128,
        hidden_features: tuple[int, ...] = (256, 512, 1024),
    ) -> None:
        super().__init__()
        numbers = num_splines * points_per_spline * 2
        if min(num_splines, points_per_spline, id_features, pose_features, *hidden_features) < 1:
            raise ValueError(
                "all widths must be 1 or more, got "
                f"{num_splines=}, {points_per_spline=}, {id_features=}, {pose_features=}, {hidden_features=}"
            )
        self.id_encoder = _perceptron((numbers, *hidden_features, id_features))
        self.pose_encoder = _perceptron((numbers, *hidden_features, pose_features))
        self.decoder = _perceptron((pose_features + id_features, *reversed(hidden_features), numbers))

    def forward(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        """The transferred keypoints ``(B, K, N, 2)``; a source of batch 1 serves all driving frames."""
        with geometry_precision(driving.points):
            pose = self.pose_encoder(driving.points.flatten(1))  # (B, pose_features)
            identity = self.id_encoder(source.points.flatten(1)).expand(pose.shape[0], -1)  # (B, id_features)
            decoded = self.decoder(torch.cat((pose, identity), dim=1))  # (B, K * N * 2)
        return Keypoints(decoded.view_as(driving.points))
