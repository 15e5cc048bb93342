"""Makes the README's animation from the app's examples: picture, driving video and result, side by side.

python -m space.make_banner --model MODEL
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_core import InputError, MotionInterpPipeline, media

from .reading import resized
from .showcase import HERE, Examples, Item, read_examples

# Pictures and the movements that they take, by their places among the examples; a row each.
ROWS = ((5, 3), (2, 2), (1, 1))
BANNER = HERE.parent / "docs" / "results" / "people.webp"
_GAP = 4  # white pixels between panels


def banner(pipeline: MotionInterpPipeline, rows: Sequence[tuple[Item, Item]], side: int) -> Iterator[np.ndarray]:
    """Frames ``(H, W, 3)`` uint8: a row of three squares of that side for each (square picture, square driving video).

    They end with the shortest video.
    """
    sources = [_panel(media.load_image(picture.path), side) for picture, _ in rows]
    videos = [media.open_video(movement.path) for _, movement in rows]
    results = [pipeline.stream(picture.path, movement.path).frames for picture, movement in rows]
    for frames in zip(*videos, *results, strict=False):
        driving, made = frames[: len(rows)], frames[len(rows) :]
        panels = (
            (source, _panel(video, side), _panel(result.image, side))
            for source, video, result in zip(sources, driving, made, strict=True)
        )
        yield _joined([_joined(row, axis=1) for row in panels], axis=0)


def _panel(picture: np.ndarray, side: int) -> np.ndarray:
    return resized(picture, side / picture.shape[0])


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures ``(h, w, 3)`` uint8 one after the other along an axis, with white gaps."""
    pad = [(0, _GAP if axis == each else 0) for each in (0, 1)] + [(0, 0)]
    padded = [np.pad(picture, pad, constant_values=255) for picture in pictures[:-1]]
    return np.concatenate([*padded, pictures[-1]], axis=axis)


def rows_of(examples: Examples) -> list[tuple[Item, Item]]:
    """The pictures and movements of the rows."""
    return [(examples.pictures[picture], examples.movements[movement]) for picture, movement in ROWS]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m space.make_banner", description="Makes the README's animation.")
    parser.add_argument("--model", help="folder or Hub id (default: the shipped model)")
    parser.add_argument("--out", type=Path, default=BANNER, help="a .webp file (default: %(default)s)")
    parser.add_argument("--side", type=int, default=256, help="of a picture in it (default: %(default)s)")
    parser.add_argument("--quality", type=int, default=85, help="from 0 to 100 (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        pipeline = MotionInterpPipeline.from_pretrained(*([] if options.model is None else [options.model]))
        pipeline.set_progress_bar_config(disable=True)  # rows are made at the same time, and their bars would mix
        rows = rows_of(read_examples())
        rate = media.open_video(rows[0][1].path).frame_rate
        metadata = media.provenance(pipeline.model_name)
        frames = banner(pipeline, rows, options.side)
        media.save_animation(options.out, frames, rate, metadata, quality=options.quality)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
