"""The networks compute what the published ones compute, within what those vary by themselves.

The tolerances come with the data: two to three times what the published code varies by with the number of threads and
against fp64. Random weights amplify rounding, so trained ones are nearer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from published import Case
from subcases import each_case

from motion_core import Keypoints, motion_modes
from motion_core.checkpoint_conversion import OPTIONAL, REQUIRED, ConvertedNetworks, convert, published_state_dict
from motion_core.structures import EncodedSource

RUNS = ("standard", "relative", "avd", "standard_bg", "t0.5")
KEYPOINTS = ("kp_source", "kp_initial", "kp_driving", "kp_relative", "kp_avd")
TRAINING = ("loss/", "equivariance/", "vgg19/", "grad/")  # not computed by the networks alone
PREDICTION = {"tiny-128": (2e-5, 1e-3), "narrow-128": (2e-5, 1e-3), "vox-256": (5e-5, 1e-2)}  # mean, largest


@pytest.fixture(scope="module", params=["tiny-128", "narrow-128", pytest.param("vox-256", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest, published_case: Callable[[str], Case]) -> Case:
    return published_case(request.param)


@pytest.fixture(scope="module")
def networks(case: Case) -> ConvertedNetworks:
    return convert(case.state_dicts())


def encode(networks: ConvertedNetworks, image: torch.Tensor) -> EncodedSource:
    return EncodedSource(
        networks.keypoint_detector(image),
        networks.dense_motion_network.shrink_source(image),
        networks.image_generator.encode(image),
    )


@pytest.fixture(scope="module")
def computed(case: Case, networks: ConvertedNetworks) -> dict[str, np.ndarray]:
    """What our networks give, by the names of the conformance data."""
    source_image, initial_image, driving_image = (
        case.image(x) for x in (case.arrays["source"], *case.arrays["driving"])
    )
    results: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        source = encode(networks, source_image)
        initial, driving = (networks.keypoint_detector(image) for image in (initial_image, driving_image))
        relative = motion_modes.relative(source.keypoints, driving, initial)
        avd = motion_modes.avd(networks.avd_network, source.keypoints, driving)
        halfway = Keypoints(0.5 * source.keypoints.points + 0.5 * driving.points)
        background = networks.background_predictor(source_image, driving_image)
        points = (source.keypoints, initial, driving, relative, avd)
        results |= {name: keypoints.flat() for name, keypoints in zip(KEYPOINTS, points, strict=True)}
        results["bg_param"] = background

        poses = (driving, relative, avd, driving, halfway)
        for run, pose in zip(RUNS, poses, strict=True):
            transform = background if run == "standard_bg" else None
            motion = networks.dense_motion_network(source.small_image, source.keypoints, pose, transform)
            results[f"{run}/deformation"] = motion.deformation
            results[f"{run}/prediction"] = networks.image_generator(source.features, motion)
            if run == "standard":
                results[f"{run}/contribution_maps"] = motion.contribution_maps
                results |= {f"{run}/occlusion_{i}": mask for i, mask in enumerate(motion.occlusion_masks)}
    return {name: value.numpy() for name, value in results.items()}


def assert_close(case: Case, computed: dict[str, np.ndarray], name: str, tolerance: float) -> None:
    assert computed[name].shape == case.arrays[name].shape
    assert np.abs(computed[name] - case.arrays[name]).max() <= tolerance


def test_everything_the_case_holds_is_compared(case, computed):
    expected = {name for name in case.arrays if not name.startswith(TRAINING)} - {"source", "driving"}
    assert set(computed) == expected


@each_case("name", [*KEYPOINTS, "bg_param"])
def test_keypoints_and_background(case, computed, name):
    assert_close(case, computed, name, 1e-5)


@each_case("run", RUNS)
def test_deformation(case, computed, run):
    assert_close(case, computed, f"{run}/deformation", 1e-3 if run == "avd" else 1e-4)


def test_contribution_maps(case, computed):
    assert_close(case, computed, "standard/contribution_maps", 1e-3)


@each_case("index", range(4))
def test_occlusion_masks(case, computed, index):
    assert_close(case, computed, f"standard/occlusion_{index}", 1e-3)


@each_case("run", RUNS)
def test_prediction(case, computed, run):
    name = f"{run}/prediction"
    mean, largest = PREDICTION[case.name]
    assert_close(case, computed, name, largest)
    assert np.abs(computed[name] - case.arrays[name]).mean() <= mean


def test_the_runs_differ_by_far_more_than_the_tolerances(case):
    """Otherwise a network that ignores its input could pass."""
    _, largest = PREDICTION[case.name]
    for run in RUNS[1:]:
        assert np.abs(case.arrays[f"{run}/prediction"] - case.arrays["standard/prediction"]).max() > 10 * largest


def test_published_names_and_shapes(case, networks):
    ours = (
        networks.keypoint_detector,
        networks.dense_motion_network,
        networks.image_generator,
        networks.avd_network,
        networks.background_predictor,
    )
    shapes = {}
    for name, network in zip(REQUIRED + OPTIONAL, ours, strict=True):
        shapes |= {f"{name}.{key}": tuple(value.shape) for key, value in published_state_dict(network, name).items()}
    assert shapes == {name: shape for name, shape in case.shapes.items() if not name.startswith("vgg19.")}


def test_two_poses_at_once_equal_two_single_runs(golden, golden_networks):
    """Batch invariance, with one source for both; kernels add in another order, which random weights amplify."""
    networks = golden_networks
    poses = torch.cat([golden.image(frame) for frame in golden.arrays["driving"]])  # (2, 3, H, W)
    with torch.inference_mode():
        source = encode(networks, golden.image(golden.arrays["source"]))

        def run(images: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
            driving = networks.keypoint_detector(images)
            avd = motion_modes.avd(networks.avd_network, source.keypoints, driving)
            background = networks.background_predictor(source.features.image.expand_as(images), images)
            motion = networks.dense_motion_network(source.small_image, source.keypoints, driving, background)
            image = networks.image_generator(source.features, motion)
            coordinates = (driving.points, avd.points, background, motion.deformation)
            return coordinates, (*motion.occlusion_masks, image)

        together, first, second = run(poses), run(poses[:1]), run(poses[1:])
    for batched, *single, tolerance in zip(together, first, second, (1e-5, 1e-4), strict=True):
        for both, one, other in zip(batched, *single, strict=True):
            assert both.shape == (2, *one.shape[1:])
            torch.testing.assert_close(both, torch.cat((one, other)), rtol=0, atol=tolerance)
            assert (both - torch.cat((one, other))).abs().mean() < 1e-5
    assert (together[1][-1][0] - together[1][-1][1]).abs().max() > 0.1, "the two poses must differ"
