"""What is known about a clip, written beside it and read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from motion_core.atomic import atomic_path
from motion_core.errors import InputError
from motion_core.media import FrameReader, open_frames

from .camera import pixel_rays, project, to_camera
from .clip import Plan, Shot
from .figure import skin
from .places import Planes
from .rasterizer import on_faces
from .skeleton import BONES, JOINTS, PARTS, PARTS_AT_JOINT

FORMAT = 1
HIDDEN, SEEN = 1, 2  # visibility of a joint that is in the picture; 0 is outside of it
# Metres that a joint may be below the surface at which it counts as seen: the face's are on it, others deep in a limb.
_DEPTH = np.array(
    [0.05, 0.16, 0.16, 0.1, 0.08, 0.16, 0.1, 0.08, 0.2, 0.12, 0.1, 0.2, 0.12, 0.1, 0.05, 0.05, 0.06, 0.06]
)
_ARRAYS = ("joints", "joint_depth", "visibility", "seen", "parts", "transforms", "camera")
_SURFACE = ("vertices", "normals", "weights", "faces", "two_sided", "parts")


@dataclass(frozen=True)
class Annotations:
    """A rendered clip's annotations.

    Attributes:
        name, identity: of the clip, without an ending, and of the person.
        joints: ``(T, 18, 2)`` pixels (x, y), in the order of `skeleton.JOINTS`.
        joint_depth: ``(T, 18)`` metres from the camera.
        visibility: ``(T, 18)`` uint8: 0 outside of the picture, 1 hidden behind something, 2 seen.
        seen: ``(T, H, W)`` int32, the face at the centre of each pixel, -1: background.
        parts: ``(T, H, W)`` uint8, the number in `skeleton.PARTS` of the body part there.
        transforms: ``(T, J, 3, 4)`` of the bones, see `figure.pose`.
        camera: ``(T, 3, 4)`` poses and `focal` length in pixels, see `camera.Camera`.
        surface: the person's surface: `vertices`, `normals`, `weights`, `faces`, `two_sided` and `parts` of `figure.Figure`.
        about: the rest of the json file: movement, background, wall, looks, frame rate.
    """

    name: str
    identity: str
    joints: np.ndarray
    joint_depth: np.ndarray
    visibility: np.ndarray
    seen: np.ndarray
    parts: np.ndarray
    transforms: np.ndarray
    camera: np.ndarray
    focal: float
    surface: dict[str, np.ndarray]
    about: dict[str, object]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return (self.seen.shape[1], self.seen.shape[2])

    @cached_property
    def rays(self) -> np.ndarray:
        """``(H, W, 3)`` in camera space, see `camera.pixel_rays`."""
        return pixel_rays(self.size, self.focal)

    @property
    def planes(self) -> Planes:
        """The floor and the wall of the scene.

        Raises:
            InputError: the data are from before they were written.
        """
        wall = self.about.get("wall")
        if not isinstance(wall, dict):
            raise InputError(
                f"{self.name}: must say where its wall is; render the data again with eval.rendered_people.render"
            )
        return Planes(np.array(wall["normal"], np.float64), float(wall["away"]))

    def vertices(self, frame: int) -> np.ndarray:
        """The surface in camera space, ``(V, 3)`` metres."""
        surface = self.surface
        moved, _ = skin(surface["vertices"], surface["weights"], self.transforms[frame], surface["normals"])
        return to_camera(self.camera[frame], moved)


def check_frames(clip: Annotations, i: int, j: int) -> None:
    """Raise an InputError unless both are frames of the clip."""
    for name, frame in (("i", i), ("j", j)):
        if not 0 <= frame < len(clip.joints):
            raise InputError(f"{name}: must be a frame in 0..{len(clip.joints) - 1} of {clip.name}, got {frame}")


def annotate(shot: Shot, seen: np.ndarray) -> Annotations:
    """The annotations of a clip, from the faces seen in its frames ``(T, H, W)``."""
    size, focal = shot.camera.size, shot.camera.focal
    in_view = np.stack([to_camera(pose, points) for pose, points in zip(shot.camera.poses, shot.joints, strict=True)])
    result = Annotations(
        name=shot.name,
        identity=shot.identity,
        joints=project(in_view, focal, size).astype(np.float32),
        joint_depth=in_view[..., 2].astype(np.float32),
        visibility=np.zeros(in_view.shape[:2], np.uint8),
        seen=seen.astype(np.int32),
        parts=np.where(seen >= 0, shot.figure.parts[np.maximum(seen, 0)], 0).astype(np.uint8),
        transforms=shot.transforms,
        camera=shot.camera.poses,
        focal=focal,
        surface={name: getattr(shot.figure, name) for name in _SURFACE},
        about=shot.about,
    )
    for frame in range(len(seen)):
        result.visibility[frame] = _visible_joints(result, frame)
    return result


def _visible_joints(clip: Annotations, frame: int) -> np.ndarray:
    height, width = clip.size
    column, row = np.round(clip.joints[frame].astype(np.float64)).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    result = inside.astype(np.uint8) * HIDDEN
    vertices = clip.vertices(frame)
    for number in np.flatnonzero(inside):
        face = clip.seen[frame, row[number], column[number]]
        if face < 0 or clip.surface["parts"][face] not in PARTS_AT_JOINT[number]:
            continue
        ray = clip.rays[row[number], column[number]][None]
        _, depth = on_faces(vertices, clip.surface["faces"][face][None], ray)
        if clip.joint_depth[frame, number] - depth[0] < _DEPTH[number]:
            result[number] = SEEN
    return result


def mean_displacement(clip: Annotations, i: int, j: int) -> float:
    """Mean distance in pixels that the joints move from frame i to frame j; joints outside of either picture do not count.

    NaN if there are none.
    """
    both = (clip.visibility[i] > 0) & (clip.visibility[j] > 0)
    moved = np.linalg.norm(clip.joints[i, both].astype(np.float64) - clip.joints[j, both], axis=-1)
    return float(moved.mean()) if both.any() else float("nan")


def folder_of(root: Path, split: str) -> Path:
    """Where the annotations of a split are."""
    return root / "annotations" / split


def scenes_of(root: Path, split: str) -> Path:
    """The folder of a split's scenes: each video without the figure and its shadow, under the same name."""
    return root / "scenes" / split


