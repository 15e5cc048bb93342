"""The command line as a stranger uses it."""

import re
from pathlib import Path

import numpy as np
import pytest
from published import write_checkpoint

from motion_core import MotionInterpPipeline, demo, media, variant_benchmark
from motion_core.__main__ import main
from motion_core.saved_pipeline import SHIPPED
from motion_core.transfer import MotionTransfer

EXAMPLES = Path(__file__).parents[1] / "space" / "examples"


@pytest.fixture(scope="module")
def files(tmp_path_factory, golden):
    """A picture, a video of 4 frames, a published checkpoint, and that checkpoint converted."""
    folder = tmp_path_factory.mktemp("files")
    media.save_image(folder / "me.png", demo.source_picture(128))
    with media.VideoWriter(folder / "dance.mp4", 24) as writer:
        for frame in demo.driving_frames(4, 128):
            writer.write(frame)
    write_checkpoint(folder / "tiny.pth.tar", golden.state_dicts())
    assert main(["convert", str(folder / "tiny.pth.tar"), str(folder / "model"), "--size", "128"]) == 0
    return folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def animate(files, out, options="", driving="dance.mp4"):
    """The status of animating the picture with the converted model."""
    return run("animate", files / "me.png", files / driving, "-o", out, "--model", files / "model", *options.split())


def test_animate_makes_the_video_that_python_makes(files, tmp_path, capsys):
    out = tmp_path / "out.mp4"

    assert animate(files, out, "--dtype float32") == 0

    printed = capsys.readouterr().out
    assert "4 frames, 128 x 128, 24.000 frames/s" in printed
    assert 0 < float(re.search(r"the first one ([\d.]+) s after the start", printed)[1]) < 60
    pipe = MotionInterpPipeline.from_pretrained(files / "model")
    pipe(files / "me.png", files / "dance.mp4").save(tmp_path / "python.mp4")
    frames = [np.stack(list(media.open_video(path))) for path in (out, tmp_path / "python.mp4")]
    np.testing.assert_array_equal(*frames)


def test_animate_takes_all_options(files, tmp_path):
    options = """--mode avd --strength 0.5 --initial-frame best --smooth --background predicted --size 128x256 --fit crop
        --start 0 --end 0.1 --batch-size 2 --dtype bfloat16 --device cpu --matte #102030 --feather 0.2 --max-pixels 20000
        --no-audio --no-provenance --t 0.5 --path rigid --hysteresis 0.1 --hold 2"""

    assert animate(files, f"{tmp_path}/frames/", options) == 0

    assert np.stack(list(media.open_video(tmp_path / "frames"))).shape == (3, 128, 256, 3)


