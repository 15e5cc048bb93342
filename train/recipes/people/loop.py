"""The loop that all stages share: AdamW, a learning rate that rises and falls, averaged weights, and files to go on from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from motion_core.atomic import atomic_path
from motion_core.errors import InputError
from train.ema import averaged_model

WARM_UP = 100  # steps
DECAY = 0.998  # of the averaged weights, each step
CLIP = 5.0  # of the gradient's norm
SAVED_EVERY = 200  # steps
REPORTED_EVERY = 50


@dataclass(frozen=True)
class Stage:
    """What is trained and for how long.

    Attributes:
        name: of its files.
        networks: by name, trained together; their averaged weights are what the stage makes.
        losses: of a step, counted from 0, by name; their sum is minimised.
        steps, rate: number of steps and the highest learning rate.
        seed: of the run.
    """

    name: str
    networks: Mapping[str, nn.Module]
    losses: Callable[[int], dict[str, Tensor]]
    steps: int
    rate: float
    seed: int


def run(stage: Stage, folder: Path) -> None:
    """Train, or go on where the stage was stopped; writes FOLDER/NAME.safetensors (fp16) at its end.

    Raises:
        InputError: what was left in FOLDER is of a stage with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = nn.ModuleDict(dict(stage.networks)).to(memory_format=torch.channels_last)
    averaged = averaged_model(model, DECAY)
    optimizer = torch.optim.AdamW(model.parameters(), stage.rate, weight_decay=1e-4)
    done = _resume(stage, folder, model, averaged, optimizer)
    began, first = time.perf_counter(), done
    sums: dict[str, float] = {}
    model.train()
    while done < stage.steps:
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * min((done + 1) / WARM_UP, (1 - done / stage.steps) ** 0.9 + 0.01)
        with torch.autocast("cpu", torch.bfloat16):
            losses = stage.losses(done)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        if torch.isfinite(norm):
            optimizer.step()
        done += 1
        averaged.update_parameters(model)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / REPORTED_EVERY
        if done % REPORTED_EVERY == 0:
            each = (time.perf_counter() - began) / (done - first)
            print(f"{stage.name} {done} of {stage.steps}, {each:.2f} s each:", _text(sums), flush=True)
            sums = {}
        if done % SAVED_EVERY == 0 and done < stage.steps:
            _save(stage, folder, model, averaged, optimizer, done)
    save_weights(averaged.module, folder / f"{stage.name}.safetensors")
    (folder / f"{stage.name}.partial.safetensors").unlink(missing_ok=True)


def save_weights(networks: nn.Module, path: Path) -> None:
    """Weights in half precision; counts of batches are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value for name, value in networks.state_dict().items() if value.is_floating_point()}
    _write({name: value.half().contiguous() for name, value in state.items()}, path, {})


def load_weights(networks: Mapping[str, nn.Module], path: Path) -> None:
    """Weights that `save_weights` wrote, of networks of which some may be others than these.

    Raises:
        InputError: the file is not there, or lacks a parameter.
    """
    if not path.is_file():
        raise InputError(f"{path}: must be there, the stage before writes it")
    state = load_file(path)
    for name, network in networks.items():
        own = {
            key.removeprefix(f"{name}."): value.float() for key, value in state.items() if key.startswith(f"{name}.")
        }
        missing = [key for key in network.load_state_dict(own, strict=False).missing_keys if "num_batches" not in key]
        if missing:
            raise InputError(f"{path}: lacks {name}.{missing[0]}")


def _text(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in values.items())


def _save(
    stage: Stage,
    folder: Path,
    model: nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
    done: int,
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in averaged.module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    settings = {"done": str(done), "settings": _settings(stage)}
    _write(
        {name: value.contiguous() for name, value in tensors.items()},
        folder / f"{stage.name}.partial.safetensors",
        settings,
    )


def _settings(stage: Stage) -> str:
    return json.dumps({"steps": stage.steps, "rate": stage.rate, "seed": stage.seed})


def _resume(
    stage: Stage, folder: Path, model: nn.Module, averaged: AveragedModel, optimizer: torch.optim.Optimizer
) -> int:
    """Steps that were done, 0 without a file."""
    path = folder / f"{stage.name}.partial.safetensors"
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is no dict
    if about["settings"] != _settings(stage):
        raise InputError(
            f"{path}: is of a run with {about['settings']}, this one has {_settings(stage)}; delete it to begin anew"
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(part("model."))
    averaged.module.load_state_dict(part("averaged."))
    averaged.n_averaged.fill_(int(about["done"]))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(about["done"])


def _write(tensors: dict[str, Tensor], path: Path, about: dict[str, str]) -> None:
    with atomic_path(path) as partial:
        save_file(tensors, partial, about)