def clip_names(root: Path, split: str) -> list[str]:
    """The names of a split's clips, sorted."""
    return sorted(path.stem for path in folder_of(root, split).glob("*#*.json"))


def pairs_file(root: Path, split: str) -> Path:
    """The list of a split's pairs; it is written last, so that with it a split is complete."""
    return folder_of(root, split) / "pairs.csv"


def open_pictures(root: Path, clip: Annotations) -> FrameReader:
    """Open the video of a clip."""
    return open_frames(root / str(clip.about["split"]) / str(clip.about["video"]))


def open_scene(root: str | Path, split: str, name: str) -> FrameReader:
    """Open the video of a clip's scene without the figure and its shadow, frame by frame as the camera sees it.

    Args:
        root, split, name: see `read_annotations`.

    Raises:
        InputError: it is not there, as with data from before scenes were written.
    """
    folder, stem = scenes_of(Path(root), split), name.removesuffix(".mp4")
    found = [path for path in (folder / f"{stem}.mp4", folder / stem) if path.exists()]
    if not found:
        raise InputError(f"{folder / stem}: no such scene; render the data again with eval.rendered_people.render")
    return open_frames(found[0])


def write_annotations(root: Path, plan: Plan, clip: Annotations, video: str) -> None:
    """Write NAME.npz and NAME.json, and the person's IDENTITY.surface.npz, under ROOT/annotations/SPLIT."""
    folder = folder_of(root, plan.split)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(clip, name) for name in _ARRAYS} | {"seen": (clip.seen + 1).astype(np.uint16)}
    np.savez_compressed(folder / f"{clip.name}.npz", allow_pickle=False, **arrays)
    surface = {name: _compact(array) for name, array in clip.surface.items()}
    with atomic_path(folder / f"{clip.identity}.surface.npz") as partial:  # several workers may write the same person
        np.savez_compressed(partial, allow_pickle=False, **surface)
    text = {
        "format": FORMAT,
        "video": video,
        "identity": clip.identity,
        "split": plan.split,
        "seed": plan.seed,
        "frames": len(clip.joints),
        "frame_rate": plan.rate,
        "size": list(clip.size),
        "focal": clip.focal,
        "joint_names": JOINTS,
        "part_names": PARTS,
        "bone_names": BONES,
        **clip.about,
    }
    (folder / f"{clip.name}.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def _compact(array: np.ndarray) -> np.ndarray:
    """Rounded values (see `rotations.rounded`) are exact in float32 below 8, and fewer than 65536 vertices fit 16 bits."""
    kinds = {"f": np.float32, "i": np.uint16 if array.max(initial=0) < 2**16 else np.int32}
    return array.astype(kinds.get(array.dtype.kind, array.dtype))


def read_annotations(root: str | Path, split: str, name: str) -> Annotations:
    """Read what `write_annotations` wrote.

    Args:
        root: the data's root.
        split: "train", "val" or "test".
        name: of the clip, with or without the video's ending.

    Raises:
        InputError: it is not there, or of another format.
    """
    folder, stem = folder_of(Path(root), split), name.removesuffix(".mp4")
    try:
        about = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT:
            raise InputError(f"{folder / stem}.json: must have format {FORMAT}, got {about.get('format')}")
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        with np.load(folder / f"{about['identity']}.surface.npz", allow_pickle=False) as file:
            surface = {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename}: no such annotations; they are made by eval.rendered_people.render"
        ) from error
    for key in ("vertices", "normals", "weights"):
        surface[key] = surface[key].astype(np.float64)
    surface["faces"] = surface["faces"].astype(np.int64)
    arrays["seen"] = arrays["seen"].astype(np.int32) - 1
    return Annotations(
        name=stem, identity=about["identity"], focal=float(about["focal"]), surface=surface, about=about, **arrays
    )
