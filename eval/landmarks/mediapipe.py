"""Bodies and faces by mediapipe 0.10.21, whose models are in the package; it runs in an environment of its own.

mediapipe needs numpy below 2 and protobuf below 5, which the rest of the project does not bear; see `eval.workers`.
"""

from __future__ import annotations

import numpy as np

from ..backends import no_argument
from ..workers import Worker, start_worker
from .bodies import body_joints

# In the order of mediapipe's pose landmarks; those without a place among the 18 joints keep their number.
POSE = tuple(
    {
        0: "nose", 2: "left eye", 5: "right eye", 7: "left ear", 8: "right ear", 11: "left shoulder", 12: "right shoulder",
        13: "left elbow", 14: "right elbow", 15: "left wrist", 16: "right wrist", 23: "left hip", 24: "right hip",
        25: "left knee", 26: "right knee", 27: "left ankle", 28: "right ankle",
    }.get(number, str(number))
    for number in range(33)
)  # fmt: skip
VISIBLE = 0.5  # mediapipe guesses every joint of a body; below this it takes a joint itself for hidden


class MediapipeBody:
    """The 18 joints of a body; one that mediapipe takes for hidden is not found."""

    name, joints = "mediapipe-body", 18

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.version = f"{worker.version}, model_complexity 1, visibility {VISIBLE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        points = self._worker.ask(image)  # (33 or 0, 3): x, y, visibility
        if not len(points):
            return np.full((self.joints, 2), np.nan)
        return body_joints(points[:, :2], points[:, 2] >= VISIBLE, POSE)


class MediapipeFace:
    """The 468 points of a face mesh: all of them, or none."""

    name, joints = "mediapipe-face", 468

    def __init__(self, worker: Worker) -> None:
        self._worker, self.version = worker, worker.version

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        points = self._worker.ask(image)  # (468 or 0, 3)
        return points[:, :2] if len(points) else np.full((self.joints, 2), np.nan)


def body(argument: str | None, device: str) -> MediapipeBody:
    """Start the worker for bodies; it always runs on the CPU. Raises InputError if it is not installed."""
    no_argument("mediapipe-body", argument)
    return MediapipeBody(start_worker("mediapipe", "body"))


def face(argument: str | None, device: str) -> MediapipeFace:
    """Start the worker for faces; it always runs on the CPU. Raises InputError if it is not installed."""
    no_argument("mediapipe-face", argument)
    return MediapipeFace(start_worker("mediapipe", "face"))
