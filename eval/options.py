"""The options that several commands of the evaluation have in common, and the models and instruments that they name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import torch

from motion_core import MotionInterpPipeline
from motion_core.hardware import choose_device, choose_dtype
from motion_core.settings import Background

from .instruments import DETECTORS, EMBEDDERS, IdentityEmbedder, LandmarkDetector, open_detector, open_embedder


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data and --split."""
    parser.add_argument("--data", required=True, type=Path, help="the folder that holds the split")
    parser.add_argument("--split", default="test", help="folder with the videos")


def add_device(parser: argparse.ArgumentParser, dtype: bool = True) -> None:
    """Add --device, and --dtype for commands that run a model."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    if dtype:
        parser.add_argument("--dtype", default="float32", help="of the convolutions: float32, bfloat16, auto")


def add_animation(parser: argparse.ArgumentParser, t: bool = True, background: bool = True) -> None:
    """Add --strategy, and where they are used --t and --background."""
    parser.add_argument("--strategy", help="how the interpolated image is chosen, as in `motion_core animate`")
    if t:
        parser.add_argument("--t", type=float, help="animate the interpolated image at this time in [0, 1]")
    if background:
        parser.add_argument(
            "--background",
            choices=["auto", *get_args(Background)],
            default="auto",
            help="whether the background moves as predicted; auto: where the model has a predictor",
        )


def add_instruments(parser: argparse.ArgumentParser) -> None:
    """Add --detector and --embedder."""
    parser.add_argument("--detector", help=f"for AKD, MKR and jitter: {', '.join(DETECTORS)}; some with :FILE")
    parser.add_argument("--embedder", help=f"for AED: {', '.join(EMBEDDERS)}; some with :FILE")


def open_instruments(
    detector: str | None, embedder: str | None, device: str
) -> tuple[LandmarkDetector | None, IdentityEmbedder | None]:
    """The detector and the embedder of these names; None where none is named."""
    return detector and open_detector(detector, device), embedder and open_embedder(embedder, device)  # type: ignore[return-value]


def load_pipeline(
    model: str | None, device: str | torch.device = "cpu", dtype: str = "float32"
) -> MotionInterpPipeline:
    """A saved pipeline on its device, None for the one in the package; it shows no progress."""
    from diffusers.utils import logging

    logging.disable_progress_bar()
    own = choose_device(device) if isinstance(device, str) else device
    pipeline = MotionInterpPipeline.from_pretrained(*([] if model is None else [model]), dtype=choose_dtype(own, dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(own)
