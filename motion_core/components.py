"""The networks that a pipeline consists of, and what they must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from .backbone import backbone_of
from .errors import InputError
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.layered.camera_aligner import CameraAligner
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.layout_network import LayoutNetwork
from .networks.layered.person_detector import PersonDetector
from .networks.tpsmm.avd_network import AVDNetwork
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .networks.view_fusion import ViewFusion
from .settings import Variant

# Of each component the classes that it may be: of the published backbone, or of the layered one.
COMPONENTS: dict[str, tuple[type, ...]] = {
    "keypoint_detector": (KeypointDetector, PersonDetector),
    "dense_motion_network": (DenseMotionNetwork, LayoutNetwork),
    "image_generator": (ImageGenerator, LayerPainter),
    "avd_network": (AVDNetwork,),
    "background_predictor": (BackgroundPredictor, CameraAligner),
    "selector": (OptimalInterpolationSelector,),
    "view_fusion": (ViewFusion,),
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
    for name, classes in COMPONENTS.items():
        if not isinstance(parts[name], classes) and not (parts[name] is None and name in OPTIONAL):
            names = " or a ".join(cls.__name__ for cls in classes)
            raise InputError(f"{name} must be a {names}, got {type(parts[name]).__name__}")
    detector = parts["keypoint_detector"].config
    for name, network in parts.items():
        for setting in ("num_splines", "points_per_spline", "image_channels") if network is not None else ():
            found = network.config.get(setting, detector[setting])
            if found != detector[setting]:
                raise InputError(f"{name} must have the keypoint detector's {setting} {detector[setting]}, got {found}")
    motion, generator = parts["dense_motion_network"], parts["image_generator"]
    backbone_of(motion, generator)
    if isinstance(motion, LayoutNetwork) and not isinstance(parts["keypoint_detector"], PersonDetector):
        raise InputError("a LayoutNetwork needs a PersonDetector, whose keypoints are limbs, as keypoint_detector")
    masks = [network.config.get("num_masks") for network in (motion, generator)]
    if masks[0] != masks[1]:
        raise InputError(
            f"image_generator must take the {masks[0]} occlusion masks that dense_motion_network gives, got num_masks {masks[1]}"
        )
    if (fusion := parts["view_fusion"]) is not None:
        for setting, wanted in fusion_widths(generator).items():
            found = fusion.config[setting]
            if found != wanted:
                raise InputError(f"view_fusion must have the image generator's {setting} {wanted}, got {found}")


def fusion_widths(generator: Any) -> dict[str, int]:
    """The sizes of a `ViewFusion` that fuses what an image generator is given: the deformed features, or colours."""
    if isinstance(generator, LayerPainter):
        channels = generator.config["image_channels"]
        return {"block_expansion": channels, "max_features": channels, "num_down_blocks": 0}
    return {name: generator.config[name] for name in ("block_expansion", "max_features", "num_down_blocks")}
