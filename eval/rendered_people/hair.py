"""Hair styles, as surfaces around the skull. Sizes are shares of the body's height, from the head's joint."""

from __future__ import annotations

import numpy as np

from .head import SEGMENTS, skull_rings
from .outfit import Outfit, Shape
from .shapes import Mesh, along, ball, loft, smooth, weighted
from .skeleton import BONE

# How thick it is, how low the hairline is in front, at the temples, behind the ears, and in the neck.
_STYLES = {
    "buzz": (0.0015, 0.088, 0.070, 0.030, 0.016),
    "short": (0.009, 0.086, 0.062, 0.026, 0.008),
    "parted": (0.013, 0.080, 0.058, 0.020, 0.000),
    "bob": (0.014, 0.070, 0.022, -0.016, -0.026),
    "long": (0.011, 0.082, 0.040, -0.012, -0.030),
    "bun": (0.006, 0.088, 0.066, 0.024, 0.006),
    "ponytail": (0.006, 0.088, 0.066, 0.024, 0.006),
    "curly": (0.026, 0.080, 0.044, 0.010, -0.008),
}


def hair_meshes(shape: Shape, outfit: Outfit, heads: np.ndarray) -> list[Mesh]:
    """The hair of one person; all of it on the tile "hair"."""
    size, joint = shape.height * shape.head, heads[BONE["head"]]
    meshes = [_cap(joint, size, *_STYLES[outfit.hair_style])]
    if outfit.hair_style == "bun":
        meshes.append(
            ball(
                joint + np.array((0, 0.108, -0.05)) * size,
                (0.023 * size, 0.021 * size, 0.021 * size),
                "head",
                tile="hair",
            )
        )
    if outfit.hair_style == "ponytail":
        meshes.append(_tail(joint, size, heads, half=(0.014, 0.013), top=0.075, bottom=-0.075, behind=-0.072))
    if outfit.hair_style == "long":
        meshes.append(_tail(joint, size, heads, half=(0.046, 0.017), top=0.06, bottom=-0.105, behind=-0.046))
    return meshes


def _cap(joint: np.ndarray, size: float, thick: float, front: float, temple: float, ear: float, nape: float) -> Mesh:
    """A shell over the skull that dives under the skin outside of the hairline."""
    centres, half = skull_rings(22)
    if nape < 0:  # hair that is longer than the skull goes down straight
        centres[:, 1] = np.where(
            centres[:, 1] < 0.05, 0.05 + (centres[:, 1] - 0.05) * (0.05 - nape) / 0.066, centres[:, 1]
        )
        low = centres[:, 1] < 0.05
        half[low] = np.maximum(half[low], (0.043, 0.05))
        centres[low, 2] = np.maximum(-0.003, -0.001 + 0.2 * (centres[low, 1] - 0.05))
    centres[:, 1] += (thick + 0.002) * smooth(
        centres[:, 1], 0.06, 0.12
    )  # rings are pushed outwards only; the crown goes up
    theta = 2 * np.pi * np.arange(SEGMENTS + 1) / SEGMENTS
    line = _line(theta, front, temple, ear, nape)
    inside = smooth(centres[:, 1][:, None], line[None] - 0.004, line[None] + 0.009)
    rough = 1 + 0.12 * np.cos(7 * theta)[None] * np.cos(90 * centres[:, 1])[:, None]
    push = (
        inside * (thick * rough + 0.004)
        - 0.004
        - 0.012 * (1 - smooth(centres[:, 1][:, None], line[None] - 0.02, line[None] - 0.004))
    )
    return loft(
        joint + centres * size, half * size, "head", segments=SEGMENTS, squareness=0.94, tile="hair", push=push * size
    )


def _line(theta: np.ndarray, front: float, temple: float, ear: float, nape: float) -> np.ndarray:
    turned = np.abs((theta - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi)  # 0 in front .. pi behind
    return np.interp(turned, (0, 0.55, 1.0, 1.45, 1.75, np.pi), (front, front - 0.004, temple, ear + 0.014, ear, nape))


def hairline(theta: np.ndarray, style: str) -> np.ndarray:
    """Height of the hairline of a style above the head's joint, in body heights, by angle (pi / 2 is in front)."""
    return _line(theta, *_STYLES[style][1:])


def _tail(
    joint: np.ndarray,
    size: float,
    heads: np.ndarray,
    *,
    half: tuple[float, float],
    top: float,
    bottom: float,
    behind: float,
) -> Mesh:
    """Hair that hangs down the back; below the neck the chest carries half of it."""
    y = np.linspace(top, bottom, 12)
    share = (top - y) / (top - bottom)
    width = np.interp(share, (0, 0.08, 0.5, 0.85, 1), (0.3, 0.85, 1, 0.8, 0.1))
    z = behind + 0.012 * np.sin(np.pi * share) * (half[0] > 0.03) - 0.006 * share
    centres = joint + np.stack((0 * y, y, z), 1) * size
    mesh = loft(centres, width[:, None] * np.array(half) * size, "head", segments=14, tile="hair")
    up = mesh.vertices[:, 1]
    weights = along(up, ("chest", "head"), (heads[BONE["neck"]][1] - 0.02,), 0.22)
    return weighted(mesh, weights)
