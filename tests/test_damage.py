"""What FFmpeg plays is taken, and what was wrong with it is said; frames that cannot be decoded show the last good one."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from array import array
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import FrameType

import av
import media_files as files
import numpy as np
import pytest
from PIL import Image
from subcases import each_case

from motion_core import media
from motion_core.errors import InputError
from motion_core.media.video_files import _Found

COUNT, BROKEN = 40, 23  # frames of a video, and the one of them that is damaged


def numbers(source) -> list[int]:
    return [files.number_of(frame) for frame in source]


def one_broken(path: Path, **options) -> Path:
    """A video whose frames are coded each by itself; one of them is noise."""
    files.write_video(path, COUNT, options={"g": "1"}, **options)
    with av.open(str(path)) as container:
        packets = [(packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    _, place, size = sorted(packets)[BROKEN]
    data = bytearray(path.read_bytes())
    data[place : place + size] = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    path.write_bytes(data)
    return path


# One damaged frame


def test_the_last_good_frame_stays_for_a_damaged_one(tmp_path):
    path = one_broken(tmp_path / "a.mp4", tone="aac")
    source = media.open_video(path)
    expected = [BROKEN - 1 if k == BROKEN else k for k in range(COUNT)]
    assert numbers(source) == numbers(source) == expected
    assert source.damaged == {BROKEN}
    assert source.describe_damage() == "1 damaged frame, at 0.92 s: each shows the last good one"
    assert numbers(source.frames(BROKEN)) == expected[BROKEN:]  # the one before, which was not asked for
    assert numbers(source.frames(BROKEN - 5)) == expected[BROKEN - 5 :]
    frames = list(source)
    frames[BROKEN - 1][:] = 0
    assert files.number_of(frames[BROKEN]) == BROKEN - 1  # a copy


def test_damaged_frames_can_be_left_out(tmp_path):
    path = one_broken(tmp_path / "a.mp4", tone="aac")
    source = media.open_video(path, on_damage="skip")
    expected = [k for k in range(COUNT) if k != BROKEN]
    assert (source.frame_count, source.frame_rate) == (COUNT - 1, 25)
    assert numbers(source) == expected
    assert numbers(source.frames(30)) == expected[30:]
    assert source.describe_damage() == "1 damaged frame, at 0.92 s: they are left out, and so is their sound"
    late = media.open_video(path, on_damage="skip", start=0.8, end=1.2)
    assert numbers(late) == expected[20:30]


def test_a_damaged_frame_can_end_it(tmp_path):
    path = one_broken(tmp_path / "a.mp4")
    frames = media.open_video(path, on_damage="stop").frames()
    for _ in range(BROKEN):
        next(frames)
    with pytest.raises(InputError, match=rf"{path}: is damaged at frame {BROKEN}, 0.92 s: .*on_damage='hold' goes on"):
        next(frames)
    with pytest.raises(InputError, match="is damaged at frame"):
        list(media.open_frames(path).frames_at([BROKEN]))
    found = list(media.open_frames(path).frames_at([BROKEN + 4]))  # training goes on where nothing is wrong
    assert [number for number, _ in found] == [BROKEN + 4]


def test_what_comes_before_the_first_good_frame_shows_that(tmp_path):
    path = one_broken(tmp_path / "a.mp4")
    source = media.open_video(path, start=BROKEN / 25, end=(BROKEN + 2) / 25)
    assert numbers(source) == [BROKEN - 1, BROKEN + 1]
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(5):
        media.save_image(folder / f"{k}.png", files.numbered(k))
    for k in (0, 3):
        files.cut(folder / f"{k}.png", 0.6)
    source = media.open_video(folder)
    assert numbers(source) == [1, 1, 2, 2, 4]
    assert source.damaged == {0, 3}


@each_case(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.ts", "libx264"), ("a.flv", "libx264"), ("a.mkv", "libx264"), ("b.webm", "libvpx-vp9")],
)
def test_noise_in_the_middle_leaves_the_rest_and_is_said(tmp_path, caplog, name, codec):
    path = files.write_video(tmp_path / name, 60, frame=files.textured, codec=codec, options={"g": "10"})
    whole = list(media.open_video(path))
    caplog.clear()
    files.damage(path, 0.5, 3000)
    source = media.open_video(path)
    found = list(source)
    assert len(found) == 60
    assert all(np.array_equal(found[k], whole[k]) for k in (*range(15), *range(55, 60)))
    said = caplog.text + source.describe_damage()
    assert "damaged" in said or "structure is broken" in said


# Files that end in an odd way, or begin anew


def test_a_recording_of_a_browser_is_taken(tmp_path, caplog):
    """It ends in the identifier of an element that was never written, and lacks nothing."""
    path = files.write_video(tmp_path / "a.webm", 20, codec="libvpx")
    with path.open("ab") as file:
        file.write(b"\xa3")
    assert numbers(media.open_video(path)) == list(range(20))
    assert not caplog.text


class Pipe(io.RawIOBase):
    """Where a program writes to another one: it cannot go back to write what it learns in the end."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)


