"""Stages "background", "painter" and "joint": the scene behind the figure is painted, then what is hidden on the figure; then
everything learns together."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.networks.layered.composition import compose
from motion_core.networks.layered.layer_painter import LayerPainter
from motion_core.networks.layered.layout_network import LayoutNetwork
from train.features import PerceptualFeatures

from .batches import Batch, Side
from .layout_stage import laid_out, layout_losses
from .pack import UNKNOWN

IMAGE, PAINTED, BEHIND, DEEP = 5.0, 4.0, 5.0, 1.0
TOLERANT = 3  # levels of features at which a shift by a cell, 2 to 8 pixels, costs little
ASIDE, SOFT = 0.02, 0.05  # squared distances of features
SIZE = 128  # of the pictures that are compared; the painter's own


def background_losses(painter: LayerPainter, features: PerceptualFeatures, batch: Batch) -> dict[str, Tensor]:
    """The losses of the painted background, each a mean over the batch; where the figure is, is known nearly."""
    side = batch.source
    image, figure = _pooled(side.image), _figure(side)
    painted, replaced = painter.painted_background(image, figure)
    scene = torch.lerp(image, painted, replaced)
    return {"background": BEHIND * background_loss(scene, painted, side), "deep": scene_loss(features, scene, side)}


def _figure(side: Side) -> Tensor:
    """Where the figure is, ``(B, 1, SIZE, SIZE)`` in [0, 1]: as it is known or as it is detected, at random."""
    labels = F.avg_pool2d((side.labels > 0).float()[:, None], side.labels.shape[-1] // SIZE)
    known = (side.labels != UNKNOWN).flatten(1).all(dim=1) & (torch.rand(len(labels)) < 0.5)
    return torch.where(known[:, None, None, None], labels, side.silhouette)


def painter_losses(
    layout: LayoutNetwork,
    painter: LayerPainter,
    features: PerceptualFeatures,
    batch: Batch,
    joint: bool,
) -> dict[str, Tensor]:
    """The painter's losses, each a mean over the batch; with `joint` also the layout's and the background's, and gradients
    into them."""
    losses: dict[str, Tensor] = {}
    side = batch.source
    with torch.set_grad_enabled(joint):
        if joint:
            losses, source, motion = layout_losses(layout, batch)
        else:
            _, source, motion = laid_out(layout, batch)
        image = _pooled(side.image)
        painted, replaced = painter.painted_background(image, 1 - source.parts[:, :1])
        scene = torch.lerp(image, painted, replaced)
        source = replace(source, image=image, background=scene)
        view = compose(source, motion)
    colours, brightness = painter.painted_figure(view)
    seen = (view.image * brightness).clamp(0, 1)
    made, driving = torch.lerp(colours, seen, view.visible), _pooled(batch.driving.image)
    compared = _compared(batch, driving)
    made, colours = (torch.where(compared, each, driving) for each in (made, colours))
    losses["image"] = IMAGE * (made - driving).abs().mean()
    losses["painted"] = PAINTED * (colours - driving).abs().mean()
    losses["deep"] = DEEP * deep_loss(features, made, driving)
    if joint:
        losses["background"] = BEHIND * background_loss(scene, painted, side)
    return losses


def _compared(batch: Batch, driving: Tensor) -> Tensor:
    """Where the driving picture says how the image should be, ``(B, 1, h, w)`` bool: not beside the figure if the camera's motion
    is not known."""
    figure = F.interpolate(batch.driving.silhouette, driving.shape[-2:], mode="area") > 0.5
    return figure | batch.camera_known[:, None, None, None]


def _pooled(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, image.shape[-1] // SIZE)


def background_loss(scene: Tensor, painted: Tensor, side: Side) -> Tensor:
    """Mean difference from the scene without the figure where that is known, of the whole and of what is painted alone."""
    error = (scene - side.scene).abs() + (painted - side.scene).abs()
    return (error * side.scene_known).sum() / (3 * side.scene_known.sum()).clamp(min=1)


def scene_loss(features: PerceptualFeatures, scene: Tensor, side: Side) -> Tensor:
    """`deep_loss` of the scene, with the true one wherever that is known and itself elsewhere."""
    return DEEP * deep_loss(features, scene, torch.where(side.scene_known > 0.5, side.scene, scene.detach()))


def deep_loss(features: PerceptualFeatures, made: Tensor, real: Tensor) -> Tensor:
    """Squared distance of features of unit length, a mean over pixels, summed over levels: blur costs more than a shift.

    A feature at one of the finer levels is compared with those around it, of which the nearest counts most: a soft minimum, in
    which neighbours have `ASIDE` more. So what is sharp and not quite at its place costs little.
    """
    with torch.no_grad():
        wanted = [F.normalize(level.float(), dim=1) for level in features(real)]
    found = [F.normalize(level.float(), dim=1) for level in features(made)]
    loss = made.new_zeros(())
    for number, (a, b) in enumerate(zip(found, wanted, strict=True)):
        height, width = b.shape[-2:]
        reach = 1 if number < TOLERANT else 0
        around = F.pad(b, (reach,) * 4, mode="replicate")
        distances = [
            2
            - 2 * (a * around[..., y : y + height, x : x + width]).sum(dim=1)
            + ASIDE * ((y - reach) ** 2 + (x - reach) ** 2)
            for y in range(2 * reach + 1)
            for x in range(2 * reach + 1)
        ]
        loss = loss - SOFT * torch.logsumexp(-torch.stack(distances) / SOFT, dim=0).mean()
    return loss
