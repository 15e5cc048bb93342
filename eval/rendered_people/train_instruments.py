"""Trains the benchmark's own joint detector and identity embedder on rendered people, and measures them on others.

python -m eval.rendered_people.train_instruments --data DATA/body DATA/simple --held-out TEST/body TEST/simple --out FOLDER

They are measured through what the evaluation uses, one 8-bit picture at a time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.command_line import CommandParser
from motion_core.errors import InputError
from motion_core.media import to_uint8

from .. import instruments
from ..instruments.cached import resized
from . import instrument_data as data
from .annotations import HIDDEN, SEEN
from .instruments import (
    IDENTITY_WEIGHTS,
    JOINT_WEIGHTS,
    NUMBERS,
    SIDE,
    STRIDE,
    IdentityEmbedder,
    IdentityNetwork,
    JointDetector,
    JointNetwork,
    peaks,
    save_instrument,
)
from .skeleton import PART

_HIDDEN = 0.25  # weight of the place of a joint that cannot be seen, next to one that can
_NEAR = 0.06  # of the side: a joint farther from its place than this has not been found
_WIDTH = 1.0  # of the distribution that a heatmap should have, in cells
_SCALE, _MARGIN = 16.0, 0.2  # of the cosine softmax (Wang et al., "CosFace", CVPR 2018)


def joint_loss(network: JointNetwork, frames: data.Frames, numbers: np.ndarray) -> Tensor:
    """Cross entropies of the places of all joints in the picture, and of whether they are seen where the network puts them."""
    images, parts = data.batch_of(frames, numbers)
    joints, visibility = torch.from_numpy(frames.joints[numbers]), torch.from_numpy(frames.visibility[numbers])
    images, taken = data.without_limbs(images, parts, 0.5)
    column, row = joints.round().long().clamp(0, SIDE - 1).unbind(-1)  # (B, 18) each
    gone = taken.flatten(1).gather(1, row * SIDE + column)  # (B, 18)
    images, joints, state = data.moved(images, joints, torch.where(gone, 0, visibility))
    images = data.degraded(data.recoloured(images, 1.0), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        place, seen = network(images)  # (B, 18, 32, 32), (B, 18)

    cells = (joints + 0.5) / STRIDE - 0.5  # (B, 18, 2)
    inside = ((joints >= -0.5) & (joints < SIDE - 0.5)).all(-1) & (state > 0)
    axis = torch.arange(SIDE / STRIDE)
    x, y = (((cells[..., None] - axis) / _WIDTH) ** 2 / -2).softmax(-1).unbind(2)  # (B, 18, 32) each
    target = (y[..., :, None] * x[..., None, :]).flatten(2)  # (B, 18, 1024)
    weight = inside * torch.where(state == SEEN, 1.0, _HIDDEN)
    wrong_place = -(target * place.flatten(2).log_softmax(-1)).sum(-1)  # (B, 18)
    # A joint that is taken for another one, such as the other hand, shall rather be missing.
    right = (peaks(place.detach()) - joints).norm(dim=-1) < _NEAR * SIDE
    wrong_seen = F.binary_cross_entropy_with_logits(seen, (inside & (state == SEEN) & right).float())
    return (wrong_place * weight).sum() / weight.sum().clamp_min(1) + 2 * wrong_seen


class IdentityTrainer(nn.Module):
    """The embedder with a direction for each person in training, which is not kept."""

    def __init__(self, people: int) -> None:
        super().__init__()
        self.network = IdentityNetwork()
        self.people = nn.Parameter(torch.randn(people, NUMBERS))


def identity_loss(trainer: IdentityTrainer, frames: data.Frames, numbers: np.ndarray) -> Tensor:
    """Cosine softmax over the people, with a margin; many are put before other backgrounds, which say nothing about them."""
    images, parts = data.batch_of(frames, numbers)
    joints, visibility = torch.from_numpy(frames.joints[numbers]), torch.from_numpy(frames.visibility[numbers])
    images, _, _ = data.moved(data.elsewhere(images, parts, 0.4), joints, visibility)
    images = data.degraded(data.recoloured(images, 0.5), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        embedded = trainer.network(images)  # (B, 64)
    people = torch.from_numpy(frames.people[numbers]).long()
    cosines = embedded @ F.normalize(trainer.people, dim=-1).T  # (B, people)
    return F.cross_entropy(_SCALE * (cosines - _MARGIN * F.one_hot(people, len(trainer.people))), people)


Scores = dict[str, float | None]


def _scores(**figures: float) -> Scores:
    """Rounded; None for a mean of nothing, which json does not know otherwise."""
    return {name: None if math.isnan(value) else round(float(value), 4) for name, value in figures.items()}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def joint_scores(detector: instruments.LandmarkDetector, frames: data.Frames, side: int = SIDE) -> Scores:
    """Errors in pictures at `side` pixels.

    Returns:
        Of joints that are seen and found: mean and median error in percent of the picture's side, the mean in pixels at 256,
        and the share that is within 5 percent; of joints seen: the share found; of joints hidden: the share found.
    """
    truth = (frames.joints + 0.5) * (side / SIDE) - 0.5
    points = np.stack([detector.landmarks(resized(image, side)) for image in frames.images])  # (F, 18, 2)
    found, visibility = np.isfinite(points).all(-1), frames.visibility
    errors = 100 * np.linalg.norm(points - truth, axis=-1)[found & (visibility == SEEN)] / side
    return _scores(
        mean_percent_of_side=_mean(errors),
        median_percent_of_side=float(np.median(errors)) if len(errors) else math.nan,
        mean_pixels_at_256=2.56 * _mean(errors),
        share_within_5_percent=_mean(errors < 5),
        found_of_seen=_mean(found[visibility == SEEN]),
        found_of_hidden=_mean(found[visibility == HIDDEN]),
    )


def missing_limb_scores(detector: instruments.LandmarkDetector, frames: data.Frames) -> Scores:
    """Of joints seen on the right forearm, hand, shin and foot: the share found, and that when these are not in the picture.

    They are taken away as in training (`instrument_data.filled`), so this says that missing joints can be missed, and not
    how well it is done where a model leaves a limb out in its own way.
    """
    taken = [PART[f"right_{part}"] for part in ("forearm", "hand", "shin", "foot")]
    images, parts = data.batch_of(frames, np.arange(len(frames)))
    hole = torch.isin(parts, torch.tensor(taken))  # (F, 1, 128, 128)
    column, row = np.round(frames.joints).astype(int).clip(0, SIDE - 1).transpose(2, 0, 1)  # (F, 18) each
    gone = hole[np.arange(len(frames))[:, None], 0, row, column].numpy() & (frames.visibility == SEEN)
    found = []
    for pictures in (frames.images, to_uint8(data.filled(images, hole))):
        points = np.stack([detector.landmarks(picture) for picture in pictures])
        found.append(_mean(np.isfinite(points).all(-1)[gone]))
    return _scores(found_before=found[0], found_when_taken_away=found[1])


def identity_scores(embedder: instruments.IdentityEmbedder, frames: data.Frames, side: int = SIDE) -> Scores:
    """How well two pictures of one person from different clips are told from those of two persons of the same data set.

    Returns:
        Mean distances of both kinds of pairs; the area under the ROC curve (the chance that a pair of one person is closer than
        one of two); the accuracy at the distance at which both kinds of errors are as frequent; and that distance.
    """
    embedded = [embedder.embed(resized(image, side)) for image in frames.images]
    vectors = np.stack([vector for vector in embedded if vector is not None])  # (F, D)
    distances = np.sqrt(np.maximum(((vectors[:, None] - vectors) ** 2).sum(-1), 0))  # (F, F)
    people, clips = frames.people, frames.clips
    upper = np.triu(np.ones(distances.shape, bool), 1)
    same = np.sort(distances[upper & (people[:, None] == people) & (clips[:, None] != clips)])
    other = np.sort(distances[upper & (people[:, None] != people)])
    if not len(same) or not len(other):
        raise InputError("held-out: needs at least two people, and two clips of one of them")
    closer = (np.searchsorted(other, same, "left") + np.searchsorted(other, same, "right")) / 2
    missed = 1 - np.searchsorted(same, other, "right") / len(same)  # of one person, farther apart than each distance
    confused = np.searchsorted(other, other, "right") / len(other)
    equal = int(np.abs(missed - confused).argmin())
    return _scores(
        mean_distance_same_person_other_clip=same.mean(),
        mean_distance_other_person=other.mean(),
        area_under_curve=1 - closer.mean() / len(other),
        accuracy_at_equal_errors=1 - (missed[equal] + confused[equal]) / 2,
        distance_at_equal_errors=other[equal],
    )


def _draws(count: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of frames, all of them once before any comes again."""
    random = np.random.default_rng(seed)
    waiting = np.zeros(0, int)
    while True:
        while len(waiting) < batch:
            waiting = np.append(waiting, random.permutation(count))
        yield waiting[:batch]
        waiting = waiting[batch:]


