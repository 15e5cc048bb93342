"""The backend "int8" against the eager networks, and where it computes as packed."""

import logging

import pytest
import torch
from subcases import each_case
from torch import nn

from motion_core import MotionInterpPipeline
from motion_core.backends import _say, fast_backbone, int8_tpsmm, private_ops
from motion_core.backends.convolutions import PackedResidual
from motion_core.backends.packed_tpsmm import PackedTPSMM
from motion_core.backends.quantized import MeasuredResidual, QuantizedFeatures
from motion_core.networks.tpsmm.blocks import Residual
from motion_core.transfer import MotionTransfer

needs_int8 = pytest.mark.skipif(
    private_ops.int8_missing() is not None, reason=f"nothing can be convolved in int8: {private_ops.int8_missing()}"
)


def psnr(given, wanted):
    """Of images in [0, 1], in dB."""
    return float(-10 * torch.log10((given - wanted).square().mean()))


def frames(hop_case, backend, t=0.0, poses=None):
    """Images of the golden networks, and the source that they are of."""
    method = MotionTransfer(hop_case.parts, backend=backend)
    source, poses = method.encode(hop_case.image), hop_case.poses if poses is None else poses
    return method.generate([source], poses, [None], torch.full((len(poses.points),), t)).image, source


@each_case("dtype", [torch.float32, torch.bfloat16])
@needs_int8
@torch.inference_mode()
def test_residual_block_is_the_eager_one_up_to_rounding(dtype):
    layer = Residual(32).to(dtype)
    for norm in (layer.norm1, layer.norm2):
        nn.init.normal_(norm.weight, mean=1, std=0.5)  # channels of very different sizes
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 32, 12, 16).to(dtype).contiguous(memory_format=torch.channels_last)
    measured = MeasuredResidual(PackedResidual(layer))

    wanted = measured(x)
    given = measured.quantized()(x)

    torch.testing.assert_close(wanted, layer(x), atol=0.06, rtol=0.02)
    assert given.dtype == dtype
    added = (layer(x) - x).float()
    assert (given.float() - layer(x).float()).square().mean() < 1e-3 * added.square().mean()


@each_case("t", [0.0, 0.5])
@needs_int8
@torch.inference_mode()
def test_frames_are_near_those_of_the_eager_networks(hop_case, t):
    given, source = frames(hop_case, "int8", t)

    assert isinstance(source.features, QuantizedFeatures)
    wanted = frames(hop_case, "eager", t)[0]
    assert 40 < psnr(given, wanted) < 80


@needs_int8
@torch.inference_mode()
def test_an_interpolated_image_has_the_blocks_of_its_source(hop_case):
    method = MotionTransfer(hop_case.parts, backend="int8")
    source, times = method.encode(hop_case.image), torch.full((3,), 0.5)

    made = method.generate([source], hop_case.poses, [None], times).optimal

    assert made.features.residual is source.features.residual


@needs_int8
@torch.inference_mode()
def test_a_frame_does_not_depend_on_those_before(hop_case):
    last = type(hop_case.poses)(hop_case.poses.points[2:])
    method = MotionTransfer(hop_case.parts, backend="int8")
    source = method.encode(hop_case.image)
    for pose in hop_case.poses.points.split(1):
        image = method.generate([source], type(last)(pose), [None], torch.zeros(1)).image

    torch.testing.assert_close(image, frames(hop_case, "int8", poses=last)[0], atol=0, rtol=0)


@needs_int8
@torch.inference_mode()
def test_a_source_for_which_it_is_too_far_off_is_computed_as_packed(hop_case, monkeypatch, caplog):
    monkeypatch.setattr(int8_tpsmm, "LEAST_PSNR", 90.0)

    with caplog.at_level(logging.WARNING):
        image, _ = frames(hop_case, "int8")

    assert "computes this picture as packed: it would be" in caplog.text
    torch.testing.assert_close(image, frames(hop_case, "packed")[0], atol=0, rtol=0)


@torch.inference_mode()
def test_without_the_operators_everything_is_computed_as_packed(hop_case, monkeypatch, caplog):
    monkeypatch.setenv(private_ops.SWITCH, "0")
    monkeypatch.setattr(private_ops, "int8_missing", private_ops.int8_missing.__wrapped__)

    with caplog.at_level(logging.WARNING):
        image, _ = frames(hop_case, "int8")

    assert "backend int8 computes as packed: " in caplog.text
    torch.testing.assert_close(image, frames(hop_case, "packed")[0], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("instructions", "reason"),
    [({"avx512_bf16": True}, "this processor has no instructions"), ({"amx_int8": True}, "has not the operators")],
)
def test_what_is_missing_is_named(monkeypatch, instructions, reason):
    monkeypatch.setenv(private_ops.SWITCH, "0")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert reason in private_ops.int8_missing.__wrapped__()


@needs_int8
def test_operators_that_give_something_else_are_not_used(monkeypatch):
    right = private_ops.convolve_int8
    monkeypatch.setattr(private_ops, "convolve_int8", lambda *given: right(*given) + 100)
    assert "has not the operators" in private_ops.int8_missing.__wrapped__()


def test_networks_that_cannot_be_packed_stay_eager_and_it_is_said_once(golden_networks, caplog):
    _say.cache_clear()
    with torch.autocast("cpu", torch.bfloat16), caplog.at_level(logging.WARNING):
        made = [
            fast_backbone(golden_networks.dense_motion_network, golden_networks.image_generator, "int8") for _ in "ab"
        ]

    assert not isinstance(made[0], PackedTPSMM)
    assert caplog.text.count("backend int8 computes as eager") == 1


def test_it_is_chosen_when_loading(variant_pipeline, tmp_path):
    variant_pipeline("tpsmm").save_pretrained(tmp_path)
    pipeline = MotionInterpPipeline.from_pretrained(tmp_path, backend="int8")
    assert isinstance(pipeline.method.backbone, int8_tpsmm.Int8TPSMM)
