"""Fixtures that several test files use."""

from __future__ import annotations

import copy
import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import Case, load_case

import motion_core
from motion_core import demo
from motion_core.checkpoint_conversion import ConvertedNetworks, convert
from motion_core.structures import EncodedSource
from motion_core.transfer import MotionTransfer

GOLDEN = Path(__file__).parent / "golden"
CONFORMANCE = "MOTION_CORE_CONFORMANCE"

torch.set_num_threads(1)  # the networks are small: waiting for each other costs more, much more on a busy machine


def pytest_collection_finish() -> None:
    """All that is imported by now stays; tests that collect garbage, and Python by itself, need not go through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same random state, whatever ran before it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def published_case() -> Callable[[str], Case]:
    """Loads a case of the conformance data by name; "tiny-128" is part of the tests, others skip where they are not."""

    @cache
    def load(name: str) -> Case:
        if (GOLDEN / f"{name}.json").exists():
            return load_case(GOLDEN, name)
        folder = os.environ.get(CONFORMANCE)
        if not folder:
            pytest.skip(f"set {CONFORMANCE} to the folder with {name}.json and {name}.npz")
        return load_case(Path(folder), name)

    return load


@pytest.fixture(scope="session")
def golden(published_case: Callable[[str], Case]) -> Case:
    """The case "tiny-128"."""
    return published_case("tiny-128")


@pytest.fixture(scope="session")
def golden_networks(golden: Case) -> ConvertedNetworks:
    """Its networks: small, and with weights that move and occlude a lot. Not to be changed; copy what you change."""
    return convert(golden.state_dicts())


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A source picture, ``(128, 128, 3)`` uint8."""
    return demo.source_picture(128)


@pytest.fixture(scope="session")
def video() -> np.ndarray:
    """A driving video, ``(5, 128, 128, 3)`` uint8."""
    return np.stack(demo.driving_frames(5, 128))


@dataclass(frozen=True)
class HopCase:
    """A source, and three poses far from it, for the networks of the golden case. Not to be changed.

    Attributes:
        parts: the networks of the golden case, by their names in a pipeline.
        method: over them.
        image: the source, ``(1, 3, 128, 128)``.
        source: it, encoded.
        poses: ``(3, K, N, 2)``, on average a tenth of the image's width away.
        backgrounds: ``(3, 3, 3)``, predicted.
    """

    parts: dict[str, Any]
    method: MotionTransfer
    image: torch.Tensor
    source: EncodedSource
    poses: motion_core.Keypoints
    backgrounds: torch.Tensor


@pytest.fixture(scope="session")
def hop_case(golden: Case, golden_networks: ConvertedNetworks) -> HopCase:
    parts = dict(vars(golden_networks))
    method = MotionTransfer(parts)
    image, frames = golden.image(golden.arrays["source"]), golden.image(golden.arrays["driving"][1]).repeat(3, 1, 1, 1)
    noise = torch.randn(3, 5, 5, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        source = method.encode(image)
        poses = motion_core.Keypoints(golden_networks.keypoint_detector(frames).points + 0.15 * noise)
        backgrounds = golden_networks.background_predictor(image.expand_as(frames), frames)
    return HopCase(parts, method, image, source, poses, backgrounds)


@pytest.fixture(scope="session")
def light_networks(golden_networks: ConvertedNetworks) -> dict[str, torch.nn.Module]:
    """The golden networks with small ones in place of their ResNets, which move as much; not to be changed either."""
    config = golden_networks.keypoint_detector.config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector = motion_core.KeypointDetector(
            num_splines=config["num_splines"],
            points_per_spline=config["points_per_spline"],
            architecture="regnetx_002",
        )
        background = motion_core.BackgroundPredictor(architecture="regnetx_002")
        head = detector.backbone.get_classifier()
        torch.nn.init.normal_(head.weight, std=0.04)
        torch.nn.init.normal_(head.bias, std=0.7)
        torch.nn.init.normal_(background.backbone.get_classifier().weight, std=2e-4)
    light = {"keypoint_detector": detector.eval(), "background_predictor": background.eval()}
    return vars(golden_networks) | light


def cloned(module: torch.nn.Module) -> torch.nn.Module:
    """A copy with weights and hooks of its own, as of `copy.deepcopy`, which takes three times as long."""
    made = copy.copy(module)
    for name, value in vars(module).items():
        if type(value) in (dict, OrderedDict):  # of weights, layers or hooks
            vars(made)[name] = value.copy()
    for name, weight in module._parameters.items():
        if weight is not None:
            made._parameters[name] = torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
    for name, buffer in module._buffers.items():
        made._buffers[name] = None if buffer is None else buffer.clone()
    for name, child in module._modules.items():
        made._modules[name] = None if child is None else cloned(child)
    return made


@pytest.fixture(scope="session")
def variant_pipeline(light_networks: dict[str, torch.nn.Module]) -> Callable[..., motion_core.MotionInterpPipeline]:
    """Makes a pipeline of the light networks in a variant; `fusion` are arguments of the view fusion, for "v2".

    Its selector's last layer is random, so that the learned scores differ.
    """

    def make(variant: str, **fusion: Any) -> motion_core.MotionInterpPipeline:
        selector = None
        if variant != "tpsmm":
            with torch.random.fork_rng():
                torch.manual_seed(1)
                selector = motion_core.OptimalInterpolationSelector(num_candidates=4, features=4)
                torch.nn.init.normal_(selector.get_parameter("head.2.weight"))
        config = light_networks["image_generator"].config
        widths = {name: config[name] for name in ("block_expansion", "max_features", "num_down_blocks")}
        pipeline = motion_core.MotionInterpPipeline(
            **{name: cloned(part) for name, part in light_networks.items()},  # the Space's service changes their dtype
            image_size=128,
            selector=selector,
            view_fusion=motion_core.ViewFusion(**widths, **fusion) if variant == "v2" else None,
            variant=variant,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return make


@pytest.fixture(scope="session")
def tiny_pipeline_parts() -> dict[str, torch.nn.Module]:
    """Small networks as freshly made, by the names of the pipeline's components; they hardly move anything.

    Not to be changed; copy what you change.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {
            "keypoint_detector": motion_core.KeypointDetector(num_splines=5),
            "dense_motion_network": motion_core.DenseMotionNetwork(num_splines=5, block_expansion=8, max_features=64),
            "image_generator": motion_core.ImageGenerator(block_expansion=8, max_features=32),
            "avd_network": motion_core.AVDNetwork(num_splines=5),
            "background_predictor": motion_core.BackgroundPredictor(),
        }
    return {name: part.eval() for name, part in parts.items()}
