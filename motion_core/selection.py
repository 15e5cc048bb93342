"""Choosing the optimal interpolated image: one time t per frame, by scores of the candidates, steady over a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .backbone import Source
from .errors import InputError
from .geometry import sample
from .hops import Hops, displacement
from .interpolation import candidate_times
from .networks.interpolation_selector import OptimalInterpolationSelector
from .networks.layered.person_detector import PersonDetector
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .settings import KeypointPath, Strategy
from .structures import Candidates, Keypoints


@dataclass(frozen=True)
class Selection:
    """What was chosen for B frames.

    Attributes:
        t: ``(B,)`` in [0, 1]; 0 is the source itself.
        score: of that, ``(B,)``; NaN where t was not chosen by scores.
        times: all candidates, ``(M,)``; none where t was given or the strategy is "none" or "fixed".
        scores: theirs, ``(B, M)``; higher is better, and only differences within one strategy mean anything.
    """

    t: Tensor
    score: Tensor
    times: Tensor
    scores: Tensor

    @classmethod
    def given(cls, t: float, count: int) -> Selection:
        """One time for all of `count` frames, chosen by somebody else."""
        empty = torch.zeros(0)
        return cls(torch.full((count,), float(t)), torch.full((count,), torch.nan), empty, empty.expand(count, 0))


def candidate_scores(
    selector: OptimalInterpolationSelector,
    hops: Hops,
    detector: KeypointDetector | PersonDetector,
    source: Source,
    driving: Keypoints,
    background: Tensor | None,
    strategy: Strategy,
    path: KeypointPath = "linear",
) -> tuple[Tensor, Tensor]:
    """The candidates' times ``(M,)`` and their scores ``(B, M)`` for B driving poses, by "learned", "analytic" or "images".

    Raises:
        InputError: another strategy.
    """
    times = candidate_times(selector.num_candidates).to(driving.points.device)  # (M,)
    grid = times.expand(driving.points.shape[0], -1)  # (B, M)
    match strategy:
        case "images":
            return times, image_scores(hops, detector, source, driving, background, grid, path)
        case "learned" | "analytic":
            candidates = hops.candidates(source, driving, background, grid, path)
            return times, score(selector, source.small_image, candidates, strategy)
    raise InputError(f"strategy {strategy!r} has no scores")


def score(
    selector: OptimalInterpolationSelector, small_source: Tensor, candidates: Candidates, strategy: Strategy
) -> Tensor:
    """Scores ``(B, M)`` of candidates by their dense motion."""
    return selector(small_source, candidates) if strategy == "learned" else selector.analytic(candidates)


def image_scores(
    hops: Hops,
    detector: KeypointDetector | PersonDetector,
    source: Source,
    driving: Keypoints,
    background: Tensor | None,
    times: Tensor,
    path: KeypointPath = "linear",
) -> Tensor:
    """The oracle for the cheap scorers: makes the image of every candidate and looks at it, ``(B, M)``.

    The score is how much of the source's identity the image has (the cosine between their coarsest features at the keypoints,
    averaged over these), less the distance of the keypoints found in it from those it was made for, less the motion left
    to the driving pose. The source itself has identity 1 and all of the motion left.

    Args:
        times: ``(B, M)`` in [0, 1].
    """
    identity = _at(hops.backbone.appearance(source.image), source.keypoints)
    columns = []
    for t in times.unbind(dim=1):  # one candidate at a time, for memory
        image, keypoints, _ = hops.interpolate(source, driving, background, t, path)
        features = _at(hops.backbone.appearance(image), keypoints)
        kept = F.cosine_similarity(features, identity, dim=1).mean(dim=1)
        missed = displacement(detector(image), keypoints)
        left = displacement(keypoints, driving)
        real = 1 - displacement(source.keypoints, driving)
        columns.append(torch.where(t == 0, real, kept - missed - left))
    return torch.stack(columns, dim=1)


def _at(features: Tensor, keypoints: Keypoints) -> Tensor:
    """Features at the keypoints, ``(B, C, K * N)``: what a part of the object looks like, wherever it is."""
    return sample(features, keypoints.flat()[:, None]).squeeze(2)


class SteadyChoice:
    """Takes each frame's best candidate, but stays with the frame before unless another is better by a margin.

    Without the margin the choice flickers between candidates of nearly equal scores, and the picture with it. The picture itself,
    which is the first candidate, counts as the frame before the first one.

    Args:
        margin: in units of the scores, 0 or more; 0 always takes the best.
    """

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self._last = 0

    def __call__(self, times: Tensor, scores: Tensor) -> Selection:
        """The choice for the next B frames of the video; times ``(M,)``, scores ``(B, M)``."""
        scores = scores.float().cpu()
        chosen = []
        for frame in scores:
            best = int(frame.argmax())
            if frame[best] <= frame[self._last] + self.margin:
                best = self._last
            chosen.append(best)
            self._last = best
        index = torch.tensor(chosen, dtype=torch.long)
        times = times.float().cpu()
        return Selection(times[index], scores.gather(1, index[:, None]).squeeze(1), times, scores)
