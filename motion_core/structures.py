"""The typed values that pass between the stages. B batch, T frames, K splines, N points per spline; points are (x, y)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Keypoints:
    """K groups of N keypoints, one group per spline.

    Attributes:
        points: ``(B, K, N, 2)`` in [-1, 1], corner-aligned.
    """

    points: Tensor

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
        around: what surrounds hidden places, continued into them, likewise; None for generators that paint without.
    """

    levels: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    image: Tensor
    around: Tensor | None = None


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


@dataclass(frozen=True)
class DrivingMotion:
    """All that is kept of some driving frames: a few hundred bytes each.

    Attributes:
        keypoints: ``(B, K, N, 2)``.
        background_transform: ``(B, 3, 3)``, or None for the identity.
    """

    keypoints: Keypoints
    background_transform: Tensor | None
