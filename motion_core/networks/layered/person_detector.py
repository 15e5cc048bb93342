"""Image to keypoints of a person's limbs, and its silhouette."""

from __future__ import annotations

from pathlib import Path

from diffusers.configuration_utils import register_to_config

from ..base import CoordinateModel, public_component
from .blaze_pose import BlazePose

SHIPPED_DETECTOR = Path(__file__).resolve().parents[2] / "weights" / "person_detector"  # comes with the package


@public_component
class PersonDetector(CoordinateModel):
    """Finds the limbs of a person in a picture of any size."""

    _keep_in_fp32_modules = ["network"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.network = BlazePose()
