"""Rotations as matrices ``(..., 3, 3)`` that act on column vectors, and the rounding that makes figures repeatable."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

_GRID = 2.0**20


def rounded(values: np.ndarray) -> np.ndarray:
    """Values to the nearest multiple of 2^-20.

    sin, cos and matrix products differ in their last bits between processors. Whatever is stored goes through here
    first, so that these differences do not reach the annotations (but for ties, about one in 10^9 values).
    """
    return np.round(np.asarray(values, np.float64) * _GRID) / _GRID


def turn(axis: str, degrees: np.ndarray | float) -> np.ndarray:
    """Rotations about one of the axes "x", "y" and "z" by angles ``(...)`` in degrees; right-handed, ``(..., 3, 3)``."""
    about = np.asarray(degrees, np.float64)[..., None] * np.eye(3)["xyz".index(axis)]
    return Rotation.from_rotvec(about, degrees=True).as_matrix()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors ``(..., 3)`` at length 1; a vector of length 0 stays what it is."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-12, length, 1)


def between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations that take unit vectors `start` to `end`, both ``(..., 3)``: ``(..., 3, 3)``.

    Where the vectors are opposite, any half turn would do: the one about an axis across is taken.
    """
    start, end = np.broadcast_arrays(np.asarray(start, np.float64), np.asarray(end, np.float64))
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    across = unit(np.cross(start, np.eye(3)[np.abs(start).argmin(-1)]))
    axis = np.where(sine > 1e-9, axis / np.maximum(sine, 1e-9), across)
    return Rotation.from_rotvec(axis * np.arctan2(sine, (start * end).sum(-1, keepdims=True))).as_matrix()


def frame_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rotations whose second column points along `y` and whose first one is as near to `x` as possible, ``(..., 3, 3)``."""
    y = unit(y)
    x = unit(x - (x * y).sum(-1, keepdims=True) * y)
    return np.stack((x, y, np.cross(x, y)), axis=-1)
