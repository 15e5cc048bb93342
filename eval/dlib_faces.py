"""Faces by dlib, offline: their 68 points, and who it is in 128 numbers."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError

from .backends import no_argument, optional

_POINTS = Path("shape_predictor_68_face_landmarks.dat")
_IDENTITY = Path("dlib_face_recognition_resnet_model_v1.dat")
_UPSAMPLE = 1  # times that the image is doubled before faces are looked for: they are found from about 40 pixels on


class DlibFaces:
    """A `LandmarkDetector` and an `IdentityEmbedder` for the largest face; its models are in face_recognition_models.

    All 68 points are found, or none. Embeddings ``(128,)`` of one person are usually less than 0.6 apart. The 68-point model was
    trained on data for non-commercial use. Each model is loaded when it is first used.

    Raises:
        InputError: the packages are not installed, or there is an argument.
    """

    name, joints = "dlib", 68

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument("dlib", argument)
        self._dlib: Any = optional("dlib", "faces", "dlib's face detector")
        package = find_spec("face_recognition_models")
        if package is None or not package.submodule_search_locations:
            raise InputError(
                "dlib's face models need face_recognition_models, which is not installed: pip install '.[faces]'"
            )
        # It is not imported: its code needs pkg_resources, which new versions of setuptools do not have.
        self._folder = Path(next(iter(package.submodule_search_locations))) / "models"
        self.version = f"dlib {self._dlib.__version__}, {_POINTS.stem}, {_IDENTITY.stem}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        face = self._face(image)
        if face is None:
            return np.full((self.joints, 2), np.nan)
        return np.array([(point.x, point.y) for point in face.parts()], np.float64)

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.embedders.IdentityEmbedder`."""
        face = self._face(image)
        return None if face is None else np.array(self._identity.compute_face_descriptor(image, face))

    def _face(self, image: np.ndarray) -> Any:
        """dlib's description of the largest face in an image ``(H, W, 3)`` uint8, or None."""
        faces = self._faces(image, _UPSAMPLE)
        return self._shape(image, max(faces, key=lambda face: face.area())) if len(faces) else None

    @cached_property
    def _faces(self) -> Any:
        return self._dlib.get_frontal_face_detector()

    @cached_property
    def _shape(self) -> Any:
        return self._dlib.shape_predictor(str(self._folder / _POINTS))

    @cached_property
    def _identity(self) -> Any:
        return self._dlib.face_recognition_model_v1(str(self._folder / _IDENTITY))
