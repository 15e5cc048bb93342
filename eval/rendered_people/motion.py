"""A movement that any figure can make: from joint angles, or from motion capture in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motion_core.errors import InputError

from .rotations import between, frame_of, rounded, turn, unit
from .skeleton import ANGLE, ANGLES, BONE, BONES, HIGH, LIMB_ANGLES, LOW, PARENTS


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
        get = {kind: angles[:, ANGLE[f"{side}_{kind}"]] for kind in LIMB_ANGLES}
        _turn_arm(local, side, sign, get)
        _turn_leg(local, side, sign, get)
    return local


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


_SIDES = (("right", "r", -1.0), ("left", "l", 1.0))
_FEET = ("rFoot_end", "lFoot_end", "rFoot", "lFoot")
NEEDED = ("hip", "abdomen", "chest", "neck", "head") + tuple(
    f"{side}{name}"
    for side in "rl"
    for name in ("Collar", "Shldr", "ForeArm", "Hand", "Thigh", "Shin", "Foot", "Foot_end")
)


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """All arrays of an npz file; raises InputError where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: must be an npz file with {what}, but cannot be read: {error}") from error


class MotionFile:
    """A motion file that is open: motion capture as joint positions.

    It is an npz with `joint_names` (J,) and, for each clip, `CLIP__root` (T, 1, 3) and `CLIP__rel` (T, J, 3): positions relative
    to the root, y up, in any unit; 30 frames a second, or what `frame_rate` says.

    Raises:
        InputError: it is no such file, or joints are missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.arrays = read_arrays(self.path, "motion")
        if "joint_names" not in self.arrays:
            raise InputError(f"{self.path}: must have the array joint_names, got {', '.join(self.arrays) or 'none'}")
        self.joints = {str(name): number for number, name in enumerate(self.arrays["joint_names"])}
        missing = [name for name in NEEDED if name not in self.joints]
        if missing:
            raise InputError(
                f"{self.path}: joint_names must have {', '.join(NEEDED)}; {', '.join(missing)} is not there"
            )
        self.rate = float(self.arrays.get("frame_rate", 30.0))
        self.clips = sorted(key.removesuffix("__rel") for key in self.arrays if key.endswith("__rel"))
        if not self.clips:
            raise InputError(f"{self.path}: must have clips (CLIP__root and CLIP__rel), got none")

    def positions(self, clip: str) -> np.ndarray:
        """Joints ``(T, J, 3)`` of a clip, in the file's unit."""
        relative = self.arrays[f"{clip}__rel"].astype(np.float64)
        root = self.arrays.get(f"{clip}__root")
        wanted = (*relative.shape[:1], len(self.joints), 3)
        if relative.shape != wanted or root is None or root.size != 3 * len(relative):
            raise InputError(
                f"{self.path}: {clip}__rel must be (T, {len(self.joints)}, 3) and {clip}__root (T, 1, 3), "
                f"got {relative.shape} and {None if root is None else root.shape}"
            )
        return relative + root.reshape(-1, 1, 3).astype(np.float64)

    def draw(self, random: np.random.Generator, clips: list[str], frames: int, rate: float) -> Motion:
        """A random stretch of one of the clips at another frame rate; turned to face +z on average, and centred."""
        name = clips[int(random.integers(len(clips)))]
        positions = self.positions(name)
        length = (frames - 1) * self.rate / rate
        start = random.uniform(0, max(0.0, len(positions) - 1 - length))
        moments = np.minimum(start + np.arange(frames) * self.rate / rate, len(positions) - 1)
        before = np.minimum(moments.astype(int), len(positions) - 2) if len(positions) > 1 else np.zeros(frames, int)
        after = np.minimum(before + 1, len(positions) - 1)
        share = (moments - before)[:, None, None]
        stretch = positions[before] * (1 - share) + positions[after] * share
        # The floor is what the lowest foot is hardly ever below.
        floor = float(np.percentile(positions[:, [self.joints[foot] for foot in _FEET], 1].min(1), 10))
        return self.motion(stretch, floor, name)

    def motion(self, positions: np.ndarray, floor: float, name: str) -> Motion:
        """A motion from joint positions ``(T, J, 3)``; `floor` is its height, in the file's unit."""
        at = {joint: positions[:, number] for joint, number in self.joints.items()}
        facing = np.cross(at["lThigh"] - at["rThigh"], (0.0, 1.0, 0.0)).mean(0)  # left x up = forward
        angle = np.arctan2(-facing[0], facing[2])
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        middle = positions[:, self.joints["hip"]].mean(0) * (1, 0, 1)
        at = {joint: (points - middle) @ turned.T for joint, points in at.items()}

        def length(start: str, end: str) -> np.ndarray:
            return np.linalg.norm(at[start] - at[end], axis=1)

        leg = float(np.mean([length(f"{s}Thigh", f"{s}Shin") + length(f"{s}Shin", f"{s}Foot") for s in "rl"]))
        path = at["hip"] / leg
        low = np.min([at[joint][:, 1] for joint in _FEET], axis=0)
        lift = np.clip((low - floor) / leg - 0.03, 0, None)  # what is less than a few centimetres is noise, not a jump
        return Motion(rounded(_turns(at)), rounded(np.stack((path[:, 0], lift, path[:, 2]), 1)), name)


