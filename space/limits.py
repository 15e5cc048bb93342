"""How much one visitor may ask for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """The numbers; `space.reading` and `space.service` hold visitors to them.

    Attributes:
        picture_megabytes, video_megabytes, checkpoint_megabytes: sizes of files.
        picture_pixels: of a picture.
        longest_side: larger pictures are made smaller before they are used.
        video_pixels: of a frame of a video.
        video_seconds: of a video, whatever part of it is used.
        seconds, frames: of what is made.
        moments: images of one interpolation.
        at_once: how many computations run at the same time.
        live: how many may animate with their cameras at a time; none on ZeroGPU, which lends no processor for that long.
        waiting: how many may wait; who comes after them is told to try again later.
        models: pipelines that are kept in memory.
        local_folders: whether a folder of the computer that the app runs on may be loaded as a model.
    """

    picture_megabytes: int = 50
    video_megabytes: int = 200
    checkpoint_megabytes: int = 1000
    picture_pixels: int = 40_000_000
    longest_side: int = 1920
    video_pixels: int = 4096 * 2304
    video_seconds: float = 600
    seconds: float = 30
    frames: int = 900
    moments: int = 24
    at_once: int = 1
    live: int = 2
    waiting: int = 20
    models: int = 3
    local_folders: bool = True

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits of this computer, or of a Space, whose files are not its visitors' own."""
        on_a_space = bool(environment.get("SPACE_ID"))
        return cls(
            local_folders=not on_a_space,
            seconds=15 if on_a_space else cls.seconds,
            live=0 if find_spec("spaces") else cls.live,
        )
