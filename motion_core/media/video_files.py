"""Video files, by PyAV: their tracks, when frames are shown, what is wrong, and the frames as (H, W, 3) uint8 sRGB.

Frames are deinterlaced, upright and of square pixels.
"""

from __future__ import annotations

import logging
import struct
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec import CodecContext
from av.container import InputContainer
from av.filter import Graph
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ..errors import InputError
from .frames import DEFAULT_RATE, Clock, FrameReader
from .paths import FileStamp
from .pictures import WHITE, blend, check_size

logger = logging.getLogger(__name__)

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

_SEEK_FROM = 16  # frames; to an earlier frame, decoding from the start is as quick as seeking
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_BT709, _SRGB, _PQ, _HLG = 1, 13, 16, 18  # FFmpeg's numbers of primaries and transfer curves
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# FFmpeg's AVColorSpace -> swscale's matrix, of the same number but for two; 2 (unspecified) is decided by size.
_MATRICES = {number: Colorspace(number) for number in (1, 4, 5, 7, 9)} | {6: Colorspace.ITU601, 10: Colorspace.BT2020}


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
    return max(playable, key=lambda s: (bool(s.disposition & Disposition.default), s.frames != 1, s.width * s.height))


def main_audio_stream(container: InputContainer, path: Path, number: int | None = None) -> AudioStream | None:
    """Return sound track `number`, from 0, or that which a player plays: the default one, else the first; None if there is none.

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


class _SeekError(Exception):
    """Seeking did not get to a decodable frame at or before the one that is wanted."""


class ContainerReader(FrameReader):
    """A video file. Each call of `frames_from` opens it anew and closes it when done or abandoned.

    Args:
        path: the file.
        max_pixels: larger frames are refused.
        take_cut_off: whether what is there of a file will do if it says itself that pictures are missing.

    Raises:
        InputError: no video in it, no frames, or pictures are missing.
    """

    path: Path
    kind = "video"

    def __init__(self, path: Path, max_pixels: int, take_cut_off: bool = False) -> None:
        self.path, self._max_pixels = path, max_pixels
        self._stamp = FileStamp(path)
        with open_container(path) as container:
            self._measure(container, take_cut_off)
        with closing(self._decoded(None)) as frames:
            first = next(frames, None)
            if first is None:
                raise InputError(f"{path}: must have frames that can be decoded, but has none")
            converter = _Converter(*first[1:])
        self.size, self.rotation = converter.size, converter.rotation

    def _measure(self, container: InputContainer, take_cut_off: bool) -> None:
        """Read all packets (16 bytes of memory a frame), and find the clock of the video."""
        stream = main_video_stream(container, self.path)
        found = _Found.of(container, stream)
        if not found.count:
            why = f", {found.broken_off}" if found.broken_off else ""
            raise InputError(f"{self.path}: has a video track, but no frames in it{why}")
        missing = _missing(container, stream, found)
        if missing and not take_cut_off:
            raise InputError(f"{self.path}: is damaged or cut off, {missing} (on_damage='skip' uses what is there)")
        stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        self._index, self._time_base = stream.index, stream.time_base or Fraction(1)
        self._ticks = ticks = found.ticks()  # in `_time_base`; None if the file does not have all times
        if ticks is None:
            self.clock = Clock.steady(found.count, next((rate for rate in stated if rate), DEFAULT_RATE))
            self.origin = found.guessed_origin(self._time_base, self.clock.rate)
        else:
            times = (ticks - ticks[0]) * float(self._time_base)
            self.clock = Clock.measured(times, found.last_duration * float(self._time_base), stated)
            self.origin = int(ticks[0]) * self._time_base
        self.has_audio = any(audio.codec_context is not None for audio in container.streams.audio)
        self.can_seek = not found.jumps  # whether a time stands for one place in the file
        for fault in ([f"is damaged or cut off, {missing}"] if missing else []) + found.faults(self.clock.variable):
            logger.warning("%s: %s", self.path, fault)

    def frames_from(self, index: int) -> Iterator[tuple[int, np.ndarray | InputError]]:
        """Yield (frame number, (H, W, 3) uint8) from frame `index` on, or the error where a frame is damaged.

        Damage that is met on the way to `index` comes first: what follows may show traces of it.
        """
        self._stamp.check()
        can_seek = index >= _SEEK_FROM and self._ticks is not None and self.can_seek
        for seek in (True, False) if can_seek else (False,):
            try:
                yield from self._converted(index, seek=seek)
                break
            except _SeekError:  # an open group of pictures, or no index: decode from the start instead
                continue
            except InputError:
                self._stamp.check()  # if the file has changed, that is why
                raise
        self._stamp.check()

    def _converted(self, first: int, *, seek: bool) -> Iterator[tuple[int, np.ndarray | InputError]]:
        converter: _Converter | None = None
        previous = -1
        for index, frame, stream in self._decoded(first if seek else None):
            if converter is None and seek:
                if index > first:
                    raise _SeekError
                previous = index - 1  # what leads up to the first key frame is no damage
            converter = converter or _Converter(frame, stream)
            for missing in range(previous + 1, index):
                yield missing, self._damage(missing, "is missing")
            if index <= previous:
                continue
            previous = index
            if frame.is_corrupt:
                yield index, self._damage(index, "is damaged")
            elif index >= first:
                yield index, converter(frame, self.size)
        if seek and previous < first:
            raise _SeekError  # some formats without an index seek past the end
        for missing in range(max(first, previous + 1), self.count):
            yield missing, self._damage(missing, "is missing")

    def _damage(self, index: int, what: str) -> InputError:
        self._stamp.check()
        return InputError(f"{self.name}: is damaged at frame {index}, {self.clock.times[index]:.2f} s: it {what}")

    def _decoded(self, seek_to: int | None) -> Generator[tuple[int, VideoFrame, VideoStream], None, None]:
        """Yield (frame number, frame, stream) in the order in which they are shown."""
        ticks, time_base = self._ticks, self._time_base
        with open_container(self.path) as container:
            stream = cast(VideoStream, container.streams[self._index])
            stream.thread_type = "SLICE"  # a decoder of several frames at once loses others with a damaged one
            if seek_to is not None and ticks is not None:
                try:
                    container.seek(int(ticks[seek_to]), stream=stream)
                except av.FFmpegError as error:
                    raise _SeekError from error
            for count, frame in enumerate(_deinterlaced(_frames_of(container, stream, self._max_pixels, self.name))):
                if ticks is None:
                    yield count, frame, stream
                elif frame.pts is not None:
                    tick = round(frame.pts * (frame.time_base or time_base) / time_base)
                    index = int(np.searchsorted(ticks, tick, side="right")) - 1
                    if index >= 0:
                        yield index, frame, stream


def _frames_of(container: InputContainer, stream: VideoStream, max_pixels: int, name: str) -> Iterator[VideoFrame]:
    """Decode packet by packet; what cannot be decoded is left out, what is too large is refused."""
    check_size(max(1, stream.height), max(1, stream.width), max_pixels, name)  # 0: not known before decoding
    decoder = _decoder_of(stream)
    for packet in chain(_readable(container, stream), (None,)):  # None: what the decoder still holds
        with suppress(av.FFmpegError):
            for frame in decoder.decode(packet):
                check_size(frame.height, frame.width, max_pixels, name)
                yield frame


def _readable(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets up to where the file cannot be read, which `_measure` has told."""
    with suppress(av.FFmpegError):
        for packet in packets_of(container, stream):
            if packet.size:
                yield packet


