"""Measure what models make of people that nobody trained on.

python -m eval.people --model FOLDER ... --rendered ROOT --photos FOLDER

Each model takes the source of a pair to the driving picture, which shows the same person in the same scene, and the result is
compared with it, at 256 x 256. The source itself is measured as well, as "copy": what a model has to beat.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch.nn.functional as F
from tqdm import tqdm

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import save_image, to_float, to_uint8

from .cached_instruments import CachedDetector
from .contact_sheet import in_rows
from .evaluation import Record
from .options import add_animation, load_pipeline
from .pairs.model import pair_settings
from .people_metrics import COLUMNS, COPY, people_record, summarise
from .people_pairs import PairSet, PeoplePair, PhotoPairs, RenderedPairs
from .tables import markdown

SHIPPED = "shipped"
SHEET_ROWS = 20
_DIGITS = (4, 3, 3, 2, 3, 3)  # of each column of the table, after the point


class Model:
    """A pipeline as it is measured.

    Args:
        name: for the report.
        settings: of one person and one scene.

    Attributes:
        refused: why pairs were not animated, by their names; the source itself is their result.
    """

    def __init__(self, name: str, pipeline: MotionInterpPipeline, settings: AnimationSettings) -> None:
        self.name, self._pipeline, self._settings = name, pipeline, settings
        self.refused: dict[str, str] = {}

    def animate(self, pair: PeoplePair) -> np.ndarray:
        """The source in the pose of the driving picture, ``(256, 256, 3)`` uint8."""
        video = np.stack([pair.driving] * 2)  # a video has two frames or more; only the first is computed
        try:
            made = next(iter(self._pipeline.stream(pair.source, video, self._settings))).image
        except InputError as error:
            self.refused[pair.name] = str(error)
            return pair.source
        return resized(made, (pair.source.shape[0], pair.source.shape[1]))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A model's image ``(h, w, 3)`` uint8 at another size (H, W), bicubic."""
    if image.shape[:2] == size:
        return image
    smaller = size[0] < image.shape[0]
    return to_uint8(F.interpolate(to_float(image[None]), size, mode="bicubic", antialias=smaller))[0]


@dataclass(frozen=True)
class Measured:
    """A set of pairs and the models' results.

    Attributes:
        pairs: the set, read to its end.
        records: `people_metrics.people_record`s with the columns "set", "pair" and "model", by model; "copy" is the first.
        pictures: of each pair: source, driving picture, and each model's result.
    """

    pairs: PairSet
    records: pd.DataFrame
    pictures: list[list[np.ndarray]]


def measure(models: Sequence[Model], pairs: PairSet) -> Measured:
    """Let all models make all pairs of a set, and compare.

    Raises:
        InputError: a file cannot be used, or no pair is left.
    """
    detector = CachedDetector(pairs.detector)
    records: dict[str, list[Record]] = {COPY: [], **{model.name: [] for model in models}}
    pictures = []
    for pair in tqdm(pairs, desc=pairs.title.lower(), total=len(pairs), disable=not sys.stderr.isatty()):
        results = {COPY: pair.source} | {model.name: model.animate(pair) for model in models}
        copied = {COPY} | {model.name for model in models if pair.name in model.refused}
        for name, result in results.items():
            keys = {"set": pairs.title, "pair": pair.name, "model": name}
            records[name].append(keys | people_record(pair, result, detector, name in copied))
        pictures.append([pair.source, pair.driving, *list(results.values())[1:]])
    if not pictures:
        raise InputError(f"{pairs.title}: no pair can be measured: {next(iter(pairs.left_out.values()))}")
    return Measured(pairs, pd.DataFrame([record for own in records.values() for record in own]), pictures)


