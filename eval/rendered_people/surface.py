"""Points on the faces of a surface in camera space."""

from __future__ import annotations

import numpy as np


def pixel_rays(size: tuple[int, int], focal: float) -> np.ndarray:
    """Directions ``(H, W, 3)`` with z = 1 through the centres of the pixels of a picture of `size` (h, w)."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    return np.stack((x / focal, y / focal, np.ones(x.shape)), axis=-1)


def on_faces(vertices: np.ndarray, faces: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays meet the planes of faces.

    The point z d of a ray d is the sum of b_k v_k over the corners, with the b_k adding up to 1; so b is z M^-1 d with the
    corners as the columns of M, solved by Cramer's rule.

    Args:
        vertices: ``(V, 3)`` in camera space.
        faces: ``(N, 3)`` vertices of one face for each ray.
        rays: ``(N, 3)`` with z = 1.

    Returns:
        Barycentric coordinates ``(N, 3)`` and depths z ``(N,)``; NaN where a ray is in the plane of its face.
    """
    corners = vertices[faces]  # (N, 3 corners, 3)
    across = np.cross(corners[:, [1, 2, 0]], corners[:, [2, 0, 1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = (corners[:, 0] * across[:, 0]).sum(-1)
        shares = (across * rays[:, None]).sum(-1) / volume[:, None]
        depth = 1 / shares.sum(-1)
        return shares * depth[:, None], depth


def facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Whether faces ``(N, 3)`` of `vertices` ``(V, 3)``, in camera space, show their outside to the camera: ``(N,)`` bool."""
    first, second, third = (vertices[faces[:, k]] for k in range(3))
    return (np.cross(second - first, third - first) * first).sum(-1) < 0
