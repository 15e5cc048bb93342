"""Training runs in processes of their own, which can be killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import preloaded


class Training:
    """``python train/train.py ARGUMENTS`` on a number of processes that average their gradients over gloo."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        processes: int = 1,
        instead: Callable[[list[str]], int] | None = None,
    ) -> None:
        port = preloaded.free_port()
        self.logs = [folder / f"process-{rank}.log" for rank in range(processes)]
        self.processes = [
            preloaded.start_work(instead or _train, log, list(arguments), **_place(rank, processes, port))
            for rank, log in enumerate(self.logs)
        ]

    def signal(self, number: int) -> None:
        """Send a signal to all that still run, and to their data workers."""
        for process in self.processes:
            if process.is_alive():
                assert process.pid is not None
                os.killpg(process.pid, number)

    def wait_for(self, path: Path, seconds: float = 200) -> None:
        """Wait until a file or folder is there."""
        end = time.monotonic() + seconds
        while not path.exists():
            if time.monotonic() > end or not any(process.is_alive() for process in self.processes):
                raise AssertionError(f"{path} did not come:\n{self.log}")
            time.sleep(0.01)

    def wait(self, seconds: float = 200) -> list[int | None]:
        """Exit statuses; minus the signal's number for a process that was killed."""
        for process in self.processes:
            process.join(seconds)
        alive = [process for process in self.processes if process.is_alive()]
        for process in alive:
            process.kill()
        assert not alive, self.log
        return [process.exitcode for process in self.processes]

    def succeed(self) -> None:
        """Wait, and fail with what was printed if one process did."""
        assert set(self.wait()) == {0}, self.log

    @property
    def log(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in self.logs if log.exists())


def _place(rank: int, processes: int, port: int) -> dict[str, str]:
    """The environment of one of several processes."""
    place = {"ACCELERATE_USE_CPU": "true"}
    if processes > 1:
        place |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return place


def _train(arguments: list[str]) -> int:
    from train.train import main

    return main(arguments)
