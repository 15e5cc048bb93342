"""A modelled body from a file: its shapes blended, dressed in shells, and put on the skeleton of `skeleton`.

The file is an npz with the layout that `import_makehuman` writes (docs/benchmark.md).
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from motion_core.errors import InputError

from .body_clothes import dressed
from .figure import Figure, figure_of
from .motion import read_arrays
from .outfit import Outfit, Shape
from .painting import paint
from .skeleton import BONE, BONES

SURFACES = ("body", "tights", "hair", "eye_l", "eye_r")
_NEEDED = (
    *("vertices", "bone_names", "bone_parents", "bone_head_vertices", "weight_vertex", "weight_bone", "weight_value"),
    *("target_names", *(f"faces_{name}" for name in SURFACES)),
)
# The file's bone whose head is the head of ours. Bones of the file that are not named follow their parents.
_LIMBS = {"clavicle": "collar", "upperarm01": "upper_arm", "lowerarm01": "forearm", "wrist": "hand"}
_LIMBS |= {"upperleg01": "thigh", "lowerleg01": "shin", "foot": "foot"}
_OURS = {
    "root": "pelvis",
    "spine05": "pelvis",
    "spine04": "abdomen",
    "spine02": "chest",
    "neck01": "neck",
    "head": "head",
}
_OURS |= {
    f"{theirs}.{side[0].upper()}": f"{side}_{ours}" for side in ("left", "right") for theirs, ours in _LIMBS.items()
}


class BodyFile:
    """A body file that is open.

    Attributes:
        path: the file's.
        rest: ``(V, 3)`` vertices in decimetres before any shape is added.
        faces: ``(Q, 4)`` quads by surface.
        weights: ``(V, J)`` on our bones; rows sum to 1.

    Raises:
        InputError: it is no such file, or something is missing from it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._arrays = read_arrays(self.path, "a body")
        missing = [name for name in _NEEDED if name not in self._arrays]
        if missing:
            raise InputError(f"{self.path}: must have {', '.join(_NEEDED)}; {', '.join(missing)} is not there")
        self.rest = self._arrays["vertices"].astype(np.float64)
        self.faces = {name: self._arrays[f"faces_{name}"].astype(np.int64) for name in SURFACES}
        names = [str(name) for name in self._arrays["bone_names"]]
        lost = [name for name in _OURS if name not in names]
        if lost:
            raise InputError(f"{self.path}: bone_names must have {', '.join(_OURS)}; {', '.join(lost)} is not there")
        heads = self._arrays["bone_head_vertices"].astype(np.int64)
        self._head_vertices = {
            ours: heads[names.index(theirs)] for theirs, ours in _OURS.items()
        }  # of spine05, not root
        self.weights = self._weights(names)
        self._targets = {str(name): number for number, name in enumerate(self._arrays["target_names"])}

    def _weights(self, names: list[str]) -> np.ndarray:
        ours = np.zeros(len(names), np.int64)
        for number, (name, parent) in enumerate(zip(names, self._arrays["bone_parents"], strict=True)):
            ours[number] = BONE[_OURS[name]] if name in _OURS else ours[parent] if parent >= 0 else 0
        weights = np.zeros((len(self.rest), len(BONES)))
        place = (self._arrays["weight_vertex"].astype(np.int64), ours[self._arrays["weight_bone"].astype(np.int64)])
        np.add.at(weights, place, self._arrays["weight_value"].astype(np.float64))
        weights[weights.sum(1) <= 0, 0] = 1
        return weights / weights.sum(1, keepdims=True)

    def shaped(self, amounts: dict[str, float]) -> np.ndarray:
        """Vertices ``(V, 3)`` in decimetres with targets added, each times its amount; targets the file lacks are left out."""
        vertices = self.rest.copy()
        for name, amount in amounts.items():
            number = self._targets.get(name)
            if number is not None and amount:
                where = self._arrays[f"target_{number}_vertices"].astype(np.int64)
                vertices[where] += amount * self._arrays[f"target_{number}_offsets"].astype(np.float64)
        return vertices

    def heads(self, vertices: np.ndarray) -> np.ndarray:
        """Where our bones begin, ``(J, 3)``, in a shaped body."""
        return np.array([vertices[self._head_vertices[name]].mean(0) for name in BONES])


