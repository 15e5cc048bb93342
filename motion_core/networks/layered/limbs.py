"""Ten limbs, and the strip of five keypoints along each: the one place that says what they are.

Four keypoints are the corners of a strip along the limb, as wide as it is: start left and right of the direction, then end
left and right; the fifth is where the table says. Its sides are those in the picture, whichever side of the limb is seen.
A detector adds five of the face, in the same order from the eyes to the mouth, which say how the head is held (`limb_motion`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import rotation

LIMBS = (
    "head",
    "torso",
    "right_upper_arm",
    "right_forearm",
    "left_upper_arm",
    "left_forearm",
    "right_thigh",
    "right_shin",
    "left_thigh",
    "left_shin",
)
GROUPS = (*LIMBS, "face")  # of keypoints
PARENTS = (1, -1, 1, 2, 1, 4, 1, 6, 1, 8, 0)  # which group each one hangs on
# Of each limb: from one place to another, half the width there in metres, and the place of the fifth keypoint.
STRIPS = (
    ("neck", "crown", 0.07, 0.08, "nose"),
    ("neck", "hips", 0.16, 0.14, "torso"),
    ("right_shoulder", "right_elbow", 0.05, 0.045, "middle"),
    ("right_elbow", "right_wrist", 0.045, 0.035, "right_hand"),
    ("left_shoulder", "left_elbow", 0.05, 0.045, "middle"),
    ("left_elbow", "left_wrist", 0.045, 0.035, "left_hand"),
    ("right_hip", "right_knee", 0.08, 0.06, "middle"),
    ("right_knee", "right_ankle", 0.055, 0.045, "right_foot"),
    ("left_hip", "left_knee", 0.08, 0.06, "middle"),
    ("left_knee", "left_ankle", 0.055, 0.045, "left_foot"),
)
POINTS = 5  # of a strip
HEAD = LIMBS.index("head")
TRUNK = LIMBS.index("torso")

# Twice as many half widths as the nose is at least to one side in the source and to the other one in a pose, from which the head
# begins to be turned over, and is.
ASIDE = (0.8, 1.1)

# Where the places that strips are made of are, as means of BlazePose's landmarks.
PLACES: dict[str, tuple[int, ...]] = {
    "nose": (0,),
    "ears": (7, 8),
    "shoulders": (11, 12),
    "hips": (23, 24),
    **{
        f"{side}_{name}": numbers
        for side, first in (("left", 0), ("right", 1))
        for name, numbers in {
            "shoulder": (11 + first,),
            "elbow": (13 + first,),
            "wrist": (15 + first,),
            "hand": (15 + first, 17 + first, 19 + first),
            "hip": (23 + first,),
            "knee": (25 + first,),
            "ankle": (27 + first,),
            "foot": (27 + first, 29 + first, 31 + first),
        }.items()
    },
}
# The keypoints of the face: BlazePose's landmarks of the eyes, the corners of the mouth and the nose.
FACE = (2, 5, 9, 10, 0)
# Places on the way from one of these to another: what rendered people have there, whose places are known, as BlazePose sees them.
BETWEEN = {
    "neck": ("shoulders", "ears", 0.36),
    "head": ("shoulders", "ears", 0.93),
    "torso": ("shoulders", "hips", 0.2),
}
SURE = 0.5  # visibility from which a landmark says how large the person is
_FEWEST_SURE = 4


def other_side(name: str) -> str:
    """The limb or place that a mirrored picture shows there."""
    for side, other in (("right_", "left_"), ("left_", "right_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


# The keypoints of a group whose sides, or eyes and corners of the mouth, change places.
SIDES_CHANGED = (1, 0, 3, 2, 4)
# Which of the keypoints each one is in a mirrored picture: left is right there, and a strip's sides change places.
MIRRORED = tuple(
    chain.from_iterable(
        (POINTS * GROUPS.index(other_side(group)) + corner for corner in SIDES_CHANGED) for group in GROUPS
    )
)
# Likewise of the layers: the background and the limbs.
LAYERS_MIRRORED = (0, *(1 + LIMBS.index(other_side(limb)) for limb in LIMBS))


def mirrored_points(points: Tensor) -> Tensor:
    """Keypoints ``(B, K, 5, 2)``, x from -1 to 1, in the mirrored picture; with the face or without."""
    order = list(MIRRORED[: points.shape[1] * POINTS])
    return points.flatten(1, 2)[:, order].view_as(points) * points.new_tensor((-1.0, 1.0))


def looks_aside(points: Tensor) -> Tensor:
    """How far the nose is beside the head's axis in keypoints ``(B, K, 5, 2)``, ``(B,)`` in half widths: the sign is the side."""
    start, end, wide, narrow = strip_ends(points[:, HEAD, None])
    along = F.normalize(end - start, dim=-1)  # (B, 1, 2)
    across = torch.stack((-along[..., 1], along[..., 0]), dim=-1)
    aside = ((points[:, HEAD, None, 4] - start) * across).sum(dim=-1) / ((wide + narrow) / 2).clamp(min=1e-3)
    return aside[:, 0]


