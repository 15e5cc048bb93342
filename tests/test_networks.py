"""The networks: what they refuse, what their configurations give, their layers against plain ones, precision, files."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published import antialias_kernel
from safetensors.torch import load_file, save_file
from subcases import each_case
from torch import nn

from motion_core import (
    AVDNetwork,
    BackgroundPredictor,
    DenseMotionNetwork,
    ImageGenerator,
    InputError,
    KeypointDetector,
    Keypoints,
    OptimalInterpolationSelector,
    ViewFusion,
)
from motion_core.checkpoint_conversion import ConvertedNetworks
from motion_core.geometry import affine_grid, identity_grid
from motion_core.networks.base import MotionModel, laid_out
from motion_core.networks.tpsmm.blocks import Down, NormReLU, Residual, Same, Shrink, Up, conv, few_outputs
from motion_core.networks.tpsmm.regressor import Pointwise
from motion_core.structures import Candidates, DenseMotion, EncodedSource, SourceFeatures, WarpedView

WEIGHTS = "diffusion_pytorch_model.safetensors"
SMALL = {
    KeypointDetector: {"num_splines": 2},
    DenseMotionNetwork: {"num_splines": 2, "block_expansion": 4, "max_features": 16, "num_blocks": 2, "num_masks": 3},
    ImageGenerator: {"block_expansion": 4, "max_features": 16, "num_down_blocks": 2, "num_masks": 3},
    AVDNetwork: {"num_splines": 2, "id_features": 6, "pose_features": 5, "hidden_features": (8, 7)},
    BackgroundPredictor: {},
    OptimalInterpolationSelector: {"num_candidates": 3, "features": 4},
    ViewFusion: {"block_expansion": 4, "max_features": 8, "num_down_blocks": 2, "composed_view": True},
}
COORDINATE_NETWORKS = (KeypointDetector, AVDNetwork, BackgroundPredictor, OptimalInterpolationSelector)
PIXEL = 2 / 127  # of the 128-pixel images


def small(cls: type[nn.Module]) -> nn.Module:
    """A small network with random weights everywhere, so that nothing of it is a constant."""
    network = cls(**SMALL[cls]).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def keypoints(num_splines: int, points: int = 5, batch: int = 1) -> Keypoints:
    return Keypoints(torch.rand(batch, num_splines, points, 2) * 1.6 - 0.8)


def outputs(network: nn.Module) -> list[torch.Tensor]:
    """What a small network gives for some input."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(1)
        image, other = torch.rand(2, 1, 3, 32, 32)
        if isinstance(network, KeypointDetector):
            return [network(image).points]
        if isinstance(network, BackgroundPredictor):
            return [network(image, other)]
        source, driving = keypoints(2), keypoints(2)
        if isinstance(network, AVDNetwork):
            return [network(source, driving).points]
        if isinstance(network, DenseMotionNetwork):
            motion = network(network.shrink_source(image), source, driving)
            return [motion.deformation, motion.contribution_maps, *motion.occlusion_masks]
        if isinstance(network, OptimalInterpolationSelector):
            grids, maps = torch.rand(2, 3, 8, 8, 2) * 2 - 1, torch.rand(2, 3, 8, 8)
            return [
                network(
                    image[..., ::4, ::4], Candidates(torch.rand(2, 3), grids, maps, torch.rand(2, 3), torch.rand(2))
                )
            ]
        masks = tuple(torch.rand(1, 1, size, size) for size in (8, 16, 32))
        if isinstance(network, ViewFusion):
            sizes = ((8, 8), (8, 16), (4, 32))  # features and sides, from the coarsest
            views = [
                WarpedView(tuple(torch.rand(1, width, side, side) for width, side in sizes), masks, picture)
                for picture in (image, other, 1 - image)
            ]
            fused = network(views, ["interpolated", "source", "composed"])
            return [*fused.levels, *fused.masks, fused.image]
        deformation = torch.rand(1, 8, 8, 2) * 2 - 1
        return [network(network.encode(image), DenseMotion(deformation, torch.ones(1, 1, 8, 8), masks))]


@pytest.fixture(scope="module")
def generator() -> ImageGenerator:
    """One network, for what all inherit: how files are read."""
    return small(ImageGenerator)


def test_all_networks_are_loaded_by_their_base():
    """So what loading refuses is tested with one of them."""
    for cls in SMALL:
        assert not {"from_pretrained", "load_config", "from_config"} & set().union(
            *(vars(each) for each in cls.__mro__[: cls.__mro__.index(MotionModel)])
        )


# Refusals


