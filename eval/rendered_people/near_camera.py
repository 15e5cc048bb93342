"""Cameras so near that a person fills the picture, as people film others and themselves."""

from __future__ import annotations

import numpy as np

from .camera import MOVES, Camera, look_at, orbiting, outwards, smoothed, swaying
from .rotations import rounded
from .skeleton import JOINTS

ROAMING = 0.7  # metres; a person who goes further is followed
_UPRIGHT = ("ankle", "knee", "hip", "shoulder", "ear")  # from the floor to the head
_FEET, _CROWN = 0.08, 0.14  # metres from the ankles to the soles, and from the ears to the top of the hair
# Metres of the figure around a joint.
_AROUND = {"nose": 0.14, "eye": 0.14, "ear": 0.16, "wrist": 0.19, "ankle": 0.14, "shoulder": 0.1}
_MARGINS = np.array([_AROUND.get(name.split("_")[-1], 0.08) for name in JOINTS])
_HALF = 0.3  # share of framings from the hips up
_UPPER = np.array(["knee" not in name and "ankle" not in name for name in JOINTS])
_HANDS = np.array(["wrist" in name for name in JOINTS])


def draw_near_camera(
    random: np.random.Generator, joints: np.ndarray, size: tuple[int, int], rate: float, roaming: float = ROAMING
) -> Camera:
    """A random camera in front of a person, who fills 0.75 to 0.95 of the picture's height when standing.

    It is further away where outstretched limbs would leave the picture. Seven of ten show the whole figure, the others the
    figure from the hips up, where a hand may leave the picture. Five of six are within 30 degrees of the direction +z,
    which people face on average.

    Args:
        random, joints, size, rate, roaming: see `camera.draw_camera`.
    """
    frames, time = len(joints), np.arange(len(joints)) / rate
    move = str(random.choice(MOVES))
    focal = min(size) / 2 / np.tan(np.deg2rad(random.uniform(28, 46) / 2))
    half = random.uniform() < _HALF
    shown = joints[:, _UPPER] if half else joints
    middle = (shown.min(1) + shown.max(1)) / 2  # (T, 3)
    centre = (shown.min((0, 1)) + shown.max((0, 1))) / 2
    if move == "follow" or np.ptp(joints[:, _UPPER].mean(1)[:, [0, 2]], axis=0).max() > roaming:
        move, path = "follow", smoothed(middle, round(rate))
        centre = path if half else np.stack((path[:, 0], np.full(frames, centre[1]), path[:, 2]), axis=1)
    aside = random.uniform(-30, 30) if random.uniform() < 5 / 6 else random.choice((-1, 1)) * random.uniform(30, 80)
    around = np.full(frames, aside)
    if move == "orbit":
        around = orbiting(random, around, time)
    away = outwards(around, random.uniform(-3, 13))
    off = np.array((random.uniform(-0.1, 0.1), random.uniform(-0.04, 0.04), 0.0))  # nobody stands in the very middle
    centre = np.broadcast_to(centre + off, (frames, 3))
    filled = _height(joints, half) / random.uniform(0.75, 0.95)
    distance = np.full(frames, max(filled * focal / size[0], _distance(joints, half, centre, away, focal, size)))
    if move == "dolly" and frames > 1:
        distance = distance * (1 + random.uniform(0.08, 0.2) * (0.5 - 0.5 * np.cos(np.pi * time / time[-1])))
    shake = swaying(random, time) if move == "handheld" else np.zeros((frames, 3))
    eye = centre + away * distance[:, None] + shake
    eye[:, 1] = np.maximum(eye[:, 1], 0.25)
    poses = look_at(eye, centre + 0.5 * shake, shake[:, 2] * 0.6)
    return Camera(rounded(poses), float(np.round(focal, 3)), size, move)


def _height(joints: np.ndarray, half: bool) -> float:
    """Metres from the soles, or the hips, to the hair of a person who stands upright, from joints ``(T, 18, 3)``."""
    names = _UPRIGHT[2:] if half else _UPRIGHT
    chain = [joints[0, JOINTS.index(f"left_{name}")] for name in names]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum()) + _CROWN + (0 if half else _FEET)


def _distance(
    joints: np.ndarray, half: bool, centre: np.ndarray, away: np.ndarray, focal: float, size: tuple[int, int]
) -> float:
    """The distance from the centre ``(T, 3)`` at which joints and what is around them are in the picture.

    Of a half figure, hands are in it in three of four frames.
    """
    poses = look_at(centre + away, centre)
    seen = np.einsum("tab,tpb->tpa", poses[..., :3], joints) + poses[:, None, :, 3]  # (T, 18, 3) from 1 metre away
    limit = np.array((size[1], size[0])) / 2 / focal
    needed = ((np.abs(seen[..., :2]) + _MARGINS[:, None]) / limit).max(-1) - (seen[..., 2] - 1)  # (T, 18)
    if not half:
        return float(np.quantile(needed.max(1), 0.95))
    trunk = needed[:, _UPPER & ~_HANDS].max()
    return float(max(trunk, np.quantile(needed[:, _HANDS], 0.75)))