def turned_over(source: Tensor, driving: Tensor) -> Tensor:
    """Of each limb, how much rather the mirrored source shows it, ``(B, K)`` in [0, 1], of keypoints as `looks_aside` takes them.

    0 of all but the head: from where it looks to one side in the source and to the other in the driving pose.
    """
    before, now = looks_aside(source), looks_aside(driving)
    nearer = (now - before).abs() - (now + before).abs()
    head = rising(nearer, ASIDE)  # (B,)
    return F.one_hot(torch.tensor(HEAD, device=driving.device), len(LIMBS)) * head[:, None]


def rising(x: Tensor, limits: tuple[float, float]) -> Tensor:
    """0 up to the first limit, 1 from the second on, straight between them."""
    first, last = limits
    return ((x - first) / (last - first)).clamp(0, 1)


def strips(places: Mapping[str, Tensor], metre: Tensor) -> Tensor:
    """The keypoints ``(B, K, 5, 2)``, in the unit of the places.

    Args:
        places: those that `STRIPS` names, ``(B, 2)`` each, (x, y) with y down, in a unit that is the same across and down; but
            "middle" is that of the limb, and "crown" as far beyond the "head", which is its middle, as the neck is from it.
        metre: how long it is, ``(B, 1)``.
    """
    places = {**places, "crown": 2 * places["head"] - places["neck"]}
    made = []
    for start, end, start_width, end_width, fifth in STRIPS:
        a, b = places[start], places[end]  # (B, 2)
        along = b - a
        length = along.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        across = torch.stack((-along[:, 1], along[:, 0]), dim=-1) / length * metre  # (B, 2)
        last = (a + b) / 2 if fifth == "middle" else places[fifth]
        corners = (a - start_width * across, a + start_width * across, b - end_width * across, b + end_width * across)
        made.append(torch.stack((*corners, last), dim=1))  # (B, 5, 2)
    return torch.stack(made, dim=1)


def strip_ends(points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of strips ``(B, K, 5, 2)`` the middles of their two ends, ``(B, K, 2)`` each, and half their widths there, ``(B, K)``.

    The face that may follow them is none.
    """
    points = points[:, : len(LIMBS)]
    start, end = points[:, :, 0:2].mean(dim=2), points[:, :, 2:4].mean(dim=2)
    wide, narrow = ((points[:, :, i] - points[:, :, i + 1]).norm(dim=-1) / 2 for i in (0, 2))
    return start, end, wide, narrow


def upright(points: Tensor) -> Tensor:
    """The rotations ``(B, 2, 2)`` that bring the trunks of strips ``(B, K, 5, 2)`` to point straight down.

    Points ``(..., 2)`` are turned by ``points @ rotation.mT``. Networks that see turned poses know those who lie or bend as well
    as those who stand.
    """
    start, end, _, _ = strip_ends(points)
    along = (end - start)[:, TRUNK]
    along = torch.where(along.norm(dim=-1, keepdim=True) > 1e-6, along, along.new_tensor((0.0, 1.0)))
    x, y = F.normalize(along).unbind(dim=-1)
    return rotation(y, x)


def places_of(landmarks: Tensor) -> dict[str, Tensor]:
    """The places that `STRIPS` names, ``(B, 2)`` each, of BlazePose's landmarks ``(B, 33 or more, 2)``."""
    places = {name: landmarks[:, list(numbers)].mean(dim=1) for name, numbers in PLACES.items()}
    for name, (start, end, share) in BETWEEN.items():
        places[name] = places[start] + share * (places[end] - places[start])
    return places


def metre_of(landmarks: Tensor, visibility: Tensor, metres: Tensor) -> Tensor:
    """How long a metre is beside the person, ``(B, 1)``, in the unit of the landmarks: by how far both lie from their mean.

    Args:
        landmarks: ``(B, 33, 2)``.
        visibility: ``(B, 33)`` in [0, 1]; those below `SURE` are left out unless hardly any would be left.
        metres: ``(B, 33, 3)``; depth does not count.
    """
    sure = visibility >= SURE
    sure = sure | (sure.sum(dim=1, keepdim=True) < _FEWEST_SURE)
    weight = sure.to(landmarks.dtype)[..., None]  # (B, 33, 1)
    count = weight.sum(dim=1, keepdim=True)

    def spread(points: Tensor) -> Tensor:
        from_mean = (points - (weight * points).sum(dim=1, keepdim=True) / count) * weight
        return from_mean.flatten(1).norm(dim=1, keepdim=True)

    return spread(landmarks) / spread(metres[..., :2]).clamp_min(1e-6)


def limb_points(landmarks: Tensor, visibility: Tensor, metres: Tensor) -> Tensor:
    """The keypoints of BlazePose's landmarks, of the limbs and of the face, ``(B, K + 1, 5, 2)``, in the unit of the landmarks.

    Args:
        landmarks: ``(B, 33 or more, 2)``, (x, y) in pixels; those past the 33rd are not used, and so below.
        visibility: in [0, 1].
        metres: ``(B, 33 or more, 3)``.
    """
    body = slice(0, 33)
    metre = metre_of(landmarks[:, body], visibility[:, body], metres[:, body])
    return torch.cat((strips(places_of(landmarks), metre), landmarks[:, None, list(FACE)]), dim=1)


def to_coordinates(pixels: Tensor, height: int, width: int) -> Tensor:
    """Places ``(..., 2)`` in pixels, (0, 0) the centre of the first one, as corner-aligned coordinates in [-1, 1]."""
    return 2 * pixels / pixels.new_tensor((max(width - 1, 1), max(height - 1, 1))) - 1