def table(measured: Measured, models: Sequence[Model]) -> str:
    """The report on a set in Markdown."""
    pairs, figures = measured.pairs, summarise(measured.records)
    lines = [
        [f"`{name}`", *("-" if math.isnan(x) else f"{x:.{digits}f}" for x, digits in zip(row, _DIGITS, strict=True))]
        for name, row in zip(figures.index, figures.to_numpy(), strict=True)
    ]
    title = f"**{pairs.title}**, {len(measured.pictures)} pairs; joints by {pairs.detector.version}"
    parts = [title, markdown(["", *figures], lines)]
    if pairs.left_out:
        parts.append(f"{len(pairs.left_out)} of {len(pairs)} pairs are left out: {_listed(pairs.left_out)}.")
    for model in models:
        refused = {name: why for name, why in model.refused.items() if name in set(measured.records["pair"])}
        if refused:
            parts.append(f"`{model.name}` refused {len(refused)} pairs, which count as copied: {_listed(refused)}.")
    return "\n\n".join(parts)


def _listed(reasons: dict[str, str]) -> str:
    """Names by their reason."""
    groups = {why: [name for name, own in reasons.items() if own == why] for why in reasons.values()}
    return "; ".join(f"{why.rstrip('.')} ({', '.join(names)})" for why, names in groups.items())


def write_rows(path: Path, measured: Sequence[Measured]) -> None:
    """Write each pair's figures for each model as a csv file; nothing stands for what is not defined.

    Raises:
        InputError: it cannot be written.
    """
    rows = pd.concat([each.records for each in measured])[["set", "pair", "model", *COLUMNS]]
    try:
        rows.to_csv(path, index=False, float_format="%.6f", lineterminator="\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_sheets(path: Path, measured: Sequence[Measured]) -> list[Path]:
    """Write all pictures, `SHEET_ROWS` pairs a file, as NAME-1.png, NAME-2.png, ...; returns their paths.

    A row is a pair: source, driving picture, each model's result. The order is that of the csv file.
    """
    sheets = [each.pictures[k : k + SHEET_ROWS] for each in measured for k in range(0, len(each.pictures), SHEET_ROWS)]
    paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(sheets) + 1)]
    for file, rows in zip(paths, sheets, strict=True):
        save_image(file, in_rows(rows))
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.people", __doc__)
    add = parser.add_argument
    add("--model", nargs="+", default=[], help=f"saved pipelines: folders or Hub ids; {SHIPPED}: the package's own")
    add("--rendered", type=Path, metavar="ROOT", help="of eval.rendered_people.render, 256 x 256, split test")
    add(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="of all pairs NAME_0.jpg, NAME_1.jpg; those held back are measured",
    )
    add("--limit", type=int, metavar="N", help="so many pairs of each")
    add("--csv", type=Path, metavar="FILE", help="each pair's figures")
    add("--sheet", type=Path, metavar="FILE.png", help=f"all pictures, as FILE-1.png, ... of {SHEET_ROWS} pairs each")
    add_animation(parser, t=False)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    # 0. Inputs
    _check_outputs(options.csv, options.sheet)
    sets: list[PairSet] = []
    if options.rendered is not None:
        sets.append(RenderedPairs(options.rendered, options.limit))
    if options.photos is not None:
        sets.append(PhotoPairs(options.photos, options.limit))
    if not sets:
        raise InputError("give --rendered, --photos or both: there is nothing to measure")
    models = [_load(name, options) for name in dict.fromkeys(options.model)]

    # 1. Measured
    measured = [measure(models, pairs) for pairs in sets]

    # 2. Said and written
    print("\n\n".join(table(each, models) for each in measured))
    if options.csv is not None:
        write_rows(options.csv, measured)
    if options.sheet is not None:
        for path in write_sheets(options.sheet, measured):
            print(path, file=sys.stderr)


def _check_outputs(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"{path}: must be in an existing folder, but there is no folder {path.absolute().parent}")
    if paths[1] is not None and paths[1].suffix.lower() != ".png":
        raise InputError(f"{paths[1]}: must end in .png, got {paths[1].suffix or 'no ending'!r}")


def _load(name: str, options: argparse.Namespace) -> Model:
    if name == COPY:
        raise InputError(f"model must be a saved pipeline, got {COPY!r}, which is measured in any case")
    pipeline = load_pipeline(None if name == SHIPPED else name)
    return Model(name, pipeline, pair_settings(pipeline, None, options.strategy, None, options.background))


if __name__ == "__main__":
    sys.exit(main())