def _decoder_of(stream: VideoStream) -> VideoCodecContext:
    """The decoder of a track: for VP8 and VP9 with transparency libvpx, since FFmpeg's own ones do not see that."""
    name = _WITH_ALPHA.get(stream.codec_context.name) if stream.metadata.get("alpha_mode") == "1" else None
    if name is None or name not in av.codecs_available:
        return stream.codec_context
    decoder = cast(VideoCodecContext, CodecContext.create(name, "r"))
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _deinterlaced(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Pass frames through; from the first interlaced one on, through a filter that rebuilds the missing lines."""
    graph: Graph | None = None
    size: tuple[int, int] | None = None
    for frame in chain(frames, (None,)):
        if graph is not None and (frame is None or (frame.width, frame.height) != size):
            graph.push(None)
            yield from ready(graph)
            graph = None
        if frame is None:
            return
        if graph is None and frame.interlaced_frame:
            size, picture = (frame.width, frame.height), (frame.width, frame.height, frame.format.name)
            # send_frame: one for each two fields. deint=interlaced: progressive frames between them stay as they are.
            options, tick = "mode=send_frame:deint=interlaced", frame.time_base or Fraction(1, 1000)
            graph = filter_graph("bwdif", options, [picture], tick)
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from ready(graph)


def filter_graph(name: str, options: str, inputs: Sequence[tuple[int, int, str]], time_base: Fraction) -> Graph:
    """One of FFmpeg's filters, ready to be used, whose inputs are of (width, height, pixel format)."""
    graph = Graph()
    node, sink = graph.add(name, options), graph.add("buffersink")
    for number, (width, height, pixels) in enumerate(inputs):
        source = graph.add_buffer(width=width, height=height, format=VideoFormat(pixels), time_base=time_base)
        source.link_to(node, 0, number)
    node.link_to(sink)
    graph.configure()
    return graph


def ready(graph: Graph) -> Iterator[VideoFrame]:
    """The frames that a filter graph has finished so far."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Converter:
    """Turns the frames of one stream into upright (H, W, 3) uint8 sRGB with square pixels, of the size of the first."""

    def __init__(self, frame: VideoFrame, stream: VideoStream) -> None:
        self._reformatter = VideoReformatter()
        aspect = max(stream.sample_aspect_ratio or 0, 0) or 1
        self._matrix = _display_matrix(frame)
        self.rotation = frame.rotation % 360  # degrees, counter-clockwise
        self._turned = abs(self._matrix[1]) > abs(self._matrix[0])
        height, width = frame.height, max(1, round(frame.width * aspect))
        self.size = (width, height) if self._turned else (height, width)

    def __call__(self, frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """Return a frame at `size`, (h, w); one of another shape is stretched, as FFmpeg's own program does."""
        height, width = size[::-1] if self._turned else size  # as it is stored
        has_alpha = any(component.is_alpha for component in frame.format.components)
        is_rgb, is_hdr = frame.format.is_rgb, frame.color_trc in (_PQ, _HLG)
        is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or is_rgb
        # An untagged file is read as players read it: HD as BT.709, smaller as BT.601.
        untagged = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if has_alpha else "rgb24",
            src_colorspace=None if is_rgb else _MATRICES.get(frame.colorspace, untagged),
            src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT,
            dst_color_trc=_SRGB if is_hdr else None,
            dst_color_primaries=_BT709 if is_hdr else None,
        )
        pixels = rgb.to_ndarray()
        if has_alpha:
            pixels = blend(pixels, WHITE)
        return np.ascontiguousarray(_upright(pixels, self._matrix))


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Return (a, b, c, d): pixel (x, y) is shown at (a x + c y, b x + d y), up to scale and offset."""
    data = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    values = struct.unpack("=9i", bytes(data))
    return values[0], values[1], values[3], values[4]


def _upright(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply the rotation (to the nearest quarter turn) and mirroring of a display matrix to (H, W, 3)."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    return pixels[::-1] if d < 0 else pixels


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
            found.broken_off = f"cannot be read beyond {float(found.end):.2f} s ({error.strerror})"
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
        found = [self.broken_off] if self.broken_off else []
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
