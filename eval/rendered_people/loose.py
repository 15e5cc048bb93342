"""Cloth that stands off the body: outlines from which it hangs, surfaces around both legs, and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Mesh, smooth, vertex_normals
from .skeleton import BONE, BONES

_DIRECTIONS = 48
_REACH = 0.045  # metres: the body this far above and below a height counts there


@dataclass(frozen=True)
class Drape:
    """Where cloth hangs around trunk and legs.

    Attributes:
        heights: ``(R,)`` metres, from top to bottom.
        radii: ``(R, 48)`` metres from the axis, by turn: 0 is at +x (the left), a quarter in front.
        depth: z of the axis, which is at x = 0.
    """

    heights: np.ndarray
    radii: np.ndarray
    depth: float

    def turn(self, points: np.ndarray) -> np.ndarray:
        """The turn ``(N,)`` in [0, 1) of points ``(N, 3)``."""
        return np.arctan2(points[:, 2] - self.depth, points[:, 0]) / (2 * np.pi) % 1

    def radius(self, height: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Bilinear; arguments and result of one shape."""
        down = (self.heights[0] - height) / (self.heights[0] - self.heights[-1]) * (len(self.heights) - 1)
        down = np.clip(down, 0, len(self.heights) - 1.001)
        around = turn % 1 * _DIRECTIONS
        row, column = down.astype(int), around.astype(int) % _DIRECTIONS
        beside, right, below = (column + 1) % _DIRECTIONS, around % 1, down - row
        upper = self.radii[row, column] * (1 - right) + self.radii[row, beside] * right
        lower = self.radii[row + 1, column] * (1 - right) + self.radii[row + 1, beside] * right
        return upper * (1 - below) + lower * below

    def place(self, height: np.ndarray, turn: np.ndarray, more: np.ndarray | float) -> np.ndarray:
        """Points ``(..., 3)`` on the surface, `more` metres further out."""
        far, angle = self.radius(height, turn) + more, 2 * np.pi * turn
        return np.stack((far * np.cos(angle), height + 0 * far, self.depth + far * np.sin(angle)), -1)


def drape_around(points: np.ndarray, top: float, bottom: float, depth: float, slack: float) -> Drape:
    """Cloth around a body's points ``(N, 3)``: convex at every height, and no steeper inwards than `slack` going down.

    The outline is that of tangents in 48 directions and not scipy's hull: it is always there, also for a body of two points at a
    height, and has its radii where cloth needs them.

    Args:
        points: of trunk and legs, without arms.
        top, bottom: heights in metres.
        depth: z of the axis.
        slack: metres inwards for each metre down; 0 hangs from the widest place above.
    """
    heights = np.linspace(top, bottom, 40)
    angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    axes = np.stack((np.cos(angle), np.sin(angle)))  # (2, D)
    cosine = np.cos(angle[:, None] - angle)
    cosine = np.where(cosine > 0.1, cosine, np.inf)
    reach = (points[:, [0, 2]] - (0, depth)) @ axes  # (N, D)
    radii = np.zeros((len(heights), _DIRECTIONS))
    step = (top - bottom) / (len(heights) - 1)
    for row, height in enumerate(heights):
        near = np.abs(points[:, 1] - height) < _REACH
        if near.any():
            support = np.maximum(reach[near].max(0), 0.02)
            support = np.where(np.isinf(cosine), np.inf, support / np.where(np.isinf(cosine), 1, cosine))
            radii[row] = support.min(1)
        if row:
            radii[row] = np.maximum(radii[row], radii[row - 1] - slack * step)
    return Drape(heights, radii, depth)


def folds(points: np.ndarray, seed: int, length: float) -> np.ndarray:
    """Smooth noise ``(N,)`` of about -1 .. 1 at points ``(N, 3)``, with bumps of `length` metres."""
    random = np.random.default_rng(seed)
    waves = random.normal(size=(5, 3)) * (1, 0.6, 1)
    waves *= 2 * np.pi / length / np.linalg.norm(waves, axis=1, keepdims=True) * random.uniform(0.6, 1.5, (5, 1))
    return np.sin(points @ waves.T + random.uniform(0, 2 * np.pi, 5)).sum(1) / 2.5


def smoothed(values: np.ndarray, quads: np.ndarray, rounds: int) -> np.ndarray:
    """Values ``(V, K)`` averaged with those of their neighbours along the edges of quads ``(Q, 4)``."""
    first, second = quads.reshape(-1), np.roll(quads, -1, 1).reshape(-1)
    ends, others = np.concatenate((first, second)), np.concatenate((second, first))
    count = np.bincount(ends, minlength=len(values))
    used = count > 0
    for _ in range(rounds):
        total = np.stack([np.bincount(ends, column[others], len(values)) for column in values.T], 1)
        values = np.where(used[:, None], 0.4 * values + 0.6 * total / np.maximum(count, 1)[:, None], values)
    return values


