"""Threads that do all the work of a kind, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """A few threads, in which calls and the steps of generators run.

    Gradio runs each of them in any of 40 threads, and for every thread that computes torch and its libraries keep 60 to 100 MB.

    Args:
        name: of the threads.
        count: of threads.
        begin: is called in each of them first.
    """

    def __init__(self, name: str, count: int = 1, begin: Callable[[], object] | None = None) -> None:
        self._pool = ThreadPoolExecutor(count, name, begin)

    def call(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What the function returns, or raises."""
        return self.submit(function, *given, **named).result()

    def submit(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> Future[T]:
        """The function's result, when it is there; it sees the caller's context, in which ZeroGPU finds who asks."""
        context = copy_context()
        return self._pool.submit(lambda: context.run(function, *given, **named))

    def iterate(self, items: Generator[T, Any, Any]) -> Iterator[T]:
        """The generator's items; it is closed where no more of them are wanted."""
        end = object()
        try:
            while (item := self.call(next, items, end)) is not end:
                yield item  # type: ignore[misc]  # it is not the end
        finally:
            self.call(items.close)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