def _turns(at: dict[str, np.ndarray]) -> np.ndarray:
    """Rotations of the bones, (T, J, 3, 3), from positions (T, 3).

    Hips, trunk and shoulders are wide enough to tell how they are turned. Of a limb only the direction is known: it swings the
    shortest way from its rest direction in its parent, without twist. A knee that is bent tells the twist of the thigh.
    """
    frames = len(at["hip"])
    turns = np.tile(np.eye(3), (frames, len(BONES), 1, 1))
    hips, shoulders = at["lThigh"] - at["rThigh"], at["lShldr"] - at["rShldr"]
    turns[:, BONE["pelvis"]] = frame_of(hips, at["abdomen"] - at["hip"])
    turns[:, BONE["chest"]] = frame_of(shoulders, at["neck"] - at["chest"])
    turns[:, BONE["abdomen"]] = frame_of(unit(hips) + unit(shoulders), at["chest"] - at["abdomen"])
    chest = turns[:, BONE["chest"]]
    head = unit(at["head"] - at["neck"])
    # Data sets put the head's joint in front of the neck's: half of its lean is taken for the head's own.
    turns[:, BONE["neck"]] = turns[:, BONE["head"]] = _swung(
        chest, np.array((0.0, 1.0, 0.0)), unit(head + chest[..., 1])
    )
    for side, letter, sign in _SIDES:
        out = np.array((sign, 0.0, 0.0))
        turns[:, BONE[f"{side}_collar"]] = chest
        upper = unit(at[f"{letter}ForeArm"] - at[f"{letter}Shldr"])
        lower = unit(at[f"{letter}Hand"] - at[f"{letter}ForeArm"])
        turns[:, BONE[f"{side}_upper_arm"]] = _swung(chest, out, upper)
        forearm = _swung(turns[:, BONE[f"{side}_upper_arm"]], out, lower)
        turns[:, BONE[f"{side}_forearm"]] = turns[:, BONE[f"{side}_hand"]] = forearm
        _aim_leg(turns, at, side, letter)
    return turns


def _aim_leg(turns: np.ndarray, at: dict[str, np.ndarray], side: str, letter: str) -> None:
    down = np.array((0.0, -1.0, 0.0))
    upper = unit(at[f"{letter}Shin"] - at[f"{letter}Thigh"])
    lower = unit(at[f"{letter}Foot"] - at[f"{letter}Shin"])
    thigh = _swung(turns[:, BONE["pelvis"]], down, upper)
    axis = np.cross(upper, lower)  # about which the knee bends: x of the thigh, if it is bent enough to tell
    bent = np.linalg.norm(axis, axis=1, keepdims=True)
    x = thigh[..., 0] + np.clip((bent - 0.15) / 0.35, 0, 1) * (unit(axis) - thigh[..., 0]) * (
        (axis * thigh[..., 0]).sum(1, keepdims=True) > 0
    )
    thigh = frame_of(x, -upper)
    shin = _swung(thigh, down, lower)
    foot = _swung(shin, np.array((0.0, -0.25, 0.97)), unit(at[f"{letter}Foot_end"] - at[f"{letter}Foot"]))
    turns[:, BONE[f"{side}_thigh"]], turns[:, BONE[f"{side}_shin"]], turns[:, BONE[f"{side}_foot"]] = thigh, shin, foot


def _swung(parent: np.ndarray, rest: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) that turn a bone of `parent` from its rest direction (3,) to `direction` (T, 3) the shortest way."""
    wanted = np.einsum("tji,tj->ti", parent, direction)
    return parent @ between(unit(rest), unit(wanted))
