"""The app's work without Gradio: what is taken and refused, what comes out, and that nothing stays behind."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw
from published import write_checkpoint
from space_files import (
    DRIVING,
    LITTLE_PICTURE,
    OTHER_LITTLE_PICTURE,
    PICTURE,
    SILENT,
    bad_pictures,
    bad_videos,
)
from subcases import each_case
from toy_people import remembering

from motion_core import AnimationSettings, InputError, MotionInterpPipeline, media
from space import compute
from space.choices import OF_SHIPPED, Choices, pixels_of
from space.limits import Limits
from space.models import Model, Models, as_variant
from space.reading import open_driving, read_picture, smaller
from space.runs import Runs, Stop, temporary_folder
from space.service import Service
from space.showcase import EXAMPLES

SHORT = Choices(longest=0.12)  # 3 frames


@pytest.fixture
def service(tmp_path, variant_pipeline):
    models = Models(Limits(), lambda: (variant_pipeline("v2"), "a notice"))
    made = Service(tmp_path / "work", Limits(), models)
    yield made
    made.close()


def last(updates):
    *_, update = updates
    return update


def says_synthetic(path: Path) -> bool:
    with av.open(str(path)) as container:
        return container.metadata.get("comment", "").startswith("Synthetic")


def left_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*")) if folder.exists() else []


# What is taken


@each_case("case", ["text as a picture", "100 megapixels", "an animated GIF", "HEIC", "a picture that is cut off"])
def test_a_file_that_is_no_picture_is_refused_with_a_sentence(tmp_path, case):
    path, words = bad_pictures(tmp_path)[case]
    with pytest.raises(InputError, match=words):
        read_picture(str(path), Limits())


@each_case("case", ["text as mp4", "no frames", "a video that is cut off"])
def test_a_file_that_is_no_video_is_refused_with_a_sentence(tmp_path, case):
    path, words = bad_videos(tmp_path)[case]
    with pytest.raises(InputError, match=words):
        open_driving(str(path), Choices(), Limits())


def test_missing_and_too_large_files_are_refused_with_a_sentence():
    with pytest.raises(InputError, match="the picture is missing"):
        read_picture(None, Limits())
    with pytest.raises(InputError, match="not there any more"):
        read_picture("/nowhere/at-all.png", Limits())
    with pytest.raises(InputError, match="may have at most 0 MB"):
        read_picture(LITTLE_PICTURE, Limits(picture_megabytes=0))


def test_a_driving_video_keeps_to_the_limits():
    assert open_driving(DRIVING, Choices(), Limits()).frame_count == 50
    part = open_driving(DRIVING, Choices(start=0.4, end=1.2), Limits())
    assert (float(part.start), part.frame_count) == (0.4, 20)
    assert open_driving(DRIVING, Choices(start=0.4, longest=1), Limits()).frame_count == 25
    assert open_driving(DRIVING, Choices(longest=60), Limits(seconds=1)).frame_count == 25
    for limits, choices, words in (
        (Limits(video_seconds=1), Choices(), "at most 1 s are taken"),
        (Limits(frames=10), Choices(), "50 frames would be made, at most 10"),
        (Limits(video_pixels=100), Choices(), "at most 100 pixels"),
        (Limits(), Choices(longest=0), "above 0 seconds"),
        (Limits(), Choices(start=9), "start must be within"),
        (Limits(), Choices(end=-1), "end must be a second"),
    ):
        with pytest.raises(InputError, match=words):
            open_driving(DRIVING, choices, limits)


def test_a_strip_is_refused_at_once(tmp_path):
    Image.new("RGB", (2000, 20)).save(tmp_path / "strip.png")
    with pytest.raises(InputError, match="one side may be at most 6 times the other"):
        read_picture(str(tmp_path / "strip.png"), Limits())


def test_a_large_picture_is_made_smaller_and_keeps_its_aspect():
    pixels = np.zeros((300, 1200, 3), np.uint8)
    assert smaller(pixels, 400).shape == (100, 400, 3)
    assert smaller(pixels, 1200) is pixels


def test_choices_become_the_library_s_settings():
    settings = Choices(best_frame=True, smooth=True, selector="fixed", t=0.25, crop="subject", end=3).settings()
    assert (settings.initial_frame, settings.t, settings.strategy, settings.crop, settings.end) == (
        "best",
        0.25,
        None,
        "subject",
        3,
    )
    assert settings.smoothing is not None
    assert Choices(scene="picture", behind="beach.jpg").settings().scene == "beach.jpg"
    assert Choices(selector="none").settings().strategy == "none"
    for wrong in (
        {"selector": "random"},
        {"crop": "half"},
        {"mode": "slow"},
        {"strength": -1},
        {"strength": 1e41},
        {"scene": "moon"},
        {"scene": "picture"},
        {"selector": "fixed", "t": 2},
    ):
        with pytest.raises(InputError):
            Choices(**wrong).settings()


# Animate


def test_an_animation_has_all_that_is_shown_and_leaves_no_file(service, tmp_path):
    updates = []
    for update in service.animate(PICTURE, DRIVING, SHORT, Stop()):
        updates.append(update)
        if update.result is None:
            continue
        result = update.result
        about = media.open_video(result.video)
        assert (about.frame_count, about.has_audio, about.size) == (3, True, (448, 448))  # the picture's
        assert (result.video.name, result.about) == (
            "green-sweater-dancing.mp4",
            "448 x 448 pixels, 25 frames a second",
        )
        both = media.open_video(result.comparison)
        assert (both.frame_count, both.has_audio) == (3, True)
        assert both.size[1] > 2.5 * both.size[0] * 0.8  # three beside each other, under captions
        assert says_synthetic(result.video)
        assert says_synthetic(result.comparison)
        records = json.loads(result.records.read_text())
        assert [record["frame"] for record in records] == list(range(3))
        assert set(records[0]) == {"frame", "t", "displacement", "remaining"}
        assert [text.split(",")[0] for _, text in result.used][:2] == ["The picture", "The interpolated image"]
        assert all(media.load_image(path).shape == (448, 448, 3) for path, _ in result.used)
        assert result.sentences
    assert updates[0].total == 3
    assert [update.done for update in updates] == sorted(update.done for update in updates)
    assert any(update.frame is not None for update in updates)
    assert update.result is not None
    assert left_in(tmp_path / "work") == []


def test_the_frames_are_those_of_the_library(service, tmp_path):
    choices = replace(SHORT, selector="fixed", t=0.5, paste_back=False)
    for update in service.animate(LITTLE_PICTURE, DRIVING, choices, Stop()):
        if update.result is not None:
            made = np.stack(list(media.open_video(update.result.video)))
    expected = tmp_path / "expected.mp4"
    service.model().pipeline(LITTLE_PICTURE, DRIVING, t=0.5, end=0.12).save(expected)
    assert np.array_equal(made, np.stack(list(media.open_video(expected))))


def test_the_frame_of_the_largest_displacement_is_explained(service):
    choices = replace(SHORT, selector="fixed", t=0.5, mode="standard", longest=0.08, paste_back=False)
    update = last(service.animate(LITTLE_PICTURE, SILENT, choices, Stop()))
    displacements = [moment.displacement for moment in update.result.moments]
    pipeline = service.model().pipeline
    frames = pipeline(LITTLE_PICTURE, SILENT, mode="standard", t=0.5, end=0.08, diagnose=True)
    assert displacements == pytest.approx([each.displacement for each in frames.diagnoses], rel=1e-4)
    index = int(np.argmax(displacements))
    why = compute.explain(
        service._chosen("shipped"), media.load_image(LITTLE_PICTURE), [], AnimationSettings(mode="standard"),
        frames.animation.placement, frames.keypoints, [0.5, 0.5],
    )  # fmt: skip
    (_, between, result, origins), texts = zip(*why.pictures, strict=True)
    assert np.abs(result.astype(int) - frames.frames[index]).max() <= 2
    driving = next(iter(media.open_video(SILENT)))  # the key frame of both
    assert np.abs(between.astype(int) - pipeline.interpolate(LITTLE_PICTURE, driving, [0.5]).images[0]).max() <= 2
    assert origins.shape == result.shape
    assert texts[1].endswith(": used")
    assert sum(why.shares.values()) == pytest.approx(1, abs=0.02)
    assert why.difference > 0


def test_where_the_picture_itself_is_animated_a_frame_is_explained_all_the_same(service):
    update = last(service.animate(LITTLE_PICTURE, SILENT, replace(SHORT, selector="none", longest=0.08), Stop()))
    assert update.result.sentences[0].startswith("Made straight from the picture, without an interpolated image")
    assert update.result.used[1][1] == "The interpolated image, t = 0.50: tried, not used"


def test_inputs_are_looked_at_before_a_run(tmp_path, variant_pipeline, service):
    seen = service.check(LITTLE_PICTURE, DRIVING, SHORT)
    assert seen.works
    assert seen.limbs == (None, None)  # a model that does not look for people
    assert seen.sentences[0].startswith("The video: 2.0 s, 256 x 256 pixels, with sound")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(Path(DRIVING).read_bytes()[:9000])
    seen = service.check(LITTLE_PICTURE, str(cut), SHORT)
    assert not seen.works
    assert "cut.mp4" in seen.sentences[-1]
    assert service.check(LITTLE_PICTURE, None, SHORT).driving is None


def test_a_bust_a_dog_and_a_black_video_are_refused_before_a_run(tmp_path):
    """By the model that ships; `tests/test_people.py` has more busts."""
    bust = Image.open(EXAMPLES / "black-top.png").crop((215, 10, 335, 130)).resize((320, 320))
    dog = Image.new("RGB", (320, 320), "olivedrab")
    draw = ImageDraw.Draw(dog)
    for ellipse in ((90, 130, 240, 210), (50, 90, 120, 160), (30, 120, 80, 150)):  # trunk, head, snout
        draw.ellipse(ellipse, fill="saddlebrown")
    for left in (105, 130, 195, 220):
        draw.rectangle((left, 190, left + 14, 270), fill="saddlebrown")
    with media.VideoWriter(tmp_path / "black.mp4", 25) as writer:
        for _ in range(2):
            writer.write(np.zeros((128, 128, 3), np.uint8))
    shipped = MotionInterpPipeline.from_pretrained()
    remembering(shipped.keypoint_detector)
    service = Service(tmp_path / "work", Limits(), Models(Limits(), lambda: (shipped, "")))
    for name, picture in (("bust", bust), ("dog", dog)):
        picture.save(tmp_path / f"{name}.png")
        seen = service.check(str(tmp_path / f"{name}.png"), None, SHORT)
        assert not seen.works, name
        assert "must show a person" in seen.sentences[-1]
    seen = service.check(PICTURE, str(tmp_path / "black.mp4"), SHORT)
    assert not seen.works
    assert (seen.limbs[0] is None, seen.limbs[1] is None) == (False, True)
    assert "none of 2 frames" in seen.sentences[-1]


def test_parts_of_picture_and_video_are_used(service):
    choices = replace(SHORT, picture_box=(0, 0, 0.5, 1), driving_box=(0.25, 0, 0.75, 0.5))
    update = last(service.animate(LITTLE_PICTURE, DRIVING, choices, Stop()))
    assert update.rendered.size == (56, 112)
    assert update.rendered.driving.size == (192, 128)
    assert pixels_of((0.99, 0, 0.001, 1), (100, 10)) == (84, 0, 16, 10)
    assert service._placed(replace(choices, subject=(0.5, 0.25)), media.load_image(LITTLE_PICTURE)).subject == (
        55.5,
        27.75,
    )


def test_a_run_does_not_mind_that_its_file_is_uploaded_again(service, tmp_path):
    """Gradio keeps equal files of all visitors at one path, and writes it anew with each upload."""
    driving = tmp_path / "shared.mp4"
    driving.write_bytes(Path(DRIVING).read_bytes())
    finished = []
    for update in service.animate(LITTLE_PICTURE, str(driving), SHORT, Stop()):
        driving.write_bytes(Path(DRIVING).read_bytes())
        finished.append(update.result is not None)
    assert finished[-1]


def test_without_sound_where_there_is_none_or_it_is_not_wanted(service):
    for driving, choices in ((SILENT, SHORT), (DRIVING, replace(SHORT, keep_audio=False))):
        for update in service.animate(LITTLE_PICTURE, driving, choices, Stop()):
            if update.result is not None:
                assert not media.open_video(update.result.video).has_audio


def test_a_stop_ends_the_run_and_keeps_what_is_made(service, tmp_path):
    stop = Stop()
    updates = []
    for update in service.animate(LITTLE_PICTURE, DRIVING, Choices(), stop):
        updates.append(update)
        if update.frame is not None:
            stop()
        if update.result is not None:
            assert media.open_video(update.result.video).frame_count == update.done
    assert updates[-1].stopped
    assert 1 <= updates[-1].done < 10
    assert left_in(tmp_path / "work") == []


def test_a_run_that_is_stopped_before_its_turn_makes_nothing(service, tmp_path):
    stop = Stop()
    stop()
    (update,) = service.animate(LITTLE_PICTURE, DRIVING, SHORT, stop)
    assert (update.stopped, update.done, update.result) == (True, 0, None)


def test_a_visitor_who_leaves_in_the_middle_leaves_no_file(service, tmp_path):
    run = service.animate(LITTLE_PICTURE, DRIVING, Choices(), Stop())
    assert next(run).done == 0
    assert next(run).done == 1
    assert left_in(tmp_path / "work")
    run.close()
    assert left_in(tmp_path / "work") == []


def test_a_failing_job_does_not_hurt_the_next(service, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(Path(DRIVING).read_bytes()[:9000])
    with pytest.raises(InputError):
        last(service.animate(LITTLE_PICTURE, str(cut), SHORT, Stop()))
    with pytest.raises(InputError, match="variant must be one of"):
        last(service.animate(LITTLE_PICTURE, DRIVING, replace(SHORT, variant="nonsense"), Stop()))
    assert last(service.animate(LITTLE_PICTURE, DRIVING, SHORT, Stop())).result is not None
    assert left_in(tmp_path / "work") == []


# The rest


def test_preview_and_description(service):
    pixels, words = service.preview(LITTLE_PICTURE, Choices(fit="crop"))
    assert pixels.shape == (112, 112, 3)
    assert words == "all of the 112 x 112 picture, as 128 x 128"
    assert service.preview(LITTLE_PICTURE, Choices(crop="subject"))[0].shape == (112, 112, 3)
    text = service.describe(DRIVING, Choices(longest=1))
    assert text == "2.0 s, 256 x 256 pixels, with sound; 1.0 s of it is used: 25 frames."
    assert "all of it is used: 50 frames" in service.describe(SILENT, Choices())


def test_interpolated_images_are_those_of_the_library(service):
    times = [0.0, 0.37, 1.0]
    views = service.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, times)
    expected = service.model().pipeline.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, times)
    for index, view in enumerate(views):
        assert np.abs(view.image.astype(int) - expected.images[index]).max() <= 1
        assert np.allclose(view.keypoints, expected.keypoints[index], atol=1e-5)  # a square picture has no padding
        for drawn in (view.deformation, view.contributions, view.occlusion):
            assert drawn.shape == view.image.shape
    with pytest.raises(InputError, match="at most 24 images"):
        service.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, [0.5] * 25)
    with pytest.raises(InputError, match="times must be"):
        service.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, [1.5])
    with pytest.raises(InputError, match="needs a video"):
        service.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, [0.5], mode="relative")


def test_exports(service, tmp_path):
    views = service.interpolate(LITTLE_PICTURE, OTHER_LITTLE_PICTURE, [0, 0.5, 1])
    for kind in ("GIF", "MP4"):
        assert media.open_video(service.export(views, kind, tmp_path)).frame_count == 3
    assert says_synthetic(tmp_path / "interpolated.mp4")
    with zipfile.ZipFile(service.export(views, "PNG", tmp_path)) as archive:
        assert len(archive.namelist()) == 3
    with pytest.raises(InputError, match="format must be one of"):
        service.export(views, "AVI", tmp_path)


@each_case(
    ("variant", "second"),
    [("v2", "With a helper picture, where it helps"), ("tpsmm", "With a helper picture, t = 0.50")],
)
def test_compare_shows_the_backbone_beside_the_method(tmp_path, variant_pipeline, variant, second):
    service = Service(tmp_path / "work", Limits(), Models(Limits(), lambda: (variant_pipeline(variant), "")))
    done = []
    for update, videos, both in service.compare(LITTLE_PICTURE, DRIVING, SHORT, Stop()):
        done.append((update.video, update.done))
        if both is not None:
            assert [name for _, name in videos] == ["Straight from the picture", second]
            if variant == "tpsmm":  # the other one's selector may find that no hop is best
                plain, hop = (np.stack(list(media.open_video(path))).astype(int) for path, _ in videos)
                assert np.abs(plain - hop).mean() > 0.5
            assert media.open_video(both).frame_count == 3
            assert says_synthetic(both)
    assert done == sorted(done)
    assert (done[-1], update.total, update.videos) == ((2, 3), 3, 2)
    assert left_in(tmp_path / "work") == []


def test_a_video_becomes_a_gif_and_a_gif_a_video(service, tmp_path):
    gif = service.converted(SILENT, tmp_path, ".gif")
    video = service.converted(str(gif), tmp_path, ".mp4")
    assert media.open_video(gif).frame_count == media.open_video(video).frame_count == 50


# Models


def test_only_what_a_model_has_is_offered(variant_pipeline):
    whole = Model("", "", variant_pipeline("v2")).offered()
    assert ("avd" in whole.modes, whole.variants[-1], whole.scenes, whole.photos) == (True, "v2", ("source",), True)
    assert whole.selectors[0] == "automatic"
    plain = Model("", "", variant_pipeline("tpsmm")).offered()
    assert (plain.variants, plain.photos, plain.selectors) == (("as trained", "tpsmm"), False, ("none", "fixed"))
    assert Model("", "", MotionInterpPipeline.from_pretrained()).offered() == OF_SHIPPED  # with which the page begins


def test_variants_share_the_weights_and_say_what_is_missing(variant_pipeline):
    full = variant_pipeline("v2")
    plain = as_variant(full, "tpsmm")
    assert plain.config["variant"] == "tpsmm"
    assert plain.image_generator is full.image_generator
    assert as_variant(full, "full").view_fusion is None
    assert as_variant(full, "v2") is full
    for wanted, words in (("full", "needs a model with a selector"), ("v2", "needs a model"), ("x", "must be one of")):
        with pytest.raises(InputError, match=words):
            as_variant(plain, wanted)


def test_a_checkpoint_and_a_folder_become_models(tmp_path, golden, variant_pipeline):
    models = Models(Limits(), lambda: (variant_pipeline("v2"), ""), backend="int8")
    file = write_checkpoint(tmp_path / "tiny.pth.tar", golden.required())
    converted = models.load("checkpoint", checkpoint=str(file), size=128)
    assert converted.title == "tiny.pth.tar, converted"
    assert converted.pipeline.backend == "int8"
    assert "variant tpsmm" in converted.describe()
    assert models.load("checkpoint", checkpoint=str(file), size=128) is converted
    variant_pipeline("v2").save_pretrained(tmp_path / "saved")
    saved = models.load("folder", str(tmp_path / "saved")).pipeline
    assert saved.config["variant"] == "v2"
    assert as_variant(saved, "tpsmm").backend == "int8"
    assert models.load("shipped").key == "shipped"


def test_a_model_of_the_hub_is_fetched_by_its_name(tmp_path, variant_pipeline, monkeypatch):
    """`tests/test_hub.py` has the fetching itself."""
    variant_pipeline("full").save_pretrained(tmp_path / "fetched")
    asked = []
    monkeypatch.setattr("space.models.fetch", lambda name, options: asked.append(name) or tmp_path / "fetched")
    models = Models(Limits(), lambda: (variant_pipeline("v2"), ""))
    model = models.load("hub", " someone/model ")
    assert (asked, model.title, model.pipeline.config["variant"]) == (["someone/model"], "someone/model", "full")


def test_what_is_no_model_is_refused_with_a_sentence(tmp_path, variant_pipeline):
    models = Models(Limits(), lambda: (variant_pipeline("v2"), ""))
    for kind, given, words in (
        ("folder", {"name": "/nowhere"}, "no such folder"),
        ("folder", {"name": str(tmp_path)}, "not a saved pipeline"),
        ("folder", {"name": " "}, "name is missing"),
        ("hub", {"name": "../../etc"}, "not a Hub id"),
        ("hub", {"name": "/etc"}, "not a Hub id"),
        ("checkpoint", {"checkpoint": LITTLE_PICTURE}, "not a checkpoint"),
        ("checkpoint", {}, "the checkpoint is missing"),
        ("pickle", {}, "must be one of"),
    ):
        with pytest.raises(InputError, match=words):
            models.load(kind, **given)


def test_on_a_space_no_folder_can_be_loaded(tmp_path):
    limits = Limits.of({"SPACE_ID": "someone/app"})
    with pytest.raises(InputError, match="only where the app runs on your own computer"):
        Models(limits).load("folder", str(tmp_path))
    assert limits.seconds < Limits.of({}).seconds


def test_the_last_models_are_kept_and_the_shipped_one_always(tmp_path, golden, variant_pipeline):
    models = Models(Limits(models=2), lambda: (variant_pipeline("v2"), ""))
    models.get()
    file = str(write_checkpoint(tmp_path / "tiny.pth.tar", golden.required()))
    first, second = (models.load("checkpoint", checkpoint=file, size=size) for size in (128, 256))
    assert models.get(second.key) is second
    assert models.get().key == "shipped"
    with pytest.raises(InputError, match="not loaded any more"):
        models.get(first.key)


# Runs


def test_a_run_is_stopped_for_its_visitor_only():
    runs = Runs()
    with runs.take("anna") as annas, runs.take("ben") as bens:
        assert runs.stop("anna") == 1
        assert (annas.asked, bens.asked) == (True, False)
    assert len(runs) == 0
    assert runs.stop("anna") == 0


def test_a_run_can_be_stopped_while_it_waits_for_its_turn():
    runs = Runs()
    runs.announce("anna")
    runs.stop("anna")
    with runs.take("anna") as stop:
        assert stop.asked
    with runs.take("anna") as stop:
        assert not stop.asked


def test_who_leaves_stops_everything_and_is_forgotten():
    runs = Runs()
    runs.announce("anna")
    with runs.take("anna") as stop:
        runs.announce("anna")
        runs.leave("anna")
        assert stop.asked
        assert len(runs) == 1
    assert len(runs) == 0


def test_a_temporary_folder_goes_even_when_the_job_fails(tmp_path):
    def fail() -> None:
        with temporary_folder(tmp_path) as folder:
            (folder / "file").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert left_in(tmp_path) == []
