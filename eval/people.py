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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch.nn.functional as F
from tqdm import tqdm

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import save_image, to_float, to_uint8

from .contact_sheet import in_rows
from .evaluation import Instruments, Record, evaluate
from .instruments import LandmarkDetector
from .instruments.cached import CachedDetector
from .metric_functions import l1
from .options import add_animation, load_pipeline
from .pairs.model import pair_settings
from .people_pairs import PairSet, PeoplePair, PhotoPairs, RenderedPairs
from .tables import markdown

COPY, SHIPPED = "copy", "shipped"
COLUMNS = ("l1", "figure_l1", "akd", "mkr", "gradient", "real_gradient")
LUMA = (0.299, 0.587, 0.114)  # of R, G, B
SHEET_ROWS = 20
FACING = 60.0  # degrees that a chest is turned, below which a source shows most of what its driving picture does
_DIGITS = (4, 3, 3, 2, 3, 3)  # of each column of the table, after the point


def people_record(pair: PeoplePair, result: np.ndarray, detector: LandmarkDetector, copied: bool = False) -> Record:
    """A result against the driving picture of its pair.

    Args:
        result: ``(256, 256, 3)`` uint8.
        copied: it is the source itself, whose figure is elsewhere: its gradient is taken there.

    Returns:
        "l1" and "figure_l1": mean absolute difference, images from 0 to 1, of the whole picture and on the driving figure.
        "akd": mean distance of the joints found in both, per cent of the side; "mkr": share of the driving picture's joints
        that are missing in the result. "gradient" and "real_gradient": mean `luma_gradient` on the figure, of the result and
        of the driving picture.
    """
    measured = evaluate([(result, pair.driving)], Instruments(detector=detector))[0]
    figure = pair.driving_figure
    return {
        "l1": measured["l1"],
        "figure_l1": l1(result[figure], pair.driving[figure]),
        "akd": 100 * measured["akd"] / max(result.shape),
        "mkr": measured["mkr"],
        "gradient": float(luma_gradient(result)[pair.source_figure if copied else figure].mean()),
        "real_gradient": float(luma_gradient(pair.driving)[figure].mean()),
    }


def luma_gradient(image: np.ndarray) -> np.ndarray:
    """The magnitude of the gradient of luma: how much it changes to the next pixel on the right and to the next one below.

    Args:
        image: ``(H, W, 3)`` uint8.

    Returns:
        ``(H, W)``, luma from 0 to 1; it does not change beyond the border.

    Example:
        >>> luma_gradient(np.repeat(np.array([[0, 153], [0, 0]], np.uint8)[..., None], 3, axis=2)).round(3).tolist()
        [[0.6, 0.6], [0.0, 0.0]]
    """
    luma = image @ np.array(LUMA) / 255
    return np.hypot(np.diff(luma, axis=1, append=luma[:, -1:]), np.diff(luma, axis=0, append=luma[-1:]))


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """A row per model with means over pairs and ratios of means; NaN where no pair has the figure.

    Args:
        records: `people_record`s with the column "model", of the same pairs for each; the model "copy" is the source itself.
    """
    mean = records.groupby("model", sort=False)[list(COLUMNS)].mean()
    copy = mean.loc[COPY]
    return pd.DataFrame(
        {
            "L1": mean["l1"],
            "L1 over copying": mean["l1"] / (copy["l1"] or np.nan),
            "on the figure": mean["figure_l1"] / (copy["figure_l1"] or np.nan),
            "AKD, %": mean["akd"],
            "MKR": mean["mkr"],
            "sharpness": mean["gradient"] / mean["real_gradient"].where(mean["real_gradient"] > 0),
        }
    )


class Model:
    """A pipeline as it is measured, with the settings of one person and one scene.

    Attributes:
        name: for the report.
        refused: why pairs were not animated, by their names; the source itself is their result.
    """

    def __init__(self, name: str, pipeline: MotionInterpPipeline, settings: AnimationSettings) -> None:
        self.name, self._pipeline, self._settings = name, pipeline, settings
        self.refused: dict[str, str] = {}

    def animate(self, pair: PeoplePair) -> np.ndarray:
        """The source in the pose of the driving picture, ``(256, 256, 3)`` uint8, resized by bicubic interpolation."""
        video = np.stack([pair.driving] * 2)  # a video has two frames or more; only the first is computed
        try:
            made = next(iter(self._pipeline.stream(pair.source, video, self._settings))).image
        except InputError as error:
            self.refused[pair.name] = str(error)
            return pair.source
        size = pair.source.shape[:2]
        if made.shape[:2] == size:
            return made
        smaller = size[0] < made.shape[0]
        return to_uint8(F.interpolate(to_float(made[None]), size, mode="bicubic", antialias=smaller))[0]


@dataclass(frozen=True)
class Measured:
    """A set of pairs and the models' results.

    Attributes:
        pairs: the set, read to its end.
        records: `people_record`s with the columns "set", "pair", "model" and "turned", by model; "copy" is the first.
        pictures: of each pair: source, driving picture, and each model's result.
    """

    pairs: PairSet
    records: pd.DataFrame
    pictures: list[list[np.ndarray]]


