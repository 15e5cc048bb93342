"""Motion transfer: animate the object in a picture with the motion of a video.

Public names are loaded when first used, so that importing the package, or only its geometry, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .version import __version__

_HOME = {
    "AVDNetwork": ".networks.tpsmm.avd_network",
    "BackgroundPredictor": ".networks.tpsmm.background_predictor",
    "DenseMotionNetwork": ".networks.tpsmm.dense_motion",
    "ImageGenerator": ".networks.tpsmm.image_generator",
    "OptimalInterpolationSelector": ".networks.interpolation_selector",
    "ViewFusion": ".networks.view_fusion",
    "KeypointDetector": ".networks.tpsmm.keypoint_detector",
    "PersonDetector": ".networks.layered.person_detector",
    "LayoutNetwork": ".networks.layered.layout_network",
    "LayerPainter": ".networks.layered.layer_painter",
    "CameraAligner": ".networks.layered.camera_aligner",
    "MotionInterpPipeline": ".pipeline",
    "AnimationOutput": ".animation",
    "OneEuro": ".settings",
    "AnimationSettings": ".settings",
    "Keypoints": ".structures",
    "DenseMotion": ".structures",
    "LayeredMotion": ".structures",
    "InputError": ".errors",
    "ModelMixin": ".diffusers_base",  # diffusers looks for its base class in the module that a saved pipeline names
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    value = getattr(import_module(home, __name__ if home.startswith(".") else None), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
