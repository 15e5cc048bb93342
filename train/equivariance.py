"""The random spline R of the equivariance loss: keypoints found in a picture that was bent must be the bent keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motion_core.geometry import ThinPlateSpline, identity_grid, sample

GRID = 5  # control points per side
AFFINE_DEVIATION = 0.05
CONTROL_DEVIATION = 0.005


@dataclass(frozen=True)
class RandomSpline:
    """R(x) = theta (x, 1) + sum_i c_i U(|x - p_i|), one per sample: one scalar c_i is added to *both* coordinates.

    The p_i are the 5 x 5 corner-aligned grid, row by row from the top left. Siarohin et al., "First order motion model for
    image animation", NeurIPS 2019, with the kernel U of `motion_core.geometry`.

    Attributes:
        theta: ``(B, 2, 3)``, applied to column vectors (x, y, 1).
        control_params: c, ``(B, 1, 25)``.
    """

    theta: Tensor
    control_params: Tensor

    def __post_init__(self) -> None:
        batch = self.theta.shape[0]
        if self.theta.shape != (batch, 2, 3) or self.control_params.shape != (batch, 1, GRID**2):
            raise ValueError(
                f"theta must be (B, 2, 3) and control_params (B, 1, {GRID**2}), "
                f"got {tuple(self.theta.shape)} and {tuple(self.control_params.shape)}"
            )

    @classmethod
    def from_noise(cls, theta_noise: Tensor, control_noise: Tensor) -> RandomSpline:
        """Near the identity: theta = identity + 0.05 noise, c = 0.005 noise.

        Args:
            theta_noise: standard normal, ``(B, 2, 3)``.
            control_noise: standard normal, ``(B, 25)``.
        """
        identity = torch.eye(2, 3, dtype=theta_noise.dtype, device=theta_noise.device)
        return cls(identity + AFFINE_DEVIATION * theta_noise, CONTROL_DEVIATION * control_noise[:, None])

    def transform_points(self, points: Tensor) -> Tensor:
        """R of points ``(B, P, 2)``, or of ``(P, 2)`` for all samples alike; ``(B, P, 2)``, fp32."""
        control_points = identity_grid(GRID, GRID, self.theta).reshape(-1, 2)  # (25, 2)
        weights = self.control_params.transpose(1, 2).expand(-1, -1, 2)  # (B, 25, 2)
        spline = ThinPlateSpline(control_points, weights, self.theta.transpose(1, 2))
        return spline(points)

    def transform_image(self, image: Tensor) -> Tensor:
        """The image sampled at R with reflection at its border, ``(B, C, H, W)`` to the same shape, fp32."""
        height, width = image.shape[-2:]
        grid = self.transform_points(identity_grid(height, width, image).reshape(-1, 2))  # (B, H * W, 2)
        return sample(image, grid.unflatten(1, (height, width)), "reflection")
