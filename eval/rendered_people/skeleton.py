"""The skeleton every figure has: bones, the parts of a body they move, the joints that are annotated, and joint limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# name, parent, direction in the rest pose (arms stretched out to the sides)
_TABLE = (
    ("pelvis", None, (0, 1, 0)),
    ("abdomen", "pelvis", (0, 1, 0)),
    ("chest", "abdomen", (0, 1, 0)),
    ("neck", "chest", (0, 1, 0)),
    ("head", "neck", (0, 1, 0)),
    ("right_collar", "chest", (-1, 0, 0)),
    ("right_upper_arm", "right_collar", (-1, 0, 0)),
    ("right_forearm", "right_upper_arm", (-1, 0, 0)),
    ("right_hand", "right_forearm", (-1, 0, 0)),
    ("left_collar", "chest", (1, 0, 0)),
    ("left_upper_arm", "left_collar", (1, 0, 0)),
    ("left_forearm", "left_upper_arm", (1, 0, 0)),
    ("left_hand", "left_forearm", (1, 0, 0)),
    ("right_thigh", "pelvis", (0, -1, 0)),
    ("right_shin", "right_thigh", (0, -1, 0)),
    ("right_foot", "right_shin", (0, 0, 1)),
    ("left_thigh", "pelvis", (0, -1, 0)),
    ("left_shin", "left_thigh", (0, -1, 0)),
    ("left_foot", "left_shin", (0, 0, 1)),
)
BONES = tuple(name for name, _, _ in _TABLE)
BONE = {name: number for number, name in enumerate(BONES)}
PARENTS = tuple(-1 if parent is None else BONE[parent] for _, parent, _ in _TABLE)
DIRECTIONS = np.array([direction for _, _, direction in _TABLE], np.float64)  # (J, 3)

# 0 is the background. Numbers are a file format.
PARTS = (
    "background",
    "head",
    "torso",
    "pelvis",
    "right_upper_arm",
    "right_forearm",
    "right_hand",
    "left_upper_arm",
    "left_forearm",
    "left_hand",
    "right_thigh",
    "right_shin",
    "right_foot",
    "left_thigh",
    "left_shin",
    "left_foot",
)
PART = {name: number for number, name in enumerate(PARTS)}
_PART_OF = {"abdomen": "torso", "chest": "torso", "neck": "head", "right_collar": "torso", "left_collar": "torso"}
PART_OF_BONE = np.array([PART[_PART_OF.get(name, name)] for name in BONES], np.uint8)

# The eighteen joints in the order that OpenPose made usual. Bones whose head is the joint; the face's are points of the head.
JOINTS = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
BONE_OF_JOINT = (
    "head",
    "neck",
    "right_upper_arm",
    "right_forearm",
    "right_hand",
    "left_upper_arm",
    "left_forearm",
    "left_hand",
    "right_thigh",
    "right_shin",
    "right_foot",
    "left_thigh",
    "left_shin",
    "left_foot",
    "head",
    "head",
    "head",
    "head",
)


def other_side(name: str) -> str:
    """The bone, joint, body part or angle of the other side, which a mirrored picture shows there.

    >>> other_side("left_upper_arm"), other_side("neck")
    ('right_upper_arm', 'neck')
    """
    side, _, rest = name.partition("_")
    return f"{'right' if side == 'left' else 'left'}_{rest}" if side in ("left", "right") else name


FACE_JOINTS = tuple(i for i, bone in enumerate(BONE_OF_JOINT) if bone == "head")
# Where a joint may be seen: the parts that meet there.
PARTS_AT_JOINT = tuple(
    tuple(sorted({int(PART_OF_BONE[BONE[bone]]), int(PART_OF_BONE[PARENTS[BONE[bone]]])}))
    + ((PART["torso"],) if joint == "neck" else ())
    for joint, bone in zip(JOINTS, BONE_OF_JOINT, strict=True)
)


@dataclass(frozen=True)
class Angle:
    """One degree of freedom, in degrees; 0 is upright with the arms hanging down and the legs straight."""

    low: float
    high: float
    meaning: str


_BODY = {
    "spine_bend": Angle(-25, 80, "forward, shared by abdomen and chest"),
    "spine_side": Angle(-35, 35, "to the left, shared by abdomen and chest"),
    "spine_twist": Angle(-45, 45, "to the left, shared by abdomen and chest"),
    "head_bend": Angle(-45, 50, "forward, shared by neck and head"),
    "head_side": Angle(-35, 35, "to the left, shared by neck and head"),
    "head_turn": Angle(-75, 75, "to the left, shared by neck and head"),
}
_LIMB = {
    "arm_raise": Angle(0, 172, "upper arm: 0 hangs down, 90 is level, 180 would be straight up"),
    "arm_front": Angle(-45, 125, "the plane in which it is raised: 0 to the side, 90 to the front"),
    "arm_twist": Angle(-80, 80, "about its own length"),
    "elbow": Angle(0, 145, "bent"),
    "wrist": Angle(-60, 60, "bent towards the palm"),
    "hip_bend": Angle(-30, 120, "thigh to the front"),
    "hip_side": Angle(-20, 65, "thigh outwards"),
    "hip_twist": Angle(-35, 45, "outwards about its own length"),
    "knee": Angle(0, 145, "bent"),
    "ankle": Angle(-45, 30, "toes up"),
}
ANGLES = {**_BODY, **{f"{side}_{name}": angle for side in ("right", "left") for name, angle in _LIMB.items()}}
ANGLE = {name: number for number, name in enumerate(ANGLES)}
LOW = np.array([angle.low for angle in ANGLES.values()])
HIGH = np.array([angle.high for angle in ANGLES.values()])
