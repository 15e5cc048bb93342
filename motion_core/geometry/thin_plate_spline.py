"""Thin-plate splines: the smoothest map of the plane that takes given points to given values.

Bookstein, "Principal warps: thin-plate splines and the decomposition of deformations", PAMI 1989; used for motion
in Zhao & Zhang, "Thin-plate spline motion model for image animation", CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .grids import at_least_fp32, geometry_precision

KERNEL_EPSILON = 1e-9  # inside the logarithm, so that r = 0 gives 0; part of the published behaviour


def thin_plate_kernel(squared_distance: Tensor) -> Tensor:
    """U(r) = r^2 log(r^2 + 1e-9) of the squared distance, any shape."""
    return squared_distance * torch.log(squared_distance + KERNEL_EPSILON)


def _squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """``(..., P, 2)`` and ``(..., N, 2)`` to ``(..., P, N)``, by differences: exact where points coincide."""
    # Axis by axis: a last dimension of 2 takes a processor three times as long.
    x = points[..., :, None, 0] - others[..., None, :, 0]
    y = points[..., :, None, 1] - others[..., None, :, 1]
    return x.square() + y.square()


@dataclass(frozen=True)
class ThinPlateSpline:
    """g(x) = a (x, y, 1) + sum_i w_i U(|x - p_i|), any number of splines side by side.

    Attributes:
        control_points: p, ``(..., N, 2)``.
        kernel_weights: w, ``(..., N, 2)``.
        affine_weights: a, ``(..., 3, 2)``, the rows for x, y and 1.
    """

    control_points: Tensor
    kernel_weights: Tensor
    affine_weights: Tensor

    @classmethod
    def fit(cls, control_points: Tensor, values: Tensor, regularization: float = 0.01) -> ThinPlateSpline:
        """The spline with g(p_i) = q_i (about, if regularised).

        Solves ``([[U, P], [P^T, 0]] + regularization * I) [w; a] = [q; 0]``. The published networks add 0.01 on the *whole*
        diagonal, the affine part included, so equal points do not give the identity map; the checkpoints depend on it.
        With 0 it is the interpolating spline, and needs three points or more that are not on a line.

        Args:
            control_points: p, ``(..., N, 2)``.
            values: q, ``(..., N, 2)``.
            regularization: added to the diagonal, 0 or more.
        """
        with geometry_precision(control_points):
            points, values = at_least_fp32(control_points), at_least_fp32(values)
            count = points.shape[-2]
            system = points.new_zeros(*points.shape[:-2], count + 3, count + 3)
            system[..., :count, :count] = thin_plate_kernel(_squared_distances(points, points))
            affine = torch.cat((points, torch.ones_like(points[..., :1])), dim=-1)  # (..., N, 3)
            system[..., :count, count:] = affine
            system[..., count:, :count] = affine.transpose(-1, -2)
            system = system + regularization * torch.eye(count + 3, dtype=points.dtype, device=points.device)
            right = torch.cat((values, values.new_zeros(*values.shape[:-2], 3, 2)), dim=-2)
            solution = torch.linalg.solve(system, right)  # (..., N + 3, 2)
            return cls(points, solution[..., :count, :], solution[..., count:, :])

    def __call__(self, points: Tensor) -> Tensor:
        """g at points ``(..., P, 2)`` whose leading dimensions broadcast with the splines'; same shape out."""
        with geometry_precision(points):
            points = at_least_fp32(points)
            kernel = thin_plate_kernel(_squared_distances(points, self.control_points))  # (..., P, N)
            linear, offset = self.affine_weights[..., :2, :], self.affine_weights[..., 2:, :]
            return points @ linear + offset + kernel @ self.kernel_weights
