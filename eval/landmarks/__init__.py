"""Landmark detectors behind one protocol; `open_detector` finds them by name, and loads what they need only then.

Points are (x, y) in pixels, the middle of the first pixel at (0, 0). Numbers from different detectors do not compare, so a report
names the detector and its version.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..backends import open_backend


class LandmarkDetector(Protocol):
    """Finds the landmarks of one body or face.

    Attributes:
        name: what `open_detector` knows it by.
        version: of the library and of the weights; it differs where the numbers may.
        joints: how many landmarks there are (J).
    """

    name: str
    version: str
    joints: int

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """The landmarks ``(J, 2)`` float64 in an image ``(H, W, 3)`` uint8 RGB; NaN for what is not found.

        Where there are several bodies or faces, those of the most prominent one.

        Raises:
            InputError: the detector itself failed, which is not the same as finding nothing.
        """


DETECTORS = {
    "mediapipe-body": "eval.landmarks.bodies:MediapipeBody",
    "mediapipe-face": "eval.landmarks.faces:MediapipeFace",
    "dlib": "eval.landmarks.faces:DlibFaces",
    "face-alignment": "eval.landmarks.faces:FaceAlignment68",
    "blazepose": "eval.landmarks.bodies:BlazePoseInstrument",
    "benchmark": "eval.rendered_people.instruments:JointDetector",
}


def open_detector(spec: str, device: str = "cpu") -> LandmarkDetector:
    """The detector of that name, ``NAME`` or ``NAME:FILE`` for those whose weights are a local file.

    Args:
        spec: a key of `DETECTORS`, and what follows it.
        device: for those that run on torch.

    Raises:
        InputError: no such detector, or something that it needs is missing; the message says which extra or file to install.
    """
    return open_backend("detector", DETECTORS, spec, device)
