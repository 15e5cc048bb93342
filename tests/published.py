"""Published TPSMM checkpoints for the tests, made from names and shapes alone.

A case of the conformance data is ``NAME.json`` (configuration, every parameter's published name and shape) and ``NAME.npz``
(pictures, and what the published networks made of them). The weights are not stored: both sides draw them from a
generator seeded with the parameter's name. Nothing here uses `motion_core`, which is what it is held against.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ANTIALIAS = "dense_motion_network.down.weight"  # the one entry of a published file that is a constant
StateDicts = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """One case of the conformance data.

    Attributes:
        name: such as "tiny-128".
        config: the published configuration.
        shapes: of every parameter, by its published name with the network in front.
        arrays: inputs and expected outputs.
    """

    name: str
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    arrays: dict[str, np.ndarray]

    @property
    def shrink(self) -> int:
        """The published scale factor as a whole number."""
        return round(1 / self.config["dense_motion_params"]["scale_factor"])

    def required(self) -> StateDicts:
        """The networks that every checkpoint has: a third of the weights."""
        optional = ("avd_network", "bg_predictor")
        return {name: network for name, network in self.state_dicts().items() if name not in optional}

    def state_dicts(self) -> StateDicts:
        """The networks of this case under their published names; the loss's VGG-19 is not part of a checkpoint."""
        return state_dicts(
            ((name, shape) for name, shape in self.shapes.items() if not name.startswith("vgg19.")), self.shrink
        )

    def image(self, frame: np.ndarray) -> Tensor:
        """``(H, W, 3)`` uint8 as the networks take it, ``(1, 3, H, W)`` in [0, 1]."""
        return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255


def load_case(folder: Path, name: str) -> Case:
    content = json.loads((folder / f"{name}.json").read_text())
    shapes = {key: tuple(entry["shape"]) for key, entry in content["parameters"].items()}
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    return Case(name, content["config"], shapes, arrays)


def antialias_kernel(shrink: int) -> np.ndarray:
    """The Gaussian of the published Shrink(1 / shrink), ``(side, side)`` float32."""
    sigma = (shrink - 1) / 2
    reach = round(4 * sigma)
    square = np.array([[y * y + x * x for x in range(-reach, reach + 1)] for y in range(-reach, reach + 1)], float)
    kernel = np.exp(-square / (2 * sigma**2))
    return (kernel / kernel.sum()).astype(np.float32)


def antialias_weight(shrink: int, shape: tuple[int, ...]) -> Tensor:
    """The kernel repeated per channel, as published files contain it."""
    return torch.from_numpy(antialias_kernel(shrink)).expand(shape).clone()


@cache
def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The value of a parameter by the rule of the conformance data, from its full published name; not to be changed."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith(".num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith(".running_var"):
        value = 1 + 0.1 * np.abs(noise)
    elif name.endswith(".weight") and len(shape) >= 2:
        value = noise * np.sqrt(1.5 / np.prod(shape[1:]))
    elif name.endswith(".weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise
    if name == "kp_detector.fg_encoder.fc.bias":
        value = value * 10
    if name == "bg_predictor.bg_encoder.fc.weight":
        value = value * 0.02
    if name == "bg_predictor.bg_encoder.fc.bias":
        value = value * 0.3 + np.array([1, 0, 0, 0, 1, 0])
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def state_dicts(shapes: Iterable[tuple[str, tuple[int, ...]]], shrink: int) -> StateDicts:
    """Published state dicts with these parameters, by network."""
    networks: StateDicts = {}
    for name, shape in shapes:
        network, key = name.split(".", 1)
        fixed = name == ANTIALIAS
        networks.setdefault(network, {})[key] = antialias_weight(shrink, shape) if fixed else weight(name, shape)
    return networks


def single_mask(networks: StateDicts) -> StateDicts:
    """The same as a single-mask model: one occlusion layer, on the hourglass's last output, and none of the layers after it."""
    motion = networks["dense_motion_network"]
    kept = {key: value for key, value in motion.items() if not key.startswith(("up.", "occlusion."))}
    kept["occlusion.0.weight"], kept["occlusion.0.bias"] = motion["occlusion.1.weight"], motion["occlusion.1.bias"]
    return {**networks, "dense_motion_network": kept}


def write_checkpoint(path: Path, networks: Mapping[str, Any], **others: Any) -> Path:
    """A published-format file: the state dicts, and what training left beside them."""
    left_over = {
        "optimizer": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-4}]},
        "epoch": 99,
    }
    torch.save({**networks, **left_over, **others}, path)
    return path
