"""Measure what models make of people that nobody trained on.

python -m eval.people --model FOLDER ... --rendered ROOT --photos FOLDER

Each model takes the source of a pair to the driving picture, which shows the same person in the same scene, and the result is
compared with it, at 256 x 256. The source itself is measured as well, as "copy": what a model has to beat.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch.nn.functional as F
from tqdm import tqdm

from motion_core import AnimationSettings, MotionInterpPipeline
from motion_core.errors import InputError
from motion_core.media import save_image, to_float, to_uint8

from .contact_sheet import in_rows
from .pairs.moving import Background, pair_settings
from .people_pairs import PairSet, PeoplePair, PhotoPairs, RenderedPairs
from .people_scores import PairScore, score_pair, summarise

COPY, SHIPPED = "copy", "shipped"
SHEET_ROWS = 20
_HEADINGS = ("L1", "L1 over copying", "on the figure", "AKD, %", "MKR", "sharpness")
_DIGITS = (4, 3, 3, 2, 3, 3)  # of each, after the point


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
    """A set of pairs and what models make of it.

    Attributes:
        pairs: the set, read to its end.
        names: of the pairs that were measured.
        scores: by model, in the order of `names`; "copy" is the first.
        pictures: of each pair: source, driving picture, and each model's result.
    """

    pairs: PairSet
    names: list[str]
    scores: dict[str, list[PairScore]]
    pictures: list[list[np.ndarray]]


def measure(models: Sequence[Model], pairs: PairSet) -> Measured:
    """Let all models make all pairs of a set, and compare.

    Raises:
        InputError: a file cannot be used, or no pair is left.
    """
    found = Measured(pairs, [], {COPY: [], **{model.name: [] for model in models}}, [])
    for pair in tqdm(pairs, desc=pairs.title.lower(), total=len(pairs), disable=not sys.stderr.isatty()):
        # 1. The source itself
        joints = pairs.detector.landmarks(pair.source)
        found.scores[COPY].append(score_pair(pair, pair.source, joints, copied=True))

        # 2. What the models make of it
        results = [model.animate(pair) for model in models]
        for model, result in zip(models, results, strict=True):
            joints = pairs.detector.landmarks(result)
            found.scores[model.name].append(score_pair(pair, result, joints, copied=pair.name in model.refused))
        found.names.append(pair.name)
        found.pictures.append([pair.source, pair.driving, *results])
    if not found.names:
        raise InputError(f"{pairs.title}: no pair can be measured: {next(iter(pairs.left_out.values()))}")
    return found


def table(measured: Measured, models: Sequence[Model]) -> str:
    """What people want to see, in Markdown."""
    pairs = measured.pairs
    lines = [
        f"**{pairs.title}**, {len(measured.names)} pairs; joints by {pairs.detector.version}",
        "",
        f"| | {' | '.join(_HEADINGS)} |",
        "|---" * (1 + len(_HEADINGS)) + "|",
    ]
    for name, scores in measured.scores.items():
        figures = asdict(summarise(scores, measured.scores[COPY])).values()
        cells = ("-" if math.isnan(x) else f"{x:.{digits}f}" for x, digits in zip(figures, _DIGITS, strict=True))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    notes = [f"{len(pairs.left_out)} of {len(pairs)} pairs are left out: {_listed(pairs.left_out)}"] * bool(
        pairs.left_out
    )
    for model in models:
        refused = {name: why for name, why in model.refused.items() if name in measured.names}
        if refused:
            notes.append(f"`{model.name}` refused {len(refused)} pairs, which count as copied: {_listed(refused)}")
    return "\n".join(lines + [f"\n{note}." for note in notes])


def _listed(reasons: dict[str, str]) -> str:
    """Names by their reason."""
    groups = {why: [name for name, own in reasons.items() if own == why] for why in reasons.values()}
    return "; ".join(f"{why.rstrip('.')} ({', '.join(names)})" for why, names in groups.items())


def write_rows(path: Path, measured: Sequence[Measured]) -> None:
    """Write each pair's figures for each model as a csv file; nothing stands for what is not defined.

    Raises:
        InputError: it cannot be written.
    """
    rows = [
        {"set": each.pairs.title, "pair": name, "model": model, **_rounded(score)}
        for each in measured
        for model, scores in each.scores.items()
        for name, score in zip(each.names, scores, strict=True)
    ]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _rounded(score: PairScore) -> dict[str, str]:
    return {name: "" if math.isnan(value) else f"{value:.6f}" for name, value in asdict(score).items()}


def write_sheets(path: Path, measured: Sequence[Measured]) -> list[Path]:
    """Write all pictures, `SHEET_ROWS` pairs a file, as NAME-1.png, NAME-2.png, ...; returns their paths.

    A row is a pair: source, driving picture, each model's result. The order is that of the csv file.
    """
    sheets = [each.pictures[k : k + SHEET_ROWS] for each in measured for k in range(0, len(each.names), SHEET_ROWS)]
    paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(sheets) + 1)]
    for file, rows in zip(paths, sheets, strict=True):
        save_image(file, in_rows(rows))
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.people", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", nargs="+", default=[], help=f"saved pipelines: folders or Hub ids; {SHIPPED}: the package's own")
    add("--rendered", type=Path, metavar="ROOT", help="that eval.rendered_people.render wrote, 256 x 256, split test")
    add(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="of all pairs NAME_0.jpg, NAME_1.jpg; measured are those held back",
    )
    add("--limit", type=int, metavar="N", help="so many pairs of each")
    add("--csv", type=Path, metavar="FILE", help="each pair's figures")
    add("--sheet", type=Path, metavar="FILE.png", help=f"all pictures, as FILE-1.png, ... of {SHEET_ROWS} pairs each")
    add("--strategy", help="how the interpolated image is chosen, as in `motion_core animate`")
    add("--background", choices=get_args(Background), default="auto", help="as in eval.reconstruct")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except InputError as error:
        print(f"eval.people: {error}", file=sys.stderr)
        return 2
    return 0


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
    from diffusers.utils import logging

    logging.disable_progress_bar()
    pipeline = MotionInterpPipeline.from_pretrained(*([] if name == SHIPPED else [name]))
    pipeline.set_progress_bar_config(disable=True)
    return Model(name, pipeline, pair_settings(pipeline, None, options.strategy, None, options.background))


if __name__ == "__main__":
    sys.exit(main())
