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
from train.features import load_vgg

from .batches import Batch, draw_batch
from .layout_stage import layout_losses
from .loop import Stage, load_weights, run
from .pack import Pack
from .painter_stage import painter_losses

STEPS = {"layout": 6000, "painter": 5000, "joint": 5000}
RATES = {"layout": 2e-3, "painter": 2e-3, "joint": 5e-4}
PAIRS = {
    "layout": {"rendered": 9, "real": 3, "clips": 1},
    "painter": {"rendered": 7, "real": 4, "clips": 1},
    "joint": {"rendered": 6, "real": 4, "clips": 1},
}  # of a batch, by pack
BEFORE = {"painter": "layout", "joint": "painter"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.recipes.people", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, metavar="WORK", help="packs and weights are there")
    parser.add_argument("--features", type=Path, help="what train.convert_efficientnet made")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


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
    if stage == "layout":
        networks: dict[str, nn.Module] = {"layout": layout}

        def losses(batch: Batch) -> dict[str, Tensor]:
            return layout_losses(layout, batch)[0]
    else:
        if features is None:
            raise InputError("--features: must be the file that train.convert_efficientnet makes")
        deep = load_vgg(str(features), scales=(1,))
        load_weights({"layout": layout}, weights / "layout.safetensors")
        joint = stage == "joint"
        if joint:
            load_weights({"layout": layout, "painter": painter}, weights / "painter.safetensors")
        layout.eval()
        networks = {"layout": layout, "painter": painter} if joint else {"painter": painter}

        def losses(batch: Batch) -> dict[str, Tensor]:
            return painter_losses(layout, painter, deep, batch, joint)

    def batch(step: int) -> Batch:
        return draw_batch(packs, seed, step)

    run(Stage(stage, networks, batch, losses, steps or STEPS[stage], RATES[stage], seed), weights)


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
