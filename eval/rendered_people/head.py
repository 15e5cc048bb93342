"""Heads: skull, face and hair. Sizes are shares of the body's height, from the head's joint (the top of the neck)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .outfit import Outfit, Shape
from .patterns import noise
from .shapes import Mesh, along, ball, loft, smooth
from .skeleton import BONE

SEGMENTS, _RINGS = 28, 22
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


def skull_rings() -> tuple[np.ndarray, np.ndarray]:
    """Centres (R, 3) and half-axes (R, 2) from the top down, in heights, against the head's joint."""
    share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, _RINGS))  # dense at the poles, where the outline bends
    share = 0.5 * share + 0.5 * np.linspace(0, 1, _RINGS)
    y = TOP + share * (BOTTOM - TOP)
    half = np.stack([np.interp(y, _SKULL[:, 0], _SKULL[:, k]) for k in (1, 2)], axis=1)
    return np.stack((0 * y, y, np.interp(y, _SKULL[:, 0], _SKULL[:, 3])), axis=1), half


def head_meshes(shape: Shape, outfit: Outfit, heads: np.ndarray) -> list[Mesh]:
    """Skull with a face, ears, neck, and glasses where the outfit has them."""
    size, joint = shape.height * shape.head, heads[BONE["head"]]
    centres, half = skull_rings()
    skull = _around_skull(joint, size, centres, half, "head", _nose(centres))
    # v is the height, so that painting does not depend on where the rings are
    skull.uvs[:, 1] = np.repeat((TOP - centres[:, 1]) / (TOP - BOTTOM), SEGMENTS + 1)
    radii = (0.006 * size, 0.0145 * size, 0.009 * size)
    ears = [ball(joint + FACE_POINTS[k] * size, radii, "head", segments=8, tile="ear") for k in (3, 4)]
    y = np.linspace(heads[BONE["head"]][1] + 0.02 * size, heads[BONE["neck"]][1] - 0.02 * size, 6)
    width = np.interp(y, (y[-1], y[2], y[0]), (0.036, 0.029, 0.03)) * size * (0.7 + 0.3 * shape.girth)
    neck = loft(np.stack((0 * y, y, 0 * y - 0.006 * size), 1), np.stack((width, width), 1), "neck", tile="neck")
    weights = along(neck.vertices[:, 1], ("chest", "neck", "head"), (heads[BONE["neck"]][1], joint[1]), 0.05)
    neck = replace(neck, weights=weights)
    return [skull, *ears, neck, *(_glasses(joint, size) if outfit.glasses else [])]


def _around_skull(
    joint: np.ndarray, size: float, centres: np.ndarray, half: np.ndarray, tile: str, push: np.ndarray
) -> Mesh:
    """The rings of `skull_rings`, with vertices pushed outwards ``(R, S + 1)``; all in heights."""
    return loft(
        joint + centres * size, half * size, "head", segments=SEGMENTS, squareness=0.94, tile=tile, push=push * size
    )


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
    angle, radius = 2 * np.pi * np.arange(13) / 12, np.full((13, 2), 0.0016 * size)
    for side in (-1, 1):
        depth = 0.0545 - 0.006 * np.abs(np.cos(angle) * side + 1) / 2
        ring = np.stack((side * 0.019 + 0.013 * np.cos(angle), 0.042 + 0.0105 * np.sin(angle), depth), 1)
        outwards = np.full(3, side * 0.037) + np.array((-0.004, 0.003, 0.006)) * side
        temple = np.stack((outwards, (0.044, 0.044, 0.042), (0.05, 0.025, -0.004)), 1)
        for line, across, deep in ((ring, (0, 0, 1), (0, 0.7, 0.7)), (temple, (1, 0, 0), (0, 1, 0))):
            wire = radius[: len(line)]
            meshes.append(loft(joint + line * size, wire, "head", across=across, deep=deep, segments=5, tile="frame"))
    return meshes


_HALF_WIDTH = 0.0425  # of the skull where the eyes are, in body heights


