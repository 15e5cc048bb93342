"""diffusers' base classes, without what its modules import beside them and nothing here uses: every network that it has, and
torch's compiler. These take longer than torch itself. What stands in for them is taken away again.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch

_COMPILER = "torch._dynamo"


def _unmarked(function: Callable[..., Any] | None = None, **_: object) -> Callable[..., Any]:
    """Stands for `torch.compiler.disable`, a decorator with and without arguments."""
    return _unmarked if function is None else function


@contextmanager
def _without_compiler() -> Iterator[None]:
    """diffusers marks functions for the compiler; where there is none it leaves them as they are."""
    if _COMPILER in sys.modules:
        yield
        return
    disable = torch.compiler.disable
    sys.modules[_COMPILER] = None  # type: ignore[assignment]  # so that it cannot be imported
    torch.compiler.disable = _unmarked  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_COMPILER]
        torch.compiler.disable = disable


class _Distributions(Mapping[str, list[str]]):
    """Stands for what `importlib.metadata.packages_distributions` gives, which looks through all that is installed: diffusers
    wants it when it is imported, and asks it nothing then."""

    @cached_property
    def _found(self) -> Mapping[str, list[str]]:
        return importlib.metadata.packages_distributions()

    def __getitem__(self, package: str) -> list[str]:
        return self._found[package]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@contextmanager
def _without_distributions() -> Iterator[None]:
    """What is installed is looked through when somebody asks."""
    own = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = _Distributions
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = own


class _Autoencoder(type):
    """Stands for diffusers' AutoencoderKL, which its pipelines need for one `isinstance`."""

    def __instancecheck__(cls, instance: object) -> bool:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        return isinstance(instance, AutoencoderKL)


def _unless_loaded(is_compiled_module: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The same question without loading the compiler: what it has not seen is not compiled."""
    return lambda module: _COMPILER in sys.modules and is_compiled_module(module)


# diffusers loads onnxruntime where it is installed, which else tells its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

with _without_compiler(), _without_distributions():
    from diffusers import hooks, models  # noqa: F401 hooks are loaded when a pipeline is asked for its device
    from diffusers.configuration_utils import ConfigMixin, register_to_config
    from diffusers.models.modeling_utils import ModelMixin
    from diffusers.utils import logging, torch_utils

    torch_utils.is_compiled_module = _unless_loaded(torch_utils.is_compiled_module)  # type: ignore[assignment]
    stands_in = "AutoencoderKL" not in vars(models)
    if stands_in:
        models.AutoencoderKL = _Autoencoder("AutoencoderKL", (), {})  # type: ignore[misc]
    try:
        from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    finally:
        if stands_in:
            del models.AutoencoderKL

__all__ = ["ConfigMixin", "DiffusionPipeline", "ModelMixin", "logging", "register_to_config"]