def test_avi_from_a_pipe_is_taken(tmp_path):
    pipe, path = Pipe(), tmp_path / "a.avi"
    with av.open(pipe, "w", format="avi") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = files.WIDTH, files.HEIGHT, "yuv420p"
        for k in range(20):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(files.numbered(k), format="rgb24")))
        output.mux(stream.encode())
    pipe.data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(pipe.data)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 10**6  # unknown, too
    assert numbers(media.open_video(path)) == list(range(20))


@each_case("options", [{}, {"progressive": True}])
def test_jpeg_without_its_end_mark_is_taken_and_half_of_one_is_not(tmp_path, caplog, options):
    path = tmp_path / "a.jpg"
    Image.fromarray(files.textured(0)).save(path, **options)
    data, whole = path.read_bytes(), media.load_image(path)
    path.write_bytes(data[:-2])
    assert np.array_equal(media.load_image(path), whole)
    assert "lacks the mark of its end" in caplog.text
    for share in (0.5, 0.97):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match="is damaged or cut off"):
            media.load_image(path)


@each_case("begin", [0, 25 * 100])
def test_two_recordings_joined_with_cat_are_one(tmp_path, caplog, begin):
    first = files.write_video(tmp_path / "1.ts", 20, tone="mp2")
    second = files.write_video(
        tmp_path / "2.ts", 20, ticks=range(begin, begin + 20), frame=lambda k: files.numbered(20 + k)
    )
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    source = media.open_video(path)
    assert "its time stamps jump at" in caplog.text
    assert source.frame_rate == 25
    assert numbers(source) == list(range(40))
    assert numbers(source.frames(30)) == list(range(30, 40))


@each_case("name", ["a.mp4", "a.flv", "a.ts"])
@each_case("stamp", ["pts", "dts"])
def test_a_pause_of_a_day_is_damage(tmp_path, name, stamp):
    """One picture of 30 that a damaged file shows a day later, alone or with all that follow: no day of repeated frames."""
    path = files.write_video(tmp_path / name, 30)

    def a_day_late(packet: av.Packet, number: int) -> av.Packet:
        ticks = round(86400 / packet.time_base) if number >= 20 and (stamp == "dts" or number == 20) else 0
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + (ticks if stamp == "dts" else 0)
        return packet

    remuxed(path, a_day_late)
    source = media.open_video(path)
    assert source.frame_count in range(29, 40)
    assert len(list(source)) == source.frame_count


def test_another_size_in_the_middle_becomes_that_of_the_first(tmp_path):
    first = files.write_video(tmp_path / "a.ts", 12)
    grey = [av.VideoFrame.from_ndarray(np.full((128, 96, 3), 100, np.uint8), format="rgb24") for _ in range(12)]
    second = files.write_video(tmp_path / "b.ts", frames=grey, ticks=range(12, 24))
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    frames = list(media.open_video(tmp_path / "both.ts"))
    assert numbers(frames[:12]) == list(range(12))
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert np.abs(frames[-1].astype(int) - 100).max() <= 3