def around_legs(
    drape: Drape,
    heads: np.ndarray,
    above: np.ndarray,
    *,
    top: float,
    bottom: float,
    gap: float,
    flare: float,
    waves: float,
    opening: float,
    seed: int,
    tile: str,
) -> Mesh:
    """A skirt, or the lower half of a coat: seen from both sides, carried by the pelvis and by each leg on its side.

    Args:
        drape: around what it hangs.
        heads: ``(J, 3)`` of the bones.
        above: ``(J,)`` weights of its upper edge.
        top, bottom: heights of its edges in metres.
        gap: metres that it stands off.
        flare: metres that it widens for each metre down.
        waves: half the depth of its folds at the hem, in metres.
        opening: half the width in front at the top in metres; 0 is closed.
        seed: of the folds.
        tile: of the texture.

    Returns:
        uvs go around from front to front, and down.
    """
    hip = heads[BONE["left_thigh"], 1]
    rows, columns = max(8, round((top - bottom) / 0.045)), 44
    height = np.linspace(top, bottom, rows)[:, None]
    depth = np.maximum(hip + 0.03 - height, 0)
    share = np.linspace(0, 1, columns + 1)[None]
    front = drape.radius(height, np.full(height.shape, 0.25)) + gap
    cut = np.arcsin(np.clip((opening + 0.16 * depth * (opening > 0)) / front, 0, 0.9)) / (2 * np.pi)
    turn = 0.25 + cut + share * (1 - 2 * cut)
    random = np.random.default_rng(seed)
    counts, phases = random.integers((4, 6, 9), (7, 10, 14)), random.uniform(0, 1, 3)
    drift = 0.06 * np.sin(6 * depth + 2 * np.pi * phases[0])  # folds do not fall quite straight
    wave = sum(np.cos(2 * np.pi * (n * (turn + drift / n) + p)) for n, p in zip(counts, phases, strict=True)) / 2.0
    swell = waves * np.clip(depth / 0.5, 0, 1) * wave
    points = drape.place(height + 0 * turn, turn, gap + flare * depth + swell)  # (R, C + 1, 3)
    uvs = np.stack(np.broadcast_arrays(share, np.linspace(0, 1, rows)[:, None]), -1)
    return sheet(points, uvs, leg_weights(points.reshape(-1, 3), heads, above), tile)


def sheet(points: np.ndarray, uvs: np.ndarray, weights: np.ndarray, tile: str) -> Mesh:
    """Cloth through a grid of points ``(R, C, 3)``, rows downwards and columns anticlockwise in (x, z); seen from both sides.

    Args:
        points: metres.
        uvs: ``(R, C, 2)`` on the tile.
        weights: ``(R C, J)``.
        tile: its name.
    """
    rows, columns = points.shape[:2]
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    below, beside = corner + columns, corner + 1
    faces = np.concatenate((np.stack((corner, beside, below), 1), np.stack((beside, below + 1, below), 1)))
    vertices = points.reshape(-1, 3)
    normals = vertex_normals(vertices, faces)
    return Mesh(vertices, normals, uvs.reshape(-1, 2), faces, weights, np.ones(len(faces), bool), tile)


def leg_weights(vertices: np.ndarray, heads: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Weights ``(V, J)`` of cloth around both legs: `above` ``(J,)`` down to the hips, then the nearer leg's bones."""
    hip, knee, ankle = (heads[BONE[f"left_{name}"]] for name in ("thigh", "shin", "foot"))
    height = vertices[:, 1]
    apart = np.interp(-height, -np.array((hip[1], knee[1], ankle[1])), (hip[0], knee[0], ankle[0]))
    left = smooth(vertices[:, 0], -1.2 * apart, 1.2 * apart)
    down = 0.97 * smooth(hip[1] - height, -0.1, 0.13)
    shin = 0.8 * smooth(knee[1] - height, -0.1, 0.14)
    weights = (1 - down)[:, None] * above
    for side, share in (("left", left), ("right", 1 - left)):
        weights[:, BONE[f"{side}_thigh"]] += down * share * (1 - shin)
        weights[:, BONE[f"{side}_shin"]] += down * share * shin
    return weights


def slice_weights(points: np.ndarray, weights: np.ndarray, height: float) -> np.ndarray:
    """Mean weights ``(J,)`` of points at a height, the thighs' given to the pelvis."""
    mean = weights[np.abs(points[:, 1] - height) < _REACH].mean(0)
    legs = [BONE[f"{side}_{name}"] for side in ("left", "right") for name in ("thigh", "shin")]
    mean[BONE["pelvis"]] += mean[legs].sum()
    mean[legs] = 0
    return mean / mean.sum() if mean.sum() > 0 else np.eye(len(BONES))[0]