def fit(module: nn.Module, loss_of: Callable[[np.ndarray], Tensor], count: int, options: argparse.Namespace) -> None:
    """Train by AdamW; the rate rises for a twentieth of the steps and falls to nothing in a half cosine."""
    module.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(module.parameters(), options.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, options.steps, pct_start=0.05)
    losses, began = [], time.process_time()
    for step, numbers in zip(range(1, options.steps + 1), _draws(count, options.batch, options.seed), strict=False):
        loss = loss_of(numbers)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0 or step == options.steps:
            seconds = time.process_time() - began
            print(f"{step} of {options.steps}, loss {np.mean(losses[-100:]):.4f}, {seconds:.0f} s", flush=True)
    module.eval()


def measured(only: str, path: Path, frames: data.Frames) -> dict[str, Scores]:
    """The scores of "joints" or "identity", whose weights are in a file."""
    if only == "identity":
        embedder = IdentityEmbedder(str(path))
        return {f"at_{side}": identity_scores(embedder, frames, side) for side in (SIDE, 64)}
    detector = JointDetector(str(path))
    scores = {f"at_{side}": joint_scores(detector, frames, side) for side in (SIDE, 64)}
    return scores | {"missing_limbs": missing_limb_scores(detector, frames)}


def train(only: str, frames: data.Frames, held_out: data.Frames | None, options: argparse.Namespace) -> None:
    """Train "joints" or "identity", write it, and measure what was written; data sets have the names of their folders."""
    people = int(frames.people.max()) + 1
    print(f"{only}: {len(frames)} frames of {people} people", flush=True)
    torch.manual_seed(options.seed)
    network: nn.Module
    if only == "joints":
        network, path = JointNetwork(), options.out / JOINT_WEIGHTS
        fit(network, partial(joint_loss, network, frames), len(frames), options)
    else:
        trainer, path = IdentityTrainer(people), options.out / IDENTITY_WEIGHTS
        fit(trainer, partial(identity_loss, trainer, frames), len(frames), options)
        network = trainer.network
    about: dict[str, Any] = {"trained_on": {}}
    for root, own in zip(options.data, map(frames.of_root, range(len(options.data))), strict=True):
        counts = {"people": len(np.unique(own.people)), "clips": len(np.unique(own.clips)), "frames": len(own)}
        about["trained_on"] |= {root.name: counts}
    about |= {name: getattr(options, name) for name in ("steps", "batch", "rate", "seed")}
    save_instrument(network, path, about)
    if held_out is not None:
        roots = enumerate(options.held_out)
        about["held_out"] = {root.name: measured(only, path, held_out.of_root(number)) for number, root in roots}
        save_instrument(network, path, about)
        print(json.dumps(about["held_out"], indent=1), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = CommandParser("python -m eval.rendered_people.train_instruments", __doc__)
    add = parser.add_argument
    add("--data", required=True, nargs="+", type=Path, metavar="ROOT", help="rendered data, of which train is used")
    add("--held-out", nargs="+", type=Path, default=[], metavar="ROOT", help="rendered data, of which test is measured")
    add("--out", required=True, type=Path, metavar="FOLDER", help="for the weights, and a json file beside each")
    add("--only", choices=("joints", "identity"), help="one of the two instead of both")
    add("--steps", type=int, default=3000, help="of each")
    add("--batch", type=int, default=32, help="pictures a step")
    add("--rate", type=float, default=2e-3, help="the highest learning rate")
    add("--seed", type=int, default=0, help="of everything that is random")
    return parser.run(_train, arguments)


def _train(options: argparse.Namespace) -> None:
    for name in ("steps", "batch"):
        if getattr(options, name) < 2:
            raise InputError(f"{name}: must be at least 2, got {getattr(options, name)}")
    frames = data.read_frames(options.data, "train")
    held_out = data.read_frames(options.held_out, "test") if options.held_out else None
    for only in ("joints", "identity"):
        if options.only in (None, only):
            train(only, frames, held_out, options)


if __name__ == "__main__":
    sys.exit(main())
