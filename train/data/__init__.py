"""Training data: pairs of frames of one video, numbered, so that a run can go on at any number.

layouts     find_videos: root/{train,test}/NAME frames        decoded when used, bounded cache
pairs       PairDataset, ValidationPairs, PairOptions     augmentation  both images alike
sampler     SampleNumbers: which numbers a process takes
"""

from __future__ import annotations

from .augmentation import Jitter
from .frames import BrokenFrameError
from .layouts import find_videos
from .options import PairOptions
from .pairs import PairDataset, ValidationPairs
from .sampler import SampleNumbers

__all__ = [
    "BrokenFrameError",
    "Jitter",
    "PairDataset",
    "PairOptions",
    "SampleNumbers",
    "ValidationPairs",
    "find_videos",
]
