"""One batch of pairs to the loss of the selector; everything else is frozen.

In the motion stage the selector learns from one comparison a pair. Here every candidate's final image is made, without
gradient, and all of them are compared, so that few pairs say much: which time is best for this displacement, and how
much it matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.hops import displacement
from motion_core.interpolation import candidate_times

from . import losses
from .config import TrainingConfig
from .motion_step import StepOutput
from .networks import hops_of
from .phase import Phase


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
            hops, detector = hops_of(networks), networks["keypoint_detector"]
            encoded, pose = hops.backbone.encode(source, detector(source)), detector(driving)
            background = (
                networks["background_predictor"](source, driving) if "background_predictor" in networks else None
            )
            goal = features["vgg"](driving)
            errors = torch.stack(
                [
                    losses.perceptual_loss(features["vgg"](hops.generate([encoded], pose, [background], t).image), goal)
                    for t in times.unbind(dim=1)
                ],
                dim=1,
            )  # (B, M)
            candidates = hops.candidates(encoded, pose, background, times)
        scores = self.selector(encoded.small_image, candidates)  # (B, M)
        loss = weighted_ranking_loss(scores, errors)
        chosen = scores.argmax(dim=1)  # (B,)
        figures = {
            "error": errors.gather(1, chosen[:, None]).squeeze(1),
            "straight": errors[:, 0],
            "best": errors.min(dim=1).values,
            "t": times.gather(1, chosen[:, None]).squeeze(1),
            "displacement": displacement(encoded.keypoints, pose),
        }
        return StepOutput({"ranking": loss}, loss, {name: value.detach().float() for name, value in figures.items()})


def weighted_ranking_loss(scores: Tensor, errors: Tensor) -> Tensor:
    """The ranking loss of all pairs of M candidates, each weighted by how far their errors are apart, 0-d.

    A pair that hardly matters hardly counts: most samples hardly move, and all times serve them alike. The weights are divided by
    their mean over the batch, so a scale of the errors changes nothing.

    Burges et al., "Learning to rank using gradient descent", ICML 2005, but for the weights.

    Args:
        scores: ``(B, M)``, higher is preferred.
        errors: ``(B, M)``, without gradient.

    >>> weighted_ranking_loss(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))
    tensor(0.6931)
    """
    errors = errors.detach().float()
    first, second = torch.triu_indices(errors.shape[1], errors.shape[1], offset=1, device=errors.device)
    apart = errors[:, first] - errors[:, second]  # (B, M (M - 1) / 2), above 0 where the second is better
    margin = (scores[:, first] - scores[:, second]).float() * apart.sign()  # above 0 where the worse is preferred
    weights = apart.abs() / apart.abs().mean().clamp_min(1e-12)
    return (weights * F.softplus(margin)).mean()
