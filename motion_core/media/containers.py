"""Video files opened with PyAV: which track is the video, when its frames are shown, what is wrong with it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from ..errors import InputError
from .timing import DEFAULT_RATE, Clock

_MAY_JUMP = cast(int, Flags.ts_discont.value)  # of formats
# FFmpeg's own bounds, in seconds: time stamps that go further back or ahead belong to another recording.
_JUMP_BACK, _JUMP_AHEAD = Fraction(1, 10), Fraction(10)
_LONGEST_PAUSE = Fraction(3600)  # seconds without a frame that are believed
_SAME_JUMP = Fraction(1, 2)  # seconds that streams of one recording may begin or end apart
# Seconds that a file may be shorter than it says, which counts the delay of MP3; more is missing.
_MISSING = Fraction(1, 4)
_AVI_HEAD = 8  # bytes that every picture takes in an AVI file, at least
# Bytes between two packets of Matroska, at most (64 were met): of more, FFmpeg has made no sense. It says so in its log only,
# which PyAV hands on under Python's lock: decoders in other threads could wait for ever.
_MATROSKA_HEAD = 1024

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
        reason = f"or it is damaged or cut off ({error.strerror})"
        raise InputError(f"{path}: must be a video, but it is not one, {reason}") from error
    with container:
        yield container


def main_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the video track that a player shows: not cover art; the default track, or else one that moves, the largest."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not moving:
        found = "a cover picture" if container.streams.video else "sound" if container.streams.audio else "neither"
        raise InputError(f"{path}: must hold moving pictures, but has no video track (it holds {found})")
    playable = [stream for stream in moving if stream.codec_context is not None]
    if not playable:
        raise InputError(f"{path}: its video is in a format that this FFmpeg cannot decode")
    default = Disposition.default
    return max(playable, key=lambda s: (bool(s.disposition & default), s.frames != 1, s.width * s.height))


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


def sound_tracks(path: Path) -> list[str]:
    """A line about each sound track of a file, in the order of their numbers: its codec, language and title."""
    with open_container(path) as container:
        default, lines = main_audio_stream(container, path), []
        for number, stream in enumerate(container.streams.audio):
            codec = "unknown" if stream.codec_context is None else stream.codec_context.codec.canonical_name
            names = (stream.metadata.get(key, "und") for key in ("language", "title"))
            about = ", ".join([codec, *(name for name in names if name != "und")])
            lines.append(f"sound track {number}: {about}{' (default)' if stream is default else ''}")
        return lines


def packets_of(
    container: InputContainer, *streams: VideoStream | AudioStream, jumps: list[Fraction] | None = None
) -> Iterator[Packet]:
    """Yield the packets of a file in the order in which they lie there.

    Where recordings were joined, their time stamps begin anew. As in FFmpeg's own program, in formats that allow it what
    follows such a jump is moved so that it goes on where the part before ended; in others, pictures stamped an hour away.
    A picture that a damaged file shows for longer than an hour, or an hour from when it is decoded, is not believed.

    Args:
        container: the open file, at its beginning.
        streams: those wanted; none is all.
        jumps: gets the seconds, as moved, at which time stamps jumped.
    """
    may_jump = bool(container.format.flags & _MAY_JUMP)
    back, ahead = (_JUMP_BACK, _JUMP_AHEAD) if may_jump else (_LONGEST_PAUSE, _LONGEST_PAUSE)
    shifts = {Fraction(0)}  # seconds, of all parts so far, for the jumps of other streams to the same ones
    parts: dict[int, _Part] = {}  # by stream
    for packet in _demuxed(container, streams or container.streams.get()):
        base = packet.time_base
        if packet.dts is not None and base is not None and (may_jump or packet.stream.type == "video"):
            time = packet.dts * base
            part = parts.setdefault(packet.stream.index, _Part(time))
            if packet.pts is not None and abs(packet.pts - packet.dts) * base > _LONGEST_PAUSE:
                packet.pts = packet.dts
            if (packet.duration or 0) * base > _LONGEST_PAUSE:
                packet.duration = part.last
            part.last = packet.duration or 0
            if not -back <= time + part.shift - part.due <= ahead:
                wanted = part.due - time
                part.shift = min(shifts, key=lambda known: abs(known - wanted))
                if abs(part.shift - wanted) > _SAME_JUMP:
                    part.shift = wanted
                    if jumps is not None:
                        jumps.append(part.due)
                shifts.add(part.shift)
            part.due = time + part.shift + part.last * base
            ticks = round(part.shift / base)
            packet.dts += ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks
        yield packet


@dataclass
class _Part:
    """What is known of a stream from the packets before."""

    due: Fraction  # when its next packet is, in seconds as moved
    shift: Fraction = Fraction(0)  # seconds that it is moved by
    last: int = 0  # ticks that the last packet took


def _demuxed(container: InputContainer, streams: Iterable[Stream]) -> Iterator[Packet]:
    try:
        yield from container.demux(*streams)
    except IndexError:  # PyAV's own, at the end of a damaged file in which streams appeared that its head does not name
        return


@dataclass(frozen=True, eq=False)
class Track:
    """The video track of a file, as measured by reading all of its packets.

    Attributes:
        index: of the stream.
        ticks: (n,) int64, ascending, in `time_base`: when frames are shown; None if the file does not have all times.
        time_base: seconds a tick.
        clock: when frames are shown, in seconds after the first.
        origin: the time in the file, in seconds, at which the first frame is shown.
        has_audio: whether there is sound that can be decoded.
        can_seek: whether a time stands for one place in the file.
        faults: what is wrong with the file, to be said after its name.
    """

    index: int
    ticks: np.ndarray | None
    time_base: Fraction
    clock: Clock
    origin: Fraction
    has_audio: bool
    can_seek: bool
    faults: list[str]


def measure(path: Path, *, take_cut_off: bool = False) -> Track:
    """Read the packets of a file (16 bytes of memory a frame), and find the clock of its video.

    Args:
        path: the file.
        take_cut_off: whether what is there of a file will do if it says itself that pictures are missing.

    Raises:
        InputError: no video in it, no frames, or pictures are missing.
    """
    with open_container(path) as container:
        stream = main_video_stream(container, path)
        found = _Found.of(container, stream)
        if not found.count:
            raise InputError(f"{path}: has a video track, but no frames in it{found.broken_off}")
        missing = _missing(container, stream, found)
        if missing and not take_cut_off:
            raise InputError(f"{path}: is damaged or cut off, {missing} (on_damage='skip' uses what is there)")
        stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        time_base, ticks = stream.time_base or Fraction(1), found.ticks()
        if ticks is None:
            clock = Clock.steady(found.count, next((rate for rate in stated if rate), DEFAULT_RATE))
            origin = found.guessed_origin(time_base, clock.rate)
        else:
            times = (ticks - ticks[0]) * float(time_base)
            clock = Clock.measured(times, found.last_duration * float(time_base), stated)
            origin = int(ticks[0]) * time_base
        has_audio = any(audio.codec_context is not None for audio in container.streams.audio)
        faults = ([f"is damaged or cut off, {missing}"] if missing else []) + found.faults(clock.variable)
        return Track(stream.index, ticks, time_base, clock, origin, has_audio, not found.jumps, faults)


@dataclass
class _Found:
    """What the packets of a file say. Times are ticks of the video stream, or seconds where they are of all streams."""

    count: int = 0  # pictures
    shown: array[int] = field(default_factory=lambda: array("q"))  # when those are shown whose time is known
    place: array[int] = field(default_factory=lambda: array("q"))  # which ones these are, in the file's order
    first_key: int | None = None
    last_duration: int = 0
    end: Fraction = Fraction(0)  # of the last packet of any stream
    broken_off: str = ""
    jumps: list[Fraction] = field(default_factory=list)
    skipped: list[Fraction] = field(default_factory=list)  # when bytes of Matroska were left out that make no sense

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> _Found:
        found, last, place = cls(), -(2**63), 2**63
        # Between packets with transparency there may be any number of bytes.
        dense = container.format.name.startswith("matroska") and stream.metadata.get("alpha_mode") != "1"
        try:
            for packet in packets_of(container, jumps=found.jumps):
                if packet.size == 0:
                    continue
                if dense and packet.pos is not None:
                    if packet.pos > place + _MATROSKA_HEAD:
                        found.skipped.append(found.end)
                    place = packet.pos + packet.size
                if packet.pts is not None and packet.time_base is not None:
                    found.end = max(found.end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                if packet.stream.index != stream.index or packet.is_discard:
                    continue
                found.count += 1
                if packet.pts is None:
                    continue
                if found.first_key is None and packet.is_keyframe:
                    found.first_key = packet.pts
                found.shown.append(packet.pts)
                found.place.append(found.count - 1)
                if packet.pts > last:
                    last, found.last_duration = packet.pts, packet.duration or 0
        except av.FFmpegError as error:
            found.broken_off = f", cannot be read beyond {float(found.end):.2f} s ({error.strerror})"
        return found

    def ticks(self) -> np.ndarray | None:
        """When the frames are shown (n,), ascending; None if that is not known of all."""
        if len(self.shown) < self.count:
            return None
        ticks = np.unique(np.frombuffer(self.shown, np.int64))
        # What comes before the first key frame cannot be decoded: the start of a cut broadcast recording.
        return ticks[ticks >= (ticks[0] if self.first_key is None else self.first_key)]

    def guessed_origin(self, time_base: Fraction, rate: Fraction) -> Fraction:
        """When the first frame is shown, in seconds, from those whose time is known; frames that swap places cancel out."""
        if not self.shown:
            return Fraction(0)
        known = len(self.shown)
        origin = sum(self.shown) * time_base / known - Fraction(sum(self.place), known) / rate
        return Fraction(round(origin * 1000), 1000)

    def faults(self, variable: bool) -> list[str]:
        """What is wrong, to be said after the file's name; `variable`: whether frames are not in steady time."""
        found = [self.broken_off.removeprefix(", ")] if self.broken_off else []
        if self.skipped and variable:
            found.append(f"its structure is broken at {_listed(self.skipped)} s, and pictures may be missing there")
        if self.jumps:
            times = _listed(self.jumps)
            found.append(f"its time stamps jump at {times} s, and what follows is shown right after what came before")
        return found


def _listed(times: list[Fraction]) -> str:
    return ", ".join(f"{float(time):.2f}" for time in times[:5])


def _missing(container: InputContainer, stream: VideoStream, found: _Found) -> str:
    """Return which pictures are missing by the file's own word, or "" if it does not say so."""
    kind, count = container.format.name.split(",")[0], 0
    if kind == "mov":  # its index has the place of each picture
        stated = len(stream.index_entries)
        if stated > container.size:  # not a byte for each
            count = stated - found.count
        else:
            count = sum(entry.pos + entry.size > container.size for entry in stream.index_entries)
    elif kind == "avi" and stream.frames <= container.size // _AVI_HEAD:  # a larger number was not known when written
        count, stated = stream.frames - found.count, stream.frames
    elif kind == "matroska" and container.duration is not None:
        duration = Fraction(container.duration, av.time_base)
        if duration - found.end > _MISSING:
            return f"it ends at {float(found.end):.2f} s of {float(duration):.2f} s"
    return f"{count} of its {stated} pictures are missing" if count > 0 else ""