def shape_amounts(shape: Shape, random: np.random.Generator) -> dict[str, float]:
    """How much of each target makes a body like `shape`; ancestry, age and muscle are drawn at random.

    The amounts of one group (ancestries, ages, ...) add up to 1 in every combination, as MakeHuman's targets expect.
    """
    female = float(np.clip((shape.curves - 0.35) / 0.3, 0, 1))
    sexes = {"female": female, "male": 1 - female}
    old = float(random.uniform(0, 0.7) * (random.uniform() < 0.5))
    ages = {"young": 1 - old, "old": old}
    shares = random.uniform(0.02, 1, 3) ** 3
    ancestries = dict(zip(("african", "asian", "caucasian"), (shares / shares.sum()).tolist(), strict=True))
    muscles = _three(float(random.uniform(-0.6, 0.8)), "muscle")
    weights = _three(float(np.clip((shape.girth - 1.05) / 0.25 + 0.3 * shape.belly, -0.8, 0.9)), "weight")
    tall = float(np.clip((shape.height - 1.74) / 0.25, -0.6, 0.6))
    height = {"maxheight": max(tall, 0.0), "minheight": max(-tall, 0.0)}
    amounts = {f"{a}-{s}-{g}": ancestries[a] * sexes[s] * ages[g] for a in ancestries for s in sexes for g in ages}
    amounts |= {
        f"universal-{s}-{g}-{m}-{w}": sexes[s] * ages[g] * muscles[m] * weights[w]
        for s, g, m, w in product(sexes, ages, muscles, weights)
    }
    return amounts | {
        f"{s}-{g}-averagemuscle-averageweight-{h}": sexes[s] * ages[g] * height[h]
        for s, g, h in product(sexes, ages, height)
    }


def _three(value: float, name: str) -> dict[str, float]:
    """A value in [-1, 1] as amounts of "min", "average" and "max" that add up to 1."""
    return {f"min{name}": max(-value, 0.0), f"average{name}": 1 - abs(value), f"max{name}": max(value, 0.0)}


def clothed_figure(body: BodyFile, shape: Shape, outfit: Outfit, random: np.random.Generator) -> Figure:
    """A person with the file's body, in clothes."""
    vertices = body.shaped(shape_amounts(shape, random)) / 10  # metres
    heads = body.heads(vertices * 10) / 10
    mesh = dressed(vertices, body.faces, body.weights, heads, outfit)
    head = vertices[np.unique(body.faces["eye_l"])].mean(0)
    apart = np.array((2 * head[0], 0, 0))
    face = vertices[np.unique(body.faces["body"])]
    face = face[face[:, 1] > heads[BONE["head"], 1] - 0.05]
    nose = face[np.argmax(face[:, 2] - 10 * np.abs(face[:, 0]))]
    ears = [face[np.argmax(sign * face[:, 0] - 2 * np.abs(face[:, 2] - heads[BONE["head"], 2]))] for sign in (-1, 1)]
    points = np.array([nose, head - apart, head, *ears])
    ankle = heads[BONE["left_foot"]]
    feet = vertices[np.unique(body.faces["body"])]
    low = feet[:, 1].min() - ankle[1] - 0.008
    feet = feet[(feet[:, 1] < ankle[1]) & (feet[:, 0] > 0)]
    soles = [(0.0, low, float(feet[:, 2].min() - ankle[2])), (0.0, low, float(feet[:, 2].max() - ankle[2]))]
    return figure_of(mesh, heads, points, soles, paint(outfit, random))
