"""Video files opened with PyAV: which track is the video, when its frames are shown, whether the file is whole."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import InputError
from .files import check_whole
from .timing import DEFAULT_RATE, Clock

# Demuxers of real media files. Playlists (HLS, DASH, concat) are not among them: a text file renamed to .mp4 could
# name any other file or address, and FFmpeg would open it.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,ivf,obu,dv,yuv4mpegpipe,rm,swf,"
    "h264,hevc,m4v,mjpeg,av1,wav,mp3,flac,aac,ac3,aiff,caf,gif"
)
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a video or sound file, and close it at the end. Raises InputError if it is not one."""
    try:
        container = av.open(f"file:{path}", "r", container_options=_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        check_whole(path)
        raise InputError(f"{path}: must be a video, but it is not one, or it is damaged ({error.strerror})") from error
    with container:
        yield container


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video tracks that are not cover art."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & covers]


def main_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the video track that a player shows: not cover art; the default track, or else the largest."""
    moving = moving_streams(container)
    if not moving:
        found = "a cover picture" if container.streams.video else "sound" if container.streams.audio else "neither"
        raise InputError(f"{path}: must hold moving pictures, but has no video track (it holds {found})")
    playable = [stream for stream in moving if stream.codec_context is not None]
    if not playable:
        raise InputError(f"{path}: its video is in a format that this FFmpeg cannot decode")
    return max(playable, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))


def main_audio_stream(container: InputContainer, path: Path, number: int | None = None) -> AudioStream | None:
    """Return the sound track that a player plays: the default one, or else the first; None if there is none.

    Args:
        container, path: the open file and its name.
        number: choose this one instead, from 0.

    Raises:
        InputError: there is no track `number`, or FFmpeg cannot decode what there is.
    """
    tracks = container.streams.audio
    if number is not None and not 0 <= number < len(tracks):
        known = f"0 to {len(tracks) - 1}" if len(tracks) > 1 else "only track 0" if tracks else "no sound"
        raise InputError(f"{path}: audio_track must be one of its sound tracks, it has {known}, got {number}")
    wanted = tracks if number is None else tracks[number : number + 1]
    playable = [stream for stream in wanted if stream.codec_context is not None]
    if wanted and not playable:
        raise InputError(f"{path}: its sound is in a format that this FFmpeg cannot decode")
    return max(playable, key=lambda stream: bool(stream.disposition & Disposition.default), default=None)


@dataclass(frozen=True, eq=False)
class Track:
    """The video track of a file, as measured by reading all of its packets."""

    index: int  # of the stream
    ticks: (
        np.ndarray | None
    )  # (n,) int64, ascending, in time_base: when frames are shown; None if the file has no times
    time_base: Fraction  # seconds a tick
    clock: Clock
    has_audio: bool

    @property
    def count(self) -> int:
        return len(self.clock.times)

    @property
    def origin(self) -> Fraction:
        """The time in the file, in seconds, at which the first frame is shown."""
        return Fraction(0) if self.ticks is None else int(self.ticks[0]) * self.time_base


def measure(path: Path) -> Track:
    """Read the packets of a file (8 bytes of memory a frame), and find the clock of its video.

    Raises:
        InputError: no video in it, no frames, or damage that already shows in the container.
    """
    with open_container(path) as container:
        check_whole(path)
        stream = main_video_stream(container, path)
        ticks, last_duration, timed = _presentation_ticks(container, stream, path)
        stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        time_base = stream.time_base or Fraction(1, 1)
        has_audio = any(audio.codec_context is not None for audio in container.streams.audio)
        if not timed:
            clock = Clock.steady(len(ticks), next((rate for rate in stated if rate), DEFAULT_RATE))
            return Track(stream.index, None, time_base, clock, has_audio)
        times = (ticks - ticks[0]) * float(time_base)
        clock = Clock.measured(times, last_duration * float(time_base), stated)
        return Track(stream.index, ticks, time_base, clock, has_audio)


def _presentation_ticks(container: InputContainer, stream: VideoStream, path: Path) -> tuple[np.ndarray, int, bool]:
    """Return when each frame is shown (n,), how long the last one is, and whether those are real times."""
    shown, last, last_duration, first_key, count = array("q"), -(2**63), 0, None, 0
    begin, end = None, Fraction(0)
    try:
        for packet in container.demux():
            if packet.size == 0:
                continue
            if packet.pts is not None and packet.time_base is not None:
                time = packet.pts * packet.time_base
                begin = time if begin is None else min(begin, time)
                end = max(end, time + (packet.duration or 0) * packet.time_base)
            if packet.stream.index != stream.index or packet.is_discard:
                continue
            if packet.is_corrupt:
                raise InputError(f"{path}: is damaged or cut off at frame {count}, {float(end - (begin or 0)):.2f} s")
            count += 1
            if packet.pts is None:
                continue
            if first_key is None and packet.is_keyframe:
                first_key = packet.pts
            shown.append(packet.pts)
            if packet.pts > last:
                last, last_duration = packet.pts, packet.duration or 0
    except av.FFmpegError as error:
        at = f"frame {count}, {float(end - (begin or 0)):.2f} s"
        raise InputError(f"{path}: is damaged at {at} ({error.strerror})") from error
    if not count:
        raise InputError(f"{path}: has a video track, but no frames in it")
    if len(shown) < count:
        return np.arange(count), 1, False
    ticks = np.unique(np.frombuffer(shown, np.int64))
    # What comes before the first key frame cannot be decoded: the start of a cut broadcast recording.
    return ticks[ticks >= (ticks[0] if first_key is None else first_key)], last_duration, True
