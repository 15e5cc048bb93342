"""The driving video's sound in the output: whatever is wrong with it, the frames are kept and the beep is where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import media_files as files
import numpy as np
import pytest
from subcases import each_case

from motion_core import media
from motion_core.errors import InputError

RATE, COUNT = 30, 45  # frames a second, frames
BEEP = 0.5  # seconds after the first frame
SYNC = 0.04  # seconds that people do not hear
Change = Callable[[int, av.Packet], av.Packet | None]


def beeping(rate: int, layout: str, beep: float = BEEP, seconds: float = COUNT / RATE) -> av.AudioFrame:
    """A tenth of a second of 1 kHz at `beep`, else silence."""
    time = np.arange(int(seconds * rate)) / rate
    wave = np.where((time >= beep) & (time < beep + 0.1), 0.5 * np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32)
    channels = av.AudioLayout(layout).nb_channels
    frame = av.AudioFrame.from_ndarray(np.stack([wave] * channels), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def add_sound(output: av.container.OutputContainer, codec: str, rate: int, layout: str) -> av.AudioStream:
    stream = output.add_stream(codec, rate=rate, layout=layout)
    stream.codec_context.open()
    return stream


def encoded(stream: av.AudioStream, beep: float = BEEP) -> list[av.Packet]:
    context = stream.codec_context
    whole = beeping(context.sample_rate, context.layout.name, beep)
    resampler = av.AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or 1024)
    parts = [*resampler.resample(whole), *resampler.resample(None)]
    return [packet for part in [*parts, None] for packet in stream.encode(part)]


def write_driving(
    path: Path,
    codec: str = "aac",
    rate: int = 48000,
    layout: str = "mono",
    *,
    change: Change = lambda number, packet: packet,
    beeps: Sequence[float] = (BEEP,),
    default: int | None = None,
    container: dict[str, str] | None = None,
    shift: float = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write numbered frames, and sound tracks that beep at `beeps`, of which track `default` is the default one.

    change: makes of each packet of sound what is written. shift: seconds that are added to all time stamps.
    """
    with av.open(str(path), "w", container_options=container or {}) as output:
        video = output.add_stream("libx264", rate=RATE, options=options or {"bf": "0"})
        video.width, video.height, video.pix_fmt = files.WIDTH, files.HEIGHT, "yuv420p"
        tracks = [add_sound(output, codec, rate, layout) for _ in beeps]
        for number, track in enumerate(tracks):
            track.metadata.update(language="deu", title="Comments")
            if default is not None:
                track.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        frames = [av.VideoFrame.from_ndarray(files.numbered(k), format="rgb24") for k in range(COUNT)]
        packets = [packet for frame in [*frames, None] for packet in video.encode(frame)]
        for track, beep in zip(tracks, beeps, strict=True):
            packets += [
                kept for k, packet in enumerate(encoded(track, beep)) if (kept := change(k, packet)) is not None
            ]
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        for packet in packets:
            packet.pts += round(shift / packet.time_base)
            packet.dts += round(shift / packet.time_base)
            output.mux(packet)
    return path


def render(path: Path, out: Path, **options) -> Path:
    """Write the frames of a video again, with its sound."""
    source = media.open_video(path, **options)
    with media.VideoWriter(out, source.frame_rate, audio_from=source) as writer:
        for frame in source:
            writer.write(frame)
    with av.open(str(out)) as container:
        assert container.streams.video[0].frames == source.frame_count
    return out


def codec_of(path: Path) -> str | None:
    with av.open(str(path)) as container:
        return next((stream.codec_context.name for stream in container.streams.audio), None)


def restamp(path: Path, change: Callable[[int], int]) -> Path:
    """Change the time stamps of the sound of an FLV file, in milliseconds, where the muxer would not."""
    data = bytearray(path.read_bytes())
    at = 13  # after the head: tags of type, size, time stamp, its highest byte, stream, data, and all that again as a size
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        if data[at] == 8:  # sound
            stamp = change(int.from_bytes(data[at + 4 : at + 7], "big"))
            data[at + 4 : at + 7] = stamp.to_bytes(3, "big")
        at += 11 + size + 4
    path.write_bytes(data)
    return path


def with_data(packet: av.Packet, data: bytes) -> av.Packet:
    """A packet of other bytes at the same time."""
    other = av.Packet(data)
    other.stream, other.time_base = packet.stream, packet.time_base
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    return other


def noise(packet: av.Packet) -> av.Packet:
    return with_data(packet, np.random.default_rng(packet.size).integers(0, 256, packet.size, np.uint8).tobytes())


