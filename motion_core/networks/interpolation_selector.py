"""Which interpolated image to animate: the largest step towards the driving pose that keeps the identity."""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusers_base import register_to_config
from ..geometry import cell_areas, geometry_precision, identity_grid_like, warp_by_each
from ..settings import Strategy
from ..structures import Candidates
from .base import CoordinateModel, public_component


@public_component
class OptimalInterpolationSelector(CoordinateModel):
    """Scores candidates by their dense motion alone; none of their images is made.

    `forward` is the learned scorer: a small convolutional network on what the first hop shows (the deformed small source, its
    visibility, flow and stretch) and on the motion it leaves. It is trained by ranking and never sees an error at
    inference. It starts with equal scores, of which the first, t = 0, is taken: no hop. Wang & Li, ICML 2025, choose by
    identity and nearness to the driving pose; how they score is not published, this is our own.

    Args:
        num_candidates: M; they are t = 0, 1/M, ..., (M - 1)/M.
        features: width of the first layer.
        image_channels: of the source image.
        balance: of the analytic score, visible share lost per unit of motion left.
        fixed_time: of the strategy "fixed".
        default_strategy: what chooses if nothing else is asked for; "none" for a selector that was not trained.

    Raises:
        ValueError: a size below 1, a negative balance, a time outside [0, 1], or an unknown strategy.
    """

    _keep_in_fp32_modules = ["encoder", "head"]  # type: ignore[assignment]  # the base class has None

    @register_to_config
    def __init__(
        self,
        num_candidates: int = 8,
        features: int = 16,
        image_channels: int = 3,
        balance: float = 0.5,
        fixed_time: float = 0.5,
        default_strategy: str = "learned",  # a Strategy; diffusers cannot read a Literal
    ) -> None:
        super().__init__()
        if min(num_candidates, features, image_channels) < 1:
            raise ValueError(f"sizes must be 1 or more, got {num_candidates=}, {features=}, {image_channels=}")
        if balance < 0 or not 0 <= fixed_time <= 1:
            raise ValueError(f"balance must be 0 or more and fixed_time in [0, 1], got {balance=}, {fixed_time=}")
        if default_strategy not in get_args(Strategy):
            raise ValueError(
                f"default_strategy must be one of {', '.join(get_args(Strategy))}, got {default_strategy!r}"
            )
        self.balance, self.fixed_time = balance, fixed_time
        self.default_strategy: Strategy = default_strategy  # type: ignore[assignment]  # it is one, see above
        self.num_candidates = num_candidates
        inputs = image_channels + 4  # the deformed source, visibility, flow (2), stretch
        # No norms: the mean of a normalised map is always the same, and how much is visible would be lost.
        self.encoder = nn.Sequential(
            nn.Conv2d(inputs, features, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, 2 * features, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        last = nn.Linear(2 * features, 1, bias=False)  # only differences of scores mean anything
        nn.init.zeros_(last.weight)
        self.head = nn.Sequential(nn.Linear(2 * features + 3, 2 * features), nn.ReLU(), last)

    def forward(self, small_source: Tensor, candidates: Candidates) -> Tensor:
        """The learned scores ``(B, M)``; the highest is the best. Their differences are log odds of being better.

        Args:
            small_source: as the dense motion network sees it, ``(B, 3, h, w)`` or ``(1, 3, h, w)``, in [0, 1].
            candidates: of B poses.
        """
        batch, count, height, width, _ = candidates.deformation.shape
        with geometry_precision(small_source):
            grids = candidates.deformation.float()
            pictures = warp_by_each(small_source.float(), grids).flatten(0, 1)  # (B * M, 3, h, w)
            flow = (grids - identity_grid_like(grids)).flatten(0, 1).movedim(-1, 1)  # (B * M, 2, h, w)
            areas = cell_areas(grids.flatten(0, 1)).clamp(1 / 16, 16).log()  # (B * M, h - 1, w - 1)
            stretch = F.pad(areas[:, None], (0, 1, 0, 1), mode="replicate")
            visible = candidates.visibility.float().reshape(batch * count, 1, height, width)
            seen = self.encoder(self.compute(torch.cat((pictures, visible, flow, stretch), dim=1)))
            whole = candidates.displacement[:, None].expand_as(candidates.remaining)
            numbers = torch.stack((candidates.times, candidates.remaining, whole), dim=-1).float()  # (B, M, 3)
            pooled = seen.mean(dim=(2, 3)).unflatten(0, (batch, count))  # (B, M, 2 * features)
            return self.head(torch.cat((pooled, numbers), dim=-1)).squeeze(-1)

    def analytic(self, candidates: Candidates) -> Tensor:
        """Visible share of the first hop minus `balance` times the motion left, ``(B, M)``; needs no training."""
        return candidates.visibility.float().mean(dim=(2, 3)) - self.balance * candidates.remaining