@each_case(
    ("name", "codec", "missing"),
    [
        ("a.mp4", "libx264", r"\d+ of its 60 pictures are missing"),
        ("a.mkv", "libx264", r"it ends at \d.\d\d s of 2.40 s"),
        ("a.webm", "libvpx", r"it ends at \d.\d\d s of 2.40 s"),
        ("a.avi", "mpeg4", r"\d+ of its 60 pictures are missing"),
    ],
)
def test_of_a_file_that_was_cut_off_what_is_there_can_be_had(tmp_path, name, codec, missing):
    front = {"movflags": "+faststart"} if name == "a.mp4" else {}
    path = files.write_video(tmp_path / name, 60, frame=files.textured, codec=codec, container=front)
    files.cut(path, 0.5)
    for read in (media.open_video, media.open_frames):
        message = rf"{path}: is damaged or cut off, {missing} \(on_damage='skip' uses what is there\)"
        with pytest.raises(InputError, match=message):
            read(path)
    assert 3 < len(list(media.open_video(path, on_damage="skip"))) < 50


def test_frames_without_time_stamps_begin_before_those_with_them():
    """As a recording that was cut without decoding it: 21 frames without, then pairs that are stored the other way round."""
    place = range(21, 91)
    shown = [40 * (k - 20 if k % 2 else k - 22) for k in place]  # milliseconds
    found = _Found(91, array("q", shown), array("q", place))
    assert found.ticks() is None
    assert found.guessed_origin(Fraction(1, 1000), Fraction(25)) == Fraction(-84, 100)


# What was shown wrong


