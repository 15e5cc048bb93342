"""One hop, two hops over an interpolated image, and the candidates, against the same done step by step."""

import pytest
import torch
from subcases import each_case

from motion_core import Keypoints, ViewFusion
from motion_core.geometry import identity_grid, sample, warp
from motion_core.interpolation import interpolate_background, interpolate_keypoints
from motion_core.networks.tpsmm.backbone import TPSMMBackbone
from motion_core.structures import DenseMotion
from motion_core.transfer import MotionTransfer, displacement

CLOSE = {"atol": 2e-5, "rtol": 0}


def times(*values):
    return torch.tensor(values)


def with_fusion(hop_case, **options):
    config = hop_case.parts["image_generator"].config
    widths = {name: config[name] for name in ("block_expansion", "max_features", "num_down_blocks")}
    fusion = ViewFusion(**widths, **options)
    for parameter in fusion.parameters():  # as after training: every view counts somewhere
        torch.nn.init.normal_(parameter, std=0.3)
    return MotionTransfer(hop_case.parts | {"view_fusion": fusion})


@each_case("background", [False, True])
@torch.no_grad()
def test_at_time_0_it_is_the_plain_backbone_to_the_bit(hop_case, background):
    case, method = hop_case, hop_case.method
    transform = case.backgrounds if background else None

    generated = method.generate([case.source], case.poses, [transform], times(0.0, 0.0, 0.0))

    small = method.backbone.dense_motion_network.shrink_source(case.image)
    motion = method.backbone.dense_motion_network(small, case.source.keypoints, case.poses, transform)
    image = method.backbone.image_generator(method.backbone.image_generator.encode(case.image), motion)
    assert generated.image.equal(image)
    assert generated.optimal is case.source
    assert len(generated.hops) == 1
    assert generated.hops[0].deformation.equal(motion.deformation)
    assert generated.visible.equal(motion.occlusion_masks[-1])


@each_case("path", ["linear", "rigid"])
@each_case("background", [False, True])
@torch.no_grad()
def test_two_hops_equal_the_same_step_by_step(hop_case, background, path):
    case, t = hop_case, times(0.25, 0.5, 0.9)
    motion_network, generator = case.method.backbone.dense_motion_network, case.method.backbone.image_generator
    transform = case.backgrounds if background else None

    generated = case.method.generate([case.source], case.poses, [transform], t, path)

    keypoints = interpolate_keypoints(case.source.keypoints, case.poses, t, path)
    there = interpolate_background(transform, t) if background else None
    small = motion_network.shrink_source(case.image)
    first = motion_network(small, case.source.keypoints, keypoints, there)
    between = generator(generator.encode(case.image), first)
    left = torch.linalg.inv(there) @ transform if background else None
    last = motion_network(motion_network.shrink_source(between), keypoints, case.poses, left)
    image = generator(generator.encode(between), last)
    torch.testing.assert_close(generated.image, image, **CLOSE)
    torch.testing.assert_close(generated.optimal.image, between, **CLOSE)
    torch.testing.assert_close(generated.optimal.keypoints.points, keypoints.points, **CLOSE)
    for hop, expected in zip(generated.hops, (first, last), strict=True):
        torch.testing.assert_close(hop.deformation, expected.deformation, **CLOSE)
    torch.testing.assert_close(generated.visible, last.occlusion_masks[-1], **CLOSE)
    straight = case.method.generate([case.source], case.poses, [transform], torch.zeros(3)).image
    assert (image - straight).abs().mean() > 0.01  # so the hop does something


@torch.no_grad()
def test_background_transforms_of_the_two_hops_multiply_to_the_whole(hop_case, monkeypatch):
    case, used = hop_case, []
    motion_network = case.method.backbone.dense_motion_network
    transformations = motion_network.transformations
    monkeypatch.setattr(
        motion_network,
        "transformations",
        lambda size, source, driving, background: (
            used.append(background) or transformations(size, source, driving, background)
        ),
    )

    case.method.generate([case.source], case.poses, [case.backgrounds], times(0.2, 0.5, 0.8))

    first, second = used
    assert not torch.allclose(first, case.backgrounds, atol=1e-3)
    torch.testing.assert_close(first @ second, case.backgrounds, atol=1e-5, rtol=0)


