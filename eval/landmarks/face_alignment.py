"""The 68 points of a face by the package face-alignment, which the field uses.

Bulat & Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV 2017.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

from motion_core.errors import InputError

from ..backends import no_argument, optional


class FaceAlignment68:
    """The 68 points of the largest face: all of them, or none.

    The package fetches its weights when it is used; here they must lie in torch.hub's folder already.

    Args:
        argument: None.
        device: where it runs.

    Raises:
        InputError: the package or its weights are missing.
    """

    name, joints = "face-alignment", 68

    def __init__(self, argument: str | None = None, device: str = "cpu") -> None:
        no_argument("face-alignment", argument)
        package: Any = optional("face_alignment", "face-alignment", "the detector face-alignment")
        detector: Any = optional("face_alignment.detection.sfd.sfd_detector", "face-alignment", "face-alignment")
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        urls = [package.api.models_urls["2DFAN-4"], detector.models_urls["s3fd"]]
        for url in urls:
            file = folder / Path(urlparse(url).path).name
            if not file.is_file():
                raise InputError(f"face-alignment needs the file {file}, which is not there: take it from {url}")
        self._network = package.FaceAlignment(package.LandmarksType.TWO_D, device=device, compile=False)
        self.version = f"face-alignment {version('face-alignment')}, {', '.join(Path(url).name for url in urls)}"

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """See `eval.landmarks.LandmarkDetector`."""
        faces, _, boxes = self._network.get_landmarks_from_image(image, return_bboxes=True)
        if not faces:
            return np.full((self.joints, 2), np.nan)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]
        return np.asarray(faces[int(np.argmax(areas))], np.float64)