@each_case("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_webm_is_laid_on_white(tmp_path, codec):
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[..., 0], rgba[:, :48, 3] = 200, 255
    frames = [av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p") for _ in range(20)]
    path = files.write_video(
        tmp_path / "a.webm", frames=frames, codec=codec, pixels="yuva420p", options={"auto-alt-ref": "0"}
    )
    source = media.open_video(path)
    found = list(source)
    assert len(found) == 20
    assert np.abs(found[-1][:, :40].astype(int) - (200, 0, 0)).max() <= 8
    assert np.abs(found[-1][:, 56:].astype(int) - 255).max() <= 8
    assert np.array_equal(next(source.frames(18)), found[18])


@each_case("rate", [30, Fraction(24000, 1001)])
def test_an_animated_avif_has_its_exact_rate(tmp_path, rate):
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this FFmpeg has no encoder for AV1")
    path = files.write_video(tmp_path / "a.avif", 12, rate=rate, codec="libsvtav1", options={"preset": "12"})
    source = media.open_video(path)
    assert (source.frame_count, source.frame_rate, source.is_variable) == (12, rate, False)
    assert len(list(source)) == 12


@each_case("given", ["https://example.com/a.mp4", Path("https://example.com/a.mp4")])
def test_addresses_are_not_fetched(given):
    for read in (media.open_video, media.load_image, media.open_frames):
        with pytest.raises(InputError, match=r"\Ahttps://example.com/a.mp4: is an address, and these are not fetched"):
            read(given)


# Anything


def shorter(path: Path, rng: np.random.Generator) -> None:
    files.cut(path, float(rng.uniform(0.02, 0.999)))


def flipped(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), int(rng.integers(1, 30))):
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def remuxed(path: Path, change: Callable[[av.Packet, int], av.Packet | None], dropped: str | None = None) -> None:
    """Write all packets anew, changed."""
    data = path.read_bytes()
    with av.open(io.BytesIO(data)) as source, av.open(str(path), "w") as output:
        kept = {s.index: output.add_stream_from_template(s) for s in source.streams if s.type != dropped}
        last: dict[int, int] = {}
        for number, packet in enumerate(source.demux()):
            index = packet.stream.index
            if packet.size and index in kept and (packet := change(packet, number)) is not None:
                due = last.get(index, -(2**40)) + 1  # muxers take no others
                last[index] = packet.dts = max(due if packet.dts is None else packet.dts, due)
                packet.pts = max(packet.dts if packet.pts is None else packet.pts, packet.dts)
                packet.stream = kept[index]
                with contextlib.suppress(av.FFmpegError):  # of a muxer that takes no such packet
                    output.mux(packet)


def without_a_track(path: Path, rng: np.random.Generator) -> None:
    remuxed(path, lambda packet, number: packet, dropped=str(rng.choice(["video", "audio"])))


def without_packets(path: Path, rng: np.random.Generator) -> None:
    gone = set(rng.integers(0, 120, int(rng.integers(1, 40))).tolist())
    remuxed(path, lambda packet, number: None if number in gone else packet)


def shifted(path: Path, rng: np.random.Generator) -> None:
    begin, seconds = int(rng.integers(1, 60)), float(rng.uniform(-1, 100))

    def later(packet: av.Packet, number: int) -> av.Packet:
        if number >= begin:
            ticks = round(seconds / packet.time_base)
            packet.pts, packet.dts = (packet.pts or 0) + ticks, (packet.dts or 0) + ticks
        return packet

    remuxed(path, later)


GOOD = [
    ("a.mp4", {"codec": "libx264", "tone": "aac"}),
    ("b.mp4", {"codec": "libx264", "container": {"movflags": "+faststart"}}),
    ("c.mp4", {"codec": "libx264", "container": {"movflags": "frag_keyframe+empty_moov"}, "tone": "aac"}),
    ("a.mkv", {"codec": "libx264", "tone": "aac"}),
    ("a.webm", {"codec": "libvpx", "tone": "libopus"}),
    ("a.avi", {"codec": "mpeg4", "tone": "mp2"}),
    ("a.ts", {"codec": "libx264", "tone": "mp2"}),
    ("a.flv", {"codec": "libx264", "tone": "aac"}),
    ("a.mov", {"codec": "mjpeg", "pixels": "yuvj420p"}),
]
CHANGES = [shorter, flipped, flipped, without_a_track, without_packets, shifted]


def out_of_time(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("it hangs")


@pytest.mark.slow
def test_a_damaged_file_plays_or_is_refused_and_nothing_else(tmp_path, capsys):
    """200 damaged variants of good files: each gives as many frames as it says, or an InputError of one line."""
    seed = int(os.environ.get("MOTION_CORE_SEED", "4711"))
    rng, played, refused, several_lines = np.random.default_rng(seed), 0, 0, 0
    clean = [
        files.write_video(tmp_path / name, 30, frame=lambda k: files.textured(k, 48, 64), options={"g": "10"}, **how)
        for name, how in GOOD
    ]
    before = signal.signal(signal.SIGPROF, out_of_time)
    try:
        for number in range(200):
            good, change = clean[number % len(clean)], CHANGES[int(rng.integers(len(CHANGES)))]
            path = tmp_path / f"damaged{good.suffix}"
            path.write_bytes(good.read_bytes())
            change(path, rng)
            if rng.random() < 0.3:
                flipped(path, rng)
            signal.setitimer(signal.ITIMER_PROF, 20)  # of computing
            try:
                source = media.open_video(path, on_damage=("hold", "skip", "stop")[rng.integers(3)], max_pixels=10**6)
                assert len(list(source)) == source.frame_count, (seed, number, good.name, change.__name__)
                played += 1
            except InputError as error:
                several_lines += "\n" in str(error)
                refused += 1
            except Exception as error:
                error.add_note(f"MOTION_CORE_SEED={seed}, variant {number}: {good.name} {change.__name__}")
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, before)
    with capsys.disabled():
        print(f"MOTION_CORE_SEED={seed}: {played} played, {refused} refused")
    assert played > 100
    assert refused > 10
    assert not several_lines
