"""Key frames of a video: those for which t is chosen and an interpolated image is made, which serves the frames after it as well.

To score the candidates takes nearly a frame's time, and to make the interpolated image and to encode it more than one. The frames
up to the next key frame hop from the same image, each to its own pose. Which frames are key frames depends on the poses alone,
and each of their images is made by itself: where the batches of a video begin, or at which frame an interrupted render goes on,
changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .backbone import Source
from .selection import FrameSelection, SteadyChoice
from .settings import InterpolationSettings
from .structures import Keypoints, joined
from .transfer import FirstHop, MotionTransfer, displacement

NEAR = 0.1  # mean distance of the keypoints from the key frame's, in coordinates (2 is the width), from which there is a new one


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """A frame for which an interpolated image is made.

    Attributes:
        pose: on whose way that image is, ``(1, K, N, 2)``.
        background: ``(1, 3, 3)``, coordinates of the pose to the source's; None for the identity.
        selection: the image's time, and why it.
    """

    pose: Keypoints
    background: Tensor | None
    selection: FrameSelection


class KeyFrames:
    """The key frames of one video, whose frames come batch by batch and in order.

    Args:
        method: that chooses and makes.
        source: of batch 1.
        settings: `hold`, and what `MotionTransfer.select` wants to know.
    """

    def __init__(self, method: MotionTransfer, source: Source, settings: InterpolationSettings) -> None:
        self._method, self._source, self._settings = method, source, settings
        self._steady = SteadyChoice(settings.hysteresis)
        self._last: KeyFrame | None = None
        self._served = 0  # frames, by the last one
        self._made: dict[KeyFrame, FirstHop | None] = {}  # of the last one that was made

    def of(self, poses: Keypoints, background: Tensor | None) -> list[KeyFrame]:
        """The key frame of each of the next B frames.

        Args:
            poses: ``(B, K, N, 2)``.
            background: ``(B, 3, 3)``, coordinates of the poses to the source's; None for the identity.
        """
        starts = self._starts(poses)
        chosen = iter(self._chosen(poses, background, [index for index, start in enumerate(starts) if start]))
        frames = []
        for start in starts:
            self._last = next(chosen) if start or self._last is None else self._last
            frames.append(self._last)
        return frames

    def first_hop(self, frames: Sequence[KeyFrame]) -> FirstHop | None:
        """The first hop of frames with these key frames, of batch B, or of batch 1 where it is the same for all.

        None where no frame takes one.
        """
        self._made = {key: self._made[key] if key in self._made else self._make(key) for key in dict.fromkeys(frames)}
        hops = [self._made[key] for key in frames]
        given = next((hop for hop in hops if hop is not None), None)
        self._made = {frames[-1]: hops[-1]}
        if given is None:
            return None
        if all(hop is given for hop in hops):
            return given
        return joined([self._no_hop(given) if hop is None else hop for hop in hops])

    def _starts(self, poses: Keypoints) -> list[bool]:
        """Which of the next frames are key frames."""
        starts = []
        last = None if self._last is None else self._last.pose
        for points in poses.points.split(1):
            pose = Keypoints(points)
            start = last is None or self._served >= self._settings.hold or bool(displacement(last, pose) > NEAR)
            last, self._served = (pose, 1) if start or last is None else (last, self._served + 1)
            starts.append(start)
        return starts

    def _chosen(self, poses: Keypoints, background: Tensor | None, indices: list[int]) -> list[KeyFrame]:
        """The frames at these indices as key frames."""
        if not indices:
            return []
        points = poses.points[indices]  # (N, K, N, 2)
        transforms = None if background is None else background[indices]
        chosen = self._method.select(self._source, Keypoints(points), transforms, self._settings, self._steady)
        own = [None] * len(indices) if transforms is None else transforms.split(1)
        return [
            KeyFrame(Keypoints(pose), transform, selection)
            for pose, transform, selection in zip(points.split(1), own, chosen, strict=True)
        ]

    def _make(self, key: KeyFrame) -> FirstHop | None:
        t = key.pose.points.new_tensor([key.selection.t])
        return self._method.first_hop(self._source, key.pose, key.background, t, self._settings.path)

    def _no_hop(self, other: FirstHop) -> FirstHop:
        """Of frames that animate the source itself, in the form of another hop."""
        t = torch.zeros_like(other.t)
        background = None if other.background is None else torch.eye(3, device=t.device)[None]
        # A silhouette may have another size than those of interpolated images, and no hop looks at it.
        source = replace(self._source, keypoints=Keypoints(self._source.keypoints.points))
        return FirstHop(source, self._method.backbone.unmoved(other.motion, t == 0), background, t)
