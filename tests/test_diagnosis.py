"""What is measured of each frame, against the same by hand, and the JSON it is written to."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from subcases import each_case

from motion_core import AnimationSettings, InputError, Keypoints, MotionInterpPipeline, demo, media
from motion_core.__main__ import main
from motion_core.diagnosis import diagnose
from motion_core.geometry import resize_aligned
from motion_core.records import RecordWriter
from motion_core.transfer import MotionTransfer

SIZE = 128


@pytest.fixture(scope="module")
def video(video):
    return video[:3]


def distance(a, b):
    """Mean distance of keypoints, in numpy."""
    return float(np.linalg.norm(np.asarray(a.points)[0] - np.asarray(b.points)[0], axis=-1).mean())


def folded(deformation):
    """Share of the grid's cells whose corners, seen as a triangle, are in reversed order."""
    grid = deformation[0].numpy().astype(float)
    count = 0
    for row in range(grid.shape[0] - 1):
        for column in range(grid.shape[1] - 1):
            across, down = grid[row, column + 1] - grid[row, column], grid[row + 1, column] - grid[row, column]
            count += across[0] * down[1] - across[1] * down[0] < 0
    return count / (grid.shape[0] - 1) / (grid.shape[1] - 1)


@each_case("t", [0.0, 0.5])
def test_a_frames_diagnosis_equals_the_same_by_hand(variant_pipeline, picture, video, t):
    pipe = variant_pipeline("full")

    result = pipe(picture, video, t=t, mode="standard", diagnose=True, hold=1)

    networks = pipe.method.backbone
    with torch.no_grad():
        image = media.to_float(picture[None])
        source = pipe.keypoint_detector(image)
        small = networks.dense_motion_network.shrink_source(image)
        for index, found in enumerate(result.diagnoses):
            driving = pipe.keypoint_detector(media.to_float(video[index][None]))
            between = Keypoints((1 - t) * source.points + t * driving.points)
            hops = [networks.dense_motion_network(small, source, between)]
            picture_between = pipe.image_generator(pipe.image_generator.encode(image), hops[0])
            if t == 0:
                picture_between, hops = image, []
            last_small = networks.dense_motion_network.shrink_source(picture_between)
            hops.append(networks.dense_motion_network(last_small, between, driving))
            final = pipe.image_generator(pipe.image_generator.encode(picture_between), hops[-1])
            visible = resize_aligned(hops[-1].occlusion_masks[-1], SIZE, SIZE).mean().item()

            assert found.displacement == pytest.approx(distance(source, driving), abs=1e-5)
            assert found.remaining == pytest.approx(distance(between, driving), abs=1e-5)
            assert found.remaining == pytest.approx((1 - t) * found.displacement, abs=1e-5)
            assert found.visibility == pytest.approx(visible, abs=1e-4)
            assert found.fold_over == pytest.approx(max(folded(hop.deformation) for hop in hops), abs=2e-3)
            assert found.cycle_error == pytest.approx(distance(pipe.keypoint_detector(final), driving), abs=1e-4)
            assert found.displacement > 0.01
            assert found.cycle_error > 0


@each_case("variant", ["tpsmm", "full", "v2"])
def test_diagnosing_changes_no_frame_and_every_frame_has_one(variant_pipeline, picture, video, variant):
    pipe = variant_pipeline(variant)

    plain, diagnosed = (pipe(picture, video, batch_size=2, diagnose=diagnose) for diagnose in (False, True))

    np.testing.assert_array_equal(plain.frames, diagnosed.frames)
    assert plain.diagnoses == ()
    assert len(diagnosed.diagnoses) == 3
    for found in diagnosed.diagnoses:
        assert all(isinstance(number, float) and np.isfinite(number) for number in vars(found).values())
        assert 0 <= found.visibility <= 1
        assert 0 <= found.fold_over <= 1
    assert diagnosed.diagnoses[0].displacement == pytest.approx(0, abs=1e-6)  # relative motion starts at the picture


def test_a_folded_hop_is_seen_whichever_of_the_two_it_is(variant_pipeline, hop_case):
    pipe = variant_pipeline("full")
    with torch.no_grad():
        generated = pipe.method.generate([hop_case.source], hop_case.poses, [None], torch.full((3,), 0.5))
    for index in (0, 1):
        hops = list(generated.hops)
        hops[index] = dataclasses.replace(hops[index], deformation=hops[index].deformation.flip(2))  # left is right
        mirrored = dataclasses.replace(generated, hops=tuple(hops))
        found = diagnose(pipe.method, hop_case.source, hop_case.poses, mirrored)
        assert min(each.fold_over for each in found) > 0.5


