"""Folders of photo pairs NAME_0.jpg, NAME_1.jpg, one person in two poses, and which of them no training may see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HELD_BACK = 10  # one in so many names, from the first on


@dataclass(frozen=True)
class PhotoPair:
    """Two photos of one person in one place.

    Attributes:
        name: what their file names begin with.
        first, second: the files.
        held_back: whether they are for evaluation only. It follows from the name's place among all names of the folder, so
            the folder must be complete.
    """

    name: str
    first: Path
    second: Path
    held_back: bool


def photo_pairs(folder: Path) -> list[PhotoPair]:
    """The pairs of a folder in the order of their names; a first photo without a second one is left out."""
    pairs = []
    for index, first in enumerate(sorted(folder.glob("*_0.jpg"))):
        name = first.name.removesuffix("_0.jpg")
        second = first.with_name(f"{name}_1.jpg")
        if second.is_file():
            pairs.append(PhotoPair(name, first, second, index % HELD_BACK == 0))
    return pairs
