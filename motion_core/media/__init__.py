"""Pictures and videos in and out: the only part that knows files, uint8, frame rates, codecs and sound. It streams.

Frames are ``(H, W, 3)`` uint8 RGB arrays. Input that cannot be used raises `motion_core.errors.InputError`.

    paths        what must be there, what can be written
    frames       rates and clocks, and FrameReader: frames in order from any number on
    pictures     Pillow's: load_image and friends, readers of animations, folders and arrays
    video_files  PyAV's: tracks, times, damage, and the reader of video files
    sources      open_video -> VideoSource at a constant rate, open_frames -> FrameReader, scene_cuts
    sound        of the driving video, made before the frames
    writing      VideoWriter, AlphaWriter, save_image, save_animation
    resuming     SegmentedWriter, for long jobs
    comparison   side by side, under captions
"""

from __future__ import annotations

from .comparison import compose_comparison
from .frames import FrameReader
from .paths import check_file, check_output
from .pictures import ImageSource, image_tensor, load_image, natural_key, parse_color, to_float, to_uint8
from .resuming import SegmentedWriter, check_job, fingerprint
from .sources import VideoInput, VideoSource, cut_frames, open_frames, open_video, scene_cuts
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
