"""Losses of motion that is known: of points that correspond, and of keypoints, for the videos that have them (docs/data.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from motion_core.structures import DenseMotion, Keypoints

from . import losses

MOTION = ("tracks", "contributions", "occlusion")  # those that need a dense motion
KNOWN = (*MOTION, "keypoints")


def known_keypoints(
    batch: Mapping[str, Tensor], weight: float, points: Sequence[Tensor], parts: dict[str, Tensor]
) -> list[Keypoints]:
    """The keypoints of source and driving image for the motion between them; the loss "keypoints" goes to `parts`.

    If it has a weight, the motion takes them as they are, without gradient: they are learned from where they are known to be,
    and a motion that is young would lead them astray.

    Args:
        batch: "keypoints" ``(B, 2, K, N, 2)`` and "known" ``(B, 2, K, N)`` if it has. See `train.data.PairDataset`.
        weight: of the loss.
        points: ``(B, K, N, 2)`` each, as they were found.
        parts: losses ``(B,)``; 0 for samples of which nothing is known.
    """
    if not weight:
        return [Keypoints(found) for found in points]
    parts["keypoints"] = _mean(
        losses.keypoint_loss(found, batch["keypoints"][:, end], batch["known"][:, end])
        for end, found in enumerate(points)
    )
    return [Keypoints(found.detach()) for found in points]


def known_motion(
    batch: Mapping[str, Tensor],
    weights: Mapping[str, float],
    motions: Sequence[DenseMotion],
    transforms: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    """The losses of `MOTION` that have a weight, each ``(B,)``; 0 for samples of which nothing is known.

    Args:
        batch: "points" ``(B, 2, P, 2)`` and "visible" ``(B, 2, P)``, in source and driving image; "groups" ``(B, P)``, the
            spline of each; "silhouette" ``(B, 2, 1, H, W)`` for "contributions" and "occlusion".
            See `train.data.PairDataset`.
        weights: of the losses.
        motions: there, and back if that is trained too.
        transforms: of the background, ``(B, 3, 3)`` each, as many or more; None where it stays.
    """
    parts: dict[str, Tensor] = {}
    if weights["tracks"]:
        here, there = batch["points"].unbind(dim=1)
        parts["tracks"] = _mean(
            losses.track_loss(motion.deformation, start, goal, batch["visible"].all(dim=1))
            for motion, (start, goal) in zip(motions, ((here, there), (there, here)), strict=False)
        )
    if weights["contributions"]:
        parts["contributions"] = _mean(
            losses.contribution_loss(maps, batch["points"][:, end], batch["visible"][:, end], batch["groups"])
            + losses.background_contribution_loss(maps, batch["silhouette"][:, end])
            for maps, end in zip((motion.contribution_maps for motion in motions), (1, 0), strict=False)
        )
    if weights["occlusion"]:
        here, there = batch["silhouette"].unbind(dim=1)
        ways = ((here, there), (there, here))
        parts["occlusion"] = _mean(
            losses.occlusion_loss(motion.occlusion_masks, source, driving, transform)
            for motion, transform, (source, driving) in zip(motions, transforms, ways, strict=False)
        )
    return parts


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(tuple(values)).mean(dim=0)
