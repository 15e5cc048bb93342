"""The ablation table: ``python -m eval.ablation --config FILE``.

Trains every variant for the same number of steps from the same start (or takes pipelines that are there), scores all of them on
the same pairs of frames, and writes the table of the paper, per quartile of displacement, with plots and the rows as csv. The
same command goes on where it was interrupted. The table so far is printed after each row, and by `--report` at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.settings import Strategy, Variant

from .ablation_plots import plot_all
from .ablation_table import PUBLISHED, Scores, rows_of, tables
from .options import load_pipeline, open_instruments
from .pair_scores import score_pairs
from .rendered_people.annotations import folder_of
from .rendered_people.pairs import read_pairs
from .runs import write_json

TRAINING_SCRIPT = Path(__file__).parents[1] / "train" / "train.py"
PIPELINE = "pipeline"  # in a training run's folder, once it is done
COPY = "copy"


class Ablation(BaseModel):
    """The configuration. Paths are relative to the working directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Path
    training: Path  # a training configuration that all rows share
    overrides: list[str] = []  # of it, such as schedule.steps=1000
    rows: dict[Variant, list[int]] = Field(min_length=1)  # seeds of each variant
    models: dict[str, Path] = {}  # "full-0": a saved pipeline that is taken instead of trained
    data: Path  # to score on; what to train on is in the training configuration
    split: str = "test"
    pairs: Path | None = None  # None: those that were rendered with the data
    detector: str | None = None
    embedder: str | None = None
    detector_size: int | None = None  # pixels that the two get pictures enlarged to
    image_size: int | None = None  # for the source itself, which has no size of its own: the models'
    strategies: list[Strategy] = [
        "learned"
    ]  # of the variants with interpolation; the first one's figures are the table
    interpolation: bool = True  # score the images in between too
    batch: int = Field(8, ge=1)
    tai_chi: bool = False  # print the published numbers for Tai-Chi-HD below the table

    def names(self) -> list[tuple[str, Variant, int]]:
        """Name, variant and seed of every row: first seeds of all, so that a table is there early, then the others."""
        return [
            (f"{variant}-{seeds[place]}", variant, seeds[place])
            for place in range(max(map(len, self.rows.values())))
            for variant, seeds in self.rows.items()
            if place < len(seeds)
        ]


