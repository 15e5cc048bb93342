"""BlazePose as an instrument: the 18 joints of the person in a picture, and where the person is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motion_core.geometry import sample
from motion_core.media import to_float
from motion_core.networks.layered.blaze_pose import CENTRE, REACH, SIDE
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR, PersonDetector

from .bodies import body_joints
from .mediapipe import POSE, VISIBLE

ROUNDS = 3  # each looks closer at what the one before found, the first at the whole picture
MARGIN = 1.25  # half the side of a crop over the person's reach


@dataclass(frozen=True)
class FoundPerson:
    """The person in a picture ``(H, W, 3)``.

    Attributes:
        joints: ``(18, 2)`` as of a `LandmarkDetector`.
        silhouette: ``(H, W)`` bool.
        score: in [0, 1], how likely there is a person. The joints are what they are if there is one.
    """

    joints: np.ndarray
    silhouette: np.ndarray
    score: float


class BlazePoseInstrument:
    """Finds one person; made for pictures of about 256 pixels, since larger ones are sampled without being smoothed.

    The joints of a picture that hardly shows a person are still given: `FoundPerson.score` says so.
    """

    name, joints = "blazepose", 18

    def __init__(self) -> None:
        self._network = PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval().network
        self.version = f"BlazePose full, {ROUNDS} rounds from the whole picture, visibility {VISIBLE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        return self.find(image).joints

    @torch.inference_mode()
    def find(self, image: np.ndarray) -> FoundPerson:
        """The person in an image ``(H, W, 3)`` uint8 RGB."""
        height, width = image.shape[:2]
        picture = to_float(np.ascontiguousarray(image)[None])  # (1, 3, H, W)
        centre, half = np.array([width, height]) / 2, max(height, width) / 2  # pixels from the picture's corner
        for step in range(ROUNDS):
            left, above = centre - half
            scale = 2 * half / SIDE
            levels = self._network.encode(_resampled(picture, (SIDE, SIDE), scale, (left, above)))
            pose = self._network.pose(levels)
            points = pose.landmarks[0].double().numpy() * scale + (left, above)  # (39, 2)
            if step < ROUNDS - 1:
                centre = points[CENTRE]
                half = max(1.0, MARGIN * float(np.linalg.norm(points[REACH] - points[CENTRE])))
        crop = self._network.mask(levels).sigmoid()  # (1, 1, SIDE, SIDE)
        mask = _resampled(crop, (height, width), 1 / scale, (-left / scale, -above / scale))  # 0 outside of the crop
        seen = pose.visibility[0].numpy()[: len(POSE)] >= VISIBLE
        joints = body_joints(points[: len(POSE)] - 0.5, seen, POSE)
        return FoundPerson(joints, mask[0, 0].numpy() > 0.5, float(pose.score[0]))


def _resampled(image: Tensor, size: tuple[int, int], scale: float, start: tuple[float, float]) -> Tensor:
    """An image ``(1, C, H, W)`` sampled bilinearly at other pixels, ``(1, C, h, w)``; black outside.

    Args:
        size: (h, w).
        scale, start: pixel edge i of the result is at i * scale + start, (x, y), from the image's corner.
    """
    (height, width), (rows, columns) = size, image.shape[-2:]
    x = (torch.arange(width) + 0.5) * scale + start[0] - 0.5
    y = (torch.arange(height) + 0.5) * scale + start[1] - 0.5
    across, down = 2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1
    grid = torch.stack((across.expand(height, -1), down[:, None].expand(-1, width)), dim=-1)
    return sample(image, grid[None].float())
