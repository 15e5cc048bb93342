"""Models of people as a user calls them: a real detector, a layout network and a painter of random weights at toy size."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from subcases import each_case
from torch import nn
from toy_people import remembering, toy_people, turned_round

from motion_core import (
    AnimationSettings,
    BackgroundPredictor,
    CameraAligner,
    InputError,
    MotionInterpPipeline,
    OptimalInterpolationSelector,
    ViewFusion,
    demo,
    media,
    people,
)
from motion_core.__main__ import main
from motion_core.components import fusion_widths
from motion_core.live import LivePicture
from motion_core.networks.layered.person_detector import BOTH_WAYS
from motion_core.people import Presence, driving_frames, find_person, follow, seek, survey_video
from motion_core.steady_poses import without_trembling
from motion_core.structures import DrivingMotion, Keypoints

EXAMPLES = Path(__file__).parents[1] / "space" / "examples"
GREY = np.full((128, 128, 3), 128, np.uint8)  # nobody, and small: a search takes time


@pytest.fixture(scope="module")
def pipe():
    """A pipeline of variant "v2"."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = toy_people()
        remembering(networks[0])
        predictor = BackgroundPredictor()
        nn.init.normal_(predictor.backbone.get_classifier().weight, std=0.02)
        made = MotionInterpPipeline(
            *networks,
            background_predictor=predictor.eval(),
            image_size=64,
            selector=OptimalInterpolationSelector(num_candidates=2, features=4).eval(),
            view_fusion=ViewFusion(**fusion_widths(networks[2])).eval(),
            variant="v2",
        )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    """That pipeline, saved."""
    saved = tmp_path_factory.mktemp("people") / "model"
    pipe.save_pretrained(saved)
    return saved


@pytest.fixture(scope="module")
def video():
    """Four frames of a driving video, ``(4, 256, 256, 3)`` uint8."""
    frames = media.open_video(EXAMPLES / "reaching.mp4").frames(13)
    return np.stack([next(frames) for _ in range(13)])[::4]


@pytest.fixture(scope="module")
def small_video(video):
    """The same, ``(4, 128, 128, 3)`` uint8."""
    return media.to_uint8(F.interpolate(media.to_float(video), (128, 128), mode="area"))


def person(name="green-sweater"):
    """A rendered person, ``(256, 256, 3)`` uint8."""
    return picture_on(256, 256, (media.load_image(EXAMPLES / f"{name}.png"), 0, 0, 256))


def picture_on(height, width, *placed):
    """A picture of bright noise with smaller ones on it, each given with its top, left and side."""
    canvas = np.random.default_rng(0).integers(180, 200, (height, width, 3), dtype=np.uint8)
    for picture, top, left, side in placed:
        small = F.interpolate(media.to_float(picture[None]), (side, side), mode="bicubic", antialias=True)
        canvas[top : top + side, left : left + side] = media.to_uint8(small)[0]
    return canvas


def in_pixels(keypoints, size):
    return (keypoints + 1) / 2 * (np.array(size[::-1]) - 1)


def poses(detector, frames, batch_size, frame_rate=25.0):
    presence = Presence()
    batches = driving_frames(frames, batch_size)
    motions = list(follow(detector, batches, frame_rate, lambda points, size: points, lambda *_: None, presence))
    return torch.cat([motion.keypoints.points for motion in motions]), presence


def test_frames_without_a_person_keep_the_last_pose_whatever_the_batches_are(pipe, small_video):
    frames = [GREY, small_video[0], GREY, small_video[3]]

    (one, presence), (three, _) = (poses(pipe.keypoint_detector, frames, size) for size in (1, 3))

    torch.testing.assert_close(one, three, atol=0, rtol=0)
    assert torch.equal(one[0], one[1]), "before the first person, its pose"
    assert torch.equal(one[1], one[2])
    assert not torch.equal(one[2], one[3])
    assert (presence.frames, presence.missing) == (4, 2)
    assert presence.describe() == ("nobody was found in 2 of 4 driving frames (50 %), where the last pose was kept")


