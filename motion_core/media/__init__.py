"""Pictures and videos in and out: the only part that knows files, uint8, frame rates, codecs and sound. It streams.

Frames are ``(H, W, 3)`` uint8 RGB arrays. Input that cannot be used raises `motion_core.errors.InputError`.

    pictures    load_image and friends          paths       what must be there, what can be written
    timing      rates and times                 encoding    MP4, WebM, MOV, GIF, PNG files
    containers  files, opened by PyAV           writing     VideoWriter, AlphaWriter, save_image, save_animation
    decoding    their frames                    resuming    SegmentedWriter, for long jobs
    readers     of all other kinds              sound       of the driving video, made before the frames
    sources     open_video -> VideoSource       scenes      where they change
    comparison  side by side, under captions    layouts     folders of videos, pairs
"""

from __future__ import annotations

from .comparison import compose_comparison
from .paths import check_file, check_output
from .pictures import ImageSource, image_tensor, load_image, parse_color, to_float, to_uint8
from .readers import FrameReader, natural_key
from .resuming import SegmentedWriter, check_job, fingerprint
from .scenes import cut_frames, scene_cuts
from .sources import VideoInput, VideoSource, open_frames, open_video
from .writing import AlphaWriter, VideoWriter, provenance, save_animation, save_image

__all__ = [
    "AlphaWriter",
    "FrameReader",
    "ImageSource",
    "SegmentedWriter",
    "VideoInput",
    "VideoSource",
    "VideoWriter",
    "check_file",
    "check_job",
    "check_output",
    "compose_comparison",
    "cut_frames",
    "fingerprint",
    "image_tensor",
    "load_image",
    "natural_key",
    "open_frames",
    "open_video",
    "parse_color",
    "provenance",
    "save_animation",
    "save_image",
    "scene_cuts",
    "to_float",
    "to_uint8",
]
