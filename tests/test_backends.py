"""Executors against what they take the place of: layers, sampling, networks, and whole frames."""

import copy

import pytest
import torch
import torch.nn.functional as F
from subcases import each_case
from torch import nn

from motion_core import InputError, MotionInterpPipeline
from motion_core.backends import fast_detector, private_ops
from motion_core.backends.convolutions import (
    BlockConvolution,
    PackedConvolution,
    PackedResidual,
    PackedUp,
    packed_convolution,
)
from motion_core.backends.packed_tpsmm import PackedTPSMM
from motion_core.backends.packing import packed
from motion_core.backends.sampling import warp_visible
from motion_core.backends.winograd import WinogradConvolution
from motion_core.geometry import identity_grid, warp
from motion_core.networks.tpsmm.blocks import Residual, Up, conv
from motion_core.transfer import MotionTransfer

CLOSE = {torch.float32: {"atol": 2e-5, "rtol": 1e-5}, torch.bfloat16: {"atol": 0.06, "rtol": 0.02}}


@pytest.fixture(params=["private operators", "public operators"])
def operators(request, monkeypatch):
    """Everything is computed with either."""
    if request.param == "public operators":
        monkeypatch.setattr(private_ops, "available", lambda dtype: False)
    elif not private_ops.available(torch.float32):
        pytest.skip("torch has not the private operators, or they are switched off")


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def dtype(request):
    return request.param


