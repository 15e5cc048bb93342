"""Videos side by side under captions, composed with moviepy, and frames of two in one picture.

moviepy's own reader and writer drop and repeat frames, so only its layout and text are used; frames come from and go to this
package's own files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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
_ENDLESS = 1e9  # seconds of moviepy's, which are numbers of frames here


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
    shown = [replace(each, frame_rate=rate) if isinstance(each, VideoSource) else each for each in opened]
    count = max(round(video.duration * rate) for video in videos)
    clip = _layout(shown, captions, height or _size_of(shown[-1])[0])
    with VideoWriter(output, rate, audio_from=audio_from, metadata=metadata) as writer:
        for index in range(count):
            writer.write(clip.get_frame(index))


def _opened(source: VideoSource | ImageSource) -> VideoSource | np.ndarray:
    """A video as it is or opened, a picture as ``(H, W, 3)`` uint8."""
    if isinstance(source, VideoSource):
        return source
    if isinstance(source, str | os.PathLike) and (video := open_video(source)).kind != "picture":
        return video
    return load_image(source)


def _size_of(shown: VideoSource | np.ndarray) -> tuple[int, int]:
    return shown.size if isinstance(shown, VideoSource) else (shown.shape[0], shown.shape[1])


def _layout(shown: Sequence[VideoSource | np.ndarray], captions: Sequence[str], height: int) -> VideoClip:
    """A clip whose frames are asked for one after the other, each once; its seconds are their numbers."""
    try:
        from moviepy import CompositeVideoClip, VideoClip
    except ImportError as error:
        raise InputError("comparison: needs moviepy; install it: pip install moviepy") from error

    type_size = max(_SMALLEST, height // 16)
    clips, left, top = [], 0, 2 * type_size
    for source, caption in zip(shown, captions, strict=True):
        size = _size_of(source)
        width = max(1, round(size[1] * height / size[0]))
        video = VideoClip(_player(source, width, height), duration=_ENDLESS)
        clips += [
            video.with_position((left, top)),
            _caption(caption, width, top, type_size).with_position((left, 0)),
        ]
        left += width + _GAP
    return CompositeVideoClip(clips, size=(left - _GAP, top + height), bg_color=_BACKGROUND)


def _player(source: VideoSource | np.ndarray, width: int, height: int) -> Callable[[float], np.ndarray]:
    """Gives the frame of each number ``(height, width, 3)`` uint8; after the end, the last one."""
    frames = iter(source) if isinstance(source, VideoSource) else iter([source])
    shown, number = next(frames), 0

    def frame_at(wanted: float) -> np.ndarray:
        nonlocal shown, number
        while number < wanted:
            shown, number = next(frames, shown), number + 1
        if shown.shape[:2] == (height, width):
            return shown
        return np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.LANCZOS))

    return frame_at


def _caption(text: str, width: int, height: int, type_size: int) -> VideoClip:
    """Return one line of text, made smaller until it fits."""
    from moviepy import ImageClip, TextClip

    line = " ".join(text.split()) or " "
    while True:
        # The margin is for moviepy 2.2, which cuts letters off at the bottom.
        clip = TextClip(
            None,
            line,
            font_size=type_size,
            margin=(0, type_size),
            color="white",
            bg_color=_BACKGROUND,
            vertical_align="top",
        )
        if clip.w <= width or type_size <= _SMALLEST // 2:
            break
        type_size = max(_SMALLEST // 2, min(type_size - 1, type_size * width // clip.w))
    picture = Image.new("RGB", (width, height), _BACKGROUND)
    picture.paste(Image.fromarray(clip.get_frame(0)), (max(0, (width - clip.w) // 2), (height - 3 * type_size) // 2))
    return ImageClip(np.asarray(picture), duration=_ENDLESS)


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
