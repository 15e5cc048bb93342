"""What all networks share: configuration and files through diffusers, strict loading, and two rules about precision."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, Self

import torch
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn

from ..errors import InputError


def public_component(cls: type) -> type:
    """Record the class as ``motion_core.ClassName`` in saved pipelines, whatever file it lives in.

    diffusers writes a component's module path into ``model_index.json``, which makes it part of the file format.
    """
    cls.__module__ = "motion_core"
    return cls


class MotionModel(ModelMixin, ConfigMixin):
    """A network that can be saved, loaded and published.

    Convolutions run in the dtype of their weights (or in autocast's); everything with coordinates runs in fp32.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any) -> Self:
        """Load from a folder or the Hub, as diffusers does, but from safetensors only and complete.

        Raises:
            InputError: the weights lack a parameter, have one too many, or one of another shape.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs["use_safetensors"] = True
        try:
            model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        except (RuntimeError, ValueError) as error:
            if "shape" in str(error):
                raise InputError(f"{pretrained_model_name_or_path}: weights do not fit the configuration: {error}") from None
            raise
        for problem, word in (("missing_keys", "lack"), ("unexpected_keys", "have the unknown")):
            if names := sorted(info[problem]):
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise InputError(f"{pretrained_model_name_or_path}: the weights {word} parameter {names[0]}{more}")
        return (model, info) if wants_info else model

    def compute(self, x: Tensor) -> Tensor:
        """The tensor as convolutions here want it: their dtype (unless autocast chooses), channels_last."""
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last)


class CoordinateModel(MotionModel):
    """A network whose output is coordinates. It stays in fp32 when the rest of a pipeline goes to bf16 or fp16.

    bf16 has eight bits of mantissa: half a pixel at x = 1 in a 256-pixel image, which is visible as trembling.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def same_dtype(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(same_dtype, recurse)
