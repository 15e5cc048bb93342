"""Videos side by side under captions, and frames of two in one picture.

moviepy's own reader and writer drop and repeat frames, so it sets the captions only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import InputError
from .paths import check_output
from .pictures import ImageSource, load_image
from .sound import AudioSource
from .sources import VideoSource, open_video
from .writing import VideoWriter

if TYPE_CHECKING:
    from moviepy import VideoClip

_GAP = 4  # pixels between the videos
_SMALLEST = 12  # pixels of type
_BACKGROUND = (16, 16, 16)
_TILE, _TYPE = 256, 14  # pixels of a still frame's longer side, and of type above it
_CHECKS = 12, (255, 255, 255), (204, 204, 204)  # side and colours of the pattern that stands for transparency


def compose_comparison(
    sources: Sequence[VideoSource | ImageSource],
    captions: Sequence[str],
    output: str | os.PathLike[str],
    *,
    height: int | None = None,
    audio_from: AudioSource | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a video that shows pictures and videos side by side, for example source, driving and result.

    Args:
        sources: pictures (a path, PIL image, array ``(H, W, 3)`` or tensor) and videos (a path or a `VideoSource`). It
            plays at the rate of the last video, and until the longest one ends; the others stay on their last frame.
        captions: one line for each, in the letters of English, which Pillow's own font has.
        output: as for `VideoWriter`.
        height: of every video, in pixels; by default that of the last source.
        audio_from, metadata: as for `VideoWriter`.

    Raises:
        InputError: a source or the output cannot be used, or there are not as many captions as sources.
    """
    if not sources or len(sources) != len(captions):
        raise InputError(f"captions: must be one for each of the {len(sources)} sources, got {len(captions)}")
    if height is not None and (isinstance(height, bool) or not isinstance(height, int) or height < 16):
        raise InputError(f"height: must be a whole number of at least 16 pixels, got {height!r}")
    check_output(output)
    opened = [_opened(source) for source in sources]
    videos = [each for each in opened if isinstance(each, VideoSource)]
    if not videos:
        raise InputError("sources: must have at least one video, got pictures only")
    rate = videos[-1].frame_rate
    shown = [replace(each, frame_rate=rate) if isinstance(each, VideoSource) else open_video([each]) for each in opened]
    count = max(round(video.duration * rate) for video in videos)
    height = height or shown[-1].size[0]
    widths = [max(1, round(each.size[1] * height / each.size[0])) for each in shown]
    players = [_played(each, (height, width)) for each, width in zip(shown, widths, strict=True)]
    header = _captions(captions, widths, max(_SMALLEST, height // 16))  # (h, W, 3)
    gap = np.full((height, _GAP, 3), _BACKGROUND, np.uint8)
    with VideoWriter(output, rate, audio_from=audio_from, metadata=metadata) as writer:
        for _ in range(count):
            row = [part for player in players for part in (gap, next(player))]
            writer.write(np.concatenate([header, np.concatenate(row[1:], axis=1)]))


def _opened(source: VideoSource | ImageSource) -> VideoSource | np.ndarray:
    """A video as it is or opened, a picture as ``(H, W, 3)`` uint8."""
    if isinstance(source, VideoSource):
        return source
    if isinstance(source, str | os.PathLike) and (video := open_video(source)).kind != "picture":
        return video
    return load_image(source)


def _played(source: VideoSource, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Frames ``(h, w, 3)`` uint8 of a size (h, w); after the end, the last one for ever."""
    for frame in source:
        if frame.shape[:2] != size:
            frame = np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.LANCZOS))
        yield frame
    while True:
        yield frame


def _captions(captions: Sequence[str], widths: Sequence[int], type_size: int) -> np.ndarray:
    """Lines of type above videos of these widths, ``(2 type_size, W, 3)`` uint8."""
    try:
        from moviepy import CompositeVideoClip
    except ImportError as error:
        raise InputError("comparison: needs moviepy; install it: pip install moviepy") from error

    clips, left = [], 0
    for caption, width in zip(captions, widths, strict=True):
        clip = _caption(caption, width, type_size)
        clips.append(clip.with_position((left + max(0, (width - clip.w) // 2), -type_size // 2)))
        left += width + _GAP
    return CompositeVideoClip(clips, size=(left - _GAP, 2 * type_size), bg_color=_BACKGROUND).get_frame(0)


def _caption(text: str, width: int, type_size: int) -> VideoClip:
    """One line of type, made smaller until it fits."""
    from moviepy import TextClip

    line = " ".join(text.split()) or " "
    for size in range(type_size, 0, -1):
        margin = (0, (3 * type_size - size) // 2)  # above and below: moviepy 2.2 cuts letters off at the bottom
        clip = TextClip(None, line, font_size=size, margin=margin, color="white", bg_color=_BACKGROUND)
        if clip.w <= width or size <= _SMALLEST // 2:
            break
    return clip.with_duration(1)


def reduced(frame: np.ndarray, longest: int) -> np.ndarray:
    """A frame ``(H, W, 3 or 4)`` uint8, neither side above `longest`."""
    scale = longest / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = (max(1, round(scale * frame.shape[1])), max(1, round(scale * frame.shape[0])))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def captioned(upper: Sequence[np.ndarray], lower: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Two rows of frames ``(H, W, 3 or 4)`` uint8, a caption above each pair: ``(H, W, 3)`` uint8."""
    rows = [[_tile(frame) for frame in frames] for frames in (upper, lower)]
    width = max(tile.width for row in rows for tile in row) + _GAP
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (width * len(captions) - _GAP, 2 * _TYPE + sum(heights) - _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TYPE)
    for number, caption in enumerate(captions):
        pen.text((number * width + _GAP, _TYPE // 3), caption, font=font)
        top = 2 * _TYPE
        for row, height in zip(rows, heights, strict=True):
            tile = row[number]
            sheet.paste(tile, (number * width + (width - _GAP - tile.width) // 2, top))
            top += height
    return np.asarray(sheet)


def _tile(frame: np.ndarray) -> Image.Image:
    small = Image.fromarray(reduced(frame, _TILE))
    if small.mode != "RGBA":
        return small
    side, light, dark = _CHECKS
    rows, columns = np.indices((small.height, small.width)) // side
    pattern = np.where(((rows + columns) % 2)[..., None] == 0, np.array(light), np.array(dark))
    tile = Image.fromarray(pattern.astype(np.uint8))
    tile.paste(small, mask=small.getchannel("A"))
    return tile
