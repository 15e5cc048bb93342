"""The driving video's sound, as a track of the output: from the same start as the frames, and never longer than they are.

It is made before the first frame is rendered, as an MP4 of its own. Whatever is wrong with it shows there, and costs no frames.
What is left out of the frames is left out of the sound.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from ..errors import InputError
from .paths import existing_file
from .sources import VideoSource
from .video_files import ContainerReader, main_audio_stream, open_container, packets_of

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
_JITTER = Fraction(3, 100)  # seconds that time stamps may be off; beyond, there is a gap
_STEP_BACK = Fraction(1, 10)  # seconds, FFmpeg's own bound
_TICK = Fraction(1, 7_056_000)  # seconds, a whole number of which is a sample at 44.1 and 48 kHz
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
        while (packet := self._next) is not None:
            if ((packet.pts or 0) + (packet.duration or 0)) * (packet.time_base or Fraction(1)) > time:
                break
            packet.stream = self._target
            self._output.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._next, self._packets = None, iter(())
        self._container.close()
        self._file.close()


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
    track = None if source is None else _Track.of(source)
    if track is None:
        return None
    reason: Exception | None = None
    for write in (_copy, _encode):
        try:
            return _written(replace(track), write, codecs, folder)
        except (InputError, av.FFmpegError, ValueError) as error:
            logger.debug("%s: its sound cannot be written by %s: %s", track.path, write.__name__, error)
            reason = error
    logger.warning("%s: its sound cannot be used, the output has none: %s", track.path, reason)
    return None


def _written(
    track: _Track, write: Callable[[_Track, OutputContainer, SoundCodecs], None], codecs: SoundCodecs, folder: Path
) -> Sound | None:
    """Write the sound as a file of its own, and open that; None if there is no sound."""
    with ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)))
        with open_container(track.path) as container:
            stream = main_audio_stream(container, track.path, track.number)
            if stream is None:
                return None
            track.container, track.stream = container, stream
            with av.open(file, "w", format=codecs.container) as output:
                write(track, output, codecs)
        file.seek(0)
        sound = Sound(file, sum((end - begin for begin, end in track.parts), Fraction(0)))
        for fault in track.faults():
            logger.warning("%s: its sound %s", track.path, fault)
        opened.pop_all()  # the file is closed with the sound
        return sound


@dataclass
class _Track:
    """A sound track of a file.

    Attributes:
        path: the file.
        number: of the track; None is the default one.
        origin: the time in the file, in seconds, that is time 0 of the output.
        can_seek: whether a time stands for one place in the file.
        parts: (begin, end) in seconds of the output's time, ascending, if nothing were left out; all else is.
        steps_back, damaged, broken_off: what was wrong so far.
        container, stream: once it is open.
    """

    path: Path
    number: int | None
    origin: Fraction
    can_seek: bool
    parts: Sequence[tuple[Fraction, Fraction]]
    steps_back: int = 0
    damaged: int = 0  # packets
    broken_off: str = ""
    container: InputContainer = field(init=False)
    stream: AudioStream = field(init=False)

    @classmethod
    def of(cls, source: AudioSource) -> _Track | None:
        """None if there can be no sound."""
        if not isinstance(source, VideoSource):
            return cls(existing_file(source, "a file with sound"), None, Fraction(0), True, [(Fraction(0), _ENDLESS)])
        reader = source.reader
        if not isinstance(reader, ContainerReader):
            return None
        parts = source.parts()
        first = parts[0][0]
        shifted = [(begin - first, end - first) for begin, end in parts]
        return cls(reader.path, source.audio_track, reader.origin + first, reader.can_seek, shifted)

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick."""
        return self.stream.time_base or Fraction(1)

    def packets(self) -> Iterator[Packet]:
        """From a second before time 0 on."""
        if self.can_seek and self.origin > 1:
            with suppress(av.FFmpegError):  # what cannot seek is read from its beginning
                self.container.seek(round((self.origin - 1) / self.time_base), stream=self.stream)
        try:
            for packet in packets_of(self.container):  # of all tracks: where time stamps jump, they do so together
                if packet.stream.index == self.stream.index and packet.size:
                    yield packet
        except av.FFmpegError as error:
            self.broken_off = error.strerror or str(error)

    def time(self, of: Packet | AudioFrame) -> Fraction | None:
        """When it begins in the output, in seconds; None where that is not known."""
        return None if of.pts is None else of.pts * (of.time_base or self.time_base) - self.origin

    def frames(self) -> Iterator[AudioFrame]:
        """Decoded sound, whose time stamps are set: it follows on, also where they go back, but for gaps that they state."""
        end, late = Fraction(0), Fraction(0)  # late: how much later than its time stamps say it is
        for frame, following in pairwise(chain(self._decoded(), [AudioFrame()])):
            stamp, after = self.time(frame), self.time(following)
            if stamp is not None and after is not None and stamp > after:
                stamp = None  # later than the next one, it is not believed
            start = end if stamp is None else stamp + late
            if end and start < end - _STEP_BACK:
                self.steps_back += 1
                start, late = end, late + end - start
            elif stamp is not None and start > end + _JITTER:  # a gap: sound that is late catches up
                late = max(Fraction(0), end - stamp)
                start = stamp + late
            elif end:
                start = end
            if start >= self.parts[-1][1]:
                return
            frame.pts, frame.time_base = round(start * frame.sample_rate), Fraction(1, frame.sample_rate)
            end = start + Fraction(frame.samples, frame.sample_rate)
            yield frame

    def _decoded(self) -> Iterator[AudioFrame]:
        """Packet by packet, so that damage ends with its packet."""
        for packet in chain(self.packets(), (None,)):
            try:
                yield from self.stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                logger.debug("damaged packet of sound: %s", error)
                self.damaged += 1

    def faults(self) -> list[str]:
        """What was wrong so far, to be said after "its sound"."""
        found = []
        if self.steps_back:
            found.append(f"has time stamps that go back ({self.steps_back} times), which were made to rise")
        if self.damaged:
            found.append(f"is silent where it is damaged ({self.damaged} packets)")
        if self.broken_off:
            found.append(f"is damaged and ends early: {self.broken_off}")
        return found


