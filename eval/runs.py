"""A folder of results: what made it (``run.json``), one folder a video (``videos/NAME``), what failed (``failed/NAME.json``)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from motion_core.atomic import atomic_path
from motion_core.errors import InputError
from motion_core.version import __version__

RUN, RESULT, FRAMES, VIDEOS, FAILED = "run.json", "result.json", "frames", "videos", "failed"

Kind = Literal["reconstruction", "animation"]


@dataclass(frozen=True)
class Run:
    """The origin that the results of a folder share; a folder only takes results of an equal one.

    Attributes:
        kind: "reconstruction" of videos from their first frame, or "animation" of pictures with videos of others.
        model, variant, weights: name and variant of the model, and a digest of its weights.
        data, split: the folder with the videos is data/split.
        pairs: the csv file, for animations.
        videos: names of the results that there will be.
        limit: frames used of each video; None is all.
        settings: `motion_core.AnimationSettings`, as JSON.
        dtype: of the convolutions.
        version: of motion-core.
    """

    kind: Kind
    model: str
    variant: str
    weights: str
    data: str
    split: str
    pairs: str | None
    videos: list[str]
    limit: int | None
    settings: dict[str, Any]
    dtype: str
    version: str = __version__


@dataclass(frozen=True)
class Result:
    """One finished video.

    Attributes:
        source, driving: names under data/split, with their endings.
        frames: how many.
        network_size, fit: how source and driving frames were brought to the networks' size, see `motion_core.framing.place_in`.
        initial_frame: index of the driving frame whose pose counts as the source's, where the motion is relative.
        seconds: that it took, writing included.
        records: of each frame, what was selected (t and its scores) and what was diagnosed.
    """

    source: str
    driving: str
    frames: int
    network_size: tuple[int, int]
    fit: Literal["pad", "crop", "stretch"]
    initial_frame: int
    seconds: float
    records: list[dict[str, Any]]


Known = TypeVar("Known", Run, Result)


def claim(folder: Path, run: Run) -> None:
    """Begin a run in a new or empty folder, or go on with an equal one.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    run = Run(**json.loads(json.dumps(asdict(run))))  # as it reads from the file: tuples become lists
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    if found and RUN not in found:
        raise InputError(f"{folder}: must be empty, new, or hold results of this program, but holds {found[0]}")
    if not found:
        write_json(folder / RUN, asdict(run))
        return
    before, now = _flat(read_record(folder / RUN, Run)), _flat(run)
    name = next((name for name in {**before, **now} if before.get(name) != now.get(name)), None)
    if name is not None:
        values = f"{name} {before.get(name)!r} instead of {now.get(name)!r}"
        other = "other videos" if name == "videos" else values
        raise InputError(f"{folder}: holds results of another run, with {other}; give a new folder")


def _flat(run: Run) -> dict[str, Any]:
    return asdict(run) | {"settings": None} | {f"settings.{name}": value for name, value in run.settings.items()}


def read_record(path: Path, cls: type[Known]) -> Known:
    """The `Run` or `Result` in a JSON file; raises InputError if it cannot be read."""
    try:
        return cls(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read, or is not what this version writes ({error})") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that appears whole, in a folder that is made where it is missing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
