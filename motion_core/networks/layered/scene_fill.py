"""What a figure hides of the scene, continued with pieces of the scene itself, which are as sharp as it is.

What `LayerPainter` paints behind a figure is right in colour and blurred: nobody can know the details. Here each cell of what is
hidden takes its pixels from elsewhere in the picture, all of a region from the same distance and direction, which continues
floors, walls and rails (after He & Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; the labelling by mean
field, and guided by what is painted). Where nothing fits, the painting stays.
"""

from __future__ import annotations

from itertools import compress

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import Box, busy_part, enlarged_part
from .composition import box_of_cells, enlarged

SIDE = 256  # pixels of the longer side at which places are compared
COARSE, FINE = 4, 2  # pixels of that in a cell of the maps on which offsets are searched, and made exact
CELL = 8  # pixels that are taken from the same place at least
REACH = 5 / 8  # of the picture that an offset may span either way
NEAREST = 12  # pixels that an offset spans at least
OFFSETS = 24  # different ones in a picture
ROUNDS = 12  # of the labelling
TOGETHER = 8.0  # how much a seam between neighbouring cells costs over a wrong colour
KNOWN = 3.0  # how much more a seen pixel counts than a painted one, which is blurred
UNSEEN = 3.0  # cost of a place that is hidden itself
UNLIKE = 0.5  # cost at which a piece is half given up for the painting
RARE = 0.05  # share of an offset that no cell exceeds which does without it
SOMETHING = 0.05  # share of the figure in a cell that hides it
BLUR = 6  # pixels over which pieces are compared with what is painted
SMOOTH = 24.0  # pixels over which colours are those of the painting


def hidden_cells(figure: Tensor) -> Tensor:
    """Where a figure hides the scene, 0 or 1, of its share in each cell ``(B, 1, h, w)`` in [0, 1]: it, and what is around."""
    return F.max_pool2d((figure > SOMETHING).float(), 5, stride=1, padding=2)


