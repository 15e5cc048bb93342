"""Facenet-style networks in ONNX files as embedders: an image that shows a face, and a vector on the unit sphere."""

from __future__ import annotations

import numpy as np

from motion_core.errors import InputError

from ..backends import weights_file
from ..onnx_session import OnnxNetwork

_GREY, _HALF = np.full(3, 127.5), np.full(3, 128.0)  # facenet's fixed normalisation


class OnnxModel:
    """``onnx:FILE``: gets the whole image as (x - 127.5) / 128; its output is scaled to length 1.

    Faces are not looked for: the videos must show one, as the field's face videos do.

    Args:
        argument: the file.
        device: not used; it runs on the CPU.

    Raises:
        InputError: onnxruntime or the file is missing, or the file is not such a network.
    """

    name = "onnx"

    def __init__(self, argument: str | None, device: str = "cpu") -> None:
        path = weights_file(argument, "onnx:FILE", "export a face embedder such as facenet or ArcFace to ONNX")
        self._network = OnnxNetwork(path)
        self.version = self._network.version

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.embedders.IdentityEmbedder`."""
        output = self._network(image, _GREY, _HALF)[0]
        if output.ndim != 2 or len(output) != 1:
            raise InputError(f"onnx: an embedder's first output must be (1, D), got {output.shape}")
        vector = output[0].astype(np.float64)
        return vector / np.linalg.norm(vector)
