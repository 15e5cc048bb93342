"""Animated WebP out: for pages that show a video where only pictures are shown. Pillow wants all frames at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise

import numpy as np
from PIL import ExifTags, Image

from ..atomic import atomic_path
from ..errors import InputError
from .outputs import check_file, naming
from .timing import exact_rate
from .writing import check_frame


def save_animation(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    frame_rate: Fraction | int | float | str,
    metadata: Mapping[str, str] | None = None,
    *,
    quality: int = 80,
) -> None:
    """Write frames ``(H, W, 3)`` uint8 RGB as a WebP animation that loops for ever.

    Args:
        path: where to, ending in .webp.
        frames: at least one, all of one size; they are kept in memory until the file is written.
        frame_rate: frames a second; times are whole milliseconds, rounded so that the error does not add up.
        metadata: text to store in the file, for example `provenance`.
        quality: from 0 (smallest) to 100 (best).

    Raises:
        InputError: the path cannot be written, no frames, frames of several sizes, or a quality out of range.
    """
    target, rate = check_file(path, ".webp"), exact_rate(frame_rate)
    if not 0 <= quality <= 100:
        raise InputError(f"quality: must be in 0 (smallest) to 100 (best), got {quality!r}")
    pictures: list[Image.Image] = []
    size = None
    for frame in frames:
        size = check_frame(frame, size, target)
        pictures.append(Image.fromarray(frame))
    if not pictures:
        raise InputError(f"{target}: an animation needs at least one frame, got none")
    times = [round(1000 * number / rate) for number in range(len(pictures) + 1)]
    durations = [after - before for before, after in pairwise(times)]
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "\n".join(f"{key}: {value}" for key, value in (metadata or {}).items())
    options = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0}
    with naming(target), atomic_path(target) as temporary:
        pictures[0].save(temporary, format="WEBP", quality=quality, method=4, exif=exif, **options)
