"""The person before something else than its own background, and the sheet of a few frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from subcases import each_case
from test_layered import standing
from toy_people import remembering, toy_people

from motion_core import (
    AnimationSettings,
    InputError,
    Keypoints,
    MotionInterpPipeline,
    media,
    motion_modes,
    scene,
)
from motion_core.__main__ import main
from motion_core.contact_sheet import contact_sheet, sheet_beside
from motion_core.figure import before, box_in_frame, cut_out, put, straight
from motion_core.framing import free_part, network_points, place_in, place_own, roomy, to_network
from motion_core.media import AlphaWriter, check_output
from motion_core.networks.layered.composition import enlarged, figure_share
from motion_core.networks.layered.limbs import PARENTS
from motion_core.people import hidden_by
from motion_core.structures import PackedMask
from motion_core.transfer import Generated

EXAMPLES = Path(__file__).parents[1] / "space" / "examples"
RED, BLUE = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ((0.9, 0.1, 0.1), (0.1, 0.2, 0.9)))


@pytest.fixture(scope="module")
def pipe():
    """A real detector, and networks of random weights at toy size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MotionInterpPipeline(*toy_people(), image_size=64)
    remembering(made.keypoint_detector)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def picture():
    """A rendered person, ``(256, 256, 3)`` uint8."""
    pixels = media.to_float(media.load_image(EXAMPLES / "green-sweater.png")[None])
    return media.to_uint8(F.interpolate(pixels, (256, 256), mode="area"))[0]


@pytest.fixture(scope="module")
def video():
    """Three frames of a driving video, ``(3, 128, 128, 3)`` uint8."""
    frames = media.open_video(EXAMPLES / "reaching.mp4").frames(13)
    chosen = np.stack([next(frames) for _ in range(9)])[::4]
    return media.to_uint8(F.interpolate(media.to_float(chosen), (128, 128), mode="area"))


