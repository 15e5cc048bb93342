"""Fixtures that several test files use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from published import Case, load_case

import motion_core
from motion_core.checkpoint_conversion import ConvertedNetworks, convert

GOLDEN = Path(__file__).parent / "golden"
CONFORMANCE = "MOTION_CORE_CONFORMANCE"

torch.set_num_threads(1)  # the networks are small: waiting for each other costs more, much more on a busy machine


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
