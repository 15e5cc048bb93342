"""Trains the benchmark's own joint detector and identity embedder on rendered people, and measures them on others.

python -m eval.rendered_people.train_instruments --data DATA/body DATA/simple --held-out TEST/body TEST/simple --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from motion_core.errors import InputError

from .identity_embedder import WEIGHTS as IDENTITY
from .identity_embedder import IdentityEmbedder
from .instrument_data import Frames, read_frames
from .instrument_files import save_instrument
from .instrument_losses import IdentityTrainer, identity_loss, joint_loss
from .instrument_scores import identity_scores, joint_scores, missing_limb_scores
from .joint_detector import WEIGHTS as JOINTS
from .joint_detector import JointDetector, JointNetwork


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


def train_joints(frames: Frames, held_out: Frames | None, options: argparse.Namespace) -> None:
    """Train the detector, write it, and measure what was written."""
    torch.manual_seed(options.seed)
    network, path = JointNetwork(), options.out / JOINTS
    fit(network, lambda numbers: joint_loss(network, frames, numbers), len(frames), options)
    about = _about(frames, options)
    save_instrument(network, path, about)
    if held_out is not None:
        detector = JointDetector(str(path))
        about["held_out"] = {
            root.name: {
                "at_128": joint_scores(detector, held_out, number),
                "at_64": joint_scores(detector, held_out, number, 64),
                "missing_limbs": missing_limb_scores(detector, held_out, number),
            }
            for number, root in enumerate(options.held_out)
        }
        _report(about, network, path)


def train_identity(frames: Frames, held_out: Frames | None, options: argparse.Namespace) -> None:
    """Train the embedder, write it, and measure what was written."""
    torch.manual_seed(options.seed)
    trainer, path = IdentityTrainer(int(frames.people.max()) + 1), options.out / IDENTITY
    fit(trainer, lambda numbers: identity_loss(trainer, frames, numbers), len(frames), options)
    about = _about(frames, options)
    save_instrument(trainer.network, path, about)
    if held_out is not None:
        embedder = IdentityEmbedder(str(path))
        about["held_out"] = {
            root.name: {
                "at_128": identity_scores(embedder, held_out, number),
                "at_64": identity_scores(embedder, held_out, number, 64),
            }
            for number, root in enumerate(options.held_out)
        }
        _report(about, trainer.network, path)


def _about(frames: Frames, options: argparse.Namespace) -> dict[str, object]:
    """What the files say of their training; data sets by the names of their folders."""
    data = {
        root.name: {
            "people": len(np.unique(frames.people[frames.roots == number])),
            "clips": len(np.unique(frames.clips[frames.roots == number])),
            "frames": int((frames.roots == number).sum()),
        }
        for number, root in enumerate(options.data)
    }
    settings = {name: getattr(options, name) for name in ("steps", "batch", "rate", "seed")}
    return {"trained_on": data, **settings}


def _report(about: dict[str, object], network: nn.Module, path: Path) -> None:
    save_instrument(network, path, about)
    print(json.dumps(about["held_out"], indent=1), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.rendered_people.train_instruments",
        description="Trains the joint detector and the identity embedder of the rendered benchmark.",
    )
    add = parser.add_argument
    add("--data", required=True, nargs="+", type=Path, metavar="ROOT", help="rendered data, of which train is used")
    add("--held-out", nargs="+", type=Path, default=[], metavar="ROOT", help="rendered data, of which test is measured")
    add("--out", required=True, type=Path, metavar="FOLDER", help="for the weights, and a json file beside each")
    add("--only", choices=("joints", "identity"), help="one of the two instead of both")
    add("--steps", type=int, default=3000, help="of each (default: %(default)s)")
    add("--batch", type=int, default=32, help="pictures a step (default: %(default)s)")
    add("--rate", type=float, default=2e-3, help="the highest learning rate (default: %(default)s)")
    add("--seed", type=int, default=0, help="of everything that is random (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        for name, least in (("steps", 2), ("batch", 2)):
            if getattr(options, name) < least:
                raise InputError(f"{name}: must be at least {least}, got {getattr(options, name)}")
        frames = read_frames(options.data, "train")
        held_out = read_frames(options.held_out, "test") if options.held_out else None
        for train in (train_joints, train_identity):
            if options.only is None or train.__name__ == f"train_{options.only}":
                print(f"{train.__name__}: {len(frames)} frames of {frames.people.max() + 1} people", flush=True)
                train(frames, held_out, options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
