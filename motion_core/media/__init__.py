"""Pictures and videos in and out: the only part that knows files, uint8, frame rates, codecs and sound. It streams.

Frames are ``(H, W, 3)`` uint8 RGB arrays. Input that cannot be used raises `motion_core.errors.InputError`.

    pictures    load_image and friends            outputs     check_output, check_file
    reading     open_video -> VideoSource         writing     VideoWriter: .mp4, .gif, folder of PNG files
      containers, decoding   files, by PyAV         mp4, sound, gif   what it writes with
      animations             GIF, WebP, PNG       webp        save_animation, for web pages
      timing                 rates and times      resuming    SegmentedWriter, for long jobs
      files, matroska        whole, unchanged?    inspecting  describe, scene cuts
                                                  comparison  side by side, by moviepy
    layouts     folders of videos, lists of pairs
"""

from __future__ import annotations

from .alpha import AlphaWriter, check_alpha_output
from .comparison import compose_comparison
from .inspecting import MediaInfo, cut_frames, describe, scene_cuts
from .outputs import check_file, check_other, check_output
from .pictures import MAX_PIXELS, image_tensor, load_image, parse_color, to_float, to_uint8
from .pictures import Picture as ImageSource
from .random_access import FrameAccess, natural_key, open_frames
from .reading import Video as VideoInput
from .reading import VideoSource, open_video
from .resuming import SegmentedWriter, check_job, fingerprint
from .webp import save_animation
from .writing import VideoWriter, provenance, save_image

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
