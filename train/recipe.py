"""A whole training of several stages, in slices of minutes: ``python -m train.recipe --recipe FILE --data PACK --out RUN``.

A recipe is a YAML file: a configuration that all stages share, and the stages, each with settings of its own and the stage
that it goes on from. Settings that some stages have in common are in `sizes`. The same command again goes on where the last
slice ended, and does nothing when all is done.

    shared: small.yaml                # a configuration beside the recipe
    settings: [precision=bf16]        # of all stages
    sizes: {large: [data.image_size=128]}
    stages:
      - {name: motion, settings: [schedule.steps=2000]}
      - {name: larger, from: motion, grow: true, size: large, settings: [schedule.steps=1000]}

With ``--state FOLDER`` the run can wander from machine to machine: `train.run_state` packs it there after each slice, and
a RUN that is not there yet begins from it.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from motion_core.errors import InputError
from motion_core.pipeline import MotionInterpPipeline

from .config import TrainingConfig
from .config_file import load_config
from .export import PIPELINE
from .grow import grow
from .run_state import pack_run, unpack_run

START = "start"  # of a stage that grows: the grown pipeline, beside what the run writes
_SCRIPT = Path(__file__).resolve().parent / "train.py"


class Stage(BaseModel):
    """One training run of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    begin: Annotated[str | None, Field(alias="from")] = None  # the stage whose pipeline this one goes on from
    keypoints: str | None = None  # the stage whose keypoint detector it goes on with instead
    grow: bool | Literal["finer"] = False  # to twice the image size first, see `train.grow`
    size: str | None = None  # of `Recipe.sizes`
    settings: tuple[str, ...] = ()  # KEY=VALUE, where {data} is the data root


class Recipe(BaseModel):
    """What is trained, in this order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    shared: str  # a configuration, beside the recipe
    settings: tuple[str, ...] = ()
    sizes: dict[str, tuple[str, ...]] = {}  # settings that several stages have in common, by name
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe and check that each stage goes on from an earlier one.

    Raises:
        InputError: the file cannot be read, or something in it is wrong.
    """
    try:
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: must be YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
    known: set[str] = set()
    for stage in recipe.stages:
        if stage.name in known:
            raise InputError(f"{path}: stage {stage.name} must be there once")
        for other in (stage.begin, stage.keypoints):
            if other is not None and other not in known:
                raise InputError(f"{path}: stage {stage.name} must go on from an earlier stage, got {other}")
        if stage.grow and stage.begin is None:
            raise InputError(f"{path}: stage {stage.name} must go on from another to grow")
        if stage.size is not None and stage.size not in recipe.sizes:
            raise InputError(
                f"{path}: stage {stage.name} must have a size of {', '.join(recipe.sizes) or 'none'}, got {stage.size}"
            )
        known.add(stage.name)
    return recipe


def stage_arguments(path: Path, recipe: Recipe, stage: Stage, data: Path, out: Path) -> list[str]:
    """Arguments of ``train.py`` for a stage."""
    common = recipe.sizes[stage.size] if stage.size is not None else ()
    settings = [text.replace("{data}", str(data)) for text in (*recipe.settings, *common, *stage.settings)]
    settings += [f"data.root={data}", f"output.folder={out / stage.name / 'run'}"]
    if stage.begin is not None:
        settings.append(f"init_from={start_of(stage, out)}")
    if stage.keypoints is not None:
        settings.append(f"init_keypoints={pipeline_of(stage.keypoints, out)}")
    return ["--config", str(path.parent / recipe.shared), *settings]


def start_of(stage: Stage, out: Path) -> Path:
    """The pipeline that a stage goes on from."""
    return out / stage.name / START if stage.grow else pipeline_of(str(stage.begin), out)


def pipeline_of(name: str, out: Path) -> Path:
    """What a stage leaves when it is done."""
    return out / name / "run" / PIPELINE


def waiting(recipe: Recipe, out: Path) -> list[Stage]:
    """The stages that are still to be trained: unfinished ones that are results, or that another one of these goes on from.

    A finished stage may be gone, as on a machine that goes on from a state; what only it went on from is not trained again.
    """
    wanted, found = _results(recipe), []
    for stage in reversed(recipe.stages):
        if stage.name in wanted and not pipeline_of(stage.name, out).is_dir():
            found.append(stage)
            wanted |= {stage.begin, stage.keypoints}
    return found[::-1]