def heard(out: Path, caplog: pytest.LogCaptureFixture) -> tuple[str | None, list[str]]:
    """The codec of the output's sound, and what was said about it."""
    return codec_of(out), [record.getMessage().partition(": its sound ")[2] for record in caplog.records]


def first_sound(path: Path) -> float:
    """When the first packet of sound begins, in seconds; before 0 it is decoded and not played."""
    with av.open(str(path)) as container:
        packet = next(container.demux(container.streams.audio[0]))
        return float(packet.pts * packet.time_base)


def track_ends(path: Path) -> dict[str, float]:
    with av.open(str(path)) as container:
        return {stream.type: float(stream.duration * stream.time_base) for stream in container.streams}


def written(path: Path, count: int, sound) -> Path:
    """A video of numbered frames with the sound of something."""
    with media.VideoWriter(path, 25, audio_from=sound) as writer:
        for k in range(count):
            writer.write(files.numbered(k))
    return path


@each_case(
    ("name", "codec", "tone", "kept", "start", "end"),
    [
        ("a.mp4", "libx264", "aac", "aac", None, None),
        ("a.mp4", "libx264", "aac", "aac", 0.48, None),
        ("a.ts", "libx264", "aac", "aac", 0.96, 2.0),
        ("a.mkv", "libx264", "libmp3lame", "mp3float", 0.96, 2.0),
        ("a.webm", "libvpx", "libopus", "opus", 0.96, 2.0),
        ("b.mkv", "libx264", "flac", "flac", 0.96, 2.0),
        ("c.mkv", "libx264", "ac3", "ac3", 0.96, 2.0),
        ("a.avi", "mpeg4", "pcm_s16le", None, 0.96, 2.0),
    ],
)
def test_sound_is_copied_in_time_with_the_frames(tmp_path, name, codec, tone, kept, start, end):
    driving = files.write_video(tmp_path / name, 75, codec=codec, tone=tone)  # beeps at 0, 1 and 2 s
    assert media.open_video(driving).has_audio
    path = render(driving, tmp_path / "out.mp4", start=start, end=end)
    assert codec_of(path) == (kept or "aac")
    if kept:
        given = files.sound_packets(driving)
        assert set(files.sound_packets(path)) <= set(given) | {packet[7:] for packet in given}  # .ts has 7-byte headers
    expected = {None: 0.0, 0.48: 0.52, 0.96: 0.04}[start]
    assert abs(files.first_beep(path) - expected) < 0.004
    assert first_sound(path) > -0.1  # no more than a decoder needs to warm up
    ends = track_ends(path)
    assert ends["audio"] <= ends["video"]
    assert ends["audio"] > ends["video"] - 0.15


def test_sound_ends_with_a_video_that_is_stopped_early(tmp_path):
    source = media.open_video(files.write_video(tmp_path / "a.mp4", 75, tone="aac"))
    path = written(tmp_path / "out.mp4", 30, source)
    assert track_ends(path)["audio"] <= track_ends(path)["video"] == 1.2
    assert track_ends(path)["audio"] > 1.1
    late = written(tmp_path / "late.mp4", 100, source.path)  # and may end before it
    assert 2.9 < track_ends(late)["audio"] <= 3.0 < track_ends(late)["video"]


def test_without_sound_there_is_no_sound_track(tmp_path):
    silent = files.write_video(tmp_path / "silent.mp4", 20)
    (tmp_path / "text.mp4").write_text("no video" * 50)
    media.save_image(tmp_path / "a.png", files.numbered(0))
    for source in (silent, media.open_video(silent), media.open_video(tmp_path / "a.png"), None):
        with av.open(str(written(tmp_path / "out.mp4", 20, source))) as container:
            assert not container.streams.audio


def test_unusable_sound_is_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "text.mp4").write_text("no video" * 50)
    with av.open(str(written(tmp_path / "out.mp4", 20, tmp_path / "text.mp4"))) as container:
        assert not container.streams.audio
        assert container.streams.video[0].frames == 20
    assert "text.mp4: its sound cannot be used" in caplog.text
    with pytest.raises(InputError, match=r"gone\.mp4: no such file, a file with sound is needed"):
        written(tmp_path / "out.mp4", 20, tmp_path / "gone.mp4")


