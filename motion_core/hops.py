"""From the source to the driving pose in one hop or in two, over an interpolated image; the same code trains and animates.

The first hop takes the source to the keypoints of time t; the image made there is the source of the second. Gradients flow
through it. Wang & Li, ICML 2025. With a fusion, the views of all hops are fused before anything is painted ("V2").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import compose, identity_grid_like, warp
from .interpolation import KeypointPath, interpolate_background, interpolate_keypoints, remaining_background
from .networks.dense_motion import DenseMotionNetwork
from .networks.image_generator import ImageGenerator
from .networks.view_fusion import ViewFusion, ViewKind
from .structures import Candidates, DenseMotion, EncodedSource, Keypoints, WarpedView


@dataclass(frozen=True)
class Generated:
    """A source in the driving pose, and how it got there.

    Attributes:
        image: in the driving pose, ``(B, 3, H, W)`` in [0, 1].
        optimal: what was animated: the interpolated image, or where t = 0 the source itself; of batch B, or 1 where it is the
            source of all.
        hops: the dense motions, one or two; the last is from `optimal` to the driving pose.
        visible: what did not have to be painted in `image`, ``(B, 1, H, W)`` in [0, 1].
    """

    image: Tensor
    optimal: EncodedSource
    hops: tuple[DenseMotion, ...]
    visible: Tensor


@dataclass(frozen=True)
class HopNetworks:
    """The networks that hops are made of.

    Attributes:
        dense_motion_network, image_generator: the backbone.
        view_fusion: for V2; None animates the last hop's view alone.
        kept_splines: spline dropout of all hops, for training, see `DenseMotionNetwork.forward`; candidates are judged without.
    """

    dense_motion_network: DenseMotionNetwork
    image_generator: ImageGenerator
    view_fusion: ViewFusion | None = None
    kept_splines: Tensor | None = None

    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """What hops from `image` ``(B, 3, H, W)`` in [0, 1] need."""
        small_image = self.dense_motion_network.shrink_source(image)
        heatmaps = self.dense_motion_network.heatmaps(small_image, keypoints)
        return EncodedSource(keypoints, small_image, self.image_generator.encode(image), heatmaps)

    def motion(self, source: EncodedSource, pose: Keypoints, background: Tensor | None = None) -> DenseMotion:
        """The dense motion of one hop; `background` ``(B, 3, 3)`` takes coordinates of the pose to the source's."""
        return self.dense_motion_network(
            source.small_image, source.keypoints, pose, background, source.heatmaps, self.kept_splines
        )

    def generate(
        self,
        sources: Sequence[EncodedSource],
        driving: Keypoints,
        backgrounds: Sequence[Tensor | None],
        t: Tensor,
        path: KeypointPath = "linear",
    ) -> Generated:
        """Take a source to the driving pose, over its interpolated image at time t.

        Args:
            sources: the source, of batch B or 1; with a fusion, more pictures of the same subject may follow.
            driving: ``(B, K, N, 2)``.
            backgrounds: of each source, its background transform ``(B, 3, 3)`` or None for the identity.
            t: ``(B,)`` in [0, 1]; 0 is no hop: the source itself is animated.
            path: of the keypoints from the source to the driving pose.
        """
        source, background = sources[0], backgrounds[0]
        straight = bool((t == 0).all())
        if straight:
            between, first, left = source, None, background
        else:
            between, first, left = self._first_hop(source, driving, background, t, path)
        last = self.motion(between, driving, left)
        view = self.image_generator.warp(between.features, last)
        if self.view_fusion is not None:
            known = 1 if straight else 0  # in one hop, the view that is there already is the first source's
            real = [
                self.image_generator.warp(other.features, self.motion(other, driving, transform))
                for other, transform in list(zip(sources, backgrounds, strict=True))[known:]
            ]
            through = None
            if first is not None and self.view_fusion.composed_view:
                through = self.image_generator.warp(source.features, composed(first, last))
            view = _fused(self.view_fusion, view, real, through, t)
        hops = (last,) if first is None else (first, last)
        return Generated(self.image_generator.paint(view), between, hops, view.masks[-1])

    def interpolate(
        self, source: EncodedSource, driving: Keypoints, background: Tensor | None, t: Tensor, path: KeypointPath
    ) -> tuple[Tensor, Keypoints, DenseMotion]:
        """The interpolated images at times t ``(B,)``, ``(B, 3, H, W)`` in [0, 1], with their keypoints and first hop.

        At t = 0 it is the model's reconstruction of the source.
        """
        keypoints = interpolate_keypoints(source.keypoints, driving, t, path)  # (B, K, N, 2)
        transform = None if background is None else interpolate_background(background, t)
        motion = self.motion(source, keypoints, transform)
        return self.image_generator(source.features, motion), keypoints, motion

    def _first_hop(
        self, source: EncodedSource, driving: Keypoints, background: Tensor | None, t: Tensor, path: KeypointPath
    ) -> tuple[EncodedSource, DenseMotion, Tensor | None]:
        """The interpolated image as a source, the motion to it, and the background transform that is left.

        Where t = 0, that is the source itself, and no motion.
        """
        image, keypoints, motion = self.interpolate(source, driving, background, t, path)
        still = (t == 0)[:, None, None, None]
        image = torch.where(still, source.features.image, image)
        motion = DenseMotion(
            torch.where(still, identity_grid_like(motion.deformation), motion.deformation),
            motion.contribution_maps,
            tuple(torch.where(still, torch.ones_like(mask), mask) for mask in motion.occlusion_masks),
        )
        left = None if background is None else remaining_background(background, t)
        return self.encode(image, keypoints), motion, left

    def candidates(
        self,
        source: EncodedSource,
        driving: Keypoints,
        background: Tensor | None,
        times: Tensor,
        path: KeypointPath = "linear",
    ) -> Candidates:
        """The first hops to `times` ``(B, M)`` on the way to B poses, at the dense motion's own size; no image is made."""
        batch, count = times.shape
        t = times.flatten()

        def each(values: Tensor) -> Tensor:  # (B * M, ...); one source serves all
            return values if len(values) == 1 else values.repeat_interleave(count, dim=0)

        start = Keypoints(each(source.keypoints.points))
        goal = Keypoints(driving.points.repeat_interleave(count, dim=0))
        keypoints = interpolate_keypoints(start, goal, t, path)
        transform = None if background is None else interpolate_background(each(background), t)
        heatmaps = None if source.heatmaps is None else each(source.heatmaps)
        small_image = each(source.small_image)
        motion = self.dense_motion_network.coarse(small_image, start, keypoints, transform, heatmaps)
        still = (t == 0)[:, None, None, None]
        deformation = torch.where(still, identity_grid_like(motion.deformation), motion.deformation)
        return Candidates(
            times,
            deformation.unflatten(0, (batch, count)),
            motion.occlusion_masks[-1].squeeze(1).unflatten(0, (batch, count)),
            displacement(keypoints, goal).unflatten(0, (batch, count)),
            displacement(source.keypoints, driving),
        )


