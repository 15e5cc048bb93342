"""Two poses to the motion of each limb: an affine transform, which the limb's strips begin and a small network corrects.

The strips alone know where the bones are and not how the surface turns about them: on rendered people whose keypoints are known
they are 7.0 pixels of 256 off, the transforms that this network learns 4.0 (0.3 more without the width of arms and legs, which
is not used), and the best affine ones, fitted to the true motion, 1.9 (docs/people.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...geometry import geometry_precision
from .limbs import HEAD, TRUNK, strip_ends, upright
from .unet import zeroed

LONGEST = 20.0  # times its half width, that a limb counts as long
TRUNK_WIDTHS = 6.0  # half widths of the trunk in a unit of length


@dataclass(frozen=True)
class _Frames:
    """Coordinates along and across each strip.

    Attributes:
        start: middle of the strip's beginning, ``(B, K, 2)``.
        along, across: unit vectors, ``(B, K, 2)``.
        length, width: of the strip, and half of what it is wide, ``(B, K)``.
    """

    start: Tensor
    along: Tensor
    across: Tensor
    length: Tensor
    width: Tensor

    @classmethod
    def of(cls, points: Tensor) -> _Frames:
        """Of keypoints ``(B, K, 5, 2)``."""
        start, end, wide, narrow = strip_ends(points)
        length = (end - start).norm(dim=-1)
        down = start.new_tensor((0.0, 1.0))
        along = torch.where(length[..., None] > 1e-4, (end - start) / length.clamp(min=1e-4)[..., None], down)
        across = torch.stack((-along[..., 1], along[..., 0]), dim=-1)
        return cls(start, along, across, length, ((wide + narrow) / 2).clamp(min=1e-3))

    def matrices(self) -> Tensor:
        """Strip coordinates (share of the length, half widths across, 1) to picture coordinates, ``(B, K, 3, 3)``.

        One that points at the camera counts as long as it is wide to one side, so that nothing is divided by almost 0.
        """
        length = torch.maximum(self.length, self.width)
        columns = (self.along * length[..., None], self.across * self.width[..., None], self.start)
        upper = torch.stack(columns, dim=-1)  # (B, K, 2, 3)
        last = upper.new_tensor((0.0, 0.0, 1.0)).expand(*upper.shape[:2], 1, 3)
        return torch.cat((upper, last), dim=2)


class LimbMotion(nn.Module):
    """Keypoints of two poses to an affine transform of each limb; each pose is seen with its trunk upright.

    Args:
        num_splines, points_per_spline: of the keypoints, which are strips.
        features: of the two hidden layers.
    """

    def __init__(self, num_splines: int, points_per_spline: int, features: int = 256) -> None:
        super().__init__()
        self.num_splines = num_splines
        inputs = 2 * num_splines * (2 * points_per_spline + 1)
        first, last = nn.Linear(inputs, features), zeroed(nn.Linear(features, num_splines * 6))
        self.net = nn.Sequential(first, nn.ReLU(), nn.Linear(features, features), nn.ReLU(), last)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Driving to source coordinates, ``(B, K, 3, 3)``, fp32; the identity for equal poses.

        Args:
            source: ``(B, K, 5, 2)`` or ``(1, K, 5, 2)``.
            driving: ``(B, K, 5, 2)``.
        """
        with geometry_precision(driving):
            turn, turn_driving = upright(source.float())[:, None], upright(driving.float())[:, None]  # (B, 1, 2, 2)
            source, driving = (source.float() @ turn.mT).expand_as(driving), driving.float() @ turn_driving.mT
            here, there = _Frames.of(source), _Frames.of(driving)
            unit = TRUNK_WIDTHS * here.width[:, TRUNK, None, None, None]
            pose, other = _seen(source, here), _seen(driving, there)
            change = unit * (self._change(pose, other) - self._change(pose, pose))  # none between equal poses
            matrices = here.matrices()
            corrected = torch.cat((matrices[:, :, :2] + _as_wide(change, here), matrices[:, :, 2:]), dim=2)
            return _homogeneous(turn.mT) @ corrected @ torch.linalg.inv(there.matrices()) @ _homogeneous(turn_driving)

    def _change(self, pose: Tensor, other: Tensor) -> Tensor:
        """What the network says of two poses ``(B, K * 11)``: ``(B, K, 2, 3)``."""
        seen = torch.cat((pose, other), dim=1).to(next(self.net.parameters()).dtype)
        return self.net(seen).float().view(-1, self.num_splines, 2, 3)


def _as_wide(change: Tensor, frames: _Frames) -> Tensor:
    """Changes of strip to picture coordinates ``(B, K, 2, 3)`` without those of how wide arms and legs are.

    How one turns about its bone is not seen, and the mean over all ways it may is narrow: a stripe of the source, stretched over
    the limb.
    """
    wider = (change[..., 1] * frames.across).sum(dim=-1, keepdim=True)  # (B, K, 1)
    wider[:, [HEAD, TRUNK]] = 0
    return change - F.pad((wider * frames.across)[..., None], (1, 1))


def _homogeneous(rotation: Tensor) -> Tensor:
    """Rotations ``(B, 1, 2, 2)`` as transforms ``(B, 1, 3, 3)``."""
    return F.pad(rotation, (0, 1, 0, 1)) + rotation.new_tensor((0.0, 0.0, 1.0)).diag()


def _seen(points: Tensor, frames: _Frames) -> Tensor:
    """A pose as the network sees it, ``(B, K * 11)``: about the trunk's middle, in lengths that do not depend on the picture."""
    middle = points[:, TRUNK, :4].mean(dim=1)[:, None, None]
    unit = TRUNK_WIDTHS * frames.width[:, TRUNK, None, None, None]
    lengths = (frames.length / frames.width).clamp(max=LONGEST) / 5
    return torch.cat((((points - middle) / unit).flatten(1), lengths), dim=1)