def test_a_constructor_refuses_and_names_the_argument_and_its_value():
    for cls, arguments, message in [
        (KeypointDetector, {"num_splines": 0}, r"num_splines.*0"),
        (KeypointDetector, {"points_per_spline": 2}, r"points_per_spline.*2"),
        (DenseMotionNetwork, {"num_splines": 0}, r"num_splines=0"),
        (DenseMotionNetwork, {"points_per_spline": 2}, r"points_per_spline=2"),
        (DenseMotionNetwork, {"image_channels": 0}, r"image_channels=0"),
        (DenseMotionNetwork, {"block_expansion": 0}, r"block_expansion=0"),
        (DenseMotionNetwork, {"max_features": -1}, r"max_features=-1"),
        (DenseMotionNetwork, {"num_blocks": 0, "num_masks": 1}, r"num_blocks=0"),
        (DenseMotionNetwork, {"shrink": 3}, r"shrink.*power of two.*3"),
        (DenseMotionNetwork, {"shrink": 0}, r"shrink.*power of two.*0"),
        (DenseMotionNetwork, {"num_masks": 0}, r"num_masks must be 1, or 3 to 7 .*got 0"),
        (DenseMotionNetwork, {"num_masks": 2}, r"num_masks must be 1, or 3 to 7 .*got 2"),
        (DenseMotionNetwork, {"num_masks": 8}, r"num_masks must be 1, or 3 to 7 .*got 8"),
        (DenseMotionNetwork, {"num_masks": 4, "num_blocks": 1}, r"num_masks must be 1, or 3 to 3 .*got 4"),
        (DenseMotionNetwork, {"keypoint_variance": 0.0}, r"keypoint_variance.*0"),
        (DenseMotionNetwork, {"regularization": -0.01}, r"regularization.*-0.01"),
        (ImageGenerator, {"image_channels": 0}, r"image_channels=0"),
        (ImageGenerator, {"block_expansion": 0}, r"block_expansion=0"),
        (ImageGenerator, {"num_down_blocks": 0, "num_masks": 1}, r"num_down_blocks=0"),
        (ImageGenerator, {"num_masks": 3}, r"num_masks must be 1 or num_down_blocks \+ 1 = 4 .*got 3"),
        (ImageGenerator, {"num_masks": 5}, r"num_masks must be 1 or num_down_blocks \+ 1 = 4 .*got 5"),
        (ImageGenerator, {"block_expansion": 64, "max_features": 32}, r"max_features.*64, got 32"),
        (AVDNetwork, {"num_splines": 0}, r"num_splines=0"),
        (AVDNetwork, {"num_splines": -1, "points_per_spline": -5}, r"num_splines=-1, points_per_spline=-5"),
        (AVDNetwork, {"id_features": 0}, r"id_features=0"),
        (AVDNetwork, {"pose_features": 0}, r"pose_features=0"),
        (AVDNetwork, {"hidden_features": (8, 0)}, r"hidden_features=\(8, 0\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            cls(**arguments)


def test_keypoints_refuse_another_shape():
    with pytest.raises(ValueError, match=r"\(B, K, N, 2\), got \(1, 50, 2\)"):
        Keypoints(torch.zeros(1, 50, 2))


# Configurations


def backbone(splines: int, points: int, levels: int, blocks: int, shrink: int, masks: int, channels: int = 3):
    motion = DenseMotionNetwork(
        splines, points, channels, block_expansion=4, max_features=16, num_blocks=blocks, shrink=shrink, num_masks=masks
    )
    generator = ImageGenerator(channels, block_expansion=4, max_features=16, num_down_blocks=levels, num_masks=masks)
    return KeypointDetector(splines, points, channels).eval(), motion.eval(), generator.eval()


CONFIGURATIONS = [
    # splines, points, generator levels, hourglass blocks, shrink, masks, (height, width)
    (10, 5, 3, 5, 4, 4, (128, 128)),
    (3, 5, 3, 5, 4, 4, (128, 256)),
    (3, 4, 3, 5, 4, 4, (128, 128)),
    (3, 3, 3, 3, 4, 4, (96, 64)),
    (3, 5, 3, 5, 4, 1, (128, 128)),
    (3, 5, 2, 3, 4, 3, (64, 128)),
    (3, 5, 2, 3, 2, 3, (64, 64)),
    (2, 6, 4, 3, 4, 5, (64, 32)),
    (1, 5, 3, 4, 1, 4, (64, 64)),
    (2, 5, 3, 1, 8, 4, (64, 64)),
]


@each_case(("splines", "points", "levels", "blocks", "shrink", "masks", "size"), CONFIGURATIONS)
def test_masks_points_levels_and_sizes_are_configuration(splines, points, levels, blocks, shrink, masks, size):
    detector, network, generator = backbone(splines, points, levels, blocks, shrink, masks)
    height, width = size
    assert height % network.size_multiple == width % network.size_multiple == 0
    image, frames = torch.rand(1, 3, *size), torch.rand(2, 3, *size)
    with torch.inference_mode():
        source, driving = detector(image), detector(frames)
        small_image = network.shrink_source(image)
        motion = network(small_image, source, driving)
        coarse = network.coarse(small_image, source, driving)
        prediction = generator(generator.encode(image), motion)

    assert driving.points.shape == (2, splines, points, 2)
    assert driving.points.abs().max() <= 1
    assert driving.flat().shape == (2, splines * points, 2)
    h, w = height // shrink, width // shrink
    assert small_image.shape == (1, 3, h, w)
    assert motion.deformation.shape == (2, h, w, 2)
    assert motion.contribution_maps.shape == (2, splines + 1, h, w)
    if masks == 1:
        assert [mask.shape for mask in motion.occlusion_masks] == [(2, 1, h, w)]
    else:
        sizes = [(2, 1, height // 2**i, width // 2**i) for i in reversed(range(masks))]
        assert [mask.shape for mask in motion.occlusion_masks] == sizes, "from the coarsest to the finest"
    assert torch.equal(coarse.deformation, motion.deformation)
    own = [mask for mask in motion.occlusion_masks if mask.shape[-2] <= h]
    assert own[-1].shape == (2, 1, h, w)
    assert [mask.tolist() for mask in coarse.occlusion_masks] == [mask.tolist() for mask in own]
    for values in (motion.contribution_maps, prediction, *motion.occlusion_masks):
        assert torch.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
    assert prediction.shape == (2, 3, height, width)


def test_grey_images_are_configuration():
    detector, network, generator = backbone(2, 5, 2, 2, 4, 3, channels=1)
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        motion = network(network.shrink_source(image), detector(image), detector(1 - image))
        assert generator(generator.encode(image), motion).shape == (1, 1, 64, 64)
        assert BackgroundPredictor(1).eval()(image, image).shape == (1, 3, 3)


def test_sizes_of_the_published_networks_are_multiples_of_128():
    assert DenseMotionNetwork(2, block_expansion=2, max_features=4).size_multiple == 128
    assert ImageGenerator(block_expansion=2, max_features=4).size_multiple == 8


def test_a_single_mask_serves_every_level_resized():
    """The same as giving that mask, resized by hand, at every level."""
    torch.manual_seed(3)
    one = ImageGenerator(block_expansion=4, max_features=16, num_masks=1).eval()
    four = ImageGenerator(block_expansion=4, max_features=16, num_masks=4).eval()
    four.load_state_dict(one.state_dict())
    image, mask, grid = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 16, 16), torch.rand(1, 16, 16, 2) * 2 - 1
    resized = tuple(F.interpolate(mask, size=s, mode="bilinear", align_corners=True) for s in (8, 16, 32, 64))
    with torch.inference_mode():
        single = one(one.encode(image), DenseMotion(grid, mask, (mask,)))
        several = four(four.encode(image), DenseMotion(grid, mask, resized))
    torch.testing.assert_close(single, several, rtol=0, atol=1e-6)


def test_where_all_is_visible_and_nothing_moves_the_prediction_is_the_source():
    generator = small(ImageGenerator)
    image = torch.rand(1, 3, 32, 32)
    ones = tuple(torch.ones(1, 1, size, size) for size in (8, 16, 32))
    with torch.inference_mode():
        prediction = generator(generator.encode(image), DenseMotion(identity_grid(8, 8, image)[None], ones[0], ones))
    torch.testing.assert_close(prediction, image, rtol=0, atol=1e-4)


def test_where_nothing_is_visible_the_source_has_no_say():
    generator = small(ImageGenerator)
    grid, zeros = (
        identity_grid(8, 8, torch.zeros(1))[None],
        tuple(torch.zeros(1, 1, size, size) for size in (8, 16, 32)),
    )
    with torch.inference_mode():
        first, second = (
            generator(generator.encode(torch.rand(1, 3, 32, 32)), DenseMotion(grid, zeros[0], zeros)) for _ in range(2)
        )
    assert torch.equal(first, second)


def test_contribution_maps_sum_to_1(golden_networks: ConvertedNetworks):
    network = golden_networks.dense_motion_network
    with torch.inference_mode():
        maps = network(torch.rand(1, 3, 32, 32), keypoints(5), keypoints(5, batch=2)).contribution_maps
    assert maps.std() > 0.05, "they must differ for this test to mean anything"
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 32, 32))


def test_the_deformation_is_the_weighted_sum_of_the_transformations(golden_networks: ConvertedNetworks):
    network = golden_networks.dense_motion_network
    source, driving, background = keypoints(5), keypoints(5), torch.eye(3)[None] * 1.1
    with torch.inference_mode():
        motion = network(torch.rand(1, 3, 32, 32), source, driving, background)
        grids = network.transformations((32, 32), source, driving, background)  # (1, K + 1, h, w, 2)
    expected = sum(motion.contribution_maps[:, i, ..., None] * grids[:, i] for i in range(6))
    torch.testing.assert_close(motion.deformation, expected, rtol=0, atol=1e-5)


KEPT = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])


