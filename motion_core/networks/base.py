"""What all networks share: configuration and files through diffusers, strict loading, and two rules about precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..diffusers_base import ConfigMixin, ModelMixin
from ..errors import InputError, first_sentence

Component = TypeVar("Component")


def public_component(cls: type[Component]) -> type[Component]:
    """Record the class as ``motion_core.ClassName`` in saved pipelines, whatever file it lives in.

    diffusers writes a component's module path into ``model_index.json``, which makes it part of the file format.
    """
    cls.__module__ = "motion_core"
    return cls


def without_path(configuration: str) -> str:
    """A configuration in JSON without `_name_or_path`, which would tell a stranger how this machine's folders are named."""
    content = json.loads(configuration)
    content.pop("_name_or_path", None)
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


class Undrawn(TorchFunctionMode):
    """While this lasts, networks are made without random weights: what they are is yet to be loaded."""

    _DRAWING = {"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in self._DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class MotionModel(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers declares config_name twice
    """A network that can be saved, loaded and published.

    Convolutions run in the dtype of their weights (or in autocast's); everything with coordinates runs in fp32.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str] | None, **kwargs: Any) -> Any:
        """Load from a folder or the Hub, as diffusers does, but from safetensors only and complete.

        Raises:
            InputError: there is no such network, its configuration is not this class's, or the weights lack a parameter,
                have one too many, or one of another shape.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs["use_safetensors"] = True
        try:
            with Undrawn():
                loaded: Any = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        except InputError:
            raise
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            if "shape" in str(error):
                what = "weights do not fit the configuration"
            elif isinstance(error, RuntimeError):
                raise
            else:
                what = f"cannot be loaded as {cls.__name__}"
            raise InputError(f"{pretrained_model_name_or_path}: {what}: {first_sentence(error)}") from error
        model, info = loaded
        for problem, word in (("missing_keys", "lack"), ("unexpected_keys", "have the unknown")):
            if names := sorted(info[problem]):
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise InputError(f"{pretrained_model_name_or_path}: the weights {word} parameter {names[0]}{more}")
        return (model, info) if wants_info else model

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """As in diffusers, which acts on some keys (`quantization_config` imports a library) before the constructor sees them.

        Raises:
            InputError: a key that is not an argument of the constructor.
        """
        loaded = super().load_config(*args, **kwargs)
        cls._check_keys(loaded[0] if isinstance(loaded, tuple) else loaded)
        return loaded

    @classmethod
    def extract_init_dict(
        cls, config_dict: dict[str, Any], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The constructor's arguments out of a configuration, as in diffusers, which only warns of unknown keys.

        Raises:
            InputError: a key that is not an argument of the constructor.
        """
        cls._check_keys((*config_dict, *kwargs))
        return super().extract_init_dict(config_dict, **kwargs)

    @classmethod
    def _check_keys(cls, keys: Iterable[str]) -> None:
        known = cls._get_init_keys(cls)
        for key in keys:
            if key not in known and not key.startswith("_"):
                raise InputError(
                    f"{cls.__name__} has no configuration {key}; it has {', '.join(sorted(known - {'self'}))}"
                )

    @classmethod
    def _load_pretrained_model(
        cls, model: Any, state_dict: Any, resolved_model_file: list[str], *args: Any, **kwargs: Any
    ) -> Any:
        """As in diffusers, which takes any file that an index of shards names: it would unpickle a ``.bin``."""
        for file in resolved_model_file:
            if not str(file).endswith(".safetensors"):
                raise InputError(f"{file}: weights are loaded from .safetensors files only")
        return super()._load_pretrained_model(model, state_dict, resolved_model_file, *args, **kwargs)

    def to_json_string(self) -> str:
        """The configuration as it is saved: without the path that it was loaded from."""
        return without_path(super().to_json_string())

    def to(self, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]  # what it overrides is a wrapped function
        """As for any module. diffusers' own version warns about every change of dtype, needed or not."""
        return nn.Module.to(self, *args, **kwargs)

    def compute(self, x: Tensor) -> Tensor:
        """The tensor as convolutions here want it: in their dtype or autocast's, channels_last.

        Autocast itself would leave what is not convolved in fp32, and with it all that is concatenated with that.
        """
        device = x.device.type
        with_autocast = torch.is_autocast_enabled(device)
        # `self.dtype` walks through all modules, which takes milliseconds.
        dtype = torch.get_autocast_dtype(device) if with_autocast else next(self.parameters()).dtype
        return laid_out(x, dtype, torch.channels_last)


class _LaidOut(torch.autograd.Function):
    """What `laid_out` does where there are gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
        ctx.dtype = x.dtype
        ctx.memory_format = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        return x.to(dtype, memory_format=memory_format)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.to(ctx.dtype, memory_format=ctx.memory_format), None, None


def laid_out(x: Tensor, dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
    """A tensor ``(B, C, H, W)`` in another dtype and memory format; its gradient comes back in those that it had.

    Sampling wants fp32, contiguous, and convolutions channels_last. `Tensor.to` alone lets gradients come in the wrong format;
    together with tensors of the other one, they take a processor up to forty times as long.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return _LaidOut.apply(x, dtype, memory_format)
    return x.to(dtype, memory_format=memory_format)


def for_sampling(x: Tensor) -> Tensor:
    """A tensor ``(B, C, H, W)`` as sampling and all that has coordinates read it: fp32, contiguous."""
    return laid_out(x, torch.float32, torch.contiguous_format)


class CoordinateModel(MotionModel):
    """A network whose output is coordinates. It stays in fp32 when the rest of a pipeline goes to bf16 or fp16, and its
    `forward` leaves autocast no more than the maps that places are means under.

    bf16 has eight bits of mantissa: half a pixel at x = 1 in a 256-pixel image, which is visible as trembling.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def same_dtype(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(same_dtype, recurse)
