"""Keypoints of rendered people's limbs: strips along them, and the body parts that belong to each."""

from __future__ import annotations

import numpy as np
import torch

from motion_core.networks.layered import limbs
from motion_core.networks.layered.limbs import LIMBS

from .annotations import Annotations
from .camera import project
from .skeleton import JOINTS, PARTS

_ENDS = {  # of limbs: the part that moves with the one of the limb's name
    "torso": "pelvis",
    "right_forearm": "right_hand",
    "left_forearm": "left_hand",
    "right_shin": "right_foot",
    "left_shin": "left_foot",
}
GROUPS = tuple((limb, _ENDS[limb]) if limb in _ENDS else (limb,) for limb in LIMBS)  # body parts that move as one
_GROUP_OF_PART = {part: number for number, parts in enumerate(GROUPS) for part in parts}
# By number in `skeleton.PARTS`: 0 for the background, 1 + group for the others.
LABELS = np.array([_GROUP_OF_PART.get(part, -1) + 1 for part in PARTS], np.uint8)


def keypoints(clip: Annotations) -> np.ndarray:
    """Keypoints for each group of `GROUPS`: the corners of a strip along the limb, as wide as it is, and one point more.

    The strip's sides are those in the picture, whichever side of the limb is seen, so it keeps its width when a person turns.

    Returns:
        ``(T, K, 5, 2)``: (x, y) as shares of width and height, also outside of the picture and where the limb is hidden.
    """
    places = {name: clip.joints[:, number].astype(float) for number, name in enumerate(JOINTS)}  # (T, 2) pixels each
    vertices = [clip.vertices(frame) for frame in range(len(clip.joints))]
    for part in ("head", "torso", "right_hand", "left_hand", "right_foot", "left_foot"):
        of_part = np.unique(clip.surface["faces"][clip.surface["parts"] == PARTS.index(part)])
        places[part] = np.stack([project(moved[of_part].mean(0), clip.focal, clip.size) for moved in vertices])
    places["hips"] = (places["right_hip"] + places["left_hip"]) / 2
    metre = clip.focal / clip.joint_depth[:, JOINTS.index("neck"), None]  # (T, 1)
    height, width = clip.size
    as_tensors = {name: torch.from_numpy(place) for name, place in places.items()}
    return (limbs.strips(as_tensors, torch.from_numpy(metre)).numpy() + 0.5) / (width, height)
