"""The packets of a sound track: their time stamps rise, and they are decoded one by one, so that damage ends with its packet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from .containers import Packets

logger = logging.getLogger(__name__)

_HELD = 500  # packets without a time stamp that are kept until one has one
_TICK = Fraction(
    1, 7_056_000
)  # seconds, a whole number of which is a sample at 44.1 and 48 kHz; ticks of files can be long


class SoundPackets:
    """The packets of a sound track from a second before `origin` on; that time of the file is time 0 of the output.

    Iterating gives packets whose ``pts``, still those of the file, are known and rise: a missing one is counted from the
    packets beside it, and where they go back the sound follows on without a gap. What was wrong is counted, for `complaints`.

    Args:
        container: the open file.
        track: the sound track in it.
        origin: seconds in the file.
        can_seek: whether a time stands for one place in the file.
    """

    def __init__(self, container: InputContainer, track: AudioStream, origin: Fraction, *, can_seek: bool) -> None:
        self.track = track
        self._container, self._origin = container, origin
        self._time_base = track.time_base or Fraction(1)  # seconds a tick
        self._steps_back, self._damaged, self._broken_off = 0, 0, ""
        if can_seek and origin > 1:
            self._seek()

    def __iter__(self) -> Iterator[Packet]:
        last, end = -(2**63), -(2**63)  # when the packet before begins and ends, in ticks
        late = 0  # how much later than their time stamps say packets are, in ticks
        for start, duration, packet in _dated(self._readable()):
            if start + late <= last:
                late = end - start
                self._steps_back += 1
            elif start + late > end + duration:  # a gap: sound that is late catches up
                late = max(0, end - start)
            last = start + late
            end = last + duration
            packet.pts = packet.dts = last  # sound is never reordered
            packet.duration = duration
            yield packet

    def span(self, packet: Packet) -> tuple[Fraction, Fraction]:
        """Return when a packet begins and ends in the output, in seconds."""
        start = (packet.pts or 0) * self._time_base - self._origin
        return start, start + (packet.duration or 0) * self._time_base

    def move(self, packet: Packet) -> None:
        """Turn a packet's time in the file into that in the output; after that it cannot be decoded."""
        start, end = self.span(packet)
        packet.time_base = _TICK
        packet.pts = packet.dts = round(start / _TICK)
        packet.duration = round((end - start) / _TICK)

    def decode(self, packet: Packet | None) -> list[AudioFrame]:
        """Return the frames of a packet, none if it is damaged, in output time; of None, those that the decoder still holds."""
        try:
            frames = self.track.codec_context.decode(packet)
        except av.FFmpegError as error:
            logger.debug("damaged packet of sound: %s", error)
            self._damaged += 1
            return []
        for frame in frames:
            if frame.pts is not None:
                start = frame.pts * (frame.time_base or self._time_base) - self._origin
                frame.pts, frame.time_base = round(start / _TICK), _TICK
        return frames

    @property
    def damaged(self) -> bool:
        """Whether any packet could not be decoded so far."""
        return self._damaged > 0

    def complaints(self) -> list[str]:
        """Return what was wrong so far, to be said after "its sound"."""
        found = []
        if self._steps_back:
            found.append(f"has time stamps that go back ({self._steps_back} times), which were made to rise")
        if self._damaged:
            found.append(f"is silent where it is damaged ({self._damaged} packets)")
        if self._broken_off:
            found.append(f"is damaged and ends early: {self._broken_off}")
        return found

    def _seek(self) -> None:
        """Go to a second before the start; files that cannot seek are read from their beginning."""
        try:
            self._container.seek(round((self._origin - 1) / self._time_base), stream=self.track)
        except av.FFmpegError:
            logger.debug("%s: cannot seek", self._container.name)

    def _readable(self) -> Iterator[Packet]:
        try:
            for packet in Packets(self._container):  # of all tracks: where time stamps jump, they do so together
                if packet.stream.index == self.track.index and packet.size:
                    yield packet
        except av.FFmpegError as error:
            self._broken_off = error.strerror or str(error)


def _dated(packets: Iterator[Packet]) -> Iterator[tuple[int, int, Packet]]:
    """Yield (when it begins, how long it is, packet) in ticks; where it begins is not known, it follows the packet before."""
    held: list[tuple[int, Packet]] = []  # those at the beginning, before the first whose time is known
    end: int | None = None
    for start, duration, packet in _trusted(packets):
        if end is None and start is None and len(held) < _HELD:
            held.append((duration, packet))
            continue
        if end is None:
            end = 0 if start is None else start - sum(length for length, _ in held)
            for length, each in held:
                yield end, length, each
                end += length
            held = []
        begin = end if start is None else start
        end = begin + duration
        yield begin, duration, packet
    end = 0
    for length, each in held:  # the time of none is known
        yield end, length, each
        end += length


def _trusted(packets: Iterator[Packet]) -> Iterator[tuple[int | None, int, Packet]]:
    """Yield (time stamp or None, how long it is, packet) in ticks. A time stamp later than the next one is not trusted."""
    before: Packet | None = None
    for packet in packets:
        if before is not None:
            stamp, following = _stamp(before), _stamp(packet)
            if stamp is None or following is None:
                yield stamp, before.duration or 0, before
            elif stamp > following:
                yield None, before.duration or 0, before
            else:
                yield stamp, before.duration or following - stamp, before
        before = packet
    if before is not None:
        yield _stamp(before), before.duration or 0, before


def _stamp(packet: Packet) -> int | None:
    return packet.dts if packet.pts is None else packet.pts
