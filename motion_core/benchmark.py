"""How fast each backend is on this machine, in each dtype, and what that costs in accuracy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from . import media
from .backends.nearness import psnr
from .framing import place_in, to_network
from .hardware import describe_processor, synchronize
from .pipeline import MotionInterpPipeline
from .settings import Backend
from .structures import EncodedSource
from .transfer import MotionTransfer

PUBLISHED_GMACS = 137  # a frame of the published program at 256 x 256, K = 10, which encodes the source for every frame
BACKENDS: tuple[Backend, ...] = ("eager", "packed", "int8")
_ENCODINGS = 2  # that are timed; int8 is calibrated in each
# (features in and out, side): the 3x3 convolutions in which the published generator spends its time
_CEILING_CONVOLUTIONS = ((512, 512, 64), (256, 256, 128), (512, 512, 32))


@dataclass(frozen=True)
class Duration:
    """In seconds: of the processor, all threads together, and on the clock. The first hardly depends on what else is running."""

    processor: float
    clock: float


@dataclass(frozen=True)
class Measurement:
    """Of one backend in one dtype. Durations are medians, of a driving frame where several are computed together.

    Attributes:
        encode: once per source; of two rounds.
        stages: per driving frame, by stage.
        frame: per driving frame, all stages together, timed as one.
        speed: of a frame, as a multiple of the eager backend's in this dtype; the median over rounds, by the processor's time.
        frame_gmacs: multiply-accumulates of the eager backend per driving frame, 10^9.
        ceiling: GFLOP/s of the best of some large convolutions alone, measured between the frames, by the processor's time.
        psnr: of the frames against the eager backend's in this dtype, in dB; None for that one itself.
        psnr_of_first: against the first measurement's, in dB; None for that one itself.
    """

    dtype: torch.dtype
    backend: Backend
    encode: Duration
    stages: dict[str, Duration]
    frame: Duration
    speed: float
    frame_gmacs: float
    ceiling: float
    psnr: float | None
    psnr_of_first: float | None

    @property
    def gflops(self) -> float:
        """10^9 operations that the eager backend would need, per second of a frame; one multiply-accumulate is two."""
        return 2 * self.frame_gmacs / self.frame.processor


class Contestant:
    """A pipeline in one dtype and backend, with a source."""

    def __init__(self, pipeline: MotionInterpPipeline, backend: Backend, image: Tensor) -> None:
        self.backend, self.dtype, self.device = backend, pipeline.image_generator.dtype, pipeline.device
        with computed_by(backend, pipeline):
            self.method: MotionTransfer = pipeline.method
        self.image = image.to(self.device)
        self.source: EncodedSource = self.method.encode(self.image)

    def frame(self, driving: Tensor) -> Tensor:
        """The images ``(B, 3, H, W)`` for driving frames ``(B, 3, H, W)``."""
        poses = self.method.detector(driving.to(self.device))  # (B, K, N, 2)
        return self.method.generate([self.source], poses, [None], poses.points.new_zeros(len(driving))).image

    def work(self, driving: Tensor) -> dict[str, Callable[[], object]]:
        """What is timed, by name."""
        driving, backbone = driving.to(self.device), self.method.backbone
        poses = self.method.detector(driving)
        motion = backbone.motion(self.source, poses)
        return {
            "encode": lambda: self.method.encode(self.image),
            "keypoints": lambda: self.method.detector(driving),
            "dense motion": lambda: backbone.motion(self.source, poses),
            "image": lambda: backbone.paint(backbone.view(self.source, motion)),
            "frame": lambda: self.frame(driving),
        }


@torch.inference_mode()
def measure(
    load: Callable[[torch.dtype], MotionInterpPipeline],
    source: np.ndarray,
    driving: Sequence[np.ndarray],
    dtypes: Sequence[torch.dtype],
    rounds: int = 5,
    backends: Sequence[Backend] = BACKENDS,
    batch: int = 1,
) -> list[Measurement]:
    """Measure one pipeline in several dtypes and backends, in turns, so that a machine that slows down slows all alike.

    Args:
        load: gives the pipeline in a dtype, on the device to measure.
        source: ``(H, W, 3)`` uint8, of a size that the networks take.
        driving: frames of the same size, two or more.
        dtypes: of the convolutions; the first should be fp32.
        rounds: times that everything is timed; the medians count.
        backends: the first is "eager"; those that compute this model as it does are left out.
        batch: driving frames that are computed together.
    """
    image, frames = media.to_float(source[None]), media.to_float(np.stack(driving))  # (1 | T, 3, H, W)
    contestants = [
        each
        for pipeline in map(load, dtypes)
        for backend in _different(pipeline, backends)
        for each in [Contestant(pipeline, backend, image)]
    ]
    pictures = [torch.cat([each.frame(frame[None]) for frame in frames]).cpu() for each in contestants]
    driving_frames = frames[-1 - torch.arange(batch) % len(frames)]  # (B, 3, H, W)
    gmacs = {
        each.dtype: gmacs_of(partial(each.frame, driving_frames)) / batch
        for each in contestants
        if each.backend == backends[0]
    }
    times, ceilings = _times(contestants, driving_frames, rounds)
    results, eager = [], 0
    for number, each in enumerate(contestants):
        if each.backend == backends[0]:
            eager = number
        ratios = [
            slow.processor / fast.processor
            for slow, fast in zip(times[eager]["frame"], times[number]["frame"], strict=True)
        ]
        median = {
            name: _median(durations, 1 if name == "encode" else batch) for name, durations in times[number].items()
        }
        results.append(
            Measurement(
                each.dtype,
                each.backend,
                median.pop("encode"),
                {name: duration for name, duration in median.items() if name != "frame"},
                median["frame"],
                statistics.median(ratios),
                gmacs[each.dtype],
                ceilings[each.dtype],
                None if number == eager else psnr(pictures[number], pictures[eager]),
                None if number == 0 else psnr(pictures[number], pictures[0]),
            )
        )
    return results


def _different(pipeline: MotionInterpPipeline, backends: Sequence[Backend]) -> list[Backend]:
    """The first of some backends, and those of the others that compute a pipeline's networks in another way."""
    kinds = []
    for backend in backends:
        with computed_by(backend, pipeline):
            kinds.append(type(pipeline.method.backbone))
    return [
        backend for backend, kind in zip(backends, kinds, strict=True) if backend == backends[0] or kind != kinds[0]
    ]


