"""The random spline of the equivariance loss; the conformance tests hold it against the published one."""

from __future__ import annotations

import pytest
import torch

from motion_core.geometry import identity_grid
from train.equivariance import RandomSpline


def random_spline(batch: int = 2) -> RandomSpline:
    return RandomSpline.from_noise(torch.randn(batch, 2, 3), torch.randn(batch, 25))


def test_no_noise_is_the_identity():
    spline = RandomSpline.from_noise(torch.zeros(1, 2, 3), torch.zeros(1, 25))
    points, image = torch.rand(1, 7, 2), torch.rand(1, 3, 16, 24)
    torch.testing.assert_close(spline.transform_points(points), points)
    torch.testing.assert_close(spline.transform_image(image), image, rtol=0, atol=1e-5)


def test_noise_is_scaled_as_published():
    spline = RandomSpline.from_noise(torch.ones(1, 2, 3), -torch.ones(1, 25))
    torch.testing.assert_close(spline.theta, torch.tensor([[[1.05, 0.05, 0.05], [0.05, 1.05, 0.05]]]))
    torch.testing.assert_close(spline.control_params, torch.full((1, 1, 25), -0.005))


def test_the_image_is_sampled_at_r_with_reflection():
    """In an image that shows its own coordinates, R is what is seen: x in the first channel, y in the second."""
    spline = random_spline()
    ramps = identity_grid(16, 24, torch.zeros(1)).movedim(-1, 0).expand(2, 2, 16, 24)
    where = spline.transform_points(identity_grid(16, 24, ramps).reshape(-1, 2))  # (2, 16 * 24, 2)
    reflected = torch.where(where.abs() > 1, where.sign() * (2 - where.abs()), where)
    assert (reflected != where).any(), "some of it must be outside"
    seen = spline.transform_image(ramps).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen, reflected, rtol=0, atol=1e-5)


def test_it_is_fp32_inside_autocast():
    spline, image = random_spline(), torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = spline.transform_image(image)
    torch.testing.assert_close(inside, spline.transform_image(image), rtol=0, atol=0)


def test_other_shapes_are_refused():
    for theta, control_params in (((2, 3, 3), (2, 1, 25)), ((2, 2, 3), (1, 1, 25)), ((2, 2, 3), (2, 25))):
        with pytest.raises(ValueError, match=r"theta must be \(B, 2, 3\)"):
            RandomSpline(torch.zeros(theta), torch.zeros(control_params))
