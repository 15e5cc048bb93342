"""How the driving keypoints become keypoints of the source's object: standard, pose, relative, avd."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from .networks.tpsmm.avd_network import AVDNetwork
from .structures import Keypoints

LENGTHENING = 2.0  # factor that a limb becomes longer or shorter by at most, as one that points at the camera does


def standard(driving: Keypoints) -> Keypoints:
    """The driving pose as it is, position and proportions included; right where both are of one person."""
    return driving


def pose(source: Keypoints, driving: Keypoints, initial: Keypoints, parents: Sequence[int] | None = None) -> Keypoints:
    """The driving pose brought to the source's size and place: right where both are of different persons. Ours.

    Limbs stand where the source does: sizes are compared by the lengths of limbs, most of which hardly depend on the pose, and
    places by the far end of the limb that hangs on none, across, and by the lowest point, downwards. Other keypoints are
    compared by their hulls' areas and their middles.

    Args:
        source: ``(1, K, N, 2)``.
        driving: ``(B, K, N, 2)``.
        initial: ``(1, K, N, 2)``, the first of the driving poses, whose size and place count for all.
        parents: as for `relative_limbs`; None where keypoints are no limbs.
    """
    if parents is None:
        scale = relative_scale(source, initial)
        to, origin = (points.flat().mean(dim=1) for points in (source, initial))  # (1, 2)
    else:
        root = list(parents).index(-1)
        scale = _limb_scale(source, initial)
        to, origin = (
            torch.stack((of.points[:, root, 2:4, 0].mean(dim=1), of.points[..., 1].amax(dim=(1, 2))), dim=1)
            for of in (source, initial)
        )
    return Keypoints((driving.points - origin) * scale + to)


def relative(source: Keypoints, driving: Keypoints, initial: Keypoints) -> Keypoints:
    """What moved since the initial driving frame, scaled to the source's size and added to the source.

    ``(driving - initial) * sqrt(hull(source) / hull(initial)) + source``, hull the area of the convex hull of all points;
    Siarohin et al., "First order motion model for image animation", NeurIPS 2019.

    Args:
        source: ``(1, K, N, 2)``.
        driving: ``(B, K, N, 2)``.
        initial: ``(1, K, N, 2)``, keypoints of the driving frame whose pose is nearest to the source's.
    """
    return Keypoints((driving.points - initial.points) * relative_scale(source, initial) + source.points)


def relative_limbs(source: Keypoints, driving: Keypoints, initial: Keypoints, parents: Sequence[int]) -> Keypoints:
    """`relative` for splines that are limbs: each turns and lengthens as the driving one did, about its near end.

    Displacements alone would tear limbs that begin in another direction. Here a limb's near end goes where the limb takes it that
    it hangs on; what the driving limbs do beyond that is added, in the source's size. So the source in the initial pose takes
    exactly the driving pose, and in any other pose stays in one piece. Sizes are compared as in `pose`. Ours.

    Args:
        source: ``(1, K, N, 2)``; the middle of the first two points of a spline is its near end, of the next two its far end.
        driving: ``(B, K, N, 2)``.
        initial: ``(1, K, N, 2)``.
        parents: the spline that each of the K hangs on, -1 for the one that hangs on none.
    """
    own, start, now = (torch.view_as_complex(pose.points.float().contiguous()) for pose in (source, initial, driving))
    near, near_start, near_now = (points[:, :, :2].mean(dim=2) for points in (own, start, now))  # (1 or B, K)
    along_start, along_now = (
        points[:, :, 2:4].mean(dim=2) - end for points, end in ((start, near_start), (now, near_now))
    )
    scale = _limb_scale(source, initial)
    # Angle, and factor of the length, (B, K)
    turn = along_now / torch.where(along_start.abs() < 1e-6, 1e-6, along_start)
    turn = turn * (turn.abs().clamp(1 / LENGTHENING, LENGTHENING) / turn.abs().clamp(min=1e-6))
    places: dict[int, torch.Tensor] = {}  # (B,): where near ends go

    def place(limb: int) -> torch.Tensor:
        if limb not in places:
            parent = parents[limb]
            if parent < 0:
                places[limb] = near[:, limb] + scale * (near_now - near_start)[:, limb]
            else:
                carried = near_now[:, parent] + turn[:, parent] * (near_start[:, limb] - near_start[:, parent])
                end = place(parent) + turn[:, parent] * (near[:, limb] - near[:, parent])
                places[limb] = end + scale * (near_now[:, limb] - carried)
        return places[limb]

    ends = torch.stack([place(limb) for limb in range(len(parents))], dim=1)  # (B, K)
    expected = near_now[..., None] + turn[..., None] * (start - near_start[..., None])
    moved = ends[..., None] + turn[..., None] * (own - near[..., None]) + scale * (now - expected)
    return Keypoints(torch.view_as_real(moved).to(driving.points.dtype))


def _limb_scale(source: Keypoints, initial: Keypoints) -> float:
    """Linear size of the source over that of the driving one: the median over limbs, since some point at the camera."""
    lengths, initial_lengths = (
        torch.linalg.vector_norm(of.points[0, :, 2:4].mean(dim=1) - of.points[0, :, :2].mean(dim=1), dim=-1).float()
        for of in (source, initial)
    )
    return float((lengths.clamp(min=1e-6) / initial_lengths.clamp(min=1e-6)).quantile(0.5))


def avd(network: AVDNetwork, source: Keypoints, driving: Keypoints) -> Keypoints:
    """The driving pose in the source's proportions, as the AVD network decodes it."""
    return network(source, driving)


