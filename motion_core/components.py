"""The networks that a pipeline consists of, and what they must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from .errors import InputError
from .networks.avd_network import AVDNetwork
from .networks.background_predictor import BackgroundPredictor
from .networks.dense_motion import DenseMotionNetwork
from .networks.image_generator import ImageGenerator
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.keypoint_detector import KeypointDetector
from .networks.view_fusion import ViewFusion
from .settings import Variant

COMPONENTS: dict[str, type] = {
    "keypoint_detector": KeypointDetector,
    "dense_motion_network": DenseMotionNetwork,
    "image_generator": ImageGenerator,
    "avd_network": AVDNetwork,
    "background_predictor": BackgroundPredictor,
    "selector": OptimalInterpolationSelector,
    "view_fusion": ViewFusion,
}
OPTIONAL = ("avd_network", "background_predictor", "selector", "view_fusion")


def check_components(parts: Mapping[str, Any], variant: str) -> None:
    """Check that networks, by their names in a pipeline, belong together and make up the variant.

    Raises:
        InputError: one is not of its class, they differ in the keypoints, the channels, the widths or the number of masks, or
            the variant lacks one or has one that it does not use.
    """
    if variant not in get_args(Variant):
        raise InputError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")
    for name, used in (("selector", variant != "tpsmm"), ("view_fusion", variant == "v2")):
        if (parts[name] is not None) != used:
            raise InputError(f"variant {variant!r} must {'have a' if used else 'have no'} {name}")
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
    if (fusion := parts["view_fusion"]) is not None:
        for setting in ("block_expansion", "max_features", "num_down_blocks"):
            wanted, found = parts["image_generator"].config[setting], fusion.config[setting]
            if found != wanted:
                raise InputError(f"view_fusion must have the image generator's {setting} {wanted}, got {found}")
