"""Layers to a picture, at its own size: colours are mixed, never coordinates, so real pixels stay as sharp as they are."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import Box, affine_grid, affine_part, enlarged_part, sample, warp_by_each
from ...structures import DECIDED, LayeredMotion, LayeredSource, LayeredView
from .layout_network import FLOOR, at_cells, sample_each
from .limbs import HEAD, LAYERS_MIRRORED

NOTHING = 1 / 512  # share below which a layer is not in a cell
DEEP = 3.0  # logit of a limb's share in the source from which it is shown there to the other side's
REPLACED = 1 / 32  # share of a pixel from which what is hidden of a limb there is taken from the other side's


def compose(source: LayeredSource, motion: LayeredMotion, everywhere: bool = False) -> LayeredView:
    """What the source shows of the driving pose.

    colour = sum_k w_k (v_k W_k + (1 - v_k) u_k M_k) / visible, visible = sum_k w_k (v_k + (1 - v_k) u_k), with w the layers'
    shares, v their visibility and W_k the source at layer k's places; layer 0 is the painted background, which is visible
    everywhere. What is not visible of a limb is taken from the other side's limb in the mirrored source, M_k, where that
    shows it, u_k: people are nearly alike on both sides. Where a head is turned over, its own v_k is less by u_k; where
    it is not, its u_k is 0. *Logits* are enlarged to the image's size, so borders are sharp and lie between pixels.

    Without gradients each limb is sampled only where it is, which is a tenth of the work, and bicubically, which is sharper.

    Args:
        everywhere: sample each in the whole picture all the same, whatever is in it; with gradients it is done anyway.
    """
    layer_logits, visibility_logits = motion.decided
    layers = layer_logits.softmax(dim=1)
    motion = replace(motion, layer_logits=layer_logits, visibility_logits=visibility_logits)
    if torch.is_grad_enabled() or everywhere:
        colour, visible, direct = _everywhere(source, motion, "bilinear" if torch.is_grad_enabled() else "bicubic")
    else:
        parts = [_where_it_is(_one(source, index), motion, index, layers[index]) for index in range(len(layers))]
        colour, visible, direct = (torch.stack(each) for each in zip(*parts, strict=True))
    return LayeredView(colour, visible, direct, layers, source.part_colours, motion.layer_logits)


def figure_share(layer_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Share that the figure, all that is not the background, has in each pixel of a picture of `size` (H, W).

    Args:
        layer_logits: as composed, ``(B, K + 1, h, w)``, background first; enlarged before softmax, as `compose` does.

    Returns:
        ``(B, 1, H, W)`` in [0, 1].
    """
    made = layer_logits.new_zeros(len(layer_logits), 1, *size)
    for share, logits in zip(made, layer_logits, strict=True):
        box = _around([box for box in _boxes(logits.softmax(dim=0)[1:], size) if box is not None])
        if box is not None:
            share[:, box[0] : box[1], box[2] : box[3]] = 1 - enlarged_part(logits, size, box).softmax(dim=0)[:1]
    return made


def _one(source: LayeredSource, index: int) -> LayeredSource:
    """Image, background and parts of one sample."""
    index = index if len(source.image) > 1 else 0
    image, background, parts = (each[index : index + 1] for each in (source.image, source.background, source.parts))
    return replace(source, image=image, background=background, parts=parts)


