"""Stage "layout": the layout network learns parts, layers and visibility from rendered people, silhouettes from real ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.networks.layered.backbone import layered_source
from motion_core.networks.layered.composition import enlarged
from motion_core.networks.layered.layout_network import LayoutNetwork, grids_at_cells, sample_each
from motion_core.structures import LayeredMotion, LayeredSource

from .batches import Batch, Side
from .pack import SIDE, UNKNOWN

FIGURE = 2.0  # what a pixel of the figure counts more than one of the background
SILHOUETTE_WEIGHT = 0.5
SURE = 0.8  # a silhouette's pixel counts where the detector is at least this sure


def layout_losses(network: LayoutNetwork, batch: Batch) -> tuple[dict[str, Tensor], LayeredSource, LayeredMotion]:
    """The stage's losses, each a mean over the batch, with what they were computed from."""
    parts, source, motion = laid_out(network, batch)
    quarter = divmod(int(torch.randint(4, ())), 2)
    losses = {
        "parts": label_loss(parts, batch.source, quarter),
        "layers": label_loss(motion.layer_logits, batch.driving, quarter),
        "visible": visibility_loss(motion, batch),
        "silhouette": SILHOUETTE_WEIGHT
        * (silhouette_loss(parts, batch.source) + silhouette_loss(motion.layer_logits, batch.driving)),
    }
    return losses, source, motion


def laid_out(network: LayoutNetwork, batch: Batch) -> tuple[Tensor, LayeredSource, LayeredMotion]:
    """The logits of the sources' parts, the sources with these parts, and the layers in the driving poses."""
    given = batch.source
    parts = network.parts(given.image, given.keypoints, given.silhouette)
    source = layered_source(network, given.image, given.keypoints, parts.detach().softmax(dim=1))
    return parts, source, network(source, batch.driving.keypoints, batch.camera)


def label_loss(logits: Tensor, side: Side, quarter: tuple[int, int] = (0, 0)) -> Tensor:
    """Cross entropy of layers at the pictures' size, at one of the four pixels of each cell; the figure's count more.

    Args:
        quarter: which pixel of the cell, down and across, 0 or 1 each.
    """
    labels = side.labels[:, quarter[0] :: 2, quarter[1] :: 2]
    loss = F.cross_entropy(_moved(logits, *quarter), labels, ignore_index=UNKNOWN, reduction="none")
    weight = (1 + FIGURE * (labels > 0)) * (labels != UNKNOWN)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def _moved(logits: Tensor, down: int, across: int) -> Tensor:
    """What enlarging logits to twice their size bilinearly puts at one of the four pixels of each cell."""
    for axis, later in ((-2, down), (-1, across)):
        size = logits.shape[axis]
        ends = logits.narrow(axis, size - 1 if later else 0, 1)
        most = logits.narrow(axis, 1 if later else 0, size - 1)
        beside = torch.cat((most, ends) if later else (ends, most), dim=axis)
        logits = torch.lerp(logits, beside, 0.25)
    return logits


def visibility_loss(motion: LayeredMotion, batch: Batch) -> Tensor:
    """Whether the source shows the limb that each pixel of the figure belongs to, at the place that its grid points to."""
    side = motion.layer_logits.shape[-1]
    step = SIDE // side
    labels, here = batch.source.labels[:, ::step, ::step], batch.driving.labels[:, ::step, ::step]
    limbs = motion.visibility_logits.shape[1]
    with torch.no_grad():
        shown = torch.stack([labels == limb + 1 for limb in range(limbs)], dim=1).float()  # (B, K, h, w)
        target = sample_each(shown, grids_at_cells(motion.transforms[:, 1:], side))
        figure = (here > 0) & (here != UNKNOWN)
        limb = torch.where(figure, here - 1, 0)[:, None]
    loss = F.binary_cross_entropy_with_logits(
        motion.visibility_logits.gather(1, limb), target.gather(1, limb), reduction="none"
    )
    return (loss * figure[:, None]).sum() / figure.sum().clamp(min=1)


def silhouette_loss(logits: Tensor, side: Side) -> Tensor:
    """Figure or background where limbs are not known but the detector is sure of one of them."""
    person = enlarged(side.silhouette, *logits.shape[-2:])
    unknown = (side.labels == UNKNOWN).flatten(1).all(dim=1)[:, None, None, None]
    sure = ((person - 0.5).abs() > SURE - 0.5) & unknown
    figure = logits[:, 1:].logsumexp(dim=1, keepdim=True) - logits[:, :1]
    loss = F.binary_cross_entropy_with_logits(figure, (person > 0.5).float(), reduction="none")
    return (loss * sure).sum() / sure.sum().clamp(min=1)
