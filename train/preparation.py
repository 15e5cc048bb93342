"""The start of a run: processes, folder, and the module that is trained."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DataLoaderConfiguration, GradientAccumulationPlugin
from torch import nn

from motion_core.errors import InputError

from .avd_step import AvdStep
from .checkpoints import Progress, newest_checkpoint
from .config import TrainingConfig
from .features import load_vgg, load_vit
from .motion_step import WITH_TRANSFORMER, MotionStep
from .selector_step import SelectorStep
from .summaries import JsonLines

RESOLVED = "config.yaml"  # in the run's folder: all settings, defaults included; it marks the folder as a run's
_CONVOLUTIONS = ("backbone", "encode", "paint", "_hourglass")  # parts of networks that hold nearly all of their work


def start_processes(config: TrainingConfig) -> Accelerator:
    """Join the other processes, if a launcher started several, and choose the device.

    Raises:
        InputError: the launcher or the device does not go with the configuration.
    """
    accumulation = config.schedule.accumulation
    accelerator = Accelerator(
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(accumulation, sync_with_dataloader=False),
        dataloader_config=DataLoaderConfiguration(non_blocking=True),
        log_with=["tensorboard", JsonLines(Path(config.output.folder))],
        project_dir=config.output.folder,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # not all are used in every phase
    )
    if os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1") not in ("1", str(accumulation)):
        raise InputError("gradient accumulation must be given as schedule.accumulation, not to the launcher")
    if config.precision == "fp16" and accelerator.scaler is None:  # accelerate would silently take fp32
        raise InputError(f"precision must be fp32 or bf16 on this device, {accelerator.device.type}, got fp16")
    if config.sync_batchnorm and accelerator.device.type != "cuda":
        raise InputError(f"sync_batchnorm must be false on this device, {accelerator.device.type}: it needs CUDA")
    return accelerator


def find_checkpoint(folder: Path, fresh: bool) -> Path | None:
    """The checkpoint that a run in `folder` goes on from, or None for a new run.

    Raises:
        InputError: something else is in the folder, or `fresh` is wanted and the folder is not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output.folder: {folder} must be a folder, but is a file")
    found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if not found:
        return None
    if fresh:
        raise InputError(f"output.folder: {folder} must be empty or new for --fresh, but holds {found[0]}")
    if RESOLVED not in found:
        raise InputError(f"output.folder: {folder} must be empty, new, or a run's folder, but holds {found[0]}")
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None and any(name.startswith("checkpoint-") for name in found):
        raise InputError(f"output.folder: {folder} must hold a complete checkpoint to go on from, but all are damaged")
    return checkpoint


def make_folder(folder: Path, config: TrainingConfig) -> None:
    """Make the run's folder and write all settings into it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESOLVED).write_text(config.as_yaml(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"output.folder: {folder} cannot be written ({error.strerror})") from None


def check_agreement(accelerator: Accelerator, progress: Progress) -> None:
    """Check that all processes go on from the same step: machines may not share the folder.

    Raises:
        InputError: they do not.
    """
    steps = accelerator.gather(torch.tensor([progress.step], device=accelerator.device)).tolist()
    if len(set(steps)) > 1:
        raise InputError(
            f"output.folder must be one folder for all machines, but their checkpoints are of steps {steps}"
        )


def build_step(networks: nn.ModuleDict, config: TrainingConfig) -> nn.Module:
    """The module that makes losses of a batch, with the pretrained networks that it compares images with.

    Raises:
        InputError: these cannot be had; the message says which file to give.
    """
    if config.stage == "avd":
        return AvdStep(networks, config)
    device = next(networks.parameters()).device
    features: dict[str, nn.Module] = {}
    for kind, name in needed_features(config).items():
        loaded = load_vgg(name, config.losses.scales) if kind == "vgg" else load_vit(name, config.features.vit_size)
        features[kind] = loaded.to(device)
    steps: dict[str, type[nn.Module]] = {"motion": MotionStep, "selector": SelectorStep}
    return steps[config.stage](networks, config, features)


def needed_features(config: TrainingConfig) -> dict[str, str]:
    """The settings of the feature networks: "vgg", and "vit" where one of its losses has a weight."""
    if config.stage == "avd":
        return {}
    with_vit = (
        config.stage == "motion"
        and config.variant in WITH_TRANSFORMER
        and (config.losses.appearance or config.losses.structure)
    )
    return {"vgg": config.features.vgg} | ({"vit": config.features.vit} if with_vit else {})


def compile_networks(networks: nn.ModuleDict) -> None:
    """Compile the convolutions in place, which leaves the names of the parameters as they are.

    Splines and sampling stay as they are: they would break the graphs into many, and they must not change their precision.
    """
    for network in networks.values():
        for name in _CONVOLUTIONS:
            part = getattr(network, name, None)
            if isinstance(part, nn.Module):
                part.compile()
            elif part is not None:
                setattr(network, name, torch.compile(part))


def rank() -> int:
    """This process's number, as launchers tell it, before or without joining the others."""
    return int(os.environ.get("RANK", 0))
