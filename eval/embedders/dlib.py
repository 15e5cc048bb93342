"""Faces as 128 numbers by dlib, offline."""

from __future__ import annotations

import numpy as np

from ..backends import no_argument
from ..dlib_models import DlibModels


class DlibFace:
    """The embedding of the largest face; two of one person are usually less than 0.6 apart.

    Raises InputError where dlib is not installed.
    """

    name = "dlib"

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument("dlib", argument)
        self._models = DlibModels()
        self.version = f"{self._models.version}, dlib_face_recognition_resnet_model_v1"

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.embedders.IdentityEmbedder`; ``(128,)``."""
        return self._models.embedding(image)
