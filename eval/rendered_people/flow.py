"""The exact motion between any two frames of a rendered clip, and how far a model's deformation is from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motion_core.errors import InputError
from motion_core.geometry import resize_grid

from .annotations import Annotations, check_frames
from .camera import pixel_rays, project, to_camera
from .rasterizer import facing, on_faces

_SLACK = 0.012  # metres; how far behind the surface that is seen in a pixel a point still counts as that surface


@dataclass(frozen=True)
class Flow:
    """Where what is seen in frame i is in frame j.

    Attributes:
        displacement: ``(H, W, 2)`` pixels (x, y): pixel p of frame i shows what is at p + displacement[p] in frame j. Right
            wherever `on_figure` is; 0 elsewhere.
        on_figure: ``(H, W)`` bool, where frame i shows the figure.
        visible: ``(H, W)`` bool, where frame j shows it too: in its picture, turned to the camera, and with nothing in front.
    """

    displacement: np.ndarray
    on_figure: np.ndarray
    visible: np.ndarray


def flow(clip: Annotations, i: int, j: int) -> Flow:
    """The exact flow from frame i to frame j.

    For each pixel's centre the face it shows is known. The ray through it meets that face at a point with certain barycentric
    coordinates; the same ones in frame j's surface, projected, are where that point has gone.

    As a *deformation* (driving -> source) take i = the driving frame and j = the source frame.

    Raises:
        InputError: there is no such frame.
    """
    check_frames(clip, i, j)
    height, width = clip.size
    rows, columns = np.nonzero(clip.seen[i] >= 0)
    faces = clip.surface["faces"][clip.seen[i, rows, columns]]
    before, after = clip.vertices(i), clip.vertices(j)
    shares, _ = on_faces(before, faces, clip.rays[rows, columns])
    points = (shares[..., None] * after[faces]).sum(1)  # (N, 3) in the camera space of frame j
    places = project(points, clip.focal, clip.size)
    displacement = np.zeros((height, width, 2))
    displacement[rows, columns] = places - np.stack((columns, rows), axis=1)
    visible = np.zeros((height, width), bool)
    same_side = facing(before, faces) == facing(after, faces)
    visible[rows, columns] = same_side & in_front(clip, j, after, points, places)
    return Flow(displacement, clip.seen[i] >= 0, visible)


def in_front(clip: Annotations, frame: int, vertices: np.ndarray, points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether points (N, 3), seen at places (N, 2), have nothing of the figure in front of them."""
    height, width = clip.size
    nearest = np.round(places)
    inside = (nearest >= 0).all(1) & (nearest < (width, height)).all(1) & (points[:, 2] > 0)
    column, row = np.where(inside[:, None], nearest, 0).astype(int).T
    face = clip.seen[frame, row, column]
    # The plane of the face that the nearest pixel shows, followed to the place itself: no error from its slope.
    rays = points / np.where(inside, points[:, 2], 1)[:, None]
    _, depth = on_faces(vertices, clip.surface["faces"][np.maximum(face, 0)], rays)
    return inside & (face >= 0) & (points[:, 2] <= depth + _SLACK)


_STEPS = 48  # places across and down a picture at which the movement is looked at
_UNSEEN = 0.05  # weight of what is outside of the other frame, against 1 of what is inside of it


def background_transform(clip: Annotations, i: int, j: int) -> np.ndarray:
    """The affine transform that takes the background of frame i to that of frame j.

    The least squares over the places of frame i that do not show the figure: where its floor and wall, which the ray meets,
    are seen in frame j. What frame j shows counts most.

    As the background's part of a *deformation* (driving -> source) take i = the driving frame and j = the source frame.

    Returns:
        ``(3, 3)`` float64 with the last row (0, 0, 1), for columns (x, y, 1) with x and y in [-1, 1], corner-aligned: -1 and
        1 are the centres of the first and the last pixel. The identity where the camera stands still.

    Raises:
        InputError: there is no such frame, or the data are from before the planes of scenes were written.
    """
    check_frames(clip, i, j)
    planes = clip.planes
    if np.array_equal(clip.camera[i], clip.camera[j]):
        return np.eye(3)
    height, width = clip.size
    rows, columns = (np.unique(np.linspace(0, side - 1, _STEPS).round().astype(int)) for side in (height, width))
    behind = clip.seen[i][np.ix_(rows, columns)] < 0
    behind = behind if behind.any() else ~behind
    pose = clip.camera[i]
    rays = pixel_rays(clip.size, clip.focal)[np.ix_(rows, columns)][behind] @ pose[:, :3]  # (N, 3) in the world
    points, _ = planes.meet(-pose[:, :3].T @ pose[:, 3], rays)
    in_view = to_camera(clip.camera[j], points)
    ahead = in_view[:, 2] > 0.1
    side = (np.array((width, height)) - 1) / 2
    y, x = np.nonzero(behind)
    before = np.stack((columns[x], rows[y]), axis=1)[ahead] / side - 1  # (N, 2) in [-1, 1]
    after = project(in_view[ahead], clip.focal, clip.size) / side - 1
    weights = np.where((np.abs(after) <= 1).all(1), 1.0, _UNSEEN)[:, None]
    known = np.concatenate((before, np.ones((len(before), 1))), axis=1)  # (N, 3)
    solution = np.linalg.lstsq(known * weights, after * weights, rcond=None)[0]  # (3, 2)
    return np.concatenate((solution.T, ((0.0, 0.0, 1.0),)))


def end_point_error(deformation: Tensor, exact: Flow) -> tuple[float, int]:
    """Mean distance in pixels between where a deformation points and where the surface really is in the source.

    Over the pixels of the driving frame that show a part of the figure which the source shows too; where it is hidden there,
    there is nothing right to point to.

    Args:
        deformation: ``(h, w, 2)`` absolute backward grid in [-1, 1], corner-aligned, of any size.
        exact: `flow.flow` from the driving frame to the source frame.

    Returns:
        The mean, NaN if there are no such pixels, and how many pixels there are.

    Raises:
        InputError: the deformation has another shape.

    Example:
        >>> import numpy as np, torch
        >>> from motion_core.geometry import identity_grid
        >>> mask = np.ones((8, 8), bool)
        >>> exact = Flow(np.full((8, 8, 2), (3.0, 4.0)), mask, mask)
        >>> end_point_error(identity_grid(8, 8, torch.zeros(1).double()), exact)
        (5.0, 64)
    """
    if deformation.ndim != 3 or deformation.shape[-1] != 2:
        raise InputError(f"deformation: must have the shape (h, w, 2), got {tuple(deformation.shape)}")
    height, width = exact.visible.shape
    grid = resize_grid(deformation.detach().double().cpu()[None], height, width)[0].numpy()
    places = (grid + 1) / 2 * (np.array((width, height)) - 1)  # (H, W, 2)
    moved = places - np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    distance = np.linalg.norm(moved[exact.visible] - exact.displacement[exact.visible], axis=-1)
    return (float(distance.mean()) if len(distance) else float("nan")), len(distance)
