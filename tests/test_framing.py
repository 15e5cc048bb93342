"""Framing: a picture into the networks' image and back, and into the full picture."""

import doctest

import pytest
import torch

from motion_core import framing
from motion_core.errors import InputError
from motion_core.framing import (
    Placement,
    from_network,
    network_points,
    network_region,
    paste_back,
    picture_points,
    place_in,
    place_own,
    preview,
    room_box,
    subject_box,
    to_network,
)

SIZES = [(480, 640), (640, 480), (100, 1000), (333, 217), (64, 64), (1, 1), (2000, 3), (257, 256)]


def smooth(height: int, width: int, batch: int = 1) -> torch.Tensor:
    """A picture (batch, 3, height, width) without detail that resizing could lose."""
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    planes = torch.stack([y.expand(height, width), x.expand(height, width), (x + y) / 2])
    return (0.1 + 0.8 * planes).expand(batch, 3, height, width).clone()


def test_examples_in_docstrings():
    assert doctest.testmod(framing).failed == 0
    assert doctest.testmod(framing).attempted == 7


def test_boxes_lie_within_their_images():
    for fit in ["pad", "crop", "stretch"]:
        for picture in SIZES:
            for network in [(256, 256), (128, 384)]:
                placement = place_in(picture, network, fit)
                for (top, left, height, width), (full_height, full_width) in (
                    (placement.crop, picture),
                    (placement.content, network),
                ):
                    assert top >= 0
                    assert left >= 0
                    assert height >= 1
                    assert width >= 1
                    assert top + height <= full_height
                    assert left + width <= full_width
                image = torch.rand(2, 3, *picture)
                assert to_network(image, placement).shape == (2, 3, *network)
                assert from_network(torch.rand(2, 3, *network), placement).shape == (2, 3, *placement.content[2:])
                assert "\n" not in placement.describe()
                assert f"{picture[1]} x {picture[0]}" in placement.describe()


def test_pad_keeps_the_whole_picture_and_its_aspect():
    for picture in SIZES:
        placement = place_in(picture, (256, 256))
        _, _, height, width = placement.content
        assert placement.crop == (0, 0, *picture)
        assert max(height, width) == 256
        assert height % 2 == 0
        assert width % 2 == 0
        exact = 256 * min(picture) / max(picture)
        assert abs(min(height, width) - max(exact, 2)) <= 1  # the nearest even number, at least 2


def test_pad_is_centred_and_repeats_the_border():
    image = torch.rand(1, 3, 100, 200)
    placement = place_in((100, 200), (200, 200))
    assert placement.content == (50, 0, 100, 200)
    padded = to_network(image, placement)
    assert torch.equal(padded[..., 50:150, :], image)
    assert torch.equal(padded[..., :50, :], image[..., :1, :].expand(1, 3, 50, 200))
    assert torch.equal(padded[..., 150:, :], image[..., -1:, :].expand(1, 3, 50, 200))


def test_crop_takes_the_middle_with_the_networks_aspect():
    assert place_in((480, 640), (256, 256), "crop").crop == (0, 80, 480, 480)
    assert place_in((640, 480), (128, 256), "crop").crop == (200, 0, 240, 480)
    assert place_in((480, 640), (256, 256), "crop").content == (0, 0, 256, 256)


def test_stretch_uses_everything():
    placement = place_in((480, 640), (256, 256), "stretch")
    assert placement.crop == (0, 0, 480, 640)
    assert placement.content == (0, 0, 256, 256)
    assert placement.describe().endswith("stretched")


def test_box_limits_what_is_used():
    placement = place_in((480, 640), (256, 256), "crop", box=(100, 200, 120, 100))
    assert placement.crop == (110, 200, 100, 100)
    image = torch.rand(1, 3, 480, 640)
    same = place_in((480, 640), (100, 100), "crop", box=(110, 200, 100, 100))
    assert torch.equal(to_network(image, same), image[..., 110:210, 200:300])


def test_there_and_back_is_bit_exact_where_nothing_is_resized():
    for size in [(256, 256), (100, 256), (256, 64)]:
        image = torch.rand(3, 3, *size)
        placement = place_in(size, (256, 256))
        assert torch.equal(from_network(to_network(image, placement), placement), image)


def test_constant_pictures_stay_constant():
    for fit in ("pad", "crop", "stretch"):
        network = to_network(torch.full((1, 3, 333, 217), 0.37), place_in((333, 217), (256, 256), fit))
        torch.testing.assert_close(network, torch.full_like(network, 0.37), atol=1e-6, rtol=0)


def test_resizing_agrees_with_the_mean_and_stays_in_range():
    image = torch.zeros(1, 3, 512, 512)
    image[..., ::4, :] = 1  # stripes that a resize without antialiasing would lose
    network = to_network(image, place_in((512, 512), (128, 128)))
    torch.testing.assert_close(network[..., 8:-8, :], torch.full((1, 3, 112, 128), 0.25), atol=0.02, rtol=0)
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    network = to_network(edge, place_in((8, 8), (64, 64)))
    assert network.min() == 0
    assert network.max() == 1


