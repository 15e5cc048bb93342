"""The aligner of two pictures' backgrounds: planted movements are found, people do not count, and nothing is made up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from subcases import each_case
from torch import Tensor

from motion_core import CameraAligner, InputError
from motion_core.geometry import affine_grid, sample

SIZE = (96, 128)
MOVED = torch.tensor([[[1.06, 0.04, 0.13], [-0.03, 0.97, -0.09], [0, 0, 1]]])
FAR = torch.tensor([[[1.0, 0, 0.55], [0, 1.0, 0.2], [0, 0, 1]]])


@pytest.fixture(scope="module")
def aligner():
    return CameraAligner().eval()


@pytest.fixture(scope="module")
def texture():
    """A wide picture of soft spots, ``(1, 3, 192, 256)`` in [0, 1]."""
    generator = torch.Generator().manual_seed(3)
    spots = (
        F.interpolate(torch.rand(1, 3, side, side, generator=generator), (192, 256), mode="bicubic") for side in (9, 24)
    )
    return (sum(spots) / 2).clamp(0, 1)


def seen(texture: Tensor, transform: Tensor | None = None) -> Tensor:
    """The middle of the texture ``(1, 3, 96, 128)``, or what it is after a movement of the camera."""
    grid = affine_grid(torch.eye(3)[None] if transform is None else transform, *SIZE)
    return sample(texture, grid / 2)


def person(left: int) -> tuple[Tensor, Tensor]:
    """A spotted person of 80 columns and its silhouette, ``(1, 3, 96, 128)`` and ``(1, 1, 96, 128)``."""
    silhouette = torch.zeros(1, 1, *SIZE)
    silhouette[..., 6:, left : left + 80] = 1
    spots = F.interpolate(torch.rand(1, 3, 16, 10, generator=torch.Generator().manual_seed(5)), (96, 80))
    return F.pad(spots, (left, SIZE[1] - left - 80)), silhouette


@each_case("moved", [MOVED, FAR])
def test_a_planted_movement_is_found(aligner, texture, moved):
    found = aligner(seen(texture), seen(texture, moved))
    torch.testing.assert_close(found, moved, atol=0.01, rtol=0)


def test_the_size_of_pictures_does_not_matter(aligner, texture):
    pictures = [F.interpolate(each, (270, 360), mode="bicubic") for each in (seen(texture), seen(texture, MOVED))]
    torch.testing.assert_close(aligner(*pictures), MOVED, atol=0.02, rtol=0)


def test_a_person_who_is_left_out_does_not_count(aligner, texture):
    """The person covers more than half of the picture and goes another way than the background; seen, it would be followed."""
    pairs = [(seen(texture, moved), *person(left)) for moved, left in ((None, 20), (MOVED, 30))]
    pictures = [torch.where(silhouette > 0, spots, scene) for scene, spots, silhouette in pairs]
    found = aligner(*pictures, *(silhouette for *_, silhouette in pairs))
    torch.testing.assert_close(found, MOVED, atol=0.01, rtol=0)
    assert (aligner(*pictures) - MOVED).abs().max() > 0.1


def test_only_a_person_that_moves_is_no_movement_of_the_camera(aligner):
    """Nothing but the person could be followed in front of a plain wall."""
    (spots, before), (more, after) = person(20), person(30)
    wall = torch.full_like(spots, 0.6)
    pictures = (torch.where(before > 0, spots, wall), torch.where(after > 0, more, wall))
    assert torch.equal(aligner(*pictures, before, after), torch.eye(3)[None])
    assert not torch.equal(aligner(*pictures), torch.eye(3)[None])


def test_what_cannot_be_told_is_the_identity(aligner, texture):
    plain = torch.full((1, 3, *SIZE), 0.4)
    noise = torch.rand(2, 1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones(1, 1, *SIZE)
    found = [
        aligner(plain, plain),
        aligner(plain, (plain + 0.02 * (noise[0] - 0.5))),
        aligner(*noise),  # two scenes
        aligner(seen(texture), seen(texture, MOVED), everywhere, everywhere),  # only a person to be seen
    ]
    for each in found:
        assert torch.equal(each, torch.eye(3)[None])


def test_a_pair_does_not_depend_on_the_others(aligner, texture):
    source, driving = seen(texture), torch.cat((seen(texture, MOVED), seen(texture), seen(texture, FAR)))
    together = aligner(source.expand(3, -1, -1, -1), driving)
    torch.testing.assert_close(together, torch.cat((MOVED, torch.eye(3)[None], FAR)), atol=0.01, rtol=0)
    torch.testing.assert_close(together[2:], aligner(source, driving[2:]), atol=1e-4, rtol=0)


def test_saved_and_loaded_it_is_the_same(aligner, texture, tmp_path):
    aligner.save_pretrained(tmp_path)
    loaded = CameraAligner.from_pretrained(tmp_path).to(torch.bfloat16)  # coordinates stay in fp32
    pictures = (seen(texture), seen(texture, MOVED))
    torch.testing.assert_close(loaded(*pictures), aligner(*pictures), atol=0, rtol=0)


def test_refusals(aligner):
    with pytest.raises(InputError, match=r"one shape, got \(1, 3, 64, 64\) and \(2, 3, 64, 64\)"):
        aligner(torch.zeros(1, 3, 64, 64), torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match="side must be 32 pixels or more, got 16"):
        CameraAligner(side=16)
