"""The common part of detectors and embedders: found by name, optional packages imported when used, local files of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from motion_core.errors import InputError


def open_backend(what: str, known: Mapping[str, str], spec: str, device: str) -> Any:
    """Make the backend of the name before the first colon, from what follows the colon (None where there is none).

    Raises:
        InputError: no such name, or what the backend needs is missing.
    """
    name, colon, argument = spec.partition(":")
    if name not in known:
        raise InputError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    module, factory = known[name].split(":")
    return getattr(import_module(module), factory)(argument if colon else None, device)


def optional(module: str, extra: str, what: str) -> ModuleType:
    """Import an optional package.

    Raises:
        InputError: it is not installed, or does not load; the message ends in the line that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = "is not installed" if find_spec(module.split(".")[0]) is None else f"does not load ({error})"
        raise InputError(f"{what} needs {module}, which {missing}: pip install '.[{extra}]'") from error


def digest(path: Path) -> str:
    """The first 12 letters of a file's SHA-256, for versions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def no_argument(name: str, argument: str | None) -> None:
    """Raise InputError if something follows the colon of a backend that takes nothing."""
    if argument is not None:
        raise InputError(f"{name} takes nothing after a colon, got {argument!r}")
