"""Makes a motion file from BVH files: ``python -m eval.rendered_people.import_bvh --out motion.npz CLIP.bvh ...``.

Written for the conversion of the CMU Graphics Lab Motion Capture Database whose joints are named hip, abdomen, chest, rShldr
and so on; other files need the same names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from motion_core.command_line import CommandParser
from motion_core.errors import InputError

from .motion import NEEDED


@dataclass
class Joint:
    """A joint of a BVH file; `parent` is its number in the list of joints, -1 for the root."""

    name: str
    parent: int
    offset: np.ndarray  # (3,)
    channels: list[str] = field(default_factory=list)


def read_bvh(path: str | Path) -> tuple[list[Joint], np.ndarray, float]:
    """Read a BVH file.

    Returns:
        The joints, parents before children, an "End Site" under the name PARENT_end; the channels' values ``(T, C)``
        (degrees and the file's unit); and frames a second.

    Raises:
        InputError: it cannot be read, or breaks off.
    """
    try:
        words = iter(Path(path).read_text(encoding="utf-8", errors="replace").split())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        joints = _hierarchy(words)
        return joints, *_values(words, sum(len(joint.channels) for joint in joints))
    except (StopIteration, RuntimeError) as error:
        raise InputError(f"{path}: must be a whole BVH file, but it ends too early") from error
    except ValueError as error:
        raise InputError(f"{path}: must be a BVH file: {error}") from error


def _hierarchy(words: Iterator[str]) -> list[Joint]:
    joints: list[Joint] = []
    open_joints: list[int] = []
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            name = next(words)
            parent = open_joints[-1] if open_joints else -1
            joints.append(Joint(f"{joints[parent].name}_end" if word == "End" else name, parent, np.zeros(3)))
        elif word == "{":
            open_joints.append(len(joints) - 1)
        elif word == "}":
            open_joints.pop()
        elif word == "OFFSET":
            joints[-1].offset = np.array([float(next(words)) for _ in range(3)])
        elif word == "CHANNELS":
            joints[-1].channels = [next(words) for _ in range(int(next(words)))]
        elif word == "MOTION":
            return joints
        elif word != "HIERARCHY":
            raise ValueError(f"{word!r} is no word of its hierarchy")
    raise ValueError("it has no MOTION")


def _values(words: Iterator[str], channels: int) -> tuple[np.ndarray, float]:
    if next(words) != "Frames:":
        raise ValueError("Frames: must follow MOTION")
    frames = int(next(words))
    if (next(words), next(words)) != ("Frame", "Time:"):
        raise ValueError("Frame Time: must follow the number of frames")
    rate = 1 / float(next(words))
    values = np.array([float(word) for word in words])
    if not frames or values.size != frames * channels:
        raise ValueError(f"{frames} frames with {channels} channels must follow, got {values.size} numbers")
    return values.reshape(frames, channels), rate


def positions(joints: Sequence[Joint], values: np.ndarray) -> np.ndarray:
    """Joint positions ``(T, J, 3)`` from channels ``(T, C)``: rotations apply in the order in which they are listed."""
    places = np.zeros((len(values), len(joints), 3))
    turns: list[Rotation] = []
    last = np.cumsum([len(joint.channels) for joint in joints])
    for number, joint in enumerate(joints):
        shift, local = np.tile(joint.offset, (len(values), 1)), Rotation.identity(len(values))
        own = values[:, last[number] - len(joint.channels) : last[number]]
        for channel, column in zip(joint.channels, own.T, strict=True):
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                shift[:, axis] = column + (joint.offset[axis] if joint.parent >= 0 else 0)
            else:
                local = local * Rotation.from_rotvec(column[:, None] * np.eye(3)[axis], degrees=True)
        above = turns[joint.parent] if joint.parent >= 0 else Rotation.identity(len(values))
        places[:, number] = (places[:, joint.parent] if joint.parent >= 0 else 0) + above.apply(shift)
        turns.append(above * local)
    return places


def import_bvh(files: Sequence[Path], out: Path, rate: float = 30.0) -> None:
    """Write a motion file from BVH files at about `rate` frames a second; clips are named after the files.

    Raises:
        InputError: a file cannot be used, or two have one name.
    """
    arrays: dict[str, np.ndarray] = {"frame_rate": np.array(rate), "joint_names": np.array(NEEDED)}
    for path in files:
        joints, values, original = read_bvh(path)
        names = [joint.name for joint in joints]
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(f"{path}: must have the joints {', '.join(NEEDED)}; {', '.join(missing)} is not there")
        if f"{path.stem}__rel" in arrays:
            raise InputError(f"{path}: clips must have different names, and there are two {path.stem}")
        moments = np.round(np.arange(0, len(values), original / rate)).astype(int)
        places = positions(joints, values[moments[moments < len(values)]])
        kept = places[:, [names.index(name) for name in NEEDED]]
        root = places[:, names.index("hip")][:, None]
        arrays[f"{path.stem}__root"] = root.astype(np.float32)
        arrays[f"{path.stem}__rel"] = (kept - root).astype(np.float32)
    np.savez_compressed(out, allow_pickle=False, **arrays)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for files that cannot be used."""
    parser = CommandParser("python -m eval.rendered_people.import_bvh", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="CLIP.bvh")
    parser.add_argument("--out", required=True, type=Path, metavar="MOTION.npz")
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second to keep")
    return parser.run(_import, arguments)


def _import(options: argparse.Namespace) -> None:
    import_bvh(options.files, options.out, options.rate)
    print(f"{len(options.files)} clips: {options.out}")


if __name__ == "__main__":
    sys.exit(main())
