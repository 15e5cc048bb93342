"""The typed values that pass between the stages. B batch, T frames, K splines, N points per spline; points are (x, y)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .geometry import affine_grid, smoothed

# Layers' logits are probabilities' as they are learned; a picture wants decisions, or all borders are mixtures of both sides.
DECIDED = 24.0


@dataclass(frozen=True)
class Keypoints:
    """K groups of N keypoints, one group per spline.

    Attributes:
        points: ``(B, K, N, 2)`` in [-1, 1], corner-aligned.
        silhouette: of the person that they are found on, ``(B, 1, h, w)`` in [0, 1]; None where nothing finds it.
    """

    points: Tensor
    silhouette: Tensor | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 4 or self.points.shape[-1] != 2:
            raise ValueError(f"keypoints must be (B, K, N, 2), got {tuple(self.points.shape)}")

    def flat(self) -> Tensor:
        """All points of a sample in one row, ``(B, K * N, 2)``."""
        return self.points.flatten(1, 2)


@dataclass(frozen=True)
class DenseMotion:
    """Where every pixel of the driving pose comes from, and whether it is visible there.

    Attributes:
        deformation: ``(B, h, w, 2)``, absolute backward grid, corner-aligned, fp32.
        contribution_maps: ``(B, K + 1, h, w)``, weights of the background and the K splines; they sum to 1.
        occlusion_masks: from the coarsest to the finest, each ``(B, 1, h', w')``; 1 is visible in the source, 0 must be
            inpainted. A single one where the network has a single mask.
    """

    deformation: Tensor
    contribution_maps: Tensor
    occlusion_masks: tuple[Tensor, ...]


@dataclass(frozen=True)
class CoarseMotion:
    """What judging a motion needs, and nothing finer.

    Attributes:
        deformation: absolute backward grid, ``(B, h, w, 2)``.
        visibility: what the source shows, ``(B, h, w)`` in [0, 1].
    """

    deformation: Tensor
    visibility: Tensor


@dataclass(frozen=True)
class SourceFeatures:
    """What the image generator keeps of a source image, so that it is encoded once for all driving frames.

    Attributes:
        image: ``(B, 3, H, W)`` in [0, 1].
        pyramid: features from the finest (H, W) to the coarsest, each ``(B, C, h, w)``, fp32 since they are sampled.
    """

    image: Tensor
    pyramid: tuple[Tensor, ...]


@dataclass(frozen=True)
class WarpedView:
    """A source deformed to the driving pose, before what is hidden in it is painted.

    Attributes:
        levels: deformed features from the coarsest to the finest, each ``(B, C, h, w)``, fp32.
        masks: what is visible at each level, ``(B, 1, h, w)`` in [0, 1]; 0 must be inpainted.
        image: the deformed image, ``(B, 3, H, W)``, fp32.
    """

    levels: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    image: Tensor


@dataclass(frozen=True)
class Candidates:
    """The first hops that a selector chooses from: M times on the way from the source to each of B driving poses.

    Attributes:
        times: ``(B, M)`` in [0, 1]; 0 is the source itself, which needs no hop.
        deformation: of each first hop, ``(B, M, h, w, 2)``, absolute backward grid.
        visibility: what the source shows of each, ``(B, M, h, w)`` in [0, 1]; at t = 0, of the source painted anew.
        remaining: motion left, the keypoints' mean distance to the driving pose, ``(B, M)`` in coordinate units.
        displacement: that of the source itself, ``(B,)``.
    """

    times: Tensor
    deformation: Tensor
    visibility: Tensor
    remaining: Tensor
    displacement: Tensor


@dataclass(frozen=True)
class EncodedSource:
    """All that is computed once per source picture.

    Attributes:
        keypoints: ``(1, K, N, 2)``; in training, and of an interpolated image, ``(B, K, N, 2)``, and so the others.
        small_image: the source as the dense motion network sees it, ``(1, 3, h, w)``.
        features: what the image generator keeps.
        heatmaps: of the keypoints at the size of the small image, ``(1, K * N, h, w)``; None leaves them to be drawn.
    """

    keypoints: Keypoints
    small_image: Tensor
    features: SourceFeatures
    heatmaps: Tensor | None = None

    @property
    def image(self) -> Tensor:
        """The source itself, ``(1, 3, H, W)`` in [0, 1]."""
        return self.features.image


@dataclass(frozen=True)
class PackedMask:
    """A mask in one bit a pixel, since those of a whole video may have to be kept.

    Attributes:
        bits: all pixels in a row, uint8.
        size: (height, width).
    """

    bits: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor) -> PackedMask:
        """A mask ``(1, 1, h, w)`` bool."""
        return cls(np.packbits(mask.cpu().numpy()), (mask.shape[-2], mask.shape[-1]))

    def tensor(self) -> Tensor:
        """The mask again, ``(1, 1, h, w)`` bool."""
        height, width = self.size
        return torch.from_numpy(np.unpackbits(self.bits, count=height * width).reshape(1, 1, height, width)).bool()


@dataclass(frozen=True)
class DrivingMotion:
    """All that is kept of some driving frames: a few hundred bytes each, and the masks where they are wanted.

    Attributes:
        keypoints: ``(B, K, N, 2)``.
        background_transform: ``(B, 3, 3)``, or None for the identity.
        hidden: what the person hides of each frame; empty unless it is wanted.
    """

    keypoints: Keypoints
    background_transform: Tensor | None
    hidden: tuple[PackedMask, ...] = ()


@dataclass(frozen=True)
class LayeredSource:
    """All that the layered backbone computes once per source picture.

    Attributes:
        keypoints: ``(1, K, N, 2)``; in training, and of an interpolated image, ``(B, K, N, 2)``, and so the others.
        image: ``(1, 3, H, W)`` in [0, 1].
        small_image: as the layout network sees it, ``(1, 3, s, s)``.
        parts: shares of the background and of each limb, ``(1, K + 1, 2 s, 2 s)`` in [0, 1].
        capsules: the limbs as drawn from the keypoints, ``(1, K, s, s)`` in [0, 1].
        background: the scene without the figure, ``(1, 3, H, W)`` in [0, 1].
        part_colours: mean colours of the layers, ``(1, K + 1, 3)``.
    """

    keypoints: Keypoints
    image: Tensor
    small_image: Tensor
    parts: Tensor
    capsules: Tensor
    background: Tensor
    part_colours: Tensor


@dataclass(frozen=True)
class LayeredMotion:
    """Where each layer comes from, which layer each pixel of the driving pose shows, and whether the source shows it too.

    Attributes:
        transforms: of the background and of each limb, ``(B, K + 1, 3, 3)``, affine, for columns (x, y, 1): driving
            coordinates to source coordinates, fp32.
        layer_logits: of the background and of each limb, ``(B, K + 1, h, w)``; softmax comes after enlarging.
        visibility_logits: of each limb, ``(B, K, h, w)``, likewise before sigmoid.
        mirrored: of each limb, ``(B, K, 3, 3)``, driving coordinates to those of the other side's limb in the source, turned
            over as in a mirror: an arm may be seen by the other one.
        turned: of each limb, ``(B, K)`` in [0, 1], how much that goes before its own place: of a head that looks to the other
            side.
        still_background: whether the background's transform is the identity.
    """

    transforms: Tensor
    layer_logits: Tensor
    visibility_logits: Tensor
    mirrored: Tensor
    turned: Tensor
    still_background: bool = False

    @property
    def decided(self) -> tuple[Tensor, Tensor]:
        """The logits of layers and visibility as they are composed; smoothed, or borders would be stairs of cells."""
        return DECIDED * smoothed(self.layer_logits), DECIDED * smoothed(self.visibility_logits)

    @property
    def contribution_maps(self) -> Tensor:
        """The layers' shares as they are composed, ``(B, K + 1, h, w)`` in [0, 1]."""
        return self.decided[0].softmax(dim=1)

    @property
    def occlusion_masks(self) -> tuple[Tensor]:
        """What the source shows, a single mask ``(B, 1, h, w)`` in [0, 1]; the painted background is shown everywhere."""
        layers, visibility = self.decided
        shares = layers.softmax(dim=1)
        return (shares[:, :1] + (shares[:, 1:] * visibility.sigmoid()).sum(dim=1, keepdim=True),)

    @property
    def deformation(self) -> Tensor:
        """The layers' places as one backward grid, mixed by the layers' shares, ``(B, h, w, 2)``: for measuring; nothing is
        sampled with it."""
        height, width = self.layer_logits.shape[-2:]
        grids = affine_grid(self.transforms.flatten(0, 1), height, width).unflatten(0, self.transforms.shape[:2])
        return (self.contribution_maps[..., None] * grids).sum(dim=1)


