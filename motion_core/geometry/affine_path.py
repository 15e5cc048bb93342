"""Moving along an affine transform: its power A^t, by the matrix logarithm.

A^t = exp(t log A) is consistent by construction: A^s A^t = A^(s + t), and the way back is the inverse of the way there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .grids import geometry_precision

_SQUARE_ROOTS = 3  # taken before the series; a rotation by 179 degrees becomes one by 22
_NEWTON_STEPS = 12  # of the square root; quadratic convergence
_SERIES_TERMS = 16  # the first neglected term is below 1e-16 then


def affine_power(transform: Tensor, t: Tensor) -> Tensor:
    """A^t for affine transforms A with a real principal logarithm; others are interpolated by their polar parts.

    Args:
        transform: A, ``(B, 3, 3)``, last row (0, 0, 1).
        t: ``(B,)``, any real numbers; 0 gives the identity and 1 gives A.

    Returns:
        ``(B, 3, 3)`` in the dtype of `transform`; computed in fp64, on the CPU where the device has none.
    """
    with geometry_precision(transform):
        device = torch.device("cpu") if transform.device.type == "mps" else transform.device
        a, t = transform.to(device, torch.float64), t.to(device, torch.float64)[:, None, None]
        has_logarithm = _has_real_logarithm(a)[:, None, None]
        safe = torch.where(has_logarithm, a, torch.eye(3, dtype=a.dtype, device=device))
        power = torch.linalg.matrix_exp(t * affine_logarithm(safe))
        if not bool(has_logarithm.all()):
            power = torch.where(has_logarithm, power, _polar_power(a, t))
        return power.to(transform)


def affine_logarithm(transform: Tensor) -> Tensor:
    """The principal logarithm of ``(B, 3, 3)``: square roots by Denman and Beavers' iteration, then Gregory's series."""
    root = transform
    for _ in range(_SQUARE_ROOTS):
        inverse = torch.eye(3, dtype=root.dtype, device=root.device).expand_as(root)
        for _ in range(_NEWTON_STEPS):
            root, inverse = (root + torch.linalg.inv(inverse)) / 2, (inverse + torch.linalg.inv(root)) / 2
    eye = torch.eye(3, dtype=root.dtype, device=root.device)
    z = torch.linalg.solve(root + eye, root - eye)  # log A = 2 (z + z^3 / 3 + z^5 / 5 + ...)
    square, power, total = z @ z, z, torch.zeros_like(z)
    for term in range(_SERIES_TERMS):
        total = total + power / (2 * term + 1)
        power = power @ square
    return 2**_SQUARE_ROOTS * 2 * total


def _has_real_logarithm(transform: Tensor) -> Tensor:
    """Whether no eigenvalue of the linear part lies on the closed negative real axis, ``(B,)``."""
    linear = transform[:, :2, :2].detach()
    middle, determinant = linear.diagonal(dim1=1, dim2=2).sum(-1) / 2, torch.linalg.det(linear)
    is_complex = middle.square() < determinant  # eigenvalues middle +- sqrt(middle^2 - determinant)
    return is_complex | ((determinant > 1e-12) & (middle > 0))


def _polar_power(transform: Tensor, t: Tensor) -> Tensor:
    """The rotation's angle, the stretch and the translation each in proportion to t: the identity at 0, A at 1."""
    u, singular, v = torch.linalg.svd(transform[:, :2, :2])
    rotation, stretch = u @ v, v.mT @ torch.diag_embed(singular) @ v
    flip = torch.where(torch.linalg.det(rotation) < 0, -1.0, 1.0).to(transform)[
        :, None
    ]  # a reflection goes to the stretch
    mirror = torch.diag_embed(torch.cat((torch.ones_like(flip), flip), dim=1))
    rotation, stretch = rotation @ mirror, mirror @ stretch
    angle = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])[:, None, None] * t
    turned = torch.cat(
        (torch.cat((angle.cos(), -angle.sin()), dim=2), torch.cat((angle.sin(), angle.cos()), dim=2)), dim=1
    )
    result = torch.eye(3, dtype=transform.dtype, device=transform.device).repeat(len(transform), 1, 1)
    eye = torch.eye(2, dtype=transform.dtype, device=transform.device)
    result[:, :2, :2] = turned @ torch.lerp(eye.expand_as(stretch), stretch, t.expand_as(stretch))
    result[:, :2, 2] = transform[:, :2, 2] * t[:, :, 0]
    return result
