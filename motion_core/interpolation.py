"""Anytime interpolation: keypoints and background motion at any time t between a source (t = 0) and a driving pose (t = 1).

Wang & Li, "Large displacement motion transfer with unsupervised anytime interpolation", ICML 2025, move every keypoint on a
straight line. The rigid path and the background's matrix power are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import get_args

import torch
from torch import Tensor

from .errors import InputError
from .geometry import affine_power, geometry_precision
from .settings import KeypointPath
from .structures import Keypoints


def check_times(times: Sequence[float] | Tensor) -> Tensor:
    """Times as a tensor ``(M,)``; raises InputError unless they are one or more numbers in [0, 1]."""
    try:
        values = torch.as_tensor(times, dtype=torch.float32).flatten()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"times must be numbers in [0, 1], got {times!r}") from None
    if not len(values) or not bool(((values >= 0) & (values <= 1)).all()):  # false for NaN too
        raise InputError(f"times must be one or more numbers in [0, 1], got {values.tolist()}")
    return values


def requested_times(times: Sequence[float] | Tensor | None, num: int | None) -> Tensor:
    """Either the given times or `num` equal steps from 0 to 1, ``(M,)``; raises InputError unless it is one of the two."""
    if (times is None) == (num is None):
        raise InputError("give either times or num, the number of equal steps from 0 to 1")
    if times is not None:
        return check_times(times)
    if isinstance(num, bool) or not isinstance(num, Integral) or num < 2:
        raise InputError(f"num must be 2 or more, the first at t = 0 and the last at t = 1, got {num!r}")
    return torch.linspace(0, 1, int(num))


def candidate_times(count: int) -> Tensor:
    """The times 0, 1/M, ..., (M - 1)/M at which an intermediate image may be chosen, ``(M,)``."""
    if count < 1:
        raise InputError(f"the number of candidates must be 1 or more, got {count}")
    return torch.arange(count) / count


def interpolate_keypoints(source: Keypoints, driving: Keypoints, t: Tensor, path: KeypointPath = "linear") -> Keypoints:
    """Keypoints at times t on the way from the source to the driving pose.

    Args:
        source: ``(B, K, N, 2)`` or ``(1, K, N, 2)``.
        driving: ``(B, K, N, 2)`` or ``(1, K, N, 2)``.
        t: ``(B,)`` in [0, 1]; 0 gives the source's points exactly, 1 the driving ones.
        path: "linear": each point on a straight line, (1 - t) source + t driving. "rigid": each group of N points by
            the rotation, scale and translation that fit its motion best, on top of which what they leave goes
            straight; a swinging limb keeps its length on the way.
    """
    if path not in get_args(KeypointPath):
        raise InputError(f"path must be one of {', '.join(get_args(KeypointPath))}, got {path!r}")
    with geometry_precision(source.points):
        time = t.to(source.points)[:, None, None, None]
        if path == "rigid":
            return Keypoints(_rigid(source.points, driving.points, time))
        # Equal poses must stay equal to the bit, which (1 - t) source + t driving does not give.
        return Keypoints(torch.lerp(*torch.broadcast_tensors(source.points, driving.points, time)))


def interpolate_background(transform: Tensor, t: Tensor) -> Tensor:
    """A_t, the background transform of the first hop: takes coordinates at time t to source coordinates.

    Args:
        transform: A, driving to source coordinates, ``(B, 3, 3)`` or ``(1, 3, 3)``.
        t: ``(B,)`` in [0, 1].
    """
    return affine_power(transform.expand(len(t), 3, 3), t)


def remaining_background(first: Tensor, whole: Tensor) -> Tensor:
    """The background transform of the second hop: takes driving coordinates to coordinates at time t.

    On the way to the same pose it is A_t^-1 A = A^(1 - t); after an interpolated image on the way to another, what is left.

    Args:
        first: of the first hop, A_t, ``(B, 3, 3)`` or ``(1, 3, 3)``.
        whole: driving to source coordinates, ``(B, 3, 3)``.
    """
    return torch.linalg.inv(first) @ whole


def _rigid(source: Tensor, driving: Tensor, t: Tensor) -> Tensor:
    """Points (B, K, N, 2) as complex numbers: rotation and scale together are one complex factor per group."""
    start = torch.view_as_complex(source.float().contiguous())  # (B, K, N)
    end = torch.view_as_complex(driving.float().contiguous())
    start_centre, end_centre = start.mean(-1, keepdim=True), end.mean(-1, keepdim=True)
    p, q = start - start_centre, end - end_centre
    # The factor with the least squared error, sum(conj(p) q) / sum(|p|^2); 1 where either group is a single spot.
    overlap, size = (p.conj() * q).sum(-1, keepdim=True), p.abs().square().sum(-1, keepdim=True)  # (B, K, 1)
    fits = (size > 1e-12) & (overlap.abs() > 1e-12)
    factor = torch.where(fits, overlap, torch.ones_like(overlap)) / torch.where(fits, size, torch.ones_like(size))
    power = torch.polar(factor.abs() ** t.squeeze(-1), factor.angle() * t.squeeze(-1))  # factor^t
    left = torch.where(fits, q / factor, q) - p  # in the source's orientation, so that it turns along
    centre = torch.lerp(torch.view_as_real(start_centre), torch.view_as_real(end_centre), t)
    return torch.view_as_real(power * (p + t.squeeze(-1) * left)) + centre