def _everywhere(source: LayeredSource, motion: LayeredMotion, mode: str) -> tuple[Tensor, Tensor, Tensor]:
    """Colour ``(B, 3, H, W)``, visible and direct ``(B, 1, H, W)`` with each layer sampled in the whole picture."""
    height, width = source.image.shape[-2:]
    layers = enlarged(motion.layer_logits, height, width).softmax(dim=1)  # (B, K + 1, H, W)
    visible = enlarged(motion.visibility_logits, height, width).sigmoid()  # (B, K, H, W)
    grids = affine_grid(motion.transforms.flatten(0, 1), height, width).unflatten(0, layers.shape[:2])
    behind = sample(source.background.expand(len(grids), -1, -1, -1), grids[:, 0], "border", mode)  # (B, 3, H, W)
    limbs = warp_by_each(source.image, grids[:, 1:], mode)  # (B, K, 3, H, W)
    places = affine_grid(motion.mirrored.flatten(0, 1), height, width).unflatten(0, visible.shape[:2])
    others = warp_by_each(source.image, places, mode)  # (B, K, 3, H, W)
    parts = source.parts[:, LAYERS_MIRRORED[1:]]
    shown = _surely(sample_each(parts, places * at_cells(parts.shape[-1])))  # (B, K, H, W)
    visible = visible * (1 - motion.turned[..., None, None] * shown)
    replaced = (1 - visible) * shown * _replaceable(motion.turned)[..., None, None]
    if mode == "bicubic":
        limbs, others, behind = limbs.clamp(0, 1), others.clamp(0, 1), behind.clamp(0, 1)
    figure = layers[:, 1:, None] * (visible[:, :, None] * limbs + replaced[:, :, None] * others)
    direct = layers[:, :1] + (layers[:, 1:] * visible).sum(dim=1, keepdim=True)
    seen = direct + (layers[:, 1:] * replaced).sum(dim=1, keepdim=True)
    return (layers[:, :1] * behind + figure.sum(dim=1)) / seen.clamp(min=1e-3), seen, direct


def _replaceable(turned: Tensor) -> Tensor:
    """How far what is hidden of each limb may be taken from the other side's, ``(B, K)`` in [0, 1]: of a head as far as it is
    `turned` over, since half a face beside the other is two faces."""
    head = torch.arange(turned.shape[1], device=turned.device) == HEAD
    return torch.where(head, turned, 1.0)


def _surely(shares: Tensor) -> Tensor:
    """Whether a limb is seen where it has these shares in the source, decided as visibility is, in [0, 1]."""
    return (DECIDED * (torch.logit(shares, eps=FLOOR) - DEEP)).sigmoid()