def with_strength(source: Keypoints, transferred: Keypoints, strength: float) -> Keypoints:
    """The transferred motion weakened (below 1) or exaggerated (above 1); at 0 the source stands still."""
    if strength == 1:
        return transferred
    return Keypoints(source.points + strength * (transferred.points - source.points))


def hull_area(points: np.ndarray) -> float:
    """Area of the convex hull of points ``(P, 2)``; 0 where they lie on a line.

    Andrew's monotone chain, then the shoelace formula; by hand, since nothing else that animates needs scipy.
    """

    def chain(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
        hull: list[tuple[float, float]] = []
        for x, y in ordered:
            while len(hull) >= 2:
                (ax, ay), (bx, by) = hull[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                hull.pop()
            hull.append((x, y))
        return hull[:-1]

    ordered = sorted((float(x), float(y)) for x, y in points)
    corners = np.array(chain(ordered) + chain(ordered[::-1]))
    if len(corners) < 3:
        return 0.0
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def relative_scale(source: Keypoints, initial: Keypoints) -> float:
    """Linear size of the source's object over that of the driving one; 1 where the points of either span no area."""
    areas = [hull_area(keypoints.points[0].reshape(-1, 2).cpu().numpy()) for keypoints in (source, initial)]
    return math.sqrt(areas[0] / areas[1]) if min(areas) > 0 else 1.0


def best_frame(source: Keypoints, driving: Keypoints) -> int:
    """Index of the driving frame whose pose, position and size apart, is nearest to the source's.

    The detector's own keypoints are compared, so it works for any object.

    Args:
        source: ``(1, K, N, 2)``.
        driving: ``(T, K, N, 2)``.
    """
    distances = (_normalised(driving) - _normalised(source)).square().sum(dim=(1, 2))  # (T,)
    return int(distances.argmin())


def _normalised(keypoints: Keypoints) -> torch.Tensor:
    """Points centred and scaled to a hull of area 1, ``(B, K * N, 2)``."""
    points = keypoints.flat()
    areas = [hull_area(one.cpu().numpy()) for one in points]
    sizes = points.new_tensor([math.sqrt(area) if area > 0 else 1.0 for area in areas])
    return (points - points.mean(dim=1, keepdim=True)) / sizes[:, None, None]
