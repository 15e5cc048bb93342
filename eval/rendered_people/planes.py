"""The two planes of a scene, and where rays meet them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planes:
    """The floor y = 0, and a wall.

    Attributes:
        normal: ``(3,)`` of the wall, level, pointing to the figure.
        away: metres from the world's origin to the wall, against `normal`.
    """

    normal: np.ndarray
    away: float

    def meet(self, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays from the camera first meet a plane.

        Args:
            eye: ``(3,)`` in the world, of the same type as the rays, float32 or float64.
            rays: ``(N, 3)`` directions in the world.

        Returns:
            Points ``(N, 3)`` in the world, very far ones for rays that meet neither, and whether they are on the floor ``(N,)``.
        """
        normal = self.normal.astype(rays.dtype)
        slope = rays @ normal
        to_wall = np.where(slope < -1e-3, -(eye @ normal + rays.dtype.type(self.away)) / np.minimum(slope, -1e-3), 1e4)
        to_floor = np.where(rays[:, 1] < -1e-4, -eye[1] / np.minimum(rays[:, 1], -1e-4), 1e5)
        return eye + rays * np.minimum(to_wall, to_floor)[:, None].astype(rays.dtype), to_floor < to_wall
