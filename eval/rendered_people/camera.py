"""Cameras: where they stand, how they move, and where a point of the world is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from .rotations import rounded, unit
from .skeleton import JOINTS

MOVES = ("static", "static", "static", "follow", "orbit", "handheld", "dolly")
ROAMING = 1.6, 0.7  # metres, of cameras that are far and near; a person who goes further is followed
_UPPER = np.array(["knee" not in name and "ankle" not in name for name in JOINTS])
_HANDS = np.array(["wrist" in name for name in JOINTS])
_FAR_MARGIN = 0.14  # metres of the figure around any joint
_AROUND = {"nose": 0.14, "eye": 0.14, "ear": 0.16, "wrist": 0.19, "ankle": 0.14, "shoulder": 0.1}  # and around each
_MARGINS = np.array([_AROUND.get(name.split("_")[-1], 0.08) for name in JOINTS])
_UPRIGHT = ("ankle", "knee", "hip", "shoulder", "ear")  # from the floor to the head
_FEET, _CROWN = 0.08, 0.14  # metres from the ankles to the soles, and from the ears to the top of the hair


@dataclass(frozen=True)
class Camera:
    """A pinhole camera for every frame.

    Attributes:
        poses: ``(T, 3, 4)`` that take points of the world, in metres, to camera space: x right, y down, z away.
        focal: focal length in pixels.
        size: (h, w) of the picture. The axis goes through its centre, pixel ((w - 1) / 2, (h - 1) / 2).
        move: how it moves, one of `MOVES`.
    """

    poses: np.ndarray
    focal: float
    size: tuple[int, int]
    move: str


def to_camera(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``(..., 3)`` of the world in the camera space of one pose ``(3, 4)``."""
    return points @ pose[:, :3].T + pose[:, 3]


def project(points: np.ndarray, focal: float, size: tuple[int, int]) -> np.ndarray:
    """Pixels ``(..., 2)`` (x, y) where points ``(..., 3)`` of camera space with z > 0 are seen."""
    return focal * points[..., :2] / points[..., 2:] + (np.array((size[1], size[0])) - 1) / 2


def look_at(eye: np.ndarray, target: np.ndarray, roll: np.ndarray | float = 0.0) -> np.ndarray:
    """Poses ``(..., 3, 4)`` of cameras at `eye` that look at `target`, both ``(..., 3)``, tilted by `roll` radians."""
    forward = unit(target - eye)
    right = unit(np.cross(forward, (0.0, 1.0, 0.0)))
    down = np.cross(forward, right)
    cosine, sine = np.cos(np.asarray(roll))[..., None], np.sin(np.asarray(roll))[..., None]
    turn = np.stack((cosine * right + sine * down, cosine * down - sine * right, forward), axis=-2)
    return np.concatenate((turn, -(turn @ eye[..., None])), axis=-1)


