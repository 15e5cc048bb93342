"""What the commands of the command line do. Heavy imports are inside, so that ``--help`` comes at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import fields
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from .atomic import final_path
from .errors import InputError
from .settings import AnimationSettings, OneEuro, scene_file
from .version import __version__

if TYPE_CHECKING:
    import torch

    from . import media
    from .animation import Animation
    from .pipeline import MotionInterpPipeline
    from .records import RecordWriter


def animate(options: argparse.Namespace) -> None:
    """Animate a picture with the motion of a video."""
    started = perf_counter()
    from . import media

    settings = settings_of(options)
    if options.preview:
        _preview(options, settings)
        return
    kind, others = _check_outputs(options, settings)
    records = _records(options, others)
    pipeline = _load(options)
    inputs = (options.source, options.driving, settings)
    animation = pipeline.stream(*inputs, source_images=options.source_images)
    print(f"{options.source}: {animation.placement.describe()}", file=sys.stderr)
    for sentence in check.sentences() if (check := animation.check()) else ():
        print(sentence, file=sys.stderr)
    began, before, first = perf_counter(), 0, 0.0
    with records as record, _writer(options, settings, pipeline, animation, kind) as writer:
        if isinstance(writer, media.SegmentedWriter) and writer.frames_done:
            before = writer.frames_done
            if writer.finished and options.compare is None:
                print(f"{options.output}: is finished already, {before} frames")
                return
            print(f"{before} frames are there already", file=sys.stderr)
            animation = pipeline.stream(*inputs, skip_frames=writer.frames_done, source_images=options.source_images)
        with closing(animation.frames):  # the progress bar ends its line before an error is printed
            for frame in animation:
                first = first or perf_counter() - started
                writer.write(frame.image)
                if record is not None:
                    record.write(frame.record())
        writer.finish()
        if options.compare is not None:  # while a job can still be resumed
            _compare(options, animation)
    height, width = writer.frame_size or animation.frame_size
    rate = float(animation.frame_rate)
    print(f"{options.output}: {writer.frame_count} frames, {width} x {height}, {rate:.3f} frames/s")
    made, seconds = writer.frame_count - before, perf_counter() - began
    print(
        f"{made} frames in {seconds:.1f} s, {made / seconds:.1f} frames/s, the first one {first:.1f} s after the start"
    )
    if animation.presence.missing:
        print(f"{options.driving}: {animation.presence.describe()}")
    if options.compare is not None:
        print(f"{options.compare}: source, driving video and result side by side")
    if options.diagnosis is not None:
        print(f"{options.diagnosis}: what was chosen and measured, frame by frame")


def interpolate(options: argparse.Namespace) -> None:
    """Make the images between two pictures: the first one, moved towards the pose of the second."""
    from . import media

    media.check_output(options.output, [options.source, options.driving])
    times = options.times
    num = options.num if times is None else None
    result = _load(options).interpolate(options.source, options.driving, times, settings_of(options), num=num)
    result.save(options.output, frame_rate=options.frame_rate, provenance=not options.no_provenance)
    for time, fold in zip(result.times, result.fold_over, strict=True):
        print(f"t = {time:.3f}: {100 * fold:.1f} % of the deformation folded over")
    print(f"{options.output}: {len(result.images)} images")


def convert(options: argparse.Namespace) -> None:
    """Turn a published TPSMM checkpoint into a saved pipeline."""
    from .checkpoint_conversion import convert as convert_networks
    from .checkpoint_conversion import read_checkpoint
    from .pipeline import MotionInterpPipeline
    from .saved_pipeline import check_target, save_whole

    check_target(options.output)
    networks = convert_networks(read_checkpoint(options.checkpoint))
    components = {part.name: getattr(networks, part.name) for part in fields(networks)}
    pipeline = MotionInterpPipeline(**components, image_size=options.size)
    save_whole(pipeline, options.output)
    print(f"{options.output}: {describe_pipeline(pipeline)}")


def live(options: argparse.Namespace) -> None:
    """Animate a picture with a camera, as it goes."""
    from .live import run

    run(_load(options), options, settings_of(options))


def export(options: argparse.Namespace) -> None:
    """Write a model as ONNX graphs for programs without torch, each checked against torch with onnxruntime."""
    import torch

    from .export import OPSET, export_onnx

    options.device = "cpu"
    pipeline = _load(options, torch.float32)
    for graph in export_onnx(pipeline, options.output, options.size):
        print(
            f"{options.output}/{graph.name}: opset {OPSET}, largest difference {graph.maximum:.2g} and mean difference "
            f"{graph.mean:.2g} from torch"
        )


def info(options: argparse.Namespace) -> None:
    """Say what a picture, a video or a saved pipeline is, and what `animate` would make of it."""
    from . import media
    from .pipeline import MotionInterpPipeline
    from .saved_pipeline import INDEX

    if os.path.isfile(Path(options.file) / INDEX):
        print(
            f"{options.file}: a saved pipeline, {describe_pipeline(MotionInterpPipeline.from_pretrained(options.file))}"
        )
        return
    if options.preview is not None:
        media.check_file(options.preview, ".png", [options.file])
    settings = settings_of(options)
    about = media.open_video(options.file)
    cuts = list(media.scene_cuts(about)) if about.frame_count > 1 else []  # looks at all frames
    for line in media_lines(about):
        print(line)
    pipeline = _load(options)
    if about.kind != "picture":
        for line in driving_lines(
            about, cuts, pipeline.subject.describe_driving(about.size, pipeline.network_size(settings), settings)
        ):
            print(line)
    if about.kind in ("picture", "animation"):
        try:
            placement = pipeline.place(pipeline.read_picture(options.file, settings), settings, name=options.file)
            print(f"as a source: {placement.describe()}")
        except InputError as error:
            if about.kind == "picture":
                raise
            print(f"not as a source: {error}")  # but as a driving video, as said above
    if options.preview is not None:
        media.save_image(options.preview, pipeline.preview(options.file, settings))
        print(f"{options.preview}: the part that is used is outlined")


def benchmark(options: argparse.Namespace) -> None:
    """Print speed and accuracy of each backend in each dtype; or what the variants cost; or peak memory."""
    import torch

    from . import demo
    from .benchmark import PUBLISHED_GMACS, measure, pictures, report, title
    from .benchmark_chart import draw, empty_chart
    from .hardware import DTYPES, choose_device
    from .memory import memory_report
    from .variant_benchmark import HOLD, measure_variants, report_variants

    if options.memory:
        print(memory_report())
        return
    for name in options.dtypes:
        if name not in DTYPES:
            raise InputError(f"dtypes must be of {', '.join(DTYPES)}, got {name}")
    if (options.source is None) != (options.driving is None):
        raise InputError("give both --source and --driving, or neither")
    device = choose_device(options.device)
    cores = [count for count in (1, 2) if count <= (os.cpu_count() or 1)] if device.type == "cpu" else []
    counts = options.threads or cores or [torch.get_num_threads()]
    chart = None if options.chart is None else empty_chart(options.chart, len(counts) * len(options.batch))

    @cache
    def load(dtype: torch.dtype) -> MotionInterpPipeline:
        if options.model is None:
            return demo.random_pipeline(demo.PUBLISHED, options.size).to(device, dtype, silence_dtype_warnings=True)
        return _load(options, dtype)

    if options.model is None:
        print("model: the published sizes (10 splines, widths 64 to 512 and 1024) with random weights")
    if options.source is None:
        source, frames = demo.source_picture(options.size), demo.driving_frames(options.frames, options.size)
    else:
        source, frames = pictures(options.source, options.driving, options.frames, options.size)
    if options.variants:
        following = demo.driving_frames(100, options.size)[:HOLD]  # who waves as fast as people do
        for name in options.dtypes:
            costs = measure_variants(load(DTYPES[name]), source, following, options.rounds)
            print(report_variants(costs, device, name, (options.size, options.size)))
        return
    dtypes = [DTYPES[name] for name in options.dtypes]
    size, tables = (options.size, options.size), {}
    for threads in counts:
        torch.set_num_threads(threads)
        for batch in options.batch:
            results = measure(load, source, frames, dtypes, options.rounds, ("eager", *options.backends), batch)
            print(report(results, device, size, batch), flush=True)
            tables[title(device, batch)] = results
    if chart is not None:
        draw(chart, tables, options.chart)
    print(f"for comparison: a frame of the published program at 256 x 256 needs {PUBLISHED_GMACS} GMACs")


def settings_of(options: argparse.Namespace) -> AnimationSettings:
    """The settings among the options of a command; those that the command does not have keep their defaults."""
    names = [field.name for field in fields(AnimationSettings)]
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    given["diagnose"] = getattr(options, "diagnosis", None) is not None
    if isinstance(given.get("smoothing"), float):
        given["smoothing"] = OneEuro(min_cutoff=given["smoothing"])
    return AnimationSettings(**given)


def describe_pipeline(pipeline: MotionInterpPipeline) -> str:
    """One line for people."""
    from .networks.layered.layout_network import LayoutNetwork

    motion = pipeline.dense_motion_network.config
    parts = [network for network in pipeline.components.values() if network is not None]
    millions = sum(parameter.numel() for network in parts for parameter in network.parameters()) / 1e6
    numbers = f"{millions:.1f} million parameters"
    variant = f"variant {pipeline.config['variant']}"
    height, width = pipeline.config["image_size"]
    if isinstance(pipeline.dense_motion_network, LayoutNetwork):
        painted = pipeline.image_generator.config["size"]
        return (
            f"for people: a background and {motion['num_splines']} limbs of {motion['points_per_spline']} points as layers, "
            f"laid out at {2 * motion['size']} x {2 * motion['size']} and painted at {painted} x {painted}, {numbers}, "
            f"pictures of any size, those below {width} x {height} enlarged, {variant}"
        )
    missing = [name for name in ("avd_network", "background_predictor") if getattr(pipeline, name) is None]
    return (
        f"{motion['num_splines']} splines of {motion['points_per_spline']} points, {motion['num_masks']} occlusion mask(s), "
        f"widths {motion['block_expansion']} to {motion['max_features']}, {numbers}, "
        f"images of {width} x {height}, sides in multiples of {pipeline.size_multiple}, "
        f"{variant}" + (f"; without {' and '.join(missing)}" if missing else "")
    )


def media_lines(about: media.VideoSource) -> list[str]:
    """What a file is, for people."""
    height, width = about.size
    turned = f", turned by {about.rotation} degrees" if about.rotation else ""
    lines = [f"{about.name}: a {about.kind}, {width} x {height}{turned}"]
    if about.kind != "picture":
        variable = " on average, variable" if about.is_variable else ""
        sound = "with sound" if about.has_audio else "without sound"
        rate, seconds = float(about.frame_rate), float(about.duration)
        lines.append(f"{about.frame_count} frames, {rate:.3f} frames/s{variable}, {seconds:.2f} s, {sound}")
    lines += about.sound_tracks
    if damage := about.describe_damage():
        lines.append(damage)
    return lines


def driving_lines(about: media.VideoSource, scene_cuts: list[float], placement: str) -> list[str]:
    """What becomes of a driving video, for people."""
    lines = [f"as a driving video: {about.frame_count} frames, {placement}"]
    if scene_cuts:
        times = ", ".join(f"{time:.2f}" for time in scene_cuts)
        lines.append(
            f"it has scene cuts at {times} s: choose one scene with --start and --end, motion does not cross a cut"
        )
    return lines


def _preview(options: argparse.Namespace, settings: AnimationSettings) -> None:
    """Write a few frames as one picture."""
    from . import media
    from .contact_sheet import contact_sheet, sheet_beside

    path = sheet_beside(options.output)
    media.check_file(path, ".png", [options.source, options.driving, *options.source_images, *scene_file(settings)])
    pipeline = _load(options)
    pipeline.set_progress_bar_config(disable=True)
    sheet = contact_sheet(pipeline, options.source, options.driving, settings, options.source_images)
    media.save_image(path, sheet, {} if options.no_provenance else media.provenance(pipeline.model_name))
    print(f"{path}: frames from all over the video, and what becomes of them")


def _check_outputs(options: argparse.Namespace, settings: AnimationSettings) -> tuple[str, list[str]]:
    """Raise InputError where an output cannot be written; returns its kind, and the files that another one must not replace."""
    from . import media

    inputs = [
        options.source,
        options.driving,
        *options.source_images,
        *(os.fspath(path) for path in scene_file(settings)),
    ]
    if settings.scene == "transparent":
        if options.resume:
            raise InputError(
                f"{options.output}: a video with transparency cannot be resumed, render it without --resume"
            )
        kind = media.check_output(options.output, inputs, alpha=True)
    else:
        kind = media.check_job(options.output, inputs, resume=options.resume)
    if kind == "gif" and options.resume:
        raise InputError(f"{options.output}: a GIF cannot be resumed, only .mp4 and folders of frames")
    if options.compare is not None:
        media.check_output(options.compare, [*inputs, options.output])
    for other in (options.compare, options.diagnosis):
        if other is not None and kind == "frames" and final_path(other).is_relative_to(final_path(options.output)):
            raise InputError(f"{other}: must not be in {options.output}, which is for the frames alone")
    return kind, [*inputs, *(path for path in (options.output, options.compare) if path is not None)]


def _writer(
    options: argparse.Namespace,
    settings: AnimationSettings,
    pipeline: MotionInterpPipeline,
    animation: Animation,
    kind: str,
) -> media.VideoWriter | media.SegmentedWriter:
    """Segments where the format allows it, so that an interrupted and resumed render equals an uninterrupted one."""
    from . import media

    choice = {"audio": not options.no_audio, "provenance": not options.no_provenance}
    if settings.scene == "transparent" or kind == "gif":
        return animation.writer(options.output, **choice)
    files = (options.source, options.driving, *options.source_images, *scene_file(settings))
    inputs = [media.fingerprint(path) for path in files]
    job = f"{inputs} {settings} {choice} {pipeline.device.type} {pipeline.weights_digest()} {__version__}"
    return animation.segmented_writer(options.output, job, resume=options.resume, **choice)


def _records(
    options: argparse.Namespace, others: Sequence[str]
) -> AbstractContextManager[RecordWriter] | AbstractContextManager[None]:
    """The writer of the frames' diagnosis, if that is asked for."""
    from .records import RecordWriter

    if options.diagnosis is None:
        return nullcontext()
    if options.resume:
        raise InputError(
            "--diagnosis must be given without --resume: the frames that are there already are not measured again"
        )
    return RecordWriter(options.diagnosis, others)


def _compare(options: argparse.Namespace, animation: Animation) -> None:
    from . import media

    result = media.open_video(options.output, frame_rate=float(animation.frame_rate))
    media.compose_comparison(
        [options.source, animation.video, result],
        ["source", "driving", "result"],
        options.compare,
        audio_from=None if options.no_audio else animation.video,
        metadata={} if options.no_provenance else media.provenance(animation.model),
    )


def _load(options: argparse.Namespace, dtype: torch.dtype | None = None) -> MotionInterpPipeline:
    """The pipeline that the options name, or the one that comes with the package, on their device."""
    from .diffusers_base import logging
    from .hardware import choose_device, choose_dtype
    from .pipeline import MotionInterpPipeline
    from .saved_pipeline import SHIPPED

    device = choose_device(options.device)
    dtype = dtype or choose_dtype(device, getattr(options, "dtype", "auto"))
    logging.disable_progress_bar()  # it loads in a second
    backend = getattr(options, "backend", MotionInterpPipeline.backend)
    return MotionInterpPipeline.from_pretrained(options.model or SHIPPED, dtype=dtype, backend=backend).to(device)