def _results(recipe: Recipe) -> set[str | None]:
    """Names of the stages that no other goes on from."""
    begins = {name for stage in recipe.stages for name in (stage.begin, stage.keypoints)}
    return {stage.name for stage in recipe.stages if stage.name not in begins}


def needed(recipe: Recipe, out: Path) -> list[Path]:
    """The pipelines of finished stages that are results, or that a stage that is still to be trained goes on from."""
    wanted = _results(recipe) | {name for stage in waiting(recipe, out) for name in (stage.begin, stage.keypoints)}
    pipelines = [pipeline_of(stage.name, out) for stage in recipe.stages if stage.name in wanted]
    return [pipeline for pipeline in pipelines if pipeline.is_dir()]


def run_recipe(path: Path, data: Path, out: Path, minutes: float | None = None) -> bool:
    """Train until all is done or the time is up; True if all is done.

    Args:
        path: of the recipe.
        data: the data root of all stages.
        out: for the run; what is there is gone on from.
        minutes: of this slice. A stage that is under way then saves and ends, which takes as long as its step.

    Raises:
        InputError: the recipe, or the configuration of a stage that is still to come, is wrong, or a stage failed.
    """
    recipe = read_recipe(path)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    stages = waiting(recipe, out)
    configs = [_configured(path, recipe, stage, data, out) for stage in stages]  # all are checked before any runs
    for stage, config in zip(stages, configs, strict=True):
        if end is not None and time.monotonic() >= end:
            return False
        if stage.grow and not start_of(stage, out).is_dir():
            small = MotionInterpPipeline.from_pretrained(pipeline_of(str(stage.begin), out))
            grow(small, stage.grow == "finer").save_pretrained(start_of(stage, out))
        print(f"stage {stage.name}: {config.variant}, {config.schedule.steps} steps", flush=True)
        _train(stage_arguments(path, recipe, stage, data, out), end)
        if not pipeline_of(stage.name, out).is_dir():
            return False
    return True


def _configured(path: Path, recipe: Recipe, stage: Stage, data: Path, out: Path) -> TrainingConfig:
    _, file, *settings = stage_arguments(path, recipe, stage, data, out)
    try:
        return load_config(file, settings)
    except InputError as error:
        raise InputError(f"stage {stage.name}: {error}") from None


def _train(arguments: list[str], end: float | None) -> None:
    """Run the training in a process of its own until its end, or until `end` on the monotonic clock."""
    with subprocess.Popen([sys.executable, str(_SCRIPT), *arguments]) as process:
        try:
            process.wait(None if end is None else max(end - time.monotonic(), 0))
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stopped:
            process.send_signal(signal.SIGTERM)  # it saves and ends
            process.wait()
            if isinstance(stopped, KeyboardInterrupt):
                raise
        if process.wait() not in (0, -signal.SIGTERM):  # the second: before it could save anything
            raise InputError(f"the training ended with status {process.returncode}: {' '.join(arguments)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for what cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m train.recipe",
        description="Trains all stages of a recipe, in slices that go on from each other.",
    )
    add = parser.add_argument
    add("--recipe", type=Path, required=True, metavar="FILE.yaml")
    add("--data", type=Path, required=True, metavar="PACK", help="data root, see docs/data.md")
    add("--out", type=Path, required=True, metavar="RUN", help="for the run; what is there is gone on from")
    add("--minutes", type=float, metavar="N", help="end after about so long (default: when all is done)")
    add(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="brings the run here from other machines, and out again, in small files",
    )
    options = parser.parse_args(arguments)
    try:
        if options.minutes is not None and not options.minutes > 0:
            raise InputError(f"minutes: must be above 0, got {options.minutes}")
        recipe = read_recipe(options.recipe)
        if options.state is not None and options.state.is_dir() and not options.out.exists():
            unpack_run(options.state, options.out)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what preempted machines get
        try:
            done = run_recipe(options.recipe, options.data, options.out, options.minutes)
        except KeyboardInterrupt:
            done = False
        if options.state is not None:
            pack_run(options.out, needed(recipe, options.out), options.state)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("all stages are done" if done else "stopped; the same command goes on from there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
