"""What a run tells about itself: console lines, a progress bar, metrics.jsonl, and TensorBoard."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sized
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from motion_core.atomic import atomic_path

from .checkpoints import Progress, effective_batch, writing
from .config import TrainingConfig

METRICS, VALIDATION, TENSORBOARD = "metrics.jsonl", "validation.jsonl", "tensorboard"
_SHOWN = 4  # samples in a picture


class Window:
    """Sums over the steps since the last line: means of losses and figures, the chosen times, and where the time went."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = defaultdict(list)
        self.times: list[Tensor] = []
        self.samples = 0
        self.seconds = self.waited = 0.0

    def add(self, outputs: list[Any], samples: int, seconds: float, waited: float) -> None:
        """Count one step: its outputs (none if it was skipped), the samples of all processes, seconds in all and for data."""
        for output in outputs:
            for name, value in {"loss": output.total, **output.losses, **output.figures}.items():
                self.values[name].append(value.detach().float().mean())
            if "t" in output.figures:
                self.times.append(output.figures["t"].detach().float())
        self.samples += samples
        self.seconds += seconds
        self.waited += waited

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over the steps and all processes; every process must ask."""
        if not self.values:  # all skipped, on all processes alike
            return {}
        stacked = torch.stack([torch.stack(values).mean() for values in self.values.values()])
        return dict(zip(self.values, accelerator.reduce(stacked, "mean").tolist(), strict=True))

    def chosen(self, accelerator: Accelerator) -> Tensor | None:
        """All times that were chosen, of all processes; every process must ask."""
        return accelerator.gather(torch.cat(self.times)).cpu() if self.times else None

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.samples / max(self.seconds, 1e-9)

    @property
    def waiting(self) -> float:
        """Share of the time that was spent waiting for data."""
        return self.waited / max(self.seconds, 1e-9)


class Summaries:
    """Writes, in the main process only; use as a context.

    Raises:
        TrainingError: something cannot be written.
    """

    def __init__(self, config: TrainingConfig, progress: Progress, processes: int, active: bool) -> None:
        self.folder, self.active = Path(config.output.folder), active
        self.batch = effective_batch(config, processes)
        self.bar = tqdm(
            total=config.schedule.steps * self.batch,
            initial=progress.step * self.batch,
            unit="sample",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not active,
        )
        if active:
            from torch.utils.tensorboard import SummaryWriter  # here, because importing it takes a second

            with writing(self.folder / TENSORBOARD):
                self.board: Any = SummaryWriter(str(self.folder / TENSORBOARD), purge_step=progress.step + 1)
            for name in (METRICS, VALIDATION):
                _forget_after(self.folder / name, progress.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if self.active:
            self.board.close()

    def say(self, *lines: str) -> None:
        """Lines on the console, above the progress bar."""
        if self.active:
            self.bar.write("\n".join(lines), file=sys.stdout)
            sys.stdout.flush()

    def stepped(self) -> None:
        """One step done."""
        self.bar.update(self.batch)

    def log(
        self, accelerator: Accelerator, window: Window, progress: Progress, learning_rate: float
    ) -> dict[str, float]:
        """A line of metrics.jsonl, and the same as curves; returns the means, which all processes must ask for."""
        means, times = window.means(accelerator), window.chosen(accelerator)
        if not self.active:
            return means
        line = {
            "step": progress.step,
            "samples": progress.samples,
            **means,
            "learning_rate": learning_rate,
            "samples_per_second": window.rate,
            "waiting_for_data": window.waiting,
            "skipped": progress.skipped,
        }
        with writing(self.folder / METRICS):
            append(self.folder / METRICS, line)
            for name, value in line.items():
                self.board.add_scalar(f"train/{name}", value, progress.step)
            if times is not None:
                self.board.add_histogram("train/chosen t", times, progress.step)
        shown = {"loss": f"{means['loss']:.3g}"} if "loss" in means else {}
        self.bar.set_postfix(shown | {"waiting": f"{window.waiting:.0%}", "skipped": progress.skipped}, refresh=False)
        return means

    def images(self, images: dict[str, Tensor], step: int) -> None:
        """A picture with a row per sample: source, driving, interpolations, masks, prediction, as the step gives them."""
        if not self.active:
            return
        height, width = max(tuple(image.shape[-2:]) for image in images.values())
        columns = [
            torch.nn.functional.interpolate(image[:_SHOWN].detach().float().expand(-1, 3, -1, -1), (height, width))
            for image in images.values()
        ]
        rows = torch.cat(columns, dim=3).clamp(0, 1)  # (n, 3, H, columns * W)
        with writing(self.folder / TENSORBOARD):
            self.board.add_image(" | ".join(images), torch.cat(list(rows), dim=1).cpu(), step)

    def validated(self, result: dict[str, Any], step: int) -> None:
        """A line of validation.jsonl, the same as curves, and one for people."""
        if not self.active:
            return
        with writing(self.folder / VALIDATION):
            append(self.folder / VALIDATION, {"step": step, **result})
            for name, value in result.items():
                self.board.add_scalar(f"validation/{name}", float(value), step)
        self.say(f"step {step}: {describe_validation(result)}")


def describe_validation(result: dict[str, Any]) -> str:
    """The result of `train.validation.validate` in a line."""
    parts = []
    for what, where in (("", "all pairs"), ("_moved", "the half that moved more")):
        better = "better" if result[f"l1{what}"] < result[f"copy{what}"] else "NOT better"
        parts.append(
            f"{where}: L1 {result[f'l1{what}']:.4f}, {better} than copying the source ({result[f'copy{what}']:.4f})"
            + (f", {result[f'straight{what}']:.4f} without interpolation" if result[f"hopped{what}"] else "")
        )
    return "; ".join(parts)


def append(path: Path, line: dict[str, Any]) -> None:
    """One line of JSON more."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def last_line(path: Path) -> dict[str, Any]:
    """The last line of a file of JSON lines; empty if there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return json.loads(lines[-1]) if lines else {}


def _forget_after(path: Path, step: int) -> None:
    """Leave out the lines of steps that will be taken again, and one that was cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    with writing(path), atomic_path(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def start_lines(
    config: TrainingConfig,
    accelerator: Accelerator,
    progress: Progress,
    step: nn.Module,
    dataset: Sized,
    features: dict[str, str],
    device: str,
) -> list[str]:
    """What is about to be done."""
    schedule, processes = config.schedule, accelerator.num_processes
    trained = sum(parameter.numel() for parameter in step.parameters() if parameter.requires_grad)
    height, width = config.data.image_size
    factors = f"{schedule.batch_size} per process x {schedule.accumulation} accumulated x {processes} processes"
    return [
        f"variant     {config.variant}, stage {config.stage}, seed {config.seed}",
        f"parameters  {trained / 1e6:.1f} million",
        f"data        {config.data.root}: {len(dataset)} samples a pass, height {height}, width {width}",
        f"features    {', '.join(f'{kind} {name}' for kind, name in features.items()) or 'none'}",
        f"device      {device}, {config.precision}{', compiled' if config.compile else ''}",
        f"batch       {effective_batch(config, processes)} pairs: {factors}",
        f"steps       {schedule.steps}, "
        + (f"going on after {progress.step}" if progress.step else "from the beginning"),
        f"writes to   {config.output.folder}",
    ]


def end_lines(pipeline: Path, progress: Progress, means: dict[str, float]) -> list[str]:
    """What was done."""
    hours, minutes = divmod(round(progress.seconds / 60), 60)
    losses = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    return [
        f"time        {hours} h {minutes} min, {progress.samples / max(progress.seconds, 1e-9):.1f} samples/s",
        f"skipped     {progress.skipped} of {progress.step} steps",
        f"last        {losses}",
        f"pipeline    {pipeline}",
    ]
