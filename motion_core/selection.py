"""Which interpolated image is animated: one time t per frame, by scores of the candidates, steady over a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameSelection:
    """Which interpolated image was animated.

    Attributes:
        t: its time in [0, 1]; 0 is the picture itself.
        score: its score; None where it was not chosen by scores.
        candidates: the times that it was chosen from.
        candidate_scores: theirs, higher is better; comparable within one strategy only.
    """

    t: float
    score: float | None = None
    candidates: tuple[float, ...] = ()
    candidate_scores: tuple[float, ...] = ()


def given_time(t: float, count: int) -> list[FrameSelection]:
    """The same time for `count` frames, not chosen by scores."""
    return [FrameSelection(torch.tensor(float(t)).item())] * count  # to the bit what is computed with


class SteadyChoice:
    """Takes each frame's best candidate, but stays with the frame before unless another is better by a margin.

    Without the margin the choice flickers between candidates of nearly equal scores, and the picture with it. The picture itself,
    which is the first candidate, counts as the frame before the first one.

    Args:
        margin: in units of the scores, 0 or more; 0 always takes the best.
        one_video: False takes every frame for the first one of a video.
    """

    def __init__(self, margin: float, one_video: bool = True) -> None:
        self.margin, self.one_video = margin, one_video
        self._last = 0

    def __call__(self, times: Tensor, scores: Tensor) -> list[FrameSelection]:
        """The choice for the next B frames of the video; times ``(M,)``, scores ``(B, M)``."""
        scores = scores.float().cpu()
        candidates = tuple(times.tolist())
        chosen = []
        for frame in scores:
            best = int(frame.argmax())
            if frame[best] <= frame[self._last] + self.margin:
                best = self._last
            chosen.append(FrameSelection(candidates[best], frame[best].item(), candidates, tuple(frame.tolist())))
            self._last = best if self.one_video else 0
        return chosen
