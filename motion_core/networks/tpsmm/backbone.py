"""The published backbone behind the interface of `motion_core.backbone`: it mixes coordinates and paints on deformed features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...geometry import compose, identity_grid_like, warp
from ...structures import CoarseMotion, DenseMotion, EncodedSource, Keypoints, WarpedView
from ..view_fusion import ViewFusion, ViewKind
from .dense_motion import DenseMotionNetwork
from .image_generator import ImageGenerator


@dataclass(frozen=True)
class TPSMMBackbone:
    """Dense motion and image generator.

    Attributes:
        kept_splines: spline dropout of all motions, for training, see `DenseMotionNetwork.forward`; `coarse` is without.
    """

    dense_motion_network: DenseMotionNetwork
    image_generator: ImageGenerator
    kept_splines: Tensor | None = None

    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """What motions from `image` ``(B, 3, H, W)`` in [0, 1] need."""
        small_image = self.dense_motion_network.shrink_source(image)
        heatmaps = self.dense_motion_network.heatmaps(small_image, keypoints)
        return EncodedSource(keypoints, small_image, self.image_generator.encode(image), heatmaps)

    def between(self, source: EncodedSource, motion: DenseMotion, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """The source in the pose of a motion as a source itself."""
        return self.encode(image, keypoints)

    def motion(self, source: EncodedSource, pose: Keypoints, background: Tensor | None = None) -> DenseMotion:
        """The dense motion to a pose; `background` ``(B, 3, 3)`` takes coordinates of the pose to the source's."""
        return self.dense_motion_network(
            source.small_image, source.keypoints, pose, background, source.heatmaps, self.kept_splines
        )

    def coarse(self, source: EncodedSource, pose: Keypoints, background: Tensor | None = None) -> CoarseMotion:
        """What judging a motion needs; a source of batch B is that of each pose."""
        motion = self.dense_motion_network.coarse(
            source.small_image, source.keypoints, pose, background, source.heatmaps
        )
        return CoarseMotion(motion.deformation, motion.occlusion_masks[-1].squeeze(1))

    def view(self, source: EncodedSource, motion: DenseMotion) -> WarpedView:
        """The source's features in the pose, before what is hidden is painted."""
        return self.image_generator.warp(source.features, motion)

    def paint(self, view: WarpedView) -> Tensor:
        """The image of a view, ``(B, 3, H, W)`` in [0, 1]."""
        return self.image_generator.paint(view)

    def visible(self, view: WarpedView) -> Tensor:
        """What does not have to be painted, ``(B, 1, H, W)`` in [0, 1]."""
        return view.masks[-1]

    def layers(self, view: WarpedView) -> None:
        """There are none."""

    def unmoved(self, motion: DenseMotion, still: Tensor) -> DenseMotion:
        """The motion, of which the samples that are `still`, ``(B,)`` bool, stay where they are and show all."""
        chosen = still[:, None, None, None]
        return DenseMotion(
            torch.where(chosen, identity_grid_like(motion.deformation), motion.deformation),
            motion.contribution_maps,
            tuple(torch.where(chosen, torch.ones_like(mask), mask) for mask in motion.occlusion_masks),
        )

    def composed(self, first: DenseMotion, second: DenseMotion) -> DenseMotion:
        """The motion of two hops as one: real pixels are sampled once, and are visible where both hops see them."""
        pairs = zip(first.occlusion_masks, second.occlusion_masks, strict=True)
        masks = tuple(warp(early, second.deformation) * late for early, late in pairs)
        return DenseMotion(compose(first.deformation, second.deformation), second.contribution_maps, masks)

    def fuse(
        self, fusion: ViewFusion, views: Sequence[WarpedView], kinds: Sequence[ViewKind], prior: Tensor | None = None
    ) -> WarpedView:
        """Several views as one; arguments as in `ViewFusion.forward`."""
        return fusion(views, kinds, prior)

    def appearance(self, image: Tensor) -> Tensor:
        """What places of an image look like, ``(B, C, h, w)``: the coarsest features."""
        return self.image_generator.encode(image).pyramid[-1]

    def repeated(self, source: EncodedSource, count: int) -> EncodedSource:
        """A source of batch B with each sample `count` times, as far as `coarse` needs it; one of batch 1 serves all."""
        if len(source.small_image) == 1:
            return source

        def each(values: Tensor) -> Tensor:
            return values.repeat_interleave(count, dim=0)

        heatmaps = None if source.heatmaps is None else each(source.heatmaps)
        return replace(
            source,
            keypoints=Keypoints(each(source.keypoints.points)),
            small_image=each(source.small_image),
            heatmaps=heatmaps,
        )
