"""`python -m eval.reconstruct` and `eval.animate`: what they write, and that they go on where they were."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import preloaded
import pytest
from evaluation_drawings import draw_dots, write_clip

from eval import animate, metrics, reconstruct
from eval.instruments import DETECTORS
from eval.videos import FrameSequence, first_frame
from motion_core import MotionInterpPipeline, demo, media

VIDEOS = ("ann#1.mp4", "ann#2.gif", "bob#1", "cat.png")


@pytest.fixture(scope="module")
def model(tmp_path_factory, variant_pipeline):
    """A saved pipeline of variant "full"."""
    folder = tmp_path_factory.mktemp("model") / "full"
    variant_pipeline("full").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One video of each layout in the test split."""
    root = tmp_path_factory.mktemp("data")
    (root / "test").mkdir()
    frames = demo.driving_frames(6, 128)
    for name, part in (("ann#1.mp4", frames[:4]), ("ann#2.gif", frames[1:4]), ("bob#1/", frames[2:6])):
        with media.VideoWriter(f"{root / 'test'}/{name}", 12) as writer:
            for frame in part:
                writer.write(frame)
    media.save_image(root / "test" / "cat.png", np.concatenate(frames[:3], axis=1))
    return root


def run(model, data, out, *more, program=reconstruct):
    arguments = ("--model", model, "--data", data, "--out", out, "--device", "cpu", *more)
    return program.main([str(argument) for argument in arguments])


def read(folder):
    """Every file below a folder and its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_times(files):
    """The same, and of the JSON files what does not depend on the clock."""
    return {
        name: json.loads(content) | {"seconds": None} if name.endswith("result.json") else content
        for name, content in files.items()
    }


@pytest.fixture(scope="module")
def finished(model, data, tmp_path_factory):
    """The first two frames of every video, reconstructed. Not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(model, data, out, "--limit", "2") == 0
    return out


def check(pipeline, data, out, video, **settings):
    """Compare a reconstruction of two frames with what the pipeline makes of these."""
    frames = list(FrameSequence(media.open_frames(data / "test" / video), 2))
    expected = pipeline(first_frame(data / "test" / video), frames, mode="standard", diagnose=True, **settings)
    folder = out / "videos" / video.removesuffix(Path(video).suffix)
    made = np.stack(list(FrameSequence(media.open_frames(folder / "frames"))))
    np.testing.assert_array_equal(made, expected.frames, err_msg=video)
    result = json.loads((folder / "result.json").read_text())
    assert [record["selection"]["t"] for record in result["records"]] == [each.t for each in expected.selections]
    assert result["records"][1]["diagnosis"]["displacement"] == expected.diagnoses[1].displacement
    assert (result["source"], result["driving"], result["frames"]) == (video, video, 2)


def test_videos_are_what_the_pipeline_makes_of_their_first_frames(model, data, finished, tmp_path):
    pipeline = MotionInterpPipeline.from_pretrained(model)
    for video in VIDEOS:
        check(pipeline, data, finished, video, background="predicted")
    about = json.loads((finished / "run.json").read_text())
    assert (about["model"], about["variant"], about["settings"]["mode"]) == ("full", "full", "standard")

    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "bob#1").symlink_to(data / "test" / "bob#1")
    options = ("--t", "0.5", "--size", "128", "256", "--background", "identity", "--limit", "2", "--batch-size", "2")
    assert run(model, tmp_path, tmp_path / "out", *options) == 0
    check(pipeline, data, tmp_path / "out", "bob#1", t=0.5, size=(128, 256), batch_size=2)


def test_what_is_finished_is_not_done_again_and_other_results_are_refused(model, data, finished, tmp_path, capsys):
    out = shutil.copytree(finished, tmp_path / "out")
    before, stamps = without_times(read(out)), {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "videos" / "bob#1").rename(tmp_path / "gone")
    left = out / "videos" / ".motion-core-1.partial"  # as a killed process leaves it
    (left / "made" / "frames").mkdir(parents=True)
    (left / "lock").touch()
    capsys.readouterr()

    assert run(model, data, out, "--limit", "2") == 0

    assert "1 made, 3 were there already, 0 failed" in capsys.readouterr().out
    assert without_times(read(out)) == before
    changed = {path for path in stamps if path.stat().st_mtime_ns != stamps[path]}
    assert changed == {path for path in stamps if "bob#1" in str(path)}
    assert not left.exists()

    for options, message in [
        (("--limit", "2", "--t", "0.5"), "holds results of another run, with settings.t None instead of 0.5"),
        (("--limit", "3"), "with limit 2 instead of 3"),
    ]:
        assert run(model, data, out, *options) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("")
    assert run(model, data, tmp_path / "other") == 2
    assert "must be empty, new, or hold results of this program, but holds letter.txt" in capsys.readouterr().err

    (out / "videos" / "cat").rename(tmp_path / "cat")
    assert metrics.main([str(out), "--device", "cpu"]) == 2
    assert "1 of 4 videos are missing (cat)" in capsys.readouterr().err
    assert metrics.main([str(out), "--device", "cpu", "--partial"]) == 0
    assert json.loads((out / "metrics.json").read_text())["excluded"] == {"cat": "is not made yet"}
    (tmp_path / "data" / "test" / "x").mkdir(parents=True)
    assert metrics.main([str(out), "--device", "cpu", "--data", str(tmp_path / "data")]) == 2
    assert "ann#1 was made from ann#1.mp4, which is not in" in capsys.readouterr().err


