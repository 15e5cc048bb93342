"""Training data: pairs of frames of one video, numbered, so that a run can go on at any number.

layouts     find_videos: root/{train,test}/NAME    frames          decoded when used, bounded cache
pairs       PairDataset, ValidationPairs           augmentation    both images alike
"""

from __future__ import annotations

from .frames import BrokenFrameError
from .layouts import find_videos
from .pairs import PairDataset, ValidationPairs

__all__ = ["BrokenFrameError", "PairDataset", "ValidationPairs", "find_videos"]
