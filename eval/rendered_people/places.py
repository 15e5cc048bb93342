"""The floor and the wall of a scene, and photos that are projected onto them, so that they move with the camera as these do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from motion_core.errors import InputError
from motion_core.media import load_image, natural_key, to_float

from .camera import Camera, to_camera


@dataclass(frozen=True)
class Planes:
    """The floor y = 0, and a wall.

    Attributes:
        normal: ``(3,)`` of the wall, level, pointing to the figure.
        away: metres from the world's origin to the wall, against `normal`.
    """

    normal: np.ndarray
    away: float

    def meet(self, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays from the camera first meet a plane.

        Args:
            eye: ``(3,)`` in the world, of the same type as the rays, float32 or float64.
            rays: ``(N, 3)`` directions in the world.

        Returns:
            Points ``(N, 3)`` in the world, very far ones for rays that meet neither, and whether they are on the floor ``(N,)``.
        """
        normal = self.normal.astype(rays.dtype)
        slope = rays @ normal
        to_wall = np.where(slope < -1e-3, -(eye @ normal + rays.dtype.type(self.away)) / np.minimum(slope, -1e-3), 1e4)
        to_floor = np.where(rays[:, 1] < -1e-4, -eye[1] / np.minimum(rays[:, 1], -1e-4), 1e5)
        return eye + rays * np.minimum(to_wall, to_floor)[:, None].astype(rays.dtype), to_floor < to_wall


_ENDINGS = (".jpg", ".jpeg", ".png")
_STEPS = 9  # places along each side of a picture at which its view is looked at
_WIDEST = 2.0  # of views of other frames, against the projector's own; beyond it the photo is mirrored


def bilinear(picture: np.ndarray, corner: np.ndarray, following: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colours ``(N, 3)`` between the pixels (x, y) `corner` and `following` ``(N, 2)`` of a picture ``(h, w, 3)``.

    `share` ``(N, 2)`` is how far they are on the way from the first to the second, each way.
    """
    (left, top), (right, bottom) = corner.T, following.T
    across, down = share.T[..., None]
    upper = picture[top, left] * (1 - across) + picture[top, right] * across
    lower = picture[bottom, left] * (1 - across) + picture[bottom, right] * across
    return upper * (1 - down) + lower * down


@dataclass(frozen=True)
class Photo:
    """A photo and the projector that throws it onto a scene.

    Attributes:
        name: of its file.
        picture: ``(h, w, 3)`` float32 in [0, 1]; beyond its borders it goes on mirrored.
        pose: ``(3, 4)`` of the projector, see `camera.Camera`.
        focal: pixels of the picture for a slope of 1.
        corner: ``(2,)`` slopes x / z and y / z in camera space at the centre of the first pixel.
    """

    name: str
    picture: np.ndarray
    pose: np.ndarray
    focal: float
    corner: np.ndarray

    def colors(self, points: np.ndarray) -> np.ndarray:
        """Colours ``(N, 3)`` float32 of points ``(N, 3)`` of the world."""
        height, width, _ = self.picture.shape
        places = (_slopes(self.pose, points) - self.corner) * self.focal
        last = np.array((width, height)) - 1
        mirrored = np.abs((places + last) % (2 * last) - last)
        corner = np.minimum(mirrored.astype(np.int64), last - 1)
        return bilinear(self.picture, corner, corner + 1, (mirrored - corner).astype(np.float32))


def photo_files(folder: Path) -> list[Path]:
    """The photos of a folder, in natural order; raises InputError where there is no such folder, or none in it."""
    if not folder.is_dir():
        raise InputError(f"places: {folder} must be a folder of photos, but there is none")
    files = [path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS]
    if not files:
        raise InputError(f"places: {folder} must have photos in it ({', '.join(_ENDINGS)}), but has none")
    return sorted(files, key=lambda path: natural_key(path.name))


def draw_photo(random: np.random.Generator, files: Sequence[Path], camera: Camera, planes: Planes) -> Photo:
    """One of the photos, cut and perhaps mirrored at random so that it covers what the camera sees in all of its frames.

    The projector stands where the camera is in its middle frame; of a camera that stands still, pixels of the photo are pixels
    of the picture.
    """
    file = files[int(random.integers(len(files)))]
    pose = camera.poses[len(camera.poses) // 2]
    low, high = _view(camera, planes, pose)
    width, height = (np.ceil((high - low) * camera.focal - 1e-3).astype(int) + 1).tolist()
    photo = load_image(file)
    if random.uniform() < 0.5:
        photo = photo[:, ::-1]
    room = np.array((photo.shape[1], photo.shape[0]), float)
    cut = np.array((width, height)) * (room / (width, height)).min() * random.uniform(0.75, 1)
    left, top = (room - cut) * random.uniform(size=2)
    box = (left, top, min(left + cut[0], room[0]), min(top + cut[1], room[1]))
    left, top, right, bottom = (round(edge) for edge in box)
    part = to_float(np.ascontiguousarray(photo[top : max(bottom, top + 1), left : max(right, left + 1)])[None])
    picture = F.interpolate(part, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    return Photo(file.name, picture[0].movedim(0, -1).numpy(), pose, camera.focal, low)


def _view(camera: Camera, planes: Planes, projector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest slopes ``(2,)``, seen from the projector ``(3, 4)``, of the scene in a camera's pictures."""
    half = (np.array((camera.size[1], camera.size[0])) - 1) / 2 / camera.focal
    steps = np.linspace(-1, 1, _STEPS)
    grid = np.stack(np.meshgrid(steps * half[0], steps * half[1], [1.0]), axis=-1).reshape(-1, 3)
    slopes = []
    for pose in camera.poses:
        points, _ = planes.meet(-pose[:, :3].T @ pose[:, 3], grid @ pose[:, :3])
        slopes.append(_slopes(projector, points))
    seen = np.clip(np.concatenate(slopes), -_WIDEST * half, _WIDEST * half)
    return seen.min(0), seen.max(0)


def _slopes(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Slopes x / z and y / z ``(N, 2)`` float64 in camera space; points behind the camera are taken to be just before it."""
    in_view = to_camera(pose, points.astype(np.float64))
    return in_view[:, :2] / np.maximum(in_view[:, 2:], 0.1)
