"""What no picture shows: the background behind the figure, once per source, and the figure's hidden parts, in every frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...diffusers_base import register_to_config
from ...geometry import busy_part, enlarged_part
from ...structures import LayeredView
from ..base import MotionModel, public_component
from .composition import NOTHING, enlarged, filled
from .layout_network import shrunk
from .unet import UNet, zeroed

DARKEST = 0.02  # and 1 less that the brightest, of what is painted on, so that painting can still change it
SURE = 4.0  # times the share that the figure has in a pixel of it, to be sure that the scene is not seen there
KEEP_SCENE = 4.0  # logit with which pixels that are seen are kept, before anything is learned
MARGIN = 8  # pixels around the figure that its U-Net sees
BRIGHTER = 0.5  # the logarithm of the largest change of brightness


@public_component
class LayerPainter(MotionModel):
    """Paints with two U-Nets on smoothly continued surroundings, at a fixed size; what is painted is enlarged. Ours.

    Args:
        num_splines: K, layers beside the background.
        image_channels: of the images.
        size: side of the pictures that the U-Nets see.
        widths, background_widths: of the U-Nets for the figure and for the background.

    Raises:
        ValueError: a size that the levels do not divide, or what `UNet` refuses.
    """

    @register_to_config
    def __init__(
        self,
        num_splines: int = 10,
        image_channels: int = 3,
        size: int = 128,
        widths: Sequence[int] = (32, 64, 96, 128),
        background_widths: Sequence[int] = (24, 48, 64, 96, 128),
    ) -> None:
        super().__init__()
        if size % 2 ** (max(len(widths), len(background_widths)) - 1):
            raise ValueError(f"size must be divisible by the U-Nets' halvings, got {size=}, {widths=}")
        self.size, self.image_channels = size, image_channels
        self._multiple = 2 ** (len(widths) - 1)  # of the sides that the figure's U-Net takes
        self.figure_net = UNet(3 * image_channels + 1 + num_splines + 1, widths)
        self.figure_head = zeroed(nn.Conv2d(widths[0], image_channels + 1, 3, padding=1))  # colour, brightness
        self.background_net = UNet(2 * image_channels + 1, background_widths)
        self.background_head = zeroed(nn.Conv2d(background_widths[0], image_channels + 1, 3, padding=1))  # colour, keep

    @property
    def size_multiple(self) -> int:
        """Any size of image will do."""
        return 1

    def background(self, image: Tensor, figure: Tensor) -> Tensor:
        """The scene without the figure and its shadow, ``(B, 3, H, W)`` in [0, 1], fp32.

        Args:
            image: the source, ``(B, 3, H, W)`` in [0, 1].
            figure: share that the figure has in each pixel, ``(B, 1, h, w)`` in [0, 1].
        """
        painted, replaced = self.painted_background(image, figure)
        height, width = image.shape[-2:]
        return torch.lerp(image.float(), enlarged(painted, height, width), enlarged(replaced, height, width))

    def painted_background(self, image: Tensor, figure: Tensor) -> tuple[Tensor, Tensor]:
        """The painted scene ``(B, 3, size, size)`` and the share ``(B, 1, size, size)`` that it has in the background."""
        small = shrunk(image, self.size)
        hidden = (SURE * shrunk(figure, self.size)).clamp(
            max=1
        )  # a little of the figure would colour all that is painted
        hidden = F.max_pool2d(hidden, 5, stride=1, padding=2)  # borders are neither
        around = filled(small, 1 - hidden)
        x = torch.cat((small * (1 - hidden), around, hidden), dim=1)
        out = self.background_head(self.background_net(self.compute(x))).float()
        colour, keep = out.split((self.image_channels, 1), dim=1)
        painted = (torch.logit(around, eps=DARKEST) + colour).sigmoid()
        return painted, 1 - (1 - hidden) * (keep + KEEP_SCENE).sigmoid()

    def forward(self, view: LayeredView) -> Tensor:
        """The image of a view, with what is hidden on the figure painted, ``(B, 3, H, W)`` in [0, 1], fp32."""
        # 1. The part of the picture in which the figure is, in the U-Net's cells and in pixels
        layers = shrunk(view.layers, self.size)
        cells = busy_part(layers[:, 1:] > NOTHING, MARGIN, self._multiple)
        size = (view.image.shape[-2], view.image.shape[-1])
        top, left = (part.start * side // self.size for part, side in zip(cells, size, strict=True))
        bottom, right = (-(-part.stop * side // self.size) for part, side in zip(cells, size, strict=True))

        # 2. What is hidden there, and how bright the scene is, for shadows
        maps = view.image.new_ones(len(layers), self.image_channels + 1, self.size, self.size)
        maps[..., cells[0], cells[1]] = torch.cat(self.painted_figure(view, cells), dim=1)
        large = enlarged_part(maps, size, (top, bottom, left, right))
        painted, brightness = large.split((self.image_channels, 1), dim=1)

        # 3. The image
        image = view.image.float().clamp(0, 1)
        inside = image[..., top:bottom, left:right]
        visible = view.visible[..., top:bottom, left:right].float()
        image[..., top:bottom, left:right] = torch.lerp(painted, (inside * brightness).clamp_(max=1), visible)
        return image

    def painted_figure(self, view: LayeredView, cells: tuple[slice, slice] | None = None) -> tuple[Tensor, Tensor]:
        """Colours of what is hidden, and the brightness of the scene, ``(B, 3 | 1, size, size)``, or a part of them.

        Could it paint over what is seen of the figure as well, or make it darker and brighter, it would blur it (docs/people.md).

        Args:
            cells: rows and columns that are wanted, each a multiple of the U-Net's halvings; None is all of them.
        """
        maps = (shrunk(each, self.size) for each in (view.image, view.visible, view.layers))
        seen, visible, layers = (each if cells is None else each[..., cells[0], cells[1]] for each in maps)
        known = (2 * visible - 1).clamp(0, 1) * (layers[:, :1] < 0.5)
        around = filled(seen, known)
        parts = torch.einsum("bkhw,bkc->bchw", layers, view.part_colours.expand(len(layers), -1, -1))
        x = torch.cat((torch.lerp(around, seen, visible), seen, parts, visible, layers), dim=1)
        out = self.figure_head(self.figure_net(self.compute(x))).float()
        colour, brightness = out.split((self.image_channels, 1), dim=1)
        base = torch.lerp(0.5 * (around + parts), seen, visible)
        painted = (torch.logit(base, eps=DARKEST) + colour).sigmoid()
        return painted, (BRIGHTER * layers[:, :1] * torch.tanh(brightness)).exp()


def part_colours(image: Tensor, parts: Tensor, other_side: Sequence[int]) -> Tensor:
    """The mean colour of each layer in a source, ``(B, K + 1, 3)``; of a limb that is hardly seen, mostly the other side's.

    Args:
        image: ``(B, 3, H, W)`` in [0, 1].
        parts: shares of the layers, ``(B, K + 1, h, w)``.
        other_side: the layer that each one is in a mirrored picture.
    """
    small = shrunk(image, parts.shape[-1])
    weights = parts.square()  # the middles of parts rather than their borders
    total = torch.einsum("bkhw,bchw->bkc", weights, small)
    area = weights.sum(dim=(2, 3))[..., None]
    figure, figure_area = total[:, 1:].sum(1, keepdim=True), area[:, 1:].sum(1, keepdim=True)
    order = list(other_side)
    total = total + 0.1 * total[:, order] + 1e-3 * figure
    return total / (area + 0.1 * area[:, order] + 1e-3 * figure_area).clamp(min=1e-4)