def pixel_rays(size: tuple[int, int], focal: float) -> np.ndarray:
    """Directions ``(H, W, 3)`` with z = 1 through the centres of the pixels of a picture of `size` (h, w)."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    return np.stack((x / focal, y / focal, np.ones(x.shape)), axis=-1)


def draw_camera(
    random: np.random.Generator,
    joints: np.ndarray,
    size: tuple[int, int],
    rate: float,
    *,
    near: bool,
    roaming: float,
) -> Camera:
    """A random camera that keeps a moving person in view.

    Args:
        random: where its place and movement come from.
        joints: ``(T, 18, 3)`` in the world.
        size: (h, w) in pixels.
        rate: frames a second.
        near: in front of the person, who fills 0.75 to 0.95 of the picture's height when standing, as people film others and
            themselves. It is further away where outstretched limbs would leave the picture. Seven of ten show the whole
            figure, the others the figure from the hips up, where a hand may leave the picture. Five of six are within
            30 degrees of +z, which people face on average.
        roaming: metres; who goes further is followed, or would be small in the picture.
    """
    frames, time = len(joints), np.arange(len(joints)) / rate
    move = str(random.choice(MOVES))
    focal = min(size) / 2 / np.tan(np.deg2rad(random.uniform(28, 46) / 2))
    half = random.uniform() < (0.3 if near else 0.25)  # from the hips up
    shown = joints[:, _UPPER] if half else joints
    centre = (shown.min((0, 1)) + shown.max((0, 1))) / 2
    trunk = (joints[:, _UPPER] if near else shown).mean(1)
    if move == "follow" or np.ptp(trunk[:, [0, 2]], axis=0).max() > roaming:
        level = centre[1]
        middles = (shown.min(1) + shown.max(1)) / 2  # averaged over about a second, the ends repeated
        move, centre = "follow", uniform_filter1d(middles, 2 * max(1, round(rate) // 2) + 1, axis=0, mode="nearest")
        if near and not half:
            centre[:, 1] = level
    if not near:
        azimuth = random.uniform(-40, 40)
    elif random.uniform() < 5 / 6:
        azimuth = random.uniform(-30, 30)
    else:
        azimuth = random.choice((-1, 1)) * random.uniform(30, 80)
    around = np.full(frames, azimuth)
    if move == "orbit":
        around = around + random.choice((-1, 1)) * random.uniform(8, 22) * (time - time.mean())
    away = outwards(around, random.uniform(-3, 13) if near else random.uniform(-4, 16))
    if near:  # nobody stands in the very middle
        centre = centre + np.array((random.uniform(-0.1, 0.1), random.uniform(-0.04, 0.04), 0.0))
    centre = np.broadcast_to(centre, (frames, 3))
    if near:
        distance = max(
            _height(joints, half) / random.uniform(0.75, 0.95) * focal / size[0],
            _near_distance(_distances(joints, _MARGINS[:, None], 1.0, centre, away, focal, size), half),
        )
    else:
        needed = _distances(shown, _FAR_MARGIN, 0.94, centre, away, focal, size).max()
        distance = float(needed) * random.uniform(1.0, 1.18)
    distances = np.full(frames, distance)
    if move == "dolly" and frames > 1:
        low, high = (0.08, 0.2) if near else (0.1, 0.3)
        distances *= 1 + random.uniform(low, high) * (0.5 - 0.5 * np.cos(np.pi * time / time[-1]))
    if not near:
        distances = np.maximum(distances, 1.6)
    shake = swaying(random, time) if move == "handheld" else np.zeros((frames, 3))
    eye = centre + away * distances[:, None] + shake
    eye[:, 1] = np.maximum(eye[:, 1], 0.25)
    poses = look_at(eye, centre + 0.5 * shake, shake[:, 2] * 0.6)
    return Camera(rounded(poses), float(np.round(focal, 3)), size, move)


def _height(joints: np.ndarray, half: bool) -> float:
    """Metres from the soles, or the hips, to the hair of a person who stands upright, from joints ``(T, 18, 3)``."""
    names = _UPRIGHT[2:] if half else _UPRIGHT
    chain = [joints[0, JOINTS.index(f"left_{name}")] for name in names]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum()) + _CROWN + (0 if half else _FEET)


def _distances(
    points: np.ndarray,
    margins: np.ndarray | float,
    share: float,
    centre: np.ndarray,
    away: np.ndarray,
    focal: float,
    size: tuple[int, int],
) -> np.ndarray:
    """How far from the centre ``(T, 3)`` a camera must be so that a point is in that share of the picture, ``(T, P)``.

    Args:
        points: ``(T, P, 3)``.
        margins: metres of the figure around them.
        share: of half the picture.
        centre, away, focal, size: of the camera; see `draw_camera`.
    """
    poses = look_at(centre + away, centre)
    seen = np.einsum("tab,tpb->tpa", poses[..., :3], points) + poses[:, None, :, 3]  # from 1 metre away
    limit = np.array((size[1], size[0])) / 2 * share / focal
    return ((np.abs(seen[..., :2]) + margins) / limit).max(-1) - (seen[..., 2] - 1)


def _near_distance(needed: np.ndarray, half: bool) -> float:
    """Of the distances ``(T, 18)`` that joints need; of a half figure, hands are in the picture in three of four frames."""
    if not half:
        return float(np.quantile(needed.max(1), 0.95))
    return float(max(needed[:, _UPPER & ~_HANDS].max(), np.quantile(needed[:, _HANDS], 0.75)))


def outwards(azimuth: np.ndarray, height: float) -> np.ndarray:
    """Unit vectors ``(T, 3)`` from a person to a camera: degrees ``(T,)`` from +z towards +x, and above level."""
    around, up = np.deg2rad(azimuth), np.deg2rad(height)
    return np.stack((np.sin(around) * np.cos(up), np.full(len(around), np.sin(up)), np.cos(around) * np.cos(up)), 1)


def swaying(random: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Offsets ``(T, 3)`` in metres of a camera that is held by hand, at moments ``(T,)`` in seconds."""
    sway = np.zeros((len(time), 3))
    for k in range(3):
        sway[:, k] = sum(0.02 / f * np.sin(2 * np.pi * f * time + random.uniform(0, 6.28)) for f in (0.4, 0.9, 1.7))
    return sway
