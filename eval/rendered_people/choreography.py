"""Movements made from nothing but random numbers: walking, reaching, turning, dancing and large poses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motion_core.errors import InputError

from .motion import Motion, from_angles
from .skeleton import ANGLE, ANGLES, HIGH, LOW, other_side

Random = np.random.Generator
Pose = dict[str, float]


def _both(**angles: float) -> Pose:
    """Angles of both sides."""
    return {f"{side}_{name}": value for side in ("left", "right") for name, value in angles.items()}


# Whole-body poses with large differences between them, in degrees; angles that are not named are those of `_STANDING`.
_STANDING = _both(arm_raise=9, elbow=14)
_POSES: tuple[Pose, ...] = (
    {},
    _both(arm_raise=165),
    _both(arm_raise=92, elbow=3),
    _both(arm_raise=130, hip_side=28),
    _both(arm_raise=90, arm_front=85),
    _both(arm_raise=80, arm_front=90) | {"spine_bend": 62, "head_bend": 20},
    {"spine_side": 32, "right_arm_raise": 168, "left_arm_raise": 28, "left_elbow": 80, "head_side": 20},
    {"left_hip_bend": 88, "left_knee": 95, "right_arm_raise": 110, "right_arm_front": 70, "left_arm_raise": 60},
    {"left_hip_side": 58, "spine_side": -24, "right_arm_raise": 80, "left_arm_raise": 95},
    {"left_hip_bend": 98, "left_knee": 12, "spine_bend": 8, "right_arm_raise": 85, "right_arm_front": 80},
    _both(arm_raise=88) | {"left_hip_bend": 78, "left_knee": 82, "right_hip_bend": -22, "right_knee": 30},
    {"left_arm_raise": 70.0, "left_elbow": 135, "left_arm_twist": 50}
    | {"right_arm_raise": 45, "right_elbow": 110, "right_arm_twist": -60},
    _both(arm_raise=90, elbow=90, arm_twist=-70),
    _both(hip_bend=95, knee=115, ankle=25, arm_raise=85, arm_front=80) | {"spine_bend": 28},
)


def vector(pose: Pose) -> np.ndarray:
    """A pose as ``(A,)`` degrees."""
    angles = np.zeros(len(ANGLES))
    for name, value in {**_STANDING, **pose}.items():
        angles[ANGLE[name]] = value
    return angles


def mirrored(angles: np.ndarray) -> np.ndarray:
    """Angles ``(..., A)`` with left and right exchanged."""
    result = np.empty_like(angles)
    for name, number in ANGLE.items():
        origin = ANGLE[other_side(name)]
        sign = -1 if origin == number and name.endswith(("_side", "_twist", "_turn")) else 1
        result[..., number] = sign * angles[..., origin]
    return result


def _eased(keys: np.ndarray, frames: int, seconds_each: float, hold: float, rate: float) -> np.ndarray:
    """Key poses ``(K, A)`` one after the other, each held for a share of its time, with eased changes between: (T, A)."""
    at = np.arange(frames) / rate / seconds_each
    first = np.minimum(at.astype(int), len(keys) - 2)
    share = np.clip((at - first - hold) / (1 - hold), 0, 1)
    share = share**3 * (share * (6 * share - 15) + 10)  # the quintic smooth step: no jump in speed or acceleration
    return keys[first] + share[:, None] * (keys[first + 1] - keys[first])


def _wave(random: Random, frames: int, rate: float, beats: float) -> np.ndarray:
    """A periodic curve (T,) in about [-1, 1] with `beats` periods a second and one overtone."""
    phase = 2 * np.pi * (np.arange(frames) / rate * beats + random.uniform())
    return 0.8 * np.sin(phase) + 0.2 * np.sin(2 * phase + random.uniform(0, 6.28))


def _walk(random: Random, frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps, stride = random.uniform(0.8, 1.15), random.uniform(0.75, 1.3)  # cycles a second, size against a usual step
    phase = 2 * np.pi * (np.arange(frames) / rate * steps + random.uniform())
    angles = np.tile(vector({}), (frames, 1))
    for side, shift in (("left", 0.0), ("right", np.pi)):
        own = phase + shift
        angles[:, ANGLE[f"{side}_hip_bend"]] = stride * (8 + 24 * np.sin(own))
        angles[:, ANGLE[f"{side}_knee"]] = stride * (6 + 50 * np.clip(np.cos(own + 0.35), 0, None) ** 2)
        angles[:, ANGLE[f"{side}_ankle"]] = stride * (2 + 12 * np.sin(own - 0.6))
        swing = stride * random.uniform(18, 30) * np.sin(own + np.pi)
        # The plane of the swing jumps from front to back where the arm hangs; a little outwards all the time hides it.
        forward = 0.5 + 0.5 * np.tanh(swing / 5)
        angles[:, ANGLE[f"{side}_arm_front"]] = -45 + 125 * forward
        angles[:, ANGLE[f"{side}_arm_raise"]] = np.sqrt(swing**2 + 8**2)
        angles[:, ANGLE[f"{side}_elbow"]] = 22 + 0.5 * np.clip(swing, 0, None)
    angles[:, ANGLE["spine_twist"]] = 7 * stride * np.sin(phase + np.pi)
    angles[:, ANGLE["spine_bend"]] = 5
    heading = random.uniform(0, 360)
    curve = random.uniform(-35, 35) * np.arange(frames) / rate
    tilt = np.stack((heading + curve, np.full(frames, 3.0), 2 * np.sin(phase)), axis=1)
    speed = 0.8 * stride * steps * random.choice((0.0, 0.6, 1.0))  # on the spot (a treadmill), slow, or at its pace
    direction = np.deg2rad(tilt[:, 0])
    path = np.cumsum(np.stack((np.sin(direction), 0 * direction, np.cos(direction)), axis=1) * speed / rate, axis=0)
    return angles, tilt, path - path.mean(0)


def _reach(random: Random, frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = []
    for _ in range(2 + int(frames / rate / 0.6)):
        pose: Pose = {"spine_bend": random.uniform(-5, 35), "spine_twist": random.uniform(-30, 30)}
        pose |= {
            "spine_side": random.uniform(-15, 15),
            "head_turn": random.uniform(-40, 40),
            "head_bend": random.uniform(-20, 25),
        }
        for side in ("left", "right"):
            if random.uniform() < 0.7:
                pose[f"{side}_arm_raise"] = random.uniform(30, 165)
                pose[f"{side}_arm_front"] = random.uniform(-20, 110)
                pose[f"{side}_elbow"] = random.uniform(2, 100)
                pose[f"{side}_arm_twist"] = random.uniform(-40, 40)
                pose[f"{side}_wrist"] = random.uniform(-30, 40)
        keys.append(vector(pose))
    angles = _eased(np.array(keys), frames, random.uniform(0.6, 1.0), 0.15, rate)
    tilt = np.zeros((frames, 3))
    tilt[:, 0] = random.uniform(-70, 70) + 12 * _wave(random, frames, rate, 0.3)
    return angles, tilt, np.zeros((frames, 3))


def _turn(random: Random, frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = [
        vector({"left_arm_raise": random.uniform(5, 100), "right_arm_raise": random.uniform(5, 100)}) for _ in range(6)
    ]
    angles = _eased(np.array(keys), frames, max(1.0, frames / rate / 4), 0.3, rate)
    speed = random.uniform(70, 220) * random.choice((-1, 1))
    angles[:, ANGLE["head_turn"]] = np.sign(speed) * 25 * (0.5 + 0.5 * _wave(random, frames, rate, 0.4))
    shuffle = _wave(random, frames, rate, 1.2)
    for side, sign in (("left", 1), ("right", -1)):
        lifted = np.clip(sign * shuffle, 0, None)
        angles[:, ANGLE[f"{side}_knee"]] = 45 * lifted
        angles[:, ANGLE[f"{side}_hip_bend"]] = 28 * lifted
    tilt = np.zeros((frames, 3))
    tilt[:, 0] = random.uniform(0, 360) + speed * np.arange(frames) / rate
    return angles, tilt, np.zeros((frames, 3))


def _dance(random: Random, frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beat = random.uniform(0.7, 1.3)
    angles = np.tile(vector({}), (frames, 1))
    reach = {"arm_raise": (75, 65), "arm_front": (35, 60), "elbow": (60, 50), "arm_twist": (0, 40), "wrist": (0, 30)}
    reach |= {"hip_bend": (18, 16), "knee": (32, 28), "hip_side": (6, 10)}
    for side in ("left", "right"):
        for name, (centre, size) in reach.items():
            slow = random.choice((0.5, 1.0))
            angles[:, ANGLE[f"{side}_{name}"]] = centre + size * _wave(random, frames, rate, beat * slow)
    body = {"spine_bend": 12, "spine_side": 16, "spine_twist": 24, "head_bend": 10, "head_side": 14, "head_turn": 25}
    for name, size in body.items():
        angles[:, ANGLE[name]] = size * _wave(random, frames, rate, beat)
    tilt = np.zeros((frames, 3))
    tilt[:, 0] = random.uniform(-60, 60) + random.uniform(10, 90) * _wave(random, frames, rate, 0.25)
    tilt[:, 2] = 5 * _wave(random, frames, rate, beat)
    path = np.zeros((frames, 3))
    path[:, 0] = 0.25 * _wave(random, frames, rate, beat / 2)
    path[:, 1] = random.choice((0.0, 0.14)) * np.clip(_wave(random, frames, rate, beat), 0, None)
    return angles, tilt, path


def _large_poses(random: Random, frames: int, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = 3 + int(frames / rate / 0.75)
    keys, last = [], -1
    for _ in range(count):
        last = int(random.choice([number for number in range(len(_POSES)) if number != last]))
        angles = vector(_POSES[last]) + random.uniform(-8, 8, len(ANGLES))
        keys.append(mirrored(angles) if random.uniform() < 0.5 else angles)
    angles = _eased(np.array(keys), frames, random.uniform(0.75, 1.1), 0.2, rate)
    tilt = np.zeros((frames, 3))
    yaw = _eased(random.uniform(-55, 55, (count, 1)), frames, 1.0, 0.2, rate)
    tilt[:, 0] = yaw[:, 0] + random.choice((0, 0, 0, 180))
    return angles, tilt, np.zeros((frames, 3))


_KINDS: dict[str, Callable[[Random, int, float], tuple[np.ndarray, np.ndarray, np.ndarray]]] = {
    "walking": _walk,
    "reaching": _reach,
    "turning": _turn,
    "dancing": _dance,
    "large poses": _large_poses,
}
KINDS = tuple(_KINDS)


def choreograph(kind: str, random: Random, frames: int, rate: float) -> Motion:
    """A random movement of one of the `KINDS`, of `frames` frames at `rate` frames a second, within the joint limits.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in _KINDS:
        raise InputError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}")
    angles, tilt, path = _KINDS[kind](random, frames, rate)
    return from_angles(np.clip(angles, LOW, HIGH), tilt, path, kind)