def test_videos_that_cannot_be_reconstructed_are_reported_and_excluded(model, data, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test").mkdir()
    (tmp_path / "data" / "test" / "good").symlink_to(data / "test" / "bob#1")
    media.save_image(tmp_path / "data" / "test" / "still.png", demo.source_picture(128))
    out = tmp_path / "out"

    assert run(model, tmp_path / "data", out, "--limit", "2") == 1

    captured = capsys.readouterr()
    assert "1 made, 0 were there already, 1 failed" in captured.out
    assert "still: " in captured.err
    assert "at least 2 frames" in captured.err
    assert metrics.main([str(out), "--device", "cpu"]) == 0
    report = json.loads((out / "metrics.json").read_text())
    assert "at least 2 frames" in report["excluded"]["still"]
    assert list(report["videos"]) == ["good"]


def test_what_cannot_be_used_is_an_error_in_one_line(model, data, tmp_path, capsys):
    for options, message in [
        (["--size", "100"], "size must be .* in multiples of"),
        (["--size", "1", "2", "3"], "--size must be a side, or height and width, got 3 numbers"),
        (["--t", "2"], r"t must be in \[0, 1\], got 2.0"),
        (["--strategy", "magic"], "strategy must be one of"),
        (["--split", "val"], "val: must be a folder with videos"),
        (["--limit", "1"], "--limit must be 2 frames or more, got 1"),
        (["--model", "nowhere/at/all"], "no such folder"),
    ]:
        assert run(model, data, tmp_path / "out", *options) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert re.search(message, line), line
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_processes_share_the_videos_and_a_killed_one_leaves_nothing_half_done(model, data, tmp_path):
    assert run(model, data, tmp_path / "alone") == 0
    command = ["-m", "eval.reconstruct", "--model", model, "--data", data, "--out", tmp_path / "out"]
    process = preloaded.start(command, tmp_path / "killed.log")
    videos = tmp_path / "out" / "videos"
    deadline = time.monotonic() + 120
    while not (videos / "ann#1").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert 1 <= len([path for path in videos.iterdir() if not path.name.startswith(".")]) <= 4

    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(preloaded.free_port())}
    logs = [tmp_path / f"{rank}.log" for rank in range(2)]
    processes = [
        preloaded.start(command, log, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.join(200)

    assert [process.exitcode for process in processes] == [0, 0]
    assert all(f"process {rank} of 2: " in log.read_text() for rank, log in enumerate(logs))
    assert len(list((tmp_path / "out").rglob("*.png"))) == 14
    assert without_times(read(tmp_path / "out")) == without_times(read(tmp_path / "alone"))


def write_pairs(path, *rows):
    path.write_text("distance,source,driving\n" + "".join(f"0,{source},{driving}\n" for source, driving in rows))
    return path


def test_pairs_are_animated_and_measured_after_the_relative_protocol(model, tmp_path, monkeypatch):
    """For the measurement the frames that were made are replaced by ones that follow the driving video, 3 and 4 pixels off."""
    monkeypatch.setitem(DETECTORS, "dots", "evaluation_drawings:Dots")
    square = [(30, 30), (90, 30), (90, 90), (30, 90)]
    frames = [draw_dots([(x + 4 * t, y) for x, y in square], 128, 128) for t in range(3)]
    for name in ("one", "two"):
        write_clip(tmp_path / "data" / "test" / name, frames)
    pairs, out = write_pairs(tmp_path / "pairs.csv", ("one", "two")), tmp_path / "out"

    assert run(model, tmp_path / "data", out, "--pairs", pairs, program=animate) == 0

    assert [path.name for path in (out / "videos").iterdir()] == ["one--two"]
    files = sorted((out / "videos" / "one--two" / "frames").iterdir())
    expected = MotionInterpPipeline.from_pretrained(model)(frames[0], frames, mode="relative")
    np.testing.assert_array_equal(np.stack([media.load_image(file) for file in files]), expected.frames)
    for t, file in enumerate(files):
        media.save_image(file, draw_dots([(x + 4 * t + 3, y + 4) for x, y in square], 128, 128))
    assert metrics.main([str(out), "--detector", "dots", "--device", "cpu"]) == 0
    report = json.loads((out / "metrics.json").read_text())
    assert report["kind"] == "animation"
    akd = report["overall"]["akd"]
    assert (akd["clean"], akd["published"]) == (pytest.approx(5), pytest.approx(3.5))
    assert report["overall"]["mkr"]["clean"] == 0
    assert "l1" not in report["overall"]


def test_pairs_that_cannot_be_used(model, data, tmp_path, capsys):
    for rows, message in [
        ([("dog.png", "ann#1.mp4")], "row 1 must name videos of the split with their endings, got 'dog.png'"),
        ([("ann#1.mp4", "ann#2.gif")], "row 1 must be of two identities, got 'ann#1.mp4' and 'ann#2.gif'"),
        ([("cat.png", "bob#1"), ("cat.png", "bob#1")], "row 2 is there twice"),
        ([], "at least one row"),
    ]:
        pairs = write_pairs(tmp_path / "pairs.csv", *rows)
        assert run(model, data, tmp_path / "out", "--pairs", pairs, program=animate) == 2
        assert message in capsys.readouterr().err
