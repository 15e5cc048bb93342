"""Single frames of a video by their number, without decoding all of it, and without resampling to a constant rate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from .animations import is_picture
from .decoding import ContainerReader
from .files import FileStamp, existing_file
from .pictures import BAD_DATA, MAX_PIXELS, flatten, load_image, open_picture, picture_size
from .reading import _frames_in, _natural

__all__ = ["FrameAccess", "natural_key", "open_frames"]

_NEAR = 32  # frames; to go on decoding this far is as quick as to open the file and seek again
_WHITE = (255, 255, 255)

natural_key = _natural


class FrameAccess(Protocol):
    """A video whose frames can be asked for in any order."""

    path: Path
    kind: str  # "video", "animation", "frames side by side", "picture" or "folder of frames"
    size: tuple[int, int]  # (h, w) of a frame, upright
    count: int  # frames
    independent: bool  # whether a frame costs the same whether or not its neighbours are wanted

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, (H, W, 3) uint8 RGB) in ascending order, each number once.

        Raises:
            InputError: the file is damaged there, or has changed.
        """


def open_frames(path: str | os.PathLike[str]) -> FrameAccess:
    """Open a video file, an animated GIF, a folder of frames in natural order, or a picture.

    A picture whose width is a whole number of times its height holds square frames side by side, the first one left.
    Little is decoded here: damage in the middle of a file shows when its frames are asked for.

    Raises:
        InputError: it cannot be used; the message names the file and says why.
    """
    file = Path(path)
    if file.is_dir():
        return _Folder(file)
    existing_file(file, "a video")
    if not is_picture(file):
        return _Container(file)
    return _Animation(file) if file.suffix.lower() == ".gif" else _Strip(file)


class _Container:
    kind = "video"
    independent = False

    def __init__(self, path: Path) -> None:
        self.path, self._reader = path, ContainerReader(path, _WHITE, MAX_PIXELS)
        self.size, self.count = self._reader.size, self._reader.track.count

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        for run in _runs(sorted(set(wanted))):
            remaining = set(run)
            for number, found in self._reader.frames_from(run[0]):
                if isinstance(found, InputError):
                    raise found
                if number in remaining:
                    remaining.remove(number)
                    yield number, found
                if not remaining:
                    break
            if remaining:
                raise InputError(f"{self.path}: is damaged at frame {min(remaining)}")


def _runs(numbers: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number - runs[-1][-1] <= _NEAR:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


class _Folder:
    kind = "folder of frames"
    independent = True

    def __init__(self, path: Path) -> None:
        self.path, self._files = path, [file.name for file in _frames_in(path)]
        self.size, self.count = picture_size(path / self._files[0]), len(self._files)

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        for number in sorted(set(wanted)):
            pixels = load_image(self.path / self._files[number])
            if pixels.shape[:2] != self.size:
                file, found = self.path / self._files[number], pixels.shape[:2]
                raise InputError(f"{file}: must have the (h, w) of the first frame, {self.size}, got {found}")
            yield number, pixels


class _Animation:
    kind = "animation"
    independent = False

    def __init__(self, path: Path) -> None:
        self.path, self._stamp = path, FileStamp.of(path)
        with open_picture(path) as image:
            self.size = (image.height, image.width)
            try:
                self.count = int(getattr(image, "n_frames", 1))
            except BAD_DATA as error:
                raise InputError(f"{path}: is damaged or cut off: {error}") from error

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        self._stamp.check()
        with open_picture(self.path) as image:
            for number in sorted(set(wanted)):
                try:
                    image.seek(number)
                except BAD_DATA as error:
                    raise InputError(f"{self.path}: is damaged or cut off at frame {number}: {error}") from error
                yield number, flatten(image, _WHITE, MAX_PIXELS, f"{self.path}: frame {number}")


class _Strip:
    independent = False

    def __init__(self, path: Path) -> None:
        self.path = path
        height, width = picture_size(path)
        self.count = width // height if width % height == 0 else 1
        self.kind = "frames side by side" if self.count > 1 else "picture"
        self.size = (height, width // self.count)

    def frames_at(self, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        pixels = load_image(self.path)
        if pixels.shape[:2] != (self.size[0], self.size[1] * self.count):
            raise InputError(f"{self.path}: must not change while it is used, but it has another size now")
        for number in sorted(set(wanted)):
            yield number, pixels[:, number * self.size[1] : (number + 1) * self.size[1]]
