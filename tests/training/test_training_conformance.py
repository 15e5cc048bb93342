"""The losses and their gradients are what the published training code computes, with the published networks.

Source to driving[1] with the background transform, no dropout, eval mode. The tolerances come with the data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import Case, weight
from safetensors.torch import save_file
from torch import Tensor

from motion_core.checkpoint_conversion import ConvertedNetworks, convert, published_state_dict
from train import losses
from train.equivariance import RandomSpline
from train.features import PerceptualFeatures, load_vgg

LOSSES = {
    "loss/perceptual": 10,
    "loss/equivariance_value": 10,
    "loss/warp_loss": 10,
    "loss/bg": 10,
}  # published weights
POINTS = ("equivariance/transformed_kp", "equivariance/warped_kp")
GRADIENTS = {  # of the sum of the losses; which of our networks has the parameter
    "grad/kp_detector.fg_encoder.fc.bias": "keypoint_detector",
    "grad/inpainting_network.final.bias": "image_generator",
}
GRADIENT_TOLERANCE = {"tiny-128": 0.01, "narrow-128": 0.01, "vox-256": 0.05}
TRAINING = ("loss/", "equivariance/", "vgg19/", "grad/")


@pytest.fixture(scope="module", params=["tiny-128", "narrow-128", pytest.param("vox-256", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest, published_case: Callable[[str], Case]) -> Case:
    return published_case(request.param)


@pytest.fixture(scope="module")
def networks(case: Case) -> ConvertedNetworks:
    return convert(case.state_dicts())


@pytest.fixture(scope="module")
def vgg_file(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-19 with the weights of the conformance data, as a file with torchvision's names."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(
        {name.removeprefix("vgg19."): weight(name, s) for name, s in case.shapes.items() if name.startswith("vgg19.")},
        path,
    )
    return path


@pytest.fixture(scope="module")
def computed(case: Case, networks: ConvertedNetworks, vgg_file: Path) -> dict[str, np.ndarray]:
    """What ours give, by the names of the conformance data."""
    results = training_losses(case, networks, load_vgg(str(vgg_file)))
    parameters = {name: published_parameter(networks, name) for name in GRADIENTS}
    total = torch.stack([results[name].sum() for name in LOSSES]).sum()
    gradients = torch.autograd.grad(total, list(parameters.values()))
    results |= dict(zip(parameters, gradients, strict=True))
    with torch.no_grad():
        taps = load_vgg(str(vgg_file), scales=(1,))(case.image(case.arrays["driving"][1]))
    results |= {f"vgg19/relu{i}_mean_abs": tap.abs().mean() for i, tap in enumerate(taps, start=1)}
    return {name: value.detach().numpy() for name, value in results.items()}


def training_losses(case: Case, networks: ConvertedNetworks, vgg: PerceptualFeatures) -> dict[str, Tensor]:
    """The four losses as a training step composes them, and the points of the equivariance loss."""
    source, driving = case.image(case.arrays["source"]), case.image(case.arrays["driving"][1])
    spline = RandomSpline(
        *(torch.from_numpy(case.arrays[f"equivariance/{name}"]) for name in ("theta", "control_params"))
    )
    detector, predictor = networks.keypoint_detector, networks.background_predictor
    background, background_back = predictor(source, driving), predictor(driving, source)
    kp_source, kp_driving = detector(source), detector(driving)
    small = networks.dense_motion_network.shrink_source(source)
    motion = networks.dense_motion_network(small, kp_source, kp_driving, background)
    features, features_driving = (networks.image_generator.encode(image) for image in (source, driving))
    prediction = networks.image_generator(features, motion)
    transformed = detector(spline.transform_image(driving)).flat()
    back = spline.transform_points(transformed)
    values = {
        "loss/perceptual": losses.perceptual_loss(vgg(prediction), vgg(driving)),
        "loss/equivariance_value": losses.equivariance_loss(kp_driving.flat(), back),
        "loss/warp_loss": losses.warp_loss(features, features_driving, motion),
        "loss/bg": losses.background_loss(background, background_back),
    }
    return {name: LOSSES[name] * value for name, value in values.items()} | dict(
        zip(POINTS, (transformed, back), strict=True)
    )


def published_parameter(networks: ConvertedNetworks, name: str) -> torch.nn.Parameter:
    """Our parameter that has this published name: the one with the same memory."""
    published_network, key = name.removeprefix("grad/").split(".", 1)
    network: Any = getattr(networks, GRADIENTS[name])
    memory = published_state_dict(network, published_network)[key].data_ptr()
    return next(parameter for parameter in network.parameters() if parameter.data_ptr() == memory)


def test_everything_about_training_in_the_case_is_compared(case, computed):
    given = {"equivariance/theta", "equivariance/control_params"}
    assert set(computed) == {name for name in case.arrays if name.startswith(TRAINING)} - given


def test_losses(case, computed):
    for name in LOSSES:
        assert computed[name].shape == (1,)
        assert computed[name][0] == pytest.approx(case.arrays[name], rel=1e-5), name


def test_points_of_the_equivariance_loss(case, computed):
    for name in POINTS:
        assert computed[name].shape == case.arrays[name].shape
        assert np.abs(computed[name] - case.arrays[name]).max() <= 1e-5, name


def test_vgg19(case, computed):
    for name in (f"vgg19/relu{layer}_mean_abs" for layer in range(1, 6)):
        assert computed[name] == pytest.approx(case.arrays[name], rel=1e-5), name


def test_gradients(case, computed):
    for name in GRADIENTS:
        expected = case.arrays[name]
        assert computed[name].shape == expected.shape
        assert np.abs(computed[name] - expected).max() <= GRADIENT_TOLERANCE[case.name] * np.abs(expected).max(), name
