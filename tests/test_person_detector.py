"""The detector of people, with the weights that ship, on rendered people, and the strips along limbs that landmarks become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from subcases import each_case

from motion_core import InputError
from motion_core.networks.layered.limbs import (
    LIMBS,
    MIRRORED,
    PARENTS,
    STRIPS,
    limb_points,
    mirrored_points,
    to_coordinates,
)
from motion_core.networks.layered.person_detector import HIPS, PRESENT, SHIPPED_DETECTOR, SHOULDERS, PersonDetector
from motion_core.networks.layered.sides import agreed
from motion_core.networks.layered.strip_correction import StripCorrection

EXAMPLES = Path(__file__).parents[1] / "space" / "examples"
TORSO = LIMBS.index("torso")


@pytest.fixture(scope="module")
def detector():
    return PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def person(name):
    """A rendered person, ``(1, 3, 256, 256)`` in [0, 1]."""
    with Image.open(EXAMPLES / f"{name}.png") as picture:
        return torch.from_numpy(np.array(picture.convert("RGB").resize((256, 256)))).permute(2, 0, 1)[None] / 255


def pictures_on(height, width, *placed):
    """A grey picture with smaller ones on it, each given with its top, left and side."""
    canvas = torch.full((1, 3, height, width), 0.5)
    for picture, top, left, side in placed:
        canvas[..., top : top + side, left : left + side] = F.interpolate(picture, (side, side), mode="area")
    return canvas


def in_pixels(people, height, width):
    return (people.keypoints.points + 1) / 2 * torch.tensor((width - 1.0, height - 1.0))


def test_a_mirrored_look_finds_what_is_in_the_mirrored_picture(detector):
    picture = person("arms-up")
    region = torch.tensor([[120.0, 140.0, 130.0, 0.1]])
    mirrored_region = torch.tensor([[255 - 120.0, 140.0, 130.0, -0.1]])
    found = detector.detect(picture, region, mirrored=True)
    other = detector.detect(picture.flip(-1), mirrored_region)

    torch.testing.assert_close(found.keypoints.points, mirrored_points(other.keypoints.points), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.silhouette, other.silhouette.flip(-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.region[:, 0], 255 - other.region[:, 0], atol=0.1, rtol=0)
    left = list(range(11, 33, 2))
    torch.testing.assert_close(found.visibility[:, left], other.visibility[:, [k + 1 for k in left]], atol=1e-3, rtol=0)
    plain = detector.detect(picture, region).keypoints.points
    assert 0.001 < (found.keypoints.points - plain).abs().mean() < 0.03, "the same person, a little elsewhere"


def test_several_looks_agree_on_the_mean_of_those_that_are_alike(detector):
    usual = detector.detect(person("arms-up")).keypoints.points[0]
    order = torch.tensor(MIRRORED).view(11, 5)[:, 4] // 5  # the other side's limb of each
    turned = usual[order]
    turned[0], turned[1], turned[10] = usual[0], usual[1], usual[10, [1, 0, 3, 2, 4]]
    astray = usual + torch.rand(11, 1, 2, generator=torch.Generator().manual_seed(0))
    looks = torch.stack([usual + 0.01, astray, usual - 0.01, turned, astray.flip(0)])
    torch.testing.assert_close(agreed(looks), usual, atol=1e-6, rtol=0)


def test_pictures_are_looked_at_carefully_one_by_one(detector):
    pictures = torch.cat((person("arms-up"), person("green-sweater")))
    found, usual = detector.carefully(pictures), detector(pictures)
    alone = detector.carefully(pictures[1:])
    torch.testing.assert_close(found.points[1:], alone.points, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.silhouette[1:], alone.silhouette, atol=1e-3, rtol=0)
    apart = (found.points - usual.points).abs().flatten(1).mean(dim=1)
    assert ((apart > 0.001) & (apart < 0.03)).all(), "nearly the same, and of several looks"


def test_who_is_guessed_upside_down_and_not_seen_in_a_mirror_is_looked_for_in_the_whole_picture(detector, monkeypatch):
    picture = person("arms-up")
    right, _ = detector.approach(picture)
    wrong = torch.tensor([[right[0, 0].item(), 70.0, 45.0, 3.0]])
    assert detector._look(picture, wrong, mirrored=True).score < PRESENT
    monkeypatch.setattr(detector, "_choice", lambda *_: (wrong, torch.tensor([0.9])))
    found, score = detector.approach(picture)
    assert score > PRESENT
    torch.testing.assert_close(found, right, atol=20, rtol=0)


def test_keypoints_move_with_the_picture(detector):
    places = [
        in_pixels(detector.detect(pictures_on(320, 380, (person("arms-up"), top, left, 256))), 320, 380)
        for top, left in ((20, 30), (40, 50))
    ]
    assert (places[1] - places[0] - 20).abs().max() < 4
    assert (places[1] - places[0] - 20).abs().mean() < 1


def test_keypoints_mirrored_are_those_of_the_mirrored_picture(detector):
    image = person("checked-coat")
    points, other = (detector(each).flat() for each in (image, image.flip(-1)))
    assert ((other[:, list(MIRRORED)] * torch.tensor((-1, 1))) - points).abs().mean() < 0.04


def test_a_batch_is_found_as_each_picture_is(detector):
    images = torch.cat([person("bent"), person("blue-coat")])
    together, alone = detector.detect(images), [detector.detect(image) for image in images.split(1)]
    torch.testing.assert_close(
        together.keypoints.points, torch.cat([each.keypoints.points for each in alone]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(together.region, torch.cat([each.region for each in alone]), atol=1e-2, rtol=0)
    assert together.suffices.all()


def test_silhouettes_are_where_the_limbs_are_and_nowhere_else(detector):
    people = detector.detect(pictures_on(300, 420, (person("green-sweater"), 20, 150, 256)))
    assert people.silhouette.shape == (1, 1, 300, 420)
    along = people.keypoints.points[:, :, :4].mean(dim=2)  # (1, 10, 2), the middle of each limb
    inside = F.grid_sample(people.silhouette, along[:, None], align_corners=True)[0, 0, 0]  # an oracle for one picture
    assert (inside > 0.9).sum() >= 9
    assert people.silhouette[..., :150].max() < 0.01
    assert 0.02 < people.silhouette.mean() < 0.3


def test_a_small_person_is_found_in_a_large_picture(detector):
    people = detector.detect(pictures_on(540, 960, (person("red-jacket"), 330, 700, 160)), silhouettes=False)
    alone = in_pixels(detector.detect(person("red-jacket")), 256, 256) / 256 * 160 + torch.tensor((700.0, 330.0))
    assert people.suffices.all()
    assert people.silhouette is None
    assert (in_pixels(people, 540, 960) - alone).norm(dim=-1).mean() < 6


def test_of_two_people_the_larger_is_meant_unless_a_place_is_given(detector):
    picture = pictures_on(400, 720, (person("pink-jacket"), 190, 20, 160), (person("black-top"), 70, 380, 300))
    assert 450 < detector.find(picture)[0, 0] < 610
    for subject, left, right in (((100, 270), 60, 140), ((530, 220), 450, 610)):
        region = detector.find(picture, subject)
        x = detector.detect(picture, region).region[0, 0].item()
        assert left < x < right


def test_who_moves_through_a_video_is_kept_hold_of(detector):
    lefts = (20, 40, 60, 80)
    places, region = [], None
    for left in lefts:
        people = detector.detect(pictures_on(300, 400, (person("green-sweater"), 20, left, 256)), region)
        places.append(in_pixels(people, 300, 400))
        region = people.region
    points = torch.cat(places)
    moved = (points[1:] - points[:-1]).flatten(1, 2).mean(dim=1)
    torch.testing.assert_close(moved, torch.tensor([[20.0, 0.0]] * 3), atol=3, rtol=0)


@each_case(("name", "quarters"), [("checked-coat", 1), ("blue-coat", 2), ("checked-coat", 3)])
def test_who_lies_or_hangs_is_found_as_who_stands(detector, name, quarters):
    """Looked at as they are, people on their side are some 20 % of the picture off."""
    standing, turned = person(name), person(name).rot90(quarters, (2, 3))
    people = detector.detect(turned)
    points, silhouette = people.keypoints.points, people.silhouette
    for _ in range(quarters):
        points = torch.stack((-points[..., 1], points[..., 0]), dim=-1)  # a quarter clockwise
    expected = detector.detect(standing)
    assert people.suffices.all()
    assert (points - expected.keypoints.points).abs().mean() < 0.03
    assert (silhouette.rot90(-quarters, (2, 3)) - expected.silhouette).abs().mean() < 0.015


@each_case(("below", "hips_in_sight"), [(0.6, False), (1.2, True), (1.5, True)])
def test_of_a_half_body_the_shoulders_are_at_the_shoulders(detector, below, hips_in_sight):
    """And not at the chin, as if it were a small whole body; `below` the shoulders, so many trunks are in the picture."""
    with Image.open(EXAMPLES / "black-top.png") as file:
        picture = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)[None] / 255
    whole = detector.detect(picture, silhouettes=False).landmarks[0]
    shoulders, hips = whole[list(SHOULDERS)], whole[list(HIPS)]
    trunk = (hips - shoulders).mean(dim=0).norm().item()
    top, bottom = (int(shoulders[:, 1].mean() + share * trunk) for share in (-0.95, below))
    left = int(shoulders[:, 0].mean() - 0.75 * trunk)
    part = picture[..., top:bottom, left : left + int(max(1.5 * trunk, bottom - top))]
    found = detector.detect(part, silhouettes=False).landmarks[0] + torch.tensor((left, top))
    assert (found[list(SHOULDERS)] - shoulders).norm(dim=-1).max() < 0.15 * trunk
    assert (found[list(HIPS)][:, 1].mean() < bottom) == hips_in_sight


def test_nobody_does_not_suffice(detector):
    noise = torch.rand(1, 3, 200, 300, generator=torch.Generator().manual_seed(1))
    assert not detector.detect(torch.cat((noise, torch.full_like(noise, 0.4)))).suffices.any()


def test_legs_alone_do_not_suffice(detector):
    legs = F.interpolate(person("green-sweater")[..., 160:, 105:190], (256, 256), mode="bilinear", align_corners=True)
    assert not detector.detect(legs, silhouettes=False).suffices


def test_head_and_shoulders_are_not_a_small_whole_body(detector):
    with Image.open(EXAMPLES / "black-top.png") as file:
        bust = torch.from_numpy(np.array(file.convert("RGB").crop((200, 0, 360, 150)))).permute(2, 0, 1)[None] / 255
    people = detector.detect(bust, silhouettes=False)
    assert detector.glimpsed(bust)
    assert not people.suffices
    assert people.region[0, 2] > 150, "the body goes on below the picture"


def test_a_place_outside_of_the_picture_is_refused(detector):
    with pytest.raises(InputError, match="subject must be a place in the picture of 300 x 200, got"):
        detector.find(torch.zeros(1, 3, 200, 300), subject=(300, 10))


def test_other_keypoints_than_it_has_are_refused():
    with pytest.raises(ValueError, match=r"must be \(10, 5, 3\), got \(5, 5, 3\)"):
        PersonDetector(num_splines=5)


def test_poses_unlike_those_it_learned_are_not_thrown_away():
    """A correction that learned to move all points by ten units moves them by a twentieth."""
    correction = StripCorrection()
    torch.nn.init.constant_(correction.net[-1].bias, 10.0)
    points = torch.rand(1, 10, 5, 2, generator=torch.Generator().manual_seed(0))
    unit = 3 * (points[:, TORSO, 0] - points[:, TORSO, 1]).norm()
    moved = (correction(points) - points).norm(dim=-1)
    torch.testing.assert_close(moved, (0.05 * unit).expand_as(moved))


def test_strips_lie_along_the_limbs_and_are_as_wide_as_the_table_says():
    random = torch.Generator().manual_seed(0)
    landmarks = 100 + 50 * torch.rand(2, 33, 2, generator=random)
    metres = torch.cat((landmarks / 80, torch.rand(2, 33, 1, generator=random)), dim=-1)
    points = limb_points(landmarks, torch.ones(2, 33), metres)
    ends = {"right_forearm": (14, 16), "left_shin": (25, 27), "right_thigh": (24, 26)}
    for limb, joints in ends.items():
        strip, (_, _, *widths, _) = points[:, LIMBS.index(limb)], STRIPS[LIMBS.index(limb)]
        for corners, joint, width in ((slice(0, 2), joints[0], widths[0]), (slice(2, 4), joints[1], widths[1])):
            torch.testing.assert_close(strip[:, corners].mean(dim=1), landmarks[:, joint])
            across = strip[:, corners][:, 1] - strip[:, corners][:, 0]
            torch.testing.assert_close(across.norm(dim=-1), torch.full((2,), 2 * 80 * width))
            along = landmarks[:, joints[1]] - landmarks[:, joints[0]]
            assert (across * along).sum(dim=-1).abs().max() < 0.1, "a strip's ends are at right angles to it"
    hand = landmarks[:, [16, 18, 20]].mean(dim=1)
    torch.testing.assert_close(points[:, LIMBS.index("right_forearm"), 4], hand)


def test_limbs_hang_on_what_they_begin_at():
    *limbs, of_face = PARENTS
    assert of_face == LIMBS.index("head")
    for limb, parent in enumerate(limbs):
        if parent not in (-1, TORSO):
            assert STRIPS[limb][0] == STRIPS[parent][1]


def test_pixels_are_corner_aligned():
    corners = to_coordinates(torch.tensor([[0.0, 0.0], [639.0, 479.0], [319.5, 239.5]]), 480, 640)
    torch.testing.assert_close(corners, torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]))
