"""Jobs that are killed at any moment go on from there, give the same result, and are alone with their output."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import media_files as files
import numpy as np
import pytest
from subcases import each_case

from motion_core import InputError, atomic, media

NTSC = Fraction(30000, 1001)
COUNT, LENGTH = 14, 4  # frames, of them in a segment
TARGETS = ["a.mp4", "a/"]


def job(path: str, driving: media.VideoSource, count: int = COUNT) -> int:
    """Write numbered frames where they are not there yet; returns how many were there."""
    options = {"fingerprint": "inputs", "segment_frames": LENGTH, "audio_from": driving}
    with media.SegmentedWriter(path, 25, resume=True, **options) as writer:
        for number in range(writer.frames_done, count):
            writer.write(files.numbered(number))
    return writer.frames_done


def go_on(path: str, driving: media.VideoSource, count: int = COUNT) -> None:
    """The job, unless it is finished with all that belongs to it."""
    if not os.path.exists(path) or os.path.exists(f"{path.rstrip('/')}.parts"):
        job(path, driving, count)


@pytest.fixture
def driving(tmp_path) -> media.VideoSource:
    return media.open_video(files.write_video(tmp_path / "driving.mp4", COUNT, rate=Fraction(25), tone="aac"))


def content(path: str) -> list[bytes]:
    """All packets of a video, or all files of a folder, in order."""
    if os.path.isdir(path):
        return [name.encode() + Path(path, name).read_bytes() for name in sorted(os.listdir(path))]
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


def in_a_process(work: Callable[[], object]) -> int:
    """Begin work in a copy of this process; returns its id."""
    if not hasattr(os, "fork"):
        pytest.skip("a process is killed in the midst of its work")
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def ending(child: int) -> int:
    """Wait for a process; returns the signal that ended it, or 0."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_rename(number: int, after: bool, work: Callable[[], object]) -> Callable[[], None]:
    """Work that is killed just before or after its nth renaming: between them, what others see does not change."""

    def run() -> None:
        done = 0

        def struck(rename: Callable[..., None]) -> Callable[..., None]:
            def call(*arguments: object) -> None:
                nonlocal done
                if done == number and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                rename(*arguments)
                if done == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                done += 1

            return call

        os.rename, os.replace = struck(os.rename), struck(os.replace)
        work()

    return run


def assert_alone(path: str) -> None:
    """Beside the output there is nothing left, at the latest when something else has been written there."""
    folder = Path(path).parent
    with media.VideoWriter(folder / "other.gif", 25) as writer:
        writer.write(files.numbered(0))
    assert sorted(os.listdir(folder)) == [Path(path).name, "other.gif"]