def test_in_a_video_of_the_picture_alone_the_pose_is_the_pictures_and_does_not_tremble(pipe):
    picture, detector = person(), pipe.keypoint_detector
    image = media.to_float(picture[None])
    _, region = find_person(detector, image, "picture")
    own = detector.detect_agreed(image, torch.tensor([region]), silhouettes=False).keypoints.points
    assert not torch.equal(own, detector.detect(image, torch.tensor([region])).keypoints.points)
    made, _ = poses(detector, np.stack([picture] * 12), 1)
    torch.testing.assert_close(made[[0, -1]], own.expand(2, -1, -1, -1), atol=1e-4, rtol=0)
    (shown,) = without_trembling([DrivingMotion(Keypoints(made), None)], 25.0)
    assert (shown.keypoints.points - own).abs().max() < 0.02, "about 2 pixels of 256"
    assert shown.keypoints.points[3:-3].diff(dim=0).abs().max() < 0.002
    slow, _ = poses(detector, np.stack([picture] * 3), 1, frame_rate=10.0)
    both = detector.detect_agreed(image, torch.tensor([region]), False, BOTH_WAYS).keypoints.points
    torch.testing.assert_close(slow[1:2], both, atol=1e-4, rtol=0)


def test_sides_are_kept_in_a_video_and_live_until_nobody_is_seen(pipe, monkeypatch):
    picture, looks, detect = person("arms-up"), [], pipe.keypoint_detector.detect

    def turned(found):
        return replace(found, keypoints=Keypoints(turned_round(found.keypoints.points)))

    def seen(*arguments, **options):
        """The second and the last frame's sides are wrong."""
        looks.append(seek(*arguments, **options))
        return turned(looks[-1]) if len(looks) in (2, 5) else looks[-1]

    def detected(*arguments, mirrored=False, **options):
        """In a video the second frame is looked at mirrored; its sides are wrong."""
        looks.append(mirrored)
        found = detect(*arguments, mirrored=mirrored, **options)
        return turned(found) if mirrored else found

    with monkeypatch.context() as in_a_video:
        in_a_video.setattr(pipe.keypoint_detector, "detect", detected)
        in_video, _ = poses(pipe.keypoint_detector, [picture] * 3, 2)
    assert sum(looks) == 1
    torch.testing.assert_close(in_video[1], in_video[0], atol=0.03, rtol=0)
    looks.clear()
    monkeypatch.setattr("motion_core.live.seek", seen)
    frames = [picture] * 3 + [GREY, picture]
    with torch.inference_mode():
        live = LivePicture(pipe, picture, AnimationSettings(smoothing=None))
        first, second, third, lost, found = (live.look(frame).points for frame in frames)
    torch.testing.assert_close(second, first, atol=1e-4, rtol=0)
    assert torch.equal(lost, third)
    torch.testing.assert_close(found, turned_round(third), atol=0.05, rtol=0)


def test_a_video_of_nobody_is_refused_and_one_of_somebody_late_is_not(pipe, small_video):
    detector = pipe.keypoint_detector
    with pytest.raises(InputError, match=r"^video: must show a person with both shoulders .* none of 2 frames"):
        survey_video(detector, media.open_video([GREY] * 2), pipe.device)
    found = survey_video(detector, media.open_video([GREY, small_video[0]]), pipe.device)
    assert found.points.shape == (1, 11, 5, 2)


def test_who_is_lost_is_searched_all_over_a_frame_now_and_then_only(pipe, small_video, monkeypatch):
    detector, searched = pipe.keypoint_detector, []
    search = detector._search
    monkeypatch.setattr(detector, "_search", lambda *arguments: searched.append(1) or search(*arguments))
    monkeypatch.setattr(people, "SEARCH_EVERY", 3)
    found, presence = poses(detector, [small_video[0], *[GREY] * 4, small_video[1], GREY], 2)
    assert len(found) == 7
    assert presence.missing == 5
    assert len(searched) == 3, "in the first and the fourth of four frames, and in the last frame"


def test_large_driving_frames_are_reduced(video):
    wide = np.repeat(np.repeat(video[:1], 4, axis=1), 6, axis=2)  # (1, 1024, 1536, 3)
    (frames,) = driving_frames(wide, 2)
    assert frames.shape == (1, 3, 341, 512)
    assert (F.adaptive_avg_pool2d(frames, 8) - F.adaptive_avg_pool2d(media.to_float(wide), 8)).abs().max() < 0.01


