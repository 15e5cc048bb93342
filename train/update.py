"""One optimiser step, on all processes together: clipping, and what happens when a number is not finite; SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

from .checkpoints import TrainingError
from .config import ScheduleConfig
from .motion_step import StepOutput

CLIPPED = ("keypoint_detector", "dense_motion_network", "background_predictor")


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
    return torch.optim.Adam(
        groups, schedule.learning_rate, schedule.betas, weight_decay=schedule.weight_decay, fused=True
    )


def take_step(
    accelerator: Accelerator,
    networks: nn.ModuleDict,
    optimizer: AcceleratedOptimizer,
    outputs: Sequence[StepOutput],
    learning_rate: float,
    clip: float,
) -> tuple[str, ...]:
    """Move the weights along the gradients; or do not, in all processes, if a loss or a gradient is not finite in one.

    A gradient of 1e19 and more, whose square is infinite in fp32, is not finite either.

    Args:
        optimizer: a prepared one; its learning rates are set, since they follow from the step's number and need no scheduler.
        outputs: of the batches that the gradients come from.
        learning_rate: of this step.
        clip: largest gradient entry of the networks in `CLIPPED`; larger ones scale the network's gradient down.

    Returns:
        Names of the losses that were not finite, or "gradient"; none if the step was taken.
    """
    accelerator.unscale_gradients(
        optimizer
    )  # fp16: once, which `clip_grad_norm_` of accelerate would do for each network
    norms = {name: torch.stack(torch._foreach_norm(_gradients(network))) for name, network in networks.items()}
    for name in CLIPPED:
        if name in networks and norms[name].amax() > clip:  # only then can an entry be larger
            largest = torch.stack(torch._foreach_max(torch._foreach_abs(_gradients(networks[name])))).amax()
            nn.utils.clip_grads_with_norm_(networks[name].parameters(), clip, largest)
    bad = _not_finite(accelerator, outputs, torch.cat(tuple(norms.values())))
    if not bad:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group.get("rate", 1.0)
        optimizer.step()
    elif accelerator.scaler is not None:
        accelerator.scaler.update()  # to a smaller scale
    optimizer.zero_grad(set_to_none=True)
    return bad


def _gradients(network: nn.Module) -> list[Tensor]:
    """Those of its parameters, or a single 0 where it has none."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return gradients or [next(network.parameters()).new_zeros(1)]


def _not_finite(accelerator: Accelerator, outputs: Sequence[StepOutput], gradient_norms: Tensor) -> tuple[str, ...]:
    """The same in every process: what is not finite in one has been averaged into the gradients of all."""
    names = list(outputs[0].losses)
    finite = [torch.stack([output.losses[name].detach() for output in outputs]).isfinite().all() for name in names]
    finite.append(gradient_norms.isfinite().all())
    counts = accelerator.reduce(torch.stack(finite).float(), "sum").tolist()
    bad = [name for name, count in zip([*names, "gradient"], counts, strict=True) if count < accelerator.num_processes]
    return tuple(name for name in bad if name != "gradient") or tuple(bad)


class BufferBackup:
    """BatchNorm's running statistics as they were: the forward pass of a skipped step has changed them."""

    def __init__(self, networks: nn.Module) -> None:
        self._buffers = list(networks.buffers())
        self._before = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back."""
        for buffer, value in zip(self._buffers, self._before, strict=True):
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


@contextmanager
def sigterm_as_trigger(accelerator: Accelerator) -> Iterator[None]:
    """SIGTERM, which preempted machines get, sets the accelerator's trigger instead of ending the process."""
    if threading.current_thread() is not threading.main_thread():  # nowhere else can a handler be set
        yield
        return
    accelerator.check_trigger()  # makes its flag: a signal during its first check would be lost
    before = signal.signal(signal.SIGTERM, lambda *_: accelerator.set_trigger())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ignore_sigterm(worker: int) -> None:
    """For data workers: schedulers signal every process of a run, and the step that is being taken still needs its data."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
