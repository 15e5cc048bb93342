"""One batch of pairs to the loss of the AVD network; everything else is frozen.

Siarohin et al., "Motion representations for articulated animation", CVPR 2021: the driving points of one video, scaled per sample
and axis, must come back unscaled.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from motion_core.structures import Keypoints

from . import losses
from .config import TrainingConfig
from .motion_step import StepOutput
from .schedule import Phase

_STREAM = 0xA7D  # keeps these draws apart from the others of the same sample
SCALES = (0.75, 1.25)


class AvdStep(nn.Module):
    """Called like `train.motion_step.MotionStep`; only the AVD network is its parameter."""

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig) -> None:
        super().__init__()
        self.avd_network, self.seed = networks["avd_network"], config.seed
        self._detector = (networks["keypoint_detector"],)  # in a tuple, since it is not trained

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """The loss of pairs, as in `MotionStep.forward`; `phase` is not used."""
        (detector,) = self._detector
        with torch.no_grad():
            points = detector(torch.cat((batch["source"], batch["driving"]))).points
        source, driving = points.chunk(2)  # (B, K, N, 2) each
        scaled = Keypoints(driving * axis_scales(self.seed, batch["number"]).to(driving)[:, None, None])
        decoded = self.avd_network(Keypoints(source), scaled)
        error = losses.avd_loss(decoded.points, driving)  # (B,)
        return StepOutput({"avd": error.mean()}, {"error": error.detach()})


def axis_scales(seed: int, numbers: Tensor) -> Tensor:
    """U(0.75, 1.25) for each axis of the samples with these numbers, ``(B, 2)``."""
    drawn = [np.random.default_rng((seed, int(number), _STREAM)).uniform(*SCALES, 2) for number in numbers.tolist()]
    return torch.tensor(np.stack(drawn), dtype=torch.float32)
