"""Makes a body file from MakeHuman: ``python -m eval.rendered_people.import_makehuman --data makehuman/data --out body.npz``.

The folder is the one called `data` in the program's sources. Only what is CC0 there is read: the base mesh, the default rig
with its weights, and the targets for ancestry, sex, age, muscle, weight and height.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from motion_core.command_line import CommandParser
from motion_core.errors import InputError

# Groups of the base mesh under the names they have in a body file.
_GROUPS = {
    "body": "body",
    "helper-tights": "tights",
    "helper-hair": "hair",
    "helper-l-eye": "eye_l",
    "helper-r-eye": "eye_r",
}
_TARGETS = ("targets/macrodetails/*.target", "targets/macrodetails/height/*.target")


def read_base(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the base mesh, a Wavefront file whose faces are quads in groups: vertices ``(V, 3)``, and ``(Q, 4)`` by surface.

    Raises:
        InputError: a group is missing, or a line cannot be read.
    """
    vertices: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {name: [] for name in _GROUPS.values()}
    group = None
    for number, line in enumerate(_text(path).splitlines(), 1):
        kind, _, rest = line.partition(" ")
        try:
            if kind == "v":
                vertices.append([float(word) for word in rest.split()[:3]])
            elif kind == "g":
                group = _GROUPS.get(rest.strip())
            elif kind == "f" and group is not None:
                faces[group].append(_face(rest))
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}: line {number} must be of a mesh of quads, got {line[:60]!r}") from error
    empty = [group for group, name in _GROUPS.items() if not faces[name]]
    if empty:
        raise InputError(f"{path}: must have faces in the groups {', '.join(_GROUPS)}; {', '.join(empty)} has none")
    return np.array(vertices), {name: np.array(found) for name, found in faces.items()}


def _face(text: str) -> list[int]:
    """The vertices of four corners, counted from 0; a triangle repeats its last corner."""
    corners = [int(word.split("/")[0]) - 1 for word in text.split()]
    if len(corners) not in (3, 4):
        raise ValueError("no quad")
    return corners + corners[-1:] * (4 - len(corners))


def read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N,) and offsets (N, 3) of a target file.

    Raises:
        InputError: a line is no vertex number and three numbers.
    """
    rows = [line.split() for line in _text(path).splitlines() if line.strip() and not line.startswith(("#", '"'))]
    try:
        table = np.array([[float(word) for word in row] for row in rows]).reshape(-1, 4)
    except ValueError as error:
        raise InputError(f"{path}: lines must be a vertex number and three offsets") from error
    return table[:, 0].astype(np.int64), table[:, 1:]


def read_rig(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a body file that describe bones and weights, parents before children.

    Raises:
        InputError: the rig or its weights cannot be read.
    """
    rig = _json(path)
    weights_file = path.parent / str(rig.get("weights_file", "default_weights.mhw"))
    if not weights_file.is_file():
        weights_file = weights_file.with_suffix(".jsonw")  # its older name
    weights = _json(weights_file).get("weights", {})
    try:
        bones, joints = rig["bones"], rig["joints"]
        names: list[str] = []
        while len(names) < len(bones):
            ready = [name for name in bones if name not in names and (bones[name]["parent"] in (None, "", *names))]
            if not ready:
                raise InputError(f"{path}: parents of bones must not go round in a circle or be missing")
            names += ready
        parents = [names.index(bones[name]["parent"]) if bones[name]["parent"] else -1 for name in names]
        heads = [joints[bones[name]["head"]] for name in names]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: bones must have parent and head, and joints their vertices: {error}") from error
    rows = [(vertex, names.index(bone), value) for bone in names for vertex, value in weights.get(bone, [])]
    vertex, bone, value = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "bone_names": np.array(names),
        "bone_parents": np.array(parents, np.int16),
        "bone_head_vertices": np.array(heads, np.uint16),
        "weight_vertex": np.array(vertex, np.uint16),
        "weight_bone": np.array(bone, np.uint8),
        "weight_value": np.array(value, np.float16),
    }


def import_makehuman(data: Path, out: Path) -> int:
    """Write a body file and return how many targets are in it.

    Raises:
        InputError: something is not there, or cannot be read.
    """
    vertices, quads = read_base(data / "3dobjs" / "base.obj")
    arrays = {"vertices": vertices.astype(np.float32)} | read_rig(data / "rigs" / "default.mhskel")
    arrays |= {f"faces_{name}": corners.astype(np.uint16) for name, corners in quads.items()}
    files = sorted(path for pattern in _TARGETS for path in data.glob(pattern))
    if not files:
        raise InputError(f"data: {data} must have targets in {', '.join(_TARGETS)}, but has none")
    arrays["target_names"] = np.array([path.stem for path in files])
    for number, path in enumerate(files):
        moved, offsets = read_target(path)
        arrays[f"target_{number}_vertices"] = moved.astype(np.uint16)
        arrays[f"target_{number}_offsets"] = offsets.astype(np.float16)
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return len(files)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _json(path: Path) -> dict:
    try:
        value = json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path}: must be a JSON file: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: must hold a JSON object, got {type(value).__name__}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for files that cannot be used."""
    parser = CommandParser("python -m eval.rendered_people.import_makehuman", __doc__)
    parser.add_argument("--data", required=True, type=Path, help="the folder `data` of MakeHuman's sources")
    parser.add_argument("--out", required=True, type=Path, metavar="BODY.npz")
    return parser.run(_import, arguments)


def _import(options: argparse.Namespace) -> None:
    targets = import_makehuman(options.data, options.out)
    print(f"a body with {targets} targets: {options.out}")


if __name__ == "__main__":
    sys.exit(main())
