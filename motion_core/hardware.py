"""What this machine is best used with."""

from __future__ import annotations

import torch

from .errors import InputError

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
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10 cannot tell
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
    return False


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
