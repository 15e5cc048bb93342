"""The field's metrics of one frame or one video, in the published form and the clean form; pure functions.

Frames are ``(H, W, 3)`` uint8 RGB. Landmarks are ``(J, 2)``, (x, y) in pixels, NaN where a joint was not found. NaN comes out
where a metric is not defined; `eval.evaluation` gives the reason.
"""

from __future__ import annotations

import math

import numpy as np

from motion_core.motion_modes import hull_area


def l1(made: np.ndarray, real: np.ndarray) -> float:
    """Mean absolute difference of two frames on the scale from 0 to 1; the published and the clean form are the same.

    Example:
        >>> l1(np.full((2, 2, 3), 51, np.uint8), np.zeros((2, 2, 3), np.uint8))
        0.2
    """
    return float(np.abs(made.astype(np.float64) - real).mean() / 255)


def found(landmarks: np.ndarray) -> np.ndarray:
    """Which joints ``(..., J)`` of landmarks ``(..., J, 2)`` were found.

    Example:
        >>> found(np.array([[1.0, 2.0], [np.nan, np.nan]])).tolist()
        [True, False]
    """
    return ~np.isnan(landmarks).any(axis=-1)


def akd(made: np.ndarray, real: np.ndarray) -> float:
    """Average keypoint distance, the clean form: mean Euclidean distance in pixels, over the joints found in both frames.

    Example:
        >>> akd(np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [np.nan, np.nan]]))
        5.0
    """
    both = found(made) & found(real)
    return float(np.linalg.norm(made[both] - real[both], axis=-1).mean()) if both.any() else math.nan


def akd_per_coordinate(made: np.ndarray, real: np.ndarray) -> float:
    """Average keypoint distance as published: mean absolute difference per coordinate, in pixels, over the same joints.

    Siarohin et al., "Animating arbitrary objects via deep motion transfer", CVPR 2019, in their published code. It is at most the
    Euclidean distance, and at least half of it.

    Example:
        >>> akd_per_coordinate(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]))
        3.5
    """
    both = found(made) & found(real)
    return float(np.abs(made[both] - real[both]).mean()) if both.any() else math.nan


def mkr(made: np.ndarray, real: np.ndarray) -> float:
    """Missing keypoint rate: share of the joints found in the real frame that are missing in the made one.

    Of one frame ``(J, 2)`` it is what the published form averages over frames; of a video ``(T, J, 2)`` it is the clean form, in
    which every joint counts the same.

    Example:
        >>> mkr(np.array([[3.0, 4.0], [np.nan, np.nan]]), np.array([[0.0, 0.0], [1.0, 1.0]]))
        0.5
    """
    there = found(real)
    return float((there & ~found(made)).sum() / there.sum()) if there.any() else math.nan


def aed(made: np.ndarray, real: np.ndarray) -> float:
    """Average Euclidean distance of identity embeddings ``(D,)``, the clean form: their L2 distance.

    Example:
        >>> aed(np.array([3.0, 4.0]), np.array([0.0, 0.0]))
        5.0
    """
    return float(np.linalg.norm(made.astype(np.float64) - real))


def aed_squared(made: np.ndarray, real: np.ndarray) -> float:
    """Average Euclidean distance as published: the *squared* L2 distance of identity embeddings ``(D,)``.

    Example:
        >>> aed_squared(np.array([3.0, 4.0]), np.array([0.0, 0.0]))
        25.0
    """
    return float(np.square(made.astype(np.float64) - real).sum())


def relative_target(source: np.ndarray, driving: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """The places where the landmarks of an animated picture should be, by the published relative protocol.

    ``(driving - initial) * sqrt(hull(source) / hull(initial)) + source``, hull the area of the convex hull of the joints found in
    both; Siarohin et al., "First order motion model for image animation", NeurIPS 2019, there for the model's own keypoints.

    Args:
        source: landmarks of the picture ``(J, 2)``.
        driving: of a frame of the driving video ``(J, 2)``.
        initial: of the driving frame whose pose counts as the picture's ``(J, 2)``.

    Returns:
        ``(J, 2)``; NaN for a joint that is not found in all three, and everywhere if the joints span no area.

    Example:
        >>> square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
        >>> relative_target(3 * square, square + [1.0, 0.0], square)[0].tolist()
        [3.0, 0.0]
    """
    both = found(source) & found(initial)
    areas = [hull_area(points[both]) for points in (source, initial)]
    scale = math.sqrt(areas[0] / areas[1]) if both.any() and min(areas) > 0 else math.nan
    return (driving - initial) * scale + source


def jitter(landmarks: np.ndarray) -> np.ndarray:
    """The length of each joint's second difference in time, ``|p[t+1] - 2 p[t] + p[t-1]|``, in pixels: how much it jumps.

    Steady motion has none, however fast it is.

    Args:
        landmarks: of a video, ``(T, J, 2)``.

    Returns:
        ``(T - 2, J)``; NaN where a joint is not found in all three frames.

    Example:
        >>> jitter(np.array([[[0.0, 0.0]], [[3.0, 4.0]], [[6.0, 8.0]], [[6.0, 8.0]]])).tolist()
        [[0.0], [5.0]]
    """
    return np.linalg.norm(np.diff(landmarks, n=2, axis=0), axis=-1)


def flicker(made: np.ndarray, real: np.ndarray, made_before: np.ndarray, real_before: np.ndarray) -> float:
    """The change of a result's error from one frame to the next: mean ``|(made - real) - (made_before - real_before)|``.

    On the scale from 0 to 1, over pixels and channels. A result that is wrong in the same way all the time has none, and the
    motion of the video itself is none.

    Example:
        >>> black, grey, white = (np.full((2, 2, 3), value, np.uint8) for value in (0, 51, 255))
        >>> flicker(grey, black, black, black), flicker(white, black, white, black)
        (0.2, 0.0)
    """
    change = made.astype(np.int64) - real - (made_before.astype(np.int64) - real_before)
    return float(np.abs(change).mean() / 255)
