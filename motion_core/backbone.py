"""What the method needs of a backbone: encode a source, motion to a pose, view, paint.

The method (`motion_core.transfer`) is written once on top of it, and does not know which backbone it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from .errors import InputError
from .networks.layered.backbone import LayeredBackbone
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.layout_network import LayoutNetwork
from .networks.tpsmm.backbone import TPSMMBackbone
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.view_fusion import ViewFusion, ViewKind
from .structures import CoarseMotion, Keypoints

Source = Any  # EncodedSource or LayeredSource: `keypoints`, `image`, `small_image`
Motion = Any  # DenseMotion or LayeredMotion: `deformation`
View = Any  # WarpedView or LayeredView


class Backbone(Protocol):
    """Takes a source to a pose. Sources are of batch B, or 1 for all poses."""

    def encode(self, image: Tensor, keypoints: Keypoints) -> Source:
        """All that motions from a picture ``(B, 3, H, W)`` in [0, 1] need."""

    def between(self, source: Source, motion: Motion, image: Tensor, keypoints: Keypoints) -> Source:
        """All that motions from an interpolated image need.

        Args:
            source: what it was made of.
            motion: to it.
            image: ``(B, 3, H, W)`` in [0, 1].
            keypoints: that it was made for, ``(B, K, N, 2)``.
        """

    def motion(self, source: Source, pose: Keypoints, background: Tensor | None = None) -> Motion:
        """The motion to a pose ``(B, K, N, 2)``; `background` ``(B, 3, 3)`` takes coordinates of the pose to the source's."""

    def coarse(self, source: Source, pose: Keypoints, background: Tensor | None = None) -> CoarseMotion:
        """What judging a motion needs."""

    def view(self, source: Source, motion: Motion) -> View:
        """The source in the pose, before what is hidden is painted."""

    def paint(self, view: View) -> Tensor:
        """The image of a view, ``(B, 3, H, W)`` in [0, 1]."""

    def visible(self, view: View) -> Tensor:
        """What does not have to be painted, ``(B, 1, H, W)`` in [0, 1]."""

    def layers(self, view: View) -> Tensor | None:
        """Logits of the background and of each layer before it, ``(B, K + 1, h, w)``; None where there are none."""

    def unmoved(self, motion: Motion, still: Tensor) -> Motion:
        """The motion, of which the samples that are `still`, ``(B,)`` bool, stay where they are and show all."""

    def composed(self, first: Motion, second: Motion) -> Motion:
        """The motion of two hops as one."""

    def fuse(
        self, fusion: ViewFusion, views: Sequence[View], kinds: Sequence[ViewKind], prior: Tensor | None = None
    ) -> View:
        """Several views as one; arguments as in `ViewFusion.forward`."""

    def appearance(self, image: Tensor) -> Tensor:
        """What places of an image look like, ``(B, C, h, w)``."""

    def repeated(self, source: Source, count: int) -> Source:
        """A source of batch B with each sample `count` times, as far as `coarse` needs it; one of batch 1 serves all."""


def backbone_of(motion_network: Any, generator: Any, kept_splines: Tensor | None = None) -> Backbone:
    """The backbone that two networks make up.

    Args:
        motion_network: "dense_motion_network" of a pipeline.
        generator: its "image_generator".
        kept_splines: spline dropout, for training; see `TPSMMBackbone`.

    Raises:
        InputError: they do not belong together.
    """
    match motion_network, generator:
        case DenseMotionNetwork(), ImageGenerator():
            return TPSMMBackbone(motion_network, generator, kept_splines)
        case LayoutNetwork(), LayerPainter():
            return LayeredBackbone(motion_network, generator)
    raise InputError(
        "a backbone is a DenseMotionNetwork and an ImageGenerator, or a LayoutNetwork and a LayerPainter, "
        f"got {type(motion_network).__name__} and {type(generator).__name__}"
    )