def trial_folder(tmp_path: Path, target: str) -> tuple[Path, str]:
    folder = tmp_path / "trial"
    folder.mkdir()
    return folder, os.path.join(folder, target)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_job_killed_at_any_step_goes_on(tmp_path, driving, target, after):
    job(os.path.join(tmp_path, target), driving)
    expected = content(os.path.join(tmp_path, target))
    steps = 0
    while True:
        folder, path = trial_folder(tmp_path, target)
        if ending(in_a_process(killed_at_rename(steps, after, lambda path=path: job(path, driving)))) == 0:
            break
        go_on(path, driving)
        assert content(path) == expected, f"killed at renaming {steps}"
        assert_alone(path)
        atomic.remove(folder)
        steps += 1
    # The job's file when it begins and when the size is known, the segments or the frames, the output, the end of the parts.
    assert steps == 2 + (COUNT if target.endswith("/") else -(-COUNT // LENGTH)) + 2


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_twenty_kills_at_random_moments_change_nothing(tmp_path, driving, target):
    seed = random.randrange(2**32)
    print("seed", seed)
    moments = random.Random(seed)
    job(os.path.join(tmp_path, target), driving, 40)
    lasts = 1.0  # seconds; less if jobs are found to be finished earlier
    expected, kills = content(os.path.join(tmp_path, target)), 0
    while kills < 20:
        folder, path = trial_folder(tmp_path, target)
        for _ in range(moments.randrange(1, 5)):
            child = in_a_process(lambda path=path: go_on(path, driving, 40))
            time.sleep(moments.uniform(0, lasts))
            os.kill(child, signal.SIGKILL)
            if ending(child) == -signal.SIGKILL:
                kills += 1
            else:
                lasts *= 0.8
        go_on(path, driving, 40)
        assert content(path) == expected, f"seed {seed}, kill {kills}"
        assert_alone(path)
        atomic.remove(folder)


@pytest.mark.slow
def test_the_same_frames_give_the_same_bytes(tmp_path):
    """A resumed job equals the uninterrupted one only if the encoder does as it did."""
    found = set()
    for _ in range(300):
        with media.VideoWriter(tmp_path / "a.mp4", 25) as writer:
            for number in range(4):
                writer.write(files.numbered(number))
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize("target", TARGETS)
def test_an_output_is_written_by_one_job_only(tmp_path, driving, target):
    path = os.path.join(tmp_path, target)
    (tmp_path / "link").symlink_to(path.rstrip("/"))
    options = {"fingerprint": "inputs", "segment_frames": LENGTH}
    with media.SegmentedWriter(path, 25, **options) as writer:
        writer.write(files.numbered(0))
        for resume in (False, True):
            with pytest.raises(InputError, match=f"{path}: is being written by another job; wait until it has ended"):
                media.check_job(path, resume=resume)
            with pytest.raises(InputError, match="is being written by another job"):
                media.SegmentedWriter(f"{tmp_path}/link/" if target == "a/" else path, 25, resume=resume, **options)
        for number in range(1, COUNT):
            writer.write(files.numbered(number))
    assert media.open_video(path).frame_count == COUNT


def test_a_job_that_is_killed_unlocks_its_output(tmp_path, driving):
    def stay() -> None:
        with media.SegmentedWriter(tmp_path / "a.mp4", 25, fingerprint="inputs") as writer:
            writer.write(files.numbered(0))
            (tmp_path / "ready").touch()
            time.sleep(60)

    child = in_a_process(stay)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(InputError, match="is being written by another job"):
        media.check_job(tmp_path / "a.mp4", resume=True)
    os.kill(child, signal.SIGKILL)
    ending(child)
    assert media.check_job(tmp_path / "a.mp4", resume=True) == "mp4"
    with pytest.raises(InputError, match=r"a\.mp4\.parts: holds an unfinished job"):
        media.check_job(tmp_path / "a.mp4")


@each_case("name", ["a.mp4", "a.gif", "a/"])
def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path, name):
    def stay() -> None:
        with media.VideoWriter(os.path.join(tmp_path, name), 25) as writer:
            writer.write(files.numbered(0))
            (tmp_path / "ready").touch()
            time.sleep(60)

    def write_another() -> None:
        with media.VideoWriter(tmp_path / "b.gif", 25) as writer:
            writer.write(files.numbered(0))

    child = in_a_process(stay)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    write_another()
    assert len(os.listdir(tmp_path)) == 3, "what is being written stays"
    os.kill(child, signal.SIGKILL)
    ending(child)
    write_another()
    assert sorted(os.listdir(tmp_path)) == ["b.gif", "ready"]


def test_a_folder_that_is_in_place_is_not_written_again(tmp_path, driving):
    """Killed between the last renaming and the removal of the parts: the job is told how many frames there are."""
    path = f"{tmp_path}/a/"
    last = 2 + COUNT  # the renaming that puts it into place
    assert ending(in_a_process(killed_at_rename(last, True, lambda: job(path, driving)))) == -signal.SIGKILL
    before = [file.stat().st_mtime_ns for file in sorted((tmp_path / "a").iterdir())]
    assert media.check_job(path, resume=True) == "frames"
    with pytest.raises(InputError, match="must be an empty or a new folder"):
        media.check_job(path)
    assert job(path, driving) == COUNT
    assert [file.stat().st_mtime_ns for file in sorted((tmp_path / "a").iterdir())] == before


@pytest.mark.parametrize("target", TARGETS)
def test_a_finished_job_is_found_finished_and_another_one_is_not(tmp_path, driving, target):
    path = os.path.join(tmp_path, target)
    assert job(path, driving) == 0
    before, time_before = content(path), os.stat(path).st_mtime_ns
    assert job(path, driving) == COUNT
    assert os.stat(path).st_mtime_ns == time_before
    assert sorted(os.listdir(tmp_path)) == [target.rstrip("/"), "driving.mp4"]
    options = {"fingerprint": "others", "resume": True}
    if target == "a/":
        with pytest.raises(InputError, match="must be an empty or a new folder"):
            media.SegmentedWriter(path, 25, **options).__enter__()
        assert content(path) == before
    else:
        with media.SegmentedWriter(path, 25, **options) as writer:
            assert not writer.finished
            writer.write(files.numbered(0))
        assert media.open_video(path).frame_count == 1


def test_files_that_others_put_into_the_folder_stop_a_job_before_its_work(tmp_path, driving):
    path = f"{tmp_path}/a/"
    (tmp_path / "a").mkdir()
    assert ending(in_a_process(killed_at_rename(5, True, lambda: job(path, driving)))) == -signal.SIGKILL
    (tmp_path / "a" / "000001.png").touch()
    with pytest.raises(InputError, match="must be an empty or a new folder"):
        media.check_job(path, resume=True)


def test_the_fingerprint_is_of_the_content(tmp_path):
    (tmp_path / "frames").mkdir()
    paths = [files.write_video(tmp_path / "a.mp4", 2), tmp_path / "frames"]
    (tmp_path / "frames" / "1.png").write_bytes(b"1")
    before = [media.fingerprint(path) for path in paths]
    os.utime(tmp_path / "a.mp4", (1, 1))
    os.utime(tmp_path / "frames" / "1.png", (1, 1))
    (tmp_path / "frames" / ".DS_Store").touch()
    assert [media.fingerprint(path) for path in paths] == before
    assert media.fingerprint((tmp_path / "a.mp4").rename(tmp_path / "b.mp4")) == before[0]

    (tmp_path / "frames" / "1.png").rename(tmp_path / "frames" / "2.png")
    changed = bytearray((tmp_path / "b.mp4").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "b.mp4").write_bytes(changed)
    assert media.fingerprint(tmp_path / "b.mp4") != before[0]
    assert media.fingerprint(tmp_path / "frames") != before[1]
    with pytest.raises(InputError, match=r"gone\.mp4: cannot be read"):
        media.fingerprint(tmp_path / "gone.mp4")


def test_the_output_is_in_place_before_the_block_ends(tmp_path):
    """What is made from it, such as a comparison, can fail without costing a frame."""
    for path in (f"{tmp_path}/a.mp4", f"{tmp_path}/a/"):
        options = {"fingerprint": "inputs", "resume": True}
        with contextlib.suppress(ZeroDivisionError), media.SegmentedWriter(path, 25, **options) as writer:
            writer.write(files.numbered(0))
            writer.finish()
            assert np.stack(list(media.open_video(path))).shape[0] == 1
            raise ZeroDivisionError
        with media.SegmentedWriter(path, 25, **options) as writer:
            assert writer.frames_done == 1
    assert sorted(os.listdir(tmp_path)) == ["a", "a.mp4"]


# Interrupted by the caller


def refused(message: str):
    """Expect an InputError of one line that matches."""
    return pytest.raises(InputError, match=rf"(?s)\A[^\n]*{message}[^\n]*\Z")


def numbers(source) -> list[int]:
    return [files.number_of(frame) for frame in source]


def segmented(path, count: int, stop: int | None = None, **options) -> int:
    """Write frames with numbers, and return how many were there already; `stop` interrupts before that frame."""
    settings = {"fingerprint": "inputs", "segment_frames": 10} | options
    with media.SegmentedWriter(path, NTSC, **settings) as writer:
        for k in range(writer.frames_done, count):
            if k == stop:
                raise KeyboardInterrupt
            writer.write(files.numbered(k, 63, 95))
    return writer.frames_done


@each_case("stop", [0, 10, 33])
def test_interrupted_and_resumed_is_the_same_as_uninterrupted(tmp_path, stop):
    driving = media.open_video(files.write_video(tmp_path / "driving.mp4", 47, rate=NTSC, tone="aac"))
    metadata = media.provenance("toy")
    segmented(tmp_path / "whole.mp4", 47, audio_from=driving, metadata=metadata)
    with pytest.raises(KeyboardInterrupt):
        segmented(tmp_path / "a.mp4", 47, stop, audio_from=driving, metadata=metadata)
    assert not (tmp_path / "a.mp4").exists()
    assert segmented(tmp_path / "a.mp4", 47, resume=True, audio_from=driving, metadata=metadata) == stop // 10 * 10
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "driving.mp4", "whole.mp4"]
    whole, resumed = (files.ffmpeg_frames(tmp_path / name, 64, 96) for name in ("whole.mp4", "a.mp4"))
    assert np.array_equal(whole, resumed)
    assert [files.number_of(frame) for frame in resumed] == list(range(47))
    assert files.sound_packets(tmp_path / "whole.mp4") == files.sound_packets(tmp_path / "a.mp4")
    source = media.open_video(tmp_path / "a.mp4")
    assert (source.frame_rate, source.frame_count) == (NTSC, 47)
    assert files.boxes(tmp_path / "a.mp4").index("moov") < files.boxes(tmp_path / "a.mp4").index("mdat")
    assert abs(files.first_beep(tmp_path / "a.mp4")) < 0.004
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert "toy" in container.metadata["comment"]