def test_splines_that_are_left_out_have_no_weight_and_the_rest_is_renormalised(golden_networks: ConvertedNetworks):
    network = golden_networks.dense_motion_network
    small, source, driving, background = (
        torch.rand(1, 3, 32, 32),
        keypoints(5),
        keypoints(5, batch=2),
        torch.eye(3) * 1.1,
    )
    background = background.expand(2, 3, 3)
    with torch.inference_mode():
        whole = network(small, source, driving, background)
        motion = network(small, source, driving, background, kept_splines=KEPT)
        grids = network.transformations((32, 32), source, driving, background)

    maps = motion.contribution_maps
    for sample, kept in enumerate(KEPT.tolist()):
        used = [0] + [index for index, keep in enumerate(kept, start=1) if keep]  # the background always is
        for index in range(6):
            if index in used:
                expected = whole.contribution_maps[sample, index] / whole.contribution_maps[sample, used].sum(0)
                torch.testing.assert_close(maps[sample, index], expected, rtol=0, atol=1e-4)
            else:
                assert maps[sample, index].eq(0).all()
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(2, 32, 32), rtol=0, atol=1e-4)
    torch.testing.assert_close(motion.deformation, (maps[..., None] * grids).sum(1), rtol=0, atol=1e-5)
    for mask, expected in zip(motion.occlusion_masks, whole.occlusion_masks, strict=True):
        assert torch.equal(mask, expected)


