"""Source and dense motion to an image: deforms the source's features and paints what was hidden."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...diffusers_base import register_to_config
from ...geometry import resize_aligned, warp
from ...structures import DenseMotion, SourceFeatures, WarpedView
from ..base import MotionModel, for_sampling, public_component
from .blocks import Down, Residual, Same, Up, conv, few_outputs


@public_component
class ImageGenerator(MotionModel):
    """An encoder whose features are deformed at every scale, and a decoder that inpaints by occlusion masks.

    Zhao & Zhang, "Thin-plate spline motion model for image animation", CVPR 2022.

    Args:
        image_channels: of the images.
        block_expansion, max_features, num_down_blocks: level i (from 0, the full size) has
            min(max_features, block_expansion * 2^i) features.
        num_masks: occlusion masks it is given: one per level (``num_down_blocks + 1``), or 1 for all.

    Raises:
        ValueError: another number of masks, or a size below 1.
    """

    @register_to_config
    def __init__(
        self,
        image_channels: int = 3,
        block_expansion: int = 64,
        max_features: int = 512,
        num_down_blocks: int = 3,
        num_masks: int = 4,
    ) -> None:
        super().__init__()
        if min(image_channels, block_expansion, max_features, num_down_blocks) < 1:
            raise ValueError(
                f"sizes must be 1 or more, got {image_channels=}, {block_expansion=}, {max_features=}, {num_down_blocks=}"
            )
        if num_masks not in (1, num_down_blocks + 1):
            raise ValueError(
                f"num_masks must be 1 or num_down_blocks + 1 = {num_down_blocks + 1} for a mask at every level, got {num_masks}"
            )
        if block_expansion > max_features:
            raise ValueError(f"max_features must be at least block_expansion = {block_expansion}, got {max_features}")

        widths = [min(max_features, block_expansion * 2**level) for level in range(num_down_blocks + 1)]
        self.first = Same(image_channels, widths[0])
        self.down = nn.ModuleList(Down(widths[i], widths[i + 1]) for i in range(num_down_blocks))
        self.residual, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(num_down_blocks, 0, -1):
            features = widths[level] if level == num_down_blocks else 2 * widths[level]  # below: cat(decoded, warped)
            self.residual.append(nn.Sequential(Residual(features), Residual(features)))
            self.up.append(Up(features, widths[level - 1]))
        self.final = conv(widths[0], image_channels, 7)

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return 2 ** len(self.down)

    def encode(self, source_image: Tensor) -> SourceFeatures:
        """The features of a source image ``(B, 3, H, W)`` in [0, 1], to be used for any number of driving frames."""
        features = self.first(self.compute(source_image))
        pyramid = [features]
        for down in self.down:
            features = down(features)
            pyramid.append(features)
        # Contiguous fp32 is what sampling reads; doing it here saves it once per driving frame.
        return SourceFeatures(source_image, tuple(for_sampling(level) for level in pyramid))

    def warp(self, source: SourceFeatures, motion: DenseMotion) -> WarpedView:
        """The source's features in the driving pose.

        Args:
            source: from `encode`; of batch 1 it serves all motions.
            motion: as many as images are wanted.
        """
        levels = tuple(warp(level, motion.deformation) for level in reversed(source.pyramid))  # fp32
        given = motion.occlusion_masks
        masks = given if len(given) == len(levels) else given * len(levels)
        sized = tuple(resize_aligned(mask, *level.shape[-2:]) for mask, level in zip(masks, levels, strict=True))
        return WarpedView(levels, sized, warp(source.image, motion.deformation))

    def paint(self, view: WarpedView) -> Tensor:
        """The image of a deformed source, with what is hidden there painted, ``(B, 3, H, W)`` in [0, 1], fp32."""
        out = self.compute(view.levels[0] * view.masks[0])
        for level, (residual, up) in enumerate(zip(self.residual, self.up, strict=True), start=1):
            out = up(residual(out))
            if level < len(self.up):
                out = torch.cat((out, self.compute(view.levels[level] * view.masks[level])), dim=1)
        visible = view.masks[-1]
        out = torch.lerp(for_sampling(out), view.levels[-1], visible)
        painted = few_outputs(self.final, self.compute(out))
        return torch.lerp(for_sampling(painted).sigmoid(), view.image, visible)

    def forward(self, source: SourceFeatures, motion: DenseMotion) -> Tensor:
        """The source in the driving pose, ``(B, 3, H, W)`` in [0, 1], fp32; arguments as in `warp`."""
        return self.paint(self.warp(source, motion))
