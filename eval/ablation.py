"""The ablation table: ``python -m eval.ablation --config FILE``.

Trains a base, then every variant for the same number of steps from it (or takes pipelines that are there), then their selectors;
scores all of them on the same pairs of frames, and writes the table of the paper, per quartile of displacement, with plots, a
contact sheet and the rows as csv. The same command goes on where it was interrupted. The table so far is printed after each row,
and by `--report` at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from motion_core import media
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.settings import Strategy, Variant

from .ablation_choices import best_fixed, check_comparable, no_hop, oracle
from .ablation_plots import plot_all
from .ablation_table import BEST_FIXED, NO_HOP, ORACLE, PUBLISHED, Scores, labelled, rows_of, tables
from .contact_sheet import contact_sheet
from .options import load_pipeline, open_instruments
from .pair_scores import score_pairs
from .rendered_people.annotations import folder_of
from .rendered_people.pairs import Pair, read_pairs
from .runs import write_json

TRAINING_SCRIPT = Path(__file__).parents[1] / "train" / "train.py"
PIPELINE = "pipeline"  # in a training run's folder, once it is done
COPY, BASE = "copy", "base"
SHOWN = 8  # pairs on the contact sheet
WITH_SELECTOR = ("int", "int_bt", "full", "v2")
Choice = Strategy | float | None  # how t is chosen: by a strategy, one for all pairs, or there is none to choose


class Ablation(BaseModel):
    """The configuration. Paths are relative to the working directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Path
    training: Path  # a training configuration that all rows share
    overrides: list[str] = []  # of it, such as schedule.steps=1000
    base: list[str] | None = (
        None  # overrides of a plain backbone that all rows start from; None: they start as `overrides` say
    )
    selector: list[str] | None = (
        None  # overrides of stage selector, in which rows that have one train it afterwards; None: none
    )
    rows: dict[Variant, list[int]] = Field(min_length=1)  # seeds of each variant
    models: dict[str, Path] = {}  # "full-0" or "base": a saved pipeline that is taken instead of trained
    data: Path  # to score on; what to train on is in the training configuration
    split: str = "test"
    pairs: Path | None = None  # None: those that were rendered with the data
    detector: str | None = None
    second_detector: str | None = None  # its AKD and MKR stand beside the first one's
    embedder: str | None = None
    detector_size: int | None = None  # pixels that the two get pictures enlarged to
    image_size: int | None = None  # for the source itself, which has no size of its own: the models'
    # Of the variants with interpolation; the first one's figures are the table.
    strategies: list[Strategy] = ["learned"]
    # They are scored at each of these times for all pairs too, for the rows "best fixed" and "oracle"; 0 must be among them.
    times: list[float] = []
    interpolation: bool = True  # score the images in between too
    batch: int = Field(8, ge=1)
    tai_chi: bool = False  # print the published numbers for Tai-Chi-HD below the table

    @field_validator("times")
    @classmethod
    def _times_have_no_hop(cls, times: list[float]) -> list[float]:
        if times and 0 not in times:
            raise ValueError("0, which is no hop, must be among them")
        return times

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


def pipeline_of(ablation: Ablation, name: str) -> Path:
    """Where the saved pipeline of a row (or of "base") is, or will be."""
    return ablation.models.get(name, ablation.output / name / PIPELINE)


def train_base(ablation: Ablation) -> None:
    """Train what all rows start from, unless it is there."""
    if ablation.base is not None:
        _train(ablation, BASE, [*ablation.base, "variant=tpsmm"])


def train_row(ablation: Ablation, name: str, variant: Variant, seed: int) -> None:
    """Train one row from the base, and then its selector, as far as that is not done.

    Raises:
        InputError: a training did not end well; the message is the last line of its log.
    """
    own = [f"variant={variant}", f"seed={seed}"]
    start = [] if ablation.base is None else [f"init_from={pipeline_of(ablation, BASE)}"]
    _train(ablation, name, [*ablation.overrides, *start, *own])
    if ablation.selector is not None and has_selector_stage(ablation, variant):
        stage = ["stage=selector", f"init_from={pipeline_of(ablation, name)}", "output.validate_every=0"]
        _train(ablation, selector_of(name), [*ablation.overrides, *ablation.selector, *stage, *own])


