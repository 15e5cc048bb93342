"""Stage "layout": the layout network learns parts, layers, visibility and residual flow from rendered people, and
silhouettes from real ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.geometry import sample
from motion_core.networks.layered.backbone import layered_source
from motion_core.networks.layered.composition import enlarged
from motion_core.networks.layered.layout_network import LayoutNetwork, grids_at_cells, sample_each
from motion_core.networks.layered.limb_motion import LimbMotion
from motion_core.structures import LayeredMotion, LayeredSource

from .batches import Batch, Motions, Side
from .pack import FLOW_SIDE, SIDE, UNKNOWN

FIGURE = 2.0  # what a pixel of the figure counts more than one of the background
FLOW_WEIGHT = 20.0
LIMB_WEIGHT = 10.0
FARTHEST_LIMB = 0.5  # that a point may be off and still count more: beyond, left and right were confused
SILHOUETTE_WEIGHT = 0.5
SURE = 0.8  # a silhouette's pixel counts where the detector is at least this sure


def layout_losses(
    network: LayoutNetwork, batch: Batch, motions: Motions
) -> tuple[dict[str, Tensor], LayeredSource, LayeredMotion]:
    """The stage's losses, each a mean over the batch, with what they were computed from.

    Args:
        motions: many more pairs of poses, for the limbs' transforms alone.
    """
    parts = network.parts(batch.source.image, batch.source.keypoints, batch.source.silhouette)
    source = layered_source(network, batch.source.image, batch.source.keypoints, parts.detach().softmax(dim=1))
    motion = network(source, batch.driving.keypoints, batch.camera)
    quarter = divmod(int(torch.randint(4, ())), 2)
    losses = {
        "parts": label_loss(parts, batch.source, quarter),
        "layers": label_loss(motion.layer_logits, batch.driving, quarter),
        "visible": visibility_loss(motion, batch),
        "limbs": LIMB_WEIGHT * limb_loss(network.limb_motion, motions),
        "flow": FLOW_WEIGHT * flow_loss(motion, batch),
        "silhouette": SILHOUETTE_WEIGHT
        * (silhouette_loss(parts, batch.source) + silhouette_loss(motion.layer_logits, batch.driving)),
    }
    return losses, source, motion


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
        grids = grids_at_cells(motion.transforms[:, 1:], side) + motion.residual.movedim(1, -1)[:, None]
        target = sample_each(shown, grids)
        figure = (here > 0) & (here != UNKNOWN)
        limb = torch.where(figure, here - 1, 0)[:, None]
    loss = F.binary_cross_entropy_with_logits(
        motion.visibility_logits.gather(1, limb), target.gather(1, limb), reduction="none"
    )
    return (loss * figure[:, None]).sum() / figure.sum().clamp(min=1)


def flow_loss(motion: LayeredMotion, batch: Batch) -> Tensor:
    """How far the residual flow is from what the limbs' transforms leave of the true flow, in coordinate units; smooth near 0."""
    points, known, limb = flow_points(batch.driving.labels, batch.flow)
    with torch.no_grad():
        left = batch.flow.nan_to_num() - moved(motion.transforms[:, 1:], points, limb)  # (B, f, f, 2)
    found = sample(motion.residual, points * (1 - 1 / SIDE)).movedim(1, -1)
    loss = F.smooth_l1_loss(found, left.clamp(-0.2, 0.2), beta=0.02, reduction="none").sum(dim=-1)
    return (loss * known).sum() / known.sum().clamp(min=1)


def limb_loss(network: LimbMotion, motions: Motions) -> Tensor:
    """Distance of where the limbs' transforms take points from where they really are, in coordinate units."""
    points, known, limb = (each[:, ::2, ::2] for each in flow_points(motions.labels, motions.flow))  # enough of them
    transforms = network(motions.source, motions.driving)
    apart = motions.flow[:, ::2, ::2].nan_to_num() - moved(transforms, points, limb)
    apart = apart.norm(dim=-1).clamp(max=FARTHEST_LIMB)
    return (apart * known).sum() / known.sum().clamp(min=1)


def flow_points(labels: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels that flows are known at, ``(B, f, f, 2)`` in [-1, 1]; where they are, ``(B, f, f)`` bool; and the limb there.

    Args:
        labels: of the driving pictures, ``(B, SIDE, SIDE)``, or at those pixels alone, ``(B, f, f)``.
        flow: ``(B, f, f, 2)``.
    """
    step = SIDE // FLOW_SIDE
    here = labels if labels.shape[-1] == FLOW_SIDE else labels[:, step // 2 :: step, step // 2 :: step]
    line = 2 * (torch.arange(FLOW_SIDE) * step + step // 2) / (SIDE - 1) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    known = ~flow.isnan().any(dim=-1) & (here > 0) & (here != UNKNOWN)
    return torch.stack((x, y), dim=-1).expand(len(here), -1, -1, -1), known, torch.where(known, here.long() - 1, 0)


def moved(transforms: Tensor, points: Tensor, limb: Tensor) -> Tensor:
    """Points ``(B, f, f, 2)``, each taken through the transform of its limb out of ``(B, K, 3, 3)``."""
    batch = torch.arange(len(limb))[:, None, None]
    matrices = transforms[batch, limb]  # (B, f, f, 3, 3)
    return (matrices[..., :2, :2] @ points[..., None]).squeeze(-1) + matrices[..., :2, 2]


def silhouette_loss(logits: Tensor, side: Side) -> Tensor:
    """Figure or background where limbs are not known but the detector is sure of one of them."""
    person = enlarged(side.silhouette, *logits.shape[-2:])
    unknown = (side.labels == UNKNOWN).flatten(1).all(dim=1)[:, None, None, None]
    sure = ((person - 0.5).abs() > SURE - 0.5) & unknown
    figure = logits[:, 1:].logsumexp(dim=1, keepdim=True) - logits[:, :1]
    loss = F.binary_cross_entropy_with_logits(figure, (person > 0.5).float(), reduction="none")
    return (loss * sure).sum() / sure.sum().clamp(min=1)


@torch.no_grad()
def share_right(motion: LayeredMotion, batch: Batch) -> float:
    """Share of the figure's pixels whose limb is the most probable layer."""
    labels = batch.driving.labels
    found = enlarged(motion.layer_logits, *labels.shape[1:]).argmax(dim=1)
    figure = (labels > 0) & (labels != UNKNOWN)
    return float((found == labels)[figure].float().mean())
