"""Poses of a video as a person takes them: sides that do not change for a moment, and limbs that do not tremble."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .networks.layered.sides import ARMS, LEGS, distance, exchanged, other_way_round
from .structures import DrivingMotion, Keypoints

BELIEVED_AFTER = 12  # frames in a row that contradict the sides of those before
# The standard deviation, in seconds, of the Gaussian weights that poses are averaged with, and how many of these it reaches. Over
# rendered people at 15 and 30 frames/s, keypoints are nearest to the true ones at 0.03 to 0.05 (docs/people.md).
AVERAGED, FARTHEST = 0.04, 3.0
CUT = 0.6  # of the person's size, that limbs move from one frame to the next where the video is cut


class SteadySides:
    """Poses of one video, one after another: arms or legs that change sides at once are changed back.

    Who turns round shows both sides equally near in between, where nothing is changed.
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._contradicted = dict.fromkeys((ARMS, LEGS), 0)  # frames in a row

    def forget(self) -> None:
        """The next pose is believed as it is: nobody was seen for a moment."""
        self._before = None

    def __call__(self, points: Tensor) -> Tensor:
        """The pose ``(1, K, 5, 2)`` with the sides of the one before; keypoints of the limbs and of the face."""
        before = self._before
        for limbs, frames in self._contradicted.items():
            contradicted = before is not None and other_way_round(before[0], points[0], limbs)
            if contradicted and frames < BELIEVED_AFTER:
                points = exchanged(points, limbs)
                self._contradicted[limbs] = frames + 1
            else:
                self._contradicted[limbs] = 0
        self._before = points
        return points


def without_trembling(driving: Iterable[DrivingMotion], frame_rate: float) -> Iterator[DrivingMotion]:
    """The motion of the person in a driving video, batch by batch, with each pose the mean of those around it.

    As many frames count on either side, so that nothing lags; up to the ends of the video, and where it is cut.

    Args:
        frame_rate: frames per second.
    """
    reach = int(FARTHEST * AVERAGED * frame_rate)
    seconds = torch.arange(-reach, reach + 1) / frame_rate
    weights = (-(seconds / AVERAGED).square() / 2).exp()
    waiting: deque[DrivingMotion] = deque()
    poses: list[Tensor] = []  # (K, 5, 2) each, from `reach` frames before the first batch that waits
    whole: list[bool] = []  # whether the video is not cut before that frame
    first = 0  # of the frames of that batch, in `poses`

    def averaged(motion: DrivingMotion) -> DrivingMotion:
        numbers = range(first, first + len(motion.keypoints.points))
        means = [_mean(poses, number, _around(whole, number, reach), weights) for number in numbers]
        return replace(motion, keypoints=Keypoints(torch.stack(means)))

    for motion in driving:
        waiting.append(motion)
        for pose in motion.keypoints.points:
            whole.append(not poses or distance(poses[-1], pose) <= CUT)
            poses.append(pose)
        while waiting and first + len(waiting[0].keypoints.points) + reach <= len(poses):
            yield averaged(waiting[0])
            first += len(waiting.popleft().keypoints.points)
            gone = max(first - reach, 0)
            del poses[:gone], whole[:gone]
            first -= gone
    for motion in waiting:
        yield averaged(motion)
        first += len(motion.keypoints.points)


def _around(whole: Sequence[bool], number: int, reach: int) -> int:
    """How many frames on either side of one count with it."""
    most = min(reach, number, len(whole) - 1 - number)
    return next((k for k in range(most) if not (whole[number - k] and whole[number + k + 1])), most)


def _mean(poses: Sequence[Tensor], number: int, around: int, weights: Tensor) -> Tensor:
    """The weighted mean ``(K, 5, 2)`` of a pose and of so many on either side."""
    if around == 0:
        return poses[number]
    middle = len(weights) // 2
    given = weights[middle - around : middle + around + 1].to(poses[number])
    return torch.tensordot(given / given.sum(), torch.stack(list(poses[number - around : number + around + 1])), dims=1)