@each_case(
    ("picture", "rest"),
    [
        (GREY, "nobody is found in it"),
        (person("black-top")[150:], "nobody is found in it"),
        (person("black-top")[:95, 100:220], "not all of these are"),
    ],
)
def test_a_picture_without_enough_of_a_person_is_refused_before_anything_is_rendered(pipe, video, picture, rest):
    rule = "must show a person with both shoulders and a hip in sight"
    with pytest.raises(InputError, match=f"^source_image: {rule}, but {rest}"):
        pipe.stream(picture, video)
    with pytest.raises(InputError, match=f"^source_images: {rule}, but {rest}"):
        pipe.stream(person(), video, source_images=[picture])


@each_case(
    ("name", "below", "enough"),
    [
        ("black-top", 0.4, False),
        ("black-top", 0.8, False),
        ("red-jacket", 0.6, False),
        ("red-jacket", 2, True),
        ("black-top", 9, True),
    ],
)
def test_a_bust_is_refused_and_who_is_in_sight_from_the_hips_up_is_not(pipe, name, below, enough):
    """`below` the shoulders, so many heights of the trunk are in the picture."""
    with Image.open(EXAMPLES / f"{name}.png") as file:
        picture = media.to_float(np.array(file.convert("RGB"))[None])  # (1, 3, 448, 448)
    left, top, trunk = {"black-top": (204, 10, 103), "red-jacket": (150, 10, 104)}[name]
    if below < 9:
        bottom = round(111 + below * trunk)
        picture = picture[..., top:bottom, left : left + max(round(1.5 * trunk), bottom - top)]
    rule = "must show a person with both shoulders and a hip"
    with nullcontext() if enough else pytest.raises(InputError, match=rule):
        find_person(pipe.keypoint_detector, picture, "picture")


def test_the_subject_is_who_is_at_the_place(pipe):
    both = picture_on(300, 560, (person("blue-coat"), 100, 10, 190), (person("black-top"), 30, 290, 260))
    image = media.to_float(both[None])
    for subject, left in ((None, 290), ((420.0, 160.0), 290), ((110.0, 190.0), 10)):
        _, (x, *_) = find_person(pipe.keypoint_detector, image, "p.png", subject=subject)
        assert left < x < left + 200
    with pytest.raises(
        InputError, match=r"subject must be a place where a person is, but nobody is found at \(5.0, 5.0\)"
    ):
        find_person(pipe.keypoint_detector, image, "p.png", subject=(5.0, 5.0))
    inside = (100, 10, 190, 190)
    _, (x, *_) = find_person(pipe.keypoint_detector, image, "p.png", inside, (110.0, 190.0))
    assert 10 < x < 200


def test_a_picture_keeps_its_pixels_and_its_size(pipe, video):
    picture = picture_on(331, 501, (person(), 60, 40, 256))

    animation = pipe.stream(picture, video, AnimationSettings(strategy="none"))
    frames = [frame.image for frame in animation]

    placement = animation.placement
    top, left, height, width = placement.crop
    assert placement.content[2:] == (height, width), "nothing is resized"
    assert placement.network_size == (max(height, width),) * 2
    assert left + width < 501
    outside = np.ones((331, 501), bool)
    outside[top : top + height, left : left + width] = False
    for frame in frames:
        assert frame.shape == (331, 501, 3) == (*animation.frame_size, 3)
        np.testing.assert_array_equal(frame[outside], picture[outside])
    assert not np.array_equal(frames[0][~outside], frames[3][~outside])
    assert animation.presence.frames == 4


def test_the_part_that_is_used_has_room_for_the_poses(pipe):
    picture = picture_on(500, 900, (person(), 100, 320, 256))
    image, settings = media.to_float(picture[None]), AnimationSettings()
    points, _ = find_person(pipe.keypoint_detector, image, "p.png")
    still = pipe.place(image, settings)
    own = points.points[:, None][:, 0] * torch.tensor([1.0, 500 / 900])  # in the square around the picture
    apart = torch.cat((own, own + torch.tensor([0.6, 0.0])))  # it walks to the right
    moving = pipe.place(image, settings, type(points)(apart))

    (_, left, _, width), (_, before, _, narrow) = moving.crop, still.crop
    assert left == before or left == before - 1
    assert narrow < 256 + 20
    assert width == pytest.approx(0.3 * 900 + narrow, abs=80)
    x = in_pixels(points.points[0, 1, :, 0].numpy()[:, None], (900,)).mean()
    assert moving.person[0] == pytest.approx(x - left, abs=30)


