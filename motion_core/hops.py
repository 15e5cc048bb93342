"""From the source to the driving pose in one hop or in two, over an interpolated image; the same code trains and animates.

The first hop takes the source to the keypoints of time t; the image made there is the source of the second. Gradients flow
through it. Wang & Li, ICML 2025. With a fusion, the views of all hops are fused before anything is painted ("V2").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import Backbone, Motion, Source, View
from .geometry import identity_grid_like
from .interpolation import KeypointPath, interpolate_background, interpolate_keypoints, remaining_background
from .networks.view_fusion import ViewFusion, ViewKind
from .structures import Candidates, Keypoints


@dataclass(frozen=True)
class Generated:
    """A source in the driving pose, and how it got there.

    Attributes:
        image: in the driving pose, ``(B, 3, H, W)`` in [0, 1].
        optimal: what was animated: the interpolated image, or where t = 0 the source itself; of batch B, or 1 where it is the
            source of all.
        hops: the motions, one or two; the last is from `optimal` to the driving pose.
        visible: what did not have to be painted in `image`, ``(B, 1, H, W)`` in [0, 1].
        layer_logits: of the background and of each layer before it in `image`, ``(B, K + 1, h, w)``; None without layers.
    """

    image: Tensor
    optimal: Source
    hops: tuple[Motion, ...]
    visible: Tensor
    layer_logits: Tensor | None = None


@dataclass(frozen=True)
class Hops:
    """A backbone and what several views are fused with.

    Attributes:
        backbone: encodes, moves, and paints.
        view_fusion: for V2; None animates the last hop's view alone.
    """

    backbone: Backbone
    view_fusion: ViewFusion | None = None

    def generate(
        self,
        sources: Sequence[Source],
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
        backbone = self.backbone
        last = backbone.motion(between, driving, left)
        view = backbone.view(between, last)
        if self.view_fusion is not None:
            known = 1 if straight else 0  # in one hop, the view that is there already is the first source's
            real = [
                backbone.view(other, backbone.motion(other, driving, transform))
                for other, transform in list(zip(sources, backgrounds, strict=True))[known:]
            ]
            through = None
            if first is not None and self.view_fusion.composed_view:
                through = backbone.view(source, backbone.composed(first, last))
            view = self._fused(self.view_fusion, view, real, through, t)
        hops = (last,) if first is None else (first, last)
        return Generated(backbone.paint(view), between, hops, backbone.visible(view), backbone.layers(view))

    def interpolate(
        self, source: Source, driving: Keypoints, background: Tensor | None, t: Tensor, path: KeypointPath
    ) -> tuple[Tensor, Keypoints, Motion]:
        """The interpolated images at times t ``(B,)``, ``(B, 3, H, W)`` in [0, 1], with their keypoints and first hop.

        At t = 0 it is the model's reconstruction of the source.
        """
        keypoints = interpolate_keypoints(source.keypoints, driving, t, path)  # (B, K, N, 2)
        transform = None if background is None else interpolate_background(background, t)
        motion = self.backbone.motion(source, keypoints, transform)
        view = self.backbone.view(source, motion)
        return self.backbone.paint(view), self.backbone.as_source(view, keypoints), motion

    def _first_hop(
        self, source: Source, driving: Keypoints, background: Tensor | None, t: Tensor, path: KeypointPath
    ) -> tuple[Source, Motion, Tensor | None]:
        """The interpolated image as a source, the motion to it, and the background transform that is left.

        Where t = 0, that is the source itself, and no motion.
        """
        image, keypoints, motion = self.interpolate(source, driving, background, t, path)
        still = t == 0  # (B,)
        image = torch.where(still[:, None, None, None], source.image, image)
        left = None if background is None else remaining_background(background, t)
        return self.backbone.encode(image, keypoints), self.backbone.unmoved(motion, still), left

    def candidates(
        self,
        source: Source,
        driving: Keypoints,
        background: Tensor | None,
        times: Tensor,
        path: KeypointPath = "linear",
    ) -> Candidates:
        """The first hops to `times` ``(B, M)`` on the way to B poses, at the dense motion's own size; no image is made."""
        batch, count = times.shape
        t = times.flatten()
        start = self.backbone.repeated(source, count)
        goal = Keypoints(driving.points.repeat_interleave(count, dim=0))
        keypoints = interpolate_keypoints(start.keypoints, goal, t, path)
        transform = None
        if background is not None:
            transform = interpolate_background(_each(background, count), t)
        motion = self.backbone.coarse(start, keypoints, transform)
        still = (t == 0)[:, None, None, None]
        deformation = torch.where(still, identity_grid_like(motion.deformation), motion.deformation)
        return Candidates(
            times,
            deformation.unflatten(0, (batch, count)),
            motion.visibility.unflatten(0, (batch, count)),
            displacement(keypoints, goal).unflatten(0, (batch, count)),
            displacement(source.keypoints, driving),
        )

    def _fused(self, fusion: ViewFusion, animated: View, real: list[View], through: View | None, t: Tensor) -> View:
        """The views of what is animated, of the pictures given and of the composed motion as one.

        Where t = 0 what is animated is a picture given, and the views of an interpolated image have no weight: what becomes of a
        sample does not depend on the others of its batch.
        """
        straight = t == 0  # (B,)
        if bool(straight.all()):
            return self.backbone.fuse(fusion, [animated, *real], ["source"] * (1 + len(real)))
        views: list[View] = [animated, *real]
        kinds: list[ViewKind] = ["interpolated"]
        kinds += ["source"] * len(real)
        if through is not None:
            views.append(through)
            kinds.append("composed")
        pictures = torch.tensor([kind == "source" for kind in kinds], device=t.device)  # (V,)
        return self.backbone.fuse(fusion, views, kinds, pictures | ~straight[:, None])


def _each(values: Tensor, count: int) -> Tensor:
    """Each sample `count` times; one serves all."""
    return values if len(values) == 1 else values.repeat_interleave(count, dim=0)


def displacement(start: Keypoints, end: Keypoints) -> Tensor:
    """The keypoints' mean distance, ``(B,)`` in coordinate units: 2 is the width of the image."""
    return torch.linalg.vector_norm(end.points - start.points, dim=-1).mean(dim=(1, 2))
