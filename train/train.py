"""Train a model: ``python train/train.py --config train/configs/tpsmm.yaml data.root=FOLDER``, or with ``accelerate launch``.

Read `train` from top to bottom: it is a run from its configuration to the saved pipeline, in numbered stages. The same
command again goes on from the newest checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

if not __package__:  # run as a file: this folder's train.py must not stand for the package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from motion_core.errors import InputError
from train.checkpoints import (
    Progress,
    TrainingError,
    collect_tensors,
    effective_batch,
    read_progress,
    remove_partial,
    restore,
    save_checkpoint,
)
from train.config import TrainingConfig
from train.config_file import load_config
from train.data import BrokenFrameError, PairDataset, SampleNumbers, ValidationPairs
from train.ema import AveragedNetworks
from train.export import PIPELINE, device_name, export, model_card
from train.networks import build_networks, pipeline_of
from train.phase import phase_at
from train.preparation import (
    build_step,
    check_agreement,
    compile_networks,
    find_checkpoint,
    make_folder,
    needed_features,
    pair_options,
    rank,
    start_processes,
)
from train.summaries import VALIDATION, Summaries, Window, end_lines, last_line, start_lines
from train.update import (
    StopSignal,
    build_optimizer,
    in_main_process,
    learning_rate_at,
    outlive_sigterm,
    update,
)
from train.validation import validate


def train(
    config: TrainingConfig, *, fresh: bool = False, build_step: Callable[..., nn.Module] = build_step
) -> Path | None:
    """Train as configured; every process of a distributed run calls this.

    Args:
        config: all that can be set.
        fresh: refuse a folder that has something in it, instead of going on from what is there.
        build_step: makes the module ``step(batch, phase) -> StepOutput`` from the networks.

    Returns:
        The folder of the saved pipeline, or None if the run was told to stop before its end.

    Raises:
        InputError: something given cannot be used; up to the first step, nothing has been written then.
        TrainingError: the disk is full, or losses stay not finite; checkpoints are whole.
    """
    schedule, output, folder = config.schedule, config.output, Path(config.output.folder)

    # 1. Processes, and where the run stands
    accelerator = start_processes(config)
    processes, batch_pairs = accelerator.num_processes, effective_batch(config, accelerator.num_processes)
    checkpoint = find_checkpoint(folder, fresh)
    progress = Progress() if checkpoint is None else read_progress(checkpoint, config, processes)
    check_agreement(accelerator, progress)

    # 2. Networks, and the pretrained ones that images are compared with
    networks = build_networks(config)  # checks that they fit each other and the images
    networks.to(accelerator.device).eval()
    step = build_step(networks, config)

    # 3. Data
    dataset = PairDataset(config.data.root, pair_options(config), config.seed)
    pairs = None
    if output.validate_every:
        pairs = ValidationPairs(
            config.data.root, pair_options(config), config.seed, per_video=output.validation_per_video
        )

    # 4. The run's folder: nothing has been written before this point
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        make_folder(folder, config)
        remove_partial(folder)

    # 5. Optimiser and averaged weights, all as it was
    if config.sync_batchnorm:
        nn.SyncBatchNorm.convert_sync_batchnorm(networks)
    optimizer = build_optimizer(step, networks, schedule)
    averaged = AveragedNetworks(networks, config.ema) if config.ema else None
    if checkpoint is not None:
        restore(checkpoint, networks, optimizer, averaged)
    if config.compile:
        compile_networks(networks)
    step = accelerator.prepare_model(step)  # autocast, and gradients averaged over the processes

    # 6. Steps
    with StopSignal() as signal, Summaries(config, progress, processes, accelerator.is_main_process) as summary:
        device = device_name(accelerator.device)
        summary.say(*start_lines(config, accelerator, progress, step, dataset, needed_features(config), device))
        window, means = Window(), {}
        batches = numbered_batches(dataset, config, accelerator, progress.step)
        redrawn = torch.zeros((), dtype=torch.int64, device=accelerator.device)
        step.train()
        for number in range(progress.step, schedule.steps):
            # 6.1 The batches of this step
            began = time.perf_counter()
            taken = [next(batches) for _ in range(schedule.accumulation)]
            waited = time.perf_counter() - began
            for batch in taken:
                redrawn += batch.pop("redrawn").sum()

            # 6.2 Losses, gradients, new weights; or none, if a number is not finite
            phase, rate = phase_at(config, number), learning_rate_at(schedule, number)
            result = update(accelerator, step, networks, optimizer, taken, phase, rate, schedule.clip, signal)
            seconds = time.perf_counter() - began
            progress = progress.after(batch_pairs, seconds, bool(result.bad))
            if averaged is not None and not result.bad:
                averaged.update(networks, progress.step)

            # 6.3 What is told about it
            window.add(result.outputs, batch_pairs, seconds, waited)
            summary.stepped()
            if result.bad:
                summary.say(f"step {progress.step}: {', '.join(result.bad)} not finite, the step is skipped")
            if progress.skipped_in_row >= schedule.max_skipped:
                raise TrainingError(
                    f"stopped at step {progress.step}: {', '.join(result.bad)} not finite {progress.skipped_in_row} times in a "
                    "row (schedule.max_skipped); try a lower schedule.learning_rate, or precision fp32"
                )
            last = progress.step == schedule.steps
            if progress.step % output.log_every == 0 or last:
                means = summary.log(accelerator, window, progress, rate)
                window = Window()
            if due(output.images_every, progress.step) and result.outputs:
                summary.images(result.outputs[0].images, progress.step)
            if pairs is not None and (due(output.validate_every, progress.step) or last) and not result.stop:
                model = averaged.networks if averaged is not None else networks
                summary.validated(validate(accelerator, model, config, pairs), progress.step)
                step.train()

            # 6.4 What is kept
            if due(output.checkpoint_every, progress.step) or last or result.stop:
                tensors = collect_tensors(networks, optimizer, averaged)
                in_main_process(accelerator, save_checkpoint, folder, tensors, progress, config, processes)
            if result.stop and not last:
                summary.say(f"stopped by SIGTERM after step {progress.step}; the same command goes on from there")
                return None

        anew = int(accelerator.reduce(redrawn, "sum"))
        if anew:
            summary.say(
                f"{anew} samples were drawn anew, because frames are damaged: python -m train.check_data names them"
            )

    # 7. The saved pipeline
    model = averaged.networks if averaged is not None else networks
    card = model_card(config, progress, last_line(folder / VALIDATION), len(dataset), device, processes)
    in_main_process(accelerator, export, pipeline_of(model, config), folder, card)
    if accelerator.is_main_process:
        print(*end_lines(folder / PIPELINE, progress, means), sep="\n", flush=True)
    return folder / PIPELINE


def numbered_batches(
    dataset: PairDataset, config: TrainingConfig, accelerator: Accelerator, first_step: int
) -> Iterator[dict[str, Tensor]]:
    """This process's batches of all steps from `first_step` to the last, on its device."""
    schedule, device = config.schedule, accelerator.device
    numbers = SampleNumbers(
        schedule.batch_size,
        accelerator.process_index,
        accelerator.num_processes,
        first_step * schedule.accumulation,
        (schedule.steps - first_step) * schedule.accumulation,
    )
    pin = device.type == "cuda"
    loader = DataLoader(
        dataset,
        batch_sampler=numbers,
        num_workers=config.data.workers,
        pin_memory=pin,
        worker_init_fn=outlive_sigterm,
    )
    for batch in loader:
        yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def due(every: int, step: int) -> bool:
    """Whether something that happens every so many steps, or never, happens after this one."""
    return every > 0 and step % every == 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, 1 if the run had to stop, 2 for what cannot be used."""
    parser = _Parser(description="Train a model; the same command again goes on from the newest checkpoint.")
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML, see train/configs and train/config.py")
    parser.add_argument("--fresh", action="store_true", help="only begin, in an empty or new folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="such as schedule.steps=1000 data.root=FOLDER"
    )
    try:
        options = parser.parse_intermixed_args(arguments)
        train(load_config(options.config, options.overrides), fresh=options.fresh)
    except (InputError, TrainingError, KeyboardInterrupt) as error:
        # All processes find the same, and one says it; but a broken frame is found by the process that reads it.
        if rank() == 0 or isinstance(error, BrokenFrameError):
            print(f"train: {error or 'interrupted'}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1 if isinstance(error, TrainingError) else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