def _copy(track: _Track, output: OutputContainer, codecs: SoundCodecs) -> None:
    """Write the packets as they are. Raises an error unless all can be decoded, and that as sound of one kind without gaps."""
    codec = track.stream.codec_context
    if codec.name not in codecs.copied or len(track.parts) > 1:
        raise InputError(f"{codec.name} cannot be copied, or parts of it are left out")
    target = output.add_stream_from_template(track.stream)
    kinds, end = set(), Fraction(0)
    for packet in track.packets():
        start, length = track.time(packet), (packet.duration or 0) * track.time_base
        if start is None or start > end + 1:  # seconds: more than decoders hold back
            raise InputError("its time stamps jump, or are missing")
        if start >= track.parts[-1][1]:
            break
        if start < 0 and start + length <= -Fraction(codecs.copied[codec.name]):
            continue
        for frame in codec.decode(packet):
            kinds.add(_kind(frame))
            begin = track.time(frame)
            if begin is None or begin > end + _JITTER or begin < end - _STEP_BACK or len(kinds) > 1:
                raise InputError("it has gaps, or changes its format")
            end = begin + Fraction(frame.samples, frame.sample_rate)
        packet.pts = packet.dts = round(start / _TICK)
        packet.duration, packet.time_base, packet.stream = round(length / _TICK), _TICK, target
        output.mux(packet)
    if not kinds:
        raise InputError("it has no packets that can be decoded")


def _encode(track: _Track, output: OutputContainer, codecs: SoundCodecs) -> None:
    """Write the sound encoded, with silence where there is none. Raises InputError if there is none at all."""
    frames = track.frames()
    first = next(frames, None)
    if first is None:
        raise InputError("none of it can be decoded")
    rate = first.sample_rate if first.sample_rate in codecs.rates else codecs.rates[0]
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    target = cast(AudioStream, output.add_stream(codecs.encoder, rate=rate, layout=layout, bit_rate=_BIT_RATE))
    blocks = _aligned(chain([first], frames), rate, layout)
    for block in _cut(blocks, track.parts, rate) if len(track.parts) > 1 else blocks:
        output.mux(target.encode(block))
    output.mux(target.encode(None))


def _cut(blocks: Iterable[AudioFrame], parts: Sequence[tuple[Fraction, Fraction]], rate: int) -> Iterator[AudioFrame]:
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
