"""BlazePose as an instrument: the 18 joints of the person in a picture, and where the person is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

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
        centre, half = np.array([width, height]) / 2, max(height, width) / 2  # pixels from the picture's corner
        for step in range(ROUNDS):
            left, above = centre - half
            scale = 2 * half / SIDE
            crop = Image.fromarray(image).transform(
                (SIDE, SIDE), Image.Transform.AFFINE, (scale, 0, left, 0, scale, above), Image.Resampling.BILINEAR
            )
            levels = self._network.encode(to_float(np.array(crop)[None]))
            pose = self._network.pose(levels)
            points = pose.landmarks[0].double().numpy() * scale + (left, above)  # (39, 2)
            if step < ROUNDS - 1:
                centre = points[CENTRE]
                half = max(1.0, MARGIN * float(np.linalg.norm(points[REACH] - points[CENTRE])))
        mask = Image.fromarray(self._network.mask(levels)[0, 0].sigmoid().numpy()).transform(
            (width, height),
            Image.Transform.AFFINE,
            (1 / scale, 0, -left / scale, 0, 1 / scale, -above / scale),
            Image.Resampling.BILINEAR,
        )  # 0 outside of the crop
        seen = pose.visibility[0].numpy()[: len(POSE)] >= VISIBLE
        joints = body_joints(points[: len(POSE)] - 0.5, seen, POSE)
        return FoundPerson(joints, np.asarray(mask) > 0.5, float(pose.score[0]))
