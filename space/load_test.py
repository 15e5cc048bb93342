"""Many clients at once, with good and bad files, against a server of its own: what is lost, mixed up, slow, or left behind.

python -m space.load_test [--clients 20] [--seconds 120]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError

from motion_core import media
from motion_core.command_line import CommandParser

from .runs import SERVER, WORK
from .showcase import HERE, read_examples

FRAMES = 4  # of each result
BAD = 0.3  # share of the jobs
PATIENCE = 600  # seconds that a client waits for a job


@dataclass
class Tally:
    """What became of the jobs, counted by all clients."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str, seconds: float | None = None) -> None:
        with self.lock:
            self.outcomes[outcome] += 1
            if seconds is not None:
                self.seconds.append(seconds)


def visit(url: str, number: int, until: float, folder: Path, tally: Tally) -> None:
    """One client, until a moment of `time.monotonic`: its results are known by their size, which is its own."""
    picture, driving, bad = files_of(number, folder)
    draw = random.Random(number)
    try:
        client = Client(
            url,
            verbose=False,
            analytics_enabled=False,
            download_files=str(folder / f"results-{number}"),
            httpx_kwargs={"timeout": PATIENCE},
        )
    except Exception as error:  # whatever keeps it out
        tally.add("clients kept out")
        print(f"client {number}: {type(error).__name__}: {error}", file=sys.stderr)
        return
    try:
        while time.monotonic() < until:
            is_bad = draw.random() < BAD
            given = draw.choice(bad) if is_bad else (picture, driving)
            began = time.monotonic()
            job = client.submit(
                *map(handle_file, given), start=0, end=0, longest=FRAMES / 25, mode="auto", api_name="/animate"
            )
            try:
                video = job.result(PATIENCE)[0]
            except AppError as error:
                tally.add("bad files refused" if is_bad else f"good files refused: {error}")
            except QueueError:
                tally.add("told that the queue is full")
                time.sleep(1)
            except Exception as error:  # whatever else happens to a job, it is lost
                tally.add("lost")
                print(f"client {number}: {type(error).__name__}: {error}", file=sys.stderr)
            else:
                about = media.open_video(video)
                owner = about.size == size_of(number) and about.frame_count == FRAMES
                outcome = "bad files taken" if is_bad else "done" if owner else "wrong owner"
                tally.add(outcome, time.monotonic() - began)
    finally:
        client.close()


def size_of(number: int) -> tuple[int, int]:
    """(height, width) of a client's picture, which nobody else's has."""
    return 448, 320 + 4 * number


def files_of(number: int, folder: Path) -> tuple[str, str, list[tuple[str, str]]]:
    """A client's picture and video, and pairs of files that cannot be used."""
    examples = read_examples()
    height, width = size_of(number)
    pixels = media.load_image(examples.pictures[0].path)
    left = (pixels.shape[1] - width) // 2
    picture = folder / f"picture-{number}.png"
    media.save_image(picture, np.ascontiguousarray(pixels[:height, left : left + width]))
    driving = str(examples.movements[number % len(examples.movements)].path)
    black, text, cut = folder / f"black-{number}.png", folder / f"text-{number}.png", folder / f"cut-{number}.mp4"
    media.save_image(black, np.zeros((256, 256, 3), np.uint8))
    text.write_text("no picture\n")
    cut.write_bytes(Path(driving).read_bytes()[:6000])
    return str(picture), driving, [(str(black), driving), (str(text), driving), (str(picture), str(cut))]


def memory_of(process: int) -> float:
    """Resident megabytes of a process, as Linux tells them."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


def load_test(options: argparse.Namespace) -> int:
    """Run the clients and print what became of their jobs; 1 where any is lost or mixed up, or files are left."""
    with tempfile.TemporaryDirectory() as root:
        folder, temporary = Path(root) / "clients", Path(root) / "server"
        folder.mkdir()
        temporary.mkdir()
        server = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=HERE.parent,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            url = next(line.split()[1] for line in server.stdout if line.startswith("Open http"))
            first = Tally()
            visit(url, 0, time.monotonic() + 0.1, folder, first)  # which loads the model
            before, tally = memory_of(server.pid), Tally()
            most = [before]
            until = time.monotonic() + options.seconds
            clients = [
                threading.Thread(target=visit, args=(url, number, until, folder, tally), daemon=True)
                for number in range(options.clients)
            ]
            for client in clients:
                client.start()
            while any(client.is_alive() for client in clients) and time.monotonic() < until + PATIENCE:
                most.append(memory_of(server.pid))
                time.sleep(1)
            tally.outcomes["lost"] += sum(client.is_alive() for client in clients)
            time.sleep(2)  # a result reaches its client a moment before the run has cleared up
            after, work = memory_of(server.pid), list(temporary.glob(f"{SERVER}*/{WORK}/*"))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        left = [path for path in temporary.rglob("*") if path.is_file()]
        return report(
            options, tally, (before, max(most), after), [str(path.relative_to(temporary)) for path in work + left]
        )


def report(options: argparse.Namespace, tally: Tally, memory: tuple[float, float, float], left: list[str]) -> int:
    """Print it; returns the exit status."""
    print(f"{options.clients} clients, {options.seconds:g} s")
    for outcome in ("done", "bad files refused", "told that the queue is full", "lost", "wrong owner"):
        print(f"{outcome}: {tally.outcomes.pop(outcome, 0) if outcome not in _FAULTS else tally.outcomes[outcome]}")
    if tally.seconds:
        p50, p95 = np.percentile(tally.seconds, (50, 95))
        print(f"seconds from asking to result: p50 {p50:.1f}, p95 {p95:.1f}")
    print("memory of the server: {:.0f} MB at the start, {:.0f} MB at most, {:.0f} MB at the end".format(*memory))
    print(f"temporary files left: {len(left)}", *left[:10])
    faults = {outcome: number for outcome, number in tally.outcomes.items() if number}
    if not tally.seconds:
        faults["nothing done"] = 1
    for outcome, number in faults.items():
        if outcome not in _FAULTS:
            print(f"{outcome}: {number}")
    return int(bool(faults) or bool(left))


_FAULTS = ("lost", "wrong owner")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = CommandParser("python -m space.load_test", __doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="for which they ask for more")
    return parser.run(load_test, arguments)


if __name__ == "__main__":
    sys.exit(main())
