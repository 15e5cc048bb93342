"""Checkpoints of a run: folders that appear whole or not at all, safetensors and JSON only.

    checkpoint-00001200/state.safetensors   networks.*, ema.*, optimizer.<parameter>.<what Adam keeps>
    checkpoint-00001200/state.json          progress, configuration, fp16's loss scale, and the files with their sizes

Every random number of a step belongs to a sample's number, so this is all that going on exactly needs. Accelerate's `save_state`
writes optimiser, random states and registered objects as pickles, which its `load_state` executes, and in place; it is not used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel

from motion_core.atomic import atomic_path
from motion_core.errors import InputError, first_sentence
from motion_core.version import __version__

from .config import TrainingConfig
from .config_file import changed_keys, parse_config

TENSORS, STATE = "state.safetensors", "state.json"
_NAME = re.compile(r"checkpoint-(\d{8,})")
# What does not change the result, or only where the weights of a checkpoint, which has them all, once began.
_MAY_CHANGE = (
    "init_from",
    "schedule.steps",
    "schedule.max_skipped",
    "output.",
    "data.workers",
    "data.cache_mb",
    "compile",
)
_TOGETHER = ("schedule.batch_size", "schedule.accumulation")  # only their product with the processes counts


class TrainingError(RuntimeError):
    """A run cannot go on, through no fault of the input; the message is one sentence. What was saved before is whole."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        step: optimiser steps taken, the skipped ones included.
        samples: pairs seen, over all processes.
        skipped: steps whose loss or gradient was not finite.
        skipped_in_row: how many of them were the last ones.
        seconds: spent training, over all starts of the run.
    """

    step: int = 0
    samples: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    seconds: float = 0.0

    def after(self, samples: int, seconds: float, skipped: bool) -> Progress:
        """One step later."""
        return Progress(
            self.step + 1,
            self.samples + samples,
            self.skipped + skipped,
            self.skipped_in_row + 1 if skipped else 0,
            self.seconds + seconds,
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, or any other failure to write, into one sentence.

    Raises:
        TrainingError: naming `path`.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_sentence(error)
        raise TrainingError(f"{path}: cannot be written ({reason}); checkpoints written before are whole") from error


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    progress: Progress,
    config: TrainingConfig,
    processes: int,
    scaler: GradScaler | None = None,
) -> Path:
    """Write a checkpoint under a temporary name and rename it, then remove all but the newest ``config.output.keep``.

    Args:
        folder: of the run.
        tensors: from `collect_tensors`.

    Raises:
        TrainingError: it cannot be written; the earlier ones are as they were.
    """
    final = folder / f"checkpoint-{progress.step:08d}"
    with writing(final):
        with atomic_path(final, over=True) as partial:  # over an incomplete one of the same step
            partial.mkdir()
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial / TENSORS)
            state = {
                "progress": asdict(progress),
                "config": config.as_dict(),
                "version": __version__,
                "processes": processes,
                "effective_batch": effective_batch(config, processes),
                "scaler": None if scaler is None else scaler.state_dict(),
                "files": {TENSORS: (partial / TENSORS).stat().st_size},
            }
            (partial / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
            for path in (partial / TENSORS, partial / STATE, partial):
                _to_disk(path)
        _to_disk(folder)
    _prune(folder, config.output.keep)
    return final


def effective_batch(config: TrainingConfig, processes: int) -> int:
    """Pairs per optimiser step, over all processes."""
    return config.schedule.batch_size * config.schedule.accumulation * processes


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint of the most steps, or None."""
    return next((path for path in reversed(_all(folder)) if _is_complete(path)), None)


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in folder.glob(".*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def read_progress(checkpoint: Path, config: TrainingConfig, processes: int) -> Progress:
    """The progress of a checkpoint, if a run with this configuration may go on from it.

    Raises:
        InputError: it belongs to another configuration, naming the setting.
    """
    state = _state(checkpoint)
    before = parse_config(state["config"], str(checkpoint / STATE))
    for key in sorted(changed_keys(before, config), key=lambda key: key != "variant"):
        if not key.startswith(_MAY_CHANGE) and key not in _TOGETHER:
            old, new = (_value(settings.as_dict(), key) for settings in (before, config))
            raise InputError(
                f"{checkpoint}: belongs to a run with {key} {old!r}, got {new!r}: use another output.folder, or the same {key}"
            )
    found = effective_batch(config, processes)
    if found != state["effective_batch"]:
        raise InputError(
            f"{checkpoint}: batch_size x accumulation x processes must be {state['effective_batch']} as before, got {found}"
        )
    progress = Progress(**state["progress"])
    if progress.step > config.schedule.steps:
        raise InputError(
            f"{checkpoint}: schedule.steps must be at least the {progress.step} that are done, got {config.schedule.steps}"
        )
    return progress


def collect_tensors(
    networks: nn.ModuleDict, optimizer: torch.optim.Optimizer, averaged: AveragedModel | None
) -> dict[str, Tensor]:
    """All tensors of a checkpoint, by name."""
    tensors = {f"networks.{name}": tensor for name, tensor in networks.state_dict().items()}
    if averaged is not None:
        tensors |= {f"ema.{name}": tensor for name, tensor in averaged.state_dict().items()}
    for name, parameter in networks.named_parameters():
        for key, tensor in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = tensor
    return tensors


def restore(
    checkpoint: Path,
    networks: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    averaged: AveragedModel | None,
    scaler: GradScaler | None = None,
) -> None:
    """Put a checkpoint's tensors back where `collect_tensors` had them.

    Raises:
        InputError: the file cannot be read, or its tensors are not these networks'.
    """
    try:
        tensors = load_file(checkpoint / TENSORS)
        networks.load_state_dict(_part(tensors, "networks."))
        if averaged is not None:
            averaged.load_state_dict(_part(tensors, "ema."))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{checkpoint}: cannot be read back: {first_sentence(error)}") from error
    names = {id(parameter): name for name, parameter in networks.named_parameters()}
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        index: {
            key: _laid_out_like(parameter, tensor)
            for key, tensor in _part(tensors, f"optimizer.{names[id(parameter)]}.").items()
        }
        for index, parameter in enumerate(trained)
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {index: kept for index, kept in state.items() if kept}, "param_groups": groups})
    if scaler is not None:
        scaler.load_state_dict(_state(checkpoint)["scaler"])


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The optimiser's tensor in the parameter's memory format: a fused step goes through both as they lie in memory."""
    return torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _value(settings: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        settings = settings[part]
    return settings


def _all(folder: Path) -> list[Path]:
    """Checkpoints from the oldest, whole or not."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def _is_complete(checkpoint: Path) -> bool:
    try:
        files = _state(checkpoint)["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (InputError, OSError, KeyError):
        return False


def _state(checkpoint: Path) -> dict[str, Any]:
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{checkpoint / STATE}: cannot be read ({first_sentence(error)})") from None
    if not isinstance(state, dict):
        raise InputError(f"{checkpoint / STATE}: must be a JSON object, got {type(state).__name__}")
    return state


def _prune(folder: Path, keep: int) -> None:
    complete = [path for path in _all(folder) if _is_complete(path)]
    for path in _all(folder):
        if path not in complete[-keep:]:
            shutil.rmtree(path, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Flush to the disk: after a power failure a renamed file may otherwise be empty."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
