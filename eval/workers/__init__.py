"""mediapipe in an environment of its own, because what it needs does not go with the rest; asked over pipes.

`install` makes an environment, `start_worker` a process in it. To the worker goes, for each image, one line of JSON with its
height and width, then its bytes (RGB); back comes one line of JSON, ``{"points": [[x, y, score], ...]}`` or
``{"error": "..."}``.
The worker's first line, ``{"version": "..."}``, says that it is ready.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from motion_core.errors import InputError

HERE = Path(__file__).parent
_REQUIREMENTS = HERE / "mediapipe.txt"
_CACHE = "MOTION_CORE_CACHE"
_MARK = "installed.txt"  # written last; it holds the digest of the requirements


def environment_folder() -> Path:
    """The folder of mediapipe's environment: under the folder that MOTION_CORE_CACHE names, or ~/.cache/motion-core."""
    root = os.environ.get(_CACHE)
    return (Path(root) if root else Path.home() / ".cache" / "motion-core") / "workers" / "mediapipe"


def is_installed() -> bool:
    """Whether the environment is complete, and what this version of the program needs."""
    mark = environment_folder() / _MARK
    return mark.is_file() and mark.read_text(encoding="utf-8") == _wanted()


def _wanted() -> str:
    return hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()


def _python() -> Path:
    return environment_folder() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install() -> Path:
    """Make the environment: a venv with exactly the packages in ``eval/workers/mediapipe.txt``.

    Returns:
        its folder.

    Raises:
        InputError: the packages cannot be had.
    """
    folder = environment_folder()
    if is_installed():
        return folder
    # The list is complete, and leaves out what the package asks for and the worker does not use.
    wanted = ["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "-r", str(_REQUIREMENTS)]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [str(_python()), *wanted]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise InputError(f"mediapipe: the worker cannot be installed: {_last_line(done.stderr or done.stdout)}")
        (folder / _MARK).write_text(_wanted(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: the worker cannot be installed ({error.strerror})") from error
    return folder


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


def start_worker(task: str) -> Worker:
    """Start mediapipe for "body" or "face".

    Raises:
        InputError: it is not installed, or does not start.
    """
    if not is_installed():
        raise InputError(
            "mediapipe runs in an environment of its own, which is not installed: python -m eval.install_worker mediapipe"
        )
    # -I: nothing of this environment is imported there
    return Worker([str(_python()), "-I", str(HERE / "mediapipe_worker.py"), task], "mediapipe")


class Worker:
    """A worker process; it ends with this object, or with the program.

    Args:
        command: that starts it.
        name: for messages.

    Attributes:
        version: that it gave.

    Raises:
        InputError: it does not start.
    """

    def __init__(self, command: list[str], name: str) -> None:
        self._name = name
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 it is closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
        )
        weakref.finalize(self, _end, self._process, self._complaints)
        self.version = str(self._answer().get("version"))

    def ask(self, image: np.ndarray) -> np.ndarray:
        """The points ``(P, 3)`` float64 that the worker finds in an image ``(H, W, 3)`` uint8: x, y in pixels, score.

        Raises:
            InputError: it failed.
        """
        pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]  # it was asked for
        header = json.dumps({"height": image.shape[0], "width": image.shape[1]})
        with suppress(OSError):  # it has ended; reading says so
            pipe.write(header.encode() + b"\n" + np.ascontiguousarray(image).tobytes())
            pipe.flush()
        return np.array(self._answer()["points"], np.float64).reshape(-1, 3)

    def _answer(self) -> dict[str, Any]:
        pipe: IO[bytes] = self._process.stdout  # type: ignore[assignment]  # it was asked for
        line = pipe.readline()
        if not line.endswith(b"\n"):
            status = self._process.wait()
            self._complaints.seek(0)
            complaint = _last_line(self._complaints.read().decode(errors="replace"))
            raise InputError(f"{self._name}: the worker ended with status {status}: {complaint}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InputError(f"{self._name}: the worker failed: {answer['error']}")
        return answer


def _end(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, complaints):
        if pipe is not None:
            with suppress(OSError):  # the rest of an image that nobody reads any more
                pipe.close()
