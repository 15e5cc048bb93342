"""Whether memory grows with the length of the driving video: measured, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import demo, media
from .errors import InputError

LENGTHS = (60, 260)  # driving frames; H.264 looks 40 ahead
SIZE = 256  # of the pictures, so that the longer video has 39 MB more of them; the model is tiny, for time


def peak_memory(arguments: list[str]) -> float:
    """Run a command and return the most memory that it held at once, in MB (10^6 bytes).

    Raises:
        InputError: on a system that does not tell, or if the command fails.
    """
    if not hasattr(os, "wait4"):
        raise InputError("peak memory can be measured on Linux and macOS only")
    # One arena: glibc's many keep what threads have freed, tens of megabytes by chance.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"{' '.join(arguments)}: ended with status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return usage.ru_maxrss * unit / 1e6


def measure_animation(frames: int) -> float:
    """Peak memory, in MB, of ``animate`` with a driving video of that many frames and a tiny model in one hop."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("model", "source.png", "driving.mp4", "result.mp4")
        model, source, driving, result = (Path(folder) / name for name in names)
        demo.random_pipeline(demo.TINY, SIZE).save_pretrained(model)
        media.save_image(source, demo.source_picture(SIZE))
        pictures = demo.driving_frames(5, SIZE)
        with media.VideoWriter(driving, 25) as writer:
            for index in range(frames):
                writer.write(pictures[index % len(pictures)])
        animate = [sys.executable, "-m", "motion_core", "animate", str(source), str(driving), "-o", str(result)]
        return peak_memory([*animate, "--model", str(model), "--device", "cpu"])


def memory_report() -> str:
    """A table to print: peak memory by length, and the difference."""
    peaks = [measure_animation(frames) for frames in LENGTHS]
    what = f"a tiny model of random weights in one hop, pictures of {SIZE} x {SIZE}, H.264 in and out"
    lines = [f"peak memory of `animate` on the CPU, {what}"]
    lines += [f"{frames:>8} frames {peak:>8.0f} MB" for frames, peak in zip(LENGTHS, peaks, strict=True)]
    lines.append(f"difference {peaks[-1] - peaks[0]:>10.0f} MB")
    return "\n".join(lines)