def test_preview_dims_what_is_not_used_and_outlines_what_is():
    image = torch.full((1, 3, 100, 200), 0.8)
    shown = preview(image, place_in((100, 200), (64, 64), "crop"))  # crop (0, 50, 100, 100)
    torch.testing.assert_close(shown[..., :50], image[..., :50] * 0.35)
    torch.testing.assert_close(shown[..., 150:], image[..., 150:] * 0.35)
    assert torch.equal(shown[..., 1:-1, 51:149], image[..., 1:-1, 51:149])
    assert torch.equal(shown[0, :, 50, 50], torch.tensor([1.0, 0.6, 0.0]))
    assert torch.equal(image, torch.full((1, 3, 100, 200), 0.8))  # not changed


def test_paste_back_leaves_everything_outside_the_box_alone():
    for feather in [0.0, 0.1, 0.5]:
        picture, frames = torch.rand(1, 3, 90, 120), torch.rand(4, 3, 64, 64)
        placement = place_in((90, 120), (64, 64), "crop", box=(20, 30, 40, 50))
        before = picture.clone()
        result = paste_back(picture, frames, placement, feather)
        top, left, height, width = placement.crop
        inside = torch.zeros(90, 120, dtype=torch.bool)
        inside[top : top + height, left : left + width] = True
        assert result.shape == (4, 3, 90, 120)
        assert torch.equal(result[..., ~inside], picture.expand(4, 3, 90, 120)[..., ~inside])
        assert not torch.equal(result[..., inside], picture.expand(4, 3, 90, 120)[..., inside])
        assert torch.equal(picture, before)


def test_paste_back_of_the_same_frame_shows_no_seam():
    picture = smooth(120, 160)
    placement = place_in((120, 160), (64, 64), "crop", box=(20, 30, 80, 80))
    frames = from_network(to_network(picture, placement), placement)
    torch.testing.assert_close(paste_back(picture, frames, placement), picture, atol=0.005, rtol=0)
    exact = place_in((120, 160), (80, 80), "crop", box=(20, 30, 80, 80))  # nothing is resized: not one bit changes
    frames = from_network(to_network(picture, exact), exact)
    assert torch.equal(paste_back(picture, frames, exact), picture)


def test_feather_rises_only_at_edges_within_the_picture():
    picture, frames = torch.zeros(1, 3, 100, 100), torch.ones(1, 3, 50, 50)
    corner = place_in((100, 100), (50, 50), "crop", box=(0, 50, 50, 50))  # touches the top and the right border
    weight = paste_back(picture, frames, corner, feather=0.2)[0, 0]  # (100, 100)
    assert torch.equal(weight[0, 60:], torch.ones(40))
    assert torch.equal(weight[:40, -1], torch.ones(40))
    left = weight[10, 50:62]
    assert 0 < left[0] < 0.05
    assert bool((left.diff() >= 0).all())
    assert left[10] == 1
    below = weight[40:50, 90]
    assert bool((below.diff() <= 0).all())
    assert 0 < below[-1] < 0.05
    assert torch.equal(paste_back(picture, frames, corner, feather=0.0)[0, 0, :50, 50:], torch.ones(50, 50))


def test_subject_box_holds_the_points_in_corner_aligned_coordinates():
    # Pixel column j of w is x = 2j / (w - 1) - 1: columns 40 to 60 and rows 10 to 20 of a (51, 101) picture.
    points = torch.tensor([[[2 * 40 / 100 - 1, 2 * 10 / 50 - 1], [2 * 60 / 100 - 1, 2 * 20 / 50 - 1]]])
    assert subject_box(points, (51, 101), margin=0.0) == (5, 40, 21, 21)
    assert subject_box(points, (51, 101), margin=0.0, aspect=2.0)[2:] == (11, 22)
    top, left, height, width = subject_box(points, (51, 101), margin=0.5)
    assert (height, width) == (42, 42)
    assert 0 <= top <= 10
    assert 20 < top + height <= 51
    assert left < 40
    assert left + width > 60


def test_subject_box_stays_within_the_picture():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        height, width = torch.randint(2, 300, (2,), generator=generator).tolist()
        points = torch.randn(5, 4, 2, generator=generator) * 0.6
        aspect = float(torch.rand(1, generator=generator)) * 3 + 0.2
        box = subject_box(points, (height, width), margin=0.3, aspect=aspect)
        place_in((height, width), (64, 64), box=box)  # raises if it is not within
        assert abs(box[3] - box[2] * aspect) <= max(1, aspect)


def test_points_go_into_the_networks_image_and_back():
    for picture in SIZES[:4]:
        for fit in ["pad", "crop", "stretch"]:
            placement = place_in(picture, (128, 96), fit)
            points = torch.rand(2, 3, 4, 2, dtype=torch.float64) * 4 - 2
            torch.testing.assert_close(picture_points(network_points(points, placement), placement), points)