def test_without_any_spline_the_background_moves_everything(golden_networks: ConvertedNetworks):
    network = golden_networks.dense_motion_network
    with torch.inference_mode():
        motion = network(
            torch.rand(1, 3, 32, 32), keypoints(5), keypoints(5), kept_splines=torch.zeros(1, 5, dtype=torch.bool)
        )
    seen = motion.contribution_maps[0, 0] > 0.5
    assert seen.any()
    still = identity_grid(32, 32, motion.deformation)
    torch.testing.assert_close(motion.deformation[0][seen], still[seen], rtol=0, atol=1e-3)


def test_without_a_background_transform_the_first_transformation_is_the_identity():
    network = small(DenseMotionNetwork)
    source, driving = keypoints(2), keypoints(2, batch=2)
    grids = network.transformations((8, 12), source, driving, None)
    assert grids.shape == (2, 3, 8, 12, 2)
    assert torch.equal(grids[:, 0], identity_grid(8, 12, source.points).expand(2, -1, -1, -1))
    given = network.transformations((8, 12), source, driving, torch.eye(3).repeat(2, 1, 1))
    torch.testing.assert_close(given, grids, rtol=0, atol=1e-6)


def test_transformations_are_the_background_and_then_maps_from_driving_to_source_points():
    network = DenseMotionNetwork(2, block_expansion=4, max_features=8, num_blocks=2, num_masks=1, regularization=0.0)
    rows, columns = torch.stack([torch.randperm(65)[:10] for _ in range(2)]).view(2, 1, 2, 5)  # each (1, K, N)
    source, driving = (
        keypoints(2),
        Keypoints(torch.stack((columns, rows), dim=-1) / 32 - 1),
    )  # on pixels of a 65 x 65 grid
    transform = torch.tensor([[[0.9, 0.1, 0.2], [0.0, 1.1, -0.1], [0.0, 0.0, 1.0]]])
    grids = network.transformations((65, 65), source, driving, transform)
    torch.testing.assert_close(grids[:, 0], affine_grid(transform, 65, 65))
    for k in range(2):
        at_driving = grids[0, 1 + k, rows[0, k], columns[0, k]]  # (N, 2)
        torch.testing.assert_close(at_driving, source.points[0, k], rtol=0, atol=1e-3)


