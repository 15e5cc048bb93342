"""Bodies: the 18 joints that the field measures (OpenPose's), by mediapipe 0.10.21 or by BlazePose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from motion_core.media import to_float
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR, PersonDetector

from ..rendered_people import skeleton
from ..workers import start_worker
from . import no_argument

JOINTS = tuple(name.replace("_", " ") for name in skeleton.JOINTS)
# In the order of mediapipe's pose landmarks; those without a place among the 18 joints keep their number.
POSE = tuple(
    {
        0: "nose", 2: "left eye", 5: "right eye", 7: "left ear", 8: "right ear", 11: "left shoulder", 12: "right shoulder",
        13: "left elbow", 14: "right elbow", 15: "left wrist", 16: "right wrist", 23: "left hip", 24: "right hip",
        25: "left knee", 26: "right knee", 27: "left ankle", 28: "right ankle",
    }.get(number, str(number))
    for number in range(33)
)  # fmt: skip
VISIBLE = 0.5  # mediapipe guesses every joint of a body; below this it takes a joint itself for hidden


def body_joints(points: np.ndarray, found: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The 18 joints in the order of `JOINTS`. The neck is the middle of the shoulders, where both are found.

    Args:
        points: ``(P, 2)``.
        found: ``(P,)`` bool.
        names: of the P points, all of `JOINTS` but the neck among them; others are left out.

    Returns:
        ``(18, 2)`` float64, NaN for what is not found.

    Example:
        >>> names = [name for name in JOINTS if name != "neck"]
        >>> seen = np.array(["shoulder" in name for name in names])
        >>> points = np.where(np.array(names) == "left shoulder", 4.0, 0.0)[:, None] * np.array([1.0, 0.5])
        >>> body_joints(points, seen, names)[[1, 2, 5]].tolist()
        [[2.0, 1.0], [0.0, 0.0], [4.0, 2.0]]
    """
    own = {name: np.where(seen, point, np.nan) for name, point, seen in zip(names, points, found, strict=True)}
    own["neck"] = (own["left shoulder"] + own["right shoulder"]) / 2
    return np.stack([own[name] for name in JOINTS]).astype(np.float64)


class MediapipeBody:
    """mediapipe in its own environment, on the CPU (see `eval.workers`); a joint that it takes for hidden is not found.

    Raises:
        InputError: it is not installed.
    """

    name, joints = "mediapipe-body", 18

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument(self.name, argument)
        self._worker = start_worker("body")
        self.version = f"{self._worker.version}, model_complexity 1, visibility {VISIBLE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`."""
        points = self._worker.ask(image)  # (33 or 0, 3): x, y, visibility
        if not len(points):
            return np.full((self.joints, 2), np.nan)
        return body_joints(points[:, :2], points[:, 2] >= VISIBLE, POSE)


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
    """Finds one person, however the picture is held, as `PersonDetector` does, with BlazePose's own landmarks, on the CPU.

    The joints of a picture that hardly shows a person are still given: `FoundPerson.score` says so.
    """

    name, joints = "blazepose", 18

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument(self.name, argument)
        self._detector = PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval()
        self.version = f"BlazePose full, where its own detector finds a person, visibility {VISIBLE}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.instruments.LandmarkDetector`."""
        return self.find(image).joints

    @torch.inference_mode()
    def find(self, image: np.ndarray) -> FoundPerson:
        """The person in an image ``(H, W, 3)`` uint8 RGB."""
        person = self._detector.detect(to_float(np.ascontiguousarray(image)[None]))
        seen = person.visibility[0].numpy()[: len(POSE)] >= VISIBLE
        joints = body_joints(person.landmarks[0, : len(POSE)].double().numpy(), seen, POSE)
        assert person.silhouette is not None  # it was asked for
        return FoundPerson(joints, person.silhouette[0, 0].numpy() > 0.5, float(person.score[0]))