def test_resumed_render_equals_the_uninterrupted_one(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(media.SegmentedWriter.__init__.__kwdefaults__, "segment_frames", 3)
    with media.VideoWriter(tmp_path / "long.mp4", 24) as writer:
        for frame in demo.driving_frames(11, 128):
            writer.write(frame)
    command = ["animate", files / "me.png", tmp_path / "long.mp4", "--model", files / "model", "--smooth", "--no-audio"]
    assert run(*command, "-o", tmp_path / "whole.mp4") == 0

    compose, made = MotionTransfer.compose, []

    def counted(self, *arguments):
        made.append(1)
        if len(made) == 8:
            raise KeyboardInterrupt
        return compose(self, *arguments)

    monkeypatch.setattr(MotionTransfer, "compose", counted)
    resumed = tmp_path / "resumed.mp4"
    assert run(*command, "-o", resumed, "--resume") == 130
    assert not resumed.exists()
    assert run(*command, "-o", resumed, "--resume") == 0

    assert "6 frames are there already" in capsys.readouterr().err
    assert len(made) == 8 + 5  # seven made and one interrupted, then the last five of eleven
    frames = [np.stack(list(media.open_video(tmp_path / name))) for name in ("whole.mp4", "resumed.mp4")]
    assert len(frames[0]) == 11
    np.testing.assert_array_equal(*frames)
    assert not (tmp_path / "resumed.mp4.parts").exists()

    assert run(*command, "-o", resumed, "--resume") == 0
    assert f"{resumed}: is finished already, 11 frames" in capsys.readouterr().out
    assert len(made) == 8 + 5
    assert not (tmp_path / "resumed.mp4.parts").exists()


def test_resuming_with_other_settings_is_refused(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(media.SegmentedWriter.__init__.__kwdefaults__, "segment_frames", 1)
    command = ["animate", files / "me.png", files / "dance.mp4", "--model", files / "model", "-o", tmp_path / "out.mp4"]
    with monkeypatch.context() as context:
        context.setattr(media.SegmentedWriter, "finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(*command, "--resume") == 130

    assert run(*command, "--resume", "--strength", "0.5") == 2
    assert "cannot be resumed, it was made from other inputs or settings" in capsys.readouterr().err
    assert run(*command) == 2
    assert "holds an unfinished job" in capsys.readouterr().err
    assert run(*command, "--resume") == 0


def test_comparison_shows_source_driving_and_result(files, tmp_path):
    compared = tmp_path / "compared.mp4"

    assert animate(files, tmp_path / "out.mp4", f"--compare {compared}") == 0

    video = media.open_video(compared)
    assert video.frame_count == 4
    assert video.size[1] >= 3 * 128


def test_paste_back_gives_a_video_of_the_pictures_size(files, tmp_path):
    media.save_image(tmp_path / "large.png", demo.source_picture(500))

    out = tmp_path / "out.mp4"
    command = ["animate", tmp_path / "large.png", files / "dance.mp4", "-o", out, "--model", files / "model"]
    assert run(*command, "--crop", "subject", "--paste-back") == 0

    assert media.open_video(out).size == (500, 500)


def test_interpolate_writes_the_images_between_two_pictures(files, tmp_path, capsys):
    media.save_image(tmp_path / "b.png", demo.driving_frames(3, 128)[1])
    between = f"{tmp_path}/between/"
    command = ["interpolate", files / "me.png", tmp_path / "b.png", "--model", files / "model"]

    assert run(*command, "-o", between, "--num", "3", "--path", "rigid") == 0

    text = capsys.readouterr().out
    assert "t = 0.500" in text
    assert "3 images" in text
    assert media.open_video(between).frame_count == 3
    assert run(*command, "-o", tmp_path / "one.gif", "--times", "0.2", "0.1") == 0


def test_info_tells_what_a_file_is_and_what_becomes_of_it(files, tmp_path, capsys):
    model = ("--model", files / "model")
    assert run("info", files / "me.png", *model, "--crop", "10,20,60,40", "--preview", tmp_path / "preview.png") == 0
    text = capsys.readouterr().out
    assert "me.png: a picture, 128 x 128" in text
    assert "40 x 60 of 128 x 128, as 86 x 128 in the middle of 128 x 128" in text
    assert media.load_image(tmp_path / "preview.png").shape == (128, 128, 3)

    assert run("info", files / "dance.mp4") == 0
    text = capsys.readouterr().out
    assert "a video, 128 x 128\n4 frames, 24.000 frames/s, 0.17 s, without sound" in text
    assert "as a driving video: 4 frames" in text

    assert run("info", files / "model") == 0
    assert "a saved pipeline, 5 splines of 5 points, 4 occlusion mask(s)" in capsys.readouterr().out


def test_info_warns_of_scene_cuts(tmp_path, capsys):
    with media.VideoWriter(tmp_path / "cut.mp4", 10) as writer:
        for colour in ((255, 60, 0), (0, 90, 255)):
            for index in range(10):
                writer.write(demo.draw_figure(128, index / 10, colour, colour[::-1]))

    assert run("info", tmp_path / "cut.mp4") == 0

    assert "scene cuts at 1.00 s" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a machine that may be busy
def test_memory_does_not_grow_with_the_length_of_the_video(capsys):
    assert run("benchmark", "--memory") == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("MB")]
    assert [row[0] for row in rows] == ["60", "260", "difference"]
    assert float(rows[2][-2]) < 30  # the frames in bytes alone would be 39


def test_without_a_model_it_takes_the_one_that_comes_with_the_package(tmp_path):
    command = ["animate", EXAMPLES / "green-sweater.png", EXAMPLES / "reaching.mp4", "--end", "0.08"]
    assert run(*command, "-o", tmp_path / "out.gif") == 0
    assert (tmp_path / "out.gif").is_file()

    assert run(*command, "--model", SHIPPED, "-o", tmp_path / "given.gif") == 0
    assert (tmp_path / "given.gif").read_bytes() == (tmp_path / "out.gif").read_bytes()


def test_convert_says_what_it_found_and_refuses_what_it_cannot_use(files, tmp_path, capsys):
    again = tmp_path / "again"
    assert run("convert", files / "tiny.pth.tar", again, "--size", "128") == 0
    text = capsys.readouterr().out
    assert "5 splines of 5 points, 4 occlusion mask(s), widths 8 to 64, " in text
    assert "images of 128 x 128, sides in multiples of 128, variant tpsmm\n" in text

    for arguments, message in (
        ((files / "me.png", tmp_path / "out"), "me.png: not a checkpoint"),
        ((files / "tiny.pth.tar", again), "again: exists already"),
        ((files / "tiny.pth.tar", tmp_path / "out", "--size", "100"), "multiples of 128"),
    ):
        assert run("convert", *arguments) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("motion_core: ")
        assert message in line
        assert list(tmp_path.iterdir()) == [again]


def test_help_explains(capsys):
    for command in ([], ["animate"], ["interpolate"], ["info"], ["convert"], ["export"], ["benchmark"]):
        with pytest.raises(SystemExit) as leaving:
            main([*command, "--help"])
        assert leaving.value.code == 0
        text = capsys.readouterr().out
        assert "usage: python -m motion_core" in text
        assert not command or len(text.split()) > 40


@pytest.mark.slow
def test_benchmark_prints_what_the_variants_cost(monkeypatch, files, capsys):
    kept = [
        row
        for row in variant_benchmark.ROWS
        if row.name in ("tpsmm", "int, fixed", "v2, learned") and (row.t or row.name == "tpsmm")
    ]
    monkeypatch.setattr(variant_benchmark, "ROWS", kept)
    small = ["--model", files / "model", "--size", "128", "--dtypes", "float32", "--device", "cpu"]
    assert run("benchmark", "--variants", *small, "--rounds", "1") == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {
        (line[:28].strip(), *line[28:].split()[:2]): line[28:].replace(" %", "").split()[2:]
        for line in lines
        if line.startswith(("tpsmm", "int,", "v2,"))
    }
    assert set(rows) == {(row.name, f"{row.t:g}", str(row.hold)) for row in kept}
    plain = rows["tpsmm", "0", "4"]
    assert plain[1] == plain[5] == "1.00"
    assert float(plain[6]) == 0
    for milliseconds, over, scoring, share, gmacs, more, scored in (map(float, row) for row in rows.values()):
        assert over == pytest.approx(milliseconds / float(plain[0]), rel=0.05)  # of rounded numbers
        assert more == pytest.approx(gmacs / float(plain[4]), rel=0.05)
        assert share == pytest.approx(100 * scoring / milliseconds, abs=1.5)
        assert scored < gmacs
    work = {name: float(row[4]) - float(row[6]) for name, row in rows.items()}  # without the scoring, in GMACs
    held, each = ("v2, learned", "0.5", "4"), ("v2, learned", "0.5", "1")
    assert work[each] > work[held] > work["int, fixed", "0.5", "4"] > work["tpsmm", "0", "4"]
    assert float(rows[each][6]) == pytest.approx(4 * float(rows[held][6]), abs=0.1), "scored for every frame"


@pytest.mark.slow
def test_benchmark_prints_its_table_and_draws_it(files, tmp_path, capsys):
    small = ["--model", files / "model", "--size", "128", "--threads", "1", "--batch", "2"]
    chart = tmp_path / "chart.png"
    assert run("benchmark", *small, "--frames", "2", "--rounds", "1", "--device", "cpu", "--chart", chart) == 0

    text = capsys.readouterr().out
    assert "per driving frame at 128 x 128 on cpu, 1 thread, batches of 2, " in text
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["float32"], ["bfloat16"])]
    assert [row[:2] for row in rows] == [[t, b] for t in ("float32", "bfloat16") for b in ("eager", "packed", "int8")]
    assert rows[0][4:7] == ["1.00", "-", "-"]  # speed, and accuracy against itself
    gmacs = float(re.search(r"a frame has ([\d.]+) GMACs", text)[1])
    assert float(rows[0][7]) == pytest.approx(2 * gmacs / (float(rows[0][2]) / 1000), rel=0.2)  # of rounded numbers
    assert float(rows[1][5]) > 80  # dB of packed
    assert float(rows[2][5]) > 35  # of int8, which is 40 or more from packed
    assert float(rows[3][6]) > 40  # of bf16, against fp32
    assert media.load_image(chart).shape[1] > 400