@torch.inference_mode()
def fill_scene(painted: Tensor, hidden: Tensor) -> Tensor:
    """The scene of a picture, with pieces of it wherever it is hidden and they fit.

    Args:
        painted: ``(1, 3, H, W)`` in [0, 1], with what is hidden painted.
        hidden: where the figure is, ``(1, 1, h, w)``, 0 or 1.

    Returns:
        ``(1, 3, H, W)`` in [0, 1].
    """
    if not bool(hidden.any()) or bool(hidden.all()):
        return painted
    height, width = painted.shape[-2:]
    cells = [max(4, round(SIDE / CELL * side / max(height, width))) for side in (height, width)]
    size = (cells[0] * CELL // FINE, cells[1] * CELL // FINE)
    covered = F.adaptive_max_pool2d(hidden.float(), size)  # (1, 1, h, w) of FINE pixels
    if bool(covered.all()):
        return painted
    scene = F.interpolate(painted, size, mode="bilinear", antialias=True)
    offsets = _exact(scene, covered, _common(scene, covered))
    if not offsets:
        return painted
    shares, trust = _labelled(scene, covered, offsets)

    # Pixels of the box around what is hidden, label by label
    used = shares.flatten(1).amax(dim=1) > RARE
    there = hidden[0, 0] > 0
    box = box_of_cells(there.any(dim=1), there.any(dim=0), (height, width))
    assert box is not None  # something is hidden
    around = enlarged_part(hidden[0].float(), (height, width), box)  # (1, y, x), and so below
    known = 1 - enlarged(hidden.float(), height, width)[0].ceil()
    weights = (12 * enlarged_part(shares[used], (height, width), box)).softmax(dim=0)
    inside = painted[0, :, box[0] : box[1], box[2] : box[3]]  # (3, y, x)
    total, seen = torch.zeros_like(inside), torch.zeros_like(around)
    for weight, (down, across) in zip(weights, compress(offsets, used.tolist()), strict=True):
        place = (round(down * height / size[0]), round(across * width / size[1]))
        weight = weight * _moved(known, place, box)
        total += weight * _moved(painted[0], place, box)
        seen += weight
    copied = torch.lerp(inside, total / seen.clamp(min=1e-3), (2 * seen - 0.5).clamp(0, 1))

    # Colours of the painting over distances at which pieces say nothing, and the painting where they do not fit
    smooth = max(height, width) / SIDE * SMOOTH
    smaller = (max(1, round(inside.shape[-2] / smooth)), max(1, round(inside.shape[-1] / smooth)))
    difference = F.adaptive_avg_pool2d(((inside - copied) * around)[None], smaller)
    copied = copied + F.interpolate(difference, inside.shape[-2:], mode="bicubic", align_corners=False)[0]
    made = painted.clone()
    fits = around * enlarged_part(trust[None], (height, width), box)
    made[0, :, box[0] : box[1], box[2] : box[3]] = torch.lerp(inside, copied.clamp(0, 1), fits)
    return made


def _common(scene: Tensor, covered: Tensor) -> list[tuple[int, int]]:
    """The offsets (down, across), in pixels of the scene ``(1, 3, h, w)``, that suit most of what is covered."""
    step = COARSE // FINE
    small = F.avg_pool2d(scene, step)[0]  # (3, h', w')
    known = 1 - F.max_pool2d(covered, step)[0]  # (1, h', w')
    height, width = small.shape[-2:]
    reach = (int(height * REACH), int(width * REACH))
    offsets = [
        (down, across)
        for down in range(-reach[0], reach[0] + 1, 2)
        for across in range(-reach[1], reach[1] + 1, 2)
        if max(abs(down), abs(across)) * COARSE >= NEAREST
    ]
    maps = torch.cat((small, _blurred(small, BLUR // COARSE), known))
    around = F.pad(maps, (reach[1], reach[1], reach[0], reach[0]))
    costs = []
    for down, across in offsets:
        there = around[:, reach[0] + down : reach[0] + down + height, reach[1] + across : reach[1] + across + width]
        sharp, blurred = (there[:6] - maps[:6]).abs().view(2, 3, height, width).sum(dim=1)
        apart = torch.where(known > 0, KNOWN * sharp, blurred)
        costs.append(torch.where(there[6:] > 0, apart, UNSEEN / 2))
    cell = CELL // COARSE
    each = F.avg_pool2d(torch.stack(costs), 2 * cell, cell, cell // 2)  # (M, 1, H / CELL, W / CELL)
    each = each[:, F.max_pool2d(covered, CELL // FINE)[0] > 0]  # (M, covered cells)
    lowest = torch.ones(each.shape[1], device=each.device)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < OFFSETS:
        gain = (lowest - each).clamp(min=0).sum(dim=1)
        best = int(gain.argmax())
        if gain[best] < 1e-3 * len(lowest):
            break
        chosen.append((offsets[best][0] * step, offsets[best][1] * step))
        lowest = torch.minimum(lowest, each[best])
    return chosen


def _exact(scene: Tensor, covered: Tensor, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets that lie a little beside those given and suit what is seen around the covered part better; each once."""
    ring = F.max_pool2d(covered, 9, stride=1, padding=4) - covered * 0.7
    made = []
    for down, across in offsets:
        near = [(down + y, across + x) for y in range(-2, 3) for x in range(-2, 3)]
        costs = []
        for place in near:
            weight = ring * _moved(1 - covered, place)
            apart = (_moved(scene, place) - scene).abs().sum(dim=1, keepdim=True)
            costs.append(float((apart * weight).sum() / weight.sum().clamp(min=1)))
        made.append(near[costs.index(min(costs))])
    return list(dict.fromkeys(made))


def _labelled(scene: Tensor, covered: Tensor, offsets: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Which offset each cell takes, shares ``(M, y, x)``, and how well it fits, ``(y, x)`` in [0, 1]."""
    count, cell = len(offsets), CELL // FINE
    moved = torch.cat([_moved(scene, place) for place in offsets])  # (M, 3, h, w)
    seen = torch.cat([_moved(1 - covered, place) for place in offsets])  # (M, 1, h, w)
    sharp = (moved - scene).abs().sum(dim=1, keepdim=True)
    blurred = (_blurred(moved, BLUR // FINE) - _blurred(scene, BLUR // FINE)).abs().sum(dim=1, keepdim=True)
    apart = torch.where(covered > 0, blurred, KNOWN * sharp) * seen + UNSEEN * (1 - seen) * covered
    costs = F.avg_pool2d(F.avg_pool2d(apart, 7, 1, 3, count_include_pad=False), cell)[:, 0]  # (M, H, W)
    small = F.avg_pool2d(moved, 2)
    seams = torch.stack([(one - small).abs().sum(dim=1) for one in small])  # (M, M, h / 2, w / 2)
    seams = F.avg_pool2d(seams, cell // 2) + 0.02 * (1 - torch.eye(count, device=scene.device))[..., None, None]
    shares = F.one_hot(costs.argmin(dim=0), count).movedim(-1, 0).to(costs)
    open_cells = F.max_pool2d(covered, cell)[0]  # (1, y, x)
    rows, columns = busy_part(open_cells > 0, margin=0, multiple=1)
    costs_here, seams, open_cells, chosen = (each[..., rows, columns] for each in (costs, seams, open_cells, shares))
    for number in range(ROUNDS):
        around = F.pad(chosen * open_cells, (1, 1, 1, 1))
        beside = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:]
        total = costs_here + TOGETHER * torch.einsum("bhw,abhw->ahw", beside, seams)
        chosen = 0.5 * chosen + 0.5 * (-6 * (number + 1) * total).softmax(dim=0)
    shares[:, rows, columns] = chosen
    left = (shares * costs).sum(dim=0)
    return shares, 1 / (1 + (left / UNLIKE).pow(4))


def _blurred(maps: Tensor, side: int) -> Tensor:
    """Means of squares of this side, or one less if that is even, around each pixel."""
    return F.avg_pool2d(maps, side // 2 * 2 + 1, stride=1, padding=side // 2, count_include_pad=False)


def _moved(maps: Tensor, place: tuple[int, int], box: Box | None = None) -> Tensor:
    """Each pixel of ``(..., H, W)``, or of a box of it, from the one so far below and to the right; 0 where there is none."""
    height, width = maps.shape[-2:]
    top, bottom, left, right = box or (0, height, 0, width)
    out = maps.new_zeros(*maps.shape[:-2], bottom - top, right - left)
    into, of = [], []
    for by, start, stop, side in ((place[0], top, bottom, height), (place[1], left, right, width)):
        first, last = max(start + by, 0), min(stop + by, side)
        if first >= last:
            return out
        into.append(slice(first - by - start, last - by - start))
        of.append(slice(first, last))
    out[..., into[0], into[1]] = maps[..., of[0], of[1]]
    return out
