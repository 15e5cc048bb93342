"""The skeleton every figure has: bones, the parts of a body they move, the joints that are annotated, and joint limits."""

from __future__ import annotations

import numpy as np

_SIDES = ("right", "left")
_SPINE = ("pelvis", "abdomen", "chest", "neck", "head")  # each the parent of the next one, upwards
_ARM, _LEG = ("collar", "upper_arm", "forearm", "hand"), ("thigh", "shin", "foot")
_CHAINS = [("", _SPINE), *(("chest", tuple(f"{side}_{name}" for name in _ARM)) for side in _SIDES)]
_CHAINS += [("pelvis", tuple(f"{side}_{name}" for name in _LEG)) for side in _SIDES]
BONES = tuple(name for _, chain in _CHAINS for name in chain)
BONE = {name: number for number, name in enumerate(BONES)}
PARENTS = tuple(BONE.get(name, -1) for above, chain in _CHAINS for name in (above, *chain[:-1]))
# (J, 3) in the rest pose, with the arms stretched out to the sides
DIRECTIONS = np.array([(0.0, 1, 0)] * 5 + [(-1, 0, 0)] * 4 + [(1, 0, 0)] * 4 + [(0, -1, 0), (0, -1, 0), (0, 0, 1)] * 2)

# 0 is the background. Numbers are a file format.
PARTS = ("background", "head", "torso", "pelvis") + tuple(
    f"{side}_{name}" for limb in (_ARM[1:], _LEG) for side in _SIDES for name in limb
)
PART = {name: number for number, name in enumerate(PARTS)}
_PART_OF = {"abdomen": "torso", "chest": "torso", "neck": "head", "right_collar": "torso", "left_collar": "torso"}
PART_OF_BONE = np.array([PART[_PART_OF.get(name, name)] for name in BONES], np.uint8)

# The eighteen joints in the order that OpenPose made usual. Bones whose head is the joint; the face's are points of the head.
_JOINTS_OF_LIMBS = {
    f"{side}_{joint}": f"{side}_{bone}"
    for names, bones in ((("shoulder", "elbow", "wrist"), _ARM[1:]), (("hip", "knee", "ankle"), _LEG))
    for side in _SIDES
    for joint, bone in zip(names, bones, strict=True)
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


# The least and the greatest of each angle, in degrees; at 0 a person is upright, the arms hang down, the legs are straight.
_BODY = {  # shared by abdomen and chest, or by neck and head
    "spine_bend": (-25, 80),  # forward
    "spine_side": (-35, 35),  # to the left
    "spine_twist": (-45, 45),  # to the left
    "head_bend": (-45, 50),  # forward
    "head_side": (-35, 35),  # to the left
    "head_turn": (-75, 75),  # to the left
}
_LIMB = {
    "arm_raise": (0, 172),  # upper arm: 0 hangs down, 90 is level, 180 would be straight up
    "arm_front": (-45, 125),  # the plane in which it is raised: 0 to the side, 90 to the front
    "arm_twist": (-80, 80),  # about its own length
    "elbow": (0, 145),  # bent
    "wrist": (-60, 60),  # bent towards the palm
    "hip_bend": (-30, 120),  # thigh to the front
    "hip_side": (-20, 65),  # thigh outwards
    "hip_twist": (-35, 45),  # outwards about its own length
    "knee": (0, 145),  # bent
    "ankle": (-45, 30),  # toes up
}
ANGLES = {**_BODY, **{f"{side}_{name}": limits for side in _SIDES for name, limits in _LIMB.items()}}
LIMB_ANGLES = tuple(_LIMB)  # without the side
ANGLE = {name: number for number, name in enumerate(ANGLES)}
LOW, HIGH = np.array(list(ANGLES.values())).T
