"""The error of the background's pixels with the transform that is found in clips whose camera moves.

python -m eval.camera ROOT --split test

Each clip that `eval.rendered_people.render` wrote is measured as in reconstruction: from its first frame to every other. The
scene without the figure, as the first frame sees it, is moved by a transform and compared with the scene in the other frame,
where both frames show the background. The transforms are none, the one that is found in the pictures, and the affine one that
is nearest to the camera's movement; what floor and wall move against each other, no affine one can follow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from motion_core import PersonDetector
from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.geometry import affine_grid, sample
from motion_core.media import open_frames, to_float
from motion_core.networks.layered.camera_aligner import CameraAligner
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR

from .evaluation import Record
from .people_pairs import around
from .rendered_people.annotations import open_scene, read_annotations
from .rendered_people.clip import SPLITS
from .rendered_people.flow import background_transform
from .tables import markdown
from .videos import FrameSequence, find_videos

STILL = "static"
LEAST = 0.01  # of a picture's pixels must show the background in both frames
WORSE = 0.05  # of 255: by how much a clip is worse before it counts as worse


def background_errors(source: Tensor, driving: Tensor, known: Tensor, transform: Tensor) -> Tensor:
    """The mean errors of scenes that transforms move, ``(B,)``, from 0 to 255.

    Args:
        source, driving: scenes without the figure, ``(B, 3, H, W)`` in [0, 1].
        known: the pixels of the driving scene that count, ``(B, 1, H, W)`` bool.
        transform: ``(B, 3, 3)``, driving to source coordinates.
    """
    grid = affine_grid(transform, source.shape[-2], source.shape[-1])  # (B, H, W, 2)
    error = (sample(source, grid, padding="border") - driving).abs().mean(dim=1, keepdim=True)
    return 255 * (error * known).sum(dim=(1, 2, 3)) / known.sum(dim=(1, 2, 3)).clamp_min(1)


def shown_in_both(source_figure: Tensor, driving_figure: Tensor, exact: Tensor) -> Tensor:
    """The pixels of driving frames that show background which the source shows as well, ``(B, 1, H, W)`` bool.

    Args:
        source_figure, driving_figure: where the figure is, ``(B, 1, H, W)``, 0 or 1.
        exact: the transforms ``(B, 3, 3)``, driving to source coordinates.
    """
    grid = affine_grid(exact, source_figure.shape[-2], source_figure.shape[-1])
    inside = (grid.abs() <= 1).all(dim=-1)[:, None]
    return inside & (driving_figure == 0) & (sample(source_figure, grid) == 0)


@torch.inference_mode()
def measure_clip(
    root: Path, split: str, name: str, video: Path, detector: PersonDetector, aligner: CameraAligner
) -> Record | None:
    """The mean errors of one clip's background, 0 to 255; None where its first frame and no other show the same background.

    Returns:
        "name" of the clip, "move" of its camera, and the errors without a transform ("identity"), with the one found in the
        pictures ("found"), and with the camera's own ("exact").

    Raises:
        InputError: a file of it is missing, damaged or of another size.
    """
    # 1. What is known
    clip = read_annotations(root, split, name)
    frames, scenes = (
        to_float(np.stack(list(FrameSequence(access))))
        for access in (open_frames(video), open_scene(root, split, name))
    )
    if not frames.shape == scenes.shape == (len(clip.seen), 3, *clip.size) or len(frames) < 2:
        raise InputError(
            f"{name}: video, scene and annotations must have the same size and 2 frames or more, "
            f"got {tuple(frames.shape)}, {tuple(scenes.shape)} and {clip.seen.shape}"
        )
    figures = torch.from_numpy(np.stack([around(seen >= 0) for seen in clip.seen]))[:, None].float()  # (T, 1, H, W)
    exact = torch.from_numpy(np.stack([background_transform(clip, k, 0) for k in range(1, len(frames))])).float()

    # 2. What is found
    count = len(exact)
    silhouettes = torch.cat([detector.detect(frame).silhouette for frame in frames.split(1)])
    first, first_scene, first_silhouette, first_figure = (
        each[:1].expand(count, -1, -1, -1) for each in (frames, scenes, silhouettes, figures)
    )
    found = aligner(first, frames[1:], first_silhouette, silhouettes[1:])  # (T - 1, 3, 3)

    # 3. Compared
    known = shown_in_both(first_figure, figures[1:], exact)
    enough = known.float().mean(dim=(1, 2, 3)) >= LEAST
    if not enough.any():
        return None
    record: Record = {"name": name, "move": str(clip.about["camera_move"])}
    for column, transform in {"identity": torch.eye(3).expand_as(exact), "found": found, "exact": exact}.items():
        record[column] = float(background_errors(first_scene, scenes[1:], known, transform)[enough].mean())
    return record


def table(clips: Sequence[Record]) -> str:
    """The means over `measure_clip`s by their camera's movement, in Markdown, and which clips are made worse."""
    errors = pd.DataFrame(clips)
    moving, still = errors[errors["move"] != STILL], errors[errors["move"] == STILL]
    groups = [*moving.groupby("move"), ("all that move", moving), (STILL, still)]
    lines = [
        [str(title), str(len(group)), *(f"{group[name].mean():.2f}" for name in ("identity", "found", "exact"))]
        for title, group in groups
        if len(group)
    ]
    worse = errors[errors["found"] > errors["identity"] + WORSE]["name"]
    names = f": {', '.join(worse)}" if len(worse) else ""
    note = f"Worse than the identity by more than {WORSE}: {len(worse)} of {len(clips)} clips{names}."
    return markdown(["camera", "clips", "identity", "found", "exact"], lines) + f"\n\n{note}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for input that cannot be used."""
    parser = CommandParser("python -m eval.camera", __doc__)
    parser.add_argument("root", type=Path, metavar="ROOT", help="that eval.rendered_people.render wrote")
    parser.add_argument("--split", choices=SPLITS, default="test", help="folder with the clips")
    return parser.run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    videos = find_videos(options.root / options.split)
    detector, aligner = PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval(), CameraAligner().eval()
    measured = [
        measure_clip(options.root, options.split, name, video.path, detector, aligner)
        for name, video in tqdm(videos.items(), disable=not sys.stderr.isatty())
    ]
    clips = [clip for clip in measured if clip is not None]
    if not clips:
        raise InputError(f"{options.root}: must have a clip whose frames show the same background, but has none")
    print(table(clips))


if __name__ == "__main__":
    sys.exit(main())
