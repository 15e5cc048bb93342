"""The same on every device: on the processor here, and where there is one on a GPU (``pytest -m gpu``)."""

import re

import numpy as np
import pytest
import torch

from motion_core import demo
from motion_core.device_table import compile_blocks, main

SIZE = 128
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, CUDA])]


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2 + 1e-12)


def animated(device, dtype, prepare=lambda pipeline: None):
    """Frames of all that a `v2` pipeline does: hops, scores and fusion."""
    pipeline = demo.random_pipeline(image_size=SIZE, variant="v2")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.backend = "eager"
    prepare(pipeline)
    pipeline.to(device, dtype, silence_dtype_warnings=True)
    driving = np.stack(demo.driving_frames(100, SIZE)[:3])
    return pipeline(demo.source_picture(SIZE), driving, t=0.5, mode="standard", batch_size=2).frames


@pytest.fixture(scope="module")
def reference():
    return animated("cpu", torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("device", DEVICES)
def test_frames_are_close_to_those_of_the_processor_in_fp32(device, dtype, reference):
    least = 60 if dtype == torch.float32 else 30
    assert psnr(animated(device, dtype), reference) > least


@pytest.mark.parametrize(
    ("device", "compiler"),
    [
        pytest.param("cpu", "eager", marks=pytest.mark.slow),
        pytest.param("cuda", "inductor", marks=[pytest.mark.gpu, CUDA]),
    ],
)
def test_compiled_blocks_compute_the_same(device, compiler, reference):
    compiled = animated(device, torch.float32, lambda pipeline: compile_blocks(pipeline, compiler))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert psnr(compiled, reference) > 60


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_the_table_has_a_line_for_each_way(device, capsys):
    few = ["--small", "--size", "128", "--batches", "1", "--rounds", "1", "--compiler", "none", "--dtypes", "float32"]
    assert main([*few, "--device", device]) == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1:5] for line in lines[2:]] == [
        [" toy sizes ", " float32 ", " no ", " 1 "],
        [" people ", " float32 ", " no ", " 1 "],
    ]
    for line in lines[2:]:
        milliseconds, rate, decibels = (float(cell) for cell in re.findall(r"[\d.]+", line)[-3:])
        assert milliseconds * rate == pytest.approx(1000, rel=0.1)
        assert decibels > 50
    assert len({line.count("|") for line in lines}) == 1
    assert main(["--batches", "0"]) == 2
