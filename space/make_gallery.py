"""Makes the gallery of the app from its examples: videos, and rows of pictures, by one model.

python -m space.make_gallery --model MODEL
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from motion_core import InputError, media

from .choices import SHIPPED, Choices
from .limits import Limits
from .models import Models
from .reading import resized
from .runs import Stop
from .service import Service
from .showcase import EXAMPLES, GALLERY, INDEX, Examples, Item, read_examples

# Which pictures move to which movements, by their places among the examples.
ANIMATIONS = ((0, 0), (1, 1), (5, 3), (3, 4), (0, 3), (2, 2))
STEPS = 7  # pictures of a row
_GAP, _HIGHEST = 4, 256  # white pixels between them, pixels of their height


def make_gallery(service: Service, key: str, name: str, folder: Path, examples: Examples) -> int:
    """Make all pieces into a folder with their index; returns how many there are.

    Args:
        service: does the work.
        key: of the model in the service's store.
        name: of the model, for people.
        folder: what is in it under the same names is replaced.
        examples: what the pieces are made from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*_animations(service, key, folder, examples), *_interpolations(service, key, folder, examples)]
    index = {"model": name, "pieces": pieces}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return len(pieces)


def _animations(service: Service, key: str, folder: Path, examples: Examples) -> Iterator[dict[str, str]]:
    for number, (picture, movement) in enumerate(ANIMATIONS, 1):
        if picture >= len(examples.pictures) or movement >= len(examples.movements):
            continue
        first, second = examples.pictures[picture], examples.movements[movement]
        file = f"animation-{number}.mp4"
        for update in service.animate(str(first.path), str(second.path), Choices(), Stop(), key):
            if update.result is not None and update.result.comparison is not None:
                (folder / file).write_bytes(update.result.comparison.read_bytes())
        print(f"{folder / file}: {first.title}; {second.title}", flush=True)
        yield _piece("animation", file, f"{first.title}: {second.title.lower()}", first, second)


def _interpolations(service: Service, key: str, folder: Path, examples: Examples) -> Iterator[dict[str, str]]:
    kinds = [("Same person", pair) for pair in examples.same] + [
        ("Different people", pair) for pair in examples.different
    ]
    for number, (kind, (first, second)) in enumerate(kinds, 1):
        times = [index / (STEPS - 1) for index in range(STEPS)]
        views = service.interpolate(str(first.path), str(second.path), times, key=key)
        ends = [media.load_image(item.path) for item in (first, second)]
        file = f"interpolation-{number}.png"
        media.save_image(folder / file, row([ends[0], *(view.image for view in views), ends[1]]))
        print(f"{folder / file}: {first.title}; {second.title}", flush=True)
        title = f"{kind}: from “{first.title}” to the pose of “{second.title}”. Between the two pictures, what the model makes."
        yield _piece("interpolation", file, title, first, second)


def row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures ``(H, W, 3)`` uint8 side by side, as high as the second one, which is a model's, or less."""
    height = min(pictures[1].shape[0], _HIGHEST)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (resized(picture, height / picture.shape[0]), gap)]
    return np.concatenate(parts[:-1], axis=1)


def _piece(kind: str, file: str, title: str, first: Item, second: Item) -> dict[str, str]:
    return {"kind": kind, "file": file, "title": title, "first": first.path.name, "second": second.path.name}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m space.make_gallery", description="Makes the app's gallery.")
    parser.add_argument("--model", help="folder or Hub id (default: the shipped model)")
    parser.add_argument("--name", help="of the model, as the gallery says it (default: the model's own)")
    parser.add_argument("--out", type=Path, default=GALLERY, help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        limits = Limits()
        models = Models(limits)
        key = SHIPPED
        if options.model is not None:
            key = models.load("folder" if Path(options.model).is_dir() else "hub", options.model).key
        with tempfile.TemporaryDirectory() as work:
            service = Service(Path(work), limits, models)
            name = options.name or service.model(key).pipeline.model_name
            count = make_gallery(service, key, name, options.out, read_examples(EXAMPLES))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {count} pieces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
