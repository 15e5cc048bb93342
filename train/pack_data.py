"""Bring training data of several kinds to one small folder: ``python -m train.pack_data --out PACK --size 128 ...``.

The result is a data root (docs/data.md) of short MP4 videos of one size, to be trained on anywhere, and PACK/contents.csv, which
says of every video where it comes from and under which licence.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.photo_pairs import photo_pairs
from motion_core.errors import InputError
from motion_core.framing import place_in, to_network
from motion_core.media import VideoWriter, load_image, open_frames, to_float, to_uint8
from train.data import find_videos

SPLITS = ("train", "test")
COLUMNS = ("video", "split", "origin", "licence")
RATE = 25  # frames a second of what is written; training does not look at it
EVERY = 2  # frame of a clip: neighbours hardly differ


@dataclass(frozen=True)
class Item:
    """A video to be written.

    Attributes:
        name: of the file, without ending; what stands before # is the identity.
        split: "train" or "test".
        files: the video, or its frames as single pictures.
        frames: which frames of the video.
        origin, licence: for the list of contents.
    """

    name: str
    split: str
    files: tuple[Path, ...]
    frames: range
    origin: str
    licence: str


def from_root(root: Path) -> Iterator[Item]:
    """The videos of a data root, whole; the root's name goes before theirs, because identities of roots may share names."""
    for split in SPLITS:
        if (root / split).is_dir():
            for video in find_videos(root, split):
                stem = video.path.stem if video.path.is_file() else video.name
                frames = range(open_frames(video.path).count)
                yield Item(f"{root.name}-{stem}", split, (video.path,), frames, root.name, "rendered by this project")


def from_clips(manifest: Path, licences: Sequence[str], held_back: Sequence[str], length: int) -> Iterator[Item]:
    """Pieces of the clips that a csv file lists (`path` beside it, `subject`, `licence`, `weights_may_ship`).

    Args:
        manifest: the csv file; rows whose `weights_may_ship` is not "yes" are left out.
        licences: only these; all if there are none.
        held_back: subjects for testing.
        length: frames of a piece.
    """
    for row in _rows(manifest, ("path", "subject", "licence", "weights_may_ship", "source")):
        if row["weights_may_ship"] != "yes" or (licences and row["licence"] not in licences):
            continue
        path = manifest.parent / row["path"]
        count = open_frames(path).count
        split = "test" if row["subject"] in held_back else "train"
        for piece, start in enumerate(range(0, count - EVERY, length * EVERY)):
            frames = range(start, min(start + length * EVERY, count), EVERY)
            yield Item(f"{row['subject']}#{path.stem}-{piece}", split, (path,), frames, row["source"], row["licence"])


def from_photos(folder: Path, origin: str, licence: str) -> Iterator[Item]:
    """Pairs of photos NAME_0.jpg and NAME_1.jpg as videos of two frames; those that are held back are for testing."""
    for pair in photo_pairs(folder):
        split = "test" if pair.held_back else "train"
        yield Item(f"photo-{pair.name}", split, (pair.first, pair.second), range(2), origin, licence)


def write(item: Item, out: Path, size: int, quality: int) -> dict[str, str]:
    """Write one video into its split; returns its row of the list of contents."""
    name = f"{item.name}.mp4"
    with VideoWriter(out / item.split / name, RATE, quality=quality) as writer:
        for frame in _frames(item):
            placed = to_network(to_float(frame[None]), place_in(frame.shape[:2], (size, size), "crop"))  # (1, 3, S, S)
            writer.write(to_uint8(placed)[0])
    return {"video": name, "split": item.split, "origin": item.origin, "licence": item.licence}


def _frames(item: Item) -> Iterator[np.ndarray]:
    if len(item.files) > 1:
        yield from (load_image(path) for path in item.files)
    else:
        yield from (frame for _, frame in open_frames(item.files[0]).frames_at(item.frames))


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--clips: {path} cannot be read as a csv file: {error}") from error
    if not rows or any(row.get(name) is None for row in rows for name in columns):
        raise InputError(f"--clips: {path} must have rows with the columns {', '.join(columns)}")
    return rows


def pack(items: Sequence[Item], out: Path, size: int, quality: int) -> None:
    """Write all videos and the list of contents.

    Raises:
        InputError: there is nothing to write, two videos have one name, or `out` is not empty.
    """
    names = [(item.split, item.name) for item in items]
    if not items or len(set(names)) < len(names):
        raise InputError("what is packed must be one video or more, all of different names")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"--out: {out} must be an empty folder or a new one")
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
    rows = [write(item, out, size, quality) for item in items]
    with (out / "contents.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    parser = argparse.ArgumentParser(description="Brings training data to one small folder of short videos.")
    parser.add_argument("roots", nargs="*", type=Path, metavar="ROOT", help="data roots, such as rendered ones")
    parser.add_argument("--out", type=Path, required=True, metavar="PACK")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures (default: 128)")
    parser.add_argument("--quality", type=int, default=23, help="constant rate factor of H.264 (default: 23)")
    parser.add_argument("--clips", type=Path, metavar="FILE.csv", help="list of clips with their licences")
    parser.add_argument("--licence", action="append", default=[], help="only clips under this one; may be repeated")
    parser.add_argument(
        "--held-back", action="append", default=[], metavar="SUBJECT", help="for testing; may be repeated"
    )
    parser.add_argument("--length", type=int, default=48, help="frames of a piece of a clip (default: 48)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="of pairs NAME_0.jpg, NAME_1.jpg")
    parser.add_argument("--photos-origin", default="", help="where the photos are from, for the list of contents")
    parser.add_argument("--photos-licence", default="", help="their licence, likewise")
    options = parser.parse_args(arguments)
    try:
        items = [item for root in options.roots for item in from_root(root)]
        if options.clips is not None:
            items += from_clips(options.clips, options.licence, options.held_back, options.length)
        if options.photos is not None:
            items += from_photos(options.photos, options.photos_origin, options.photos_licence)
        pack(items, options.out, options.size, options.quality)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{len(items)} videos, {size / 2**20:.1f} MiB: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
