"""BlazePose as an instrument: the 18 joints of the person in a picture, and where the person is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from motion_core.media import to_float
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR, PersonDetector

from ..backends import no_argument
from .bodies import body_joints
from .mediapipe import POSE, VISIBLE


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


def open_blazepose(argument: str | None, device: str) -> BlazePoseInstrument:
    """For `eval.landmarks.open_detector`; it runs on a processor, whatever the device."""
    no_argument(BlazePoseInstrument.name, argument)
    return BlazePoseInstrument()


class BlazePoseInstrument:
    """Finds one person, however the picture is held, as `PersonDetector` does, with BlazePose's own landmarks.

    The joints of a picture that hardly shows a person are still given: `FoundPerson.score` says so.
    """

    name, joints = "blazepose", 18

    def __init__(self) -> None:
        self._detector = PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval()
        self.version = f"BlazePose full, turned so that the trunk is upright, visibility {VISIBLE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        return self.find(image).joints

    @torch.inference_mode()
    def find(self, image: np.ndarray) -> FoundPerson:
        """The person in an image ``(H, W, 3)`` uint8 RGB."""
        person = self._detector.detect(to_float(np.ascontiguousarray(image)[None]))
        seen = person.visibility[0].numpy()[: len(POSE)] >= VISIBLE
        joints = body_joints(person.landmarks[0, : len(POSE)].double().numpy(), seen, POSE)
        assert person.silhouette is not None  # it was asked for
        return FoundPerson(joints, person.silhouette[0, 0].numpy() > 0.5, float(person.score[0]))
