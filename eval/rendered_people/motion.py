"""A movement that any figure can make: how its bones are turned, and the path of its root."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motion_core.errors import InputError

from .rotations import between, rounded, turn
from .skeleton import ANGLE, ANGLES, BONE, BONES, HIGH, LOW, PARENTS


@dataclass(frozen=True)
class Motion:
    """Turns of the bones, and where the figure goes, whatever its size.

    Attributes:
        turns: ``(T, J, 3, 3)`` each bone's rotation in the world, from the rest pose of `skeleton`.
        path: ``(T, 3)`` in lengths of the leg: x and z of the pelvis on the floor, and how far the lowest point of the body is
            above the floor (0 but for jumps).
        name: what kind of movement it is, or which clip of a file.
    """

    turns: np.ndarray
    path: np.ndarray
    name: str

    def __post_init__(self) -> None:
        frames = len(self.turns)
        if self.turns.shape != (frames, len(BONES), 3, 3) or self.path.shape != (frames, 3) or not frames:
            raise InputError(
                f"motion {self.name}: turns must be (T, {len(BONES)}, 3, 3) and path (T, 3) with T > 0, "
                f"got {self.turns.shape} and {self.path.shape}"
            )


def from_angles(angles: np.ndarray, tilt: np.ndarray, path: np.ndarray, name: str) -> Motion:
    """A motion from joint angles.

    Args:
        angles: ``(T, A)`` degrees, in the order of `skeleton.ANGLES` and within its limits.
        tilt: ``(T, 3)`` degrees by which the pelvis is turned to the left, tipped forward, and tipped to its left.
        path: see `Motion`.
        name: see `Motion`.

    Raises:
        InputError: an angle is out of its limits.
    """
    outside = ((angles < LOW - 1e-6) | (angles > HIGH + 1e-6)).any(0)
    if outside.any():
        number = int(outside.argmax())
        angle, found = list(ANGLES)[number], angles[:, number]
        raise InputError(
            f"{angle}: must be in {LOW[number]:g}..{HIGH[number]:g} degrees, got {found.min():g} to {found.max():g}"
        )
    local = _local_turns(angles)
    turns = np.empty_like(local)
    turns[:, 0] = turn("y", tilt[:, 0]) @ turn("x", tilt[:, 1]) @ turn("z", -tilt[:, 2])
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            turns[:, bone] = turns[:, parent] @ local[:, bone]
    return Motion(rounded(turns), rounded(path), name)


def _local_turns(angles: np.ndarray) -> np.ndarray:
    """Each bone's rotation against its parent, ``(T, J, 3, 3)``."""
    local = np.tile(np.eye(3), (len(angles), len(BONES), 1, 1))
    for region, bones in (("spine", ("abdomen", "chest")), ("head", ("neck", "head"))):
        twist = "turn" if region == "head" else "twist"
        bend, aside, about = (angles[:, ANGLE[f"{region}_{kind}"]] / 2 for kind in ("bend", "side", twist))
        for bone in bones:
            local[:, BONE[bone]] = turn("y", about) @ turn("x", bend) @ turn("z", -aside)
    for side, sign in (("right", -1), ("left", 1)):
        get = {kind: angles[:, ANGLE[f"{side}_{kind}"]] for kind in _limb_kinds()}
        _turn_arm(local, side, sign, get)
        _turn_leg(local, side, sign, get)
    return local


def _limb_kinds() -> list[str]:
    return [name.removeprefix("left_") for name in ANGLES if name.startswith("left_")]


def _turn_arm(local: np.ndarray, side: str, sign: int, get: dict[str, np.ndarray]) -> None:
    raised, front = np.deg2rad(get["arm_raise"]), np.deg2rad(get["arm_front"])
    sideways = sign * np.sin(raised) * np.cos(front)
    wanted = np.stack((sideways, -np.cos(raised), np.sin(raised) * np.sin(front)), axis=-1)
    lift = np.maximum(get["arm_raise"] - 80, 0) * 0.3  # the shoulder blade takes its share of what is above level
    shrug = turn("z", sign * lift)
    local[:, BONE[f"{side}_collar"]] = shrug
    in_collar = np.einsum("tji,tj->ti", shrug, wanted)
    swing = between(np.array([float(sign), 0, 0]), in_collar)
    local[:, BONE[f"{side}_upper_arm"]] = swing @ turn("x", get["arm_twist"])
    local[:, BONE[f"{side}_forearm"]] = turn("y", -sign * get["elbow"])
    local[:, BONE[f"{side}_hand"]] = turn("z", -sign * get["wrist"])


def _turn_leg(local: np.ndarray, side: str, sign: int, get: dict[str, np.ndarray]) -> None:
    thigh = turn("z", sign * get["hip_side"]) @ turn("x", -get["hip_bend"]) @ turn("y", sign * get["hip_twist"])
    local[:, BONE[f"{side}_thigh"]] = thigh
    local[:, BONE[f"{side}_shin"]] = turn("x", get["knee"])
    local[:, BONE[f"{side}_foot"]] = turn("x", -get["ankle"])
