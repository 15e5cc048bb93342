"""The pipeline as a user calls it, with real networks at toy size."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from subcases import each_case

from motion_core import AnimationSettings, InputError, Keypoints, MotionInterpPipeline, OneEuro, demo, media

SIZE = 128
RESNETS = replace(demo.SMALL, architecture="resnet18")  # which are also computed by packed convolutions


@pytest.fixture(scope="module")
def pipe():
    pipeline = demo.random_pipeline(RESNETS, image_size=SIZE)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2 + 1e-12)


@pytest.fixture(scope="module")
def published(golden_networks):
    """The pipeline of the golden case."""
    pipeline = MotionInterpPipeline(**vars(golden_networks), image_size=SIZE)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@each_case(
    ("run", "options"),
    [
        ("standard", {"mode": "standard"}),
        ("relative", {"mode": "relative"}),
        ("avd", {"mode": "avd"}),
        ("standard_bg", {"mode": "standard", "background": "predicted"}),
        ("t0.5", {"mode": "standard", "strength": 0.5}),
    ],
)
def test_frames_equal_the_published_predictions(published, golden, run, options):
    arrays = golden.arrays
    kept = []

    def keep(_pipe, _step, _index, tensors):
        kept.append(tensors["frames"])

    result = published(arrays["source"], arrays["driving"], callback_on_step_end=keep, **options)

    expected = torch.from_numpy(arrays[f"{run}/prediction"])
    difference = (kept[1].cpu() - expected).abs()  # frame 0 is the clip's initial frame, frame 1 the driving frame
    assert difference.max() < 1e-3
    assert difference.mean() < 2e-5
    np.testing.assert_array_equal(result.frames[1], media.to_uint8(kept[1])[0])


def test_result_has_frames_keypoints_and_rate(pipe, picture, video):
    result = pipe(source_image=picture, driving_video=video, mode="relative", frame_rate=12.5)

    assert result.frames.shape == (5, SIZE, SIZE, 3)
    assert result.frames.dtype == np.uint8
    assert result.keypoints.shape == (5, 5, 5, 2)
    assert result.frame_rate == Fraction(25, 2)
    assert not result.interrupted


def test_source_is_encoded_once_and_each_frame_analysed_once(pipe, picture, video, monkeypatch):
    calls = {"encode": 0, "keypoints": 0, "motion": 0, "image": 0}

    def count(module, name, key):
        original = getattr(module, name)

        def counted(*args, **kwargs):
            calls[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    monkeypatch.setattr(pipe, "backend", "eager")
    count(pipe.image_generator, "encode", "encode")
    count(pipe.keypoint_detector, "forward", "keypoints")
    count(pipe.dense_motion_network, "forward", "motion")
    count(pipe.image_generator, "paint", "image")
    pipe(picture, video, initial_frame="best")

    assert calls == {"encode": 1, "keypoints": 1 + len(video), "motion": len(video), "image": len(video)}


@each_case(
    ("shape", "options", "expected"),
    [
        ((90, 150), {"fit": "pad"}, (76, 128)),  # even sides
        ((200, 100), {"fit": "pad"}, (128, 64)),
        ((90, 150), {"fit": "crop"}, (128, 128)),
        ((90, 150), {"fit": "stretch"}, (128, 128)),
        ((128, 128), {"fit": "stretch", "size": (128, 256)}, (128, 256)),
    ],
)
def test_a_padded_picture_keeps_its_aspect_and_another_fills_the_networks_image(pipe, video, shape, options, expected):
    assert pipe(np.zeros((*shape, 3), np.uint8), video[:2], **options).frames.shape[1:3] == expected


def test_source_tensor_keeps_its_precision(pipe, picture, video):
    exact = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
    kept = []

    def keep(_pipe, _step, _index, tensors):
        kept.append(tensors["frames"])

    pipe(exact, video[:2], callback_on_step_end=keep)
    pipe(exact * 0.9995, video[:2], callback_on_step_end=keep)  # less than a step of 8 bits

    assert not torch.equal(kept[0], kept[2])


def test_batches_change_nothing(pipe, picture, video):
    one = pipe(picture, video, batch_size=1)
    three = pipe(picture, video, batch_size=3)

    np.testing.assert_allclose(one.keypoints, three.keypoints, atol=1e-5)
    assert np.abs(one.frames.astype(int) - three.frames).max() <= 1


def test_same_call_gives_same_frames(pipe, picture, video):
    np.testing.assert_array_equal(pipe(picture, video).frames, pipe(picture, video).frames)


def test_strength_zero_stands_still(pipe, picture, video):
    frames = pipe(picture, video, strength=0).frames

    np.testing.assert_array_equal(frames, np.broadcast_to(frames[:1], frames.shape))
    assert not np.array_equal(*pipe(picture, video, strength=1).frames[[0, 2]])


@torch.no_grad()
def detected(pipe, picture):
    return pipe.keypoint_detector(media.to_float(picture[None])).points[0]


def test_relative_motion_starts_at_the_source(pipe, picture, video):
    source = detected(pipe, picture)

    for initial in (0, 3):
        keypoints = pipe(picture, video, initial_frame=initial).keypoints
        np.testing.assert_allclose(keypoints[initial], source, atol=1e-6)


def test_automatic_is_relative_but_for_keypoints_that_are_limbs(pipe, picture, video, monkeypatch):
    def keypoints(mode, **settings):
        return pipe(picture, video[:3], mode=mode, **settings).keypoints

    automatic, relative = keypoints("auto"), keypoints("relative")
    np.testing.assert_array_equal(automatic, relative)
    assert pipe.interpolate(picture, video[0], num=2, settings=AnimationSettings()).keypoints[1] == pytest.approx(
        pipe.interpolate(picture, video[0], num=2).keypoints[1]
    )
    count = pipe.keypoint_detector.num_splines
    monkeypatch.setattr(pipe, "backend", "eager")
    monkeypatch.setattr(pipe.keypoint_detector, "parents", [-1] + [0] * (count - 1))
    np.testing.assert_array_equal(keypoints("auto"), keypoints("pose"))
    assert np.abs(keypoints("relative") - relative).max() > 1e-3, "limbs turn"
    assert np.abs(keypoints("pose") - keypoints("relative")).max() > 1e-3
    assert np.abs(keypoints("pose", initial_frame=2) - keypoints("pose")).max() > 1e-4, "another frame's size and place"


def test_best_initial_frame_is_the_one_in_the_sources_pose(pipe, video):
    result = pipe(video[3], video, initial_frame="best")
    source = detected(pipe, video[3])

    np.testing.assert_allclose(result.keypoints[3], source, atol=1e-6)


def test_smoothing_calms_a_trembling_video(pipe, picture):
    still = demo.draw_figure(SIZE, 0, (60, 110, 170), (235, 225, 200)).astype(float)
    noise = np.random.default_rng(0).normal(0, 20, (12, *still.shape))
    video = (still + noise).clip(0, 255).astype(np.uint8)

    plain = pipe(picture, video, mode="standard").keypoints
    smooth = pipe(picture, video, mode="standard", smoothing=OneEuro(min_cutoff=0.5, beta=0)).keypoints

    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.3 * np.abs(np.diff(plain, axis=0)).mean()


def test_stream_computes_frames_as_they_are_asked_for(pipe, picture, video, monkeypatch):
    made = []
    paint = pipe.image_generator.paint
    monkeypatch.setattr(pipe, "backend", "eager")
    monkeypatch.setattr(pipe.image_generator, "paint", lambda view: made.append(1) or paint(view))
    animation = pipe.stream(picture, video)

    assert made == []
    next(animation.frames)
    assert len(made) == 1


def test_skipped_frames_do_not_change_the_others(pipe, picture, video):
    settings = AnimationSettings(mode="relative", smoothing=OneEuro(), batch_size=2)

    whole, rest = (list(pipe.stream(picture, video, settings, skip_frames=skip)) for skip in (0, 3))

    assert len(rest) == 2
    for ours, theirs in zip(rest, whole[3:], strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)


def test_cropped_part_is_what_is_animated(pipe, picture, video):
    box = (20, 10, 96, 96)

    cropped = pipe(picture, video, crop=box)

    np.testing.assert_array_equal(cropped.frames, pipe(picture[20:116, 10:106], video).frames)


def test_pasted_back_the_video_has_the_pictures_size_and_surroundings(pipe, video):
    picture = demo.source_picture(300)
    box = (60, 40, 160, 150)

    result = pipe(picture, video, crop=box, paste_back=True)

    assert result.frames.shape == (5, 300, 300, 3)
    outside = np.ones((300, 300), bool)
    outside[60:220, 40:190] = False
    np.testing.assert_array_equal(result.frames[:, outside], np.broadcast_to(picture[outside], (5, outside.sum(), 3)))
    middle = (slice(None), slice(110, 170), slice(90, 140))
    assert np.abs(result.frames[middle].astype(int) - picture[middle[1:]]).max() > 0


def test_subject_is_found_by_the_models_keypoints(pipe, video, monkeypatch):
    picture = np.zeros((128, 256, 3), np.uint8)  # in the networks' image: rows 32 to 96
    points = torch.tensor([[-0.5, -0.1], [-0.3, 0.1]]).repeat(13, 1)[:25].reshape(1, 5, 5, 2)
    monkeypatch.setattr(pipe, "backend", "eager")
    monkeypatch.setattr(pipe.keypoint_detector, "forward", lambda image: Keypoints(points))

    placement = pipe.place(pipe.read_picture(picture, AnimationSettings()), AnimationSettings(crop="subject"))

    top, left, height, width = placement.crop
    assert height == width
    # x from -0.5 to -0.3 of 256 columns is 64 to 89; y from -0.1 to 0.1 of 256 rows is 115 to 140, less 64 of padding
    assert (top + height / 2, left + width / 2) == pytest.approx((64, 77), abs=1.5)
    assert 26 < width < 60


def test_preview_dims_what_is_not_used(pipe):
    picture = np.full((128, 300, 3), 200, np.uint8)

    shown = pipe.preview(picture, AnimationSettings(fit="crop"))

    assert shown.shape == picture.shape
    assert shown[64, 150].tolist() == [200, 200, 200]
    assert shown[64, 10].max() < 100


def test_callback_sees_and_may_change_the_frames(pipe, picture, video):
    seen = []

    def darken(_pipe, step, index, tensors):
        seen.append((step, index, tuple(tensors["frames"].shape)))
        return {"frames": torch.zeros_like(tensors["frames"])}

    result = pipe(picture, video, batch_size=2, callback_on_step_end=darken)

    assert seen == [(0, 0, (2, 3, SIZE, SIZE)), (1, 2, (2, 3, SIZE, SIZE)), (2, 4, (1, 3, SIZE, SIZE))]
    assert result.frames.max() == 0


def test_interruption_keeps_the_frames_made_so_far(pipe, picture, video):
    def stop(pipeline, step, _index, _tensors):
        pipeline.interrupt = step == 1

    result = pipe(picture, video, callback_on_step_end=stop)

    assert len(result.frames) == 2
    assert result.interrupted
    assert not pipe(picture, video).interrupted


def test_bfloat16_frames_are_close_to_fp32(pipe, picture, video):
    fast = demo.random_pipeline(RESNETS, image_size=SIZE)
    fast.set_progress_bar_config(disable=True)
    fast.to(torch.bfloat16)

    assert fast.image_generator.dtype == fast.dense_motion_network.dtype == torch.bfloat16
    assert fast.keypoint_detector.dtype == torch.float32
    reference, result = pipe(picture, video), fast(picture, video)
    np.testing.assert_array_equal(result.keypoints, reference.keypoints)
    assert psnr(result.frames, reference.frames) > 45


def test_saved_video_has_the_frames(pipe, picture, video, tmp_path):
    result = pipe(picture, video, frame_rate=10)
    result.save(tmp_path / "out.mp4")
    result.save(f"{tmp_path}/frames/")

    saved = media.open_video(tmp_path / "out.mp4")
    assert saved.frame_rate == 10
    assert psnr(np.stack(list(saved)), result.frames) > 20
    np.testing.assert_array_equal(np.stack(list(media.open_video(tmp_path / "frames"))), result.frames)


def test_wrong_settings_are_refused_before_any_work(pipe):
    with pytest.raises(InputError, match="mode must be one of auto, relative, pose, standard, avd, got 'absolute'"):
        pipe("no picture", "no video", mode="absolute")


def test_parts_that_a_model_lacks_are_refused(pipe, picture, video):
    bare = MotionInterpPipeline(
        pipe.keypoint_detector, pipe.dense_motion_network, pipe.image_generator, image_size=SIZE
    )

    with pytest.raises(InputError, match="mode 'avd' needs a model with an AVD network"):
        bare(picture, video, mode="avd")
    with pytest.raises(InputError, match="background 'predicted' needs a model with a background predictor"):
        bare(picture, video, background="predicted")


def test_unknown_settings_are_refused(pipe, picture, video):
    with pytest.raises(TypeError, match="stregth"):
        pipe(picture, video, stregth=0.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_case("dtype", [torch.float32, torch.bfloat16])
def test_cuda_frames_are_close_to_those_of_the_cpu(pipe, picture, video, dtype):
    fast = demo.random_pipeline(RESNETS, image_size=SIZE)
    fast.set_progress_bar_config(disable=True)
    fast.to("cuda", dtype)

    assert psnr(fast(picture, video, batch_size=4).frames, pipe(picture, video).frames) > 40


def test_interpolated_images_equal_the_published_prediction_at_half_time(published, golden):
    arrays = golden.arrays

    result = published.interpolate(arrays["source"], arrays["driving"][1], [0.5])

    expected = media.to_uint8(torch.from_numpy(arrays["t0.5/prediction"]))
    assert np.abs(result.images.astype(int) - expected).max() <= 1


def test_interpolation_at_a_time_does_not_depend_on_the_others(pipe, picture, video):
    together = pipe.interpolate(picture, video[2], [0.7, 0.0, 0.7, 1.0])

    assert together.times.tolist() == pytest.approx([0.7, 0.0, 0.7, 1.0])
    np.testing.assert_array_equal(together.images[0], together.images[2])
    for index, t in enumerate((0.7, 0.0)):
        np.testing.assert_array_equal(together.images[index], pipe.interpolate(picture, video[2], [t]).images[0])


def test_interpolation_runs_from_the_reconstruction_to_the_driving_pose(pipe, picture, video):
    result = pipe.interpolate(picture, video[2], num=3)

    ends = [pipe(picture, np.stack([frame] * 2), mode="standard").frames[0] for frame in (picture, video[2])]
    assert np.abs(result.images[[0, -1]].astype(int) - ends).max() <= 1
    np.testing.assert_array_equal(result.times, [0, 0.5, 1])
    assert result.fold_over.shape == (3,)


def test_interpolation_in_batches_gives_the_same_images(pipe, picture, video):
    options = [AnimationSettings(mode="standard", background="predicted", batch_size=size) for size in (1, 4)]

    one, four = (pipe.interpolate(picture, video[2], num=5, settings=chosen).images for chosen in options)

    assert np.abs(one.astype(int) - four).max() <= 1


def test_interpolated_background_moves_with_t(published, golden):
    arrays = golden.arrays
    settings = AnimationSettings(mode="standard", background="predicted")

    moved = published.interpolate(arrays["source"], arrays["driving"][1], [0.0, 1.0], settings=settings).images
    still = published.interpolate(arrays["source"], arrays["driving"][1], [0.0, 1.0]).images

    np.testing.assert_array_equal(moved[0], still[0])
    expected = media.to_uint8(torch.from_numpy(arrays["standard_bg/prediction"]))[0]
    assert np.abs(moved[1].astype(int) - expected).max() <= 1


def test_wrong_requests_for_interpolation_are_refused(pipe, picture):
    for wrong, message in [
        ({}, "give either times or num"),
        ({"times": [0.5], "num": 3}, "give either times or num"),
        ({"num": 1}, "num must be 2 or more"),
        ({"times": [1.5]}, r"times must be one or more numbers in \[0, 1\], got \[1.5\]"),
        ({"num": 3, "path": "round"}, "path must be one of linear, rigid"),
        ({"num": 3, "settings": AnimationSettings(mode="relative")}, "mode 'relative' needs a video"),
    ]:
        with pytest.raises(InputError, match=message):
            pipe.interpolate(picture, picture, **wrong)
