"""Rounded surfaces that bodies and clothes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .rotations import unit
from .skeleton import BONE, BONES, other_side


@dataclass(frozen=True)
class Mesh:
    """Triangles with what skinning and painting need.

    Attributes:
        vertices: ``(V, 3)`` in the bind pose.
        normals: ``(V, 3)`` of length 1, outwards.
        uvs: ``(V, 2)`` in [0, 1]: in its own tile of the texture, or in the whole texture once it is placed. v goes down.
        faces: ``(F, 3)`` int, counter-clockwise from outside.
        weights: ``(V, J)`` of the bones; each row sums to 1.
        two_sided: ``(F,)`` whether the inside can be seen.
        tile: the name of its tile.
    """

    vertices: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    two_sided: np.ndarray
    tile: str = ""


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    moved = [replace(mesh, faces=mesh.faces + start) for mesh, start in zip(meshes, starts, strict=False)]
    names = ("vertices", "normals", "uvs", "faces", "weights", "two_sided")
    arrays: list[Any] = [np.concatenate([getattr(mesh, name) for mesh in moved]) for name in names]
    return Mesh(*arrays)


def smooth(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """0 below `low`, 1 above `high`, the cubic smooth step between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def triangles(quads: np.ndarray) -> np.ndarray:
    """Quads ``(Q, 4)`` as triangles ``(2 Q, 3)``."""
    return np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]))


def on_bone(count: int, bone: str) -> np.ndarray:
    """Weights ``(count, J)`` of vertices that one bone moves."""
    weights = np.zeros((count, len(BONES)))
    weights[:, BONE[bone]] = 1
    return weights


def along(values: np.ndarray, bones: Sequence[str], borders: Sequence[float], blend: float) -> np.ndarray:
    """Weights ``(V, J)`` that go from bone to bone where `values` ``(V,)`` pass the borders, over a length of `blend`."""
    weights = np.zeros((len(values), len(BONES)))
    left = np.ones(len(values))
    for bone, border in zip(bones[:-1], borders, strict=True):
        passed = smooth(values, border - blend / 2, border + blend / 2)
        weights[:, BONE[bone]] = left * (1 - passed)
        left = left * passed
    weights[:, BONE[bones[-1]]] = left
    return weights


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals (V, 3) averaged over the faces around, by area; vertices at the same place share theirs (seams, poles)."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    _, place = np.unique(np.round(vertices * 2**20).astype(np.int64), axis=0, return_inverse=True)
    total = np.zeros((place.max() + 1, 3))
    np.add.at(total, place[faces].reshape(-1), np.repeat(across, 3, axis=0))
    return unit(total[place])


def loft(
    centres: np.ndarray,
    radii: np.ndarray,
    bone: str,
    *,
    across: tuple[float, float, float] = (1, 0, 0),
    deep: tuple[float, float, float] = (0, 0, 1),
    segments: int = 12,
    squareness: float = 1.0,
    two_sided: bool = False,
    tile: str = "",
    push: np.ndarray | None = None,
) -> Mesh:
    """A tube through superelliptic rings.

    Args:
        centres: ``(R, 3)`` of the rings.
        radii: ``(R, 2)`` half-axes along `across` and `deep`.
        bone: which bone moves all of it (see `dressed` for several).
        across, deep: directions of the half-axes; texture u = 0 is at +across, 0.25 at +deep.
        segments: corners of a ring.
        squareness: exponent of cos and sin; 1 is an ellipse, less is more like a box.
        two_sided: whether the inside can be seen.
        tile: see `Mesh`.
        push: ``(R, segments + 1)`` metres to move vertices outwards from the ring's centre, or None.
    """
    rings = len(centres)
    theta = 2 * np.pi * np.arange(segments + 1) / segments
    theta[-1] = 0  # the seam: the same place with another u
    shape = [np.sign(np.round(f, 9)) * np.abs(f) ** squareness for f in (np.cos(theta), np.sin(theta))]
    spokes = radii[:, None, :1] * shape[0][:, None] * np.array(across) + radii[:, None, 1:] * shape[1][
        :, None
    ] * np.array(deep)
    if push is not None:
        spokes = spokes + unit(spokes) * push[..., None]
    vertices = (centres[:, None] + spokes).reshape(-1, 3)  # (R * (S + 1), 3)
    u, v = np.meshgrid(np.arange(segments + 1) / segments, np.linspace(0, 1, rings))
    corner = (np.arange(rings - 1)[:, None] * (segments + 1) + np.arange(segments)).reshape(-1)
    below, beside = corner + segments + 1, corner + 1
    faces = np.concatenate((np.stack((corner, below, beside), 1), np.stack((beside, below, below + 1), 1)))
    corners = vertices[faces] - vertices.mean(0)
    if (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() < 0:
        faces = faces[:, ::-1]
    return Mesh(
        vertices,
        vertex_normals(vertices, faces),
        np.stack((u, v), axis=-1).reshape(-1, 2),
        faces,
        on_bone(len(vertices), bone),
        np.full(len(faces), two_sided),
        tile,
    )


def ball(centre: np.ndarray, radii: Sequence[float], bone: str, *, segments: int = 10, tile: str = "") -> Mesh:
    """An ellipsoid with half-axes along x, y and z."""
    angle = np.linspace(0, np.pi, segments // 2 + 2)
    centres = np.asarray(centre) + np.stack((0 * angle, np.cos(angle) * radii[1], 0 * angle), axis=1)
    ring = np.stack((np.sin(angle) * radii[0], np.sin(angle) * radii[2]), axis=1)
    return loft(centres, ring, bone, segments=segments, tile=tile)


def mirrored(mesh: Mesh, tile: str) -> Mesh:
    """The mesh on the other side of the body, with left and right bones exchanged and its own tile."""
    flip = np.array([-1.0, 1, 1])
    other = [BONE[other_side(name)] for name in BONES]
    return replace(
        mesh,
        vertices=mesh.vertices * flip,
        normals=mesh.normals * flip,
        faces=mesh.faces[:, ::-1],
        weights=mesh.weights[:, other],
        tile=tile,
    )
