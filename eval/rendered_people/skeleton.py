"""The skeleton every figure has: bones, the parts of a body they move, the joints that are annotated, and joint limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SIDES = ("right", "left")
_SPINE = ("pelvis", "abdomen", "chest", "neck", "head")  # each the parent of the next one, upwards
_ARM, _LEG = ("collar", "upper_arm", "forearm", "hand"), ("thigh", "shin", "foot")


def _table() -> list[tuple[str, str, tuple[int, int, int]]]:
    """Name, parent ("" for none) and direction in the rest pose, arms stretched out to the sides, of every bone."""
    rows = [(name, above, (0, 1, 0)) for name, above in zip(_SPINE, ("", *_SPINE), strict=False)]
    for side, out in zip(_SIDES, (-1, 1), strict=True):
        arm = [f"{side}_{name}" for name in _ARM]
        rows += [(name, above, (out, 0, 0)) for name, above in zip(arm, ("chest", *arm), strict=False)]
    for side in _SIDES:
        leg = [f"{side}_{name}" for name in _LEG]
        directions = ((0, -1, 0), (0, -1, 0), (0, 0, 1))
        rows += [(name, above, way) for name, above, way in zip(leg, ("pelvis", *leg), directions, strict=False)]
    return rows


_TABLE = _table()
BONES = tuple(name for name, _, _ in _TABLE)
BONE = {name: number for number, name in enumerate(BONES)}
PARENTS = tuple(BONE.get(above, -1) for _, above, _ in _TABLE)
DIRECTIONS = np.array([direction for _, _, direction in _TABLE], np.float64)  # (J, 3)

# 0 is the background. Numbers are a file format.
PARTS = ("background", "head", "torso", "pelvis") + tuple(
    f"{side}_{name}" for limb in (_ARM[1:], _LEG) for side in _SIDES for name in limb
)
PART = {name: number for number, name in enumerate(PARTS)}
_PART_OF = {"abdomen": "torso", "chest": "torso", "neck": "head", "right_collar": "torso", "left_collar": "torso"}
PART_OF_BONE = np.array([PART[_PART_OF.get(name, name)] for name in BONES], np.uint8)

# The eighteen joints in the order that OpenPose made usual. Bones whose head is the joint; the face's are points of the head.
_BONE_AT = {
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "wrist": "hand",
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
}
_JOINTS_OF_LIMBS = {
    f"{side}_{joint}": f"{side}_{_BONE_AT[joint]}"
    for limb in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
    for side in _SIDES
    for joint in limb
}
_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
JOINTS = ("nose", "neck", *_JOINTS_OF_LIMBS, *_FACE)
BONE_OF_JOINT = ("head", "neck", *_JOINTS_OF_LIMBS.values(), *("head" for _ in _FACE))


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
