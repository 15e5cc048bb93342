"""Score pairs of frames by quartile of displacement: ``python -m eval.pair_scores --model M --data ROOT --out FILE.json``.

The model takes the source frame of each pair to the driving frame's pose, as in reconstruction. ``--model copy`` leaves the
source as it is, which is what a model has to beat.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from tqdm import tqdm

from motion_core import MotionInterpPipeline
from motion_core.errors import InputError
from motion_core.hardware import choose_device, choose_dtype
from motion_core.settings import Strategy
from motion_core.version import __version__

from .embedders import EMBEDDERS, IdentityEmbedder, open_embedder
from .landmarks import DETECTORS, LandmarkDetector, open_detector
from .pairs.exact import ExactFlows
from .pairs.frames import PairFrames, open_clips, read_frames, shown
from .pairs.model import PairModel
from .pairs.moving import Background, left_as_it_is, pair_settings
from .pairs.remembered import RememberedDetector, RememberedEmbedder
from .pairs.report import PairReport, summarise, summarise_interpolation
from .pairs.rows import PairInstruments, Row, measure_between, measure_pair
from .rendered_people.annotations import folder_of
from .rendered_people.pairs import Pair, read_pairs
from .runs import write_json
from .similarity import Similarity

COPY = "copy"


def score_pairs(
    pipeline: MotionInterpPipeline | None,
    root: str | Path,
    split: str,
    pairs: Sequence[Pair],
    detector: LandmarkDetector | None = None,
    embedder: IdentityEmbedder | None = None,
    *,
    batch: int = 8,
    interpolation: bool = False,
    image_size: int | tuple[int, int] | None = None,
    strategy: Strategy | None = None,
    t: float | None = None,
    background: Background = "auto",
    detector_size: int | None = None,
    cache: str | Path | None = None,
) -> PairReport:
    """Measure what a model makes of pairs of frames.

    Args:
        pipeline: the model, on its device; None copies the source.
        root, split: the clips are in root/split, and what is known of them, if anything, in root/annotations/split.
        pairs: from `eval.rendered_people.pairs.read_pairs`.
        detector, embedder: for AKD and MKR, and for AED; without one, these are left out.
        batch: pairs computed together; what comes out of one does not depend on the others.
        interpolation: measure interpolated images too, see `pairs.moving.between`.
        image_size: side, or (height, width), of the networks' images; None is the model's own, and for the copy the pictures'.
        strategy, t, background: as in `eval.reconstruct`.
        detector_size: bring the longer side of all images to this for the detector and the embedder; None is as they are.
        cache: a folder that keeps what these find in real frames, for other runs.

    Raises:
        InputError: something given cannot be used; nothing is measured then.
    """
    # 0. Inputs
    began, root = time.perf_counter(), Path(root)
    _check(pipeline, batch, detector_size, interpolation)
    model, size = None, _size(image_size)
    if pipeline is not None:
        model = PairModel(pipeline, pair_settings(pipeline, size, strategy, t, background))
        size = model.size
    clips = open_clips(root, split, pairs)
    flows = ExactFlows(root, split, clips)
    folder = None if cache is None else Path(cache)
    instruments = PairInstruments(
        Similarity(),
        None if detector is None else RememberedDetector(detector, detector_size, folder),
        None if embedder is None else RememberedEmbedder(embedder, detector_size, folder),
    )

    rows: dict[int, Row] = {}
    read = tqdm(read_frames(clips, pairs, size), desc="pairs", total=len(pairs), disable=not sys.stderr.isatty())
    for numbered in _in_batches(read, batch):
        # 1. The sources in the driving poses
        moved = None if model is None else model.move([frames for _, frames in numbered])

        # 2. The figures of each pair
        for k, (place, frames) in enumerate(numbered):
            made = left_as_it_is(frames) if moved is None else moved.at(k, frames.placement)
            rows[place] = measure_pair(frames, made, flows.of(frames.pair), instruments)

        # 3. What lies between
        if model is not None and moved is not None and interpolation:
            for images in model.between(moved):
                for k, (place, frames) in enumerate(numbered):
                    image, error = shown(images.images[k : k + 1], frames.placement), float(images.keypoint_error[k])
                    figures = measure_between(frames, image, error, instruments)
                    rows[place].setdefault("interpolation", {})[f"{images.t:g}"] = figures

    # 4. All together
    ordered = [rows[place] for place in range(len(pairs))]
    about = {
        **({"model": COPY} if model is None else model.about()),
        "data": str(root.resolve()),
        "split": split,
        "pairs": len(pairs),
        "pairs_digest": hashlib.sha256(repr(list(pairs)).encode()).hexdigest()[:16],
        "image_size": "each picture's own" if size is None else list(size),
        **_measured_by(instruments, flows, detector_size),
        "seconds": round(time.perf_counter() - began, 3),
        "version": __version__,
    }
    return PairReport(ordered, summarise(ordered), summarise_interpolation(ordered), about)


def _check(pipeline: MotionInterpPipeline | None, batch: int, detector_size: int | None, interpolation: bool) -> None:
    if batch < 1:
        raise InputError(f"batch must be 1 or more, got {batch}")
    if detector_size is not None and detector_size < 1:
        raise InputError(f"detector_size must be 1 pixel or more, got {detector_size}")
    if interpolation and pipeline is None:
        raise InputError("interpolation needs a model: a copy of the source has nothing between")


def _size(given: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """As (height, width); where it is the networks', the pipeline checks that it can take it."""
    size = (given, given) if isinstance(given, int) else given
    if size is not None and min(size) < 1:
        raise InputError(f"image_size must be 1 pixel or more, got {given}")
    return size


