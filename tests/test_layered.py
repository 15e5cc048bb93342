"""The layered backbone: limbs' motion, layers, composition and painting."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from motion_core import InputError, Keypoints, LayeredMotion, LayerPainter, LayoutNetwork, MotionInterpPipeline
from motion_core.geometry import affine_grid, affine_part, busy_part, enlarged_part
from motion_core.networks.layered.backbone import LayeredBackbone, layered_source
from motion_core.networks.layered.capsules import capsules
from motion_core.networks.layered.composition import compose, figure_share, filled
from motion_core.networks.layered.layer_painter import part_colours
from motion_core.networks.layered.layout_network import grids_at_cells, sample_each
from motion_core.networks.layered.limb_motion import LimbMotion
from motion_core.networks.layered.limbs import HEAD, LAYERS_MIRRORED, LIMBS, TRUNK, strips
from motion_core.networks.layered.scene_fill import fill_scene, hidden_cells
from motion_core.networks.layered.unet import Block
from motion_core.structures import LayeredView

LIMB_COUNT = len(LIMBS)


def standing(shift: float = 0.0, raised: bool = False) -> torch.Tensor:
    """Strips ``(1, 10, 5, 2)`` of a person who stands, or has the right arm up, moved to the right."""
    arm = -0.75 if raised else 0.1
    sides = {
        name: {
            "shoulder": (x, -0.5),
            "elbow": (2 * x, arm / 2 - 0.2),
            "wrist": (2.5 * x, arm),
            "hand": (2.6 * x, 1.1 * arm),
        }
        | {"hip": (0.6 * x, 0.05), "knee": (0.6 * x, 0.4), "ankle": (0.6 * x, 0.75), "foot": (0.7 * x, 0.8)}
        for name, x in (("right", -0.16), ("left", 0.16))
    }
    sides["left"] |= {"elbow": (0.32, -0.15), "wrist": (0.4, 0.1), "hand": (0.42, 0.12)}
    places = {f"{side}_{name}": place for side, parts in sides.items() for name, place in parts.items()}
    places |= {"neck": (0, -0.6), "head": (0, -0.75), "nose": (0, -0.7), "hips": (0, 0.05), "torso": (0, -0.4)}
    given = {name: torch.tensor([[x + shift, y]]) for name, (x, y) in places.items()}
    return strips(given, torch.tensor([[1.0]]))


@pytest.fixture(scope="module")
def networks() -> tuple[LayoutNetwork, LayerPainter]:
    """Small ones with random heads, so that everything moves, hides and is painted a little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layout = LayoutNetwork(widths=(8, 8), part_widths=(8, 8), motion_features=8)
        painter = LayerPainter(widths=(8, 8), background_widths=(8, 8))
        for head in (layout.part_net.head, layout.layout_net.head, painter.figure_head, painter.background_head):
            torch.nn.init.normal_(head.weight, std=0.3)
    return layout.eval(), painter.eval()


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return F.interpolate(
        torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)), (128, 160), mode="bicubic"
    ).clamp(0, 1)


def found(shift: float = 0.0, raised: bool = False) -> Keypoints:
    points = standing(shift, raised)
    return Keypoints(points, capsules(points, 64).amax(dim=1, keepdim=True))


