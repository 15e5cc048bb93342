"""The examples and the gallery as they lie in the repository: files, and an index of them in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
GALLERY = HERE / "gallery"
INDEX = "index.json"
THUMBNAILS = "thumbnails"


@dataclass(frozen=True)
class Item:
    """A file, and what it shows in words."""

    path: Path
    title: str

    @property
    def address(self) -> str:
        """Where the page finds it."""
        return f"gradio_api/file={quote(str(self.path))}"

    @property
    def thumbnail(self) -> str:
        """Where the page finds a small picture of it."""
        return Item(self.path.parent / THUMBNAILS / f"{self.path.stem}.png", "").address


@dataclass(frozen=True)
class Examples:
    """What people can try without files of their own; pairs are (from, to)."""

    pictures: tuple[Item, ...] = ()
    movements: tuple[Item, ...] = ()
    same: tuple[tuple[Item, Item], ...] = ()
    different: tuple[tuple[Item, Item], ...] = ()


@dataclass(frozen=True)
class Piece:
    """One thing in the gallery.

    Attributes:
        kind: "animation", a video, or "interpolation", a row of pictures.
        shown: the file, and what it shows.
        first, second: the example that it was made from: picture and driving video, or two pictures.
    """

    kind: Literal["animation", "interpolation"]
    shown: Item
    first: Path
    second: Path


@dataclass(frozen=True)
class Gallery:
    """What was made with one model."""

    model: str = ""
    pieces: tuple[Piece, ...] = ()


def read_examples(folder: Path = EXAMPLES) -> Examples:
    """The examples in a folder; none if there is no index in it."""
    index = _index(folder)

    def item(entry: dict[str, str]) -> Item:
        return Item(folder / entry["file"], entry["title"])

    def pairs(name: str) -> tuple[tuple[Item, Item], ...]:
        return tuple((item(first), item(second)) for first, second in index.get(name, ()))

    return Examples(
        tuple(map(item, index.get("pictures", ()))),
        tuple(map(item, index.get("movements", ()))),
        pairs("same"),
        pairs("different"),
    )


def read_gallery(folder: Path = GALLERY, examples: Path = EXAMPLES) -> Gallery:
    """The gallery in a folder; an empty one if there is no index in it."""
    index = _index(folder)
    return Gallery(
        index.get("model", ""),
        tuple(
            Piece(
                entry["kind"],
                Item(folder / entry["file"], entry["title"]),
                examples / entry["first"],
                examples / entry["second"],
            )
            for entry in index.get("pieces", ())
        ),
    )


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
