"""Single frames in memory, as a browser sends and takes them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ..errors import InputError
from .pictures import BAD_DATA

MAX_FRAME = 8_000_000  # pixels of a frame


def decode_frame(data: bytes) -> np.ndarray:
    """A frame ``(H, W, 3)`` uint8 RGB of a JPEG or PNG; no other format is tried.

    Raises:
        InputError: it is neither, damaged, or larger than `MAX_FRAME`, which is found before it is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if image.width * image.height > MAX_FRAME:
                raise InputError(f"frame: must have at most {MAX_FRAME} pixels, got {image.width} x {image.height}")
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except BAD_DATA:
        raise InputError(f"frame: must be a JPEG or PNG, got {len(data)} bytes that are neither") from None


def encode_jpeg(frame: np.ndarray, quality: int) -> bytes:
    """A frame ``(H, W, 3)`` uint8 RGB as a JPEG of a quality from 1 to 95."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
