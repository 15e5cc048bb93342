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

logger = logging.getLogger(__name__)

_HELD = 500  # packets without a time stamp that are kept until one has one


class SoundPackets:
    """The packets of a sound track from a second before `origin` on; that time of the file becomes time 0.

    Iterating gives packets whose ``pts`` are known and rise: a missing one is counted from the packets beside it, and where
    they go back the sound follows on without a gap. What was wrong is counted, for `complaints`.

    Args:
        container: the open file.
        track: the sound track in it.
        origin: seconds in the file.
    """

    def __init__(self, container: InputContainer, track: AudioStream, origin: Fraction) -> None:
        self.track = track
        self.time_base: Fraction = track.time_base or Fraction(1, track.rate or 1)  # seconds a tick
        self._container, self._origin = container, round(origin / self.time_base)
        self._steps_back, self._damaged, self._broken_off = 0, 0, ""
        if origin > 1:
            self._seek()

    def __iter__(self) -> Iterator[Packet]:
        last: int | None = None  # when the packet before begins, in ticks
        end = late = 0  # when it ends; how much later than their time stamps say packets are, in ticks
        for start, duration, packet in _dated(self._readable()):
            if last is not None and start + late <= last:
                late = end - start
                self._steps_back += 1
            elif (
                last is not None and start + late > end + duration
            ):  # a gap, which is where sound that is late catches up
                late = max(0, end - start)
            last = start + late
            end = last + duration
            packet.pts = packet.dts = last - self._origin  # sound is never reordered
            yield packet

    def decode(self, packet: Packet | None) -> list[AudioFrame]:
        """Return the frames of a packet, none if it is damaged; of None, those that the decoder still holds."""
        try:
            return self.track.codec_context.decode(packet)
        except av.FFmpegError as error:
            logger.debug("damaged packet of sound: %s", error)
            self._damaged += 1
            return []

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
            self._container.seek(self._origin - round(1 / self.time_base), stream=self.track)
        except av.FFmpegError:
            logger.debug("%s: cannot seek", self._container.name)

    def _readable(self) -> Iterator[Packet]:
        try:
            for packet in self._container.demux(self.track):
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            self._broken_off = error.strerror or str(error)


def _dated(packets: Iterator[Packet]) -> Iterator[tuple[int, int, Packet]]:
    """Yield (when it begins, how long it is, packet) in ticks; where it begins is not known, it follows the packet before."""
    held: list[tuple[int, Packet]] = []  # those at the beginning, before the first whose time is known
    end: int | None = None
    for start, packet in _trusted(packets):
        duration = packet.duration or 0
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


def _trusted(packets: Iterator[Packet]) -> Iterator[tuple[int | None, Packet]]:
    """Yield (time stamp in ticks, packet); None for one that is missing, or later than that of the next packet."""
    before: Packet | None = None
    for packet in packets:
        if before is not None:
            stamp, following = _stamp(before), _stamp(packet)
            yield (None if stamp is not None and following is not None and stamp > following else stamp), before
        before = packet
    if before is not None:
        yield _stamp(before), before


def _stamp(packet: Packet) -> int | None:
    return packet.dts if packet.pts is None else packet.pts
