"""A network in an ONNX file: its input's size, and what it makes of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from motion_core.errors import InputError, first_sentence
from motion_core.framing import place_in, to_network
from motion_core.media import to_float

from .backends import digest, optional


class OnnxNetwork:
    """Runs an ONNX file on the CPU.

    Attributes:
        size: (height, width) of its input.
        version: of onnxruntime, and the file's digest.

    Raises:
        InputError: onnxruntime is not installed, or the file is not a network that takes one RGB image of a fixed size.
    """

    def __init__(self, path: Path) -> None:
        runtime: Any = optional("onnxruntime", "onnx", "an ONNX network")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            raise InputError(f"{path}: must be an ONNX network ({first_sentence(error)})") from error
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        match shape:
            case [_, 3, int(height), int(width)] if len(inputs) == 1:
                self._last = False
            case [_, int(height), int(width), 3] if len(inputs) == 1:
                self._last = True
            case _:
                raise InputError(
                    f"{path}: must have one input (N, 3, H, W) or (N, H, W, 3) of a fixed size, got {shape} of {len(inputs)}"
                )
        self._input, self.size = inputs[0].name, (height, width)
        self.version = f"onnxruntime {runtime.__version__}, file {digest(path)}"

    def __call__(self, image: np.ndarray, mean: np.ndarray, std: np.ndarray) -> list[np.ndarray]:
        """What the network makes of an image ``(H, W, 3)`` uint8, fitted to its size with the aspect kept.

        Args:
            mean, std: ``(3,)``, on the scale from 0 to 255: the network gets (image - mean) / std.
        """
        fitted = to_network(
            to_float(image[None]), place_in((image.shape[0], image.shape[1]), self.size)
        )  # (1, 3, h, w)
        pixels = (255 * fitted.permute(0, 2, 3, 1).numpy() - mean) / std  # (1, h, w, 3)
        ordered = pixels if self._last else pixels.transpose(0, 3, 1, 2)
        outputs: list[np.ndarray] = self._session.run(None, {self._input: np.ascontiguousarray(ordered, np.float32)})
        return outputs