def test_a_fresh_background_predictor_gives_the_identity():
    transform = BackgroundPredictor().eval()(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(transform, torch.eye(3).repeat(2, 1, 1))


def test_avd_takes_the_pose_of_the_driving_and_the_identity_of_the_source():
    network = small(AVDNetwork)
    source, driving = keypoints(2), keypoints(2, batch=3)
    with torch.inference_mode():
        result = network(source, driving).points
        pose, identity = network.pose_encoder(driving.points.flatten(1)), network.id_encoder(source.points.flatten(1))
        expected = network.decoder(torch.cat((pose, identity.repeat(3, 1)), dim=1)).reshape(3, 2, 5, 2)
    assert torch.equal(result, expected)


# Layers against plain ones


def test_up_equals_doubling_then_convolution_norm_relu():
    for size in [(1, 1), (2, 3), (16, 16), (33, 40), (16, 80)]:
        layer = Up(5, 6)
        nn.init.normal_(layer.norm.weight), nn.init.normal_(layer.norm.bias)
        x = torch.randn(2, 5, *size, requires_grad=True)
        parameters = (
            x,
            layer.conv.weight,
            layer.norm.weight,
            layer.norm.bias,
        )  # a norm follows: the bias has no effect
        doubled = F.interpolate(x, scale_factor=2, mode="nearest")
        plain = F.conv2d(doubled, layer.conv.weight, layer.conv.bias, padding=1)
        plain = F.relu(F.instance_norm(plain, weight=layer.norm.weight, bias=layer.norm.bias))
        ours = layer(x)
        assert ours.shape == (2, 6, 2 * size[0], 2 * size[1])
        torch.testing.assert_close(ours, plain, rtol=0, atol=2e-5)

        direction = torch.randn_like(plain)
        expected = torch.autograd.grad(plain, parameters, direction)
        for gradient, wanted in zip(torch.autograd.grad(ours, parameters, direction), expected, strict=True):
            scale = max(1.0, wanted.abs().max().item())
            torch.testing.assert_close(gradient / scale, wanted / scale, rtol=0, atol=1e-4)


def test_convolutions_with_few_outputs_learn_in_blocks_as_one_pixel_at_a_time():
    for outputs, size in [
        (1, (8, 12)),
        (3, (6, 4)),
        (1, (6, 6)),
        (11, (8, 8)),
    ]:  # the third is no multiple of 4, the last has no blocks
        layer = conv(5, outputs, 7)
        x = torch.randn(2, 5, *size, requires_grad=True)
        plain, ours = layer(x), few_outputs(layer, x)
        torch.testing.assert_close(ours, plain)
        parameters, direction = (x, *layer.parameters()), torch.randn_like(plain)
        wanted = torch.autograd.grad(plain, parameters, direction)
        for gradient, expected in zip(torch.autograd.grad(ours, parameters, direction), wanted, strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_the_norm_is_instance_norm_with_and_without_gradients():
    for learning in [False, True]:
        theirs, ours = nn.InstanceNorm2d(6, affine=True), NormReLU(6)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        nn.init.normal_(theirs.weight), nn.init.normal_(theirs.bias)
        ours.load_state_dict(theirs.state_dict())
        with torch.set_grad_enabled(learning):
            for size in [(9, 7), (33, 32)]:  # few pixels and many, which are normed in different ways
                for memory_format in [torch.contiguous_format, torch.channels_last]:
                    x = (torch.randn(3, 6, *size) * 4 + 2).to(memory_format=memory_format)
                    torch.testing.assert_close(ours(x), theirs(x).relu(), rtol=0, atol=1e-5)
            assert ours(torch.randn(3, 6, 1, 1)).shape == (3, 6, 1, 1)


@each_case("requires_grad", [False, True])
def test_what_is_laid_out_anew_is_the_same_and_its_gradient_comes_in_the_former_layout(requires_grad):
    x = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last).requires_grad_(requires_grad)
    made = laid_out(2 * x, torch.bfloat16, torch.contiguous_format)
    assert made.is_contiguous()
    torch.testing.assert_close(made, (2 * x).bfloat16())  # of that dtype too
    if requires_grad:
        came = []
        doubled = 2 * x
        doubled.register_hook(came.append)
        direction = torch.randn(2, 4, 3, 5).bfloat16()
        laid_out(doubled, torch.bfloat16, torch.contiguous_format).backward(direction)
        assert came[0].is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(x.grad, 2 * direction.float())


def test_same_down_and_residual_equal_their_formulas():
    x = torch.randn(2, 4, 8, 12)
    norm = nn.InstanceNorm2d(4, affine=True)  # fresh: weight 1, bias 0, as in the layers
    same, down, residual = Same(4, 4), Down(4, 4), Residual(4)
    assert same.conv.weight.shape == (4, 4, 7, 7)
    assert down.conv.weight.shape == (4, 4, 3, 3)
    torch.testing.assert_close(same(x), norm(same.conv(x)).relu(), rtol=0, atol=1e-5)
    torch.testing.assert_close(down(x), F.avg_pool2d(norm(down.conv(x)).relu(), 2), rtol=0, atol=1e-5)
    inner = residual.conv1(norm(x).relu())
    torch.testing.assert_close(residual(x), x + residual.conv2(norm(inner).relu()), rtol=0, atol=1e-5)


def test_shrink_equals_a_direct_computation():
    for factor in [2, 4, 8]:
        image = torch.rand(1, 2, 24, 32)
        kernel = antialias_kernel(factor).astype(float)
        reach = len(kernel) // 2
        padded = np.pad(image.numpy().astype(float), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        result = Shrink(2, factor)(image)
        assert result.shape == (1, 2, 24 // factor, 32 // factor)
        for i in range(24 // factor):
            for j in range(32 // factor):
                window = padded[0, :, i * factor : i * factor + len(kernel), j * factor : j * factor + len(kernel)]
                np.testing.assert_allclose(result[0, :, i, j].numpy(), (window * kernel).sum(axis=(1, 2)), atol=1e-6)


def test_shrink_by_1_is_a_copy():
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(Shrink(3, 1)(image), image)


# Precision


def run_backbone(
    detector, network, generator, source_image, driving_image
) -> tuple[Keypoints, DenseMotion, torch.Tensor]:
    source = EncodedSource(detector(source_image), network.shrink_source(source_image), generator.encode(source_image))
    driving = detector(driving_image)
    motion = network(source.small_image, source.keypoints, driving)
    return driving, motion, generator(source.features, motion)


def backbone_copies(golden_networks: ConvertedNetworks) -> list[nn.Module]:
    """Detector, dense motion and generator with weights that move a lot; copies, to be changed."""
    whole = (golden_networks.keypoint_detector, golden_networks.dense_motion_network, golden_networks.image_generator)
    return [copy.deepcopy(network) for network in whole]


@pytest.fixture
def pictures(golden) -> tuple[torch.Tensor, torch.Tensor]:
    return golden.image(golden.arrays["source"]), golden.image(golden.arrays["driving"][1])


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


@each_case("how", ["to bf16", "autocast"])
def test_bf16_comes_close_to_fp32_and_coordinates_stay_fp32(golden_networks, pictures, how):
    networks = backbone_copies(golden_networks)
    with torch.inference_mode():
        driving, motion, image = run_backbone(*networks, *pictures)
        if how == "to bf16":
            networks = [network.bfloat16() for network in networks]
            assert networks[1].maps.weight.dtype == networks[2].final.weight.dtype == torch.bfloat16
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
            driving_16, motion_16, image_16 = run_backbone(*networks, *pictures)
    masks = motion_16.occlusion_masks
    results = (driving_16.points, motion_16.deformation, motion_16.contribution_maps, *masks, image_16)
    assert {result.dtype for result in results} == {torch.float32}
    assert torch.equal(driving_16.points, driving.points), "keypoints are not rounded"
    assert not torch.equal(image_16, image), "convolutions must run in bf16 for this test to mean anything"
    assert (motion_16.deformation - motion.deformation).abs().mean() < 0.1 * PIXEL
    assert psnr(image_16, image) > 45
    assert image_16.unique().numel() > 10_000, "not rounded to the 256 steps of bf16"


def test_a_bf16_generator_paints_in_fp32():
    """Its last convolution is in bf16, what follows is not: dark and light areas would show steps."""
    generator, zeros = small(ImageGenerator).bfloat16(), tuple(torch.zeros(1, 1, size, size) for size in (8, 16, 32))
    grid = identity_grid(8, 8, torch.zeros(1))[None]
    with torch.inference_mode():
        painted = generator(generator.encode(torch.rand(1, 3, 32, 32)), DenseMotion(grid, zeros[0], zeros))
    assert painted.dtype == torch.float32
    assert not torch.equal(painted, painted.bfloat16().float())


def test_bf16_networks_take_their_transformations_in_fp32(golden_networks):
    network = copy.deepcopy(golden_networks.dense_motion_network)
    source, driving = keypoints(5), keypoints(5)
    expected = network.transformations((32, 32), source, driving, None)
    assert torch.equal(network.bfloat16().transformations((32, 32), source, driving, None), expected)


def test_networks_of_coordinates_keep_fp32_and_still_move():
    for cls in COORDINATE_NETWORKS:
        network = small(cls)
        expected = outputs(network)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            in_autocast = outputs(network)
        for changed in (network.to(torch.bfloat16), network.half(), network.to(torch.float16), network.double()):
            assert {tensor.dtype for tensor in changed.parameters()} == {torch.float32}
            assert {tensor.dtype for tensor in changed.buffers()} <= {torch.float32, torch.int64}
        for result, other, wanted in zip(outputs(network), in_autocast, expected, strict=True):
            assert torch.equal(result, wanted)
            assert torch.equal(other, wanted)
        for moved in (copy.deepcopy(network).to("meta"), copy.deepcopy(network).to("meta", torch.bfloat16)):
            assert {(tensor.device.type, tensor.dtype) for tensor in moved.parameters()} == {("meta", torch.float32)}


@each_case("autocast", [False, True])
@each_case("training", [False, True])
def test_gradients_reach_every_parameter_of_the_backbone(golden_networks, pictures, autocast, training):
    networks = backbone_copies(golden_networks)
    images = [picture.expand(2, -1, -1, -1) for picture in pictures]  # BatchNorm wants more than one
    for network in networks:
        network.train(training)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        _, motion, prediction = run_backbone(*networks, *images)
        loss = (prediction - images[1]).abs().mean()
    loss.backward()
    assert prediction.dtype == motion.deformation.dtype == torch.float32
    for network in networks:
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, f"{type(network).__name__}.{name}"
            assert torch.isfinite(parameter.grad).all(), f"{type(network).__name__}.{name}"
        assert max(parameter.grad.abs().max() for parameter in network.parameters()) > 0


# Files


def assert_same(loaded: nn.Module, network: nn.Module) -> None:
    """Equal weights; outputs may differ by the alignment of the file's memory."""
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, expected[name]), name
    for result, wanted in zip(outputs(loaded), outputs(network), strict=True):
        torch.testing.assert_close(result, wanted, rtol=0, atol=5e-6)


@each_case("cls", SMALL)
def test_saved_and_loaded_networks_give_the_same_and_refuse_unknown_keys(cls, tmp_path):
    network = small(cls)
    network.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", WEIGHTS}
    loaded = cls.from_pretrained(tmp_path)
    assert not loaded.training
    for key in SMALL[cls]:
        assert tuple(np.atleast_1d(loaded.config[key])) == tuple(np.atleast_1d(network.config[key]))
    assert_same(loaded, network)

    half = cls.from_pretrained(tmp_path, dtype=torch.bfloat16)
    wanted = torch.float32 if cls in COORDINATE_NETWORKS else torch.bfloat16
    assert {parameter.dtype for parameter in half.parameters()} == {wanted}
    if wanted == torch.float32:
        assert_same(half, network)

    assert isinstance(cls.from_config(network.config), cls), "its own configuration must be accepted"
    with pytest.raises(TypeError, match="num_spline"):
        cls(num_spline=3)
    with pytest.raises(InputError, match=rf"{cls.__name__} has no configuration num_spline;"):
        cls.from_config({**SMALL[cls], "num_spline": 3})
    for refused in (partial(cls.from_config, SMALL[cls]), partial(cls.from_pretrained, tmp_path)):
        with pytest.raises(InputError, match="no configuration num_spline"):
            refused(num_spline=3)


def saved(network: nn.Module, folder: Path) -> dict[str, torch.Tensor]:
    """Save a network; its weights, to be changed and written again."""
    network.save_pretrained(folder)
    return load_file(folder / WEIGHTS)


@each_case(
    ("change", "message"),
    [
        (lambda weights: weights.pop("final.weight"), r"the weights lack parameter final\.weight$"),
        (lambda weights: weights.update({"a.weight": torch.zeros(2), "a.bias": torch.zeros(2)}),
         r"the weights have the unknown parameter a\.bias and 1 more$"),
        (lambda weights: weights.update({"final.weight": torch.zeros(3, 9, 7, 7)}),
         r"weights do not fit the configuration: .*final\.weight"),
        (lambda weights: weights.update({"final.bias": torch.zeros(())}), r"final\.bias expected shape"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(generator, tmp_path, change, message):
    weights = saved(generator, tmp_path)
    change(weights)
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(InputError, match=message):
        type(generator).from_pretrained(tmp_path)


@each_case("through_index", [False, True])
def test_no_pickle_is_loaded(generator, tmp_path, monkeypatch, through_index):
    """Of the right weights, which torch would load; not even those are opened, also where an index of shards names them."""
    weights = saved(generator, tmp_path)
    (tmp_path / WEIGHTS).unlink()
    pickled = tmp_path / "diffusion_pytorch_model.bin"
    torch.save(weights, pickled)
    if through_index:
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(weights, pickled.name)}
        (tmp_path / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    for module, function in ((torch, "load"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, function, lambda *_, **__: pytest.fail("a pickle was opened"))
    for options in ({}, {"use_safetensors": False}, {"use_safetensors": None}):
        with pytest.raises(InputError, match="safetensors"):
            type(generator).from_pretrained(tmp_path, **options)


def test_source_features_are_kept_in_fp32_for_sampling():
    generator = small(ImageGenerator).bfloat16()
    features = generator.encode(torch.rand(1, 3, 32, 32))
    assert isinstance(features, SourceFeatures)
    assert [level.shape for level in features.pyramid] == [(1, 4, 32, 32), (1, 8, 16, 16), (1, 16, 8, 8)]
    assert {level.dtype for level in features.pyramid} == {torch.float32}


def test_up_keeps_its_kernel_for_inference_until_the_weight_changes():
    layer = Up(4, 3)
    x = torch.rand(1, 4, 32, 32)
    plain = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2), layer.conv, layer.norm)

    def agree():
        torch.testing.assert_close(layer(x), plain(x), atol=1e-5, rtol=1e-4)

    with torch.inference_mode():
        agree()
        kept = layer._kept[1]
        agree()
        assert layer._kept[1] is kept
    with torch.no_grad():
        layer.conv.weight.mul_(-2)
        agree()
        layer.load_state_dict({name: value.clone() * 1.5 for name, value in layer.state_dict().items()})
        agree()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
    layer(x).square().sum().backward()
    optimizer.step()
    with torch.inference_mode():
        agree()
        layer.to(torch.bfloat16)
        assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert set(layer.state_dict()) == {"conv.weight", "conv.bias", "norm.weight", "norm.bias"}


@each_case("architecture", ["regnetx_002", "mobilenetv3_small_050"])
def test_regressors_take_another_architecture_and_smaller_images(architecture, tmp_path):
    detector = KeypointDetector(3, 5, architecture=architecture, shrink=2).eval()
    image = torch.rand(2, 3, 64, 64)
    points = detector(image).points
    assert points.shape == (2, 3, 5, 2)
    direct = KeypointDetector(3, 5, architecture=architecture).eval()
    direct.load_state_dict(detector.state_dict())
    torch.testing.assert_close(points, direct(Shrink(3, 2)(image)).points, rtol=0, atol=1e-6)
    detector.save_pretrained(tmp_path)
    again = KeypointDetector.from_pretrained(tmp_path)(image).points
    torch.testing.assert_close(again, points, rtol=0, atol=1e-5)
    *_, product = (layer for layer in detector.backbone.modules() if isinstance(layer, Pointwise))
    x = torch.randn(2, product.in_channels, 3, 4)
    torch.testing.assert_close(product(x), nn.Conv2d.forward(product, x), rtol=0, atol=1e-5)

    predictor = BackgroundPredictor(architecture=architecture, shrink=2).eval()
    torch.testing.assert_close(predictor(image, image), torch.eye(3).expand(2, 3, 3))


def test_an_architecture_that_timm_does_not_know_is_refused():
    for name in ["resnet", "hf_hub:timm/resnet18", ""]:
        for network in (KeypointDetector, BackgroundPredictor):
            with pytest.raises(ValueError, match="architecture must be"):
                network(architecture=name)


@torch.no_grad()
def test_points_of_heat_maps_are_the_mean_places_under_them(tmp_path):
    detector = KeypointDetector(2, 3, architecture="heatmaps", shrink=2).eval()
    assert detector.size_multiple == 32
    image = torch.rand(2, 3, 64, 128)
    points = detector(image).points
    assert points.shape == (2, 2, 3, 2)
    seen = []
    detector.backbone.maps.register_forward_hook(lambda _layer, _input, output: seen.append(output))
    detector(image)
    assert seen[0].shape == (2, 6, 32, 64)
    weights = (seen[0] / 0.1).flatten(2).softmax(dim=2).unflatten(2, seen[0].shape[2:])  # (B, P, h, w)
    x = (weights.sum(dim=2) * torch.linspace(-1, 1, weights.shape[3])).sum(dim=2)
    y = (weights.sum(dim=3) * torch.linspace(-1, 1, weights.shape[2])).sum(dim=2)
    torch.testing.assert_close(points.flatten(1, 2), torch.stack((x, y), dim=-1), rtol=0, atol=1e-5)

    detector.save_pretrained(tmp_path)
    again = KeypointDetector.from_pretrained(tmp_path)
    torch.testing.assert_close(again(image).points, points, rtol=0, atol=1e-5)


def test_heat_maps_give_exact_places_under_autocast_and_every_parameter_learns():
    detector = KeypointDetector(2, 3, architecture="heatmaps")
    image = torch.rand(2, 3, 64, 64)
    seen = []
    detector.backbone.maps.register_forward_hook(lambda _layer, _input, output: seen.append(output))
    with torch.autocast("cpu", torch.bfloat16):
        points = detector(image).points
    assert seen[0].dtype == torch.bfloat16
    weights = (seen[0].float() / 0.1).flatten(2).softmax(dim=2)  # of what is rounded, nothing more is
    places = weights @ identity_grid(64, 64, image).flatten(0, 1)
    torch.testing.assert_close(points.flatten(1, 2), places, rtol=0, atol=1e-5)
    torch.testing.assert_close(points, detector(image).points, rtol=0, atol=2 * 2 / 64)  # two pixels, untrained
    points.sum().backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())