def features(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(dtype).contiguous(memory_format=torch.channels_last)


def psnr(given, wanted):
    """Of images in [0, 1], in dB."""
    return float(-10 * torch.log10((given - wanted).square().mean()))


# Layers


@each_case(
    ("layer", "made", "shape"),
    [
        (lambda: conv(24, 32, 3), PackedConvolution, (2, 24, 10, 12)),
        (lambda: nn.Conv2d(24, 32, 5, 2, 2, groups=4, bias=False), PackedConvolution, (1, 24, 11, 9)),
        (lambda: conv(20, 1, 7), BlockConvolution, (2, 20, 16, 24)),
        (lambda: conv(20, 3, 7), BlockConvolution, (1, 20, 8, 14)),
        (lambda: conv(20, 3, 7), BlockConvolution, (1, 20, 9, 14)),  # not of whole blocks
    ],
)
@torch.inference_mode()
def test_packed_convolution(operators, dtype, layer, made, shape):
    layer = layer().to(dtype)
    x = features(*shape, dtype=dtype)

    fast = packed_convolution(layer)

    assert isinstance(fast, made)
    for _ in range(2):  # the second time with what was kept
        torch.testing.assert_close(fast(x), layer(x), **CLOSE[dtype])
    smaller = x[..., :8, :8]
    torch.testing.assert_close(fast(smaller), layer(smaller), **CLOSE[dtype])


@torch.inference_mode()
def test_batch_norm_is_folded(operators):
    layer, norm = nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
    for value in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(value)
    norm.running_var.uniform_(0.5, 2)
    x = features(1, 8, 6, 6)

    fast = packed_convolution(layer, norm.eval())

    torch.testing.assert_close(fast(x), norm(layer(x)), **CLOSE[torch.float32])


def test_a_convolution_that_cannot_be_packed_stays():
    layer = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
    assert packed_convolution(layer) is layer


@each_case("side", [3, 6, 32])
@torch.inference_mode()
def test_packed_up(operators, dtype, side):
    layer = Up(16, 8).to(dtype)
    x = features(1, 16, side, side, dtype=dtype)

    torch.testing.assert_close(PackedUp(layer)(x), layer(x), **CLOSE[dtype])


@each_case(("width", "size"), [(16, (8, 8)), (128, (8, 12)), (128, (6, 8)), (512, (4, 8))])
@torch.inference_mode()
def test_packed_residual(operators, dtype, width, size):
    layer = Residual(width).to(dtype)
    x = features(2, width, *size, dtype=dtype)

    torch.testing.assert_close(PackedResidual(layer)(x), layer(x), **CLOSE[dtype])


@torch.inference_mode()
def test_winograd_in_several_strips(monkeypatch):
    monkeypatch.setattr("motion_core.backends.winograd.TILES_AT_ONCE", 5)
    weight, bias = torch.randn(24, 16, 3, 3) / 12, torch.randn(24)
    x, added = features(2, 16, 20, 12), features(2, 24, 20, 12)
    wanted = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    fast = WinogradConvolution(weight, bias)

    torch.testing.assert_close(fast(x).double(), wanted, atol=2e-5, rtol=0)
    torch.testing.assert_close(fast(x, added).double(), wanted + added, atol=2e-5, rtol=0)


# Sampling: coordinates are corner-aligned, and what lies outside is 0


@each_case("count", [1, 3])
@torch.inference_mode()
def test_warp_visible_is_warp_times_mask(count):
    maps, mask = features(count, 5, 12, 16), torch.rand(3, 1, 12, 16)
    deformation = 1.5 * identity_grid(6, 8, mask) + 0.3 * torch.randn(3, 6, 8, 2)  # partly outside

    torch.testing.assert_close(warp_visible(maps, deformation, mask), warp(maps, deformation) * mask, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_warp_visible_by_the_identity_is_the_corner_aligned_copy():
    maps = features(1, 5, 12, 16)
    grid = identity_grid(12, 16, maps)[None]

    torch.testing.assert_close(warp_visible(maps, grid, torch.ones(1, 1, 12, 16)), maps, atol=1e-5, rtol=0)
    far = torch.full_like(grid, 1e9)
    assert not warp_visible(maps, far, torch.ones(1, 1, 12, 16)).any()


# Networks and frames


@each_case("t", [0.0, 0.5])
@torch.inference_mode()
def test_frames_are_those_of_the_eager_networks(operators, hop_case, t):
    made = []
    for backend in ("eager", "packed"):
        method = MotionTransfer(hop_case.parts, backend=backend)
        source, times = method.encode(hop_case.image), torch.full((3,), t)
        made.append(method.generate([source], hop_case.poses, [None], times))

    assert isinstance(method.backbone, PackedTPSMM)
    assert psnr(made[1].image, made[0].image) > 80
    torch.testing.assert_close(made[1].visible, made[0].visible, atol=1e-3, rtol=0)


@torch.inference_mode()
def test_fused_views_are_those_of_the_eager_networks(variant_pipeline, hop_case):
    pipe = variant_pipeline("v2", composed_view=True)
    for parameter in pipe.view_fusion.parameters():
        nn.init.normal_(parameter, std=0.3)
    made = []
    for backend in ("eager", "packed"):
        pipe.backend = backend
        method, times = pipe.method, torch.tensor([0.5, 0.0, 0.25])
        made.append(method.generate([method.encode(hop_case.image)], hop_case.poses, [None], times).image)

    assert psnr(made[1], made[0]) > 80


@torch.inference_mode()
def test_keypoints_are_those_of_the_eager_detector(operators, hop_case):
    detector = hop_case.parts["keypoint_detector"]

    fast = fast_detector(detector, "packed")

    assert fast is not detector
    torch.testing.assert_close(fast(hop_case.image).points, detector(hop_case.image).points, atol=1e-5, rtol=0)


@torch.no_grad()
def test_changed_weights_are_packed_anew(golden_networks, hop_case):
    network = copy.deepcopy(golden_networks.image_generator)
    motion = hop_case.method.backbone.motion(hop_case.source, hop_case.poses)
    first = packed(network)
    assert packed(network) is first

    network.final.bias.add_(1)

    changed = packed(network)(hop_case.source.features, motion)
    torch.testing.assert_close(changed, network(hop_case.source.features, motion), atol=1e-3, rtol=0)


def test_in_training_or_eager_the_networks_themselves_compute(golden_networks):
    detector = copy.deepcopy(golden_networks.keypoint_detector)
    assert fast_detector(detector, "auto") is not detector
    assert fast_detector(detector, "eager") is detector
    assert fast_detector(detector.train(), "auto") is detector


# Choosing


def test_the_switch_leaves_private_operators_unused(monkeypatch):
    monkeypatch.setenv(private_ops.SWITCH, "0")
    assert not private_ops.available.__wrapped__(torch.float32)


def test_operators_that_give_something_else_are_not_used(monkeypatch):
    if not private_ops.available(torch.float32):
        pytest.skip("torch has not the private operators, or they are switched off")
    right = private_ops.convolve
    monkeypatch.setattr(private_ops, "convolve", lambda *given: right(*given) + 1)
    assert not private_ops.available.__wrapped__(torch.float32)


def test_backend_is_chosen_when_loading(variant_pipeline, tmp_path):
    variant_pipeline("tpsmm").save_pretrained(tmp_path)

    assert MotionInterpPipeline.from_pretrained(tmp_path).backend == "auto"
    assert MotionInterpPipeline.from_pretrained(tmp_path, backend="eager").backend == "eager"
    with pytest.raises(InputError, match=r"backend must be one of auto, .*, got 'quick'"):
        MotionInterpPipeline.from_pretrained(tmp_path, backend="quick")
