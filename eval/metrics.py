"""Measure videos that were made: ``python -m eval.metrics DIR``, with ``--detector`` and ``--embedder`` for AKD, MKR and AED.

DIR is what `eval.reconstruct` or `eval.animate` wrote; or any folder of videos with the names of those in ``--data ROOT``, which
are then taken for their reconstructions. Writes everything to DIR/metrics.json (--json), and prints a table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.hardware import choose_device

from .evaluation import Instruments, Record, evaluate
from .material import Material, collect
from .options import add_device, add_instruments, open_instruments
from .report import Report
from .runs import write_json
from .similarity import Similarity
from .tables import counts
from .videos import UnusableVideoError


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
    report = Report(material.kind, about(material, instruments), pd.DataFrame(records), dict(sorted(excluded.items())))
    _check_found(report, instruments)
    return report


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


def _check_found(report: Report, instruments: Instruments) -> None:
    """Raise InputError where a metric is defined nowhere because nothing was found in any real frame."""
    for metric, instrument in (("mkr", instruments.detector), ("aed", instruments.embedder)):
        if instrument is None or report.frames[metric].notna().any():
            continue
        reasons = ", ".join(f"{why} ({count})" for why, count in counts(report.frames[f"undefined {metric}"]).items())
        raise InputError(
            f"{instrument.name} is of no use here, in {len(report.frames)} frames there is nothing to measure: {reasons}"
        )


if __name__ == "__main__":
    sys.exit(main())