def _fused(
    fusion: ViewFusion, animated: WarpedView, real: list[WarpedView], through: WarpedView | None, t: Tensor
) -> WarpedView:
    """The views of what is animated, of the pictures given and of the composed deformation as one.

    Where t = 0 what is animated is a picture given, and the views of an interpolated image have no weight: what becomes of a
    sample does not depend on the others of its batch.
    """
    straight = t == 0  # (B,)
    if bool(straight.all()):
        return fusion([animated, *real], ["source"] * (1 + len(real)))
    views: list[WarpedView] = [animated, *real]
    kinds: list[ViewKind] = ["interpolated"]
    kinds += ["source"] * len(real)
    if through is not None:
        views.append(through)
        kinds.append("composed")
    pictures = torch.tensor([kind == "source" for kind in kinds], device=t.device)  # (V,)
    return fusion(views, kinds, pictures | ~straight[:, None])


def displacement(start: Keypoints, end: Keypoints) -> Tensor:
    """The keypoints' mean distance, ``(B,)`` in coordinate units: 2 is the width of the image."""
    return torch.linalg.vector_norm(end.points - start.points, dim=-1).mean(dim=(1, 2))


def composed(first: DenseMotion, second: DenseMotion) -> DenseMotion:
    """The motion of two hops as one: real pixels are sampled once, and are visible where both hops see them."""
    pairs = zip(first.occlusion_masks, second.occlusion_masks, strict=True)
    masks = tuple(warp(early, second.deformation) * late for early, late in pairs)
    return DenseMotion(compose(first.deformation, second.deformation), second.contribution_maps, masks)
