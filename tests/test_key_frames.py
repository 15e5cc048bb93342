"""Key frames: which frames share an interpolated image, that sharing changes nothing but that, and what a frame costs with it."""

from collections import Counter

import torch
from subcases import each_case
from test_layered import found
from toy_people import toy_people

from motion_core import Keypoints, OptimalInterpolationSelector, ViewFusion, demo
from motion_core.key_frames import NEAR, KeyFrames
from motion_core.selection import FrameSelection
from motion_core.settings import InterpolationSettings
from motion_core.transfer import MotionTransfer

CLOSE = {"atol": 2e-5, "rtol": 0}
HOLD = InterpolationSettings.hold


def prefer_the_middle(selector):
    """Weights with which the learned score is highest at t = 0.5, whatever the candidates look like."""
    first, last = selector.head[0], selector.head[2]
    with torch.no_grad():
        for parameter in selector.head.parameters():
            parameter.zero_()
        t = first.in_features - 3  # after what is pooled
        first.weight[0, t], first.bias[0] = 1.0, -0.5
        first.weight[1, t], first.bias[1] = -1.0, 0.5
        last.weight[0, :2] = -1.0  # of the distance from 0.5
    return selector


def drifting(start, count, step):
    """Poses ``(count, K, N, 2)`` that move to the right by a step each."""
    return Keypoints(start + step * torch.arange(1.0, count + 1)[:, None, None, None] * torch.tensor([1.0, 0.0]))


def animated(method, source, poses, settings, batches, background=None):
    """Images of a video as the pipeline makes them, and the times of their interpolated images."""
    key_frames, images, times = KeyFrames(method, source, settings), [], []
    for index in torch.arange(len(poses.points)).split(batches):
        part, transform = Keypoints(poses.points[index]), None if background is None else background[index]
        keys = key_frames.of(part, transform)
        images.append(method.paint(method.compose([source], part, [transform], key_frames.first_hop(keys))).image)
        times += [key.selection.t for key in keys]
    return torch.cat(images), times


def choose(method, monkeypatch, *times):
    """The selector's choices for the next key frames."""
    left = list(times)
    monkeypatch.setattr(
        method, "select", lambda _source, poses, *_others: [FrameSelection(left.pop(0)) for _ in poses.points]
    )


def test_there_is_a_new_key_frame_after_some_frames_and_where_the_pose_is_another(hop_case, monkeypatch):
    start, step = hop_case.source.keypoints.points, NEAR / 10
    poses = drifting(start, 7, step).points
    poses[5:] += 2 * NEAR
    for batch in [1, 2, 7]:
        method = MotionTransfer(hop_case.parts)
        choose(method, monkeypatch, 0.1, 0.2, 0.3)
        frames = KeyFrames(method, hop_case.source, InterpolationSettings(hold=3))

        found = [key.selection.t for part in poses.split(batch) for key in frames.of(Keypoints(part), None)]

        assert found == [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]


