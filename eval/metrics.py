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

from tqdm import tqdm

from motion_core.errors import InputError
from motion_core.hardware import choose_device

from .embedders import EMBEDDERS, open_embedder
from .landmarks import DETECTORS, open_detector
from .material import Material, UnusableVideoError, collect
from .measuring import Instruments, VideoFigures, measure_animation, measure_reconstruction
from .report import Report, totals
from .runs import write_json
from .similarity import Similarity


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.metrics", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the videos to measure")
    parser.add_argument("--data", type=Path, help="the folder with the split; by default the one they were made from")
    parser.add_argument("--split", help="folder with the real videos; by default the same, or test")
    parser.add_argument("--detector", help=f"for AKD, MKR and jitter: {', '.join(DETECTORS)}; some with :FILE")
    parser.add_argument("--embedder", help=f"for AED: {', '.join(EMBEDDERS)}; some with :FILE")
    parser.add_argument("--partial", action="store_true", help="measure what is there, though videos are missing")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--json", type=Path, help="where to (default: metrics.json in the folder)")
    options = parser.parse_args(arguments)
    try:
        device = str(choose_device(options.device))
        # 1. What is measured, and by what
        material = collect(options.folder, options.data, options.split, options.partial)
        instruments = Instruments(
            Similarity(device) if material.kind == "reconstruction" else None,
            options.detector and open_detector(options.detector, device),
            options.embedder and open_embedder(options.embedder, device),
        )

        # 2. Video by video, and all together
        report = measure(material, instruments)
        write_json(options.json or options.folder / "metrics.json", report.as_json())
    except InputError as error:
        print(f"eval.metrics: {error}", file=sys.stderr)
        return 2
    print(report.table())
    return 0


def measure(material: Material, instruments: Instruments) -> Report:
    """Measure all videos; those that cannot be used are excluded, and the report says so.

    Raises:
        InputError: none can be used, or a detector or an embedder failed, or found nothing in any of the real frames.
    """
    videos: dict[str, VideoFigures] = {}
    excluded = dict(material.excluded)
    for item in tqdm(material.items, desc="videos", disable=not sys.stderr.isatty()):
        try:
            with item.opened() as (made, real, reference):
                if reference is None:
                    videos[item.name] = measure_reconstruction(made, real, instruments)
                else:
                    videos[item.name] = measure_animation(made, real, reference, instruments)
        except UnusableVideoError as error:
            excluded[item.name] = str(error)
    if not videos:
        name, reason = next(iter(excluded.items()))
        raise InputError(f"none of the {len(excluded)} videos can be measured; {name}: {reason}")
    report = Report(material.kind, about(material, instruments), totals(videos), videos, dict(sorted(excluded.items())))
    _check_found(report, instruments)
    return report


def about(material: Material, instruments: Instruments) -> dict[str, Any]:
    """What made the videos and what measured them; what was not measured, and what would be needed."""
    run = {} if material.run is None else {"run": asdict(material.run)}
    model = "not known" if material.run is None else f"{material.run.model} ({material.run.variant})"
    said: dict[str, Any] = {"data": str(material.data), "model": model}
    for what, given in (("detector", instruments.detector), ("embedder", instruments.embedder)):
        said[what] = (
            f"none: not measured what needs one, give --{what}" if given is None else f"{given.name}, {given.version}"
        )
    if instruments.similarity is not None:
        said["similarity"] = instruments.similarity.version
        if instruments.similarity.lpips_missing is not None:
            said["lpips"] = f"not measured: {instruments.similarity.lpips_missing}"
    return said | run


def _check_found(report: Report, instruments: Instruments) -> None:
    """Raise InputError where a metric is defined nowhere because nothing was found in what is real."""
    frames = sum(figures.frames for figures in report.videos.values())
    for metric, by in (("mkr", instruments.detector), ("aed", instruments.embedder)):
        total = report.totals.get(metric)
        if by is None or total is None or total.frames:
            continue
        reasons = ", ".join(f"{reason} ({count})" for reason, count in total.undefined.items())
        raise InputError(f"{by.name} is of no use here, in {frames} frames there is nothing to measure: {reasons}")


if __name__ == "__main__":
    sys.exit(main())
