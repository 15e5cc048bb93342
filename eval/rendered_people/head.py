"""Heads: skull, nose and ears. Sizes are shares of the body's height, from the top of the neck."""

from __future__ import annotations

import numpy as np

from .outfit import Outfit, Shape
from .shapes import Mesh, along, ball, loft, weighted
from .skeleton import BONE

SEGMENTS, RINGS = 28, 22
# Height above the head's joint, half-width, half-depth, and shift forwards.
_SKULL = np.array(
    [
        (-0.020, 0.004, 0.004, 0.026),
        (-0.018, 0.016, 0.015, 0.024),
        (-0.010, 0.026, 0.030, 0.016),
        (0.005, 0.034, 0.043, 0.008),
        (0.025, 0.0395, 0.051, 0.002),
        (0.050, 0.0425, 0.055, -0.001),
        (0.075, 0.0425, 0.056, -0.002),
        (0.095, 0.038, 0.050, -0.003),
        (0.110, 0.028, 0.038, -0.004),
        (0.118, 0.016, 0.022, -0.004),
        (0.121, 0.003, 0.004, -0.004),
    ]
)
# nose, right eye, left eye, right ear, left ear; against the head's joint, in heights
FACE_POINTS = np.array(
    [
        (0.0, 0.028, 0.062),
        (-0.0165, 0.043, 0.05),
        (0.0165, 0.043, 0.05),
        (-0.0435, 0.035, -0.004),
        (0.0435, 0.035, -0.004),
    ]
)
BOTTOM, TOP = _SKULL[0, 0], _SKULL[-1, 0]


def skull_rings(rings: int = RINGS) -> tuple[np.ndarray, np.ndarray]:
    """Centres (R, 3) and half-axes (R, 2) from the top down, in heights, against the head's joint."""
    share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, rings))  # dense at the poles, where the outline bends
    share = 0.5 * share + 0.5 * np.linspace(0, 1, rings)
    y = TOP + share * (BOTTOM - TOP)
    half = np.stack([np.interp(y, _SKULL[:, 0], _SKULL[:, k]) for k in (1, 2)], axis=1)
    return np.stack((0 * y, y, np.interp(y, _SKULL[:, 0], _SKULL[:, 3])), axis=1), half


def head_meshes(shape: Shape, outfit: Outfit, heads: np.ndarray) -> list[Mesh]:
    """Skull with a face, ears, neck, and glasses where the outfit has them."""
    size, joint = shape.height * shape.head, heads[BONE["head"]]
    centres, half = skull_rings()
    skull = loft(
        joint + centres * size,
        half * size,
        "head",
        segments=SEGMENTS,
        squareness=0.94,
        tile="head",
        push=_nose(centres) * size,
    )
    # v is the height, so that painting does not depend on where the rings are
    skull.uvs[:, 1] = np.repeat((TOP - centres[:, 1]) / (TOP - BOTTOM), SEGMENTS + 1)
    ears = [
        ball(joint + FACE_POINTS[k] * size, (0.006 * size, 0.0145 * size, 0.009 * size), "head", segments=8, tile="ear")
        for k in (3, 4)
    ]
    y = np.linspace(heads[BONE["head"]][1] + 0.02 * size, heads[BONE["neck"]][1] - 0.02 * size, 6)
    width = np.interp(y, (y[-1], y[2], y[0]), (0.036, 0.029, 0.03)) * size * (0.7 + 0.3 * shape.girth)
    neck = loft(np.stack((0 * y, y, 0 * y - 0.006 * size), 1), np.stack((width, width), 1), "neck", tile="neck")
    neck = weighted(
        neck, along(neck.vertices[:, 1], ("chest", "neck", "head"), (heads[BONE["neck"]][1], joint[1]), 0.05)
    )
    return [skull, *ears, neck, *(_glasses(joint, size) if outfit.glasses else [])]


def _nose(centres: np.ndarray) -> np.ndarray:
    """How far the face stands out, (R, S + 1), in heights: nose, brows and chin."""
    theta = 2 * np.pi * (np.arange(SEGMENTS + 1) / SEGMENTS - 0.25)
    theta = np.where(theta > np.pi, theta - 2 * np.pi, theta)[None]
    y = centres[:, 1][:, None]
    ridge = np.interp(y, (0.014, 0.02, 0.028, 0.048, 0.054), (0, 0.010, 0.0125, 0.003, 0))
    nose = ridge * np.exp(-((theta / 0.17) ** 2))
    sockets = -0.0035 * np.exp(-(((np.abs(theta) - 0.36) / 0.2) ** 2) - ((y - 0.041) / 0.008) ** 2)
    mouth = 0.002 * np.exp(-((theta / 0.3) ** 2) - ((y - 0.004) / 0.006) ** 2)
    return nose + sockets + mouth


def _glasses(joint: np.ndarray, size: float) -> list[Mesh]:
    meshes = []
    for side in (-1, 1):
        angle = 2 * np.pi * np.arange(13) / 12
        ring = np.stack(
            (
                side * 0.019 + 0.013 * np.cos(angle),
                0.042 + 0.0105 * np.sin(angle),
                0.0545 - 0.006 * np.abs(np.cos(angle) * side + 1) / 2,
            ),
            1,
        )
        radius = np.full((13, 2), 0.0016 * size)
        meshes.append(
            loft(joint + ring * size, radius, "head", across=(0, 0, 1), deep=(0, 0.7, 0.7), segments=5, tile="frame")
        )
        temple = np.stack(
            (
                np.full(3, side * 0.037) + np.array((-0.004, 0.003, 0.006)) * side,
                np.array((0.044, 0.044, 0.042)),
                np.array((0.05, 0.025, -0.004)),
            ),
            1,
        )
        meshes.append(
            loft(joint + temple * size, radius[:3], "head", across=(1, 0, 0), deep=(0, 1, 0), segments=5, tile="frame")
        )
    return meshes
