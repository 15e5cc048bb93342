"""What can be chosen about training pairs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import get_args

from motion_core.errors import InputError
from motion_core.framing import Size
from motion_core.settings import Fit

from .augmentation import Jitter


@dataclass(frozen=True)
class PairOptions:
    """How pairs of frames are made.

    Attributes:
        image_size: side, or (height, width), of the images.
        fit: what happens to videos of another aspect; "crop": the middle is used, "pad": borders are repeated around it,
            "stretch": the aspect is lost, as the field's programs do. Square videos are the same under all three.
        id_sampling: one sample per identity and pass: first an identity, then one of its videos.
        pair_list: csv file with columns source and driving, names under the split: one sample per row and pass.
        min_stride, max_stride: how many frames apart the two are, at least and at most (None: no limit). In a video that
            is too short for `min_stride` they are the first and the last.
        flip: mirror half of the pairs.
        jitter: of the colours.
        cache_mb: memory for decoded frames of one process with all its workers, in 2**20 bytes.
        skip_broken: leave out videos that cannot be opened, instead of refusing to start, and draw another sample where a
            frame turns out to be damaged, instead of stopping.

    Raises:
        InputError: a value out of range.
    """

    image_size: int | tuple[int, int] = 256
    fit: Fit = "crop"
    id_sampling: bool = False
    pair_list: str | os.PathLike[str] | None = None
    min_stride: int = 1
    max_stride: int | None = None
    flip: bool = True
    jitter: Jitter = field(default_factory=Jitter)
    cache_mb: float = 2048
    skip_broken: bool = False

    @property
    def size(self) -> Size:
        """(h, w) of the images."""
        sides = (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size
        return sides[0], sides[1]

    def __post_init__(self) -> None:
        sides = [self.image_size] * 2 if isinstance(self.image_size, int) else list(self.image_size)
        if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
            raise InputError(f"image_size: must be a side or (height, width) in pixels, got {self.image_size!r}")
        if self.fit not in get_args(Fit):
            raise InputError(f"fit: must be one of {', '.join(get_args(Fit))}, got {self.fit!r}")
        if self.id_sampling and self.pair_list is not None:
            raise InputError("id_sampling: must be off where pair_list says which videos belong together")
        if self.min_stride < 0:
            raise InputError(f"min_stride: must be 0 frames or more, got {self.min_stride}")
        if self.max_stride is not None and self.max_stride < max(1, self.min_stride):
            raise InputError(f"max_stride: must be at least 1 and min_stride, {self.min_stride}, got {self.max_stride}")
        if not 0 <= self.cache_mb < math.inf:
            raise InputError(f"cache_mb: must be 0 or more, got {self.cache_mb}")
