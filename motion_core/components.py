"""The networks that a pipeline consists of, and what they must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InputError
from .networks.avd_network import AVDNetwork
from .networks.background_predictor import BackgroundPredictor
from .networks.dense_motion import DenseMotionNetwork
from .networks.image_generator import ImageGenerator
from .networks.keypoint_detector import KeypointDetector

COMPONENTS: dict[str, type] = {
    "keypoint_detector": KeypointDetector,
    "dense_motion_network": DenseMotionNetwork,
    "image_generator": ImageGenerator,
    "avd_network": AVDNetwork,
    "background_predictor": BackgroundPredictor,
}
OPTIONAL = ("avd_network", "background_predictor")


def check_components(parts: Mapping[str, Any]) -> None:
    """Check that networks, by their names in a pipeline, belong together.

    Raises:
        InputError: one is not of its class, or they differ in the keypoints, the channels or the number of masks.
    """
    for name, cls in COMPONENTS.items():
        if not isinstance(parts[name], cls) and not (parts[name] is None and name in OPTIONAL):
            raise InputError(f"{name} must be a {cls.__name__}, got {type(parts[name]).__name__}")
    detector = parts["keypoint_detector"].config
    for name, network in parts.items():
        for setting in ("num_splines", "points_per_spline", "image_channels") if network is not None else ():
            found = network.config.get(setting, detector[setting])
            if found != detector[setting]:
                raise InputError(f"{name} must have the keypoint detector's {setting} {detector[setting]}, got {found}")
    masks = [parts[name].config["num_masks"] for name in ("dense_motion_network", "image_generator")]
    if masks[0] != masks[1]:
        raise InputError(
            f"image_generator must take the {masks[0]} occlusion masks that dense_motion_network gives, got num_masks {masks[1]}"
        )
