"""Spaces with ZeroGPU lend a GPU for the length of one call; everywhere else this does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
SECONDS = 120  # that a call may take


def on_gpu(function: Callable[P, R]) -> Callable[P, R]:
    """The function, or generator function, run where the GPU is.

    On ZeroGPU that is another process: arguments, results and what is yielded are pickled, and what it keeps is lost.
    """
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(duration=SECONDS)(function)