@each_case(
    ("name", "codec", "rate", "layout", "kept"),
    [
        ("a.mkv", "libmp3lame", 8000, "mono", "aac"),  # MP4 has no MP3 below 16 kHz
        ("a.mkv", "libmp3lame", 12000, "mono", "aac"),
        ("a.mkv", "libmp3lame", 22050, "stereo", "mp3float"),
        ("a.ts", "mp2", 48000, "stereo", "aac"),  # decoded as integers, while the container announces floats
        ("a.mkv", "eac3", 48000, "5.1", "eac3"),
        ("a.mkv", "alac", 96000, "mono", "alac"),  # packets without a duration
        ("a.mov", "pcm_s24be", 96000, "stereo", "aac"),
        ("a.avi", "adpcm_ms", 22050, "mono", "aac"),  # ticks of 46 ms
        ("a.avi", "pcm_s16le", 11025, "quad", "aac"),
    ],
)
def test_every_kind_of_sound_stays_in_sync(tmp_path, caplog, name, codec, rate, layout, kept):
    driving = write_driving(tmp_path / name, codec, rate, layout)
    out = render(driving, tmp_path / "out.mp4")
    assert heard(out, caplog) == (kept, [])
    assert abs(files.first_beep(out) - BEEP) < SYNC


STEPS = {
    "back": lambda time: time - 200 if time > 700 else time,
    "back before the beep": lambda time: time - 200 if time > 300 else time,
    "back for a while": lambda time: time - 200 if 200 < time < 400 else time,
    "back to the start": lambda time: time - 640 if time > 650 else time,
    "far ahead once": lambda time: time + 900_000 if 300 < time < 320 else time,
    "far ahead at first": lambda time: time + 900_000 if time < 20 else time,
    "trembling": lambda time: max(0, time + time * 7919 % 41 - 20),
    "none": lambda time: 0,
}


@each_case("step", STEPS)
def test_time_stamps_of_sound_are_made_to_rise(tmp_path, caplog, step):
    driving = restamp(write_driving(tmp_path / "a.flv", rate=44100), STEPS[step])
    out = render(driving, tmp_path / "out.mp4")
    codec, said = heard(out, caplog)
    assert codec == "aac"
    assert said == [] or "time stamps that go back" in said[0]
    assert bool(said) == (step.startswith("back") or step == "none")
    assert abs(files.first_beep(out) - BEEP) < SYNC
    with av.open(str(out)) as container:
        stamps = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert all(before < after for before, after in pairwise(stamps))


def test_two_recordings_joined_with_cat_have_both_their_sounds(tmp_path):
    path = write_driving(tmp_path / "a.ts", "mp2")
    path.write_bytes(2 * path.read_bytes())
    out = render(path, tmp_path / "out.mp4")
    loud = np.flatnonzero(np.abs(files.ffmpeg_sound(out)) > 0.1) / 48000
    second = loud[loud > 1]
    assert abs(loud[0] - BEEP) < SYNC
    assert abs(second[0] - (COUNT / RATE + BEEP)) < SYNC


