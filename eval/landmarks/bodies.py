"""The 18 joints of a body that the field measures (OpenPose's), out of a detector's own landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

JOINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist", "right hip",
    "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip


def body_joints(points: np.ndarray, found: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The 18 joints in the order of `JOINTS`. The neck is the middle of the shoulders, where both are found.

    Args:
        points: ``(P, 2)``.
        found: ``(P,)`` bool.
        names: of the P points, all of `JOINTS` but the neck among them; others are left out.

    Returns:
        ``(18, 2)`` float64, NaN for what is not found.

    Example:
        >>> names = [name for name in JOINTS if name != "neck"]
        >>> seen = np.array(["shoulder" in name for name in names])
        >>> points = np.where(np.array(names) == "left shoulder", 4.0, 0.0)[:, None] * np.array([1.0, 0.5])
        >>> body_joints(points, seen, names)[[1, 2, 5]].tolist()
        [[2.0, 1.0], [0.0, 0.0], [4.0, 2.0]]
    """
    own = {name: np.where(seen, point, np.nan) for name, point, seen in zip(names, points, found, strict=True)}
    own["neck"] = (own["left shoulder"] + own["right shoulder"]) / 2
    return np.stack([own[name] for name in JOINTS]).astype(np.float64)
