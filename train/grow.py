"""Go on training at twice the size: ``python -m train.grow SMALL LARGE``.

A processor without GPU learns motion on small images several times as fast. The pipeline that comes out finds keypoints and
motion at the size that it was trained at, as before, and paints images of twice the size; train it on with `init_from: LARGE`,
and with `data.image_size` and the three `shrink` of `model` doubled. With ``--finer`` only the background's `shrink` is doubled:
keypoints and motion then see twice the detail, which suits networks trained on pairs seen from twice as near (`data.zoom`).
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
from motion_core.networks.tpsmm.dense_motion import DenseMotionNetwork
from motion_core.pipeline import MotionInterpPipeline

SHRINKING = ("keypoint_detector", "background_predictor", "dense_motion_network")
BACKGROUND = ("background_predictor",)  # its transform is that of the whole image in any case
VISIBLE = 2.0  # logit of the new, finest occlusion mask: nearly all of the deformed image is kept at first


def grow(pipeline: MotionInterpPipeline, finer: bool = False) -> MotionInterpPipeline:
    """A pipeline for images of twice the size.

    Its motion is that of `pipeline` for the same image at half the size; if it is to be `finer`, what `pipeline` finds in a
    window of the image that is as large as its own images.
    """
    networks: dict[str, Any] = {
        name: network for name, network in pipeline.components.items() if isinstance(network, nn.Module)
    }
    for name in BACKGROUND if finer else SHRINKING:
        if name in networks:
            networks[name] = _with_twice_the_shrink(networks[name])
    saved: Any = pipeline.config
    size = [2 * side for side in saved.image_size]
    return MotionInterpPipeline(**networks, image_size=size, variant=saved.variant)


def _with_twice_the_shrink(network: Any) -> nn.Module:
    settings = {key: value for key, value in network.config.items() if not key.startswith("_")}
    grown = type(network)(**settings | {"shrink": 2 * settings["shrink"]})
    state = network.state_dict()
    if isinstance(network, DenseMotionNetwork):
        state = _with_a_finer_mask(state, grown)
    grown.load_state_dict(state)
    return grown.eval()


def _with_a_finer_mask(state: dict[str, Tensor], grown: Any) -> dict[str, Tensor]:
    """The weights for one more refinement and one more mask; the number of masks stays, so the coarsest goes."""
    if len(grown.occlusion) == 1:
        return state
    kept = {name: value for name, value in state.items() if not name.startswith("occlusion.")}
    for index in range(len(grown.occlusion) - 1):
        for part in ("weight", "bias"):
            kept[f"occlusion.{index}.{part}"] = state[f"occlusion.{index + 1}.{part}"]
    with torch.no_grad():
        nn.init.zeros_(grown.occlusion[-1].weight)
        nn.init.constant_(grown.occlusion[-1].bias, VISIBLE)
    return {name: kept.get(name, value) for name, value in grown.state_dict().items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status: 0, or 2 with a sentence for what cannot be used."""
    parser = argparse.ArgumentParser(description="Makes a saved pipeline into one for images of twice the size.")
    parser.add_argument("small", metavar="SMALL", help="folder of the pipeline, or its name on the Hub")
    parser.add_argument("large", type=Path, metavar="LARGE", help="folder to write")
    parser.add_argument("--finer", action="store_true", help="keypoints and motion see twice the detail")
    options = parser.parse_args(arguments)
    try:
        torch.manual_seed(0)  # of the new refinement
        grown = grow(MotionInterpPipeline.from_pretrained(options.small), options.finer)
        grown.save_pretrained(options.large)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"for images of twice the size: {options.large}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