def measure(models: Sequence[Model], pairs: PairSet, still: bool = False) -> Measured:
    """Let all models make all pairs of a set, and compare.

    Args:
        still: each source drives itself: what a model changes where nothing moves.

    Raises:
        InputError: a file cannot be used, or no pair is left.
    """
    detector = CachedDetector(pairs.detector)
    records: dict[str, list[Record]] = {COPY: [], **{model.name: [] for model in models}}
    pictures = []
    for given in tqdm(pairs, desc=pairs.title.lower(), total=len(pairs), disable=not sys.stderr.isatty()):
        pair = given
        if still:
            pair = replace(given, driving=given.source, driving_figure=given.source_figure, turned=math.nan)
        results = {COPY: pair.source} | {model.name: model.animate(pair) for model in models}
        copied = {COPY} | {model.name for model in models if pair.name in model.refused}
        for name, result in results.items():
            keys = {"set": pairs.title, "pair": pair.name, "model": name, "turned": pair.turned}
            records[name].append(keys | people_record(pair, result, detector, name in copied))
        pictures.append([pair.source, pair.driving, *list(results.values())[1:]])
    if not pictures:
        raise InputError(f"{pairs.title}: no pair can be measured: {next(iter(pairs.left_out.values()))}")
    return Measured(pairs, pd.DataFrame([record for own in records.values() for record in own]), pictures)


def table(measured: Measured, models: Sequence[Model]) -> str:
    """The report on a set in Markdown."""
    pairs, records = measured.pairs, measured.records
    title = f"**{pairs.title}**, {len(measured.pictures)} pairs; joints by {pairs.detector.version}"
    parts = [title, _rows(records)]
    facing = records[records["turned"] < FACING]
    if len(facing):
        count = facing["pair"].nunique()
        parts += [f"Of these, {count} in which the chest turns by less than {FACING:.0f} degrees", _rows(facing)]
    if pairs.left_out:
        parts.append(f"{len(pairs.left_out)} of {len(pairs)} pairs are left out: {_listed(pairs.left_out)}.")
    for model in models:
        refused = {name: why for name, why in model.refused.items() if name in set(measured.records["pair"])}
        if refused:
            parts.append(f"`{model.name}` refused {len(refused)} pairs, which count as copied: {_listed(refused)}.")
    return "\n\n".join(parts)


def _rows(records: pd.DataFrame) -> str:
    """A table of models."""
    figures = summarise(records)
    lines = [
        [f"`{name}`", *("-" if math.isnan(x) else f"{x:.{digits}f}" for x, digits in zip(row, _DIGITS, strict=True))]
        for name, row in zip(figures.index, figures.to_numpy(), strict=True)
    ]
    return markdown(["", *figures], lines)


def _listed(reasons: dict[str, str]) -> str:
    """Names by their reason."""
    groups = {why: [name for name, own in reasons.items() if own == why] for why in reasons.values()}
    return "; ".join(f"{why.rstrip('.')} ({', '.join(names)})" for why, names in groups.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.people", __doc__)
    add = parser.add_argument
    add("--model", nargs="+", default=[], help=f"saved pipelines: folders or Hub ids; {SHIPPED}: the package's own")
    add("--rendered", type=Path, metavar="ROOT", help="of eval.rendered_people.render, 256 x 256, split test")
    photos = "of all pairs NAME_0.jpg, NAME_1.jpg; those held back are measured"
    add("--photos", type=Path, metavar="FOLDER", help=photos)
    add("--still", action="store_true", help="each source drives itself: what a model changes where nothing moves")
    add("--limit", type=int, metavar="N", help="so many pairs of each")
    add("--csv", type=Path, metavar="FILE", help="each pair's figures")
    add("--sheet", type=Path, metavar="FILE.png", help=f"all pictures, as FILE-1.png, ... of {SHEET_ROWS} pairs each")
    add_animation(parser, t=False)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    # 0. Inputs
    for path in (options.csv, options.sheet):
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"{path}: must be in an existing folder, but there is no folder {path.absolute().parent}")
    if options.sheet is not None and options.sheet.suffix.lower() != ".png":
        raise InputError(f"{options.sheet}: must end in .png, got {options.sheet.suffix or 'no ending'!r}")
    sets: list[PairSet] = []
    if options.rendered is not None:
        sets.append(RenderedPairs(options.rendered, options.limit))
    if options.photos is not None:
        sets.append(PhotoPairs(options.photos, options.limit))
    if not sets:
        raise InputError("give --rendered, --photos or both: there is nothing to measure")
    if COPY in options.model:
        raise InputError(f"model must be a saved pipeline, got {COPY!r}, which is measured in any case")
    models = []
    for name in dict.fromkeys(options.model):
        pipeline = load_pipeline(None if name == SHIPPED else name)
        settings = pair_settings(pipeline, None, options.strategy, None, options.background)
        models.append(Model(name, pipeline, settings))

    # 1. Measured
    measured = [measure(models, pairs, options.still) for pairs in sets]

    # 2. Said and written: a row of the csv file is a model's result of a pair, a row of the sheets a pair, in the same order
    print("\n\n".join(table(each, models) for each in measured))
    if options.csv is not None:
        rows = pd.concat([each.records for each in measured])[["set", "pair", "model", "turned", *COLUMNS]]
        try:
            rows.to_csv(options.csv, index=False, float_format="%.6f", lineterminator="\n")
        except OSError as error:
            raise InputError(f"{options.csv}: cannot be written ({error.strerror or error})") from error
    if options.sheet is not None:
        sheets = [
            each.pictures[k : k + SHEET_ROWS] for each in measured for k in range(0, len(each.pictures), SHEET_ROWS)
        ]
        for number, pictures in enumerate(sheets, 1):
            path = options.sheet.with_name(f"{options.sheet.stem}-{number}{options.sheet.suffix}")
            save_image(path, in_rows(pictures))
            print(path, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
