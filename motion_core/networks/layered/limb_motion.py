"""Two poses to the motion of each limb: an affine transform, which the limb's strips begin and a small network corrects.

The strips alone know where the bones are and not how the surface turns about them: on rendered people whose keypoints are known
they are 7.0 pixels of 256 off, the transforms that this network learns 4.0 (0.5 more within the limits that are set to them), and
the best affine ones, fitted to the true motion, 1.9 (docs/people.md).

How a head is held the strips guess from the shoulders, wrongly of people who bend over or lie; where the keypoints of the face
contradict what is learned, they are believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...geometry import geometry_precision, rotation
from .limbs import HEAD, TRUNK, rising, strip_ends, upright
from .unet import zeroed

LONGEST = 20.0  # times its half width, that a limb counts as long
TRUNK_WIDTHS = 6.0  # half widths of the trunk in a unit of length
# Share of its width that a head or trunk has at least in the source, and lengths that its ends are moved along it at most.
NARROWEST, LONGWAYS = 0.4, 0.25
# How much farther a head's transform takes the face's keypoints astray than the best rotation does, from which on the rotation is
# believed in part, and wholly; and how far astray it may take them to be believed wholly, and at all. All are shares of the
# keypoints' mean distance from their middle.
CONTRADICTED, BELIEVED = (0.4, 0.7), (0.25, 0.35)
LARGER = 1.25  # than the strips say, or as much smaller, a face may be


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
            source: ``(B, K, 5, 2)`` or ``(1, K, 5, 2)``; those of the face, if any, come after those of the K limbs.
            driving: ``(B, K, 5, 2)``.
        """
        with geometry_precision(driving):
            source, face = source.float().tensor_split([self.num_splines], dim=1)
            driving, driving_face = driving.float().tensor_split([self.num_splines], dim=1)
            turn, turn_driving = upright(source)[:, None], upright(driving)[:, None]  # (B, 1, 2, 2)
            source, driving = (source @ turn.mT).expand_as(driving), driving @ turn_driving.mT
            here, there = _Frames.of(source), _Frames.of(driving)
            unit = TRUNK_WIDTHS * here.width[:, TRUNK, None, None, None]
            pose, other = _seen(source, here), _seen(driving, there)
            change = unit * (self._change(pose, other) - self._change(pose, pose))  # none between equal poses
            matrices = here.matrices()
            change = _within_reason(change, matrices[:, :, :2, :2])
            corrected = torch.cat((matrices[:, :, :2] + change, matrices[:, :, 2:]), dim=2)
            limbs = _homogeneous(turn.mT) @ corrected @ torch.linalg.inv(there.matrices()) @ _homogeneous(turn_driving)
            if not (face.shape[1] and driving_face.shape[1]):
                return limbs
            larger = here.width[:, HEAD] / there.width[:, HEAD]
            head = _as_the_face(limbs[:, HEAD], face[:, 0].expand_as(driving_face[:, 0]), driving_face[:, 0], larger)
            return torch.cat((limbs[:, :HEAD], head[:, None], limbs[:, HEAD + 1 :]), dim=1)

    def _change(self, pose: Tensor, other: Tensor) -> Tensor:
        """What the network says of two poses ``(B, K * 11)``: ``(B, K, 2, 3)``."""
        seen = torch.cat((pose, other), dim=1).to(next(self.net.parameters()).dtype)
        return self.net(seen).float().view(-1, self.num_splines, 2, 3)


