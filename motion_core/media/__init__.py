"""Pictures and videos in and out: the only part that knows files, uint8, frame rates, codecs and sound. It streams.

Frames are ``(H, W, 3)`` uint8 RGB arrays. Input that cannot be used raises `motion_core.errors.InputError`.

    pictures    load_image and friends          paths       what must be there, what can be written
    timing      rates and times                 encoding    MP4, WebM, MOV, GIF, PNG files
    containers  files, opened by PyAV           writing     VideoWriter, AlphaWriter, save_image, save_animation
    decoding    their frames                    sound       of the driving video, made before the frames
    readers     of all other kinds              resuming    SegmentedWriter, for long jobs
    reading     open_video -> VideoSource       inspecting  describe, scene cuts
    comparison  side by side, by moviepy        sheets      side by side, as a picture
    layouts     folders of videos, pairs        browser_frames  single ones in memory
"""

from __future__ import annotations

from .comparison import compose_comparison
from .inspecting import MediaInfo, cut_frames, describe, scene_cuts
from .paths import check_alpha_output, check_file, check_other, check_output
from .pictures import MAX_PIXELS, image_tensor, load_image, parse_color, to_float, to_uint8
from .pictures import Picture as ImageSource
from .readers import FrameReader as FrameAccess
from .readers import natural_key
from .reading import Video as VideoInput
from .reading import VideoSource, open_frames, open_video
from .resuming import SegmentedWriter, check_job, fingerprint
from .writing import AlphaWriter, VideoWriter, provenance, save_animation, save_image

__all__ = [
    "MAX_PIXELS",
    "AlphaWriter",
    "FrameAccess",
    "ImageSource",
    "MediaInfo",
    "SegmentedWriter",
    "VideoInput",
    "VideoSource",
    "VideoWriter",
    "check_alpha_output",
    "check_file",
    "check_job",
    "check_other",
    "check_output",
    "compose_comparison",
    "cut_frames",
    "describe",
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