# JSON


def test_python_writes_what_the_output_says(variant_pipeline, picture, video, tmp_path):
    result = variant_pipeline("full")(picture, video, diagnose=True, mode="standard")

    result.save_diagnosis(tmp_path / "frames.json")

    written = json.loads((tmp_path / "frames.json").read_text())
    assert [one["frame"] for one in written] == [0, 1, 2]
    for one, chosen, found in zip(written, result.selections, result.diagnoses, strict=True):
        expected = vars(chosen) | {name: list(getattr(chosen, name)) for name in ("candidates", "candidate_scores")}
        assert one == {"frame": one["frame"], "selection": expected, "diagnosis": vars(found)}
    assert [path.name for path in tmp_path.iterdir()] == ["frames.json"]


def test_without_a_diagnosis_the_choice_is_written(variant_pipeline, picture, video, tmp_path):
    variant_pipeline("tpsmm")(picture, video[:2]).save_diagnosis(tmp_path / "frames.json")

    none = {"t": 0, "score": None, "candidates": [], "candidate_scores": []}
    assert json.loads((tmp_path / "frames.json").read_text()) == [{"frame": i, "selection": none} for i in (0, 1)]


def test_records_are_written_as_they_come_and_appear_whole(tmp_path):
    path = tmp_path / "frames.json"
    path.write_text("before")

    with RecordWriter(path) as writer:
        for index in range(3000):
            writer.write({"value": index})
        partial = [file for file in tmp_path.iterdir() if file != path]
        assert len(partial) == 1
        assert sum(file.stat().st_size for file in partial[0].rglob("*")) > 30_000  # of 80 kB: it is not kept in memory
        assert path.read_text() == "before"

    written = json.loads(path.read_text())
    assert written == [{"frame": index, "value": index} for index in range(3000)]
    assert list(tmp_path.iterdir()) == [path]


def test_no_records_are_an_empty_array(tmp_path):
    with RecordWriter(tmp_path / "frames.json"):
        pass

    assert json.loads((tmp_path / "frames.json").read_text()) == []


def test_after_an_error_nothing_is_left(tmp_path):
    def stop():
        with RecordWriter(tmp_path / "frames.json") as writer:
            writer.write({})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()

    assert list(tmp_path.iterdir()) == []


