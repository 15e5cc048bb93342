"""Several views of the subject, all in the driving pose, to one: at every pixel the view that shows it best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..diffusers_base import register_to_config
from ..structures import WarpedView
from .base import MotionModel, public_component

ViewKind = Literal["source", "interpolated", "composed"]

START = -4.0  # of the logits of all views but real pictures: they begin with 2 % of a pixel each


@public_component
class ViewFusion(MotionModel):
    """Weights any number of views per scale and pixel by a softmax over the views.

    A view's logit is a 3x3 convolution of its deformed features and its occlusion mask, the same for all views, plus a number per
    kind of view, plus the logarithm of its share among those of its kind: more pictures of the subject compete with each other
    and not with the interpolated image, and one given twice changes nothing. The convolutions start as 0, so that the
    pictures given are used and the interpolated image is not.

    The fusion in "Ours-V2" of Wang & Li, ICML 2025, is not published in detail; this form is our own.

    Args:
        block_expansion, max_features, num_down_blocks: the image generator's.
        composed_view: add the source sampled once through both hops' deformations, which is free of the interpolated
            image's blur.

    Raises:
        ValueError: a size below 1.
    """

    @register_to_config
    def __init__(
        self,
        block_expansion: int = 64,
        max_features: int = 512,
        num_down_blocks: int = 3,
        composed_view: bool = False,
    ) -> None:
        super().__init__()
        if min(block_expansion, max_features) < 1 or num_down_blocks < 0:
            raise ValueError(
                "sizes must be 1 or more and num_down_blocks 0 or more, "
                f"got {block_expansion=}, {max_features=}, {num_down_blocks=}"
            )
        self.composed_view = composed_view
        widths = [min(max_features, block_expansion * 2**level) for level in range(num_down_blocks, -1, -1)]
        # No bias: it would be the same for all views, and the softmax does not see that.
        heads = [nn.Conv2d(width + 1, 1, 3, padding=1, bias=False) for width in widths]
        for head in heads:
            nn.init.zeros_(head.weight)
        self.score = nn.ModuleList(heads)  # from the coarsest level
        start = torch.tensor([0.0, START, START])  # of the ViewKinds
        self.kind = nn.Parameter(start.repeat(len(widths), 1))  # (levels, kinds)

    def weights(
        self, views: Sequence[WarpedView], kinds: Sequence[ViewKind], prior: Tensor | None = None
    ) -> list[Tensor]:
        """Each level's weights of the views, ``(B, V, h, w)`` in [0, 1], which sum to 1; from the coarsest level.

        Arguments as in `forward`.
        """
        columns = [get_args(ViewKind).index(kind) for kind in kinds]
        if prior is None:
            prior = torch.tensor([[-math.log(kinds.count(kind)) for kind in kinds]], device=self.kind.device)
        weights = []
        for level, head in enumerate(self.score):
            logits = [
                head(self.compute(torch.cat((view.levels[level], view.masks[level]), dim=1))).float()
                + self.kind[level, column].float()
                for view, column in zip(views, columns, strict=True)
            ]
            stacked = torch.cat(logits, dim=1) + prior[:, :, None, None]  # (B, V, h, w)
            weights.append(stacked.softmax(dim=1))
        return weights

    def forward(
        self, views: Sequence[WarpedView], kinds: Sequence[ViewKind], prior: Tensor | None = None
    ) -> WarpedView:
        """One view out of several of the same sizes. The finest weights serve the image.

        Args:
            views: V views of B samples.
            kinds: what each of the V is.
            prior: ``(B, V)`` or ``(1, V)``, the logarithm of each view's share among those of its kind; minus infinity where a
                sample has no such view, which then gets no weight; one of kind "source" must be there. None: equal shares.
        """
        if len(views) == 1:
            return views[0]
        weights = self.weights(views, kinds, prior)

        def mix(maps: Sequence[Tensor], weight: Tensor) -> Tensor:
            total = maps[0] * weight[:, :1]
            for index in range(1, len(maps)):
                total = torch.addcmul(total, maps[index], weight[:, index : index + 1])
            return total

        return WarpedView(
            tuple(mix([view.levels[level] for view in views], weight) for level, weight in enumerate(weights)),
            tuple(mix([view.masks[level] for view in views], weight) for level, weight in enumerate(weights)),
            mix([view.image for view in views], weights[-1]),
        )