def test_points_and_regions_follow_the_pixels_into_the_networks_image():
    image = torch.zeros(1, 3, 60, 120)
    image[..., 22:28, 82:88] = 1  # around (84.5, 24.5)
    placement = place_in((60, 120), (40, 64), box=(10, 40, 40, 80))
    spot = to_network(image, placement)[0, 0]  # (40, 64)
    found = [float((spot.sum(1 - axis) * torch.arange(side)).sum() / spot.sum()) for axis, side in ((1, 64), (0, 40))]
    x, y, half, angle = network_region((84.5, 24.5, 5.0, 0.3), placement)
    assert (x, y) == pytest.approx(found, abs=0.05)
    assert half == pytest.approx(5.0 * placement.content[3] / 80)
    assert angle == 0.3
    point = network_points(torch.tensor([[2 * 84.5 / 119 - 1, 2 * 24.5 / 59 - 1]]), placement)[0]
    assert ((point + 1) / 2 * torch.tensor([63, 39])).tolist() == pytest.approx(found, abs=0.05)


def test_a_part_in_its_own_pixels_is_not_resized():
    for size in [(301, 400), (257, 255), (300, 300)]:
        image = torch.rand(1, 3, *size)
        placement = place_own(size, 256)
        assert torch.equal(from_network(to_network(image, placement), placement), image)
        assert placement.network_size == (max(size),) * 2


def test_small_parts_are_enlarged_and_very_large_ones_reduced():
    for size, fit, side in [
        ((100, 80), "pad", 256),
        ((3000, 2000), "pad", 1536),
        ((900, 700), "crop", 700),
        ((900, 700), "stretch", 900),
    ]:
        assert place_own(size, 256, fit).network_size == (side, side)


def test_room_is_for_the_person_and_the_poses_within_the_picture():
    region = (100.0, 80.0, 40.0, 0.0)
    top, left, height, width = room_box(region, (300, 400))
    assert (top, left, height, width) == (40, 60, 81, 81)
    poses = torch.tensor([[2 * 250 / 399 - 1, 2 * 80 / 299 - 1], [-3.0, 0.0]])  # one of them far outside
    top, left, height, width = room_box(region, (300, 400), poses)
    assert left == 0
    assert 250 < left + width < 270
    assert (top, height) == (0, width), "as high as wide, as far as the picture allows"
    assert room_box(region, (300, 400), smallest=100)[2:] == (100, 100)
    assert room_box(region, (300, 400), smallest=200)[2:] == (81, 81)
    assert room_box(region, (90, 400), smallest=100)[2:] == (90, 100)


POINTS = torch.zeros(1, 1, 2)
PLACEMENT = place_in((8, 8), (8, 8))


def test_bad_arguments_are_named():
    for call, message in [
        (lambda: place_in((0, 5), (8, 8)), "picture_size: .* got \\(0, 5\\)"),
        (lambda: place_in((5.0, 5), (8, 8)), "picture_size: .* got \\(5.0, 5\\)"),
        (lambda: place_in((5, 5), (8,)), "network_size: .* got \\(8,\\)"),
        (lambda: place_in((5, 5), (8, 8), "fill"), "fit: must be one of pad, crop, stretch, got 'fill'"),
        (lambda: place_in((5, 5), (8, 8), box=(0, 0, 6, 5)), "box: must be within .* \\(0, 0, 6, 5\\)"),
        (lambda: place_in((5, 5), (8, 8), box=(-1, 0, 2, 2)), "box: must be within"),
        (lambda: place_in((5, 5), (8, 8), box=(0, 0, 0, 2)), "box: must be within"),
        (lambda: place_in((5, 5), (8, 8), box=(0, 0, 2)), "box: must be \\(top, left"),
        (
            lambda: to_network(torch.rand(1, 3, 9, 8), PLACEMENT),
            "image: must be float \\(B, 3, 8, 8\\), got \\(1, 3, 9, 8\\)",
        ),
        (lambda: to_network(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), PLACEMENT), "image: .* torch.uint8"),
        (lambda: from_network(torch.rand(3, 8, 8), PLACEMENT), "frames: must be float"),
        (lambda: preview(torch.rand(1, 1, 8, 8), PLACEMENT), "image: must be float"),
        (lambda: paste_back(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), PLACEMENT), "picture: must be one"),
        (lambda: paste_back(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), PLACEMENT, 0.6), "feather: .* got 0.6"),
        (
            lambda: paste_back(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), PLACEMENT, float("nan")),
            "feather: .* got nan",
        ),
        (lambda: subject_box(torch.zeros(3, 2), (8, 8)), "points: .* got \\(3, 2\\)"),
        (lambda: subject_box(POINTS * float("nan"), (8, 8)), "points: must be finite"),
        (lambda: subject_box(POINTS, (8, 8), margin=-1), "margin: .* got -1"),
        (lambda: subject_box(POINTS, (8, 8), aspect=0), "aspect in .* 0"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_placement_is_frozen():
    with pytest.raises(AttributeError):
        PLACEMENT.fit = "crop"
    assert Placement((8, 8), (8, 8), "pad", (0, 0, 8, 8), (0, 0, 8, 8)) == PLACEMENT
