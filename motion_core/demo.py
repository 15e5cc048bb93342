"""What measurements and tests need and no file provides: drawn pictures, and pipelines of any size with random weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.tpsmm.avd_network import AVDNetwork
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .networks.view_fusion import ViewFusion
from .pipeline import MotionInterpPipeline
from .settings import Variant


@dataclass(frozen=True)
class Widths:
    """Sizes of a pipeline.

    Attributes:
        num_splines: keypoint groups.
        motion, motion_max, generator, generator_max: widths of the two convolutional networks.
        shrink: what the detector reduces images by.
        architecture: timm's network in the detector and the background predictor.
    """

    num_splines: int
    motion: int
    motion_max: int
    generator: int
    generator_max: int
    shrink: int = 1
    architecture: str = "resnet18"


TINY = Widths(2, 4, 16, 4, 16, shrink=4)
SMALL = Widths(5, 8, 64, 8, 32, architecture="regnetx_002")
PUBLISHED = Widths(10, 64, 1024, 64, 512)


def random_pipeline(
    widths: Widths = SMALL, image_size: int = 256, seed: int = 0, variant: Variant = "tpsmm"
) -> MotionInterpPipeline:
    """A pipeline of random weights, the same for the same seed, whose keypoints lie all over the picture and move."""
    splines = widths.num_splines
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = KeypointDetector(num_splines=splines, architecture=widths.architecture, shrink=widths.shrink)
        pipeline = MotionInterpPipeline(
            detector,
            DenseMotionNetwork(splines, block_expansion=widths.motion, max_features=widths.motion_max),
            ImageGenerator(block_expansion=widths.generator, max_features=widths.generator_max),
            AVDNetwork(splines),
            BackgroundPredictor(architecture=widths.architecture),
            image_size,
            None if variant == "tpsmm" else OptimalInterpolationSelector(),
            ViewFusion(widths.generator, widths.generator_max) if variant == "v2" else None,
            variant,
        )
        head = detector.backbone.get_classifier()
        nn.init.normal_(head.weight, std=0.05)
        nn.init.normal_(head.bias, std=1.0)
        if pipeline.selector is not None:  # it starts with equal scores, of which the first is taken: no hop
            nn.init.normal_(pipeline.selector.get_parameter("head.2.weight"), std=1.0)
    for network in pipeline.components.values():
        if network is not None:
            network.eval()
    pipeline.register_to_config(_name_or_path="random weights")
    return pipeline


def draw_figure(size: int, phase: float, colour: tuple[int, int, int], background: tuple[int, int, int]) -> np.ndarray:
    """A figure of discs with one waving arm, ``(size, size, 3)`` uint8.

    Args:
        phase: of the movement, in turns.
        colour, background: RGB, 0 to 255.
    """
    wave, sway = math.sin(2 * math.pi * phase), 0.08 * math.sin(4 * math.pi * phase)
    shoulder = np.array([0.5 + sway, 0.42])

    def limb(start: np.ndarray, angle: float, length: float, radius: float) -> list[tuple[np.ndarray, float]]:
        direction = np.array([math.cos(angle), math.sin(angle)]) * length
        return [(start + direction * step / 8, radius) for step in range(9)]

    discs = [(shoulder + (0, -0.17), 0.09), *limb(shoulder, math.pi / 2, 0.25, 0.08)]
    discs += limb(shoulder + (0.07, 0), -0.3 + 0.9 * wave, 0.22, 0.035) + limb(shoulder - (0.07, 0), 2.3, 0.22, 0.035)
    hip = shoulder + (0, 0.27)
    discs += limb(hip + (0.04, 0), 1.35, 0.25, 0.04) + limb(hip - (0.04, 0), 1.8, 0.25, 0.04)

    axis = (np.arange(size) + 0.5) / size
    canvas = np.ones((size, size, 3)) * np.array(background) * (0.7 + 0.3 * axis[:, None, None])
    for index, (centre, radius) in enumerate(discs):
        first, end = (centre - radius) * size - 1, (centre + radius) * size + 2  # of what it touches, (x, y) in pixels
        x, y = (slice(max(int(first[k]), 0), max(int(end[k]), 0)) for k in range(2))
        distance = np.hypot(axis[None, x] - centre[0], axis[y, None] - centre[1])
        cover = np.clip((radius - distance) * size, 0, 1)[..., None]  # one pixel of soft edge
        canvas[y, x] = canvas[y, x] * (1 - cover) + cover * np.array(colour) * (1 if index else 0.85)
    return canvas.round().clip(0, 255).astype(np.uint8)


def source_picture(size: int = 256) -> np.ndarray:
    """A figure that stands still, ``(size, size, 3)`` uint8."""
    return draw_figure(size, 0.1, (210, 90, 60), (190, 215, 235))


def driving_frames(count: int = 48, size: int = 256) -> list[np.ndarray]:
    """Frames of a driving video, ``count`` frames ``(size, size, 3)`` uint8: one wave of the arm."""
    return [draw_figure(size, index / count, (60, 110, 170), (235, 225, 200)) for index in range(count)]