@each_case("composed_view", [None, True])
@torch.no_grad()
def test_a_frame_hops_from_the_image_of_its_key_frame_whatever_the_batches(hop_case, monkeypatch, composed_view):
    """Step by step, with hops and without in one video; on key frames it is what `generate` makes."""
    case, parts = hop_case, dict(hop_case.parts)
    if composed_view is not None:
        config = case.parts["image_generator"].config
        widths = {name: config[name] for name in ("block_expansion", "max_features", "num_down_blocks")}
        parts["view_fusion"] = ViewFusion(**widths, composed_view=composed_view)
        for parameter in parts["view_fusion"].parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    method = MotionTransfer(parts)
    poses = drifting(case.poses.points[:1], 4, 0.01)
    background = case.backgrounds[:1].repeat(4, 1, 1)
    times = [0.0, 0.25]
    made = {}
    for batch in [1, 4]:
        choose(method, monkeypatch, *times)
        made[batch], chosen = animated(method, case.source, poses, InterpolationSettings(hold=2), batch, background)
        assert chosen == [0.0, 0.0, 0.25, 0.25]

    torch.testing.assert_close(made[4], made[1], atol=1e-4, rtol=0)
    for index in range(4):
        key = slice(index // 2 * 2, index // 2 * 2 + 1)
        pose, own, t = Keypoints(poses.points[index : index + 1]), background[:1], torch.tensor([times[index // 2]])
        first = method.first_hop(case.source, Keypoints(poses.points[key]), own, t)
        expected = method.paint(method.compose([case.source], pose, [own], first)).image
        torch.testing.assert_close(made[1][index : index + 1], expected, **CLOSE)
        if index % 2 == 0:
            exact = method.generate([case.source], pose, [own], t).image
            torch.testing.assert_close(made[1][index : index + 1], exact, **CLOSE)


def count_calls(monkeypatch, calls, owner, names):
    for name in names:
        original = getattr(owner, name)

        def counted(*args, _original=original, _name=name, **kwargs):
            calls[_name] += 1
            return _original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


def test_a_held_interpolated_image_costs_no_network_calls(variant_pipeline, monkeypatch):
    """What `v2` with the learned selector asks of the published networks for each of eight frames, two of them key frames."""
    pipe, calls = variant_pipeline("v2"), Counter()
    pipe.backend = "eager"
    prefer_the_middle(pipe.selector)
    count_calls(monkeypatch, calls, pipe.dense_motion_network, ["forward", "coarse"])
    count_calls(monkeypatch, calls, pipe.image_generator, ["encode", "paint"])
    frames = demo.driving_frames(2 * HOLD, 128)

    result = pipe(demo.source_picture(128), frames, strategy="learned", strength=0.02, mode="standard")

    assert [chosen.t for chosen in result.selections] == [0.5] * len(frames)
    assert dict(calls) == {
        "encode": 1 + 2,  # the picture, and the interpolated images
        "coarse": 2,  # all candidates at once
        "forward": 2 + 2 * len(frames),  # to the interpolated images; then from them, and from the picture for its view
        "paint": 2 + len(frames),
    }


@torch.no_grad()
def test_a_held_interpolated_image_costs_no_network_calls_for_people_either(monkeypatch):
    detector, layout, painter = toy_people()
    selector = prefer_the_middle(OptimalInterpolationSelector())
    networks = {"keypoint_detector": detector, "dense_motion_network": layout, "image_generator": painter}
    fusion = ViewFusion(3, 3, 0)
    method, calls = MotionTransfer(networks | {"selector": selector, "view_fusion": fusion}), Counter()
    source = method.encode(torch.rand(1, 3, 64, 64), found())
    for network, name in ((layout.layout_net, "layout"), (layout.part_net, "parts")):
        network.register_forward_hook(lambda *_, name=name: calls.update([name]))
    for network, name in ((painter.figure_net, "figure"), (painter.background_net, "background")):
        network.register_forward_hook(lambda *_, name=name: calls.update([name]))
    poses = drifting(found(0.1, raised=True).points, 2 * HOLD, 0.005)

    _, times = animated(method, source, poses, InterpolationSettings(strategy="learned"), 1)

    assert times == [0.5] * 2 * HOLD
    assert dict(calls) == {"layout": 2 + 2 * 2 * HOLD, "figure": 2 + 2 * HOLD}  # candidates and sources take no U-Net


@torch.no_grad()
def test_people_with_and_without_hops_in_one_batch(monkeypatch):
    detector, layout, painter = toy_people()
    method = MotionTransfer({"keypoint_detector": detector, "dense_motion_network": layout, "image_generator": painter})
    source = method.encode(torch.rand(1, 3, 48, 64), found())
    poses = drifting(found(0.1, raised=True).points, 4, 0.005)
    made = []
    for batch in [1, 4]:
        choose(method, monkeypatch, 0.5, 0.0)
        made.append(animated(method, source, poses, InterpolationSettings(hold=2), batch)[0])
    assert (made[0] - made[1]).abs().mean() < 1e-3  # in a batch more of the picture is looked at


def test_on_key_frames_a_video_is_as_without_holding(variant_pipeline):
    pipe = variant_pipeline("full")
    frames = demo.driving_frames(5, 128)
    given = {"t": 0.5, "mode": "standard", "strength": 0.1}

    held, each = (pipe(demo.source_picture(128), frames, hold=hold, **given).frames for hold in (2, 1))

    for index in (0, 2, 4):
        assert (held[index] == each[index]).all()
    assert not (held == each).all()