def test_in_standard_mode_places_are_those_of_the_video(pipe, video):
    picture = picture_on(256, 400, (person(), 0, 20, 256))
    driving = np.stack(
        [picture_on(128, 200, (frame, 0, 70, 128)) for frame in video]
    )  # half as large, and further right

    animation = pipe.stream(picture, driving, AnimationSettings(mode="standard", strategy="none"))
    placed = np.stack([frame.keypoints for frame in animation])

    assert animation.placement.crop == (0, 0, 256, 400)
    found, _ = poses(pipe.keypoint_detector, video, 4)  # the same video, where the person is in the middle
    expected = in_pixels(found.numpy(), (256, 256)) + (140, (400 - 256) / 2)
    assert np.abs(in_pixels(placed, (400, 400)) - expected).mean() < 4


def test_pose_mode_takes_poses_but_neither_place_nor_size_nor_aspect_of_the_video(pipe, video):
    settings = AnimationSettings(strategy="none")
    elsewhere = np.stack([picture_on(300, 620, (frame, 90, 400, 200)) for frame in video])

    near, far = (
        np.stack([frame.keypoints for frame in pipe.stream(person(), clip, settings)]) for clip in (video, elsewhere)
    )

    moved = np.abs(near[3] - near[0]).mean()
    assert moved > 0.02
    assert np.abs(far - near).mean() < 0.02


def test_frames_left_out_change_nothing_about_the_others(pipe, video):
    settings = AnimationSettings(batch_size=2, strategy="none")
    whole, rest = (list(pipe.stream(person(), video, settings, skip_frames=skip)) for skip in (0, 3))
    assert len(rest) == 1
    for frame, same in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(frame.image, same.image)


@each_case(
    ("settings", "size"),
    [
        ({"size": 64}, (34, 64)),
        ({"size": (32, 64), "fit": "stretch"}, (32, 64)),
        ({"fit": "crop"}, (160, 160)),
        ({"crop": (10, 100, 150, 140)}, (150, 140)),
        ({"crop": (10, 100, 150, 140), "paste_back": True}, (160, 300)),
        ({"background": "predicted"}, (160, 300)),
        ({"mode": "relative"}, (160, 300)),
    ],
)
def test_what_is_given_is_done(pipe, video, settings, size):
    picture = picture_on(160, 300, (person(), 0, 90, 160))
    chosen = AnimationSettings(strategy="none", **settings)
    frame = next(iter(pipe.stream(picture, video, chosen)))
    assert frame.image.shape == (*size, 3)


def test_the_subject_alone_is_cropped_on_request(pipe, video):
    picture = picture_on(300, 600, (person(), 20, 200, 256))
    height, width = next(iter(pipe.stream(picture, video, AnimationSettings(crop="subject")))).image.shape[:2]
    assert height == width < 300


def test_small_pictures_are_enlarged_for_the_networks_and_not_for_the_user(pipe, video):
    pipe.register_to_config(image_size=(128, 128))
    try:
        animation = pipe.stream(picture_on(90, 80, (person(), 5, 0, 80)), video)
    finally:
        pipe.register_to_config(image_size=(64, 64))
    assert animation.placement.network_size == (128, 128)
    assert next(iter(animation)).image.shape == (90, 80, 3)


def test_more_photos_are_placed_by_the_person_in_them(pipe, video):
    second = picture_on(400, 300, (person("checked-coat"), 100, 30, 200))
    plain = next(iter(pipe.stream(person(), video)))
    fused = next(iter(pipe.stream(person(), video, source_images=[second])))
    assert fused.image.shape == plain.image.shape
    assert not np.array_equal(fused.image, plain.image)


def test_bfloat16_convolutions_change_little_and_keypoints_not_at_all(pipe, folder, video):
    half = MotionInterpPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    half.set_progress_bar_config(disable=True)
    settings = AnimationSettings(t=0.5)
    exact, near = (next(iter(each.stream(person(), video, settings))) for each in (pipe, half))
    assert half.dense_motion_network.dtype == torch.bfloat16
    np.testing.assert_array_equal(exact.keypoints, near.keypoints)
    assert np.abs(exact.image.astype(int) - near.image).mean() < 3


