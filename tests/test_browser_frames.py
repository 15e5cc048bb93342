"""Frames in memory, as a browser sends them."""

import io

import numpy as np
import pytest
from PIL import Image

from motion_core import InputError, demo
from motion_core.media.pictures import decode_frame, encode_jpeg


def written(size, kind):
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, kind)
    return stream.getvalue()


def test_a_frame_comes_back_as_it_was():
    frame = demo.source_picture(96)
    assert np.abs(decode_frame(encode_jpeg(frame, 95)).astype(int) - frame).mean() < 3
    assert decode_frame(written((8, 9), "PNG")).shape == (9, 8, 3)


def test_only_pictures_of_a_browser_in_a_frames_size_are_taken():
    for data in (
        b"",
        b"text",
        encode_jpeg(demo.source_picture(96), 90)[:400],
        written((8, 8), "GIF"),
        written((8, 8), "EPS"),
    ):
        with pytest.raises(InputError, match="frame: must be a JPEG or PNG"):
            decode_frame(data)
    with pytest.raises(InputError, match="frame: must have at most 8000000 pixels, got 4000 x 3000"):
        decode_frame(written((4000, 3000), "JPEG"))
