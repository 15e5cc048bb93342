"""What can be measured of a frame without knowing how it should look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .backbone import Source
from .geometry import fold_over_share
from .hops import Generated, displacement
from .networks.layered.person_detector import PersonDetector
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .structures import Keypoints


@dataclass(frozen=True)
class Diagnosis:
    """Of B frames, each ``(B,)``; `motion_core.animation.FrameDiagnosis` says what the numbers mean."""

    displacement: Tensor
    remaining: Tensor
    visibility: Tensor
    fold_over: Tensor
    cycle_error: Tensor


def diagnose(
    detector: KeypointDetector | PersonDetector, source: Source, driving: Keypoints, generated: Generated
) -> Diagnosis:
    """Measure images of a source in the poses `driving`."""
    count = len(driving.points)
    folds = torch.stack([fold_over_share(hop.deformation).expand(count) for hop in generated.hops])  # (hops, B)
    return Diagnosis(
        displacement(source.keypoints, driving),
        displacement(generated.optimal.keypoints, driving),
        generated.visible.mean(dim=(1, 2, 3)),
        folds.amax(dim=0),
        displacement(detector(generated.image), driving),
    )
