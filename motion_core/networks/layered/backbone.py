"""The layered backbone behind the interface of `motion_core.backbone`: it mixes colours of layers and paints on real pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import InputError
from ...geometry import affine_grid, sample
from ...structures import CoarseMotion, Keypoints, LayeredMotion, LayeredSource, LayeredView, WarpedView
from ..view_fusion import ViewFusion, ViewKind
from .capsules import capsules
from .composition import compose
from .layer_painter import LayerPainter, part_colours
from .layout_network import CERTAIN, LayoutNetwork, grids_at_cells, sample_each, shrunk
from .limbs import LAYERS_MIRRORED
from .scene_fill import fill_scene, hidden_cells

CELLS = 32  # of a picture's appearance, either way


@dataclass(frozen=True)
class LayeredBackbone:
    """Layout network and painter."""

    layout_network: LayoutNetwork
    painter: LayerPainter

    def encode(self, image: Tensor, keypoints: Keypoints) -> LayeredSource:
        """What motions from `image` ``(B, 3, H, W)`` in [0, 1] need: its parts, and the scene without the figure.

        Raises:
            InputError: the keypoints come without a silhouette, as no `PersonDetector` gives them.
        """
        if keypoints.silhouette is None:
            raise InputError("keypoints must come with the person's silhouette for the layered backbone")
        parts = self.layout_network.parts(image, keypoints, keypoints.silhouette).softmax(dim=1)
        source = layered_source(self.layout_network, image, keypoints, parts)
        figure = 1 - parts[:, :1]
        painted, hidden = self.painter.background(image, figure), hidden_cells(figure)
        scene = [fill_scene(*each) for each in zip(painted.split(1), hidden.split(1), strict=True)]
        return replace(source, background=torch.cat(scene))

    def between(
        self, source: LayeredSource, motion: LayeredMotion, image: Tensor, keypoints: Keypoints
    ) -> LayeredSource:
        """The source in the pose of a motion as a source itself: its parts are the motion's, and its scene is the source's."""
        scene = source.background.expand_as(image)
        if not motion.still_background:
            grids = affine_grid(motion.transforms[:, 0], *image.shape[-2:])
            scene = sample(scene, grids, "border", "bicubic").clamp(0, 1)
        made = layered_source(self.layout_network, image, keypoints, motion.layer_logits.softmax(dim=1))
        return replace(made, background=scene)

    def motion(self, source: LayeredSource, pose: Keypoints, background: Tensor | None = None) -> LayeredMotion:
        """The layers in a pose; `background` ``(B, 3, 3)`` takes coordinates of the pose to the source's."""
        return self.layout_network(source, pose, background)

    def coarse(self, source: LayeredSource, pose: Keypoints, background: Tensor | None = None) -> CoarseMotion:
        """What judging a motion needs; a source of batch B is that of each pose."""
        motion = self.layout_network.coarse(source, pose, background)
        return CoarseMotion(motion.deformation, motion.occlusion_masks[-1].squeeze(1))

    def view(self, source: LayeredSource, motion: LayeredMotion) -> LayeredView:
        """The source's pixels in the pose, before what is hidden is painted."""
        return compose(source, motion)

    def paint(self, view: LayeredView) -> Tensor:
        """The image of a view, ``(B, 3, H, W)`` in [0, 1]."""
        return self.painter(view)

    def visible(self, view: LayeredView) -> Tensor:
        """What does not have to be painted, ``(B, 1, H, W)`` in [0, 1]."""
        return view.visible

    def layers(self, view: LayeredView) -> Tensor:
        """Logits of the background and of each limb, as composed, ``(B, K + 1, h, w)``."""
        return view.layer_logits

    def unmoved(self, motion: LayeredMotion, still: Tensor) -> LayeredMotion:
        """The motion, of which the samples that are `still`, ``(B,)`` bool, stay where they are and show all."""
        chosen = still[:, None, None, None]
        eye = torch.eye(3, device=motion.transforms.device)
        return LayeredMotion(
            torch.where(chosen, eye, motion.transforms),
            motion.layer_logits,
            torch.where(chosen, torch.full_like(motion.visibility_logits, CERTAIN), motion.visibility_logits),
            motion.mirrored,
            motion.turned.masked_fill(still[:, None], 0),
            motion.still_background,
        )

    def composed(self, first: LayeredMotion, second: LayeredMotion) -> LayeredMotion:
        """The motion of two hops as one, layer by layer: real pixels are sampled once, and are visible where both see them."""
        places = grids_at_cells(second.transforms[:, 1:], second.layer_logits.shape[-1])  # (B, K, h, w, 2)
        early = sample_each(first.visibility_logits.sigmoid(), places)
        both = (early * second.visibility_logits.sigmoid()).clamp(1e-4, 1 - 1e-4)
        still = first.still_background and second.still_background
        mirrored = first.mirrored @ second.transforms[:, 1:]
        turned = torch.lerp(first.turned, 1 - first.turned, second.turned)  # twice turned over is as it was
        transforms = first.transforms @ second.transforms
        return LayeredMotion(transforms, second.layer_logits, torch.logit(both), mirrored, turned, still)

    def fuse(
        self,
        fusion: ViewFusion,
        views: Sequence[LayeredView],
        kinds: Sequence[ViewKind],
        prior: Tensor | None = None,
    ) -> LayeredView:
        """Several views as one, by a softmax over them for each pixel; arguments as in `ViewFusion.forward`.

        A view that shows a place itself is better there than one whose mirrored picture does.
        """
        if len(views) == 1:
            return views[0]
        flat = [WarpedView((view.image,), (view.direct,), view.image) for view in views]
        weights = fusion.weights(flat, kinds, prior)[-1][:, :, None]  # (B, V, 1, H, W)

        def mix(maps: list[Tensor]) -> Tensor:
            side = maps[0].shape[-1]
            share = (
                weights
                if side == weights.shape[-1]
                else shrunk(weights.flatten(0, 1), side).unflatten(0, weights.shape[:2])
            )
            return (torch.stack(maps, dim=1) * share).sum(dim=1)

        colours = torch.stack([view.part_colours.expand(len(weights), -1, -1) for view in views]).mean(dim=0)
        return LayeredView(
            mix([view.image for view in views]),
            mix([view.visible for view in views]),
            mix([view.direct for view in views]),
            mix([view.layers for view in views]),
            colours,
            mix([view.layer_logits for view in views]),
        )

    def appearance(self, image: Tensor) -> Tensor:
        """What places of an image look like, ``(B, C, h, w)``: their mean colours, less those of all of it."""
        colours = F.adaptive_avg_pool2d(image.float(), CELLS)
        return colours - colours.mean(dim=(2, 3), keepdim=True)

    def repeated(self, source: LayeredSource, count: int) -> LayeredSource:
        """A source of batch B with each sample `count` times; one of batch 1 serves all."""
        if len(source.small_image) == 1:
            return source
        tensors = {
            field.name: getattr(source, field.name).repeat_interleave(count, dim=0)
            for field in fields(source)
            if field.name != "keypoints"
        }
        return LayeredSource(Keypoints(source.keypoints.points.repeat_interleave(count, dim=0)), **tensors)


def layered_source(layout: LayoutNetwork, image: Tensor, keypoints: Keypoints, parts: Tensor) -> LayeredSource:
    """A source whose parts are known, still with the figure in its background.

    Args:
        image: ``(B, 3, H, W)`` in [0, 1].
        keypoints: ``(B, K, N, 2)``.
        parts: shares of background and limbs, ``(B, K + 1, h, w)``.
    """
    image = image.float()
    return LayeredSource(
        keypoints,
        image,
        shrunk(image, layout.size),
        parts,
        capsules(keypoints.points, layout.size),
        image,
        part_colours(image, parts, LAYERS_MIRRORED),
    )
