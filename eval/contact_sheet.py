"""Pairs of frames and what models make of them, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from motion_core import MotionInterpPipeline
from motion_core.errors import InputError

from .pairs.frames import open_clips, read_frames, shown
from .pairs.model import PairModel, pair_settings
from .rendered_people.pairs import Pair

_GAP = 3  # white pixels between pictures


@torch.inference_mode()
def contact_sheet(
    models: Sequence[MotionInterpPipeline], root: Path, split: str, pairs: Sequence[Pair], by_model: bool = False
) -> np.ndarray:
    """The picture, ``(H, W, 3)`` uint8: a row for each pair, in the order of the list: source, driving image, each result.

    Args:
        models: at least one, all of one image size.
        root, split: the clips are in root/split.
        pairs: from `eval.rendered_people.pairs.read_pairs`.
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
        results = [shown(each.generated.image, frames.placement) for each in moved]
        rows[place] = [frames.source, frames.driving, *results]
    ordered = [rows[place] for place in range(len(pairs))]
    return in_rows(list(zip(*ordered, strict=True)) if by_model else ordered)


def in_rows(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures of one size ``(h, w, 3)`` uint8 beside and below each other, as many in each row, with white gaps."""
    border = (0, _GAP), (0, _GAP), (0, 0)
    framed = [[np.pad(picture, border, constant_values=255) for picture in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in framed])[:-_GAP, :-_GAP]
