"""Measure videos that were made: ``python -m eval.metrics DIR``, with ``--detector`` and ``--embedder`` for AKD, MKR and AED.

DIR is what `eval.reconstruct` or `eval.animate` wrote; or any folder of videos with the names of those in ``--data ROOT``, which
are then taken for their reconstructions. Writes everything to DIR/metrics.json (--json), and prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.framing import from_network, place_in, to_network
from motion_core.hardware import choose_device
from motion_core.media import open_frames, to_float, to_uint8

from .evaluation import Instruments, Record, Reference, evaluate
from .instruments.similarity import Similarity
from .options import add_device, add_instruments, open_instruments
from .report import Report
from .runs import FAILED, FRAMES, RESULT, RUN, VIDEOS, Kind, Result, Run, read_record, write_json
from .tables import counts
from .videos import FrameSequence, UnusableVideoError, find_videos, unusable_where_unreadable


@dataclass(frozen=True)
class Item:
    """A video that was made.

    Attributes:
        name: of it.
        made: its file or folder of frames.
        real: the video that it reconstructs, or whose motion it has.
        source: the picture that was animated; None for a reconstruction.
        result: how it was made; None where that is not known.
        limit: frames of the real video that are used; None is all.
    """

    name: str
    made: Path
    real: Path
    source: Path | None = None
    result: Result | None = None
    limit: int | None = None

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The made frames and the real ones as they were given to the networks, ``(H, W, 3)`` uint8.

        Raises:
            UnusableVideoError: one cannot be read, or they have not the same length and, of a reconstruction, size.
        """
        with unusable_where_unreadable():
            made, real = open_frames(self.made), open_frames(self.real)
            count = real.count if self.limit is None else min(real.count, self.limit)
            if made.count != count:
                raise UnusableVideoError(f"has {made.count} frames, the real video {count}")
            size = self._fitted(np.zeros((*real.size, 3), np.uint8)).shape[:2]
            if self.source is None and made.size != size:
                raise UnusableVideoError(f"has frames of {made.size} (h, w), the real video of {size}")
            for own, other in zip(FrameSequence(made), FrameSequence(real, count), strict=True):
                yield own, self._fitted(other)

    def reference(self) -> Reference | None:
        """The pictures that an animation is measured against, as they were given to the networks; None for a reconstruction.

        Raises:
            UnusableVideoError: one cannot be read.
        """
        if self.source is None or self.result is None:
            return None
        with unusable_where_unreadable():
            wanted = (self.source, 0), (self.real, self.result.initial_frame)
            return Reference(*(self._fitted(next(open_frames(path).frames_at([index]))[1]) for path, index in wanted))

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        """A real frame at the size of the results, as it was brought to the networks' size, without padding."""
        if self.result is None:
            return frame
        height, width = self.result.network_size
        placement = place_in((frame.shape[0], frame.shape[1]), (height, width), self.result.fit)
        return to_uint8(from_network(to_network(to_float(frame[None]), placement), placement))[0]


@dataclass(frozen=True)
class Material:
    """All videos of a folder.

    Attributes:
        kind: "reconstruction" or "animation".
        data: folder of the real ones.
        items: that can be measured.
        excluded: that cannot, and why, by name.
        run: what made them; None where that is not known.
    """

    kind: Kind
    data: Path
    items: list[Item]
    excluded: dict[str, str]
    run: Run | None = None