@dataclass(frozen=True)
class LayeredView:
    """A source in the driving pose, before what is hidden in it is painted.

    Attributes:
        image: ``(B, 3, H, W)`` in [0, 1], fp32; means nothing where `visible` is 0.
        visible: what the source shows, or its mirrored picture, ``(B, 1, H, W)`` in [0, 1].
        direct: what it shows itself, likewise.
        layers: shares of the background and of each limb, ``(B, K + 1, h, w)`` in [0, 1].
        part_colours: of the source, ``(B, K + 1, 3)``, or of batch 1.
        layer_logits: of the shares, ``(B, K + 1, h, w)``; enlarged before softmax, they give sharp borders.
    """

    image: Tensor
    visible: Tensor
    direct: Tensor
    layers: Tensor
    part_colours: Tensor
    layer_logits: Tensor


def joined(values: Sequence[Any]) -> Any:
    """Values of one of these types as one of their batches together; what is no tensor is as in the first."""
    return _by_tensor(lambda parts: torch.cat(list(parts)), values)


def first_samples(value: Any, count: int) -> Any:
    """The first samples of a value of one of these types."""
    return _by_tensor(lambda parts: parts[0][:count], [value])


def swapped_halves(value: Any) -> Any:
    """A value of one of these types with the halves of its batch exchanged."""
    return _by_tensor(lambda parts: torch.cat(parts[0].chunk(2)[::-1]), [value])


def _by_tensor(make: Callable[[Sequence[Tensor]], Tensor], values: Sequence[Any]) -> Any:
    """A value like the first, with each tensor made of those that the values have there."""
    first = values[0]
    if isinstance(first, Tensor):
        return make(values)
    if is_dataclass(first) and not isinstance(first, type):
        parts = {part.name: _by_tensor(make, [getattr(value, part.name) for value in values]) for part in fields(first)}
        return replace(first, **parts)
    if isinstance(first, tuple):
        return tuple(_by_tensor(make, parts) for parts in zip(*values, strict=True))
    return first
