"""Keypoints to dense motion: where every pixel comes from, and what must be inpainted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...diffusers_base import register_to_config
from ...geometry import ThinPlateSpline, affine_grid, gaussian_heatmaps, identity_grid, warp_by_each
from ...structures import DenseMotion, Keypoints
from ..base import MotionModel, for_sampling, public_component
from .blocks import Down, Shrink, Up, conv, few_outputs, log2_exact


@public_component
class DenseMotionNetwork(MotionModel):
    """Combines one thin-plate spline per group of keypoints and the background into one deformation.

    Zhao & Zhang, "Thin-plate spline motion model for image animation", CVPR 2022.

    Args:
        num_splines: K.
        points_per_spline: N.
        image_channels: of the source image.
        block_expansion, max_features, num_blocks: the hourglass has `num_blocks` levels, level i (from 0) with
            min(max_features, block_expansion * 2^(i + 1)) features.
        shrink: the motion is found on the source reduced by this power of two.
        num_masks: occlusion masks, the finest at full size and each next one half of that; 1 is a single mask at the
            reduced size, resized where it is used.
        keypoint_variance: of the heat maps, in squared coordinate units.
        regularization: of the splines; the published networks need theirs.

    Raises:
        ValueError: a number of masks that the levels cannot give, `shrink` not a power of two, a size below 1, or a
            variance or regularization out of its range.
    """

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        points_per_spline: int = 5,
        image_channels: int = 3,
        block_expansion: int = 64,
        max_features: int = 1024,
        num_blocks: int = 5,
        shrink: int = 4,
        num_masks: int = 4,
        keypoint_variance: float = 0.01,
        regularization: float = 0.01,
    ) -> None:
        super().__init__()
        halvings = log2_exact(shrink, "shrink")
        if min(num_splines, image_channels, block_expansion, max_features, num_blocks) < 1 or points_per_spline < 3:
            raise ValueError(
                "sizes must be 1 or more and points_per_spline 3 or more, got "
                f"{num_splines=}, {points_per_spline=}, {image_channels=}, {block_expansion=}, {max_features=}, {num_blocks=}"
            )
        if keypoint_variance <= 0 or regularization < 0:
            raise ValueError(
                f"keypoint_variance must be above 0 and regularization 0 or more, got {keypoint_variance=}, {regularization=}"
            )
        if num_masks != 1 and not halvings < num_masks <= halvings + num_blocks:
            raise ValueError(
                f"num_masks must be 1, or {halvings + 1} to {halvings + num_blocks} with shrink={shrink} "
                f"and num_blocks={num_blocks}, got {num_masks}"
            )
        self.num_splines, self.points_per_spline, self.shrink = num_splines, points_per_spline, shrink
        self.keypoint_variance, self.regularization = keypoint_variance, regularization
        inputs = 1 + num_splines * points_per_spline + (num_splines + 1) * image_channels

        def width(level: int) -> int:
            return min(max_features, block_expansion * 2**level)

        skips = [inputs] + [width(level) for level in range(1, num_blocks + 1)]  # from the finest
        self.shrink_source = Shrink(image_channels, shrink)
        self.encoder = nn.ModuleList(Down(skips[i], skips[i + 1]) for i in range(num_blocks))
        self.decoder = nn.ModuleList()
        decoded = [skips[-1]]  # features after each decoder level
        for level in reversed(range(num_blocks)):
            self.decoder.append(Up(decoded[-1], width(level)))
            decoded.append(width(level) + skips[level])
        self.maps = conv(decoded[-1], num_splines + 1, 7)

        refined = [decoded[-1] // 2**i for i in range(halvings + 1)]
        self.refine = nn.ModuleList()
        if num_masks == 1:
            mask_features = [decoded[-1]]
        else:
            self.refine.extend(Up(refined[i], refined[i + 1]) for i in range(halvings))
            mask_features = decoded[len(decoded) - (num_masks - halvings) :] + refined[1:]
        self.occlusion = nn.ModuleList(conv(features, 1, 7) for features in mask_features)

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this."""
        return self.shrink * 2 ** len(self.encoder)

    def forward(
        self,
        small_source: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background_transform: Tensor | None = None,
        source_heatmaps: Tensor | None = None,
        kept_splines: Tensor | None = None,
    ) -> DenseMotion:
        """The motion from the source to the driving pose.

        Args:
            small_source: ``shrink_source(source_image)``, ``(B, 3, h, w)`` with h = H / shrink; of batch 1, as `source`
                may be, it serves all driving frames.
            source: keypoints of the source, ``(B, K, N, 2)`` or ``(1, K, N, 2)``.
            driving: keypoints to take it to, ``(B, K, N, 2)``.
            background_transform: ``(B, 3, 3)``, driving coordinates to source coordinates; the identity if None.
            source_heatmaps: ``heatmaps(small_source, source)``, where they are there already.
            kept_splines: ``(B, K)`` of True and False, for training: the others have no weight (spline dropout).
        """
        deformation, contribution_maps, levels = self._combine(
            small_source, source, driving, background_transform, source_heatmaps, kept_splines
        )
        refined = levels
        for up in self.refine:
            refined = [*refined, up(refined[-1])]
        return DenseMotion(deformation, contribution_maps, self._masks(refined))

    def coarse(
        self,
        small_source: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background_transform: Tensor | None = None,
        source_heatmaps: Tensor | None = None,
    ) -> DenseMotion:
        """The motion with the occlusion masks of its own size and coarser, and nothing finer.

        What judging a motion needs, at a fraction of the cost of `forward`, whose arguments it takes.
        """
        deformation, contribution_maps, levels = self._combine(
            small_source, source, driving, background_transform, source_heatmaps
        )
        return DenseMotion(deformation, contribution_maps, self._masks(levels))

    def _masks(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """The occlusion masks of the hourglass's levels and the refined ones after them, as far as they are given; fp32."""
        first = len(self.decoder) + 1 + len(self.refine) - len(self.occlusion)  # the level of the first head
        heads = zip(self.occlusion, levels[first:], strict=False)
        return tuple(few_outputs(head, features).float().sigmoid() for head, features in heads)

    def _combine(
        self,
        small_source: Tensor,
        source: Keypoints,
        driving: Keypoints,
        background_transform: Tensor | None,
        source_heatmaps: Tensor | None,
        kept_splines: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Deformation, contribution maps and the hourglass's levels."""
        size = (small_source.shape[-2], small_source.shape[-1])
        transformations = self.transformations(size, source, driving, background_transform)  # (B, K + 1, h, w, 2)
        warped = warp_by_each(small_source, transformations).flatten(1, 2)  # (B, (K + 1) * 3, h, w)
        here = self.heatmaps(small_source, source) if source_heatmaps is None else source_heatmaps
        difference = self.heatmaps(small_source, driving) - here  # (B, K * N, h, w)
        heat = torch.cat((torch.zeros_like(difference[:, :1]), difference), dim=1)  # the first map is the background's
        levels = self._hourglass(self.compute(torch.cat((heat, warped), dim=1)))

        logits = for_sampling(self.maps(levels[-1]))
        contribution_maps = logits.softmax(dim=1)  # (B, K + 1, h, w)
        if kept_splines is not None:
            contribution_maps = _without(contribution_maps, kept_splines)
        deformation = (contribution_maps[..., None] * transformations).sum(dim=1)  # (B, h, w, 2)
        return deformation, contribution_maps, levels

    def transformations(
        self, size: tuple[int, int], source: Keypoints, driving: Keypoints, background_transform: Tensor | None
    ) -> Tensor:
        """The backward grids of the background and of each spline, ``(B, K + 1, h, w, 2)``."""
        height, width = size
        points = driving.points
        grid = identity_grid(height, width, points)  # (h, w, 2)
        spline = ThinPlateSpline.fit(points, source.points.expand_as(points), self.regularization)
        splines = spline(grid.reshape(-1, 2)).unflatten(2, size)  # (B, K, h, w, 2)
        if background_transform is None:
            background = grid.expand(points.shape[0], height, width, 2)
        else:
            background = affine_grid(background_transform, height, width)
        return torch.cat((background[:, None], splines), dim=1)

    def heatmaps(self, small_source: Tensor, keypoints: Keypoints) -> Tensor:
        """Gaussians at the keypoints, of the size of the small source, ``(B, K * N, h, w)`` in [0, 1]."""
        height, width = small_source.shape[-2:]
        return gaussian_heatmaps(keypoints.flat(), height, width, self.keypoint_variance)

    def _hourglass(self, x: Tensor) -> list[Tensor]:
        """The outputs of the decoder's levels, from the coarsest; the last has the input's size."""
        skips = [x]
        for down in self.encoder:
            skips.append(down(skips[-1]))
        levels = [skips.pop()]
        for up in self.decoder:
            levels.append(torch.cat((up(levels[-1]), skips.pop()), dim=1))
        return levels


def _without(contribution_maps: Tensor, kept_splines: Tensor) -> Tensor:
    """Maps ``(B, K + 1, h, w)`` with the weights of the splines that are left out given to the others and the background.

    The published training adds 1e-6 to the sum of the exponentials (relative to the largest logit) that is divided by.
    Dividing by the sum of the softmax's own values is the same but for that constant.
    """
    background = torch.ones_like(kept_splines[:, :1])
    kept = contribution_maps * torch.cat((background, kept_splines), dim=1)[:, :, None, None]
    return kept / (kept.sum(dim=1, keepdim=True) + 1e-6)
