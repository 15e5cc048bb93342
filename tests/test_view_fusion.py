"""Views of the subject to one: the weights, what it starts with, and several photos."""

import math

import numpy as np
import pytest
import torch
from subcases import each_case

from motion_core import InputError, MotionInterpPipeline, ViewFusion, demo, media
from motion_core.background import linked
from motion_core.networks.view_fusion import START
from motion_core.structures import Keypoints, WarpedView
from motion_core.transfer import FAR, MotionTransfer, nearness

WIDTHS = {"block_expansion": 4, "max_features": 8, "num_down_blocks": 2}


def trained(**options):
    """A fusion with weights as they might be after training."""
    fusion = ViewFusion(**WIDTHS, **options)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return fusion


def random_view(batch=2, side=16):
    sizes = [(8, side // 4), (8, side // 2), (4, side)]  # from the coarsest: features, pixels
    levels = tuple(torch.randn(batch, features, pixels, pixels) for features, pixels in sizes)
    masks = tuple(torch.rand(batch, 1, pixels, pixels) for _, pixels in sizes)
    return WarpedView(levels, masks, torch.rand(batch, 3, side, side))


def assert_same(view, other, **tolerance):
    for ours, theirs in zip(
        (*view.levels, *view.masks, view.image),
        (*other.levels, *other.masks, other.image),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **tolerance)


def test_weights_are_the_softmax_of_the_views_logits():
    fusion = trained()
    views, kinds = [random_view() for _ in range(4)], ["interpolated", "source", "composed", "source"]

    weights = fusion.weights(views, kinds)

    assert [tuple(level.shape) for level in weights] == [(2, 4, 4, 4), (2, 4, 8, 8), (2, 4, 16, 16)]
    columns = {"source": 0, "interpolated": 1, "composed": 2}
    for level, found in enumerate(weights):
        logits = []
        for view, kind in zip(views, kinds, strict=True):
            features = torch.cat((view.levels[level], view.masks[level]), dim=1)
            score = torch.nn.functional.conv2d(features, fusion.score[level].weight, padding=1)
            logits.append(score + fusion.kind[level, columns[kind]] - math.log(kinds.count(kind)))
        exponentials = torch.cat(logits, dim=1).double().exp()
        torch.testing.assert_close(found.double(), exponentials / exponentials.sum(1, True), atol=1e-6, rtol=0)
        torch.testing.assert_close(found.sum(dim=1), torch.ones_like(found[:, 0]))


def test_the_fused_view_is_the_weighted_sum():
    fusion = trained()
    views, kinds = [random_view(), random_view(), random_view()], ["interpolated", "source", "composed"]
    weights = fusion.weights(views, kinds)

    fused = fusion(views, kinds)

    for level, weight in enumerate(weights):
        expected = sum(weight[:, i : i + 1] * view.levels[level] for i, view in enumerate(views))
        torch.testing.assert_close(fused.levels[level], expected)
        expected = sum(weight[:, i : i + 1] * view.masks[level] for i, view in enumerate(views))
        torch.testing.assert_close(fused.masks[level], expected)
    expected = sum(weights[-1][:, i : i + 1] * view.image for i, view in enumerate(views))
    torch.testing.assert_close(fused.image, expected)


def test_swapping_views_of_a_kind_swaps_their_weights():
    fusion = trained()
    views = [random_view() for _ in range(4)]
    kinds = ["interpolated", "source", "source", "source"]
    order = [0, 3, 1, 2]

    weights, swapped = fusion.weights(views, kinds), fusion.weights([views[i] for i in order], kinds)

    for before, after in zip(weights, swapped, strict=True):
        torch.testing.assert_close(after, before[:, order])
    assert_same(fusion(views, kinds), fusion([views[i] for i in order], kinds), atol=1e-5, rtol=1e-5)


def test_one_view_is_returned_as_it_is():
    view = random_view()

    assert trained()([view], ["source"]) is view


@each_case("kinds", [["source"], ["interpolated", "source"], ["interpolated", "source", "composed"]])
def test_a_picture_given_several_times_counts_as_once(kinds):
    fusion = trained()
    views = [random_view() for _ in kinds]
    picture = views[kinds.index("source")]

    fused = fusion([*views, picture, picture], [*kinds, "source", "source"])

    assert_same(fused, fusion(views, kinds), atol=1e-5, rtol=1e-5)


def test_a_view_that_is_not_there_has_no_weight_and_no_gradient():
    fusion = trained()
    views, kinds = [random_view(), random_view(), random_view()], ["interpolated", "source", "composed"]
    prior = torch.tensor([[-math.inf, 0, -math.inf], [0, 0, 0]])

    weights = fusion.weights(views, kinds, prior)
    fused = fusion(views, kinds, prior)
    fused.image[0].sum().backward()

    for level, weight in enumerate(weights):
        assert weight[0, 1].eq(1).all()
        assert weight[0, ::2].eq(0).all()
        torch.testing.assert_close(weight[1], fusion.weights(views, kinds)[level][1])
    assert fused.image[0].equal(views[1].image[0])
    assert all(parameter.grad is None or parameter.grad.eq(0).all() for parameter in fusion.parameters())


def test_it_starts_with_2_percent_for_all_but_real_pictures():
    fusion = ViewFusion(**WIDTHS)

    weights = fusion.weights([random_view(), random_view(), random_view()], ["interpolated", "source", "composed"])

    share = math.exp(START) / (1 + 2 * math.exp(START))
    for level in weights:
        torch.testing.assert_close(level[:, ::2], torch.full_like(level[:, ::2], share))
    assert share < 0.02


@each_case("wrong", [{"block_expansion": 0}, {"max_features": 0}, {"num_down_blocks": -1}])
def test_wrong_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="sizes must be 1 or more"):
        ViewFusion(**WIDTHS | wrong)


# In the networks


def fused_networks(hop_case, **options):
    config = hop_case.parts["image_generator"].config
    widths = {name: config[name] for name in ("block_expansion", "max_features", "num_down_blocks")}
    return MotionTransfer(hop_case.parts | {"view_fusion": ViewFusion(**widths, **options)})


@each_case("composed_view", [False, True])
@torch.no_grad()
def test_it_starts_close_to_the_source_alone(hop_case, composed_view):
    case, t = hop_case, torch.tensor([0.25, 0.5, 0.75])
    plain = case.method.generate([case.source], case.poses, [None], torch.zeros(3)).image
    hopped = case.method.generate([case.source], case.poses, [None], t).image

    fused = fused_networks(case, composed_view=composed_view).generate([case.source], case.poses, [None], t).image

    difference, hop = (fused - plain).abs().mean(), (hopped - plain).abs().mean()
    assert 0 < difference < 0.06 * hop  # the mean difference that a hop alone makes


@each_case("composed_view", [False, True])
@torch.no_grad()
def test_with_no_weight_on_the_others_it_is_the_source_alone_to_the_bit(hop_case, composed_view):
    case = hop_case
    networks = fused_networks(case, composed_view=composed_view)
    networks.view_fusion.kind[:, 1:] = -math.inf

    fused = networks.generate([case.source], case.poses, [case.backgrounds], torch.tensor([0.25, 0.5, 0.75]))

    plain = case.method.generate([case.source], case.poses, [case.backgrounds], torch.zeros(3))
    assert fused.image.equal(plain.image)
    assert fused.visible.equal(plain.visible)


# In the pipeline


@pytest.fixture(scope="module")
def pipe(variant_pipeline):
    pipeline = variant_pipeline("v2", composed_view=True)
    for parameter in pipeline.view_fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return pipeline


@pytest.fixture(scope="module")
def video(video):
    return video[:3]


@each_case("options", [{"t": 0.5}, {"t": 0}, {"strategy": "none"}])
def test_the_same_photo_twice_changes_nothing(pipe, picture, video, options):
    one, two = (pipe(picture, video, source_images=more, **options).frames for more in ((), (picture,)))

    difference = np.abs(one.astype(int) - two)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_another_photo_is_used(pipe, picture, video):
    other = demo.draw_figure(128, 0.6, (20, 200, 60), (10, 10, 10))

    one = pipe(picture, video, t=0.5).frames
    more = pipe(picture, video, t=0.5, source_images=[other, other[:100]]).frames

    assert np.abs(one.astype(int) - more).mean() > 1


def test_photos_near_to_the_pose_have_the_larger_share():
    pose, near, far = (Keypoints(torch.full((1, 10, 5, 2), place)) for place in (0.0, 0.05, 0.5))

    shares = nearness([near, far, near], pose).exp()
    alone, twice = nearness([far], pose), nearness([far, far], pose)

    assert shares[0, 0] == shares[0, 2] == pytest.approx(0.5, abs=1e-3)
    assert shares[0, 1] == pytest.approx(math.exp(FAR))  # what only it shows still comes from it
    assert alone.tolist() == [[0.0]]
    torch.testing.assert_close(twice.exp(), torch.full((1, 2), 0.5))


def test_photos_of_other_sizes_and_kinds_are_taken(pipe, picture, video, tmp_path):
    media.save_image(tmp_path / "b.png", demo.source_picture(200))
    exact = torch.from_numpy(picture).permute(2, 0, 1) / 255

    result = pipe(picture, video, source_images=[tmp_path / "b.png", exact, picture[:90]])

    assert result.frames.shape == (3, 128, 128, 3)
    assert result.animation.inputs == (tmp_path / "b.png",)


@torch.inference_mode()
def test_a_photo_links_to_the_driving_pose_through_the_first_one(pipe, picture):
    """Coordinates of the driving pose, to the first picture's, to the other's."""
    sources = [
        pipe.method.encode(media.to_float(image[None])) for image in (picture, demo.source_picture(128)[:, ::-1])
    ]

    links = pipe.method.links(sources, "predicted")

    first, other = (source.image for source in sources)
    assert links[0].equal(torch.eye(3)[None])
    torch.testing.assert_close(links[1], pipe.background_predictor(other, first))
    assert pipe.method.links(sources, "identity") == [None, None]
    transform = torch.eye(3)[None] + 0.1 * torch.rand(1, 3, 3)
    assert linked(links, transform)[0].equal(transform)
    assert linked(links, transform)[1].equal(links[1] @ transform)


def test_more_photos_without_a_fusion_are_refused(variant_pipeline, picture, video):
    with pytest.raises(InputError, match="source_images need a model of variant 'v2', this one is 'full'"):
        variant_pipeline("full")(picture, video, source_images=[picture])


@each_case("setting", ["block_expansion", "max_features", "num_down_blocks"])
def test_a_fusion_of_other_widths_is_refused(pipe, setting):
    config = dict(pipe.image_generator.config)
    widths = {name: config[name] for name in WIDTHS}
    parts = pipe.components | {"view_fusion": ViewFusion(**widths | {setting: widths[setting] + 1})}

    with pytest.raises(
        InputError, match=f"view_fusion must have the image generator's {setting} {widths[setting]}, got"
    ):
        MotionInterpPipeline(**parts, image_size=128, variant="v2")
