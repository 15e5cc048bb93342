"""Bodies by RTMPose in an ONNX file: one distribution a joint and axis (SimCC), whose highest place is the joint.

Jiang et al., "RTMPose: real-time multi-person pose estimation based on MMPose", 2023.
"""

from __future__ import annotations

import numpy as np
import torch

from motion_core.errors import InputError
from motion_core.framing import picture_points, place_in

from ..backends import weights_file
from ..onnx_session import OnnxNetwork
from .bodies import body_joints

_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # of ImageNet, RGB
_SCORE = 0.3  # below it a joint is not found


class RTMPose:
    """``onnx:FILE``: the 18 joints of a body; of models with more joints than COCO's 17, the first 17.

    No person is looked for: the whole image is taken for the person's box, as the field's body videos are cut.

    Args:
        argument: the file.
        device: not used; it runs on the CPU.

    Raises:
        InputError: onnxruntime or the file is missing, or the file is not such a network.
    """

    name, joints = "onnx", 18

    def __init__(self, argument: str | None, device: str = "cpu") -> None:
        path = weights_file(argument, "onnx:FILE", "take an end2end.onnx of RTMPose from MMPose's model zoo")
        self._network = OnnxNetwork(path)
        self.version = f"{self._network.version}, score {_SCORE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        outputs = self._network(image, _MEAN, _STD)
        shapes = [output.shape for output in outputs]
        if len(outputs) != 2 or not all(len(shape) == 3 and shape[0] == 1 and shape[1] >= 17 for shape in shapes):
            raise InputError(f"onnx: RTMPose must have two outputs (1, J, bins) with J of 17 or more, got {shapes}")
        places = np.stack([output[0, :17].argmax(axis=-1) for output in outputs], axis=-1)  # (17, 2)
        scores = np.stack([output[0, :17].max(axis=-1) for output in outputs], axis=-1).min(axis=-1)  # (17,)
        bins = np.array([output.shape[-1] for output in outputs])
        height, width = self._network.size
        pixels = places / (bins / [width, height])  # bins are a whole number of times finer than pixels
        points = torch.from_numpy(2 * pixels / [width - 1, height - 1] - 1)
        placement = place_in((image.shape[0], image.shape[1]), self._network.size)
        shares = (picture_points(points, placement).numpy() + 1) / 2
        return body_joints(shares * [image.shape[1] - 1, image.shape[0] - 1], scores >= _SCORE)
