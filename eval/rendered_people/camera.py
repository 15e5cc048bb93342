"""Cameras: where they stand, how they move, and where a point of the world is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rotations import rounded, unit

_UPPER = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 14, 15, 16, 17]  # joints from the hips up
MOVES = ("static", "static", "static", "follow", "orbit", "handheld", "dolly")
ROAMING = 1.6  # metres; a person who goes further is followed


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


def draw_camera(
    random: np.random.Generator, joints: np.ndarray, size: tuple[int, int], rate: float, roaming: float = ROAMING
) -> Camera:
    """A random camera that keeps a moving person in view.

    Args:
        random: where its place and movement come from.
        joints: ``(T, 18, 3)`` in the world.
        size: (h, w) in pixels.
        rate: frames a second.
        roaming: metres; who goes further is followed, or would be small in the picture.
    """
    frames = len(joints)
    move = str(random.choice(MOVES))
    view = random.uniform(28, 46)  # degrees, of the shorter side
    focal = min(size) / 2 / np.tan(np.deg2rad(view / 2))
    close = random.uniform() < 0.25  # from the hips up
    shown = joints[:, _UPPER] if close else joints
    centre = (shown.min((0, 1)) + shown.max((0, 1))) / 2
    if move == "follow" or np.ptp(shown.mean(1)[:, [0, 2]], axis=0).max() > roaming:
        move, centre = "follow", smoothed((shown.min(1) + shown.max(1)) / 2, round(rate))
    centre = np.broadcast_to(centre, (frames, 3))
    time = np.arange(frames) / rate
    azimuth = np.full(frames, random.uniform(-40, 40))
    if move == "orbit":
        azimuth = orbiting(random, azimuth, time)
    away = outwards(azimuth, random.uniform(-4, 16))
    distance = _distance(shown, centre, away, focal, size) * random.uniform(1.0, 1.18)
    if move == "dolly":
        distance = distance * (
            1 + random.uniform(0.1, 0.3) * (0.5 - 0.5 * np.cos(np.pi * time / time[-1])) if frames > 1 else 1
        )
    distance = np.maximum(distance, 1.6)
    shake = swaying(random, time) if move == "handheld" else np.zeros((frames, 3))
    eye = centre + away * np.asarray(distance)[..., None] + shake
    eye[:, 1] = np.maximum(eye[:, 1], 0.25)
    roll = shake[:, 2] * 0.6
    return Camera(rounded(look_at(eye, centre + 0.5 * shake, roll)), float(np.round(focal, 3)), size, move)


def _distance(points: np.ndarray, centre: np.ndarray, away: np.ndarray, focal: float, size: tuple[int, int]) -> float:
    """How far from the centre a camera must be so that all points (T, P, 3), with some space around, are in the picture."""
    poses = look_at(centre + away, centre)
    seen = np.einsum("tab,tpb->tpa", poses[..., :3], points) + poses[:, None, :, 3]  # from 1 metre away
    limit = np.array((size[1], size[0])) / 2 * 0.94 / focal
    needed = (np.abs(seen[..., :2]) + 0.14) / limit - (seen[..., 2:] - 1)
    return float(needed.max())


def orbiting(random: np.random.Generator, azimuth: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Directions ``(T,)`` in degrees that go around at a constant speed, at moments ``(T,)`` in seconds."""
    return azimuth + random.choice((-1, 1)) * random.uniform(8, 22) * (time - time.mean())


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


def smoothed(path: np.ndarray, width: int) -> np.ndarray:
    """A path (T, 3) averaged over a window of about `width` frames, its ends repeated."""
    half = max(1, width // 2)
    padded = np.concatenate((np.repeat(path[:1], half, 0), path, np.repeat(path[-1:], half, 0)))
    sums = np.cumsum(np.concatenate((np.zeros((1, 3)), padded)), axis=0)
    window = 2 * half + 1
    return (sums[window:] - sums[:-window]) / window