def _in_batches(pairs: Iterable[tuple[int, PairFrames]], count: int) -> Iterator[list[tuple[int, PairFrames]]]:
    each = iter(pairs)
    while group := list(islice(each, count)):
        yield group


def _measured_by(instruments: PairInstruments, flows: ExactFlows, detector_size: int | None) -> dict[str, Any]:
    """What measured, and what was not measured."""
    said: dict[str, Any] = {}
    for what, given in (("detector", instruments.detector), ("embedder", instruments.embedder)):
        said[what] = f"none: give --{what} for what needs one" if given is None else f"{given.name}, {given.version}"
    said |= {"detector_size": detector_size, "similarity": instruments.similarity.version}
    said["epe"] = "against exact flow" if flows.there else "not measured: the data has no annotations"
    if flows.astray:
        said["displacement"] = f"of the list; {flows.astray} pairs have another one by the annotated joints"
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m eval.pair_scores", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help=f"a saved pipeline: folder or Hub id; {COPY}: the source itself")
    parser.add_argument("--data", required=True, type=Path, help="the folder that holds the split")
    parser.add_argument("--split", default="test", help="folder with the clips (default: %(default)s)")
    parser.add_argument("--pairs", type=Path, help="csv file (default: pairs.csv of the split's annotations)")
    parser.add_argument("--detector", help=f"for AKD and MKR: {', '.join(DETECTORS)}; some with :FILE")
    parser.add_argument("--embedder", help=f"for AED: {', '.join(EMBEDDERS)}; some with :FILE")
    parser.add_argument("--detector-size", type=int, metavar="SIDE", help="what the two get pictures enlarged to")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the two find in real frames")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("--limit", type=int, help="score this many pairs, of all displacements")
    parser.add_argument("--batch", type=int, default=8, help="pairs computed together (default: %(default)s)")
    parser.add_argument("--image-size", type=int, metavar="SIDE", help="of the networks (default: the model's)")
    parser.add_argument("--strategy", help="how the interpolated image is chosen, as in `motion_core animate`")
    parser.add_argument("--t", type=float, help="animate the interpolated image at this time in [0, 1]")
    parser.add_argument("--background", choices=get_args(Background), default="auto", help="as in eval.reconstruct")
    parser.add_argument("--interpolation", action="store_true", help="measure interpolated images too")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--dtype", default="float32", help="of the convolutions: float32 (default), bfloat16, auto")
    options = parser.parse_args(arguments)
    try:
        report = _run(options)
        write_json(options.out, report.as_json())
    except InputError as error:
        print(f"eval.pair_scores: {error}", file=sys.stderr)
        return 2
    print(report.table())
    return 0


def _run(options: argparse.Namespace) -> PairReport:
    pairs = read_pairs(options.pairs or folder_of(options.data, options.split) / "pairs.csv")
    device = choose_device(options.device)
    return score_pairs(
        _load(options.model, device, options.dtype),
        options.data,
        options.split,
        evenly(pairs, options.limit),
        options.detector and open_detector(options.detector, str(device)),
        options.embedder and open_embedder(options.embedder, str(device)),
        batch=options.batch,
        interpolation=options.interpolation,
        image_size=options.image_size,
        strategy=options.strategy,
        t=options.t,
        background=options.background,
        detector_size=options.detector_size,
        cache=options.cache,
    )


def evenly(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` of the pairs, evenly from the smallest displacement to the largest, in the order of the list."""
    if limit is None or limit >= len(pairs):
        return list(pairs)
    if limit < 1:
        raise InputError(f"limit must be 1 pair or more, got {limit}")
    by_size = sorted(range(len(pairs)), key=lambda place: (pairs[place].quartile, pairs[place].displacement))
    return [pairs[place] for place in sorted(by_size[(2 * k + 1) * len(pairs) // (2 * limit)] for k in range(limit))]


def _load(model: str, device: torch.device, dtype: str) -> MotionInterpPipeline | None:
    if model == COPY:
        return None
    from diffusers.utils import logging

    logging.disable_progress_bar()
    pipeline = MotionInterpPipeline.from_pretrained(model, dtype=choose_dtype(device, dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


if __name__ == "__main__":
    sys.exit(main())