def load_ablation(path: Path) -> Ablation:
    """Read a configuration.

    Raises:
        InputError: it cannot be read, or a key or value is not allowed.
    """
    try:
        return Ablation(**(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"--config: {path} cannot be read as a mapping in YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def train(ablation: Ablation, name: str, variant: Variant, seed: int) -> None:
    """Train one row in a process of its own, with the log in OUTPUT/NAME.log; nothing is done if it is trained already.

    Raises:
        InputError: the training did not end well; the message is the last line of its log.
    """
    if name in ablation.models or (ablation.output / name / PIPELINE).is_dir():
        return
    command = [sys.executable, str(TRAINING_SCRIPT), "--config", str(ablation.training), *ablation.overrides]
    command += [f"variant={variant}", f"seed={seed}", f"output.folder={ablation.output / name}"]
    log = ablation.output / f"{name}.log"
    with log.open("a", encoding="utf-8") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0 or not (ablation.output / name / PIPELINE).is_dir():
        last = log.read_text(encoding="utf-8", errors="replace").strip().replace("\r", "\n").splitlines()[-1:]
        raise InputError(f"training of {name} ended with status {status}: {''.join(last)} (all of it: {log})")


def score(ablation: Ablation, name: str, strategy: Strategy | None = None) -> None:
    """Score one row (or "copy", the source itself) into OUTPUT/scores/NAME.json, unless that is there for these pairs."""
    target = scores_file(ablation, name, strategy)
    pairs = read_pairs(ablation.pairs or folder_of(ablation.data, ablation.split) / "pairs.csv")
    if target.is_file():
        return
    folder = ablation.models.get(name, ablation.output / name / PIPELINE)
    pipeline = None if name == COPY else load_pipeline(str(folder))
    report = score_pairs(
        pipeline,
        ablation.data,
        ablation.split,
        pairs,
        *open_instruments(ablation.detector, ablation.embedder, "cpu"),
        batch=ablation.batch,
        interpolation=ablation.interpolation and pipeline is not None and strategy in (None, ablation.strategies[0]),
        strategy=strategy,
        image_size=ablation.image_size if pipeline is None else None,
        detector_size=ablation.detector_size,
        cache=ablation.output / "cache",
    )
    write_json(target, report.as_json() | {"training": _training(folder.parent)})


def scores_file(ablation: Ablation, name: str, strategy: Strategy | None) -> Path:
    """The file with the scores of a row."""
    return ablation.output / "scores" / (f"{name}.json" if strategy is None else f"{name}-{strategy}.json")


def _training(folder: Path) -> dict[str, Any]:
    """The training's progress in the newest checkpoint beside a pipeline: steps, pairs of images, seconds."""
    found = sorted(folder.glob("checkpoint-*/state.json"))
    if not found:
        return {}
    state = json.loads(found[-1].read_text(encoding="utf-8"))
    return {"progress": state["progress"], "features": state["config"]["features"], "seed": state["config"]["seed"]}


def collect(ablation: Ablation) -> list[Scores]:
    """The scores that are there, in the order of the rows: the source itself first, then by variant and strategy."""
    wanted: list[tuple[str, Path, str]] = [(COPY, scores_file(ablation, COPY, None), COPY)]
    for variant, seeds in ablation.rows.items():
        for strategy in strategies_of(ablation, variant):
            label = variant if strategy in (None, ablation.strategies[0]) else f"{variant}, {strategy}"
            wanted += [(label, scores_file(ablation, f"{variant}-{seed}", strategy), variant) for seed in seeds]
    return [Scores.read(label, variant, path) for label, path, variant in wanted if path.is_file()]


def run(ablation: Ablation, processes: int) -> None:
    """Train and score all rows; the table is printed whenever a row is added to it."""
    (ablation.output / "scores").mkdir(parents=True, exist_ok=True)

    def row(each: tuple[str, Variant, int]) -> None:
        name, variant, seed = each
        train(ablation, name, variant, seed)
        command = [sys.executable, "-m", "eval.ablation", "--config", str(_config_copy(ablation)), "--score", name]
        done = all(scores_file(ablation, name, s).is_file() for s in strategies_of(ablation, variant))
        if not done and (status := subprocess.run(command, check=False).returncode):
            raise InputError(f"scoring of {name} ended with status {status}")

    write_config(ablation)
    score(ablation, COPY)
    printed = ""
    with ThreadPoolExecutor(processes) as pool:  # each row is a process
        for finished in as_completed([pool.submit(row, each) for each in ablation.names()]):
            finished.result()
            if (text := report(ablation)) != printed:
                print(text, flush=True)
                printed = text


def report(ablation: Ablation) -> str:
    """Write table.md, rows.csv and the plots of what is there; returns the table."""
    scores = collect(ablation)
    if not scores:
        raise InputError(f"output: {ablation.output} has no scores yet")
    text = tables(scores) + (PUBLISHED if ablation.tai_chi else "")
    (ablation.output / "table.md").write_text(text, encoding="utf-8")
    rows_of(scores).to_csv(ablation.output / "rows.csv", index=False, lineterminator="\n")
    plot_all(scores, ablation.output)
    return text


def strategies_of(ablation: Ablation, variant: Variant) -> list[Strategy | None]:
    """The strategies that a variant is scored with; the plain backbone chooses nothing."""
    return [None] if variant == "tpsmm" else list(ablation.strategies)


def _config_copy(ablation: Ablation) -> Path:
    return ablation.output / "ablation.yaml"


def write_config(ablation: Ablation) -> None:
    """Write the configuration beside the results.

    Raises:
        InputError: the folder has results of other settings.
    """
    path, text = _config_copy(ablation), yaml.safe_dump(json.loads(ablation.model_dump_json()), sort_keys=False)
    compared = {
        key: value for key, value in yaml.safe_load(text).items() if key not in ("rows", "strategies", "tai_chi")
    }
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        different = [key for key, value in compared.items() if before.get(key) != value]
        if different:
            raise InputError(f"output: {ablation.output} has results of other settings ({', '.join(different)})")
    path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.ablation", __doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML, see docs/evaluation.md")
    parser.add_argument("--processes", type=int, default=1, help="rows trained at a time")
    parser.add_argument("--report", action="store_true", help="only the table and the plots of what is there")
    parser.add_argument("--score", metavar="ROW", help=argparse.SUPPRESS)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    ablation = load_ablation(options.config)
    if options.score:
        variant: Any = options.score.rpartition("-")[0]
        for strategy in strategies_of(ablation, variant):
            score(ablation, options.score, strategy)
    elif options.report:
        print(report(ablation))
    else:
        run(ablation, max(1, options.processes))


if __name__ == "__main__":
    sys.exit(main())
