"""The figure without its background: cut out of a generated image, and put where it belongs on another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import motion_modes
from .driving import FROM_INITIAL
from .errors import InputError
from .framing import Box, Placement, Size, network_points, place_in
from .networks.layered.composition import enlarged, figure_share, filled
from .settings import Mode
from .structures import Keypoints
from .transfer import Generated

BORDER = 0.02  # of the side: where along the figure's border what is painted may be the scene's
LIKE = (0.075, 0.225)  # differences from the scene's colour up to which it surely is, and from which it surely is not
LEAST = 1e-3  # share below which a colour means nothing


@torch.inference_mode()
def cut_out(generated: Generated) -> Tensor:
    """The figure of generated images ``(B, 4, h, w)`` in [0, 1]: its colours times its share of each pixel, and the share.

    The background is known, so it is taken out of pixels that show both. Along the figure's border, what was painted and looks
    like the background is background: before another one it would be seen as a fringe.

    Raises:
        InputError: the model has no layers.
    """
    if generated.layer_logits is None:
        raise InputError("only a model that makes people of layers can cut a figure out, this one has none")
    image, logits, behind = generated.image.float(), generated.layer_logits, generated.optimal.background
    size = (image.shape[-2], image.shape[-1])
    share = figure_share(logits, size)  # (B, 1, h, w)
    own = torch.minimum((image - (1 - share) * behind).clamp_(min=0), share)

    reach = max(1, round(BORDER * logits.shape[-1]))
    background = logits.softmax(dim=1)[:, :1]
    border = enlarged(F.max_pool2d(background, 2 * reach + 1, stride=1, padding=reach), *size)
    different = (own / share.clamp(min=LEAST) - behind).abs().amax(dim=1, keepdim=True)
    like = ((LIKE[1] - different) / (LIKE[1] - LIKE[0])).clamp_(0, 1)
    kept = 1 - (1 - generated.visible) * like * border
    return torch.cat((own, share), dim=1) * kept


def straight(figure: Tensor) -> Tensor:
    """A figure ``(B, 4, H, W)`` with its plain colours, continued to where it is not, as files with transparency want them."""
    colour, share = figure.split((3, 1), dim=1)
    return torch.cat((filled((colour / share.clamp(min=LEAST)).clamp_(0, 1), share), share), dim=1)


def before(figure: Tensor, scene: Tensor) -> Tensor:
    """A figure ``(B, 4, H, W)`` before a scene ``(B or 1, 3, H, W)``: ``(B, 3, H, W)`` in [0, 1]."""
    colour, share = figure.split((3, 1), dim=1)
    return colour + (1 - share) * scene


def put(figure: Tensor, part: Box, box: Box, size: Size) -> Tensor:
    """A part of a figure ``(B, 4, h, w)`` resized to a box of a canvas of `size` (H, W), beyond which the box may reach.

    Returns:
        ``(B, 4, H, W)``, nothing around the box.
    """
    piece = figure[..., part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
    if tuple(piece.shape[-2:]) != box[2:]:
        piece = F.interpolate(piece, box[2:], mode="bicubic", antialias=True).clamp_(0, 1)
        piece = torch.minimum(piece, piece[:, 3:])  # sharpening must not make colours brighter than white
    canvas = figure.new_zeros(len(figure), 4, *size)
    (to_rows, rows), (to_columns, columns) = (
        _overlap(start, length, side) for start, length, side in zip(box[:2], box[2:], size, strict=True)
    )
    canvas[..., to_rows, to_columns] = piece[..., rows, columns]
    return canvas


def _overlap(start: int, length: int, side: int) -> tuple[slice, slice]:
    """What a span and a side have in common: as a part of the side, and of the span."""
    first, last = max(start, 0), max(min(start + length, side), max(start, 0))
    return slice(first, last), slice(first - start, last - start)


def box_in_frame(
    part: Box,
    placement: Placement,
    frame: tuple[Size, Size],
    mode: Mode,
    poses: tuple[Keypoints, Keypoints],
    parents: list[int] | None,
) -> Box:
    """Where a part of the networks' image belongs in a driving frame, so that the figure has the driving person's place.

    Args:
        placement: of the source; driving frames are placed in an image of the same size.
        frame: (height, width) of the driving frames, and of those in which people are looked for.
        mode: by which poses were transferred: "pose" and "relative" bring them to the source's size and place.
        poses: the source's and the initial driving one, ``(1, K, N, 2)`` each.
        parents: of the splines, as for `motion_modes.pose`.
    """
    size, seen = frame
    corners = poses[1].points.new_tensor([[[[-1.0, -1.0], [1.0, 1.0]]]])  # of the driving frame
    corners = network_points(corners, place_in(seen, placement.network_size, placement.fit))
    if mode in FROM_INITIAL:
        corners = motion_modes.pose(poses[0], Keypoints(corners), poses[1], parents).points
    spans = []
    for axis in (1, 0):  # down, across
        side = placement.network_size[1 - axis]
        first, last = ((corners[0, 0, :, axis] + 1) / 2 * (side - 1)).tolist()  # the frame's outermost pixels there
        count, larger = seen[1 - axis], size[1 - axis] / seen[1 - axis]
        scale = max(count - 1, 1) / (last - first)  # pixels of the small frame for one of the networks' image
        start, length = part[1 - axis], part[3 - axis]
        edges = [((edge - 0.5 - first) * scale + 0.5) * larger for edge in (start, start + length)]
        spans.append((round(edges[0]), max(1, round(edges[1] - edges[0]))))
    (top, height), (left, width) = spans
    return top, left, height, width