def has_selector_stage(ablation: Ablation, variant: str) -> bool:
    """Whether rows of a variant train their selector in a stage of its own."""
    return ablation.selector is not None and variant in WITH_SELECTOR


def selector_of(name: str) -> str:
    """The name of the training of a row's selector."""
    return f"{name}-selector"


def _train(ablation: Ablation, name: str, overrides: Sequence[str]) -> None:
    """Train in a process of its own, with the log in OUTPUT/NAME.log; nothing is done if it is trained already."""
    if name in ablation.models or pipeline_of(ablation, name).is_dir():
        return
    command = [sys.executable, str(TRAINING_SCRIPT), "--config", str(ablation.training), *overrides]
    command += [f"output.folder={ablation.output / name}"]
    log = ablation.output / f"{name}.log"
    with log.open("a", encoding="utf-8") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0 or not pipeline_of(ablation, name).is_dir():
        last = log.read_text(encoding="utf-8", errors="replace").strip().replace("\r", "\n").splitlines()[-1:]
        raise InputError(f"training of {name} ended with status {status}: {''.join(last)} (all of it: {log})")


def score(ablation: Ablation, name: str, choice: Choice = None) -> None:
    """Score one row (or "copy", the source itself) into OUTPUT/scores, unless that is there."""
    target = scores_file(ablation, name, choice)
    if target.is_file():
        return
    variant = name.rpartition("-")[0]
    pipeline = None if name == COPY else load_pipeline(str(scored_pipeline(ablation, name, variant)))
    pairs = pairs_of(ablation)

    report = score_pairs(
        pipeline,
        ablation.data,
        ablation.split,
        pairs,
        *open_instruments(ablation.detector, ablation.embedder, "cpu"),
        batch=ablation.batch,
        interpolation=ablation.interpolation and pipeline is not None and choice in (None, ablation.strategies[0]),
        strategy=choice if isinstance(choice, str) else None,
        t=choice if isinstance(choice, float) else None,
        image_size=ablation.image_size if pipeline is None else None,
        detector_size=ablation.detector_size,
        cache=ablation.output / "cache",
        second_detector=open_instruments(ablation.second_detector, None, "cpu")[0],
    )
    write_json(target, report.as_json() | {"training": _training(pipeline_of(ablation, name).parent)})


def pairs_of(ablation: Ablation) -> list[Pair]:
    """The pairs that rows are scored on."""
    return read_pairs(ablation.pairs or folder_of(ablation.data, ablation.split) / "pairs.csv")


def scored_pipeline(ablation: Ablation, name: str, variant: str) -> Path:
    """The saved pipeline that stands for a row: with its selector trained, where that has a stage."""
    return pipeline_of(ablation, selector_of(name) if has_selector_stage(ablation, variant) else name)


def scores_file(ablation: Ablation, name: str, choice: Choice) -> Path:
    """The file with the scores of a row."""
    suffix = "" if choice is None else f"-{choice}" if isinstance(choice, str) else f"-t{choice:g}"
    return ablation.output / "scores" / f"{name}{suffix}.json"


def _training(folder: Path) -> dict[str, Any]:
    """The training's progress in the newest checkpoint beside a pipeline: steps, pairs of images, seconds."""
    found = sorted(folder.glob("checkpoint-*/state.json"))
    if not found:
        return {}
    state = json.loads(found[-1].read_text(encoding="utf-8"))
    return {"progress": state["progress"]} | {key: state["config"][key] for key in ("features", "seed", "init_from")}


def collect(ablation: Ablation) -> list[Scores]:
    """The scores that are there: the source itself first, then by variant, as the paper has them, and by how t was chosen.

    Raises:
        InputError: they are of different pairs, sizes or instruments, or rows of different bases.
    """
    wanted: list[tuple[str, Path, str]] = [(COPY, scores_file(ablation, COPY, None), COPY)]
    found: list[Scores] = []
    for variant, seeds in ablation.rows.items():
        for strategy in strategies_of(ablation, variant):
            label = variant if strategy in (None, ablation.strategies[0]) else labelled(variant, str(strategy))
            wanted += [(label, scores_file(ablation, f"{variant}-{seed}", strategy), variant) for seed in seeds]
    found = [Scores.read(label, variant, path) for label, path, variant in wanted if path.is_file()]
    for variant, seeds in ablation.rows.items():
        for seed in seeds:
            found += _choices_among_times(ablation, variant, f"{variant}-{seed}")
    check_comparable(found)
    return sorted(found, key=lambda each: [COPY, *get_args(Variant)].index(each.variant))


