"""Files that visitors of the app might send."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from media_files import write_sound
from PIL import Image

from space import compute
from space.showcase import EXAMPLES, read_examples

_examples = read_examples()
PICTURE = str(_examples.pictures[0].path)
# 112 x 112, whose videos are encoded in no time.
LITTLE_PICTURE, OTHER_LITTLE_PICTURE = (
    str(EXAMPLES / "thumbnails" / _examples.pictures[index].path.name) for index in (0, 2)
)
DRIVING = str(EXAMPLES / "dancing.mp4")  # 2 s with sound
SILENT = str(EXAMPLES / "large-poses.mp4")


def slow_frames(monkeypatch: Any) -> list[Any]:
    """Let a fifth of a second pass after each frame, as with a large model; returns the list of what is made."""
    made, frames = [], compute.frames

    def slow(*given: Any) -> Iterator[Any]:
        with closing(frames(*given)) as items:  # type: ignore[type-var]
            for item in items:
                made.append(item)
                yield item
                time.sleep(0.2)

    monkeypatch.setattr(compute, "frames", slow)
    return made


def bad_pictures(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no source picture, each with a part of the sentence that refuses it."""
    text = folder / "text.png"
    text.write_text("not a picture\n" * 20)
    huge = folder / "huge.png"
    Image.new("1", (8, 8)).save(huge)
    data = bytearray(huge.read_bytes())
    struct.pack_into(">II", data, 16, 10_000, 10_000)  # so says its header
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    huge.write_bytes(data)
    animated = folder / "moving.gif"
    frames = [Image.fromarray(np.full((32, 32, 3), shade, np.uint8)) for shade in (0, 120, 250)]
    frames[0].save(animated, save_all=True, append_images=frames[1:], duration=100)
    heic = folder / "phone.heic"
    heic.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200))
    cut = folder / "cut.png"
    cut.write_bytes(Path(PICTURE).read_bytes()[:2000])
    empty = folder / "empty.png"
    empty.write_bytes(b"")
    return {
        "text as a picture": (text, "must be a picture"),
        "100 megapixels": (huge, "may have at most 40 megapixels"),
        "an animated GIF": (animated, "is an animation of 3 frames"),
        "HEIC": (heic, "HEIC pictures cannot be read here"),
        "a picture that is cut off": (cut, "cut off"),
        "an empty file": (empty, "empty.png"),
    }


def bad_videos(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no driving video, each with a part of the sentence that refuses it."""
    text = folder / "text.mp4"
    text.write_text("#EXTM3U\nfile:///etc/passwd\n")
    sound = write_sound(folder / "sound.mp4")
    cut = folder / "cut.mp4"
    cut.write_bytes(Path(DRIVING).read_bytes()[:9000])
    return {
        "text as mp4": (text, "must be a video"),
        "no frames": (sound, "no video track"),
        "a video that is cut off": (cut, "cut.mp4"),
        "a picture": (Path(PICTURE), "at least 2 frames"),
    }
