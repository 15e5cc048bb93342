"""Figures before other backgrounds: a detector that has few pictures knows them by heart, and where limbs are with them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_STEP = 0.6180339887498949  # golden ratio: its multiples are spread evenly over [0, 1)


def exchange_backgrounds(batch: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The batch with the figures of a share of its samples before the background of the next sample in it.

    That one's own figure is covered with what is half a picture's width beside it. Samples whose silhouette is not known stay as
    they are; which others are changed depends on their numbers alone.

    Args:
        batch: "source" and "driving" ``(B, 3, H, W)``, "silhouette" ``(B, 2, 1, H, W)``, 0 where there is only background,
            and "number" ``(B,)``.
        share: of the samples, in [0, 1].
    """
    images = torch.stack((batch["source"], batch["driving"]), dim=1)  # (B, 2, 3, H, W)
    figures = batch["silhouette"] > 0
    behind = torch.where(figures, images.roll(images.shape[-1] // 2, dims=-1), images).roll(1, dims=0)
    known = ~figures.flatten(1).all(dim=1)
    chosen = known & ((batch["number"].double() * _STEP) % 1 < share).to(known.device)
    images = torch.where(chosen.view(-1, 1, 1, 1, 1) & ~figures, behind, images)
    return {**batch, "source": images[:, 0], "driving": images[:, 1]}
