"""The networks of a training run: initialised by its configuration, or taken from a saved pipeline."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from motion_core.errors import InputError
from motion_core.networks.interpolation_selector import OptimalInterpolationSelector
from motion_core.networks.tpsmm.avd_network import AVDNetwork
from motion_core.networks.tpsmm.background_predictor import BackgroundPredictor
from motion_core.networks.tpsmm.dense_motion import DenseMotionNetwork
from motion_core.networks.tpsmm.image_generator import ImageGenerator
from motion_core.networks.tpsmm.keypoint_detector import KeypointDetector
from motion_core.networks.view_fusion import ViewFusion
from motion_core.pipeline import MotionInterpPipeline

from .config import TrainingConfig

CHANGEABLE = ("composed_view", "num_candidates")  # settings that no weight depends on


def build_networks(config: TrainingConfig) -> nn.ModuleDict:
    """The networks by their names in a pipeline, with the same weights for the same configuration.

    With `init_from`, what the saved pipeline has is taken from it, so that a variant can start from a plainer one.

    Raises:
        InputError: sizes that do not go together, or a saved pipeline whose networks differ from the configuration's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            networks = nn.ModuleDict(_made(config))
        except InputError:
            raise
        except ValueError as error:  # the networks say which size it is
            raise InputError(f"model: {error}") from None
    networks.to(memory_format=torch.channels_last)  # as convolutions read and write them, forwards and backwards
    if config.init_from is not None:
        _take_from(config.init_from, networks)
    pipeline_of(networks, config)  # the pipeline checks that they belong together and take the images
    return networks


def _made(config: TrainingConfig) -> dict[str, nn.Module]:
    model = config.model
    points = {"num_splines": model.num_splines, "points_per_spline": model.points_per_spline}
    made: dict[str, nn.Module] = {
        "keypoint_detector": KeypointDetector(**points, **model.keypoints.model_dump()),
        "dense_motion_network": DenseMotionNetwork(**points, **model.motion.model_dump()),
        "image_generator": ImageGenerator(**model.generator.model_dump(), num_masks=model.motion.num_masks),
    }
    if model.background:
        made["background_predictor"] = BackgroundPredictor(**model.background_motion.model_dump())
    if config.variant != "tpsmm":
        made["selector"] = OptimalInterpolationSelector(model.candidates)
    if config.variant == "v2":
        made["view_fusion"] = ViewFusion(**model.generator.model_dump(), composed_view=model.composed_view)
    if config.stage == "avd":
        made["avd_network"] = AVDNetwork(**points, **model.avd.model_dump())
    return made


def _take_from(name: str, networks: nn.ModuleDict) -> None:
    """Load the weights of the saved pipeline's networks into those of the same names."""
    saved: dict[str, Any] = MotionInterpPipeline.from_pretrained(name).components
    for part, network in networks.items():
        other = saved.get(part)
        if other is None:
            continue
        configured, given = (dict(each.config) for each in (network, other))  # type: ignore[arg-type]  # a FrozenDict
        for key, value in configured.items():
            if not key.startswith("_") and given[key] != value and key not in CHANGEABLE:
                raise InputError(
                    f"init_from: the {part} of {name} has {key} {given[key]}, the configuration has {value}"
                )
        network.load_state_dict(other.state_dict())


def pipeline_of(networks: nn.ModuleDict, config: TrainingConfig) -> MotionInterpPipeline:
    """The pipeline that the networks make up; it shares their weights."""
    return MotionInterpPipeline(**networks, image_size=list(config.data.image_size), variant=config.variant)
