"""The recipe of the model for people that ships, stage by stage.

python -m train.recipes.people data --body BODY.npz --motion MOTION.npz --photos FOLDER --clips FOLDER --work WORK
python -m train.recipes.people layout --work WORK
python -m train.recipes.people painter --work WORK --features FEATURES.safetensors
python -m train.recipes.people joint --work WORK --features FEATURES.safetensors
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from motion_core.errors import InputError
from motion_core.networks.layered.layer_painter import LayerPainter
from motion_core.networks.layered.layout_network import LayoutNetwork
from train.features import PerceptualFeatures, load_vgg

from .batches import draw_batch, draw_motions
from .layout_stage import layout_losses
from .loop import Stage, load_weights, run
from .pack import Pack
from .painter_stage import background_losses, painter_losses

STEPS = {"layout": 6000, "background": 2000, "painter": 5000, "joint": 5000}
RATES = {"layout": 2e-3, "background": 2e-3, "painter": 2e-3, "joint": 5e-4}
PAIRS = {
    "layout": {"rendered": 9, "real": 3, "clips": 1},
    "background": {"rendered": 8, "real": 4},
    "painter": {"rendered": 7, "real": 4, "clips": 1},
    "joint": {"rendered": 6, "real": 4, "clips": 1},
}  # of a batch, by pack
MOTIONS = 64  # pairs of poses without pictures, of a step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.recipes.people", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, metavar="WORK", help="packs and weights are there")
    parser.add_argument("--features", type=Path, help="what train.convert_efficientnet made")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def _features(file: Path | None) -> PerceptualFeatures:
    if file is None:
        raise InputError("--features: must be the file that train.convert_efficientnet makes")
    return load_vgg(str(file), scales=(1,))


def train(stage: str, work: Path, features: Path | None, steps: int | None) -> None:
    """Run a stage of training.

    Raises:
        InputError: a file is missing.
    """
    torch.manual_seed(0)
    weights = work / "weights"
    layout, painter = LayoutNetwork(), LayerPainter()
    packs = [(Pack.open(work / "packs" / name), count) for name, count in PAIRS[stage].items()]
    seed = list(STEPS).index(stage)
    background = {"background_net": painter.background_net, "background_head": painter.background_head}
    figure = {"figure_net": painter.figure_net, "figure_head": painter.figure_head}
    deep = None if stage == "layout" else _features(features)
    if stage in ("painter", "joint"):
        load_weights({"layout": layout}, weights / "layout.safetensors")
        load_weights(background, weights / "background.safetensors")
    if stage == "joint":
        load_weights(figure, weights / "painter.safetensors")
    networks: dict[str, nn.Module]
    match stage:
        case "layout":
            networks, losses = {"layout": layout}, lambda batch, motions: layout_losses(layout, batch, motions)[0]
        case "background":
            networks, losses = background, lambda batch, _: background_losses(painter, deep, batch)
        case "painter":
            networks, losses = figure, lambda batch, _: painter_losses(layout, painter, deep, batch, None)
        case _:
            networks = {"layout": layout, **background, **figure}
            losses = lambda batch, motions: painter_losses(layout, painter, deep, batch, motions)
    layout.eval()
    painter.eval()

    def losses_at(step: int) -> dict[str, Tensor]:
        motions = draw_motions(packs[0][0], MOTIONS, seed, step) if stage in ("layout", "joint") else None
        return losses(draw_batch(packs, seed, step), motions)

    run(Stage(stage, networks, losses_at, steps or STEPS[stage], RATES[stage], seed), weights)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        train(options.stage, options.work, options.features, options.steps)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
