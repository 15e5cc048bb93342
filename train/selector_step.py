"""One batch of pairs to the loss of the selector; everything else is frozen.

In the motion stage the selector learns from one comparison a pair. Here every candidate's final image is made, without
gradient, and all of them are compared, so that few pairs say much: which time is best for this displacement, and how
much it matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from motion_core.interpolation import candidate_times
from motion_core.transfer import MotionTransfer, displacement

from . import losses
from .config import TrainingConfig
from .motion_step import StepOutput
from .schedule import Phase


class SelectorStep(nn.Module):
    """Called like `train.motion_step.MotionStep`; only the selector is its parameter.

    Args:
        networks: by their names in a pipeline.
        config: of the run.
        features: "vgg", which the final images are compared with the driving image in.
    """

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig, features: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.selector = networks["selector"]
        self._frozen = (networks, dict(features))  # in a tuple, since it is not trained
        self._times = candidate_times(config.model.candidates)

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """The loss of pairs, as in `MotionStep.forward`; `phase` is not used."""
        networks, features = self._frozen
        source, driving = batch["source"], batch["driving"]
        times = self._times.to(source.device).expand(len(source), -1)  # (B, M)
        with torch.no_grad():
            method, goal = MotionTransfer(dict(networks.items())), features["vgg"](driving)
            encoded = method.encode(source)
            motion = method.analyse(encoded, driving, "predicted")
            pose, background = motion.keypoints, motion.background_transform
            images = (method.generate([encoded], pose, [background], t).image for t in times.unbind(dim=1))
            errors = torch.stack(
                [losses.perceptual_loss(features["vgg"](image), goal) for image in images], dim=1
            )  # (B, M)
            candidates = method.candidates(encoded, pose, background, times)
        scores = self.selector(encoded.small_image, candidates)  # (B, M)
        loss = losses.weighted_ranking_loss(scores, errors)
        chosen = scores.argmax(dim=1)  # (B,)
        figures = {
            "error": errors.gather(1, chosen[:, None]).squeeze(1),
            "straight": errors[:, 0],
            "best": errors.min(dim=1).values,
            "t": times.gather(1, chosen[:, None]).squeeze(1),
            "displacement": displacement(encoded.keypoints, pose),
        }
        return StepOutput({"ranking": loss}, {name: value.detach().float() for name, value in figures.items()})