@each_case("length", [1, 2, 3, 7])
def test_segments_of_any_length_join_without_a_gap(tmp_path, length):
    for count in (1, 7, 15):
        segmented(tmp_path / "a.mp4", count, segment_frames=length)
        check_order(tmp_path / "a.mp4", count)


def test_a_job_may_be_resumed_with_segments_of_another_length(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        segmented(tmp_path / "a.mp4", 30, 5, segment_frames=1)  # without reordered frames, unlike longer segments
    assert segmented(tmp_path / "a.mp4", 30, resume=True) == 5
    check_order(tmp_path / "a.mp4", 30)


def check_order(path: Path, count: int) -> None:
    """Every frame is there once, and what is decoded first comes first."""
    assert numbers(media.open_video(path)) == list(range(count))
    with av.open(str(path)) as container:
        found = [(packet.pts, packet.dts) for packet in container.demux(video=0) if packet.size]
    decoding = [dts for _, dts in found]
    assert decoding == sorted(set(decoding))
    assert all(dts <= pts for pts, dts in found)


def test_what_cannot_be_resumed_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt):
        segmented(path, 40, 20)
    with refused("a.mp4.parts: holds an unfinished job; resume it, or remove the folder"):
        segmented(path, 40)
    with refused("a.mp4.parts: cannot be resumed, it was made from other inputs or settings$"):
        segmented(path, 40, resume=True, fingerprint="other inputs")
    with refused("other inputs or settings \\(frame_rate 30000/1001 there, 25 now\\)"):
        media.SegmentedWriter(path, 25, fingerprint="inputs", resume=True).__enter__()
    resumed = media.SegmentedWriter(path, NTSC, fingerprint="inputs", resume=True)
    with refused("must have the \\(h, w\\) of the first one, \\(63, 95\\), got \\(64, 96\\)"), resumed as writer:
        writer.write(files.numbered(20))
    (tmp_path / "a.mp4.parts" / "job.json").write_text("{")
    with refused("a.mp4.parts: cannot be resumed, it has no readable job.json"):
        segmented(path, 40, resume=True)
    with refused("a.gif: only .mp4 and folders of frames can be resumed, got .gif"):
        segmented(tmp_path / "a.gif", 10)
    with refused("segment_frames: must be a whole number of at least 1, got 0"):
        segmented(tmp_path / "b.mp4", 10, segment_frames=0)
    with refused("b.mp4: a video needs at least one frame"):
        segmented(tmp_path / "b.mp4", 0)


def test_the_manifest_says_what_the_job_is(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        segmented(tmp_path / "a.mp4", 40, 15)
    job = json.loads((tmp_path / "a.mp4.parts" / "job.json").read_text())
    assert job == {"fingerprint": "inputs", "frame_rate": "30000/1001", "size": [63, 95]}
    assert sorted(os.listdir(tmp_path / "a.mp4.parts")) == ["000001.mp4", "job.json", "lock"]
