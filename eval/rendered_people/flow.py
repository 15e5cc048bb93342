"""The exact flow between any two frames of a rendered clip, on the figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .annotations import Annotations, check_frames
from .camera import project
from .surface import facing, on_faces

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