def title(device: torch.device, batch: int) -> str:
    """What all measurements of a table have in common."""
    threads = f", {torch.get_num_threads()} thread{'s'[: torch.get_num_threads() > 1]}" if device.type == "cpu" else ""
    return f"{device}{threads}{f', batches of {batch}' if batch > 1 else ''}"


def pictures(source: str, driving: str, count: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture ``(size, size, 3)`` and the first frames of a video, as many of that size, uint8, from files.

    Raises:
        InputError: one of them cannot be read.
    """

    def fitted(images: Tensor) -> np.ndarray:
        placement = place_in((images.shape[-2], images.shape[-1]), (size, size), "pad")
        return media.to_uint8(to_network(images, placement))[0]

    video = media.open_video(driving)
    return fitted(media.image_tensor(source)), [fitted(media.to_float(frame[None])) for frame in islice(video, count)]


def report(results: Sequence[Measurement], device: torch.device, size: tuple[int, int], batch: int = 1) -> str:
    """The measurements as a table to print."""
    machine = f", {describe_processor()}" if device.type == "cpu" else ""
    lines = [
        f"per driving frame at {size[0]} x {size[1]} on {title(device, batch)}{machine}, torch {torch.__version__}"
    ]
    heads = ("dtype", "backend", "CPU ms", "clock ms", "speed", "dB", "dB of first", "GFLOP/s", "ceiling", "encode ms")
    lines.append("".join(f"{head:>12}" for head in heads))
    for result in results:
        cells = (
            str(result.dtype).removeprefix("torch."),
            result.backend,
            f"{1e3 * result.frame.processor:.1f}",
            f"{1e3 * result.frame.clock:.1f}",
            f"{result.speed:.2f}",
            "-" if result.psnr is None else f"{result.psnr:.1f}",
            "-" if result.psnr_of_first is None else f"{result.psnr_of_first:.1f}",
            f"{result.gflops:.1f}",
            f"{result.ceiling:.1f}",
            f"{1e3 * result.encode.processor:.0f}",
        )
        lines.append("".join(f"{cell:>12}" for cell in cells))
    for result in results:
        stages = ", ".join(f"{name} {1e3 * taken.processor:.0f} ms" for name, taken in result.stages.items())
        lines.append(f"{str(result.dtype).removeprefix('torch.')}, {result.backend}: {stages} (CPU)")
    if len({result.backend for result in results}) == 1:
        lines.append(f"the other backends compute this model as {results[0].backend}")
    lines.append(
        f"a frame has {results[0].frame_gmacs:.1f} GMACs. Speed: of the eager backend in the same dtype, by CPU time in turns; "
        "dB: PSNR against its frames; GFLOP/s: of what eager computes; ceiling: the best of large 3x3 convolutions in this run"
    )
    return "\n".join(lines)


def _times(
    contestants: Sequence[Contestant], driving: Tensor, rounds: int
) -> tuple[list[dict[str, list[Duration]]], dict[torch.dtype, float]]:
    """Of each contestant, by name, the durations of all rounds; and the ceiling of each dtype in GFLOP/s."""
    work = [each.work(driving) for each in contestants]
    convolutions = {each.dtype: _ceiling_convolutions(each.dtype, each.device) for each in contestants}
    times: list[dict[str, list[Duration]]] = [{name: [] for name in tasks} for tasks in work]
    ceilings: dict[torch.dtype, list[float]] = {dtype: [] for dtype in convolutions}
    for turn in range(rounds + 1):
        for tasks, taken in zip(work, times, strict=True):
            for name, run in tasks.items():
                if name == "encode" and turn > _ENCODINGS:
                    continue
                duration = duration_of(run, contestants[0].device)
                if turn:  # before, it warms up
                    taken[name].append(duration)
        for dtype, large in convolutions.items():
            speeds = [flops / duration_of(run, contestants[0].device).processor / 1e9 for flops, run in large]
            if turn:
                ceilings[dtype].append(max(speeds))
    return times, {dtype: statistics.median(speeds) for dtype, speeds in ceilings.items()}


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


@contextmanager
def computed_by(backend: Backend, *pipelines: MotionInterpPipeline) -> Iterator[None]:
    """Let pipelines have another backend for a while."""
    before = [pipeline.backend for pipeline in pipelines]
    try:
        for pipeline in pipelines:
            pipeline.backend = backend
        yield
    finally:
        for pipeline, own in zip(pipelines, before, strict=True):
            pipeline.backend = own


def gmacs_of(run: Callable[[], object]) -> float:
    """Multiply-accumulates, 10^9, of the public operators that run: count on the "eager" backend, others have more."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2e9


def duration_of(run: Callable[[], object], device: torch.device) -> Duration:
    """How long something takes, all that the device has to do for it included; where that is no processor, by the clock alone."""
    synchronize(device)
    start, used = time.perf_counter(), time.process_time()
    run()
    synchronize(device)
    clock = time.perf_counter() - start
    return Duration(time.process_time() - used if device.type == "cpu" else clock, clock)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long something takes on the clock, all that the device has to do for it included."""
    return duration_of(run, device).clock


def _median(durations: Sequence[Duration], frames: int) -> Duration:
    """Of one of so many frames."""
    return Duration(
        statistics.median(each.processor for each in durations) / frames,
        statistics.median(each.clock for each in durations) / frames,
    )
