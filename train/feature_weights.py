"""Weights of the feature networks from a file, the Hub, or a random generator."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_core.errors import InputError, first_sentence

StateDict = Mapping[str, Tensor]

WEIGHT_FILES = (".safetensors", ".pth", ".pt")
HUB_FILE = "model.safetensors"


def random_weights(wanted: StateDict, setting: str) -> dict[str, Tensor]:
    """He et al., "Delving deep into rectifiers", ICCV 2015, drawn in numpy, which gives the same numbers everywhere."""
    logging.getLogger(__name__).warning(
        "%s is random: this loss compares untrained features, which is for trying things out", setting
    )
    generator = np.random.default_rng(0)

    def draw(name: str, shape: torch.Size) -> Tensor:
        if len(shape) == 1:
            return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
        deviation = math.sqrt(2 / math.prod(shape[1:])) if name.endswith("weight") else 0.02  # the rest: embeddings
        return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32) * np.float32(deviation))

    return {name: draw(name, value.shape) for name, value in wanted.items()}


def file_of(choice: str, setting: str, names: Sequence[str]) -> Path:
    """The file of weights that a setting means, fetched from the Hub if it is one of timm's names."""
    if choice in names:
        return _fetch(f"timm/{choice}", choice, setting)
    if choice.endswith(WEIGHT_FILES) or Path(choice).is_file():
        return Path(choice)
    raise InputError(
        f'{setting} must be {", ".join(names)}, a {" or ".join(WEIGHT_FILES)} file, or "random", got {choice}'
    )


def _fetch(repository: str, choice: str, setting: str) -> Path:
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(repository, HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    try:
        get_hf_file_metadata(hf_hub_url(repository, HUB_FILE))  # fails at once; the download would try for a minute
        return Path(hf_hub_download(repository, HUB_FILE))
    except (OSError, ValueError, getattr(errors, "HTTPError", OSError)) as error:
        raise InputError(
            f"{setting}: the Hub did not give {choice} ({first_sentence(error)}); set {setting} to the path of a file with "
            f'these weights ({HUB_FILE} of {repository}, or a .pth with the same names), or to "random"'
        ) from error


def read_weights(path: Path, setting: str) -> dict[str, Tensor]:
    """The tensors in a file by their names. Nothing in it is executed."""
    if not path.is_file():
        raise InputError(f"{setting}: {path} is not a file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the readers raise anything
        raise InputError(f"{setting}: {path} cannot be read as weights ({first_sentence(error)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{setting}: {path} holds a {type(content).__name__}, not tensors by name")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def check_weights(wanted: StateDict, state: StateDict, choice: str, setting: str) -> None:
    """Every parameter must be there, of the right shape, and finite; others may be there as well."""
    for name, value in wanted.items():
        if name not in state:
            raise InputError(f"{setting}: {choice} holds other weights, it has no parameter {name}")
        if state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)} where {tuple(value.shape)} is wanted"
            raise InputError(f"{setting}: {choice} holds other weights, {name} has shape {shapes}")
        if not state[name].is_floating_point() or not state[name].isfinite().all():
            raise InputError(f"{setting}: in {choice}, {name} holds values that are not finite numbers")
