"""One optimiser step, on all processes together: forward, backward, clipping, and what happens when a number is not finite."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .checkpoints import TrainingError
from .config import ScheduleConfig
from .phase import Phase

CLIPPED = ("keypoint_detector", "dense_motion_network", "background_predictor")


@dataclass(frozen=True)
class Update:
    """What became of a step.

    Attributes:
        outputs: of its batches, those of this process; none if the step was skipped.
        bad: what was not finite: names of losses, or "gradient"; then the step was skipped, on all processes.
        stop: whether any process was told to stop.
    """

    outputs: list[Any]
    bad: tuple[str, ...]
    stop: bool


def update(
    accelerator: Accelerator,
    step: nn.Module,
    networks: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[dict[str, Tensor]],
    phase: Phase,
    learning_rate: float,
    clip: float,
    signal: StopSignal,
) -> Update:
    """Take one optimiser step over some batches, or skip it on all processes if a loss or a gradient is not finite.

    Args:
        step: the prepared `MotionStep` or `AvdStep`; called as ``step(batch, phase)``.
        networks: inside of it.
        batches: as many as are accumulated.
        phase, learning_rate: of this step.
        clip: largest gradient entry of the networks in `CLIPPED`; larger ones scale the network's gradient down.
        signal: whether this process was told to stop, for `Update.stop`.
    """
    kept = _Statistics(networks)
    outputs: list[Any] = []
    bad: tuple[str, ...] = ()
    stopped = False
    for index, batch in enumerate(batches):
        with accelerator.no_sync(step) if index + 1 < len(batches) else nullcontext():
            output = step(batch, phase)
            bad, stopped = _agree(accelerator, output.losses, signal.received)
            if bad:
                break
            accelerator.backward(output.total / len(batches))
            outputs.append(output)
    if not bad:
        for name in CLIPPED:
            if name in networks:
                accelerator.clip_grad_norm_(networks[name].parameters(), clip, norm_type=math.inf)
        bad = () if _gradient_is_finite(networks.parameters()) else ("gradient",)
    if bad:
        kept.restore()
    else:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group.get("rate", 1.0)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Update([] if bad else outputs, bad, stopped)


def _agree(accelerator: Accelerator, losses: dict[str, Tensor], stop: bool) -> tuple[tuple[str, ...], bool]:
    """Names of the losses that are not finite in any process, and whether any process was told to stop.

    All processes must know before the backward pass: one that left it out alone would keep the others waiting.
    """
    first = next(iter(losses.values()))
    flags = torch.stack([~loss.detach().isfinite() for loss in losses.values()]).float()
    flags = accelerator.reduce(torch.cat((flags, torch.full_like(first.detach().float().view(1), float(stop)))), "sum")
    *bad, stopped = (flags > 0).tolist()
    return tuple(name for name, is_bad in zip(losses, bad, strict=True) if is_bad), stopped


def _gradient_is_finite(parameters: Iterable[nn.Parameter]) -> bool:
    """The same answer in every process, because the gradients have been averaged."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return not gradients or bool(torch.stack(torch._foreach_norm(gradients, math.inf)).isfinite().all())


class _Statistics:
    """The running statistics of BatchNorm as they were: the forward pass of a skipped step has changed them."""

    def __init__(self, networks: nn.Module) -> None:
        self.now = list(networks.buffers())
        self.before = [buffer.clone() for buffer in self.now]

    @torch.no_grad()
    def restore(self) -> None:
        for buffer, value in zip(self.now, self.before, strict=True):
            buffer.copy_(value)


def in_main_process(accelerator: Accelerator, write: Callable[..., object], *arguments: Any) -> None:
    """Write something in the main process while the others wait.

    Raises:
        TrainingError: in all processes, if it could not be written.
    """
    problem = None
    if accelerator.is_main_process:
        try:
            write(*arguments)
        except TrainingError as error:
            problem = error
    failed = accelerator.reduce(torch.tensor([float(problem is not None)], device=accelerator.device), "sum")
    if failed.item():
        raise problem or TrainingError("the main process could not write")


def build_optimizer(step: nn.Module, networks: nn.ModuleDict, schedule: ScheduleConfig) -> torch.optim.Adam:
    """Adam for what a step trains, with a learning rate of its own for the selector.

    It starts from nearly nothing, and a step of Adam has the size of the rate: a short run moves it too little otherwise.
    """
    trained = list(step.parameters())
    rates = dict.fromkeys(trained, 1.0)
    if "selector" in networks:
        own = networks["selector"].parameters()
        rates |= {parameter: schedule.selector_rate for parameter in own if parameter in rates}
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if rates[parameter] == rate], "rate": rate}
        for rate in sorted(set(rates.values()))
    ]
    return torch.optim.Adam(groups, schedule.learning_rate, schedule.betas, weight_decay=schedule.weight_decay)


def learning_rate_at(schedule: ScheduleConfig, step: int) -> float:
    """The learning rate of step `step`, counted from 0: gamma times smaller from each milestone on."""
    return schedule.learning_rate * schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)


class StopSignal:
    """Remembers SIGTERM, which preempted machines get, instead of ending; use as a context."""

    def __init__(self) -> None:
        self.received = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # nowhere else can a handler be set
            self._before = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def outlive_sigterm(worker: int) -> None:
    """For data workers: schedulers signal every process of a run, and the step that is being taken still needs its data."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
