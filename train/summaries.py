"""Reports of a run: console lines, a progress bar, and through Accelerate's trackers metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, on_main_process
from torch import Tensor, nn
from tqdm.auto import tqdm

from motion_core.atomic import atomic_path

from .checkpoints import Progress, effective_batch, writing
from .config import TrainingConfig
from .motion_step import StepOutput

METRICS, VALIDATION, TENSORBOARD = "metrics.jsonl", "validation.jsonl", "tensorboard"
_FILES = {"train/": METRICS, "validation/": VALIDATION}
_SHOWN = 4  # samples in a picture


class JsonLines(GeneralTracker):
    """A tracker: what is logged as "train/NAME" becomes a line of metrics.jsonl, "validation/NAME" one of validation.jsonl."""

    name, requires_logging_directory = "json_lines", False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def tracker(self) -> Path:
        return self.folder

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        for prefix, file in _FILES.items():
            line = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
            if line:
                with (self.folder / file).open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"step": step} | line) + "\n")


class Window:
    """Sums over the steps since the last line: means of losses and figures, the chosen times, and where the time went."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = defaultdict(list)
        self.times: list[Tensor] = []
        self.seconds = self.waited = 0.0

    def add(self, outputs: Sequence[StepOutput], seconds: float, waited: float) -> None:
        """Count one step: its outputs (none if it was skipped), seconds in all and of waiting for data."""
        for output in outputs:
            for name, value in {"loss": output.total, **output.losses, **output.figures}.items():
                self.values[name].append(value.detach().float().mean())
            if "t" in output.figures:
                self.times.append(output.figures["t"])
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


class Summaries:
    """The progress bar and the trackers of a run; use as a context.

    Raises:
        TrainingError: something cannot be written.
    """

    def __init__(self, accelerator: Accelerator, config: TrainingConfig, progress: Progress) -> None:
        self.accelerator, self.folder = accelerator, Path(config.output.folder)
        self.batch = effective_batch(config, accelerator.num_processes)
        self.window, self.before = Window(), progress
        self.bar = tqdm(
            total=config.schedule.steps * self.batch,
            initial=progress.step * self.batch,
            unit="sample",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not accelerator.is_main_process,
        )
        with writing(self.folder / TENSORBOARD):
            if accelerator.is_main_process:
                for name in _FILES.values():
                    _forget_after(self.folder / name, progress.step)
            accelerator.init_trackers(TENSORBOARD, init_kwargs={TENSORBOARD: {"purge_step": progress.step + 1}})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        for tracker in self.accelerator.trackers:  # `end_training` would leave the process group as well
            tracker.finish()

    def say(self, *lines: str) -> None:
        """Lines on the console of the main process, above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write("\n".join(lines), file=sys.stdout)
            sys.stdout.flush()

    def add(self, outputs: Sequence[StepOutput], seconds: float, waited: float) -> None:
        """Count one step, see `Window.add`."""
        self.window.add(outputs, seconds, waited)
        self.bar.update(self.batch)

    def log(self, progress: Progress, learning_rate: float) -> dict[str, float]:
        """Log all since the last time and return the means; every process must ask."""
        window, samples = self.window, progress.samples - self.before.samples
        self.window, self.before = Window(), progress
        means, times = window.means(self.accelerator), window.chosen(self.accelerator)
        seconds = max(window.seconds, 1e-9)
        values = means | {
            "samples": progress.samples,
            "learning_rate": learning_rate,
            "samples_per_second": samples / seconds,
            "waiting_for_data": window.waited / seconds,
            "skipped": progress.skipped,
        }
        self._log("train/", values, progress.step)
        if times is not None and self.accelerator.is_main_process:
            with writing(self.folder / TENSORBOARD):
                writer = self.accelerator.get_tracker(TENSORBOARD, unwrap=True)
                writer.add_histogram("train/chosen t", times, progress.step)
        shown = {"loss": f"{means['loss']:.3g}"} if "loss" in means else {}
        waiting = f"{values['waiting_for_data']:.0%}"
        self.bar.set_postfix(shown | {"waiting": waiting, "skipped": progress.skipped}, refresh=False)
        return means

    def images(self, images: dict[str, Tensor], step: int) -> None:
        """Log a picture with a row per sample: source, driving, interpolations, masks, prediction, as the step gives them."""
        if not self.accelerator.is_main_process:
            return
        height, width = max(tuple(image.shape[-2:]) for image in images.values())
        columns = [
            torch.nn.functional.interpolate(image[:_SHOWN].detach().float().expand(-1, 3, -1, -1), (height, width))
            for image in images.values()
        ]
        rows = torch.cat(columns, dim=3).clamp(0, 1)  # (n, 3, H, columns * W)
        picture = torch.cat(list(rows), dim=1)[None].cpu()  # (1, 3, n * H, columns * W)
        with writing(self.folder / TENSORBOARD):
            self.accelerator.get_tracker(TENSORBOARD).log_images({" | ".join(images): picture}, step)

    def validated(self, result: dict[str, Any], step: int) -> None:
        """Log what `train.validation.validate` found, and say it."""
        self._log("validation/", result, step)
        self.say(f"step {step}: {describe_validation(result)}")

    def _log(self, prefix: str, values: dict[str, Any], step: int) -> None:
        with writing(self.folder / _FILES[prefix]):
            self.accelerator.log({f"{prefix}{name}": value for name, value in values.items()}, step)


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
    with atomic_path(path) as partial:
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
    """The console lines at the start of a run."""
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
    """The console lines at its end."""
    hours, minutes = divmod(round(progress.seconds / 60), 60)
    losses = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    return [
        f"time        {hours} h {minutes} min, {progress.samples / max(progress.seconds, 1e-9):.1f} samples/s",
        f"skipped     {progress.skipped} of {progress.step} steps",
        f"last        {losses}",
        f"pipeline    {pipeline}",
    ]
