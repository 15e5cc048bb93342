"""Videos side by side under captions, composed with moviepy; frames come from and go to this package's own files.

moviepy's own reader and writer drop and repeat frames, so only its layout and text are used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFont

from ..errors import InputError
from .paths import check_output, existing_file
from .pictures import Picture, load_image
from .reading import VideoSource, open_video
from .writing import VideoWriter

if TYPE_CHECKING:
    from moviepy import VideoClip

_GAP = 4  # pixels between the videos
_SMALLEST = 12  # pixels of type
_BACKGROUND = (16, 16, 16)
_ROUNDING = 0.01  # frames; moviepy's times are floats, and must not fall before the frame that they mean
_ENDLESS = 1e9  # seconds; the frames are counted here, not by moviepy


def compose_comparison(
    sources: Sequence[VideoSource | Picture],
    captions: Sequence[str],
    output: str | os.PathLike[str],
    *,
    height: int | None = None,
    font: str | os.PathLike[str] | None = None,
    audio_from: VideoSource | str | os.PathLike[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a video that shows pictures and videos side by side, for example source, driving and result.

    Args:
        sources: pictures (a path, PIL image, array ``(H, W, 3)`` or tensor) and videos (a path or a `VideoSource`). It
            plays at the rate of the last video, and until the longest one ends; the others stay on their last frame.
        captions: one line for each.
        output: as for `VideoWriter`.
        height: of every video, in pixels; by default that of the last source.
        font: a TrueType or OpenType file; by default Pillow's own font, which has the letters of English only.
        audio_from, metadata: as for `VideoWriter`.

    Raises:
        InputError: a source or the output cannot be used, or there are not as many captions as sources.
    """
    if not sources or len(sources) != len(captions):
        raise InputError(f"captions: must be one for each of the {len(sources)} sources, got {len(captions)}")
    if height is not None and (isinstance(height, bool) or not isinstance(height, int) or height < 16):
        raise InputError(f"height: must be a whole number of at least 16 pixels, got {height!r}")
    check_output(output)
    players = [_Player(source) for source in sources]
    videos = [player.source for player in players if player.source is not None]
    if not videos:
        raise InputError("sources: must have at least one video, got pictures only")
    rate = videos[-1].frame_rate
    count = max(round(video.duration * rate) for video in videos)
    clip = _layout(players, captions, height or players[-1].size[0], None if font is None else _font_file(font))
    with VideoWriter(output, rate, audio_from=audio_from, metadata=metadata) as writer:
        for index in range(count):
            writer.write(clip.get_frame(float(index / rate)))


def _font_file(font: str | os.PathLike[str]) -> str:
    path = existing_file(font, "a font file")
    try:
        ImageFont.truetype(path, _SMALLEST)
    except OSError as error:
        raise InputError(f"{path}: must be a TrueType or OpenType font, but is not one ({error})") from error
    return str(path)


class _Player:
    """The frame of a source at a time that never goes back."""

    def __init__(self, source: VideoSource | Picture) -> None:
        self.source = _video_of(source)
        self.size: tuple[int, int]
        self._index = 0
        self._frames: Iterator[np.ndarray] = iter(())
        if self.source is None:
            self._frame = load_image(source)  # type: ignore[arg-type]  # not a video, so a picture
            self.size = (self._frame.shape[0], self._frame.shape[1])
        else:
            self._frames, self.size = iter(self.source), self.source.size
            self._frame = next(self._frames)

    def at(self, seconds: float) -> np.ndarray:
        """Return ``(H, W, 3)`` uint8; after the end, the last frame."""
        wanted = 0 if self.source is None else int(seconds * float(self.source.frame_rate) + _ROUNDING)
        while self._index < wanted and (frame := next(self._frames, None)) is not None:
            self._frame = frame
            self._index += 1
        return self._frame


def _video_of(source: VideoSource | Picture) -> VideoSource | None:
    if isinstance(source, VideoSource):
        return source
    if not isinstance(source, str | os.PathLike):
        return None
    video = open_video(source)
    return None if video.kind == "picture" else video


def _layout(players: Sequence[_Player], captions: Sequence[str], height: int, font: str | None) -> VideoClip:
    try:
        from moviepy import CompositeVideoClip, VideoClip
    except ImportError as error:
        raise InputError("comparison: needs moviepy; install it: pip install moviepy") from error

    type_size = max(_SMALLEST, height // 16)
    clips, left, top = [], 0, 2 * type_size
    for player, caption in zip(players, captions, strict=True):
        width = max(1, round(player.size[1] * height / player.size[0]))
        video = VideoClip(_scaled(player, width, height), duration=_ENDLESS)
        clips += [
            video.with_position((left, top)),
            _caption(caption, width, top, type_size, font).with_position((left, 0)),
        ]
        left += width + _GAP
    return CompositeVideoClip(clips, size=(left - _GAP, top + height), bg_color=_BACKGROUND)


def _scaled(player: _Player, width: int, height: int) -> Callable[[float], np.ndarray]:
    def frame_at(seconds: float) -> np.ndarray:
        frame = player.at(seconds)
        if frame.shape[:2] == (height, width):
            return frame
        return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))

    return frame_at


def _caption(text: str, width: int, height: int, type_size: int, font: str | None) -> VideoClip:
    """Return one line of text, made smaller until it fits."""
    from moviepy import ImageClip, TextClip

    line = " ".join(text.split()) or " "
    while True:
        # The margin is for moviepy 2.2, which cuts letters off at the bottom.
        clip = TextClip(
            font,
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
