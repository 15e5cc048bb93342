"""Score pairs of frames by quartile of displacement: ``python -m eval.pair_scores --model M --data ROOT --out FILE.json``.

The model takes the source frame of each pair to the driving frame's pose, as in reconstruction. ``--model copy`` leaves the
source as it is, which is what a model has to beat.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from motion_core import MotionInterpPipeline
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.hardware import choose_device
from motion_core.settings import Strategy
from motion_core.version import __version__

from .evaluation import Instruments, Record
from .instruments import IdentityEmbedder, LandmarkDetector
from .instruments.cached import CachedDetector, CachedEmbedder
from .instruments.similarity import Similarity
from .options import add_animation, add_data, add_device, add_instruments, load_pipeline, open_instruments
from .pairs.exact_flow import ExactFlows
from .pairs.frames import middles, open_clips, read_frames, shown
from .pairs.model import Background, PairModel, copied, pair_settings
from .pairs.records import between_record, pair_record, result_record, tables
from .pairs.report import PairReport
from .rendered_people.annotations import folder_of
from .rendered_people.pairs import Pair, read_pairs
from .runs import write_json

COPY = "copy"
SECOND = ("akd_percent", "mkr", "missing", "to_find")  # figures of a second detector


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
    second_detector: LandmarkDetector | None = None,
    photos: int = 0,
) -> PairReport:
    """Measure what a model makes of pairs of frames.

    Args:
        pipeline: the model, on its device; None copies the source.
        root, split: the clips are in root/split, and what is known of them, if anything, in root/annotations/split.
        pairs: from `eval.rendered_people.pairs.read_pairs`.
        detector, embedder: for AKD and MKR, and for AED; without one, these are left out.
        batch: pairs computed together; what comes out of one does not depend on the others.
        interpolation: measure interpolated images too, see `PairModel.between`.
        image_size: side, or (height, width), of the networks' images; None is the model's own, and for the copy the pictures'.
        strategy, t, background: as in `eval.reconstruct`.
        detector_size: bring the longer side of all images to this for the detector and the embedder; None is as they are.
        cache: a folder that keeps what these find in real frames, for other runs.
        second_detector: whose figures stand beside the first one's in the rows, with "_second" after their names.
        photos: how many frames of the clip a model with a fusion gets as further photos of the subject, see
            `eval.pairs.frames.photo_frames`.

    Raises:
        InputError: something given cannot be used; nothing is measured then.
    """
    # 0. Inputs
    began, root = time.perf_counter(), Path(root)
    if batch < 1:
        raise InputError(f"batch must be 1 or more, got {batch}")
    if interpolation and pipeline is None:
        raise InputError("interpolation needs a model: a copy of the source has nothing between")
    if photos < 0 or (photos > 0 and (pipeline is None or pipeline.view_fusion is None)):
        raise InputError(f"photos must be 0, or more with a model that fuses views (v2), got {photos}")
    model, size = None, (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and min(size) < 1:
        raise InputError(f"image_size must be 1 pixel or more, got {image_size}")
    if pipeline is not None:
        model = PairModel(pipeline, pair_settings(pipeline, size, strategy, t, background))
        size = model.size
    folder = None if cache is None else Path(cache)
    cached_detector = None if detector is None else CachedDetector(detector, detector_size, folder)
    cached_embedder = None if embedder is None else CachedEmbedder(embedder, detector_size, folder)
    instruments = Instruments(Similarity(), cached_detector, cached_embedder)
    clips = open_clips(root, split, pairs)
    flows = ExactFlows(root, split, clips)

    second = None if second_detector is None else CachedDetector(second_detector, detector_size, folder)
    rows: list[Record] = []
    between: list[Record] = []
    read = read_frames(clips, pairs, size, photos)
    shown_read = iter(tqdm(read, desc="pairs", total=len(pairs), disable=not sys.stderr.isatty()))
    while numbered := list(islice(shown_read, batch)):
        # 1. The sources in the driving poses
        batched = [frames for _, frames in numbered]
        moved = None if model is None else model.move(batched)
        results = list(map(copied, batched)) if model is None or moved is None else model.results(batched, moved)

        # 2. The figures of each pair
        for (place, frames), result in zip(numbered, results, strict=True):
            for image in (frames.source, frames.driving):
                if cached_detector is not None:
                    cached_detector.landmarks(image, keep=True)
                if cached_embedder is not None:
                    cached_embedder.embed(image, keep=True)
            record = {"pair": place} | pair_record(frames, result, flows.of(frames.pair), instruments)
            if second is not None:
                second.landmarks(frames.driving, keep=True)
                other = result_record("", frames, result, None, Instruments(detector=second))
                record |= {f"{name}_second": other[name] for name in SECOND}
            rows.append(record)

        # 3. The interpolated images
        if model is not None and moved is not None and interpolation:
            for time_between, images, errors in model.between(moved):
                for k, (place, frames) in enumerate(numbered):
                    image = shown(images[k : k + 1], frames.placement)
                    record = between_record(frames, time_between, image, float(errors[k]), instruments)
                    between.append({"pair": place} | record)

    # 4. All together
    about = {
        **({"model": COPY} if model is None else model.about()),
        "data": str(root.resolve()),
        "split": split,
        "pairs": len(pairs),
        "pairs_digest": hashlib.sha256(repr(list(pairs)).encode()).hexdigest()[:16],
        "photos": photos,
        "image_size": "each picture's own" if size is None else list(size),
        **_measured_by(instruments, flows, detector_size),
        "seconds": round(time.perf_counter() - began, 3),
        "version": __version__,
    }
    if second is not None:
        about["second_detector"] = f"{second.name}, {second.version}"
    return PairReport(*tables(rows, between), about)


def _measured_by(instruments: Instruments, flows: ExactFlows, detector_size: int | None) -> dict[str, Any]:
    """The instruments, and what was not measured."""
    about: dict[str, Any] = {}
    for kind, instrument in (("detector", instruments.detector), ("embedder", instruments.embedder)):
        missing = f"none: give --{kind} for what needs one"
        about[kind] = missing if instrument is None else f"{instrument.name}, {instrument.version}"
    if instruments.similarity is not None:
        about |= {"detector_size": detector_size, "similarity": instruments.similarity.version}
    about["epe"] = "against exact flow" if flows.annotated else "not measured: the data has no annotations"
    if flows.contradictions:
        about["displacement"] = f"of the list; {flows.contradictions} pairs have another one by the annotated joints"
    return about


def evenly(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` of the pairs, evenly from the smallest displacement to the largest, in the order of the list."""
    if limit is None or limit >= len(pairs):
        return list(pairs)
    if limit < 1:
        raise InputError(f"limit must be 1 pair or more, got {limit}")
    by_size = sorted(range(len(pairs)), key=lambda place: (pairs[place].quartile, pairs[place].displacement))
    return [pairs[place] for place in sorted(middles(by_size, limit))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.pair_scores", __doc__)
    parser.add_argument("--model", required=True, help=f"a saved pipeline: folder or Hub id; {COPY}: the source itself")
    add_data(parser)
    parser.add_argument("--pairs", type=Path, help="csv file; by default pairs.csv of the split's annotations")
    add_instruments(parser)
    parser.add_argument("--detector-size", type=int, metavar="SIDE", help="what the two get pictures enlarged to")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the two find in real frames")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("--limit", type=int, help="score this many pairs, of all displacements")
    parser.add_argument("--batch", type=int, default=8, help="pairs computed together")
    parser.add_argument("--image-size", type=int, metavar="SIDE", help="of the networks; by default the model's")
    add_animation(parser)
    parser.add_argument("--interpolation", action="store_true", help="measure interpolated images too")
    parser.add_argument(
        "--photos", type=int, default=0, metavar="N", help="further frames of the clip that v2 models get"
    )
    parser.add_argument(
        "--composed-view", choices=["on", "off"], help="whether v2 models have it; by default as trained"
    )
    add_device(parser)
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    pairs = read_pairs(options.pairs or folder_of(options.data, options.split) / "pairs.csv")
    device = str(choose_device(options.device))
    pipeline = None if options.model == COPY else load_pipeline(options.model, device, options.dtype)
    if options.composed_view is not None:
        if pipeline is None or pipeline.view_fusion is None:
            raise InputError(f"--composed-view needs a model that fuses views (v2), {options.model} does not")
        pipeline.view_fusion.composed_view = options.composed_view == "on"
    report = score_pairs(
        pipeline,
        options.data,
        options.split,
        evenly(pairs, options.limit),
        *open_instruments(options.detector, options.embedder, device),
        batch=options.batch,
        interpolation=options.interpolation,
        image_size=options.image_size,
        strategy=options.strategy,
        t=options.t,
        background=options.background,
        detector_size=options.detector_size,
        cache=options.cache,
        photos=options.photos,
    )
    write_json(options.out, report.as_json())
    print(report.table())


if __name__ == "__main__":
    sys.exit(main())
