"""Training speed on this machine: ``python -m train.benchmark --config FILE [KEY=VALUE ...]``.

Prints samples per second of the data alone, of the whole step on data that is there already, and of both together, with the share
of time that the step waits for data. Nothing is written and nothing is kept.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from motion_core.benchmark import seconds_of
from motion_core.errors import InputError
from motion_core.hardware import synchronize

from .config import TrainingConfig
from .config_file import ConfigParser, load_config
from .data import PairDataset
from .export import device_name
from .networks import build_networks
from .preparation import build_step, compile_networks, start_processes
from .schedule import learning_rate_at, phase_at
from .train import make_loader
from .update import build_optimizer, take_step


def measure(config: TrainingConfig, steps: int, warmup: int) -> list[str]:
    """Measure a configuration and say what was found, a line each.

    Args:
        config: of the training; the phase measured is that of its last step, where all losses are in.
        steps: that are timed.
        warmup: steps before, in which compilation happens and the cache of frames begins to fill.

    Raises:
        InputError: the configuration or its data cannot be used.
    """
    accelerator = start_processes(config)
    networks = build_networks(config)
    networks.to(accelerator.device)
    step = build_step(networks, config)
    dataset = PairDataset(config.data, config.seed)
    if config.compile:
        compile_networks(networks)
    batch_size, device = config.schedule.batch_size, accelerator.device
    numbers = range((warmup + 2 * steps) * batch_size * accelerator.num_processes)
    batches = iter(accelerator.prepare(make_loader(dataset, config, numbers)))
    run_step = stepper(accelerator, step, networks, config)
    for batch in islice(batches, warmup):
        run_step(batch)
    together, waited = [], []
    for _ in range(steps):
        began = time.perf_counter()
        batch = next(batches)
        waited.append(time.perf_counter() - began)
        run_step(batch)
        synchronize(device)
        together.append(time.perf_counter() - began)
    alone = [seconds_of(lambda: run_step(batch), device) for _ in range(steps)]
    loading = [seconds_of(lambda: next(batches), device) for _ in range(steps)]

    def rate(times: list[float]) -> str:
        return f"{batch_size / statistics.median(times):9.2f} samples/s"

    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    height, width = config.data.image_size
    return [
        f"{config.variant} at {height} x {width}, batch {batch_size}, {config.precision}, "
        f"{'compiled' if config.compile else 'not compiled'}, {device_name(device)}{threads}, torch {torch.__version__}",
        f"data alone           {rate(loading)}, {config.data.workers} workers",
        f"step alone           {rate(alone)}",
        f"step with its data   {rate(together)}, waiting for data {100 * sum(waited) / sum(together):.1f} % of the time",
        f"median of {steps} steps after {warmup}; the losses are those of the last step of the schedule",
    ]


def stepper(
    accelerator: Accelerator, step: nn.Module, networks: nn.ModuleDict, config: TrainingConfig
) -> Callable[[dict[str, Tensor]], None]:
    """One optimiser step on a batch, as a run would take it at its end."""
    schedule, last = config.schedule, config.schedule.steps - 1
    phase, rate = phase_at(config, last), learning_rate_at(schedule, last)
    prepared, optimizer = accelerator.prepare(step, build_optimizer(step, networks, schedule))
    prepared.train()

    def take(batch: dict[str, Tensor]) -> None:
        output = prepared(batch, phase)
        accelerator.backward(output.total)
        take_step(accelerator, networks, optimizer, [output], rate, schedule.clip)

    return take


def run(options: argparse.Namespace) -> None:
    if min(options.steps, options.warmup) < 1:
        raise InputError(f"--steps and --warmup must be 1 or more, got {options.steps} and {options.warmup}")
    print(*measure(load_config(options.config, options.overrides), options.steps, options.warmup), sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ConfigParser("python -m train.benchmark", __doc__)
    parser.add_argument("--steps", type=int, default=10, help="that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before")
    return parser.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