@each_case(
    ("fusion", "photos"),
    [(None, 1), ({}, 1), ({}, 2), ({"composed_view": True}, 1), ({"composed_view": True}, 2)],
)
@torch.no_grad()
def test_a_batch_that_mixes_hops_and_no_hops_equals_its_samples_alone(hop_case, fusion, photos):
    case, t = hop_case, times(0.5, 0.0, 0.25)
    method = case.method if fusion is None else with_fusion(case, **fusion)
    sources = [case.source]
    if photos == 2:
        mirrored = case.image.flip(-1)
        sources.append(method.encode(mirrored))

    mixed = method.generate(sources, case.poses, [case.backgrounds] * photos, t)

    for index in range(3):
        one = slice(index, index + 1)
        pose, transform = Keypoints(case.poses.points[one]), case.backgrounds[one]
        alone = method.generate(sources, pose, [transform] * photos, t[one])
        torch.testing.assert_close(mixed.image[one], alone.image, atol=1e-4, rtol=0)
        torch.testing.assert_close(mixed.visible[one], alone.visible, atol=1e-4, rtol=0)
        deformation = mixed.hops[-1].deformation[one]
        torch.testing.assert_close(deformation, alone.hops[-1].deformation, **CLOSE)
    still = mixed.hops[0]
    assert still.deformation[1].equal(identity_grid(32, 32, still.deformation))
    assert all(bool((mask[1] == 1).all()) for mask in still.occlusion_masks)
    assert mixed.optimal.image[1].equal(case.image[0])


def test_gradient_reaches_the_networks_through_the_interpolated_image(hop_case):
    """The second hop's motion is held still, so what arrives came through the first hop's image."""
    case = hop_case
    method = case.method
    t, pose = times(0.5), Keypoints(case.poses.points[:1])
    image, keypoints, _ = method.interpolate(case.source, pose, None, t, "linear")
    with torch.no_grad():
        last = method.backbone.motion(method.backbone.encode(image, keypoints), pose)
    features = method.backbone.image_generator.encode(image)
    result = method.backbone.image_generator.paint(method.backbone.image_generator.warp(features, last))
    wanted = [
        method.backbone.dense_motion_network.maps.weight,
        *method.backbone.dense_motion_network.occlusion.parameters(),
    ]

    gradients = torch.autograd.grad(result.square().mean(), wanted)

    assert all(bool(gradient.isfinite().all()) and gradient.abs().max() > 0 for gradient in gradients)


@each_case("fusion", [None, {"composed_view": True}])
def test_all_parameters_get_a_finite_gradient_where_t_is_mixed(hop_case, fusion):
    case = hop_case
    method = case.method if fusion is None else with_fusion(case, **fusion)
    points = case.source.keypoints.points.clone().requires_grad_()
    source = method.backbone.encode(case.image, Keypoints(points))

    generated = method.generate([source], case.poses, [case.backgrounds], times(0.0, 0.3, 0.7))
    parameters = [
        *method.backbone.dense_motion_network.parameters(),
        *method.backbone.image_generator.parameters(),
        *(method.view_fusion.parameters() if fusion else ()),
        points,
    ]
    gradients = torch.autograd.grad(generated.image.square().mean(), parameters, allow_unused=True)

    assert not any(gradient is None for gradient in gradients)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert gradients[-1].abs().max() > 0


