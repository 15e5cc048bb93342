"""Training runs in processes of their own, which can be killed; started from a server that has imported everything once."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing import forkserver, get_context
from pathlib import Path

import torch

ROOT = str(Path(__file__).parents[2])
PRELOADED = ["train.train", "timm", "torch.utils.tensorboard", "torch.distributed"]


class Training:
    """``python train/train.py ARGUMENTS`` on a number of processes that average their gradients over gloo."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        processes: int = 1,
        instead: Callable[[list[str]], int] | None = None,
    ) -> None:
        context = get_context("forkserver")
        _start_server()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.logs = [folder / f"process-{rank}.log" for rank in range(processes)]
        self.processes = [
            context.Process(target=_run, args=(rank, processes, port, str(log), list(arguments), instead))
            for rank, log in enumerate(self.logs)
        ]
        for process in self.processes:
            process.start()

    def signal(self, number: int) -> None:
        """Send a signal to all that still run, and to their data workers."""
        for process in self.processes:
            if process.is_alive():
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


@cache
def _start_server() -> None:
    """Start the process that all others are forked from. It looks for modules on PYTHONPATH alone.

    Two processes with a thread per core each would wait for one another most of the time.
    """
    forkserver.set_forkserver_preload(PRELOADED)
    wanted = {"PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")])), "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    forkserver.ensure_running()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def _run(
    rank: int, processes: int, port: int, log: str, arguments: list[str], instead: Callable[[list[str]], int] | None
) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.setsid()
    torch.set_num_threads(1)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    if processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if instead is None:
        from train.train import main as instead
    status = instead(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)