@each_case("codec", ["aac", "pcm_s16le"])
@each_case("start", [None, 0.2])
def test_sound_of_frames_that_are_left_out_is_left_out(tmp_path, codec, start):
    driving = write_driving(tmp_path / "a.mov", codec, options={"g": "1", "bf": "0"})
    with av.open(str(driving)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(driving.read_bytes())
    gone = [3, 4, 8, 9, 10, 30]  # frames; all but the last before the beep
    for number in gone:
        place, size = packets[number]
        data[place : place + size] = np.random.default_rng(number).integers(0, 256, size, np.uint8).tobytes()
    driving.write_bytes(data)
    out = render(driving, tmp_path / "out.mp4", on_damage="skip", start=start)
    assert abs(files.first_beep(out) - (BEEP - 5 / RATE - (start or 0))) < SYNC
    with av.open(str(out)) as container:
        streams = (container.streams.video[0], container.streams.audio[0])
        lengths = [float(stream.duration * stream.time_base) for stream in streams]
    assert abs(lengths[0] - lengths[1]) < SYNC


@each_case(
    ("codec", "rate", "name", "kept"),
    [
        ("aac", 44100, "out.webm", "opus"),
        ("libopus", 48000, "out.webm", "opus"),
        ("libopus", 48000, "out.mov", "aac"),  # MOV has no Opus, unlike MP4
    ],
)
def test_videos_with_transparency_have_sound(tmp_path, caplog, codec, rate, name, kept):
    driving = write_driving(tmp_path / "a.mkv", codec, rate)
    source, out = media.open_video(driving), tmp_path / name
    with media.AlphaWriter(out, source.frame_rate, audio_from=source) as writer:
        for frame in source:
            writer.write(np.dstack([frame, frame[..., :1]]))
    assert heard(out, caplog) == (kept, [])
    assert abs(files.first_beep(out) - BEEP) < SYNC


def test_a_gap_in_sound_is_silence(tmp_path, caplog):
    for codec, kept in (("aac", (3, 8)), ("pcm_s16le", (0, 9))):
        driving = write_driving(
            tmp_path / "a.mkv", codec, change=lambda k, packet, kept=kept: None if kept[0] <= k < kept[1] else packet
        )
        out = render(driving, tmp_path / "out.mp4")
        assert heard(out, caplog) == ("aac", [])
        assert abs(files.first_beep(out) - BEEP) < SYNC


def test_one_bad_packet_ends_a_packet_and_not_the_track(tmp_path, caplog):
    for codec in ("aac", "mp2"):
        caplog.clear()
        driving = write_driving(tmp_path / "a.mkv", codec, change=lambda k, packet: noise(packet) if k == 5 else packet)
        out = render(driving, tmp_path / "out.mp4")
        assert heard(out, caplog) == ("aac", ["is silent where it is damaged (1 packets)"])
        assert abs(files.first_beep(out) - BEEP) < SYNC


def test_sound_that_changes_its_format_goes_on(tmp_path, caplog):
    path = write_driving(tmp_path / "a.ts", "mp2", 48000, "stereo")
    with av.open(str(tmp_path / "mono.ts"), "w") as output:
        mono = [bytes(packet) for packet in encoded(add_sound(output, "mp2", 44100, "mono"))]
    changed = write_driving(
        path, "mp2", 48000, "stereo", change=lambda k, packet: with_data(packet, mono[k]) if k < 10 else packet
    )
    out = render(changed, tmp_path / "out.mp4")
    assert heard(out, caplog) == ("aac", [])
    assert abs(files.first_beep(out) - BEEP) < SYNC


def test_sound_that_cannot_be_decoded_is_left_out_before_the_first_frame(tmp_path, caplog):
    for codec in ("aac", "mp2"):
        caplog.clear()
        source = media.open_video(write_driving(tmp_path / "a.mkv", codec, change=lambda k, packet: noise(packet)))
        with media.SegmentedWriter(
            tmp_path / "out.mp4", source.frame_rate, fingerprint="a", segment_frames=20, audio_from=source
        ) as writer:
            assert [record.getMessage() for record in caplog.records] == [
                f"{source.path}: its sound cannot be used, the output has none: none of it can be decoded"
            ]
            for frame in source:
                writer.write(frame)
        assert codec_of(tmp_path / "out.mp4") is None
        assert media.open_video(tmp_path / "out.mp4").frame_count == COUNT


def test_the_default_track_is_taken_or_the_one_that_is_asked_for(tmp_path):
    driving = write_driving(tmp_path / "a.mkv", beeps=(1.2, BEEP), default=1)
    for track, beep in ((None, BEEP), (0, 1.2), (1, BEEP)):
        out = render(driving, tmp_path / "out.mp4", audio_track=track)
        assert abs(files.first_beep(out) - beep) < SYNC
    tracks = media.open_video(driving).sound_tracks
    assert tracks == ["sound track 0: aac, deu, Comments", "sound track 1: aac, deu, Comments (default)"]
    for number, known in ((2, "0 to 1"), (-1, "0 to 1")):
        with pytest.raises(
            InputError, match=f"audio_track must be one of its sound tracks, it has {known}, got {number}"
        ):
            media.open_video(driving, audio_track=number)
    silent = files.write_video(tmp_path / "silent.mp4")
    with pytest.raises(InputError, match="must be one of its sound tracks, it has no sound, got 0"):
        media.open_video(silent, audio_track=0)
    with pytest.raises(InputError, match="is a frames without sound, so it has no audio_track 0"):
        media.open_video(np.zeros((2, 32, 32, 3), np.uint8), audio_track=0)


def test_pictures_without_time_stamps_stay_in_sync_with_their_sound(tmp_path):
    """Matroska gives no times before 0 to pictures that swap places."""
    driving = write_driving(
        tmp_path / "a.mkv",
        container={"avoid_negative_ts": "disabled"},
        shift=-0.4,
        options={"bf": "2", "b_strategy": "0"},
    )
    with av.open(str(driving)) as container:
        assert any(packet.pts is None for packet in container.demux(video=0) if packet.size)
    out = render(driving, tmp_path / "out.mp4")
    assert abs(files.first_beep(out) - BEEP) < SYNC
