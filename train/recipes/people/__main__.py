"""The recipe of the model for people that ships, stage by stage.

python -m train.recipes.people data --body BODY.npz --motion MOTION.npz --photos FOLDER --clips MANIFEST.csv --work WORK
python -m train.recipes.people layout --work WORK
python -m train.recipes.people background --work WORK --features FEATURES.safetensors
python -m train.recipes.people painter --work WORK --features FEATURES.safetensors
python -m train.recipes.people joint --work WORK --features FEATURES.safetensors
python -m train.recipes.people ship --work WORK

What ships can be trained on: `unpack` writes its weights as if the stages had made them, after stage data.

python -m train.recipes.people unpack --work WORK
python -m train.recipes.people joint --work WORK --features FEATURES.safetensors --begin WORK/weights/joint.safetensors
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motion_core.errors import InputError
from motion_core.networks.layered.layer_painter import LayerPainter
from motion_core.networks.layered.layout_network import LayoutNetwork
from motion_core.networks.layered.strip_correction import StripCorrection
from motion_core.pipeline import MotionInterpPipeline
from motion_core.saved_pipeline import SHIPPED
from train.features import PerceptualFeatures, load_vgg

from .batches import draw_batch
from .data_stage import CONTENTS, Sources, make_data
from .layout_stage import layout_losses
from .loop import Stage, load_weights, run, save_weights
from .pack import Pack
from .painter_stage import background_losses, painter_losses
from .ship import people_pipeline, ship

STEPS = {"layout": 6000, "background": 2000, "painter": 5000, "joint": 5000}
RATES = {"layout": 2e-3, "background": 2e-3, "painter": 2e-3, "joint": 5e-4}
PAIRS = {
    "layout": {"rendered": 9, "real": 3, "clips": 1},
    "background": {"rendered": 8, "real": 4},
    "painter": {"rendered": 7, "real": 4, "clips": 1},
    "joint": {"rendered": 6, "real": 4, "clips": 1},
}  # of a batch, by pack


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.recipes.people", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=("data", *STEPS, "ship", "unpack"))
    parser.add_argument("--work", type=Path, required=True, metavar="WORK", help="packs and weights are there")
    parser.add_argument("--features", type=Path, help="what train.convert_efficientnet made")
    parser.add_argument("--packs", nargs="+", choices=("rendered", "real", "clips"), help="train on these alone")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--begin", type=Path, metavar="FILE", help="weights that the same stage made, to begin with")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other pairs, for more steps")
    for name, what in (
        ("body", "file of a body for the renderer"),
        ("motion", "file of motion capture for the renderer"),
        ("photos", "folder of photo pairs NAME_0.jpg, NAME_1.jpg"),
        ("clips", "manifest of real clips"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=f"stage data: {what}")
    parser.add_argument(
        "--out", type=Path, default=SHIPPED, help="stage ship: folder of the pipeline (default: the package's)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def _features(file: Path | None) -> PerceptualFeatures:
    if file is None:
        raise InputError("--features: must be the file that train.convert_efficientnet makes")
    return load_vgg(str(file), scales=(1,))


def pairs_of(stage: str, only: Sequence[str] | None) -> dict[str, int]:
    """How many pairs of a batch come from each pack; those of packs that are left out, from rendered people."""
    pairs = PAIRS[stage]
    if only is None:
        return pairs
    if "rendered" not in only:
        raise InputError("--packs: must have 'rendered', whose limbs are known")
    chosen = {name: count for name, count in pairs.items() if name in only}
    chosen["rendered"] += sum(pairs.values()) - sum(chosen.values())
    return chosen


def trained(weights: Path) -> tuple[LayoutNetwork, LayerPainter, StripCorrection]:
    """The networks that the stages made; stage "joint" may have been left out.

    Raises:
        InputError: one of them has not been run.
    """
    layout, painter, correction = LayoutNetwork(), LayerPainter(), StripCorrection()
    load_weights({"correction": correction}, weights / "correction.safetensors")
    joint = weights / "joint.safetensors"
    for stage, networks in _learned(layout, painter).items():
        if stage != "joint":
            load_weights(networks, joint if joint.is_file() else weights / f"{stage}.safetensors")
    return layout, painter, correction


def unpack(weights: Path) -> None:
    """Write the weights of the pipeline that ships as the stages would have."""
    pipeline: Any = MotionInterpPipeline.from_pretrained(SHIPPED)
    layout, painter = pipeline.dense_motion_network, pipeline.image_generator
    made = {
        **_learned(layout, painter),
        "limbs": {"limb_motion": layout.limb_motion},
        "correction": {"correction": pipeline.keypoint_detector.correction},
    }
    for stage, networks in made.items():
        save_weights(nn.ModuleDict(networks), weights / f"{stage}.safetensors")


def _learned(layout: LayoutNetwork, painter: LayerPainter) -> dict[str, dict[str, nn.Module]]:
    """What each stage learns, by its name in the file."""
    background, figure = _background(painter), _figure(painter)
    return {
        "layout": {"layout": layout},
        "background": background,
        "painter": figure,
        "joint": {"layout": layout, **background, **figure},
    }


def _background(painter: LayerPainter) -> dict[str, nn.Module]:
    return {"background_net": painter.background_net, "background_head": painter.background_head}


def _figure(painter: LayerPainter) -> dict[str, nn.Module]:
    return {"figure_net": painter.figure_net, "figure_head": painter.figure_head}


def train(
    stage: str,
    work: Path,
    features: Path | None,
    steps: int | None = None,
    only: Sequence[str] | None = None,
    begin: Path | None = None,
    seed: int = 0,
) -> None:
    """Run a stage of training, from weights that it made before if `begin` is given; another `seed` draws other pairs.

    Raises:
        InputError: a file is missing.
    """
    torch.manual_seed(seed)
    drawn = list(STEPS).index(stage) + len(STEPS) * seed
    weights = work / "weights"
    layout, painter = LayoutNetwork(), LayerPainter()
    packs = [(Pack.open(work / "packs" / name), count) for name, count in pairs_of(stage, only).items()]
    learned = _learned(layout, painter)
    deep = None if stage == "layout" else _features(features)
    for before in {"painter": ("layout", "background"), "joint": ("layout", "background", "painter")}.get(stage, ()):
        load_weights(learned[before], weights / f"{before}.safetensors")

    def losses(step: int) -> dict[str, Tensor]:
        batch = draw_batch(packs, drawn, step)
        if deep is None:
            return layout_losses(layout, batch)[0]
        if stage == "background":
            return background_losses(painter, deep, batch)
        return painter_losses(layout, painter, deep, batch, joint=stage == "joint")

    if begin is not None:
        load_weights(learned[stage], begin)
    # Those that stage data made last: the files of other stages have the limbs that they were trained with
    load_weights({"limb_motion": layout.limb_motion}, weights / "limbs.safetensors")
    layout.limb_motion.requires_grad_(False)
    layout.eval()
    painter.eval()
    run(Stage(stage, learned[stage], losses, steps or STEPS[stage], RATES[stage], drawn), weights)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        match options.stage:
            case "data":
                given = {name: getattr(options, name) for name in ("body", "motion", "photos", "clips")}
                if missing := [name for name, path in given.items() if path is None]:
                    raise InputError(f"--{missing[0]}: must be given for stage data")
                make_data(Sources(**given), options.work, options.threads)
            case "unpack":
                unpack(options.work / "weights")
            case "ship":
                print(
                    ship(
                        people_pipeline(*trained(options.work / "weights")),
                        options.work / "packs" / CONTENTS,
                        options.out,
                    )
                )
            case _:
                train(
                    options.stage,
                    options.work,
                    options.features,
                    options.steps,
                    options.packs,
                    options.begin,
                    options.seed,
                )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