def test_parts_of_enlarged_maps_and_grids_are_those_of_the_whole():
    maps, box = torch.rand(2, 7, 5), (3, 17, 2, 9)
    whole = F.interpolate(maps[None], (20, 13), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(enlarged_part(maps, (20, 13), box), whole[:, 3:17, 2:9])
    transform = torch.tensor([[1.1, 0.2, 0.1], [-0.3, 0.8, 0.05], [0, 0, 1.0]])
    torch.testing.assert_close(
        affine_part(transform, (20, 13), box), affine_grid(transform[None], 20, 13)[0, 3:17, 2:9]
    )


def test_the_part_in_which_something_is_has_room_around_it_and_sides_that_halve():
    busy = torch.zeros(2, 64, 64, dtype=torch.bool)
    busy[0, 30, 20] = busy[1, 35, 22] = True
    assert busy_part(busy, 3, 8) == (slice(27, 43), slice(17, 33))
    busy[1, 63, 0] = True
    assert busy_part(busy, 3, 8) == (slice(24, 64), slice(0, 32))
    assert busy_part(torch.zeros(64, 64, dtype=torch.bool), 3, 8) == (slice(29, 37), slice(29, 37))


def test_cells_are_sampled_at_their_middles():
    cells = torch.rand(1, 2, 8, 8)
    still = torch.eye(3).expand(1, 2, 3, 3)
    torch.testing.assert_close(sample_each(cells, grids_at_cells(still, 8)), cells)
    right = torch.eye(3)
    right[0, 2] = 2 / 8  # one cell
    moved = sample_each(cells, grids_at_cells(right.expand(1, 2, 3, 3), 8))
    torch.testing.assert_close(moved[..., :-1], cells[..., 1:])


def test_capsules_are_drawn_around_limbs_and_hands_belong_to_them():
    drawn = capsules(standing(), 64)[0]
    row, column = int((0.4 + 1) * 32), int((-0.096 + 1) * 32)  # the right knee
    assert drawn[LIMBS.index("right_thigh"), row, column] > 0.5
    assert drawn[LIMBS.index("right_shin"), row, column] > 0.5
    assert drawn[LIMBS.index("head"), row, column] < 0.01
    row, column = int((0.11 + 1) * 32), int((-0.416 + 1) * 32)  # the right hand
    assert drawn[LIMBS.index("right_forearm"), row, column] > 0.5


def test_untrained_limbs_go_from_strip_to_strip():
    source, driving = standing(), standing(0.2, raised=True)
    transforms = LimbMotion(LIMB_COUNT, 5)(source, driving)  # (1, K, 3, 3)
    ends = driving[:, :, [0, 1, 2, 3]].unflatten(2, (2, 2)).mean(dim=3)  # (1, K, 2, 2) middles of both ends
    taken = torch.einsum("bkij,bkpj->bkpi", transforms[..., :2, :2], ends) + transforms[..., None, :2, 2]
    torch.testing.assert_close(taken, source[:, :, [0, 1, 2, 3]].unflatten(2, (2, 2)).mean(dim=3), atol=1e-5, rtol=0)


def test_between_equal_poses_no_limb_moves_whatever_was_learned():
    network = LimbMotion(LIMB_COUNT, 5, 8)
    torch.nn.init.normal_(network.net[-1].weight)
    pose = standing(0.2, raised=True)
    torch.testing.assert_close(network(pose, pose), torch.eye(3).expand(1, LIMB_COUNT, 3, 3), atol=1e-5, rtol=0)


def test_arms_and_legs_stay_as_wide_as_their_strips_whatever_was_learned():
    network = LimbMotion(LIMB_COUNT, 5, 8)
    torch.nn.init.normal_(network.net[-1].weight)
    source, driving = standing(), standing(0.2, raised=True)

    def across(points: torch.Tensor) -> torch.Tensor:
        """Of limbs as wide at both ends here, unit vectors ``(K, 2)`` at right angles to them."""
        along = points[0, :, 2:4].mean(dim=1) - points[0, :, 0:2].mean(dim=1)
        return F.normalize(torch.stack((-along[:, 1], along[:, 0]), dim=-1), dim=-1)

    linear = network(source, driving)[0, :, :2, :2]
    kept = ((linear @ across(driving)[..., None])[..., 0] * across(source)).sum(dim=-1)  # (K,)
    torch.testing.assert_close(kept[2:], torch.ones(LIMB_COUNT - 2), atol=1e-5, rtol=0)
    assert (kept[:2] - 1).abs().min() > 0.01, "head and trunk turn"


@pytest.mark.parametrize("limb", [HEAD, TRUNK])
def test_of_heads_and_trunks_no_stripe_is_shown_whatever_was_learned(limb):
    network = LimbMotion(LIMB_COUNT, 5, 8)
    torch.nn.init.normal_(network.net[-1].weight, std=10)
    source, driving = standing(), standing(0.2, raised=True)
    strip = source[0, limb, :4]  # upright; at either end as far to the right as to the left of x = 0
    transform = network(source, driving)[0, limb]
    shown = driving[0, limb, :4] @ transform[:2, :2].T + transform[:2, 2]
    half_width, length = (strip[0, 0] - strip[3, 0]).abs() / 2, (strip[0, 1] - strip[2, 1]).abs()
    for end in (shown[:2], shown[2:]):
        assert (end[0, 0] - end[1, 0]).abs() / 2 > 0.35 * half_width
        assert end[:, 0].mean().abs() < 0.65 * half_width
    assert (shown[:2, 1].mean() - shown[2:, 1].mean()).abs() > 0.45 * length


def with_face(points: torch.Tensor, degrees: float = 0.0) -> torch.Tensor:
    """Strips ``(1, 10, 5, 2)`` and a face that looks at the camera, its head held aslant: ``(1, 11, 5, 2)``."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    face = torch.tensor([[0.04, -0.04], [-0.04, -0.04], [0.03, 0.04], [-0.03, 0.04], [0.0, 0.0]])  # about the nose
    return torch.cat((points, (face @ turn.mT + points[:, HEAD, 4])[None, None]), dim=1)


def test_a_head_is_held_as_the_face_says_where_that_contradicts_the_strips():
    network = LimbMotion(LIMB_COUNT, 5)
    source, driving = with_face(standing()), with_face(standing(0.2), degrees=50)
    strips_alone, transforms = network(source[:, :LIMB_COUNT], driving[:, :LIMB_COUNT]), network(source, driving)
    taken = driving[:, -1] @ transforms[:, HEAD, :2, :2].mT + transforms[:, HEAD, :2, 2]
    torch.testing.assert_close(taken, source[:, -1])
    torch.testing.assert_close(transforms[:, HEAD + 1 :], strips_alone[:, HEAD + 1 :])


def test_a_face_that_hardly_contradicts_or_is_another_does_not_turn_the_head():
    network = LimbMotion(LIMB_COUNT, 5)
    another = with_face(standing(0.2))
    another[:, -1] = another[:, -1].roll(2, dims=1)
    for driving in (with_face(standing(0.2), degrees=15), another):
        strips_alone = network(standing(), driving[:, :LIMB_COUNT])
        torch.testing.assert_close(network(with_face(standing()), driving), strips_alone)


def test_a_limb_that_points_at_the_camera_is_moved_within_reason():
    driving = standing()
    driving[:, 3, 2:4] = driving[:, 3, 0:2]  # a forearm of no length
    transforms = LimbMotion(LIMB_COUNT, 5)(standing(), driving)
    assert transforms[:, 3].isfinite().all()
    assert transforms[:, 3].abs().max() < 10


def test_what_a_limb_learns_is_the_same_wherever_and_how_large_the_person_is():
    network = LimbMotion(LIMB_COUNT, 5, 8)
    torch.nn.init.normal_(network.net[-1].weight)
    source, driving = standing(), standing(0.1, raised=True)
    here = network(source, driving)
    scale = torch.diag(torch.tensor([0.5, 0.5, 1.0]))
    scale[0, 2] = 0.3
    there = network(source * 0.5 + torch.tensor([0.3, 0.0]), driving * 0.5 + torch.tensor([0.3, 0.0]))
    torch.testing.assert_close(there, scale @ here @ torch.linalg.inv(scale), atol=1e-4, rtol=0)


def test_folding_the_norm_changes_nothing_and_follows_the_weights():
    block = Block(3, 4).eval()
    torch.nn.init.normal_(block[1].running_mean)
    torch.nn.init.uniform_(block[1].running_var, 0.5, 2)
    x = torch.randn(2, 3, 8, 8)
    for _ in range(2):
        with torch.no_grad():
            folded = block(x)
        torch.testing.assert_close(folded, block(x).detach())
        torch.nn.init.normal_(block[0].weight)
    assert isinstance(copy.deepcopy(block), Block)


def moved_layers(networks: tuple[LayoutNetwork, LayerPainter], picture: torch.Tensor):
    backbone = LayeredBackbone(*networks)
    source = backbone.encode(picture, found())
    return backbone, source, backbone.motion(source, found(0.1, raised=True))


def test_sampling_limbs_where_they_are_gives_the_picture_of_sampling_all_everywhere(networks, picture):
    for still in [True, False]:
        with torch.no_grad():
            _, source, motion = moved_layers(networks, picture)
            if not still:
                turned = motion.transforms.clone()
                turned[:, 0, 0, 2] = 0.05
                motion = replace(motion, transforms=turned, still_background=False)
            boxed = compose(source, motion)
        with torch.enable_grad():
            whole = compose(source, motion)
        torch.testing.assert_close(
            boxed.image, whole.image, atol=2e-2, rtol=0
        )  # a layer of less than 1/512 is left out
        assert (boxed.image - whole.image).abs().mean() < 1e-3
        torch.testing.assert_close(boxed.visible, whole.visible, atol=2e-2, rtol=0)


def test_the_part_that_limbs_may_be_in_is_laid_out_as_with_all_around_it(networks, picture):
    layout, _ = networks
    pose = found(0.1, raised=True)
    limbs = F.interpolate(capsules(standing(), 64), scale_factor=2)
    parts = torch.cat((1 - limbs.amax(dim=1, keepdim=True), limbs), dim=1)
    source = layered_source(layout, picture, found(), parts / parts.sum(dim=1, keepdim=True))
    with torch.no_grad():
        part = layout(source, pose)
    with torch.enable_grad():
        whole = layout(source, pose)
    inside = F.interpolate(capsules(pose.points, 64).amax(dim=1, keepdim=True), scale_factor=2) > 0.5
    apart = (part.layer_logits - whole.layer_logits).detach().abs() * inside
    assert apart.max() < 0.05
    more = (part.visibility_logits - whole.visibility_logits).detach() * inside
    assert more.max() < 0.05, "seen is less: nothing of the scene beside the figure in the source"
    assert more.min() < -0.5
    assert (part.contribution_maps[:, 0, :, :8] == 1).all(), "far from all limbs is background"


def test_real_pixels_come_through_exactly_where_they_are_seen(picture):
    """Layers that are sure, and a limb moved by whole pixels."""
    parts = torch.zeros(1, LIMB_COUNT + 1, 128, 128)
    parts[:, 0] = 1
    source = layered_source(LayoutNetwork(widths=(8, 8), part_widths=(8, 8)), picture, found(), parts)
    source = replace(source, background=torch.zeros_like(picture))
    logits = torch.full((1, LIMB_COUNT + 1, 128, 128), -40.0)
    logits[:, 1, :, :64], logits[:, 0, :, 64:] = 40.0, 40.0  # the head in the left half, the background in the right
    transforms = torch.eye(3).repeat(1, LIMB_COUNT + 1, 1, 1)
    transforms[:, 1, 0, 2] = 2 * 10 / 159  # ten pixels
    sure = torch.full((1, LIMB_COUNT, 128, 128), 40.0)
    motion = LayeredMotion(
        transforms, logits, sure, transforms[:, 1:], torch.zeros(1, LIMB_COUNT), still_background=True
    )
    with torch.no_grad():
        view = compose(source, motion)
    torch.testing.assert_close(view.image[..., :78], picture[..., 10:88], atol=1e-5, rtol=0)
    assert view.image[..., 82:].abs().max() == 0
    torch.testing.assert_close(view.visible, torch.ones_like(view.visible))


def test_what_is_hidden_of_a_limb_is_taken_from_the_other_sides_turned_over(networks, picture):
    """The person stands in the middle and does not move; the right thigh is hidden, the left one is striped."""
    layout, _ = networks
    right, left = (1 + LIMBS.index(name) for name in ("right_thigh", "left_thigh"))
    drawn = F.interpolate(capsules(standing(), 64), scale_factor=2) > 0.2  # (1, K, 128, 128)
    parts = torch.zeros(1, LIMB_COUNT + 1, 128, 128)
    parts[:, left] = drawn[:, left - 1].float()
    parts[:, 0] = 1 - parts[:, left]
    source = layered_source(layout, picture, found(), parts)
    logits = torch.zeros(1, LIMB_COUNT + 1, 128, 128)
    logits[:, 0], logits[:, right] = 10, 20.0 * drawn[:, right - 1]
    inside = F.interpolate(capsules(standing(), 64)[:, right - 1, None], picture.shape[-2:])[0, 0] > 0.4
    with torch.no_grad():
        motion = replace(layout(source, found()), layer_logits=logits)
        hidden = replace(motion, visibility_logits=torch.full_like(motion.visibility_logits, -40.0))
        for everywhere in (False, True):
            view = compose(source, hidden, everywhere)
            assert inside.sum() > 100
            apart = (view.image - picture.flip(-1))[..., inside].abs()
            assert apart.mean() < 0.02
            assert view.visible[0, 0, inside].mean() > 0.9
            assert view.direct[0, 0, inside].max() < 0.1
            nowhere = replace(source, parts=torch.zeros_like(parts))
            assert compose(nowhere, hidden, everywhere).visible[0, 0, inside].max() < 0.1, "neither shows it"


def test_a_photo_that_shows_a_place_goes_before_the_mirrored_picture_of_another():
    shipped = MotionInterpPipeline.from_pretrained()
    shares, colours = torch.ones(1, LIMB_COUNT + 1, 8, 8) / (LIMB_COUNT + 1), torch.zeros(1, LIMB_COUNT + 1, 3)
    one = torch.ones(1, 1, 8, 8)
    mirrored = LayeredView(torch.zeros(1, 3, 8, 8), one, 0 * one, shares, colours, shares)
    shown = LayeredView(torch.ones(1, 3, 8, 8), one, one, shares, colours, shares)
    backbone = LayeredBackbone(shipped.dense_motion_network, shipped.image_generator)
    with torch.no_grad():
        assert backbone.fuse(shipped.view_fusion, [mirrored, shown], ["source"] * 2).image.min() > 0.99


def test_a_head_that_looks_to_the_other_side_is_turned_over(networks, picture):
    def looking(aside: float) -> Keypoints:
        there = found()
        there.points[:, 0, 4, 0] = aside * 0.075  # half a head's width is 0.075 here
        return there

    backbone = LayeredBackbone(*networks)
    with torch.no_grad():
        source = backbone.encode(picture, looking(0.7))
        sides = {aside: backbone.motion(source, looking(aside)).turned for aside in (0.7, 0.0, -0.3, -0.7, 1.2)}
        assert {aside: float(each[0, 0]) for aside, each in sides.items()} == {0.7: 0, 0.0: 0, -0.3: 0, -0.7: 1, 1.2: 0}
        assert all(each[:, 1:].abs().max() == 0 for each in sides.values())
        motion = backbone.motion(source, looking(-0.7))
        twice = backbone.composed(motion, motion)
        assert twice.turned[0, 0] == 0
        # All of it is shown by both: the mirrored one goes before
        head = capsules(standing(), 64)[:, 0, None]
        parts = torch.zeros_like(source.parts)
        parts[:, 1], parts[:, 0] = 1, 0
        shown = replace(motion, visibility_logits=torch.full_like(motion.visibility_logits, 40.0))
        shown = replace(
            shown,
            layer_logits=torch.where(torch.arange(LIMB_COUNT + 1)[:, None, None] == 1, 40.0, -40.0).expand_as(
                motion.layer_logits
            ),
        )
        inside = F.interpolate(head, picture.shape[-2:])[0, 0] > 0.4
        over = backbone.view(replace(source, parts=parts), shown).image
        itself = backbone.view(
            replace(source, parts=parts), replace(shown, turned=torch.zeros_like(shown.turned))
        ).image
        unseen = torch.full_like(motion.visibility_logits, -40.0)
        hidden = replace(shown, visibility_logits=unseen, turned=torch.zeros_like(shown.turned))
        for everywhere in (False, True):
            visible = compose(replace(source, parts=parts), hidden, everywhere).visible
            assert visible[0, 0, inside].max() < 0.1, "half a face beside the other is two faces"
    assert (over - picture.flip(-1))[..., inside].abs().mean() < 0.03
    assert (itself - picture)[..., inside].abs().mean() < 0.03


def test_borders_between_layers_are_no_stairs():
    """A slanted border, of which the network is sure on both sides."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    sure = 8 * (columns - 20 - 0.3 * rows).sign()
    logits = torch.cat((-sure[None, None], sure[None, None]), dim=1)
    same = torch.eye(3).repeat(1, 2, 1, 1)
    motion = LayeredMotion(same, logits, logits[:, 1:], same[:, 1:], torch.zeros(1, 1))
    with torch.no_grad():
        shares = figure_share(motion.decided[0], (512, 512))[0, 0]
    border = (shares < 0.5).sum(dim=1)[64:-64].float()  # where it is in each row of pixels
    straight = torch.linspace(float(border[0]), float(border[-1]), len(border))
    assert (border - straight).abs().max() < 3  # pixels; a cell has 8


def test_two_hops_as_one_go_where_both_go_and_are_seen_where_both_see(networks, picture):
    with torch.no_grad():
        backbone, source, first = moved_layers(networks, picture)
        second = backbone.motion(source, found(-0.1))
        both = backbone.composed(first, second)
        torch.testing.assert_close(both.transforms, first.transforms @ second.transforms)
        assert (both.visibility_logits <= second.visibility_logits + 1e-3).all()
        nothing = backbone.unmoved(second, torch.tensor([True]))
        torch.testing.assert_close(backbone.composed(first, nothing).transforms, first.transforms)


def test_the_mixed_deformation_is_for_measuring(networks, picture):
    with torch.no_grad():
        backbone, _, motion = moved_layers(networks, picture)
        assert motion.deformation.shape == (1, 128, 128, 2)
        still = backbone.unmoved(motion, torch.tensor([True]))
        torch.testing.assert_close(still.deformation, affine_grid(torch.eye(3)[None], 128, 128), atol=1e-5, rtol=0)


def test_an_interpolated_image_has_the_parts_of_its_motion_and_the_sources_scene(networks, picture):
    with torch.no_grad():
        backbone, source, motion = moved_layers(networks, picture)
        made = backbone.paint(backbone.view(source, motion))
        still = backbone.between(source, motion, made, found(0.1, raised=True))
        assert still.image.equal(made)
        assert still.background.equal(source.background)
        torch.testing.assert_close(still.parts, motion.layer_logits.softmax(dim=1))
        right = motion.transforms.clone()
        right[:, 0, 0, 2] = 2 * 10 / 159  # ten pixels
        moved = replace(motion, transforms=right, still_background=False)
        shifted = backbone.between(source, moved, made, found(0.1, raised=True)).background
        torch.testing.assert_close(shifted[..., :-10], source.background[..., 10:], atol=1e-4, rtol=0)


def test_a_coarse_motion_is_what_the_layout_begins_with(networks, picture):
    layout = copy.deepcopy(networks[0])
    torch.nn.init.zeros_(layout.layout_net.head.weight)
    with torch.no_grad():
        source = LayeredBackbone(*networks).encode(picture, found())
        pose = found(0.1, raised=True)
        coarse = layout.coarse(source, pose)
    whole = layout(source, pose)  # with gradients, all of the picture
    torch.testing.assert_close(coarse.transforms, whole.transforms)
    apart = F.avg_pool2d(whole.layer_logits, 2) - coarse.layer_logits
    assert coarse.layer_logits.shape == apart.shape == (1, LIMB_COUNT + 1, 64, 64)
    assert apart.abs().mean() < 0.1
    judged = LayeredBackbone(*networks).coarse(source, pose)
    assert (judged.deformation.shape, judged.visibility.shape) == ((1, 64, 64, 2), (1, 64, 64))


def test_keypoints_without_a_silhouette_are_refused(networks, picture):
    with pytest.raises(InputError, match="silhouette"):
        LayeredBackbone(*networks).encode(picture, Keypoints(standing()))


def test_a_fresh_painter_keeps_what_is_seen_and_continues_what_surrounds_the_rest(picture):
    painter = LayerPainter(widths=(8, 8), background_widths=(8, 8)).eval()
    figure = torch.zeros(1, 1, 128, 128)
    figure[:, :, 40:80, 50:70] = 1
    plain = torch.full((1, 3, 128, 128), 0.3)
    plain[:, 0, 40:80, 50:70] = 1.0
    with torch.no_grad():
        scene = painter.background(plain, figure)
    torch.testing.assert_close(scene, torch.full_like(scene, 0.3), atol=2e-2, rtol=0)


def test_what_is_seen_of_the_figure_stays_as_it_is_and_the_scene_may_lie_in_shadow(networks, picture):
    painter = networks[1]
    logits = torch.full((1, LIMB_COUNT + 1, 128, 128), -40.0)
    logits[:, 1, :, :64], logits[:, 0, :, 64:] = 40.0, 40.0  # the head in the left half, the background in the right
    motion = LayeredMotion(torch.eye(3), logits, logits[:, 1:], torch.eye(3), torch.zeros(1, LIMB_COUNT))
    seen = torch.ones_like(picture[:, :1])
    view = LayeredView(picture, seen, seen, motion.contribution_maps, torch.full((1, LIMB_COUNT + 1, 3), 0.5), logits)
    with torch.no_grad():
        made = painter(view)
    torch.testing.assert_close(made[..., :77], picture[..., :77], atol=1e-5, rtol=0)
    assert (made - picture)[..., 84:].abs().max() > 0.02


def test_holes_are_filled_from_their_borders():
    image = torch.full((1, 1, 16, 16), 0.8)
    known = torch.ones_like(image)
    known[..., 4:12, 4:12] = 0
    torch.testing.assert_close(filled(image * known, known), image, atol=1e-4, rtol=0)


def test_a_limb_that_is_hidden_has_the_colour_of_the_other_one():
    image = torch.zeros(1, 3, 32, 32)
    parts = torch.zeros(1, LIMB_COUNT + 1, 32, 32)
    left, right = 1 + LIMBS.index("left_forearm"), 1 + LIMBS.index("right_forearm")
    parts[:, left, 4:8, 4:8] = 1
    image[:, 1, 4:8, 4:8] = 1
    colours = part_colours(image, parts, LAYERS_MIRRORED)
    torch.testing.assert_close(colours[0, left], torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(colours[0, right], torch.tensor([0.0, 1.0, 0.0]))


def test_a_size_that_the_levels_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="size"):
        LayoutNetwork(size=60, widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="size"):
        LayerPainter(size=100, widths=(8, 8, 8, 8))


def test_what_a_figure_hides_is_continued_with_pieces_of_the_scene():
    y = torch.arange(192)[:, None].expand(-1, 192)
    boards = 0.4 + 0.3 * ((y // 16) % 2)
    scene = boards.float().expand(1, 3, -1, -1).contiguous()
    figure = torch.zeros(1, 1, 96, 96)
    figure[..., 30:80, 40:56] = 1
    hidden = hidden_cells(figure)
    behind = F.interpolate(hidden, scale_factor=2) > 0
    painted = torch.where(behind, F.avg_pool2d(scene, 25, 1, 12, count_include_pad=False), scene)  # right, but blurred
    made = fill_scene(painted, hidden)
    torch.testing.assert_close(made[~behind.expand_as(made)], scene[~behind.expand_as(made)], atol=0.02, rtol=0)
    error, blurred = ((each - scene).abs()[behind.expand_as(made)].mean() for each in (made, painted))
    assert error < 0.4 * blurred


def test_where_no_piece_of_the_scene_fits_the_painting_stays():
    hidden = torch.zeros(1, 1, 64, 64)
    hidden[..., 20:40, 20:40] = 1
    painted = torch.zeros(1, 3, 128, 128)
    painted[:, 0] = 0.9 * F.interpolate(hidden, scale_factor=2)[:, 0]  # red where all else is black
    assert fill_scene(painted, hidden)[0, 0, 46:74, 46:74].mean() > 0.7
    everywhere = torch.ones_like(hidden)
    assert fill_scene(painted, everywhere) is painted
    assert fill_scene(painted, torch.zeros_like(hidden)) is painted
