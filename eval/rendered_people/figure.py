"""A person that can be posed: a skinned surface, its joints, and its texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .motion import Motion
from .rotations import between, rounded, unit
from .shapes import Mesh
from .skeleton import BONE, BONE_OF_JOINT, BONES, DIRECTIONS, FACE_JOINTS, PARENTS, PART, PART_OF_BONE


@dataclass(frozen=True)
class Figure:
    """A surface with skin weights, in the bind pose, in metres.

    Attributes:
        vertices, normals, uvs, faces, weights, two_sided: see `shapes.Mesh`; uvs are places in `texture`.
        parts: ``(F,)`` uint8, the number of the body part in `skeleton.PARTS` that a face belongs to, clothes included.
        heads: ``(J, 3)`` where the bones begin.
        bind: ``(J, 3, 3)`` rotations from the rest pose of `skeleton` to the bind pose.
        landmarks: ``(18, 3)`` the annotated joints.
        contacts: bones, offsets from their heads, and radii of the balls that may touch the floor.
        texture: ``(h, w, 3)`` uint8.
    """

    vertices: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    two_sided: np.ndarray
    parts: np.ndarray
    heads: np.ndarray
    bind: np.ndarray
    landmarks: np.ndarray
    contacts: tuple[np.ndarray, np.ndarray, np.ndarray]
    texture: np.ndarray

    @property
    def leg_length(self) -> float:
        """Metres from the hip to the ankle."""
        return float(self.heads[BONE["left_thigh"], 1] - self.heads[BONE["left_foot"], 1])


def figure_of(
    mesh: Mesh, heads: np.ndarray, face: np.ndarray, soles: Sequence[tuple[float, float, float]], texture: np.ndarray
) -> Figure:
    """A figure from its surface.

    Args:
        mesh: placed on the texture.
        heads: ``(J, 3)``, see `Figure`.
        face: ``(5, 3)`` places of nose, right eye, left eye, right ear and left ear.
        soles: offsets from an ankle to points of the sole.
        texture: see `Figure`.
    """
    landmarks = np.array([heads[BONE[bone]] for bone in BONE_OF_JOINT])
    landmarks[list(FACE_JOINTS)] = face
    votes = mesh.weights[mesh.faces].sum(1)  # (F, J)
    by_part = np.zeros((len(votes), len(PART)))
    for bone, part in enumerate(PART_OF_BONE):
        by_part[:, part] += votes[:, bone]
    return Figure(
        vertices=rounded(mesh.vertices),
        normals=rounded(mesh.normals),
        uvs=mesh.uvs,
        faces=mesh.faces.astype(np.int64),
        weights=rounded(mesh.weights),
        two_sided=mesh.two_sided,
        parts=by_part.argmax(1).astype(np.uint8),
        heads=rounded(heads),
        bind=rounded(_bind_turns(heads)),
        landmarks=rounded(landmarks),
        contacts=_contacts(soles),
        texture=texture,
    )


def _bind_turns(heads: np.ndarray) -> np.ndarray:
    """Rotations of the limbs' bones from the rest pose to the bind pose, (J, 3, 3); trunk, collars and feet have none."""
    turns = np.tile(np.eye(3), (len(BONES), 1, 1))
    for side in ("left", "right"):
        for first, second in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot")):
            bone, tail = BONE[f"{side}_{first}"], BONE[f"{side}_{second}"]
            turns[bone] = between(DIRECTIONS[bone], unit(heads[tail] - heads[bone]))
        turns[BONE[f"{side}_hand"]] = turns[BONE[f"{side}_forearm"]]
    return turns


def _contacts(soles: Sequence[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Balls that carry the body on the floor: soles, knees, hands, seat and head."""
    balls = [(f"{side}_foot", offset, 0.0) for side in ("left", "right") for offset in soles]
    balls += [
        (f"{side}_{name}", (0.0, 0.0, 0.0), 0.06) for side in ("left", "right") for name in ("shin", "hand", "forearm")
    ]
    balls += [("pelvis", (0.0, 0.0, 0.0), 0.13), ("head", (0.0, 0.1, 0.0), 0.12), ("chest", (0.0, 0.1, 0.0), 0.13)]
    bones = np.array([BONE[name] for name, _, _ in balls])
    return bones, rounded(np.array([offset for _, offset, _ in balls])), np.array([radius for _, _, radius in balls])


def pose(figure: Figure, motion: Motion) -> np.ndarray:
    """How each bone moves the surface from the bind pose to the world, ``(T, J, 3, 4)``, the lowest point on the floor y = 0."""
    turns = motion.turns @ np.swapaxes(figure.bind, -1, -2)  # (T, J, 3, 3) bind pose -> world
    heads = np.zeros((len(turns), len(BONES), 3))
    heads[:, 0, [0, 2]] = motion.path[:, [0, 2]] * figure.leg_length
    for bone, parent in enumerate(PARENTS):
        if parent >= 0:
            offset = figure.heads[bone] - figure.heads[parent]
            heads[:, bone] = heads[:, parent] + turns[:, parent] @ offset
    bones, offsets, radii = figure.contacts
    touching = heads[:, bones, 1] + np.einsum("tkj,kj->tk", turns[:, bones, 1], offsets) - radii
    heads[:, :, 1] += (motion.path[:, 1] * figure.leg_length - touching.min(1))[:, None]
    shift = heads - np.einsum("tjab,jb->tja", turns, figure.heads)
    return rounded(np.concatenate((turns, shift[..., None]), axis=-1))


def skin(
    vertices: np.ndarray, weights: np.ndarray, transforms: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear blend skinning of a `Figure`'s surface in one frame, by the transforms ``(J, 3, 4)`` of `pose`.

    Returns:
        Vertices ``(V, 3)`` in the world and normals ``(V, 3)`` of about length 1.
    """
    blended = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)  # (V, 3, 4)
    moved = (blended[..., :3] * vertices[:, None]).sum(-1) + blended[..., 3]
    turned = (blended[..., :3] * normals[:, None]).sum(-1)
    return moved, turned / np.sqrt((turned * turned).sum(-1, keepdims=True) + 1e-12)


def joints(figure: Figure, transforms: np.ndarray) -> np.ndarray:
    """The annotated joints in the world, ``(T, 18, 3)``, from `pose`'s ``(T, J, 3, 4)``."""
    moving = transforms[:, [BONE[bone] for bone in BONE_OF_JOINT]]
    return np.einsum("tkab,kb->tka", moving[..., :3], figure.landmarks) + moving[..., 3]
