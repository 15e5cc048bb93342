"""The driving video's sound, as a track of the output: from the same start as the frames, and never longer than they are.

It is made before the first frame is rendered, as an MP4 of its own. Whatever is wrong with it shows there, and costs no frames.
What is left out of the frames is left out of the sound.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from ..errors import InputError
from .containers import main_audio_stream, open_container
from .decoding import ContainerReader
from .paths import existing_file
from .sound_packets import SoundPackets
from .sources import VideoSource

AudioSource = VideoSource | str | os.PathLike[str]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SoundCodecs:
    """Sound that players accept in a kind of file.

    Attributes:
        copied: codecs that are taken as they are, with the seconds of packets before the start that their decoders need to
            warm up. The muxer marks those with an edit list, so that they are decoded and not played.
        encoder: FFmpeg's name of what all others become.
        rates: samples a second that it takes; others become the first of these.
        container: FFmpeg's name of what takes the same sound.
    """

    copied: Mapping[str, float]
    encoder: str
    rates: tuple[int, ...]
    container: str = "mp4"


IN_MP4 = SoundCodecs(
    {"aac": 0.05, "mp3": 0.05, "mp3float": 0.05, "opus": 0.08, "ac3": 0.0, "eac3": 0.0, "flac": 0.0, "alac": 0.0},
    "aac",
    (48000, 44100, 32000, 24000, 22050, 16000),
)
IN_MOV = replace(IN_MP4, container="mov")
IN_WEBM = SoundCodecs({"opus": 0.08}, "libopus", (48000,))
_BIT_RATE = 160_000
# Seconds that sound may be from its time stamps; beyond, silence is put in or sound left out.
_JITTER = Fraction(3, 100)
_ENDLESS = Fraction(10**6)  # seconds of a file whose length is not known
_IN_MEMORY = 2**23  # bytes
_BLOCK = 1024  # samples; without a number, PyAV's resampler passes on what is of its kind, gaps and all


class Sound:
    """A sound track that goes into a file beside its frames. Use `prepare_sound` to make one.

    Args:
        file: an MP4 with one sound track, that of the output; closed with this.
        length: seconds of it to take.
    """

    def __init__(self, file: IO[bytes], length: Fraction) -> None:
        self._file, self._length = file, length
        self._container = av.open(file, "r", format="mp4")
        self._track = self._container.streams.audio[0]
        self._packets: Iterator[Packet] = (packet for packet in self._container.demux(self._track) if packet.size)
        self._next = next(self._packets, None)

    def add_to(self, output: OutputContainer) -> None:
        """Add its track to the output, before anything is written there."""
        self._output, self._target = output, output.add_stream_from_template(self._track)

    def mux_until(self, time: Fraction) -> None:
        """Write what ends by `time`, in seconds of the output."""
        time = min(time, self._length)
        while self._next is not None and _end_of(self._next) <= time:
            self._next.stream = self._target
            self._output.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._next, self._packets = None, iter(())
        self._container.close()
        self._file.close()


_Parts = Sequence[tuple[Fraction, Fraction]]  # (begin, end) in seconds of the output's time, ascending


@dataclass(frozen=True)
class _Wanted:
    """What sound of a file to take.

    Attributes:
        path: the file.
        number: of the sound track; None is the default one.
        origin: the time in the file, in seconds, that is time 0 of the output.
        can_seek: whether a time stands for one place in the file.
        parts: all else is left out.
        length: seconds of sound in the output.
    """

    path: Path
    number: int | None
    origin: Fraction
    can_seek: bool
    parts: _Parts
    length: Fraction

    @classmethod
    def of(cls, source: AudioSource) -> _Wanted | None:
        """None if there can be no sound."""
        if not isinstance(source, VideoSource):
            path, start = existing_file(source, "a file with sound"), Fraction(0)
            return cls(path, None, start, True, [(start, _ENDLESS)], _ENDLESS)
        reader = source.reader
        if not isinstance(reader, ContainerReader):
            return None
        parts = source.parts()
        first = parts[0][0]
        shifted = [(begin - first, end - first) for begin, end in parts]
        origin = reader.origin + first
        return cls(reader.path, source.audio_track, origin, reader.track.can_seek, shifted, source.duration)


def prepare_sound(source: AudioSource | None, folder: Path, codecs: SoundCodecs = IN_MP4) -> Sound | None:
    """Return the sound of a video, or of a file with sound, ready to be written, or None if there is none.

    Sound that cannot be used is left out with a warning: the frames are worth having without it.

    Args:
        source: whose sound.
        folder: for an unnamed file, if the sound is too long to be kept in memory.
        codecs: of the kind of file that it goes into.

    Raises:
        InputError: there is no such file.
        OSError: the disk is full.
    """
    wanted = None if source is None else _Wanted.of(source)
    if wanted is None:
        return None
    reason: Exception | None = None
    for write in (_copy, _encode):
        try:
            return _written(wanted, write, codecs, folder)
        except (InputError, av.FFmpegError, ValueError) as error:
            logger.debug("%s: its sound cannot be written by %s: %s", wanted.path, write.__name__, error)
            reason = error
    logger.warning("%s: its sound cannot be used, the output has none: %s", wanted.path, reason)
    return None


_Writing = Callable[[SoundPackets, OutputContainer, _Parts, SoundCodecs], None]


def _written(wanted: _Wanted, write: _Writing, codecs: SoundCodecs, folder: Path) -> Sound | None:
    """Write the sound as a file of its own, and open that; None if there is no sound."""
    with ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)))
        with open_container(wanted.path) as container:
            track = main_audio_stream(container, wanted.path, wanted.number)
            if track is None:
                return None
            packets = SoundPackets(container, track, wanted.origin, can_seek=wanted.can_seek)
            with av.open(file, "w", format=codecs.container) as output:
                write(packets, output, wanted.parts, codecs)
        file.seek(0)
        sound = Sound(file, wanted.length)
        for complaint in packets.complaints():
            logger.warning("%s: its sound %s", wanted.path, complaint)
        opened.pop_all()  # the file is closed with the sound
        return sound


def _copy(packets: SoundPackets, output: OutputContainer, parts: _Parts, codecs: SoundCodecs) -> None:
    """Write the packets as they are. Raises InputError unless all can be decoded, and that as sound of one kind without gaps."""
    track = packets.track
    if track.codec_context.name not in codecs.copied:
        raise InputError(f"{track.codec_context.name} cannot be copied")
    if len(parts) > 1:
        raise InputError("parts of it are left out")
    early = Fraction(codecs.copied[track.codec_context.name])
    target = output.add_stream_from_template(track)
    kinds, end = set(), Fraction(0)
    for packet in packets:
        start, finish = packets.span(packet)
        if start >= parts[-1][1]:
            break
        if finish > 0 or (early and finish > -early):
            for frame in packets.decode(packet):
                kinds.add(_kind(frame))
                begin = end if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
                if begin > end + _JITTER:
                    raise InputError(f"it has a gap at {float(begin):.2f} s")
                end = begin + Fraction(frame.samples, frame.sample_rate)
            if packets.damaged or len(kinds) > 1:
                raise InputError("it is damaged, or changes its format")
            packets.move(packet)
            packet.stream = target
            output.mux(packet)
    if not kinds:
        raise InputError("it has no packets that can be decoded")


def _encode(packets: SoundPackets, output: OutputContainer, parts: _Parts, codecs: SoundCodecs) -> None:
    """Write the sound encoded, with silence where there is none. Raises InputError if there is none at all."""
    frames = _decoded(packets, parts[-1][1])
    first = next(frames, None)
    if first is None:
        raise InputError("none of it can be decoded")
    rate = first.sample_rate if first.sample_rate in codecs.rates else codecs.rates[0]
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    target = cast(AudioStream, output.add_stream(codecs.encoder, rate=rate, layout=layout, bit_rate=_BIT_RATE))
    blocks = _aligned(chain([first], frames), rate, layout)
    for block in _cut(blocks, parts, rate) if len(parts) > 1 else blocks:
        output.mux(target.encode(block))
    output.mux(target.encode(None))


def _cut(blocks: Iterable[AudioFrame], parts: _Parts, rate: int) -> Iterator[AudioFrame]:
    """Yield what is in the parts (begin, end), in seconds, one after the other from time 0 on."""
    edges = np.array([round(edge * rate) for part in parts for edge in part])  # samples: a part begins, ends, ...
    count = 0
    for block in blocks:
        at = (block.pts or 0) + np.arange(block.samples)
        inside = np.searchsorted(edges, at, side="right") % 2 == 1
        kept: np.ndarray = block.to_ndarray()[:, inside]  # (channels, samples)
        if kept.size:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(kept), format="fltp", layout=block.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate, count, Fraction(1, rate)
            yield frame
            count += frame.samples


def _decoded(packets: SoundPackets, end: Fraction) -> Iterator[AudioFrame]:
    for packet in packets:
        if packets.span(packet)[0] >= end:
            break
        yield from packets.decode(packet)
    yield from packets.decode(None)


def _aligned(frames: Iterable[AudioFrame], rate: int, layout: str) -> Iterator[AudioFrame]:
    """Yield sound of one kind without gaps from time 0 on, from frames of any kinds."""
    # FFmpeg's resampler compares the sound with its time stamps, and puts in silence or leaves out sound where they differ.
    options = {"async": "1", "first_pts": "0", "min_hard_comp": str(float(_JITTER))}
    steady = AudioResampler("fltp", layout, rate, _BLOCK, options)
    for frame in _converted(frames, rate, layout):
        yield from steady.resample(frame)
    yield from _rest_of(steady)


def _converted(frames: Iterable[AudioFrame], rate: int, layout: str) -> Iterator[AudioFrame]:
    """Yield sound of one kind, as floats, with a new converter wherever the frames are of another kind than before."""
    converter, kind = AudioResampler("fltp", layout, rate), None
    for frame in frames:
        if _kind(frame) != kind:
            yield from _rest_of(converter)
            converter, kind = AudioResampler("fltp", layout, rate), _kind(frame)
        yield from converter.resample(frame)
    yield from _rest_of(converter)


def _rest_of(converter: AudioResampler) -> list[AudioFrame]:
    """Return what it still holds. One that has nothing to convert gives back what it gets, also a None."""
    return [frame for frame in converter.resample(None) if frame is not None]


def _kind(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _end_of(packet: Packet) -> Fraction:
    """Seconds."""
    return ((packet.pts or 0) + (packet.duration or 0)) * (packet.time_base or Fraction(1))
