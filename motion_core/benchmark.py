"""How fast the pipeline is on this machine, how near to what its convolutions allow, and what bf16 costs in accuracy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from . import media
from .hardware import synchronize
from .pipeline import MotionInterpPipeline
from .structures import EncodedSource

PUBLISHED_GMACS = 137  # a frame of the published program at 256 x 256, K = 10, which encodes the source for every frame
# (features in and out, side): the 3x3 convolutions in which the published generator spends its time
_CEILING_CONVOLUTIONS = ((512, 512, 64), (256, 256, 128), (512, 512, 32))


@dataclass(frozen=True)
class Measurement:
    """Of one dtype. Times are medians in seconds.

    Attributes:
        encode_seconds: once per source.
        stage_seconds: per driving frame, by stage.
        frame_seconds: per driving frame, all stages together, timed as one.
        frame_gmacs: multiply-accumulates per driving frame, 10^9.
        ceiling: GFLOP/s of the best of some large convolutions alone, measured between the frames.
        psnr: of the frames against those in fp32, in dB; None for fp32 itself.
    """

    dtype: torch.dtype
    encode_seconds: float
    stage_seconds: dict[str, float]
    frame_seconds: float
    frame_gmacs: float
    ceiling: float
    psnr: float | None

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations per second of a frame; one multiply-accumulate is two operations."""
        return 2 * self.frame_gmacs / self.frame_seconds


def measure(
    load: Callable[[torch.dtype], MotionInterpPipeline],
    source: np.ndarray,
    driving: Sequence[np.ndarray],
    dtypes: Sequence[torch.dtype],
    rounds: int = 5,
) -> list[Measurement]:
    """Measure one pipeline in several dtypes; the first is what the others are compared with and should be fp32.

    Args:
        load: gives the pipeline in a dtype, on the device to measure.
        source: ``(H, W, 3)`` uint8, of a size that the networks take.
        driving: frames of the same size, two or more.
        dtypes: of the convolutions.
        rounds: times that everything is timed; the medians count.
    """
    reference: Tensor | None = None
    results = []
    for dtype in dtypes:
        pipeline = load(dtype)
        image, frames = media.to_float(source[None]), media.to_float(np.stack(driving))  # (1 | T, 3, H, W)
        encoded = pipeline.method.encode(image.to(pipeline.device))
        pictures = torch.cat([_frame(pipeline, encoded, frame[None]) for frame in frames]).cpu()
        psnr = None if reference is None else _psnr(pictures, reference)
        reference = pictures if reference is None else reference
        results.append(_time(pipeline, dtype, encoded, image, frames, rounds, psnr))
        del pipeline, encoded
    return results


def report(results: Sequence[Measurement], device: torch.device, size: tuple[int, int]) -> str:
    """The measurements as a table to print."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    lines = [f"per driving frame at {size[0]} x {size[1]} on {device}{threads}, torch {torch.__version__}"]
    heads = ("dtype", "ms", "GMACs", "GFLOP/s", "ceiling", "share", "PSNR dB", "encode ms")
    lines.append("".join(f"{head:>11}" for head in heads))
    for result in results:
        psnr = "-" if result.psnr is None else f"{result.psnr:.1f}"
        cells = (
            str(result.dtype).removeprefix("torch."),
            f"{1e3 * result.frame_seconds:.1f}",
            f"{result.frame_gmacs:.2f}",
            f"{result.gflops:.1f}",
            f"{result.ceiling:.1f}",
            f"{100 * result.gflops / result.ceiling:.0f} %",
            psnr,
            f"{1e3 * result.encode_seconds:.0f}",
        )
        lines.append("".join(f"{cell:>11}" for cell in cells))
    for result in results:
        stages = ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in result.stage_seconds.items())
        lines.append(f"{str(result.dtype).removeprefix('torch.')}: {stages}")
    lines.append(
        "ceiling: the best GFLOP/s of large 3x3 convolutions alone, measured in this run; PSNR: against the first row's frames"
    )
    return "\n".join(lines)


def _frame(pipeline: MotionInterpPipeline, source: EncodedSource, frame: Tensor) -> Tensor:
    poses = pipeline.keypoint_detector(frame.to(pipeline.device))  # (1, K, N, 2)
    return pipeline.method.generate([source], poses, [None], poses.points.new_zeros(1)).image


@torch.inference_mode()
def _time(
    pipeline: MotionInterpPipeline,
    dtype: torch.dtype,
    source: EncodedSource,
    image: Tensor,
    frames: Tensor,
    rounds: int,
    psnr: float | None,
) -> Measurement:
    frame = frames[-1:].to(pipeline.device)
    keypoints = pipeline.keypoint_detector(frame)
    backbone = pipeline.method.backbone
    motion = backbone.motion(source, keypoints)
    work: dict[str, Callable[[], object]] = {
        "encode": lambda: pipeline.method.encode(image.to(pipeline.device)),
        "keypoints": lambda: pipeline.keypoint_detector(frame),
        "dense motion": lambda: backbone.motion(source, keypoints),
        "image": lambda: pipeline.image_generator(source.features, motion),
        "frame": lambda: _frame(pipeline, source, frame),
    }
    convolutions = _ceiling_convolutions(dtype, pipeline.device)
    with FlopCounterMode(display=False) as counter:
        work["frame"]()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    ceilings = []
    for turn in range(rounds + 1):  # interleaved, so that a machine that slows down slows all alike
        for name, run in work.items():
            seconds[name].append(seconds_of(run, pipeline.device))
        ceilings.append(max(flops / seconds_of(run, pipeline.device) / 1e9 for flops, run in convolutions))
        if turn == 0:  # the warm-up
            ceilings.clear()
            seconds = {name: [] for name in work}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return Measurement(
        dtype,
        median.pop("encode"),
        {name: value for name, value in median.items() if name != "frame"},
        median["frame"],
        counter.get_total_flops() / 2e9,
        statistics.median(ceilings),
        psnr,
    )


def _ceiling_convolutions(dtype: torch.dtype, device: torch.device) -> list[tuple[float, Callable[[], object]]]:
    """(floating-point operations, the convolution to run)."""

    def one(features_in: int, features_out: int, side: int) -> tuple[float, Callable[[], object]]:
        x = torch.randn(1, features_in, side, side, device=device, dtype=dtype).contiguous(
            memory_format=torch.channels_last
        )
        weight = torch.randn(features_out, features_in, 3, 3, device=device, dtype=dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return 2.0 * features_in * features_out * 9 * side * side, lambda: F.conv2d(x, weight, padding=1)

    return [one(*sizes) for sizes in _CEILING_CONVOLUTIONS]


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long something takes, all that the device has to do for it included."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def _psnr(frames: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio of images in [0, 1], in dB."""
    return float(-10 * torch.log10((frames - reference).square().mean().clamp_min(1e-12)))
