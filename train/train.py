"""Train a model: ``python train/train.py --config train/configs/tpsmm.yaml data.root=FOLDER``, or with ``accelerate launch``.

Read `train` from top to bottom: it is a run from its configuration to the saved pipeline, in numbered stages. The same
command again goes on from the newest checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: this folder's train.py must not stand for the package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from motion_core.command_line import BAD_INPUT
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
from train.config_file import ConfigParser, load_config
from train.data import BrokenFrameError, PairDataset, ValidationPairs
from train.ema import averaged_model
from train.export import PIPELINE, device_name, export, model_card
from train.networks import build_networks, pipeline_of
from train.preparation import (
    build_step,
    check_agreement,
    compile_networks,
    find_checkpoint,
    make_folder,
    needed_features,
    rank,
    start_processes,
)
from train.schedule import learning_rate_at, phase_at
from train.summaries import VALIDATION, Summaries, end_lines, last_line, start_lines
from train.update import (
    BufferBackup,
    build_optimizer,
    ignore_sigterm,
    in_main_process,
    sigterm_as_trigger,
    take_step,
)
from train.validation import validate

STOPPED = 1  # exit status


def train(
    config: TrainingConfig, *, fresh: bool = False, build_step: Callable[..., nn.Module] = build_step
) -> Path | None:
    """Train as configured; every process of a distributed run calls this.

    Args:
        config: all that can be set.
        fresh: refuse a folder that has something in it, instead of going on from what is there.
        build_step: makes the module ``step(batch, phase) -> StepOutput`` from the networks.

    Returns:
        The folder of the saved pipeline, or None if the run was stopped by SIGTERM before its end.

    Raises:
        InputError: something given cannot be used; up to the first step, nothing has been written then.
        TrainingError: the disk is full, or losses stay not finite; checkpoints are whole.
    """
    schedule, output, folder = config.schedule, config.output, Path(config.output.folder)

    # 1. Processes, and where the run stands
    accelerator = start_processes(config)
    processes = accelerator.num_processes
    checkpoint = find_checkpoint(folder, fresh)
    progress = Progress() if checkpoint is None else read_progress(checkpoint, config, processes)
    check_agreement(accelerator, progress)

    # 2. Networks, and the pretrained ones that images are compared with
    networks = build_networks(config)  # checks that they fit each other and the images
    networks.to(accelerator.device).eval()
    step = build_step(networks, config)

    # 3. Data: samples by their number, in turn; each process takes its share
    dataset = PairDataset(config.data, config.seed)
    step_pairs = effective_batch(config, processes)
    loader = make_loader(dataset, config, range(progress.step * step_pairs, schedule.steps * step_pairs))
    validation = None
    if output.validate_every:
        pairs = ValidationPairs(config.data, config.seed, per_video=output.validation_per_video)
        validation = accelerator.prepare(make_loader(pairs, config, range(len(pairs))))

    # 4. The run's folder: nothing has been written before this point
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        make_folder(folder, config)
        remove_partial(folder)

    # 5. Optimiser and averaged weights, all as it was
    if config.sync_batchnorm:
        nn.SyncBatchNorm.convert_sync_batchnorm(networks)
    optimizer = build_optimizer(step, networks, schedule)
    averaged = averaged_model(networks, config.ema) if config.ema else None
    result: Any = networks if averaged is None else averaged.module  # the networks that are validated and saved
    if checkpoint is not None:
        restore(checkpoint, networks, optimizer, averaged, accelerator.scaler)
    if config.compile:
        compile_networks(networks)
    step, optimizer, loader = accelerator.prepare(step, optimizer, loader)

    # 6. Steps
    with Summaries(accelerator, config, progress) as summary, sigterm_as_trigger(accelerator):
        device, means = device_name(accelerator.device), dict[str, float]()
        summary.say(*start_lines(config, accelerator, progress, step, dataset, needed_features(config), device))
        redrawn = torch.zeros((), dtype=torch.int64, device=accelerator.device)
        batches = iter(loader)
        step.train()
        while progress.step < schedule.steps:
            # 6.1 The batches of this step
            began = time.perf_counter()
            taken = [next(batches) for _ in range(schedule.accumulation)]
            waited = time.perf_counter() - began
            redrawn += torch.stack([batch.pop("redrawn").sum() for batch in taken]).sum()

            # 6.2 Losses and their gradients, the mean over batches and processes
            phase, rate = phase_at(config, progress.step), learning_rate_at(schedule, progress.step)
            backup, outputs = BufferBackup(networks), []
            for batch in taken:
                with accelerator.accumulate(step):
                    outputs.append(step(batch, phase))
                    accelerator.backward(outputs[-1].total)

            # 6.3 New weights; or the old ones, if a number is not finite
            bad = take_step(accelerator, networks, optimizer, outputs, rate, schedule.clip)
            if bad:
                backup.restore()
            elif averaged is not None:
                averaged.update_parameters(networks)
            seconds = time.perf_counter() - began
            progress = progress.after(step_pairs, seconds, bool(bad))
            last, stop = progress.step == schedule.steps, accelerator.check_trigger()

            # 6.4 What is reported
            summary.add([] if bad else outputs, seconds, waited)
            if bad:
                summary.say(f"step {progress.step}: {', '.join(bad)} not finite, the step is skipped")
            if progress.skipped_in_row >= schedule.max_skipped:
                raise TrainingError(
                    f"stopped at step {progress.step}: {', '.join(bad)} not finite {progress.skipped_in_row} times in a "
                    "row (schedule.max_skipped); try a lower schedule.learning_rate, or precision fp32"
                )
            if due(output.log_every, progress.step) or last:
                means = summary.log(progress, rate)
            if due(output.images_every, progress.step) and not bad:
                summary.images(outputs[0].images, progress.step)
            if validation is not None and (due(output.validate_every, progress.step) or last) and not stop:
                summary.validated(validate(accelerator, result, validation), progress.step)
                step.train()

            # 6.5 What is kept
            if due(output.checkpoint_every, progress.step) or last or stop:
                tensors = collect_tensors(networks, optimizer, averaged)
                in_main_process(
                    accelerator, save_checkpoint, folder, tensors, progress, config, processes, accelerator.scaler
                )
            if stop and not last:
                summary.say(f"stopped by SIGTERM after step {progress.step}; the same command goes on from there")
                return None

        anew = int(accelerator.reduce(redrawn, "sum"))
        if anew:
            summary.say(
                f"{anew} samples were drawn anew, because frames are damaged: python -m train.check_data names them"
            )

    # 7. The saved pipeline
    card = model_card(config, progress, last_line(folder / VALIDATION), len(dataset), device, processes)
    in_main_process(accelerator, export, pipeline_of(result, config), folder, card)
    if accelerator.is_main_process:
        print(*end_lines(folder / PIPELINE, progress, means), sep="\n", flush=True)
    return folder / PIPELINE


def make_loader(dataset: Dataset[dict[str, Tensor]], config: TrainingConfig, numbers: range) -> DataLoader:
    """Batches of the samples with these numbers, in order; `Accelerator.prepare` deals them out to the processes in turn."""
    return DataLoader(
        dataset,
        config.schedule.batch_size,
        sampler=numbers,
        num_workers=config.data.workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=ignore_sigterm,
    )


def due(every: int, step: int) -> bool:
    """True after every `every` steps; never if it is 0."""
    return every > 0 and step % every == 0


def run(options: argparse.Namespace) -> int:
    """Train; returns the exit status: 0, 1 if the run had to stop, 2 for what cannot be used."""
    try:
        train(load_config(options.config, options.overrides), fresh=options.fresh)
    except TrainingError as error:
        if rank() == 0:
            print(f"train: {error}", file=sys.stderr)
        return STOPPED
    except InputError as error:
        # All processes find the same, and one says it; but a broken frame is found by the process that reads it.
        if rank() == 0 or isinstance(error, BrokenFrameError):
            raise
        return BAD_INPUT
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ConfigParser("train", "Train a model; the same command again goes on from the newest checkpoint.")
    parser.add_argument("--fresh", action="store_true", help="only begin, in an empty or new folder")
    return parser.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