def _where_it_is(
    source: LayeredSource, motion: LayeredMotion, index: int, layers: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One sample's colour ``(3, H, W)``, visible and direct ``(1, H, W)``: the background, and each limb in its box.

    Args:
        source: of this sample alone.
        layers: shares, ``(K + 1, h, w)``.
    """
    image, behind = source.image, source.background
    height, width = size = (image.shape[-2], image.shape[-1])
    everything = (0, height, 0, width)
    if not motion.still_background:
        behind = sample(
            behind, affine_part(motion.transforms[index, 0], size, everything)[None], "border", "bicubic"
        ).clamp_(0, 1)
    boxes = _boxes(layers[1:], size)
    colour, visible, direct = behind[0].clone(), image.new_ones(1, height, width), image.new_ones(1, height, width)
    figure = _around([box for box in boxes if box is not None])
    if figure is None:
        return colour, visible, direct
    top, left = figure[0], figure[2]
    shares = enlarged_part(motion.layer_logits[index], size, figure).softmax(dim=0)
    inside = colour[:, figure[0] : figure[1], figure[2] : figure[3]]
    total, seen = inside * shares[:1], shares[:1].clone()
    turned, replaceable = motion.turned[index].tolist(), _replaceable(motion.turned)[index].tolist()
    pixels = []  # that a limb's own place does not show: the limb, row and column in the figure's box, and the share hidden
    for limb, box in enumerate(boxes):
        if box is None:
            continue
        rows, columns = slice(box[0] - top, box[1] - top), slice(box[2] - left, box[3] - left)
        share = shares[1 + limb, rows, columns]
        weight = share * enlarged_part(motion.visibility_logits[index, limb], size, box).sigmoid()
        if turned[limb]:
            part = source.parts[:, LAYERS_MIRRORED[1 + limb], None]
            over = affine_part(motion.mirrored[index, limb], size, box)[None] * at_cells(part.shape[-1])
            weight *= 1 - turned[limb] * _surely(sample(part, over)[0, 0])
        place = affine_part(motion.transforms[index, 1 + limb], size, box)[None]
        total[:, rows, columns] += weight * sample(image, place, mode="bicubic")[0].clamp_(0, 1)
        seen[:, rows, columns] += weight
        hidden = (share - weight) * replaceable[limb]
        down, across = (hidden > REPLACED).nonzero(as_tuple=True)  # (N,) each
        pixels.append((torch.full_like(down, limb), down + rows.start, across + columns.start, hidden[down, across]))
    direct[:, figure[0] : figure[1], figure[2] : figure[3]] = seen

    # Those pixels by the other side's limbs, all limbs together
    limbs, down, across, hidden = (torch.cat(each) for each in zip(*pixels, strict=True))  # (N,) each
    points = affine_part(torch.eye(3, device=image.device), size, figure)[down, across]  # (N, 2)
    over = motion.mirrored[index, limbs]  # (N, 3, 3)
    place = ((over[:, :2, :2] * points[:, None]).sum(dim=-1) + over[:, :2, 2])[None, None]  # (1, 1, N, 2)
    parts = sample(source.parts[:, LAYERS_MIRRORED[1:]], place * at_cells(source.parts.shape[-1]))[0, :, 0]  # (K, N)
    weight = hidden * _surely(parts.gather(0, limbs[None])[0])
    flat = down * shares.shape[-1] + across
    total.view(3, -1).index_add_(1, flat, weight * sample(image, place, mode="bicubic")[0, :, 0].clamp_(0, 1))
    seen.view(-1).index_add_(0, flat, weight)

    inside.copy_(total / seen.clamp(min=1e-3))
    visible[:, figure[0] : figure[1], figure[2] : figure[3]] = seen
    return colour, visible, direct


def _boxes(limbs: Tensor, size: tuple[int, int]) -> list[Box | None]:
    """Of each limb's shares ``(K, h, w)`` the box of the pixels that it may be in; None for one that is nowhere."""
    present = limbs > NOTHING
    return [
        box_of_cells(rows, columns, size)
        for rows, columns in zip(present.any(dim=2).cpu(), present.any(dim=1).cpu(), strict=True)
    ]


def box_of_cells(rows: Tensor, columns: Tensor, size: tuple[int, int]) -> Box | None:
    """The box of the pixels of a picture of `size` (H, W) that some of its cells may reach; None where there are none.

    Args:
        rows, columns: in which rows and columns of cells there are some, ``(h,)`` and ``(w,)`` bool.
    """
    if not bool(rows.any()):
        return None
    ends = []
    for cells, side in ((rows, size[0]), (columns, size[1])):
        where = cells.nonzero()
        cell = side / len(cells)
        ends += [max(0, int((int(where[0]) - 1) * cell)), min(side, int((int(where[-1]) + 2) * cell + 1))]
    return ends[0], ends[1], ends[2], ends[3]


def _around(boxes: list[Box]) -> Box | None:
    """The box around boxes; None if there is none."""
    if not boxes:
        return None
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps ``(B, C, h, w)`` at the image's size."""
    if maps.shape[-2:] == (height, width):
        return maps
    if torch.is_grad_enabled():
        return F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)
    return enlarged_part(maps, (height, width), (0, height, 0, width))


def filled(image: Tensor, known: Tensor) -> Tensor:
    """An image continued from where it is known, ``(B, 1, H, W)`` in [0, 1], to where it is not; grey if that is nowhere.

    The means of what is known in ever larger cells, each used where the smaller ones know nothing: Gortler et al., "The
    lumigraph", SIGGRAPH 1996 (pull and push).
    """
    if max(image.shape[-2:]) == 1:
        return torch.lerp(torch.full_like(image, 0.5), image, known)
    values, weights = (F.avg_pool2d(each, 2, ceil_mode=True) for each in (image * known, known))
    coarser = filled(values / weights.clamp(min=1e-4), (4 * weights).clamp(max=1))  # one pixel of four will do
    return torch.lerp(F.interpolate(coarser, image.shape[-2:], mode="bilinear", align_corners=False), image, known)