def paint_face(u: np.ndarray, v: np.ndarray, outfit: Outfit) -> np.ndarray:
    """The tile ``(h, w, 3)`` in [0, 1]: u 0.25 is in front, v goes from the top of the skull to the chin."""
    angle = (u - 0.25) * 2 * np.pi
    x = np.sin(angle) * _HALF_WIDTH + (np.abs(angle) > np.pi / 2) * 10  # body heights; the back of the head is far away
    y = TOP + v * (BOTTOM - TOP)
    side = np.abs(x)
    skin, hair = np.array(outfit.skin), np.array(outfit.hair)
    color = skin * (0.97 + 0.05 * noise(u.shape, 3, 5))[..., None]

    def lay(where: np.ndarray, paint: np.ndarray | tuple[float, float, float], share: float = 1.0) -> None:
        nonlocal color
        amount = (np.clip(where, 0, 1) * share)[..., None]
        color = color * (1 - amount) + np.asarray(paint) * amount

    def blob(x0: float, y0: float, width: float, height: float, edge: float = 0.25) -> np.ndarray:
        radius = np.hypot((side - x0) / width, (y - y0) / height)
        return 1 - smooth(radius, 1 - edge, 1 + edge)

    scalp = smooth(y, 0.085, 0.095) * (outfit.hair_style != "buzz") + 0.0
    lay(scalp, hair * 0.8)
    lay(blob(0.027, 0.022, 0.010, 0.008, 0.9), skin * (1.02, 0.78, 0.74), 0.45)  # cheeks
    lay(blob(0.0165, 0.043, 0.0125, 0.0085, 0.5), skin * 0.72, 0.75)  # eye sockets
    if outfit.beard:
        jaw = smooth(-y, -0.022, -0.006) * (side < 1) * (1 - smooth(side, 0.040, 0.0425))
        lay(jaw, hair * 0.9 + skin * 0.08, 0.85)
        lay(blob(0.0, 0.0165, 0.016, 0.0035), hair * 0.9, 0.85)
    lay(blob(0.0165, 0.0425, 0.0085, 0.0048), (0.95, 0.94, 0.92))
    lay(blob(0.0165, 0.0425, 0.0043, 0.0048), (0.16, 0.1, 0.07))
    lay(blob(0.0165, 0.0475, 0.0095, 0.0014, 0.5), (0.08, 0.05, 0.04), 0.9)  # lid and lashes
    lay(blob(0.0175, 0.0555, 0.0115, 0.0022, 0.4), hair * 0.7, 0.9)  # brows
    lay(blob(0.0, 0.0205, 0.009, 0.003, 0.6), skin * 0.68, 0.75)  # below the nose
    lips = skin * (0.9, 0.58, 0.56)
    lay(blob(0.0, 0.0065, 0.0145, 0.0042, 0.3), lips)
    lay(blob(0.0, 0.0067, 0.0135, 0.0009, 0.5), lips * 0.5)
    lay(smooth(-y, 0.008, 0.016), skin * 0.78, 0.6)  # under the chin
    return color


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
        radii = (0.023 * size, 0.021 * size, 0.021 * size)
        meshes.append(ball(joint + np.array((0, 0.108, -0.05)) * size, radii, "head", tile="hair"))
    if outfit.hair_style == "ponytail":
        meshes.append(_tail(joint, size, heads, half=(0.014, 0.013), top=0.075, bottom=-0.075, behind=-0.072))
    if outfit.hair_style == "long":
        meshes.append(_tail(joint, size, heads, half=(0.046, 0.017), top=0.06, bottom=-0.105, behind=-0.046))
    return meshes


def _cap(joint: np.ndarray, size: float, thick: float, front: float, temple: float, ear: float, nape: float) -> Mesh:
    """A shell over the skull that dives under the skin outside of the hairline."""
    centres, half = skull_rings()
    y = centres[:, 1]  # a view
    if nape < 0:  # hair that is longer than the skull goes down straight
        y[:] = np.where(y < 0.05, 0.05 + (y - 0.05) * (0.05 - nape) / 0.066, y)
        low = y < 0.05
        half[low] = np.maximum(half[low], (0.043, 0.05))
        centres[low, 2] = np.maximum(-0.003, -0.001 + 0.2 * (y[low] - 0.05))
    y += (thick + 0.002) * smooth(y, 0.06, 0.12)  # rings are pushed outwards only; the crown goes up
    theta = 2 * np.pi * np.arange(SEGMENTS + 1) / SEGMENTS
    line = _line(theta, front, temple, ear, nape)
    inside = smooth(y[:, None], line[None] - 0.004, line[None] + 0.009)
    rough = 1 + 0.12 * np.cos(7 * theta)[None] * np.cos(90 * y)[:, None]
    dive = 0.012 * (1 - smooth(y[:, None], line[None] - 0.02, line[None] - 0.004))
    return _around_skull(joint, size, centres, half, "hair", inside * (thick * rough + 0.004) - 0.004 - dive)


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
    return replace(mesh, weights=weights)
