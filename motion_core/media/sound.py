"""The driving video's sound, as a track of the output: from the same start as the frames, and never longer than they are.

It is made before the first frame is rendered, as an MP4 of its own. Whatever is wrong with it shows there, and costs no frames.
What is left out of the frames is left out of the sound.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Self, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from ..errors import InputError
from .containers import main_audio_stream, measure, open_container
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
_IN_MEMORY = 2**23  # bytes
_BLOCK = 1024  # samples; without a number, PyAV's resampler passes on what is of its kind, gaps and all


class Sound:
    """A sound track that goes into a file beside its frames. Use `prepare_sound` to make one.

    Args:
        file: an MP4 with one sound track, that of the output; closed with this.
        length: seconds of it to take.
    """

    def __init__(self, file: IO[bytes], length: Fraction | None) -> None:
        self._length = length
        self._open = ExitStack()
        self._open.callback(file.close)
        container = self._open.enter_context(av.open(file, "r", format="mp4"))
        self._track = container.streams.audio[0]
        self._packets: Iterator[Packet] = (packet for packet in container.demux(self._track) if packet.size)
        self._next = next(self._packets, None)
        self._output: OutputContainer | None = None
        self._target = self._track

    def add_to(self, output: OutputContainer) -> None:
        """Add its track to the output, before anything is written there."""
        self._output, self._target = output, output.add_stream_from_template(self._track)

    def mux_until(self, time: Fraction) -> None:
        """Write what ends by `time`, in seconds of the output."""
        if self._output is None:
            return
        time = time if self._length is None else min(time, self._length)
        while self._next is not None and _end_of(self._next) <= time:
            self._next.stream = self._target
            self._output.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._next, self._packets, self._output = None, iter(()), None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_audio(source: AudioSource | None) -> AudioSource | None:
    """Return whose sound is to be taken, if it is a video or a file. Raises InputError if there is no such file."""
    return source if source is None or isinstance(source, VideoSource) else existing_file(source, "a file with sound")


def prepare_sound(source: AudioSource | None, folder: Path, codecs: SoundCodecs = IN_MP4) -> Sound | None:
    """Return the sound of a video, ready to be written, or None if there is none.

    Sound that cannot be used is left out with a warning: the frames are worth having without it.

    Args:
        source: whose sound.
        folder: for an unnamed file, if the sound is too long to be kept in memory.
        codecs: of the kind of file that it goes into.

    Raises:
        OSError: the disk is full.
    """
    wanted = _wanted(source)
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


@dataclass(frozen=True)
class _Wanted:
    """Part of a file's sound.

    Attributes:
        path: the file.
        number: of the sound track; None is the default one.
        origin: the time in the file, in seconds, that is time 0 of the output.
        can_seek: whether a time stands for one place in the file.
        length: seconds of sound in the output.
        parts: (begin, end) in seconds after `origin`, ascending: all else is left out. Empty is all.
    """

    path: Path
    number: int | None
    origin: Fraction
    can_seek: bool
    length: Fraction | None
    parts: tuple[tuple[Fraction, Fraction], ...] = ()

    @property
    def end(self) -> Fraction | None:
        """Seconds after `origin` up to which sound is wanted."""
        return self.parts[-1][1] if self.parts else self.length


_Writing = Callable[[SoundPackets, OutputContainer, _Wanted, SoundCodecs], None]


def _wanted(source: AudioSource | None) -> _Wanted | None:
    """Return what to take from where, or None if there is no sound."""
    if isinstance(source, VideoSource):
        reader = source.reader
        if not isinstance(reader, ContainerReader) or reader.path is None:
            return None
        (first, _), *others = parts = source.parts()
        shown = tuple((begin - first, end - first) for begin, end in parts) if others else ()
        origin = reader.origin + first
        return _Wanted(reader.path, source.audio_track, origin, reader.track.can_seek, source.duration, shown)
    if source is None:
        return None
    path = Path(source)
    try:
        track = measure(path, take_cut_off=True)
    except InputError:  # a file with sound only
        return _Wanted(path, None, Fraction(0), True, None)
    return _Wanted(path, None, track.origin, track.can_seek, None)


def _written(wanted: _Wanted, write: _Writing, codecs: SoundCodecs, folder: Path) -> Sound | None:
    """Write the sound as an MP4 of its own, and open that; None if the file has no sound."""
    with ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)))
        with open_container(wanted.path) as container:
            track = main_audio_stream(container, wanted.path, wanted.number)
            if track is None:
                return None
            packets = SoundPackets(container, track, wanted.origin, can_seek=wanted.can_seek)
            with av.open(file, "w", format=codecs.container) as output:
                write(packets, output, wanted, codecs)
        file.seek(0)
        sound = Sound(file, wanted.length)
        for complaint in packets.complaints():
            logger.warning("%s: its sound %s", wanted.path, complaint)
        opened.pop_all()  # the file is closed with the sound
        return sound


def _copy(packets: SoundPackets, output: OutputContainer, wanted: _Wanted, codecs: SoundCodecs) -> None:
    """Write the packets as they are. Raises InputError unless all can be decoded, and that as sound of one kind without gaps."""
    track, length = packets.track, wanted.length
    if track.codec_context.name not in codecs.copied:
        raise InputError(f"{track.codec_context.name} cannot be copied")
    if wanted.parts:
        raise InputError("parts of it are left out")
    early = Fraction(codecs.copied[track.codec_context.name])
    target = output.add_stream_from_template(track)
    kinds, end = set(), Fraction(0)
    for packet in packets:
        start, finish = packets.span(packet)
        if length is not None and start >= length:
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


def _encode(packets: SoundPackets, output: OutputContainer, wanted: _Wanted, codecs: SoundCodecs) -> None:
    """Write the sound encoded, with silence where there is none. Raises InputError if there is none at all."""
    frames = _decoded(packets, wanted.end)
    first = next(frames, None)
    if first is None:
        raise InputError("none of it can be decoded")
    rate = first.sample_rate if first.sample_rate in codecs.rates else codecs.rates[0]
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    target = cast(AudioStream, output.add_stream(codecs.encoder, rate=rate, layout=layout, bit_rate=_BIT_RATE))
    blocks = _aligned(chain([first], frames), rate, layout)
    for block in _cut(blocks, wanted.parts, rate) if wanted.parts else blocks:
        output.mux(target.encode(block))
    output.mux(target.encode(None))


def _cut(blocks: Iterable[AudioFrame], parts: Iterable[tuple[Fraction, Fraction]], rate: int) -> Iterator[AudioFrame]:
    """Yield what is in the parts (begin, end), in seconds, one after the other from time 0 on."""
    edges = np.array([round(edge * rate) for part in parts for edge in part])  # samples: a part begins, ends, ...
    count = 0
    for block in blocks:
        at = (block.pts or 0) + np.arange(block.samples)
        kept = block.to_ndarray()[:, np.searchsorted(edges, at, side="right") % 2 == 1]  # (channels, samples)
        if kept.size:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(kept), format="fltp", layout=block.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate, count, Fraction(1, rate)
            yield frame
            count += frame.samples


def _decoded(packets: SoundPackets, length: Fraction | None) -> Iterator[AudioFrame]:
    for packet in packets:
        if length is not None and packets.span(packet)[0] >= length:
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
