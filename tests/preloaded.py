"""Python programs in processes of their own that start at once: copies of one that has imported everything.

Each is what ``python ARGUMENTS`` would be, and can be killed alone.
"""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

ROOT = str(Path(__file__).parents[1])
PRELOADED = ["train.train", "timm", "torch.utils.tensorboard", "torch.distributed", "eval.ablation", "eval.reconstruct"]


def start(arguments: Sequence[object], log: Path, **environment: str) -> BaseProcess:
    """``python ARGUMENTS``, which are a file or ``-m MODULE`` and what it takes."""
    return start_work(_program, log, [str(argument) for argument in arguments], **environment)


def start_work(work: Callable[..., object], log: Path, *given: Any, **environment: str) -> BaseProcess:
    """A function of a module that the process can import, and what it is given; its result is the exit status.

    Args:
        log: what is printed is appended to this file.
    """
    _start_server()
    process = get_context("forkserver").Process(target=_run, args=(work, given, str(log), environment))
    process.start()
    return process


def run(command: Sequence[object], stdout: Any = None, **_: Any) -> subprocess.CompletedProcess[bytes]:
    """In place of ``subprocess.run([sys.executable, ...])``, of which what is printed goes to a file or nowhere."""
    assert command[0] == sys.executable
    process = start(command[1:], Path(os.devnull if stdout is None else stdout.name))
    process.join()
    assert process.exitcode is not None
    return subprocess.CompletedProcess(list(map(str, command)), process.exitcode)


def free_port() -> int:
    """Of this machine, for processes to meet at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _start_server() -> None:
    """Start the process that all others are forked from. It looks for modules on PYTHONPATH alone.

    Two processes with a thread per core each would wait for one another most of the time.
    """
    forkserver.set_forkserver_preload(PRELOADED)
    wanted = {"PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")])), "OMP_NUM_THREADS": "1"}
    with patch.dict(os.environ, wanted):
        forkserver.ensure_running()


def _run(work: Callable[..., object], given: Sequence[Any], log: str, environment: dict[str, str]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.setsid()
    torch.set_num_threads(1)
    os.environ |= environment
    status = work(*given)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)


def _program(arguments: list[str]) -> None:
    module = arguments[0] == "-m"
    sys.argv = arguments[module:]
    if module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