def _within_reason(change: Tensor, unit: Tensor) -> Tensor:
    """Changes of strip to picture coordinates ``(B, K, 2, 3)``, by which no limb shows a stripe of the source.

    How an arm or a leg turns about its bone is not seen, and the mean over all ways it may is narrow: a stripe, stretched over
    the limb. So these stay as wide as they are. Heads and trunks are seen to turn; but of a back the source shows nothing, and
    what is learned of it is a stripe or a point as well. So the ends and the sides of their strips stay near.

    Args:
        unit: of strip coordinates in the picture, ``(B, K, 2, 2)``: columns are a length along it, and half a width across.
    """
    # Along the strip in lengths, and across it in half widths: of a length, of a half width, and of the strip's start.
    learned = torch.linalg.inv(unit) @ change  # (B, K, 2, 3)
    number = torch.arange(change.shape[1], device=change.device)[:, None, None]
    limit = change.new_tensor(((LONGWAYS,), (1 - NARROWEST,)))
    start = learned[..., 2:].clamp(-limit, limit)
    end = (learned[..., 2:] + learned[..., :1]).clamp(-limit, limit)
    side = learned[..., 1:2].clamp(-limit, change.new_tensor(((LONGWAYS,), (math.inf,))))
    of_body = torch.cat((end - start, side, start), dim=-1)
    as_wide = change.new_tensor(((1.0, 1.0, 1.0), (1.0, 0.0, 1.0)))
    return unit @ torch.where(number <= TRUNK, of_body, as_wide * learned)  # the first two are the head and the trunk


def _as_the_face(head: Tensor, source: Tensor, driving: Tensor, larger: Tensor) -> Tensor:
    """The transform of the head ``(B, 3, 3)``, or where it contradicts the face, the rotation that takes this to the source's.

    Args:
        source, driving: keypoints of the face, ``(B, 5, 2)`` each.
        larger: how much larger the head is in the source, ``(B,)``, which a face that turns does not say.
    """
    to, origin = source.mean(dim=1, keepdim=True), driving.mean(dim=1, keepdim=True)
    wanted, given = source - to, driving - origin
    # The rotation of the least squares, of points as complex numbers: the sum of wanted * conjugate of given.
    cos, sin = (wanted * given).sum((1, 2)), (wanted[..., 1] * given[..., 0] - wanted[..., 0] * given[..., 1]).sum(1)
    length = torch.stack((cos, sin)).norm(dim=0).clamp(min=1e-12)
    scale = larger * (length / given.square().sum((1, 2)).clamp(min=1e-12) / larger).clamp(1 / LARGER, LARGER)
    matrix = rotation(scale * cos / length, scale * sin / length)  # (B, 2, 2)
    turned = _homogeneous(matrix) + F.pad((to - origin @ matrix.mT).mT, (2, 0, 0, 1))
    size = wanted.norm(dim=-1).mean(dim=1).clamp(min=1e-6)

    def astray(transform: Tensor) -> Tensor:
        return (taken(transform, driving) - source).norm(dim=-1).mean(dim=1) / size

    left = astray(turned)
    contradicted = rising(astray(head) - left, CONTRADICTED)
    share = (contradicted * (1 - rising(left, BELIEVED)))[:, None, None]
    return torch.lerp(head, turned, share)


def taken(transforms: Tensor, points: Tensor) -> Tensor:
    """Points ``(..., S, 2)``, taken through transforms ``(..., 3, 3)``."""
    return points @ transforms[..., :2, :2].mT + transforms[..., None, :2, 2]


def _homogeneous(matrices: Tensor) -> Tensor:
    """Matrices ``(..., 2, 2)`` as transforms ``(..., 3, 3)``."""
    return F.pad(matrices, (0, 1, 0, 1)) + matrices.new_tensor((0.0, 0.0, 1.0)).diag()


def _seen(points: Tensor, frames: _Frames) -> Tensor:
    """A pose as the network sees it, ``(B, K * 11)``: about the trunk's middle, in lengths that do not depend on the picture."""
    middle = points[:, TRUNK, :4].mean(dim=1)[:, None, None]
    unit = TRUNK_WIDTHS * frames.width[:, TRUNK, None, None, None]
    lengths = (frames.length / frames.width).clamp(max=LONGEST) / 5
    return torch.cat((((points - middle) / unit).flatten(1), lengths), dim=1)