def _choices_among_times(ablation: Ablation, variant: Variant, name: str) -> list[Scores]:
    """What a row would be without hops, and with the best time for all pairs and for each; nothing unless all are there."""
    files = {t: scores_file(ablation, name, t) for t in times_of(ablation, variant)}
    if not files or not all(file.is_file() for file in files.values()):
        return []
    at = {t: Scores.read(f"{variant}, t = {t:g}", variant, file) for t, file in files.items()}
    chosen = {NO_HOP: no_hop, BEST_FIXED: best_fixed, ORACLE: oracle}
    return [choose(at, labelled(variant, choice), name) for choice, choose in chosen.items()]


def run(ablation: Ablation, processes: int) -> None:
    """Train and score all rows; the table is printed whenever a row is added to it."""
    (ablation.output / "scores").mkdir(parents=True, exist_ok=True)

    def row(each: tuple[str, Variant, int]) -> None:
        name, variant, seed = each
        if all(scores_file(ablation, name, choice).is_file() for choice in choices_of(ablation, variant)):
            return  # its scores are all that is needed of it
        train_row(ablation, name, variant, seed)
        command = [sys.executable, "-m", "eval.ablation", "--config", str(_config_copy(ablation)), "--score", name]
        if status := subprocess.run(command, check=False).returncode:
            raise InputError(f"scoring of {name} ended with status {status}")

    write_config(ablation)
    score(ablation, COPY)
    train_base(ablation)
    printed = ""
    with ThreadPoolExecutor(processes) as pool:  # each row is a process
        for finished in as_completed([pool.submit(row, each) for each in ablation.names()]):
            finished.result()
            if (text := report(ablation)) != printed:
                print(text, flush=True)
                printed = text
    write_sheet(ablation)


def write_sheet(ablation: Ablation) -> None:
    """Write sheet.png: the pairs of the largest displacements, a row for each variant's first seed whose pipeline is there."""
    found: list[Path] = []
    for variant, seeds in ablation.rows.items():
        folders = [scored_pipeline(ablation, f"{variant}-{seed}", variant) for seed in seeds]
        found += [folder for folder in folders if folder.is_dir()][:1]
    if models := [load_pipeline(str(folder)) for folder in found]:
        pairs = sorted(pairs_of(ablation), key=lambda pair: -pair.displacement)[:SHOWN]
        picture = contact_sheet(models, ablation.data, ablation.split, pairs, by_model=True)
        media.save_image(ablation.output / "sheet.png", picture)


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


def strategies_of(ablation: Ablation, variant: Variant) -> list[Choice]:
    """The strategies that a variant is scored with; the plain backbone chooses nothing."""
    return [None] if variant == "tpsmm" else list(ablation.strategies)


def times_of(ablation: Ablation, variant: Variant) -> list[float]:
    """The times that a variant is scored at for all pairs."""
    return [] if variant == "tpsmm" else list(ablation.times)


def choices_of(ablation: Ablation, variant: Variant) -> list[Choice]:
    """All that a variant is scored with."""
    return [*strategies_of(ablation, variant), *times_of(ablation, variant)]


def _config_copy(ablation: Ablation) -> Path:
    return ablation.output / "ablation.yaml"


def write_config(ablation: Ablation) -> None:
    """Write the configuration beside the results.

    Raises:
        InputError: the folder has results of other settings.
    """
    path, text = _config_copy(ablation), yaml.safe_dump(json.loads(ablation.model_dump_json()), sort_keys=False)
    compared = {
        key: value
        for key, value in yaml.safe_load(text).items()
        if key not in ("rows", "strategies", "times", "tai_chi")
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
        for choice in choices_of(ablation, variant):
            score(ablation, options.score, choice)
    elif options.report:
        print(report(ablation))
    else:
        run(ablation, max(1, options.processes))


if __name__ == "__main__":
    sys.exit(main())
