"""The measuring instruments: landmark detectors and identity embedders behind two protocols, opened by name.

bodies, faces   detectors (and an embedder) by others' packages and weights; those of the benchmark are in `rendered_people`
similarity      PSNR, SSIM and LPIPS by torchmetrics
cached          instruments that look at each image once

What an instrument needs is loaded when it is opened. Points are (x, y) in pixels, the middle of the first pixel at (0, 0).
Numbers from different instruments do not compare, so a report names them and their versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from motion_core.errors import InputError


class LandmarkDetector(Protocol):
    """Finds the landmarks of one body or face.

    Attributes:
        name: what `open_detector` knows it by.
        version: of the library and of the weights; it differs where the numbers may.
        joints: how many landmarks there are (J).
    """

    name: str
    version: str
    joints: int

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """The landmarks ``(J, 2)`` float64 in an image ``(H, W, 3)`` uint8 RGB; NaN for what is not found.

        Where there are several bodies or faces, those of the most prominent one.

        Raises:
            InputError: the detector itself failed, which is not the same as finding nothing.
        """


class IdentityEmbedder(Protocol):
    """Says who is to be seen, as a vector; `name` and `version` as of a `LandmarkDetector`."""

    name: str
    version: str

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """The embedding ``(D,)`` float of an image ``(H, W, 3)`` uint8 RGB; None where nobody is found.

        Raises:
            InputError: the embedder itself failed.
        """


DETECTORS = {
    "mediapipe-body": "eval.instruments.bodies:MediapipeBody",
    "mediapipe-face": "eval.instruments.faces:MediapipeFace",
    "dlib": "eval.instruments.faces:DlibFaces",
    "face-alignment": "eval.instruments.faces:FaceAlignment68",
    "blazepose": "eval.instruments.bodies:BlazePoseInstrument",
    "benchmark": "eval.rendered_people.instruments:JointDetector",
}
EMBEDDERS = {
    "dlib": "eval.instruments.faces:DlibFaces",
    "benchmark": "eval.rendered_people.instruments:IdentityEmbedder",
}


def open_detector(spec: str, device: str = "cpu") -> LandmarkDetector:
    """The detector of that name, ``NAME`` or ``NAME:FILE`` for those whose weights are a local file.

    Args:
        spec: a key of `DETECTORS`, and what follows it.
        device: for those that run on torch.

    Raises:
        InputError: no such detector, or something that it needs is missing; the message says which extra or file to install.
    """
    return _opened("detector", DETECTORS, spec, device)


def open_embedder(spec: str, device: str = "cpu") -> IdentityEmbedder:
    """The embedder of that name, a key of `EMBEDDERS` and what follows it; as `open_detector`."""
    return _opened("embedder", EMBEDDERS, spec, device)


def _opened(what: str, known: Mapping[str, str], spec: str, device: str) -> Any:
    """The instrument of the name before the first colon, made from what follows the colon (None where there is none)."""
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


def no_argument(name: str, argument: str | None) -> None:
    """Raise InputError if something follows the colon of an instrument that takes nothing."""
    if argument is not None:
        raise InputError(f"{name} takes nothing after a colon, got {argument!r}")
