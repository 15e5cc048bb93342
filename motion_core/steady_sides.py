"""Left and right of the person in a video, kept from frame to frame: at times the detector takes one for the other."""

from __future__ import annotations

from torch import Tensor

from .networks.layered.limbs import GROUPS, LIMBS, other_side

# Limbs whose sides are taken for each other together. The face goes with the arms.
ARMS = tuple(number for number, limb in enumerate(LIMBS) if limb.endswith("arm"))
LEGS = tuple(number for number, limb in enumerate(LIMBS) if limb.endswith(("thigh", "shin")))
FACE = GROUPS.index("face")
FACE_EXCHANGED = (1, 0, 3, 2, 4)  # eyes, corners of the mouth, nose
# Sides are exchanged where that is nearer to the pose before by so much, unless both are as near as a share of the person's size;
# after so many frames in a row that say otherwise, these are believed.
NEARER, NEAR, BELIEVED_AFTER = 0.5, 0.16, 12


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
        for limbs, frames in self._contradicted.items():
            other = exchanged(points, limbs)
            contradicted = self._before is not None and _contradicts(points, other, self._before, limbs)
            if contradicted and frames < BELIEVED_AFTER:
                points = other
                self._contradicted[limbs] = frames + 1
            else:
                self._contradicted[limbs] = 0
        self._before = points
        return points


def exchanged(points: Tensor, limbs: tuple[int, ...]) -> Tensor:
    """Keypoints ``(1, K, 5, 2)`` in which some limbs, `ARMS` or `LEGS`, are the other side's, and the face with the arms."""
    order = list(range(points.shape[1]))
    for number in limbs:
        order[number] = LIMBS.index(other_side(LIMBS[number]))
    made = points[:, order]
    if limbs == ARMS:
        made[:, FACE:] = made[:, FACE:, FACE_EXCHANGED]
    return made


def _contradicts(points: Tensor, other: Tensor, before: Tensor, limbs: tuple[int, ...]) -> bool:
    """Whether limbs with their sides exchanged, `other`, are much nearer to the pose before than as they are."""
    now, exchanged_now, then = (pose[0, limbs].mean(dim=1) for pose in (points, other, before))  # (L, 2) each
    body = before[0, ARMS + LEGS].mean(dim=1)
    size = (body - body.mean(dim=0)).square().sum(dim=-1).mean().sqrt()
    far, near = ((pose - then).norm(dim=-1).mean() for pose in (now, exchanged_now))
    return bool(near < NEARER * far and far > NEAR * size)
