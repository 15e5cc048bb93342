"""Faster ways to compute what the networks compute. The networks stay as they are: executors take their place after loading.

"eager" is the networks themselves. "packed", for the published backbone on a processor, is copies of them that share their
weights: in them weights lie as oneDNN wants them for the input's size, BatchNorms are folded, features are sampled and masked in
one step, heads with few outputs compute blocks of pixels, and the residual blocks' convolutions are Winograd's in fp32, also of
wide maps in bf16 where the processor has no units for its matrices. "auto" is packed where that can be, else eager. "int8" is
packed with the image generator's residual blocks in int8, for each source for which that is near enough.

The layered backbone is always eager. Packed, it was as fast as before (22.9 instead of 23.0 ms for the person, 63.1 instead of
62.3 ms for the image, bf16, one thread of an AVX512-bf16 processor): its maps are small and change their size with the figure.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, TypeVar, get_args

from torch import Tensor, nn

from ..backbone import Backbone, backbone_of
from ..errors import InputError
from ..networks.tpsmm.dense_motion import DenseMotionNetwork
from ..networks.tpsmm.image_generator import ImageGenerator
from ..networks.tpsmm.keypoint_detector import KeypointDetector
from ..settings import Backend
from .int8_tpsmm import Int8TPSMM
from .packed_tpsmm import PackedTPSMM
from .packing import packable, packed

# Of the image generator. It works once per source and was not faster packed; and its first norm amplifies rounding where a
# picture is flat, so that packed frames would be 94 instead of 118 dB from eager ones.
_ENCODER = ("first", "down")
Detector = TypeVar("Detector", bound=nn.Module)

logger = logging.getLogger(__name__)


def check_backend(name: Any) -> Backend:
    """The name of a backend.

    Raises:
        InputError: it is none.
    """
    if name not in get_args(Backend):
        raise InputError(f"backend must be one of {', '.join(get_args(Backend))}, got {name!r}")
    return name


def fast_detector(detector: Detector, backend: Backend) -> Detector:
    """What computes a keypoint detector in a backend: its packed copy, or itself."""
    if backend == "eager" or not isinstance(detector, KeypointDetector) or not packable(detector):
        return detector
    return packed(detector)


def fast_backbone(
    motion_network: Any, generator: Any, backend: Backend, kept_splines: Tensor | None = None
) -> Backbone:
    """`backbone_of` two networks in a backend."""
    published = isinstance(motion_network, DenseMotionNetwork) and isinstance(generator, ImageGenerator)
    if published and backend != "eager" and packable(motion_network) and packable(generator):
        kind = Int8TPSMM if backend == "int8" else PackedTPSMM
        return kind(packed(motion_network), packed(generator, untouched=_ENCODER), kept_splines)
    if backend == "int8":
        _say("backend int8 computes as eager: it is for models of the published kind in fp32 or bf16 on a processor")
    return backbone_of(motion_network, generator, kept_splines)


@cache
def _say(sentence: str) -> None:
    """Log a warning, once: the method over a pipeline's networks is made many times."""
    logger.warning(sentence)
