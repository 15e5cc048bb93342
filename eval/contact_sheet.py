"""Pairs of frames and what models make of them, in one picture.

python -m eval.contact_sheet --model M --data ROOT --out FILE.png

A row is a pair: the source, the driving image, each model's result, and with ``--between`` the first model's images on the way.
Pairs are of one quartile of displacement, evenly from its smallest to its largest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from motion_core import MotionInterpPipeline, media
from motion_core.command_line import CommandParser
from motion_core.errors import InputError

from .options import add_data, load_pipeline
from .pair_scores import evenly
from .pairs.frames import open_clips, read_frames, shown
from .pairs.model import PairModel, pair_settings
from .rendered_people.annotations import folder_of
from .rendered_people.pairs import Pair, read_pairs

_GAP = 3  # white pixels between pictures


@torch.inference_mode()
def contact_sheet(
    models: Sequence[MotionInterpPipeline],
    root: Path,
    split: str,
    pairs: Sequence[Pair],
    between: bool = False,
    by_model: bool = False,
) -> np.ndarray:
    """The picture, ``(H, W, 3)`` uint8: a row for each pair, in the order of the list.

    Args:
        models: at least one, all of one image size.
        root, split: the clips are in root/split.
        pairs: from `eval.rendered_people.pairs.read_pairs`.
        between: also the first model's images at the times t that a selector chooses from.
        by_model: a row for the sources, one for the driving images and one for each model, a column for each pair.

    Raises:
        InputError: no pairs, clips that cannot be used, or models of different sizes.
    """
    if not pairs:
        raise InputError("there must be pairs to show, got none")
    makers = [PairModel(model, pair_settings(model, None, None, None, "auto")) for model in models]
    if len({maker.size for maker in makers}) > 1:
        raise InputError(f"the models must be of one image size, got {sorted({maker.size for maker in makers})}")
    rows: dict[int, list[np.ndarray]] = {}
    for place, frames in read_frames(open_clips(root, split, pairs), pairs, makers[0].size):
        moved = [maker.move([frames]) for maker in makers]
        pictures = [frames.source, frames.driving, *(shown(each.generated.image, frames.placement) for each in moved)]
        if between:
            pictures += [shown(images, frames.placement) for _, images, _ in makers[0].between(moved[0])]
        rows[place] = pictures
    ordered = [rows[place] for place in range(len(pairs))]
    return in_rows(list(zip(*ordered, strict=True)) if by_model else ordered)


def in_rows(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures of one size ``(h, w, 3)`` uint8 beside and below each other, as many in each row, with white gaps."""
    return np.concatenate([np.concatenate([_framed(picture) for picture in row], axis=1) for row in rows])[
        :-_GAP, :-_GAP
    ]


def _framed(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.contact_sheet", __doc__)
    add = parser.add_argument
    add("--model", required=True, nargs="+", help="saved pipelines: folders or Hub ids")
    add_data(parser)
    add("--quartile", type=int, choices=(1, 2, 3, 4), default=4, help="of displacement, 4 the largest")
    add("--rows", type=int, default=8, help="pairs to show")
    add("--between", action="store_true", help="also the images on the way")
    add("--out", required=True, type=Path, help="the picture to write")
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    pairs = read_pairs(folder_of(options.data, options.split) / "pairs.csv")
    chosen = evenly([pair for pair in pairs if pair.quartile == options.quartile], options.rows)
    models = [load_pipeline(name) for name in options.model]
    media.save_image(options.out, contact_sheet(models, options.data, options.split, chosen, options.between))
    print(f"{options.out}: {len(chosen)} pairs")


if __name__ == "__main__":
    sys.exit(main())