def collect(folder: Path, data: Path | None = None, split: str | None = None, partial: bool = False) -> Material:
    """Find the videos in a folder, and the real ones that they belong to.

    Args:
        folder: of `eval.reconstruct` or `eval.animate`, or any folder with videos.
        data, split: where the real videos are, in data/split; None is where they were for the former.
        partial: exclude videos that are missing, and say so in the report, instead of raising an error.

    Raises:
        InputError: there is nothing to measure, or the folders do not match: videos are missing or belong to none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder with videos to measure, but there is no such folder")
    if (folder / RUN).exists():
        run = read_record(folder / RUN, Run)
        return _of_run(folder, run, (data or Path(run.data)) / (split or run.split), partial)
    if data is None:
        raise InputError(f"{folder}: has no {RUN}; say with --data which videos these are to be compared with")
    real, made = find_videos(data / (split or "test")), find_videos(folder)
    strange = next((name for name in made if name not in real), None)
    if strange is not None:
        raise InputError(f"{folder}: must have videos named as those in {data}, but there is none named {strange!r}")
    excluded = _missing(folder, {name: "is missing" for name in real if name not in made}, len(real), partial)
    items = [Item(name, video.path, real[name].path) for name, video in made.items()]
    return Material("reconstruction", data, items, excluded)


def _of_run(folder: Path, run: Run, data: Path, partial: bool) -> Material:
    real = {video.name: video for video in find_videos(data).values()}
    done = {path.name: path for path in _visible(folder / VIDEOS)}
    failed = {path.stem: _complaint(path) for path in _visible(folder / FAILED)}
    if not done:
        program = "reconstruct" if run.kind == "reconstruction" else "animate"
        raise InputError(f"{folder}: has no finished video; go on with `python -m eval.{program}`")
    items = []
    for name, path in done.items():
        result = read_record(path / RESULT, Result)
        for wanted in (result.source, result.driving):
            if wanted not in real:
                raise InputError(f"{folder}: {name} was made from {wanted}, which is not in {data}")
        source = real[result.source].path if run.kind == "animation" else None
        items.append(Item(name, path / FRAMES, real[result.driving].path, source, result, run.limit))
    absent = {name: "is not made yet" for name in run.videos if name not in done and name not in failed}
    excluded = _missing(folder, absent, len(run.videos), partial) | {
        name: f"could not be made: {reason}" for name, reason in failed.items() if name not in done
    }
    return Material(run.kind, data, items, excluded, run)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _complaint(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["error"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: cannot be read, or is not what this version writes ({error})") from error


def _missing(folder: Path, absent: dict[str, str], total: int, partial: bool) -> dict[str, str]:
    if absent and not partial:
        names = ", ".join(list(absent)[:3])
        raise InputError(
            f"{folder}: {len(absent)} of {total} videos are missing ({names}); make them, or give --partial"
        )
    return absent


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.metrics", __doc__)
    parser.add_argument("folder", type=Path, help="the videos to measure")
    parser.add_argument("--data", type=Path, help="the folder with the split; by default the one they were made from")
    parser.add_argument("--split", help="folder with the real videos; by default the same, or test")
    add_instruments(parser)
    parser.add_argument("--partial", action="store_true", help="measure what is there, though videos are missing")
    add_device(parser, dtype=False)
    parser.add_argument("--json", type=Path, help="file to write; by default metrics.json in the folder")
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    device = str(choose_device(options.device))
    # 1. The videos and the instruments
    material = collect(options.folder, options.data, options.split, options.partial)
    similarity = Similarity(device) if material.kind == "reconstruction" else None
    instruments = Instruments(similarity, *open_instruments(options.detector, options.embedder, device))

    # 2. Video by video, and all together
    report = measure(material, instruments)
    write_json(options.json or options.folder / "metrics.json", report.as_json())
    print(report.table())


def measure(material: Material, instruments: Instruments) -> Report:
    """Measure all videos; those that cannot be used are excluded, and the report names them.

    Raises:
        InputError: none can be used, or a detector or an embedder failed, or found nothing in any of the real frames.
    """
    records: list[Record] = []
    excluded = dict(material.excluded)
    for item in tqdm(material.items, desc="videos", disable=not sys.stderr.isatty()):
        try:
            measured = evaluate(item.frames(), instruments, item.reference())
        except UnusableVideoError as error:
            excluded[item.name] = str(error)
        else:
            records += [{"video": item.name} | record for record in measured]
    if not records:
        name, reason = next(iter(excluded.items()))
        raise InputError(f"none of the {len(excluded)} videos can be measured; {name}: {reason}")
    frames = pd.DataFrame(records)
    for metric, instrument in (("mkr", instruments.detector), ("aed", instruments.embedder)):
        if instrument is not None and frames[metric].isna().all():
            why = ", ".join(f"{reason} ({count})" for reason, count in counts(frames[f"undefined {metric}"]).items())
            raise InputError(
                f"{instrument.name} is of no use here, in {len(frames)} frames there is nothing to measure: {why}"
            )
    return Report(material.kind, about(material, instruments), frames, dict(sorted(excluded.items())))


def about(material: Material, instruments: Instruments) -> dict[str, Any]:
    """The model and the instruments; what was not measured, and what would be needed."""
    run = material.run
    described: dict[str, Any] = {"data": str(material.data)}
    described["model"] = "not known" if run is None else f"{run.model} ({run.variant})"
    for kind, instrument in (("detector", instruments.detector), ("embedder", instruments.embedder)):
        missing = f"none: not measured what needs one, give --{kind}"
        described[kind] = missing if instrument is None else f"{instrument.name}, {instrument.version}"
    if instruments.similarity is not None:
        described["similarity"] = instruments.similarity.version
        if instruments.similarity.lpips_missing is not None:
            described["lpips"] = f"not measured: {instruments.similarity.lpips_missing}"
    return described if run is None else described | {"run": asdict(run)}


if __name__ == "__main__":
    sys.exit(main())
