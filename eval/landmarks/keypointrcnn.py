"""Bodies by torchvision's Keypoint R-CNN with local weights. He et al., "Mask R-CNN", ICCV 2017."""

from __future__ import annotations

import numpy as np
import torch

from motion_core.media import to_float

from ..backends import digest, load_weights, weights_file
from .bodies import body_joints

_PERSON, _JOINT = 0.5, 0.0  # least score of a body, and of a joint (a logit); below it is not found


class KeypointRCNN:
    """``keypointrcnn:FILE``: the 18 joints of the body with the highest score.

    Args:
        argument: file with the weights of ``keypointrcnn_resnet50_fpn``.
        device: where it runs.

    Raises:
        InputError: there is no such file, or it does not belong to the model.
    """

    name, joints = "keypointrcnn", 18

    def __init__(self, argument: str | None, device: str = "cpu") -> None:
        import torchvision
        from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights, keypointrcnn_resnet50_fpn

        url = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.url
        path = weights_file(argument, "keypointrcnn:FILE", f"torchvision's are at {url}")
        network = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        load_weights(network, path)
        self._network, self._device = network.eval().to(device), device
        self.version = f"torchvision {torchvision.__version__}, weights {digest(path)}, scores {_PERSON} and {_JOINT}"

    @torch.inference_mode()
    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        people = self._network(list(to_float(image[None]).to(self._device)))[0]
        if not len(people["scores"]) or people["scores"][0] < _PERSON:  # in descending order
            return np.full((self.joints, 2), np.nan)
        points = (
            people["keypoints"][0, :, :2].double().cpu().numpy() - 0.5
        )  # (17, 2); torchvision's are from the corner
        return body_joints(points, people["keypoints_scores"][0].cpu().numpy() > _JOINT)
