"""What this machine is best used with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .errors import InputError

_BFLOAT16_MATRICES = ("amx_bf16", "bf16", "arm_bf16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the first of CUDA, MPS and CPU that is there.

    Raises:
        InputError: not a device's name, or one that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"device must be auto, cpu, cuda, cuda:N or mps and be there, got {name}") from None
    return device


def choose_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """The dtype of that name for convolutions; "auto" is bf16 where the processor computes in it, else fp32.

    Raises:
        InputError: not one of the names.
    """
    if name != "auto":
        if name not in DTYPES:
            raise InputError(f"dtype must be auto, {', '.join(DTYPES)}, got {name}")
        return DTYPES[name]
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bf16; emulated, it would be slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _processor_has("avx512_bf16", *_BFLOAT16_MATRICES)


def describe_processor() -> str:
    """Its name, as far as torch knows it, and what it has for narrow numbers."""
    capabilities = _capabilities()
    names = [name for name in ("avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8") if capabilities.get(name)]
    return f"{capabilities.get('cpu_name', 'a processor')} with {', '.join(names) or 'fp32 only'}"


def has_bfloat16_matrices() -> bool:
    """Whether the processor multiplies matrices in bf16, many times as fast as in fp32; by vectors it is twice as fast."""
    return _processor_has(*_BFLOAT16_MATRICES)


def has_int8() -> bool:
    """Whether the processor has instructions that multiply and add in int8; without them sums of two products overflow."""
    return _processor_has("avx512_vnni", "amx_int8")


def _processor_has(*names: str) -> bool:
    """Whether it has one of these instruction sets, as far as torch can tell."""
    return any(_capabilities().get(name, False) for name in names)


def _capabilities() -> Mapping[str, Any]:
    """What torch knows of the processor; before 2.10 that is nothing."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