@each_case("background", [False, True])
@each_case("num_masks", [4, 1])
@torch.no_grad()
def test_candidates_are_the_first_hops_and_no_image_is_made(hop_case, monkeypatch, background, num_masks):
    case, method = hop_case, hop_case.method
    if num_masks == 1:
        options = dict(method.backbone.dense_motion_network.config) | {"num_masks": 1}
        options = {name: value for name, value in options.items() if not name.startswith("_")}
        single = type(method.backbone.dense_motion_network)(**options)
        method = MotionTransfer(case.parts | {"dense_motion_network": single.eval()})
    grid = times(0.0, 0.25, 0.5, 0.75).expand(3, 4)
    transform = case.backgrounds if background else None
    monkeypatch.setattr(method.backbone.image_generator, "paint", None)  # it would be called

    candidates = method.candidates(case.source, case.poses, transform, grid)

    assert candidates.deformation.shape == (3, 4, 32, 32, 2)
    assert candidates.visibility.shape == (3, 4, 32, 32)
    for column, t in enumerate(grid[0]):
        keypoints = interpolate_keypoints(case.source.keypoints, case.poses, grid[:, column])
        there = None if transform is None else interpolate_background(transform, grid[:, column])
        motion = method.backbone.dense_motion_network(case.source.small_image, case.source.keypoints, keypoints, there)
        own = motion.occlusion_masks[1 if num_masks == 4 else 0]  # of the deformation's size
        torch.testing.assert_close(candidates.visibility[:, column], own[:, 0], **CLOSE)
        expected = identity_grid(32, 32, grid).expand(3, -1, -1, -1) if t == 0 else motion.deformation
        torch.testing.assert_close(candidates.deformation[:, column], expected, **CLOSE)
        whole = displacement(case.source.keypoints, case.poses)
        torch.testing.assert_close(candidates.remaining[:, column], (1 - t) * whole, **CLOSE)
        torch.testing.assert_close(candidates.displacement, whole, **CLOSE)


@torch.no_grad()
def test_displacement_is_the_keypoints_mean_distance(hop_case):
    start, end = hop_case.source.keypoints, hop_case.poses

    found = displacement(start, end)

    for index in range(3):
        pairs = zip(start.points[0].reshape(-1, 2).tolist(), end.points[index].reshape(-1, 2).tolist(), strict=True)
        lengths = [((a - c) ** 2 + (b - d) ** 2) ** 0.5 for (a, b), (c, d) in pairs]
        assert found[index].item() == pytest.approx(sum(lengths) / len(lengths), abs=1e-6)


def test_the_composed_motion_samples_once_what_two_hops_sample_twice():
    """For affine deformations of a linear picture both are exact; a mask is 1 only where both hops see."""
    grid = identity_grid(16, 16, torch.zeros(1))[None]
    turn = torch.tensor([[0.8, -0.3], [0.3, 0.8]])
    first, second = grid @ turn.T * 0.8 + 0.05, 0.7 * grid - 0.1  # neither leaves the picture
    picture = (grid @ torch.tensor([0.6, -0.2]) + 0.1)[:, None]  # (1, 1, 16, 16)
    ones = torch.ones(1, 1, 16, 16)
    half = ones.clone()
    half[..., :8] = 0  # the left half is hidden in the first hop

    motion = TPSMMBackbone(None, None).composed(
        DenseMotion(first, ones, (half,)), DenseMotion(second, ones, (0.5 * ones,))
    )

    torch.testing.assert_close(motion.deformation, (second @ turn.T) * 0.8 + 0.05, atol=1e-6, rtol=0)
    twice = sample(sample(picture, first), second)
    torch.testing.assert_close(warp(picture, motion.deformation), twice, atol=1e-5, rtol=0)
    torch.testing.assert_close(motion.occlusion_masks[0], sample(half, second) * 0.5, atol=1e-6, rtol=0)
    visible = motion.occlusion_masks[0][0, 0]
    column = (torch.linspace(-1, 1, 16) * 0.7 - 0.1 + 1) / 2 * 15  # of the first hop that is seen there
    assert bool((visible[:, column < 7] == 0).all())
    torch.testing.assert_close(visible[:, column > 8], torch.full((16, int((column > 8).sum())), 0.5))
