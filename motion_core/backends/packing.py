"""A network's packed copy: the same network with other layers, made once and again when the weights change."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..networks.tpsmm.blocks import Residual, Up
from .convolutions import PackedResidual, PackedUp, packed_convolution

Network = TypeVar("Network", bound=nn.Module)

# Where a BatchNorm that is registered after a convolution is also computed after it, and directly.
_IN_ORDER = ("timm.models.resnet", "torch.nn.modules.container")
_copies: WeakKeyDictionary[nn.Module, tuple[object, nn.Module]] = WeakKeyDictionary()


def packed(network: Network, untouched: Sequence[str] = ()) -> Network:
    """A copy of a network that shares its weights and whose convolutions are packed; kept until the weights change.

    It is for inference in evaluation mode; the network itself is not touched.

    Args:
        untouched: names of its modules that stay as they are; the same at every call for a network.
    """
    state = _state(network)
    kept = _copies.get(network)
    if kept is None or kept[0] != state:
        kept = state, _replaced(network, untouched)
        _copies[network] = kept
    return kept[1]  # type: ignore[return-value]  # it is of the network's class


def packable(network: nn.Module) -> bool:
    """Whether a network's packed copy computes what it computes now: on a processor, for inference, in fp32 or bf16."""
    parameter = next(network.parameters())
    if parameter.device.type != "cpu" or parameter.dtype not in (torch.float32, torch.bfloat16) or network.training:
        return False
    return not torch.is_autocast_enabled("cpu")


def _state(network: nn.Module) -> object:
    """Changes when a weight does."""
    return tuple(
        (value.data_ptr(), value.dtype, None if value.is_inference() else value._version)
        for value in (*network.parameters(), *network.buffers())
    )


def _replaced(module: Network, untouched: Sequence[str] = ()) -> Network:
    """The module with its layers replaced; layers that stay are shared."""
    made = copy.copy(module)
    made._modules = dict(module._modules)
    for name, following in pairwise([*module._modules, ""]):
        child, norm = made._modules[name], made._modules.get(following)
        if child is None or name in untouched:
            continue
        if isinstance(child, nn.Conv2d):
            # A subclass may do more, such as activate.
            if type(norm) is nn.BatchNorm2d and type(module).__module__ in _IN_ORDER:
                made._modules[name], made._modules[following] = packed_convolution(child, norm), nn.Identity()
            else:
                made._modules[name] = packed_convolution(child)
        else:
            made._modules[name] = _layer(child)
    return made


def _layer(layer: nn.Module) -> nn.Module:
    if isinstance(layer, Up):
        return PackedUp(layer)
    if isinstance(layer, Residual):
        return PackedResidual(layer)
    return _replaced(layer)
