"""The 18 joints of a body that the field measures (OpenPose's), out of the 17 of COCO."""

from __future__ import annotations

import numpy as np

JOINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist", "right hip",
    "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
COCO = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow", "right elbow",
    "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip


def body_joints(points: np.ndarray, found: np.ndarray, names: tuple[str, ...] = COCO) -> np.ndarray:
    """The 18 joints in the order of `JOINTS`, out of a detector's own.

    The neck is the middle of the shoulders, where both are found.

    Args:
        points: ``(P, 2)``.
        found: ``(P,)`` bool.
        names: of the P points; those that are not in `JOINTS` are left out.

    Returns:
        ``(18, 2)`` float64, NaN for what is not found.

    Example:
        >>> points = np.zeros((17, 2))
        >>> points[6] = 4.0, 2.0
        >>> body_joints(points, np.arange(17) == 6)[2].tolist()
        [4.0, 2.0]
        >>> body_joints(points, (np.arange(17) == 5) | (np.arange(17) == 6))[1].tolist()
        [2.0, 1.0]
    """
    own = {name: np.where(seen, point, np.nan) for name, point, seen in zip(names, points, found, strict=True)}
    own["neck"] = (own["left shoulder"] + own["right shoulder"]) / 2
    return np.stack([own[name] for name in JOINTS]).astype(np.float64)
