"""Around one computation: stopping it, guessing how long it takes, and the folder that its files lie in."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER, WORK = "motion-space-", "work"  # what a server's folder begins with, and the one in it where runs have theirs


class Stop:
    """A run's way of hearing that it should stop; it looks between two frames."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.taken = False

    def __call__(self) -> None:
        self._event.set()

    @property
    def asked(self) -> bool:
        return self._event.is_set()


class Runs:
    """The runs of each visitor, waiting or at work, so that one can be stopped without touching anybody else's."""

    def __init__(self) -> None:
        self._stops: dict[str, list[Stop]] = {}
        self._lock = threading.Lock()

    def announce(self, visitor: str) -> None:
        """Say that a run was asked for, so that it can be stopped while it still waits for its turn."""
        with self._lock:
            self._stops.setdefault(visitor, []).append(Stop())

    @contextmanager
    def take(self, visitor: str) -> Iterator[Stop]:
        """The stop of the visitor's run that begins now: the first that was announced, or a new one."""
        with self._lock:
            waiting = self._stops.setdefault(visitor, [])
            stop = next((stop for stop in waiting if not stop.taken), None)
            if stop is None:
                waiting.append(stop := Stop())
            stop.taken = True
        try:
            yield stop
        finally:
            self._forget(visitor, stop)

    def stop(self, visitor: str) -> int:
        """Stop all runs of a visitor; returns how many there were."""
        with self._lock:
            stops = [stop for stop in self._stops.get(visitor, []) if not stop.asked]
            for stop in stops:
                stop()
            return len(stops)

    def leave(self, visitor: str) -> None:
        """Stop the runs of a visitor who is gone, and forget those that never began."""
        self.stop(visitor)
        with self._lock:
            left = [stop for stop in self._stops.pop(visitor, []) if stop.taken]
            if left:
                self._stops[visitor] = left

    def _forget(self, visitor: str, stop: Stop) -> None:
        with self._lock:
            left = [other for other in self._stops.get(visitor, []) if other is not stop]
            if left:
                self._stops[visitor] = left
            else:
                self._stops.pop(visitor, None)

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._stops.values()))


class Stopwatch:
    """How long the rest of a run takes, from all of it so far."""

    def __init__(self, total: int, now: float | None = None) -> None:
        self.total = total
        self._began = time.monotonic() if now is None else now
        self._shown = -1e9

    def seconds_left(self, done: int, now: float | None = None) -> float | None:
        """None in the first second, which tells little."""
        now = time.monotonic() if now is None else now
        if not done or now - self._began < 1:
            return None
        return (now - self._began) / done * (self.total - done)

    def is_due(self, every: float, now: float | None = None) -> bool:
        """Whether `every` seconds have gone by since the last time that this was true."""
        now = time.monotonic() if now is None else now
        if now - self._shown < every:
            return False
        self._shown = now
        return True


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happens."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
