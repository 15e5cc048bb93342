"""The driving video's sound, copied into an MP4: from the same start as the frames, and never longer than they are."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.packet import Packet

from ..errors import InputError
from .containers import moving_streams, open_container
from .files import existing_file
from .reading import VideoSource

# (what to take it from, seconds to skip if that is a path, seconds to take or None)
AudioPart = tuple[VideoSource | str | os.PathLike[str] | None, Fraction, Fraction | None]

logger = logging.getLogger(__name__)

# Codecs that players accept in MP4, with the seconds of packets before the start that their decoders need to warm up.
# The muxer marks those with an edit list, so that they are decoded and not played.
_COPIED = {"aac": 0.05, "mp3": 0.05, "mp3float": 0.05, "opus": 0.08, "ac3": 0.0, "eac3": 0.0, "flac": 0.0, "alac": 0.0}
_AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000)
_BIT_RATE = 160_000


class Sound:
    """Adds the sound of a video to an MP4 that is being written.

    Sound that cannot be used is left out with a warning: the frames are worth having without it.
    """

    def __init__(self, part: AudioPart, output: OutputContainer) -> None:
        source, skip, self._length = part
        self._output = output
        self._open = ExitStack()
        self._packets: Iterator[tuple[Fraction, Packet]] = iter(())
        self._next: tuple[Fraction, Packet] | None = None
        if source is None or (isinstance(source, VideoSource) and not source.has_audio):
            return
        path = source.path if isinstance(source, VideoSource) else existing_file(source, "a file with sound")
        if path is None:
            return
        self._name = str(path)
        try:
            container = self._open.enter_context(open_container(path))
            self._start(container, _origin(container, source, skip))
        except (InputError, av.FFmpegError, ValueError) as error:
            logger.warning("%s: its sound cannot be used, the output has none: %s", path, error)
            self.close()

    def _start(self, container: InputContainer, origin: Fraction) -> None:
        """Add a track to the output for sound from `origin` on, in seconds of the file."""
        tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if not tracks:
            return
        if tracks[0].codec_context.name in _COPIED:
            self._packets = self._copied(container, tracks[0], origin)
        else:
            self._packets = self._encoded(container, tracks[0], origin)
        self._next = next(self._packets, None)

    def mux_until(self, time: Fraction) -> None:
        """Write what ends by `time`, in seconds of the output."""
        if self._length is not None:
            time = min(time, self._length)
        while self._next is not None and self._next[0] <= time:
            self._output.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._next, self._packets = None, iter(())
        self._open.close()

    def _copied(
        self, container: InputContainer, track: AudioStream, origin: Fraction
    ) -> Iterator[tuple[Fraction, Packet]]:
        """Yield (end in the output in seconds, packet) without decoding."""
        target = self._output.add_stream_from_template(track)
        early = Fraction(_COPIED[track.codec_context.name])
        ticks = round(origin / (track.time_base or Fraction(1)))
        _seek(container, track, ticks, origin - 1)
        for packet in self._readable(container, track):
            if packet.pts is None or packet.time_base is None:
                continue
            packet.pts -= ticks
            packet.dts = packet.pts  # sound is never reordered
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            if end > 0 or (early and end > -early):
                packet.stream = target
                yield end, packet

    def _encoded(
        self, container: InputContainer, track: AudioStream, origin: Fraction
    ) -> Iterator[tuple[Fraction, Packet]]:
        """Yield (end in the output in seconds, packet) of the sound encoded as AAC, cut at the sample."""
        rate = track.rate if track.rate in _AAC_RATES else 48000
        layout = "mono" if track.channels == 1 else "stereo"
        target = self._output.add_stream("aac", rate=rate, layout=layout, bit_rate=_BIT_RATE)
        target.codec_context.open()
        graph = _cutter(track, origin, rate, layout, target.codec_context.frame_size)
        _seek(container, track, round(origin / (track.time_base or Fraction(1))), origin - 1)
        for packet in self._readable(container, track):
            try:
                for frame in packet.decode():
                    graph.push(frame)
                    yield from _encode_ready(graph, target)
            except av.FFmpegError as error:
                logger.warning("%s: its sound is damaged and ends early: %s", self._name, error)
                break
        graph.push(None)
        yield from _encode_ready(graph, target)
        yield from ((_end_of(packet), packet) for packet in target.encode(None))

    def _readable(self, container: InputContainer, track: AudioStream) -> Iterator[Packet]:
        try:
            for packet in container.demux(track):
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            logger.warning("%s: its sound is damaged and ends early: %s", self._name, error)


def _origin(container: InputContainer, source: VideoSource | str | os.PathLike[str], skip: Fraction) -> Fraction:
    """Return the time in the file, in seconds, that is time 0 of the output."""
    if isinstance(source, VideoSource):
        return source.reader.origin + source.start
    videos = moving_streams(container)
    return skip + min(((v.start_time or 0) * (v.time_base or Fraction(1)) for v in videos), default=Fraction(0))


def _seek(container: InputContainer, track: AudioStream, ticks: int, early: Fraction) -> None:
    """Go to a second before the start; files that cannot seek are read from their beginning."""
    if early <= 0 or track.time_base is None:
        return
    try:
        container.seek(ticks - round(1 / track.time_base), stream=track)
    except av.FFmpegError:
        logger.debug("%s: cannot seek", container.name)


def _cutter(track: AudioStream, origin: Fraction, rate: int, layout: str, frame_size: int) -> Graph:
    """Drop what is before `origin`, make that time 0, and convert to what the encoder takes."""
    graph = Graph()
    nodes = [
        graph.add_abuffer(template=track),
        graph.add("atrim", f"start={float(origin):.9f}"),
        graph.add("asetpts", f"PTS-{float(origin):.9f}/TB"),
        graph.add("aformat", f"sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    graph.set_audio_frame_size(frame_size)
    return graph


def _encode_ready(graph: Graph, target: AudioStream) -> Iterator[tuple[Fraction, Packet]]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        for packet in target.encode(frame):  # type: ignore[arg-type]  # an audio graph gives audio frames
            yield _end_of(packet), packet


def _end_of(packet: Packet) -> Fraction:
    return ((packet.pts or 0) + (packet.duration or 0)) * (packet.time_base or Fraction(1))
