"""Trains a narrow VGG-19 on what the benchmark knows of its pictures, for losses where the pretrained one cannot be had.

python -m eval.rendered_people.train_features --data DATA/body DATA/simple --out features.safetensors

The file goes into `features.vgg` of a training's configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.errors import InputError

from .instrument_data import Frames, batch_of, read_frames
from .instrument_files import save_instrument
from .instrument_pictures import recoloured
from .skeleton import PARTS
from .train_instruments import fit

GROUPS = ((1, 1), (2, 2), (4,) * 4, (8,) * 4, (8,))  # of convolutions up to relu5_1, times the width
_STATISTICS = (
    (0.485, 0.229),
    (0.456, 0.224),
    (0.406, 0.225),
)  # that VGG-19's pictures are normalised with, mean and deviation
_LOOK = 128  # pictures that the layers are brought to one size with


class FeatureTrainer(nn.Module):
    """The layers, and what they are to tell: every pixel's part of the body from each group, and who it is from the last.

    Args:
        width: features of the first layer; VGG-19 has 64.
        people: in the data.
    """

    def __init__(self, width: int, people: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, taps = 3, []
        for group in GROUPS:
            layers += [nn.MaxPool2d(2)] if layers else []
            taps.append(len(layers) + 1)
            for times in group:
                convolution = nn.Conv2d(channels, times * width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                layers += [convolution, nn.ReLU()]
                channels = times * width
        self.features, self.taps = nn.Sequential(*layers), taps
        self.parts = nn.ModuleList(nn.Conv2d(width * group[0], len(PARTS), 1) for group in GROUPS[1:])
        self.people = nn.Linear(channels, people)
        means, deviations = zip(*_STATISTICS, strict=True)
        self.mean, self.deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (means, deviations))

    def forward(self, images: Tensor) -> list[Tensor]:
        """The five maps that losses compare, of images ``(B, 3, H, W)`` in [0, 1]."""
        x, seen = (images - self.mean) / self.deviation, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                seen.append(x)
        return seen


def feature_loss(trainer: FeatureTrainer, frames: Frames, numbers: np.ndarray) -> Tensor:
    """Cross entropies of parts at four sizes, and of people."""
    images, parts = batch_of(frames, numbers)
    if np.random.default_rng(numbers).random() < 0.5:  # both ways round, but left stays left
        images = images.flip(-1)
        parts = torch.tensor(_MIRRORED)[parts.flip(-1)]
    with torch.autocast("cpu", torch.bfloat16):
        seen = trainer(recoloured(images, 0.7))
        told = [head(features) for head, features in zip(trainer.parts, seen[1:], strict=True)]
        people = trainer.people(seen[-1].mean((2, 3)))
    loss = F.cross_entropy(people.float(), torch.from_numpy(frames.people[numbers]).long())
    for logits in told:
        target = F.interpolate(parts.float(), logits.shape[-2:], mode="nearest-exact").long()[:, 0]
        loss = loss + F.cross_entropy(logits.float(), target)
    return loss


def _other_side(part: str) -> str:
    side, _, rest = part.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, part)


_MIRRORED = [PARTS.index(_other_side(part)) for part in PARTS]


@torch.no_grad()
def equalise(trainer: FeatureTrainer, frames: Frames) -> None:
    """Scale every layer so that its features' mean square is 1, as with untrained weights; what they tell stays the same.

    ReLU and maximum let a positive factor through, so the layers of a trained network can be brought to any size. All of them
    then count alike in a loss that adds up differences of features.
    """
    images, _ = batch_of(frames, np.linspace(0, len(frames) - 1, min(_LOOK, len(frames))).astype(int))
    x, before = (images - trainer.mean) / trainer.deviation, 1.0
    for layer in trainer.features:
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(before)
            size = layer(x).relu().square().mean().sqrt().clamp_min(1e-6).item()  # of what the layer gave before
            for parameter in layer.parameters():
                parameter.div_(size)
            before = size
        x = layer(x)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.rendered_people.train_features", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--data", required=True, nargs="+", type=Path, metavar="ROOT", help="rendered data, of which train is used")
    add(
        "--out",
        required=True,
        type=Path,
        metavar="FILE.safetensors",
        help="for the weights, with a json file beside them",
    )
    add("--width", type=int, default=16, help="features of the first layer; VGG-19 has 64 (default: %(default)s)")
    add("--steps", type=int, default=800, help="(default: %(default)s)")
    add("--batch", type=int, default=16, help="pictures a step (default: %(default)s)")
    add("--rate", type=float, default=1e-3, help="the highest learning rate (default: %(default)s)")
    add("--seed", type=int, default=0, help="of everything that is random (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        for name, least in (("width", 1), ("steps", 2), ("batch", 1)):
            if getattr(options, name) < least:
                raise InputError(f"{name}: must be at least {least}, got {getattr(options, name)}")
        frames = read_frames(options.data, "train")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    torch.manual_seed(options.seed)
    trainer = FeatureTrainer(options.width, int(frames.people.max()) + 1)
    fit(trainer, lambda numbers: feature_loss(trainer, frames, numbers), len(frames), options)
    equalise(trainer.to("cpu"), frames)
    settings = {name: getattr(options, name) for name in ("width", "steps", "batch", "rate", "seed")}
    about = {"people": len(np.unique(frames.people)), "frames": len(frames), **settings}
    save_instrument(nn.ModuleDict({"features": trainer.features}), options.out, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
