"""Keypoints to layers: which limb each pixel of the driving pose shows, and whether the source shows it too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusers_base import register_to_config
from ...geometry import busy_part, sample, warp_by_each
from ...structures import Keypoints, LayeredMotion, LayeredSource
from ..base import MotionModel, public_component
from .capsules import capsules
from .limb_motion import LimbMotion
from .limbs import mirrored_points, turned_over
from .unet import FineUNet

FLOOR = 0.02  # what a share that is 0 counts as, where its logit is needed
INSIDE = 1.0  # logit of the figure's share in the source from which a place there is shown
CERTAIN = 12.0  # a logit that leaves no doubt
SOMETHING, MARGIN = (
    0.05,
    6,
)  # share of a limb in a cell from which the network looks at it, and at so many cells around it


@public_component
class LayoutNetwork(MotionModel):
    """Sees a figure as layers: the background and one for each limb, moved by an affine transform of its own.

    It finds the limbs in the source once (`parts`), takes them to the driving pose (`LimbMotion`), and decides there
    what is in front, where the limbs' borders are, and what of it the source shows. Ours.

    Args:
        num_splines, points_per_spline: of the keypoints: strips along limbs, see `limbs`.
        image_channels: of the source image.
        size: side of the pictures that the U-Nets see; their output has twice that.
        widths, part_widths: of the U-Nets for the layout and for the source's parts.
        motion_features: of `LimbMotion`.

    Raises:
        ValueError: a size that the levels do not divide, or what `FineUNet` refuses.
    """

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        points_per_spline: int = 5,
        image_channels: int = 3,
        size: int = 64,
        widths: Sequence[int] = (48, 96, 128, 160),
        part_widths: Sequence[int] = (32, 64, 96, 128),
        motion_features: int = 256,
    ) -> None:
        super().__init__()
        if size % 2 ** (max(len(widths), len(part_widths)) - 1):
            raise ValueError(f"size must be divisible by the U-Nets' halvings, got {size=}, {widths=}, {part_widths=}")
        self.num_splines, self.size = num_splines, size
        self._multiple = 2 ** (len(widths) - 1)  # of the sides that the layout's U-Net takes
        self.limb_motion = LimbMotion(num_splines, points_per_spline, motion_features)
        layers = num_splines + 1
        seen = image_channels + 1  # the source and its silhouette
        self.part_net = FineUNet(seen + num_splines, seen, layers, part_widths)
        shown = num_splines * (image_channels + 1) + image_channels + layers  # warped limbs; the source and its parts
        self.layout_net = FineUNet(2 * num_splines + shown, layers, layers + num_splines, widths)

    @property
    def size_multiple(self) -> int:
        """Any size of image will do."""
        return 1

    def parts(self, image: Tensor, keypoints: Keypoints, silhouette: Tensor) -> Tensor:
        """Logits of the background and each limb in a source, ``(B, K + 1, 2 size, 2 size)``, fp32.

        Args:
            image: ``(B, 3, H, W)`` in [0, 1].
            keypoints: ``(B, K, N, 2)``.
            silhouette: of the person, ``(B, 1, h, w)`` in [0, 1].
        """
        fine_side = 2 * self.size
        fine = torch.cat((shrunk(image, fine_side), shrunk(silhouette, fine_side)), dim=1)
        x = torch.cat((F.avg_pool2d(fine, 2), capsules(keypoints.points, self.size)), dim=1)
        return self.part_net(self.compute(x), self.compute(fine)).float()

    def forward(self, source: LayeredSource, driving: Keypoints, background: Tensor | None = None) -> LayeredMotion:
        """The layers in the driving pose.

        Args:
            source: of batch B, or 1 for all driving poses.
            driving: ``(B, K, N, 2)``.
            background: ``(B, 3, 3)``, driving coordinates to source coordinates; the identity if None.
        """
        count, side = len(driving.points), self.size
        transforms = self.transforms(source.keypoints, driving, background)  # (B, K + 1, 3, 3)
        given = transforms.detach()
        coarse = grids_at_cells(given[:, 1:], side)  # (B, K, s, s, 2)
        small_parts = F.avg_pool2d(source.parts, 2)
        in_pose, moved = capsules(driving.points, side), sample_each(small_parts[:, 1:], coarse)  # (B, K, s, s)

        # Without gradients the network sees the part of the picture in which limbs may be; the rest is background.
        rows = columns = slice(0, side)
        if not torch.is_grad_enabled():
            rows, columns = busy_part(torch.maximum(in_pose, moved) > SOMETHING, MARGIN, self._multiple)
        fine_rows, fine_columns = (slice(2 * part.start, 2 * part.stop) for part in (rows, columns))

        def part(maps: Tensor) -> Tensor:
            return maps.expand(count, -1, -1, -1)[..., rows, columns]

        x = torch.cat(
            (
                part(in_pose),
                part(source.capsules),
                warp_by_each(source.small_image, coarse[:, :, rows, columns]).flatten(1, 2),
                part(moved),
                part(source.small_image),
                part(small_parts),
            ),
            dim=1,
        )
        shares = sample_each(source.parts, grids_at_cells(given, 2 * side)[:, :, fine_rows, fine_columns])
        prior = torch.logit(shares, eps=FLOOR)  # (B, K + 1, 2 h, 2 w)
        logits = self.layout_net(self.compute(x), self.compute(shares)).float() + torch.cat(
            (prior, prior[:, 1:]), dim=1
        )
        if not torch.is_grad_enabled():  # nothing of the scene around the figure is shown on a limb
            figure = (1 - source.parts[:, :1]).expand(-1, self.num_splines, -1, -1)
            figure = sample_each(figure, grids_at_cells(given[:, 1:], 2 * side)[:, :, fine_rows, fine_columns])
            seen = logits[:, self.num_splines + 1 :]
            logits[:, self.num_splines + 1 :] = torch.minimum(seen, torch.logit(figure, eps=FLOOR) - INSIDE)
        if logits.shape[-2:] != (2 * side, 2 * side):
            whole = torch.full((count, logits.shape[1], 2 * side, 2 * side), -CERTAIN, device=logits.device)
            whole[:, 0] = CERTAIN
            whole[..., fine_rows, fine_columns] = logits
            logits = whole
        layers, visible = logits.split((self.num_splines + 1, self.num_splines), dim=1)
        return LayeredMotion(
            transforms, layers, visible, *self.mirrored(source.keypoints, driving), still_background=background is None
        )

    def coarse(self, source: LayeredSource, driving: Keypoints, background: Tensor | None = None) -> LayeredMotion:
        """The layers as `forward` finds them before its U-Net corrects them, at half the size; arguments as there.

        What judging a motion needs, at a fraction of the cost: nothing is turned over, `mirrored` is each limb's own place.
        """
        transforms = self.transforms(source.keypoints, driving, background)  # (B, K + 1, 3, 3)
        shares = sample_each(F.avg_pool2d(source.parts, 2), grids_at_cells(transforms, self.size))
        prior = torch.logit(shares, eps=FLOOR)  # (B, K + 1, size, size)
        limbs = transforms[:, 1:]
        return LayeredMotion(
            transforms, prior, prior[:, 1:], limbs, limbs.new_zeros(limbs.shape[:2]), background is None
        )

    def transforms(self, source: Keypoints, driving: Keypoints, background: Tensor | None) -> Tensor:
        """The transforms of the background and of each limb, ``(B, K + 1, 3, 3)``, driving to source coordinates, fp32."""
        limbs = self.limb_motion(source.points, driving.points)
        still = torch.eye(3, device=limbs.device) if background is None else background.float()
        return torch.cat((still.expand(len(limbs), 3, 3)[:, None], limbs), dim=1)

    def mirrored(self, source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor]:
        """`mirrored` and `turned` of a motion, see `LayeredMotion`."""
        limbs = self.limb_motion(mirrored_points(source.points), driving.points)
        over = limbs.new_tensor((-1.0, 1.0, 1.0)).diag()
        return over @ limbs, turned_over(source.points, driving.points)


def shrunk(image: Tensor, side: int) -> Tensor:
    """An image ``(B, C, H, W)`` of any size and aspect as a square of this side, fp32; averaged where it is larger."""
    image = image.float()
    height, width = image.shape[-2:]
    if (height, width) == (side, side):
        return image
    if height % side == 0 and width % side == 0:
        return F.avg_pool2d(image, (height // side, width // side))
    if min(height, width) >= side:
        return F.adaptive_avg_pool2d(image, side)
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)


def at_cells(side: int) -> float:
    """What coordinates are multiplied by to sample a map of side x side cells: such a map is corner-aligned to the middles of its
    outermost cells, and the middle of cell i is at x = (2 i + 1) / side - 1."""
    return side / (side - 1)


def grids_at_cells(transforms: Tensor, side: int) -> Tensor:
    """Where affine transforms ``(B, K, 3, 3)`` take the middles of side x side cells, for sampling maps of such cells.

    Returns ``(B, K, side, side, 2)``, in coordinates for these maps, see `at_cells`.
    """
    line = torch.linspace(-1, 1, side, device=transforms.device)
    across, down, offset = transforms[:, :, None, None, :2].unbind(dim=-1)  # (B, K, 1, 1, 2) each
    return line[None, :, None] * across + line[:, None, None] * down + offset * at_cells(side)


def sample_each(maps: Tensor, grids: Tensor) -> Tensor:
    """Each channel of ``(B, K, h, w)`` or ``(1, K, h, w)`` at its own grid of ``(B, K, h', w', 2)``: ``(B, K, h', w')``."""
    batch, count = grids.shape[:2]
    each = maps.expand(batch, -1, -1, -1).reshape(batch * count, 1, *maps.shape[-2:])
    return sample(each, grids.flatten(0, 1)).view(batch, count, *grids.shape[2:4])