def generated(visible=1.0, painted=None):
    """A red disc before blue, as the layered backbone gives it."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    inside = 400 * (0.6 - (x.square() + y.square()).sqrt())
    logits = torch.stack((-inside, inside))[None]  # (1, 2, 64, 64)
    share = figure_share(logits, (128, 128))
    image = share * (RED if painted is None else painted) + (1 - share) * BLUE
    blue = BLUE.expand(1, 3, 128, 128)
    shown = torch.full((1, 1, 128, 128), visible)
    return Generated(image, SimpleNamespace(background=blue), (), shown, logits), share


def test_the_figures_share_is_that_of_all_layers_but_the_background():
    logits = 4 * torch.randn(2, 4, 16, 16)

    share = figure_share(logits, (40, 64))

    torch.testing.assert_close(share, 1 - enlarged(logits, 40, 64).softmax(dim=1)[:, :1], atol=2e-2, rtol=0)


def test_no_background_is_left_in_the_figures_colours():
    made, share = generated()

    figure = cut_out(made)

    torch.testing.assert_close(figure[:, 3:], share)
    torch.testing.assert_close(figure[:, :3], share * RED)
    torch.testing.assert_close(before(figure, BLUE), made.image)
    known = (share > 0.02).expand(-1, 3, -1, -1)
    torch.testing.assert_close(straight(figure)[:, :3][known], RED.expand(1, 3, 128, 128)[known], atol=0.03, rtol=0)


def test_what_is_painted_at_the_border_and_looks_like_the_background_is_background():
    hidden, share = generated(visible=0.0, painted=BLUE)
    figure = cut_out(hidden)[:, 3:]

    outermost = (share > 0.5) & (F.max_pool2d(1 - share, 3, stride=1, padding=1) > 0.5)
    assert figure[outermost].mean() < 0.1
    assert figure[..., 64, 64] == 1  # but not in the middle
    torch.testing.assert_close(cut_out(generated(painted=BLUE)[0])[:, 3:], share)  # nor what is seen


def test_a_model_without_layers_cannot_cut_out():
    with pytest.raises(InputError, match="only a model that makes people of layers"):
        cut_out(Generated(torch.zeros(1, 3, 8, 8), None, (), torch.ones(1, 1, 8, 8)))


def test_a_box_may_reach_beyond_the_frame():
    figure = torch.rand(1, 4, 8, 10)
    whole = (0, 0, 8, 10)

    placed = put(figure, whole, (-2, 5, 8, 10), (12, 12))

    torch.testing.assert_close(placed[..., :6, 5:], figure[..., 2:, :7])
    assert placed[..., 6:, :].abs().max() == 0
    assert placed[..., :5].abs().max() == 0
    assert put(figure, whole, (20, 0, 8, 10), (12, 12)).abs().max() == 0


@each_case("mode", ["pose", "standard"])
def test_the_figure_lies_on_the_driving_person(mode):
    size, seen = (150, 300), (75, 150)
    placement = place_own((90, 60), 64)
    driving = Keypoints(network_points(standing(shift=0.3) * torch.tensor([0.4, 0.8]), place_in(seen, (90, 90))))
    source = Keypoints(0.6 * standing())
    pose = motion_modes.pose(source, driving, driving, PARENTS) if mode == "pose" else driving

    part = (3, 5, 80, 77)
    top, left, height, width = box_in_frame(part, placement, (size, seen), mode, (source, driving), list(PARENTS))

    pixels = (pose.points + 1) / 2 * 89 + 0.5  # from the edge of the networks' image
    share = (pixels - torch.tensor([5.0, 3.0])) / torch.tensor([77.0, 80.0])
    placed = share * torch.tensor([width, height]) + torch.tensor([left, top])
    wanted = (standing(shift=0.3) * torch.tensor([0.4, 0.8]) + 1) / 2 * torch.tensor([149.0, 74.0]) * 2 + 1
    torch.testing.assert_close(placed, wanted, atol=1.5, rtol=0)  # boxes are of whole pixels


def test_poses_beyond_the_picture_have_room_unless_the_person_is_cut_off_there():
    placement = place_in((100, 100), (100, 100))
    person, higher = 0.8 * standing(), 0.8 * standing() - torch.tensor([0.0, 0.6])

    larger = roomy(placement, higher, person, reach=2.0)

    assert larger.network_size[0] == larger.network_size[1] > 110
    top, left, height, width = larger.content
    image = torch.rand(1, 3, 100, 100)
    torch.testing.assert_close(to_network(image, larger)[..., top : top + height, left : left + width], image)
    points = (network_points(higher, larger) + 1) / 2 * (larger.network_size[0] - 1)
    assert points.min() >= 0
    assert free_part(network_points(person, larger), larger) == (0, 0, *larger.network_size)
    cut_above = person - torch.tensor([0.0, 0.6])
    assert roomy(placement, higher, cut_above, reach=2.0) == placement
    assert free_part(network_points(cut_above, larger), larger)[0] == larger.content[0]


def rectangles(moving=False):
    """A red rectangle that goes over a textured wall, ``(5, 64, 96, 3)`` uint8, and the wall behind it."""
    noise = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    wall = media.to_uint8(0.3 * F.interpolate(noise, (64, 96), mode="bilinear"))[0]
    walls = np.stack([np.roll(wall, 17 * number if moving else 0, axis=1) for number in range(5)])
    frames = walls.copy()
    for number, frame in enumerate(frames):
        frame[20:50, 10 + 15 * number : 22 + 15 * number] = (255, 0, 0)
    return frames, walls


def find_red(detector, frame, region, search, silhouettes):
    red = (frame[:, :1] > 0.8).float()
    return SimpleNamespace(silhouette=red, score=torch.tensor([1.0]), region=torch.tensor([[0.0, 0.0, 20.0, 0.0]]))


def empty_frames(pipe, frames, monkeypatch):
    """The frames of a driving scene with nobody before it."""
    monkeypatch.setattr(scene, "seek", find_red)
    made = scene.DrivingScene(
        pipe.keypoint_detector, pipe.image_generator, media.open_video(frames), (0, 0, 8, 8), (0, 0, 8, 8)
    )
    seen = (find_red(None, media.to_float(frame[None]), None, search=False, silhouettes=True) for frame in frames[1:4])
    hidden = [PackedMask.of(hidden_by(people, frames.shape[1:3])) for people in seen]
    return media.to_uint8(made.frames(torch.zeros(3, 4, 8, 8), 1, hidden))


def test_behind_the_driving_person_is_what_other_frames_show_where_the_camera_stands_still(pipe, monkeypatch):
    frames, walls = rectangles()

    made = empty_frames(pipe, frames, monkeypatch)

    assert np.abs(made.astype(int) - walls[1:4]).max() <= 1


def test_behind_the_driving_person_is_paint_where_the_camera_moves(pipe, monkeypatch):
    frames, walls = rectangles(moving=True)

    made = empty_frames(pipe, frames, monkeypatch)

    assert not ((made[..., 0] > 200) & (made[..., 2] < 50)).any()  # nothing red
    away = np.abs(made[0, :, 60:].astype(int) - walls[1, :, 60:])  # of the rectangle
    assert np.median(away) <= 8


def test_scenes_from_end_to_end(pipe, picture, video, tmp_path):
    green = np.array((10, 200, 30), np.uint8)
    media.save_image(tmp_path / "wall.png", np.full((40, 90, 3), green))

    def made(scene, shape):
        settings = AnimationSettings(scene=scene, batch_size=2)
        animation = pipe.stream(picture, video, settings)
        frames = [frame.image for frame in animation]
        assert [frame.shape for frame in frames] == [shape] * 3
        assert animation.frame_size == shape[:2]
        (last,) = [frame.image for frame in pipe.stream(picture, video, settings, skip_frames=2)]
        np.testing.assert_array_equal(last, frames[2])
        return np.stack(frames).astype(float)

    cut_out, on_wall = made("transparent", (256, 256, 4)), made(tmp_path / "wall.png", (256, 256, 3))
    share = cut_out[..., 3:] / 255
    assert share.min() < 0.1
    assert np.abs(share * cut_out[..., :3] + (1 - share) * green - on_wall).mean() < 1
    in_video = made("driving", (128, 128, 3))
    assert 1 < np.abs(in_video - video).mean() < 64, "the video's scene, and somebody else in it"


def test_nobody_is_looked_for_twice(pipe, picture, video, monkeypatch):
    looks, detect = [], pipe.keypoint_detector.detect
    monkeypatch.setattr(pipe.keypoint_detector, "detect", lambda *given, **by: looks.append(1) or detect(*given, **by))

    def count(behind, checked=False):
        looks.clear()
        animation = pipe.stream(picture, video, scene=behind)
        if checked:
            assert animation.check().looked_at == 3
        assert len(list(animation)) == 3
        return len(looks)

    plain = count("source")
    assert count("source", checked=True) == plain
    assert count("driving") == plain + len(video)  # in the frames that the empty scene is made of


@each_case("chosen", ["driving", "transparent", "beach.jpg"])
def test_models_without_layers_say_why_not(variant_pipeline, video, chosen):
    with pytest.raises(InputError, match=f"scene '{chosen}' needs a model that makes people of layers"):
        variant_pipeline("tpsmm")(video[0], video, scene=chosen)


def test_what_a_scene_cannot_be_is_said(pipe, picture, video):
    with pytest.raises(InputError, match=r"nowhere\.png"):
        pipe.stream(picture, video, AnimationSettings(scene="nowhere.png"))
    with pytest.raises(InputError, match="scene 'driving' needs a video"):
        pipe.interpolate(picture, picture, num=2, settings=AnimationSettings(mode="standard", scene="driving"))


def see_through(number):
    """A frame ``(48, 70, 4)`` with a soft disc that moves."""
    y, x = np.mgrid[:48, :70]
    share = np.clip(16.5 - np.hypot(y - 24, x - 25 - 5 * number), 0, 1)
    return np.dstack([np.full_like(share, value) for value in (200, 60, 30)] + [255 * share]).astype(np.uint8)


@each_case("name", ["a.webm", "a.mov", "frames/"])
def test_transparency_is_written_and_read_back(tmp_path, name):
    frames = [see_through(number) for number in range(3)]

    with AlphaWriter(f"{tmp_path}/{name}", 25, metadata={"comment": "synthetic"}) as writer:
        for frame in frames:
            writer.write(frame)

    if name == "frames/":
        from PIL import Image

        read = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "frames").iterdir())]
    else:
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == Fraction(25)
            vp9 = av.CodecContext.create("libvpx-vp9", "r")  # the other decoder leaves alpha out
            decode = vp9.decode if name == "a.webm" else lambda packet: packet.decode()
            packets = [packet for packet in container.demux(stream) if packet.size]
            read = [frame.to_ndarray(format="rgba") for packet in packets for frame in decode(packet)]
    assert [frame.shape for frame in read] == [(48, 70, 4)] * 3
    for frame, wanted in zip(read, frames, strict=True):
        assert np.abs(frame[..., 3].astype(int) - wanted[..., 3]).mean() < 2
        assert np.abs(frame[24, 30, :3].astype(int) - wanted[24, 30, :3]).max() < 8
    assert len(list(tmp_path.iterdir())) == 1


def test_other_endings_have_no_transparency(tmp_path):
    for name in ("a.mp4", "a.gif", "a"):
        with pytest.raises(
            InputError, match=r"must end in one of \.webm, \.mov, or a folder name ending in / .*to have"
        ):
            check_output(tmp_path / name, alpha=True)


def test_a_failed_video_with_transparency_leaves_nothing(tmp_path):
    def write():
        with AlphaWriter(tmp_path / "a.mov", 25) as writer:
            writer.write(see_through(0))
            writer.write(see_through(0)[..., :3])

    with pytest.raises(InputError, match=r"frames must be \(H, W, 4\)"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def files(pipe, picture, video, tmp_path_factory):
    """A model, a picture and a video, saved."""
    folder = tmp_path_factory.mktemp("scene")
    pipe.save_pretrained(folder / "model")
    media.save_image(folder / "me.png", picture)
    with media.VideoWriter(folder / "dance.mp4", 24) as writer:
        for frame in video:
            writer.write(frame)
    return folder


def animate(files, out, *options):
    given = ["animate", files / "me.png", files / "dance.mp4", "--model", files / "model", "-o", out, *options]
    return main([str(each) for each in given])


def test_animate_puts_the_person_on_transparency_and_says_first_what_to_expect(files, tmp_path, capsys):
    assert animate(files, tmp_path / "out.mov", "--scene", "transparent") == 0

    assert media.open_video(tmp_path / "out.mov").size == (256, 256)
    said = capsys.readouterr()
    assert "There is a person in the picture and in the video." in said.err
    assert "from the picture's pose" in said.err
    assert "out.mov: 3 frames, 256 x 256" in said.out


@each_case(
    ("out", "options", "message"),
    [("a.mp4", (), "to have transparency"), ("a.mov", ("--resume",), "cannot be resumed")],
)
def test_what_cannot_have_transparency_is_refused_before_anything_is_loaded(
    files, tmp_path, monkeypatch, capsys, out, options, message
):
    monkeypatch.setattr(MotionInterpPipeline, "from_pretrained", None)

    assert animate(files, tmp_path / out, "--scene", "transparent", *options) == 2
    assert message in capsys.readouterr().err


def test_preview_writes_one_picture_beside_the_output_and_no_video(files, tmp_path, capsys):
    assert animate(files, tmp_path / "out.mp4", "--preview") == 0

    assert [path.name for path in tmp_path.iterdir()] == ["out.preview.png"]
    assert "out.preview.png: frames from all over the video" in capsys.readouterr().out
    assert media.load_image(tmp_path / "out.preview.png").shape[1] > 3 * 256  # three frames side by side


def test_the_sheet_shows_frames_of_the_animation(pipe, picture, video):
    whole = pipe(picture, video, initial_frame=1, batch_size=1).frames

    sheet = contact_sheet(pipe, picture, video, AnimationSettings(initial_frame=1, batch_size=1), count=2)

    last = sheet[-256:, -256:]
    assert np.abs(last.astype(int) - whole[2]).mean() < 3  # people are followed from other frames
    with pytest.raises(InputError, match="count must be 2 frames or more, got 1"):
        contact_sheet(pipe, picture, video, count=1)


@each_case(("out", "sheet"), [("a/dance.mp4", "a/dance.preview.png"), ("frames/", "frames.preview.png")])
def test_the_sheet_lies_beside_the_output(out, sheet):
    assert sheet_beside(out) == Path(sheet)
