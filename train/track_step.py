"""One batch of pairs to the losses of the motion alone, where it is known which points correspond; nothing is painted.

Most of a step's time goes into the image that it makes and into comparing that. Without it, keypoints and motion see several
times as many pairs, and learn in minutes where limbs go; the motion stage goes on from there with images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from motion_core.hops import displacement

from . import losses
from .backgrounds import exchange_backgrounds
from .config import TrainingConfig
from .draws import draw
from .known_motion import MOTION, known_keypoints, known_motion
from .motion_step import StepOutput, background_motion
from .phase import Phase

TRAINED = ("keypoint_detector", "dense_motion_network")


class TrackStep(nn.Module):
    """Called like `train.motion_step.MotionStep`; keypoint detector and dense motion network are its parameters.

    The background's motion is taken as it is: points of the figure do not tell how that moves.

    Args:
        networks: by their names in a pipeline.
        config: of the run.
    """

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig) -> None:
        super().__init__()
        trained = TRAINED if any(getattr(config.losses, name) for name in MOTION) else TRAINED[:1]
        self.networks = nn.ModuleDict({name: networks[name] for name in trained})
        self._frozen = (networks,)  # in a tuple, since the rest is not trained
        self.config = config

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """The losses of pairs in both directions that have weights: those of `known_motion`, "equivariance".

        Where none needs the dense motion, that is not computed, and the keypoints learn alone.
        """
        if self.config.data.backgrounds:
            batch = exchange_backgrounds(batch, self.config.data.backgrounds)
        source, driving = batch["source"], batch["driving"]
        weights, model = phase.weights, self.config.model
        parts: dict[str, Tensor] = {}
        images = [source, driving]
        if weights["equivariance"]:
            drawn = draw(self.config.seed, batch["number"].tolist(), model.candidates, model.num_splines, source.device)
            images.append(drawn.splines[1].transform_image(driving))
        points = self.networks["keypoint_detector"](torch.cat(images)).points.split(len(source))  # (B, K, N, 2) each
        here, there = known_keypoints(batch, weights["keypoints"], points[:2], parts)
        if weights["equivariance"]:
            seen = drawn.splines[1].transform_points(points[2].flatten(1, 2))
            parts["equivariance"] = losses.equivariance_loss(points[1].flatten(1, 2), seen)
        if any(weights[name] for name in MOTION):
            with torch.no_grad():
                transforms = background_motion(self._frozen[0], source, driving, phase, {})
            network: Any = self.networks["dense_motion_network"]
            small = network.shrink_source(torch.cat((source, driving))).chunk(2)
            move = network if self.config.losses.fine_occlusion else network.coarse
            motions = [move(small[0], here, there, transforms[0]), move(small[1], there, here, transforms[1])]
            parts |= known_motion(batch, weights, motions, transforms)
        starts, goals = batch["points"].unbind(dim=1)
        tracked = batch["visible"].all(dim=1)
        apart = torch.linalg.vector_norm(starts - goals, dim=-1) * tracked
        still = apart.sum(dim=1) / tracked.sum(dim=1).clamp(min=1)
        figures = {"still": still, "displacement": displacement(here, there)}
        weighted = {name: weights[name] * values.mean() for name, values in parts.items() if weights[name]}
        return StepOutput(
            weighted,
            torch.stack(tuple(weighted.values())).sum(),
            {name: value.detach().float() for name, value in figures.items()},
        )
