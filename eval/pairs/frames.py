"""The two frames of each pair of a list, as the networks get them and as they are measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from motion_core.errors import InputError
from motion_core.framing import Placement, from_network, place_in, to_network
from motion_core.media import FrameReader, open_frames, to_float, to_uint8

from ..rendered_people.pairs import Pair
from ..videos import find_videos


@dataclass(frozen=True)
class PairFrames:
    """A pair and its frames.

    Attributes:
        pair: it.
        placement: how its pictures lie in the networks' image: all of them, with their aspect.
        network_source, network_driving: ``(1, 3, h, w)`` in [0, 1], of the networks' size, borders repeated around.
        network_photos: likewise the clip's frames that stand for further photos of the subject.
    """

    pair: Pair
    placement: Placement
    network_source: Tensor
    network_driving: Tensor
    network_photos: tuple[Tensor, ...] = ()

    @cached_property
    def source(self) -> np.ndarray:
        """The source frame without padding, ``(content_h, content_w, 3)`` uint8."""
        return shown(self.network_source, self.placement)

    @cached_property
    def driving(self) -> np.ndarray:
        """Likewise the driving frame."""
        return shown(self.network_driving, self.placement)

    @property
    def picture_side(self) -> int:
        """The longer side of the picture in its own pixels: 100 per cent."""
        return max(self.placement.picture_size)

    @property
    def side(self) -> int:
        """The same in pixels of the networks' image."""
        return max(self.placement.content[2:])


def shown(image: Tensor, placement: Placement) -> np.ndarray:
    """A networks' image ``(1, 3, h, w)`` in [0, 1] without padding, ``(content_h, content_w, 3)`` uint8."""
    return to_uint8(from_network(image, placement))[0]


def open_clips(root: Path, split: str, pairs: Sequence[Pair]) -> dict[str, FrameReader]:
    """The clips that the pairs are of, by name, with every pair held against them before any work is done.

    Raises:
        InputError: there are no pairs, a clip is not in the split or cannot be read, a frame number is not in it, or a pair has
            no quartile or displacement.
    """
    if not pairs:
        raise InputError("pairs: must be one or more, got none")
    videos = {video.name: video.path for video in find_videos(root / split).values()}
    clips: dict[str, FrameReader] = {}
    for pair in pairs:
        if pair.video not in videos:
            raise InputError(f"pairs: must be of clips in {root / split}, but there is no {pair.video!r}")
        if pair.video not in clips:
            clips[pair.video] = open_frames(videos[pair.video])
        last = clips[pair.video].count - 1
        for name, frame in (("source_frame", pair.source), ("driving_frame", pair.driving)):
            if not 0 <= frame <= last:
                raise InputError(f"pairs: {name} must be in 0..{last} of {pair.video}, got {frame}")
        if pair.quartile not in (1, 2, 3, 4):
            raise InputError(f"pairs: quartile must be from 1 to 4, got {pair.quartile} for {pair.video}")
        if not 0 <= pair.displacement < np.inf:
            raise InputError(f"pairs: displacement must be 0 or more, got {pair.displacement} for {pair.video}")
    return clips


def photo_frames(pair: Pair, count: int, photos: int) -> list[int]:
    """The numbers of the frames that stand for further photos of a pair's subject, evenly spread over its clip of `count` frames.

    None is within an eighth of the clip of the driving frame, which it would give away, or of the source, of which it would be a
    copy.

    Raises:
        InputError: the clip has fewer such frames.
    """
    apart = math.ceil(count / 8)
    free = [k for k in range(count) if min(abs(k - pair.source), abs(k - pair.driving)) >= apart]
    if len(free) < photos:
        raise InputError(f"photos: {pair.video} has {len(free)} frames to stand for them, {photos} are asked for")
    return middles(free, photos)


def middles(items: Sequence[int], count: int) -> list[int]:
    """`count` of the items, evenly spread: the middle ones of as many equal parts."""
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def read_frames(
    clips: dict[str, FrameReader], pairs: Sequence[Pair], network_size: tuple[int, int] | None, photos: int = 0
) -> Iterator[tuple[int, PairFrames]]:
    """The pairs with their frames, clip by clip, each with its place in the list.

    Args:
        network_size: ``(h, w)``; None leaves each picture at its own.
        photos: how many further frames of the clip each gets.

    Raises:
        InputError: a clip is damaged, or has too few frames for the photos.
    """
    for video, access in clips.items():
        placement = place_in(access.size, network_size or access.size)
        own = [
            (place, pair, photo_frames(pair, access.count, photos))
            for place, pair in enumerate(pairs)
            if pair.video == video
        ]
        wanted = {frame for _, pair, further in own for frame in (pair.source, pair.driving, *further)}
        fitted = {
            number: to_network(to_float(pixels[None]), placement) for number, pixels in access.frames_at(wanted)
        }  # each (1, 3, h, w)
        for place, pair, further in own:
            pictures = tuple(fitted[number] for number in further)
            yield place, PairFrames(pair, placement, fitted[pair.source], fitted[pair.driving], pictures)
