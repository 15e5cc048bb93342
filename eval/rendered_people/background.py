"""The transform of the background that the camera's movement makes, as networks model it: an affine one."""

from __future__ import annotations

import numpy as np

from .annotations import Annotations, check_frames
from .camera import project, to_camera
from .surface import pixel_rays

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
