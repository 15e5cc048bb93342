"""The published backbone with packed networks, whose features are sampled and masked in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..geometry import resize_aligned, warp
from ..networks.tpsmm.backbone import TPSMMBackbone
from ..networks.view_fusion import ViewFusion, ViewKind
from ..structures import DenseMotion, EncodedSource, Keypoints, SourceFeatures, WarpedView
from .sampling import warp_visible


@dataclass(frozen=True)
class UnwarpedView:
    """A source in the driving pose that is deformed only where it is painted or fused.

    Attributes:
        features: of the source.
        motion: to the pose.
        masks: what is visible at each level, from the coarsest, ``(B, 1, h, w)`` in [0, 1].
    """

    features: SourceFeatures
    motion: DenseMotion
    masks: tuple[Tensor, ...]


View = UnwarpedView | WarpedView


@dataclass(frozen=True)
class PackedTPSMM(TPSMMBackbone):
    """`TPSMMBackbone` of packed networks; for inference on a processor."""

    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """As in `TPSMMBackbone`, with the features channels_last."""
        source = super().encode(image, keypoints)
        pyramid = tuple(level.contiguous(memory_format=torch.channels_last) for level in source.features.pyramid)
        return replace(source, features=SourceFeatures(image, pyramid))

    def view(self, source: EncodedSource, motion: DenseMotion) -> UnwarpedView:  # type: ignore[override]  # views are opaque
        """The source in the pose, yet to be deformed."""
        pyramid = source.features.pyramid
        given = motion.occlusion_masks
        masks = given if len(given) == len(pyramid) else given * len(pyramid)
        levels = zip(masks, reversed(pyramid), strict=True)
        return UnwarpedView(
            source.features, motion, tuple(resize_aligned(mask, *level.shape[-2:]) for mask, level in levels)
        )

    def paint(self, view: View) -> Tensor:
        """The image of a view, ``(B, 3, H, W)`` in [0, 1]."""
        if isinstance(view, WarpedView):
            return self.image_generator.paint(view)
        return self._painted(view, self._residual(view))

    def _residual(self, view: UnwarpedView) -> nn.ModuleList:
        """The residual blocks that paint a view."""
        return self.image_generator.residual

    def _painted(self, view: UnwarpedView, residuals: nn.ModuleList) -> Tensor:
        """The image of a view, ``(B, 3, H, W)`` in [0, 1], with these residual blocks."""
        generator = self.image_generator
        levels = list(zip(reversed(view.features.pyramid), view.masks, strict=True))

        def visible(level: int) -> Tensor:
            features, mask = levels[level]
            return warp_visible(features, view.motion.deformation, mask)  # (B, C, h, w)

        out = generator.compute(visible(0))
        for level, (residual, up) in enumerate(zip(residuals, generator.up, strict=True), start=1):
            out = up(residual(out))
            if level < len(generator.up):
                out = torch.cat((out, generator.compute(visible(level))), dim=1)
        mask = view.masks[-1]
        out = torch.addcmul(generator.compute(visible(-1)), out, generator.compute(1 - mask))
        painted = generator.final(out).float().sigmoid()
        return torch.lerp(painted, warp(view.features.image, view.motion.deformation), mask)

    def visible(self, view: View) -> Tensor:
        """What does not have to be painted, ``(B, 1, H, W)`` in [0, 1]."""
        return view.masks[-1]

    def fuse(  # type: ignore[override]
        self, fusion: ViewFusion, views: Sequence[View], kinds: Sequence[ViewKind], prior: Tensor | None = None
    ) -> View:
        """Several views as one; arguments as in `ViewFusion.forward`."""
        if len(views) == 1:
            return views[0]
        return fusion([self._warped(view) for view in views], kinds, prior)

    def _warped(self, view: View) -> WarpedView:
        return view if isinstance(view, WarpedView) else self.image_generator.warp(view.features, view.motion)
