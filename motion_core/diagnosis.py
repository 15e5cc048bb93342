"""What can be measured of a frame without knowing how it should look."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import Source
from .geometry import fold_over_share
from .networks.view_fusion import ViewKind
from .structures import Keypoints, WarpedView
from .transfer import Generated, MotionTransfer, displacement


@dataclass(frozen=True)
class FrameDiagnosis:
    """What can be measured of a frame without knowing how it should look. Distances are in coordinates: 2 is the image's width.

    Attributes:
        displacement: mean distance of the keypoints from the picture's to the driving pose's.
        remaining: what of it is left after the first hop, which is all of it where there is none.
        visibility: share of the frame that was visible in what was animated (the interpolated image, where there is one; with
            view fusion, the views together) and did not have to be painted, in [0, 1].
        fold_over: share of the deformation that is folded over, the larger one of the hops', in [0, 1].
        cycle_error: mean distance of the keypoints found in the frame from those that it was made for.
    """

    displacement: float
    remaining: float
    visibility: float
    fold_over: float
    cycle_error: float


@torch.inference_mode()
def diagnose(method: MotionTransfer, source: Source, poses: Keypoints, generated: Generated) -> list[FrameDiagnosis]:
    """Measure B images of a source in the poses ``(B, K, N, 2)``."""
    count = len(poses.points)
    folds = torch.stack([fold_over_share(hop.deformation).expand(count) for hop in generated.hops])  # (hops, B)
    columns = (
        displacement(source.keypoints, poses),
        displacement(generated.optimal.keypoints, poses),
        generated.visible.mean(dim=(1, 2, 3)),
        folds.amax(dim=0),
        displacement(method.detector(generated.image), poses),
    )  # (B,) each
    return [FrameDiagnosis(*numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True)]


def watch_fusion(method: MotionTransfer) -> list[tuple[Tensor, Sequence[ViewKind]]]:
    """Let a method's fusion note its finest weights ``(B, V, h, w)``, and the views' kinds, in the list; nothing without one."""
    noted: list[tuple[Tensor, Sequence[ViewKind]]] = []
    if method.view_fusion is None:
        return noted
    fusion, weigh = copy(method.view_fusion), method.view_fusion.weights  # with the same weights

    def weights(views: Sequence[WarpedView], kinds: Sequence[ViewKind], prior: Tensor | None = None) -> list[Tensor]:
        made = weigh(views, kinds, prior)
        noted.append((made[-1], kinds))
        return made

    fusion.weights = weights  # type: ignore[method-assign]
    method.view_fusion = fusion
    return noted