@each_case(
    ("name", "message"),
    [
        ("frames.txt", "frames.txt: must end in .json, got '.txt'"),
        ("frames", "frames: must end in .json, got 'no ending'"),
        ("gone/frames.json", "must be in an existing folder, but there is no folder"),
        ("folder.json", "folder.json: must be a file that can be replaced, but is something else"),
        ("input.json", "must be another file than"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path, name, message):
    (tmp_path / "folder.json").mkdir()

    with pytest.raises(InputError, match=message):
        RecordWriter(tmp_path / name, [tmp_path / "input.json"])


# The command line


@pytest.fixture(scope="module")
def files(tmp_path_factory, variant_pipeline):
    """A picture, another one, a video of 4 frames, and saved pipelines."""
    folder = tmp_path_factory.mktemp("files")
    for variant in ("full", "v2"):
        variant_pipeline(variant).save_pretrained(folder / variant)
    media.save_image(folder / "me.png", demo.source_picture(SIZE))
    media.save_image(folder / "also.png", demo.source_picture(160)[10:])
    with media.VideoWriter(folder / "dance.mp4", 24) as writer:
        for frame in demo.driving_frames(4, SIZE):
            writer.write(frame)
    return folder


def animate(files, out, *options, model="v2"):
    named = [files / "me.png", files / "dance.mp4", "-o", out, "--model", files / model, "--dtype", "float32"]
    return main(["animate", *map(str, [*named, *options])])


def test_the_command_line_writes_what_python_writes(files, tmp_path):
    photos = ["--source-image", files / "also.png", "--source-image", files / "me.png"]

    options = ["--t", "0.5", "--path", "rigid", "--diagnosis", tmp_path / "cli.json"]

    assert animate(files, tmp_path / "out.mp4", *options, *photos) == 0

    result = MotionInterpPipeline.from_pretrained(files / "v2")(
        files / "me.png",
        files / "dance.mp4",
        source_images=[files / "also.png", files / "me.png"],
        diagnose=True,
        t=0.5,
        path="rigid",
    )
    result.save_diagnosis(tmp_path / "python.json")
    assert json.loads((tmp_path / "cli.json").read_text()) == json.loads((tmp_path / "python.json").read_text())
    result.save(tmp_path / "python.mp4")
    frames = [np.stack(list(media.open_video(tmp_path / name))) for name in ("out.mp4", "python.mp4")]
    np.testing.assert_array_equal(*frames)


def test_hysteresis_is_an_option(files, tmp_path):
    for margin in ("0", "100"):
        options = ["--strategy", "analytic", "--mode", "standard", "--hysteresis", margin]
        status = animate(
            files, tmp_path / "out.mp4", *options, "--diagnosis", tmp_path / f"{margin}.json", model="full"
        )
        assert status == 0

    free, steady = (json.loads((tmp_path / f"{margin}.json").read_text()) for margin in ("0", "100"))
    assert max(one["selection"]["t"] for one in free) > 0
    assert [one["selection"]["t"] for one in steady] == [0] * 4
    for ours, theirs in zip(free, steady, strict=True):
        assert ours["selection"]["candidate_scores"] == theirs["selection"]["candidate_scores"]


def test_an_interrupted_render_leaves_no_diagnosis(files, tmp_path, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(MotionTransfer, "compose", interrupt)

    assert animate(files, tmp_path / "out.mp4", "--diagnosis", tmp_path / "frames.json") == 130
    assert list(tmp_path.iterdir()) == []


@each_case(
    ("options", "message"),
    [
        (["--diagnosis", "{}/x.json", "--resume"], "--diagnosis must be given without --resume: the frames"),
        (["--diagnosis", "{}/x.txt"], "x.txt: must end in .json"),
        (["--diagnosis", "{}/gone/x.json"], "there is no folder"),
        (["--t", "2"], "t must be in [0, 1], got 2.0"),
        (["--t", "0.5", "--strategy", "none"], "not allowed with argument"),
        (["--strategy", "best"], "invalid choice: 'best'"),
        (["--hysteresis", "-1"], "hysteresis must be 0 or more, got -1.0"),
        (["--source-image", "gone.png"], "gone.png: no such file"),
        (["--model", "{files}/full", "--source-image", "{files}/me.png"], "source_images need a model of variant 'v2'"),
    ],
)
def test_what_cannot_be_used_is_one_line(files, tmp_path, capsys, options, message):
    given = [option.replace("{files}", str(files)).replace("{}", str(tmp_path)) for option in options]

    assert animate(files, tmp_path / "out.mp4", *given) == 2

    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motion_core: ")]
    assert len(error) == 1
    assert message in error[0]
    assert list(tmp_path.iterdir()) == []


def test_a_photo_of_the_subject_is_not_replaced(files, tmp_path, capsys):
    (tmp_path / "photo.mp4").write_bytes((files / "dance.mp4").read_bytes())

    assert animate(files, tmp_path / "photo.mp4", "--source-image", tmp_path / "photo.mp4") == 2
    assert "must be another file than" in capsys.readouterr().err


def test_a_render_with_other_photos_is_not_resumed(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(media.SegmentedWriter.__init__.__kwdefaults__, "segment_frames", 1)
    photo = ["--source-image", files / "also.png"]
    with monkeypatch.context() as context:
        context.setattr(media.SegmentedWriter, "finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        assert animate(files, tmp_path / "out.mp4", *photo, "--resume") == 130

    assert animate(files, tmp_path / "out.mp4", "--resume") == 2
    assert "cannot be resumed, it was made from other inputs or settings" in capsys.readouterr().err
    assert animate(files, tmp_path / "out.mp4", *photo, photo[0], files / "me.png", "--resume") == 2
    assert animate(files, tmp_path / "out.mp4", *photo, "--resume") == 0
    assert "4 frames are there already" in capsys.readouterr().err


def test_info_says_the_variant(files, capsys):
    assert main(["info", str(files / "v2")]) == 0

    text = capsys.readouterr().out
    assert "variant v2" in text
    assert "without" not in text


def test_the_stream_has_it_frame_by_frame(variant_pipeline, picture, video):
    animation = variant_pipeline("full").stream(picture, video, AnimationSettings(t=0.5, diagnose=True))

    record = next(animation.frames).record()

    assert record["selection"]["t"] == 0.5
    assert set(record["diagnosis"]) == {"displacement", "remaining", "visibility", "fold_over", "cycle_error"}
