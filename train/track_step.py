"""One batch of pairs to the losses of the motion alone, where it is known which points correspond; nothing is painted.

Most of a step's time goes into the image that it makes and into comparing that. Without it, keypoints and motion see several
times as many pairs, and learn in minutes where limbs go; the motion stage goes on from there with images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from motion_core.hops import displacement
from motion_core.structures import Keypoints

from . import losses
from .config import TrainingConfig
from .draws import draw
from .motion_step import StepOutput
from .phase import Phase

TRAINED = ("keypoint_detector", "background_predictor", "dense_motion_network")


class TrackStep(nn.Module):
    """Called like `train.motion_step.MotionStep`; the networks that motion is made of are its parameters.

    Args:
        networks: by their names in a pipeline.
        config: of the run.
    """

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig) -> None:
        super().__init__()
        self.networks, self.config = (
            nn.ModuleDict({name: networks[name] for name in TRAINED if name in networks}),
            config,
        )

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """The losses of pairs in both directions: "tracks", "equivariance", "background", and where they have weights "centres"
        and "contributions", which tell each spline the group of points that it is for; as in `MotionStep.forward`."""
        source, driving = batch["source"], batch["driving"]
        model = self.config.model
        drawn = draw(self.config.seed, batch["number"].tolist(), model.candidates, model.num_splines, source.device)
        spline = drawn.splines[1]
        images = torch.cat((source, driving, spline.transform_image(driving)))
        here, there, bent = self.networks["keypoint_detector"](images).points.chunk(3)  # (B, K, N, 2) each
        parts = {
            "equivariance": losses.equivariance_loss(there.flatten(1, 2), spline.transform_points(bent.flatten(1, 2)))
        }
        transforms: Tensor | None = None
        if "background_predictor" in self.networks:
            both = self.networks["background_predictor"](torch.cat((source, driving)), torch.cat((driving, source)))
            transform, backward = both.chunk(2)
            parts["background"] = losses.background_loss(transform, backward)
            transforms = torch.cat((transform, torch.linalg.inv(transform)))
        motion: Any = self.networks["dense_motion_network"]
        made = motion(
            motion.shrink_source(torch.cat((source, driving))),
            Keypoints(torch.cat((here, there))),
            Keypoints(torch.cat((there, here))),
            transforms,
        )
        # Sources first: the second half of the joint batch is the way back
        starts, goals = torch.cat(batch["points"].unbind(dim=1)), torch.cat(batch["points"].unbind(dim=1)[::-1])
        seen = torch.cat(batch["visible"].unbind(dim=1)[::-1])  # in the goals
        tracked, groups = batch["visible"].all(dim=1), batch["groups"].repeat(2, 1)
        parts["tracks"] = _mean_of_halves(losses.track_loss(made.deformation, starts, goals, tracked.repeat(2, 1)))
        if phase.weights["centres"]:
            parts["centres"] = _mean_of_halves(losses.centre_loss(torch.cat((there, here)), goals, seen, groups))
        if phase.weights["contributions"]:
            parts["contributions"] = _mean_of_halves(
                losses.contribution_loss(made.contribution_maps, goals, seen, groups)
            )
        apart = torch.linalg.vector_norm(starts - goals, dim=-1)[: len(source)] * tracked
        still = apart.sum(dim=1) / tracked.sum(dim=1).clamp(min=1)
        figures = {"still": still, "displacement": displacement(Keypoints(here), Keypoints(there))}
        weighted = {name: phase.weights[name] * values.mean() for name, values in parts.items() if phase.weights[name]}
        return StepOutput(
            weighted,
            torch.stack(tuple(weighted.values())).sum(),
            {name: value.detach().float() for name, value in figures.items()},
        )


def _mean_of_halves(values: Tensor) -> Tensor:
    """``(2 B,)`` to ``(B,)``: of both directions of each pair."""
    return values.unflatten(0, (2, -1)).mean(dim=0)