def test_loading_says_nothing(folder, capfd):
    MotionInterpPipeline.from_pretrained(folder)
    assert "Expected types" not in capfd.readouterr().err


def test_live_who_is_lost_keeps_the_last_pose(pipe, video):
    live = LivePicture(pipe, person(), AnimationSettings(strategy="none"))
    first, lost, found = (live(frame) for frame in (video[0], np.full_like(video[0], 128), video[3]))
    np.testing.assert_array_equal(lost, first)
    assert not np.array_equal(found, first)


def test_interpolation_between_pictures_of_people(pipe):
    picture = picture_on(180, 240, (person(), 0, 30, 180))
    for mode in ("standard", "pose"):
        result = pipe.interpolate(picture, person("arms-up"), times=[0.5], settings=AnimationSettings(mode=mode))
        assert result.images.shape == (1, 180, 240, 3)
    with pytest.raises(InputError, match=r"^driving_image: must show a person"):
        pipe.interpolate(picture, GREY, num=2)


def test_the_background_is_followed_without_people_and_padding(pipe, monkeypatch):
    monkeypatch.setattr(pipe, "background_predictor", CameraAligner())
    scene = np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8)
    scene = media.to_uint8(F.interpolate(media.to_float(scene[None]), (176, 352), mode="bicubic"))[0]
    figure = person()[20:220, 60:200]
    scene[:, 100:200] = media.to_uint8(F.interpolate(media.to_float(figure[None]), (176, 100)))[0]
    source, moved = scene[:160, 16:336], scene[8:168, 28:348]  # the camera went right by 12 and down by 8
    settings = AnimationSettings(mode="standard", background="predicted", batch_size=2)
    video = media.open_video([source, moved])
    picture = media.to_float(source[None])
    placement = pipe.place(picture, settings)
    with torch.no_grad():
        encoded = pipe.subject.encode(picture, placement)
    first, second = pipe.subject.analyse_video(encoded, video, placement, settings, Presence())
    found = torch.cat((first.background_transform, second.background_transform))
    eye = torch.eye(3)
    expected = torch.stack((eye, eye + torch.tensor([[0, 0, 24 / 319], [0, 0, 16 / 319], [0, 0, 0]])))
    torch.testing.assert_close(found, expected, atol=0.012, rtol=0)


def test_a_subject_needs_a_model_that_looks_for_people():
    pipe = demo.random_pipeline(image_size=128)
    frames = np.stack(demo.driving_frames(2, 128))
    with pytest.raises(InputError, match="subject needs a model that looks for people"):
        pipe.stream(frames[0], frames, AnimationSettings(subject=(1, 2)))


def test_the_command_says_how_fast_it_was_and_where_nobody_was(folder, small_video, tmp_path, capsys):
    media.save_image(tmp_path / "two.png", picture_on(200, 400, (person(), 0, 0, 200), (person("bent"), 0, 200, 200)))
    with media.VideoWriter(f"{tmp_path}/driving/", 25) as writer:
        for frame in (*small_video[:2], GREY):
            writer.write(frame)
    command = ["animate", tmp_path / "two.png", tmp_path / "driving", "-o", tmp_path / "out.mp4", "--model", folder]

    assert main([str(part) for part in (*command, "--subject", "300,100", "--dtype", "float32")]) == 0

    said = capsys.readouterr()
    assert "3 frames, 400 x 200, 25.000 frames/s" in said.out
    assert "\n3 frames in " in said.out
    assert "driving: nobody was found in 1 of 3 driving frames (33 %)" in said.out
    assert "of 400 x 200, as" in said.err


def test_info_describes_a_model_of_people_in_its_own_words(folder, tmp_path, capsys):
    assert main(["info", str(folder)]) == 0
    assert "for people: a background and 10 limbs of 5 points as layers" in capsys.readouterr().out
    assert main(["info", str(EXAMPLES / "reaching.mp4"), "--model", str(folder)]) == 0
    assert "somebody is looked for in all of it, at 256 x 256" in capsys.readouterr().out
