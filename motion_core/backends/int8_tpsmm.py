"""The published backbone, packed, with the image generator's residual blocks in int8."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..structures import DenseMotion, EncodedSource, Keypoints, SourceFeatures
from . import private_ops
from .nearness import psnr
from .packed_tpsmm import PackedTPSMM, UnwarpedView
from .quantized import MeasuredResidual, QuantizedFeatures

LEAST_PSNR = 40.0  # of frames in int8 against packed ones, in dB
_TURN, _SIZE, _SHIFT = 0.2, 0.85, (0.1, -0.05)  # of the pose that it is checked with, besides the source's own

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Int8TPSMM(PackedTPSMM):
    """`PackedTPSMM` whose residual blocks are quantised for a source when it is encoded.

    All frames of a source are computed alike: in int8, or packed where int8 cannot be, or is too far from packed in the source's
    own pose and a turned one; which of them it is depends on the source alone, and is logged. Sources that are encoded as one
    batch, and views that are fused of several, are computed packed.
    """

    @torch.no_grad()
    def encode(self, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """As in `PackedTPSMM`, with residual blocks for the source."""
        source = super().encode(image, keypoints)
        return _with_residual(source, self._quantized(source) if len(image) == 1 else None)

    def between(self, source: EncodedSource, motion: DenseMotion, image: Tensor, keypoints: Keypoints) -> EncodedSource:
        """An interpolated image as a source, with the residual blocks of what it was made of."""
        return _with_residual(super().encode(image, keypoints), _residual_of(source.features))

    def _residual(self, view: UnwarpedView) -> nn.ModuleList:
        return _residual_of(view.features) or super()._residual(view)

    def _quantized(self, source: EncodedSource) -> nn.ModuleList | None:
        """The residual blocks in int8 for a source of batch 1, or None, of which it is said why."""
        missing = private_ops.int8_missing()
        if missing is not None:
            logger.warning("backend int8 computes as packed: %s", missing)
            return None
        poses = (source.keypoints, turned(source.keypoints))
        views = [self.view(source, self.motion(source, pose)) for pose in poses]
        residual = super()._residual(views[0])
        measured = _each_block(residual, MeasuredResidual)
        own = self._painted(views[0], measured)
        quantized = _each_block(measured, MeasuredResidual.quantized)
        wanted = torch.cat((own, self._painted(views[1], residual)))
        near = psnr(torch.cat([self._painted(view, quantized) for view in views]), wanted)
        if near >= LEAST_PSNR:
            return quantized
        logger.warning(
            "backend int8 computes this picture as packed: it would be %.1f dB from that, and %g are wanted",
            near,
            LEAST_PSNR,
        )
        return None


def _each_block(levels: Iterable[Any], make: Callable[[Any], nn.Module]) -> nn.ModuleList:
    """Residual blocks made of others, at each level."""
    return nn.ModuleList(nn.Sequential(*map(make, blocks)) for blocks in levels)


def turned(keypoints: Keypoints) -> Keypoints:
    """Keypoints ``(B, K, N, 2)`` turned, reduced and shifted."""
    points = keypoints.points
    centre = points.mean(dim=(1, 2), keepdim=True)
    cos, sin = _SIZE * math.cos(_TURN), _SIZE * math.sin(_TURN)
    return Keypoints(
        (points - centre) @ points.new_tensor([[cos, sin], [-sin, cos]]) + centre + points.new_tensor(_SHIFT)
    )


def _residual_of(features: SourceFeatures) -> nn.ModuleList | None:
    """The residual blocks in int8 for a source with these features, if there are any."""
    return features.residual if isinstance(features, QuantizedFeatures) else None


def _with_residual(source: EncodedSource, residual: nn.ModuleList | None) -> EncodedSource:
    if residual is None:
        return source
    return replace(source, features=QuantizedFeatures(source.image, source.features.pyramid, residual))
