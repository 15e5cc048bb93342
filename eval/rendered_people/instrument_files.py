"""Weights of the project's own detector and embedder: written in half precision, read again, and named by their digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from motion_core.errors import InputError, first_sentence

SHIPPED = Path(__file__).resolve().parent.parent / "weights"
SOURCE = "python -m eval.rendered_people.train_instruments makes such files"


def save_instrument(network: torch.nn.Module, path: Path, about: Mapping[str, object]) -> None:
    """Write the weights to `path`, floats in half precision, and what is known about them to the .json beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in state.items()}))
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load_instrument(network: torch.nn.Module, path: Path) -> None:
    """Load what `save_instrument` wrote.

    Raises:
        InputError: the file is damaged, of another network, or has values that are not finite.
    """
    try:
        state = load_file(path)
        network.load_state_dict(state)
    except Exception as error:  # safetensors and torch raise what they like for a wrong file
        raise InputError(f"{path}: must be weights of {type(network).__name__} ({first_sentence(error)})") from error
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: must have finite weights, but {name} has others")
