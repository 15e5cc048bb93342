"""The 68 points of a face by dlib, offline."""

from __future__ import annotations

import numpy as np

from ..backends import no_argument
from ..dlib_models import DlibModels


class Dlib68:
    """The 68 points of the largest face: all of them, or none. Raises InputError where dlib is not installed."""

    name, joints = "dlib", 68

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument("dlib", argument)
        self._models = DlibModels()
        self.version = f"{self._models.version}, shape_predictor_68_face_landmarks"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        points = self._models.points(image)
        if points is None:
            return np.full((self.joints, 2), np.nan)
        return np.array([(point.x, point.y) for point in points.parts()], np.float64)
