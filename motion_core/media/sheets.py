"""Frames side by side with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 256  # pixels of a frame's longer side
_GAP, _TYPE = 4, 14  # pixels
_BEHIND = (16, 16, 16)
_CHECKS = 12, (255, 255, 255), (204, 204, 204)  # side and colours of the pattern that stands for transparency


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
    sheet = Image.new("RGB", (width * len(captions) - _GAP, 2 * _TYPE + sum(heights) - _GAP), _BEHIND)
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
    small = Image.fromarray(reduced(frame, TILE))
    if small.mode != "RGBA":
        return small
    side, light, dark = _CHECKS
    rows, columns = np.indices((small.height, small.width)) // side
    pattern = np.where(((rows + columns) % 2)[..., None] == 0, np.array(light), np.array(dark))
    tile = Image.fromarray(pattern.astype(np.uint8))
    tile.paste(small, mask=small.getchannel("A"))
    return tile
