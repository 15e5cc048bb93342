"""The conventions of coordinates, and splines, heat maps and sampling against other ways to compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator, RegularGridInterpolator
from subcases import each_case

from motion_core.geometry import (
    ThinPlateSpline,
    affine_grid,
    cell_areas,
    compose,
    fold_over_share,
    gaussian_heatmaps,
    identity_grid,
    resize_aligned,
    resize_grid,
    sample,
    warp,
    warp_by_each,
)
from motion_core.geometry.thin_plate_spline import thin_plate_kernel

LIKE = torch.zeros(1)


def random_image(height: int, width: int, channels: int = 3, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, channels, height, width)


def shifted(grid: torch.Tensor, pixels_x: float = 0.0, pixels_y: float = 0.0) -> torch.Tensor:
    """A grid ``(1, h, w, 2)`` that points so many pixels further."""
    height, width = grid.shape[-3:-1]
    return grid + torch.tensor([2 * pixels_x / (width - 1), 2 * pixels_y / (height - 1)])


# Conventions


@each_case(("height", "width"), [(2, 3), (5, 4), (64, 128)])
def test_pixel_column_j_of_w_is_x_2j_over_w_minus_1_less_1(height, width):
    grid = identity_grid(height, width, LIKE)
    assert grid.shape == (height, width, 2)
    for i in (0, 1, height - 1):
        for j in (0, 1, width - 1):
            x, y = grid[i, j].tolist()
            assert x == pytest.approx(2 * j / (width - 1) - 1, abs=1e-6)
            assert y == pytest.approx(2 * i / (height - 1) - 1, abs=1e-6)


def test_points_are_x_to_the_right_then_y_down():
    image = torch.zeros(1, 1, 5, 7)
    image[0, 0, 1, 5] = 1.0  # row 1, column 5
    x, y = 2 * 5 / 6 - 1, 2 * 1 / 4 - 1
    assert sample(image, torch.tensor([[[[x, y]]]])).item() == pytest.approx(1, abs=1e-6)
    assert sample(image, torch.tensor([[[[y, x]]]])).item() < 0.5


@each_case(("height", "width"), [(4, 4), (5, 7), (32, 64), (128, 96)])
def test_the_identity_grid_gives_the_image_back(height, width):
    image = random_image(height, width)
    torch.testing.assert_close(warp(image, identity_grid(height, width, image)[None]), image, rtol=0, atol=1e-4)


def test_a_deformation_is_backward__one_pixel_further_brings_the_neighbour_on_the_right_or_below():
    image = random_image(6, 9)
    grid = identity_grid(6, 9, image)[None]
    torch.testing.assert_close(warp(image, shifted(grid, 1, 0))[..., :-1], image[..., 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(warp(image, shifted(grid, 0, 1))[:, :, :-1], image[:, :, 1:], rtol=0, atol=1e-5)


def test_sampling_is_bilinear():
    image = random_image(4, 6, channels=1)
    x, y = 2 * 2.25 / 5 - 1, 2 * 1.5 / 3 - 1
    upper, lower = image[0, 0, 1, 2:4].tolist(), image[0, 0, 2, 2:4].tolist()
    expected = 0.5 * (0.75 * upper[0] + 0.25 * upper[1]) + 0.5 * (0.75 * lower[0] + 0.25 * lower[1])
    assert sample(image, torch.tensor([[[[x, y]]]])).item() == pytest.approx(expected, abs=1e-6)


def test_outside_are_zeros():
    image = random_image(6, 9) + 1
    grid = identity_grid(6, 9, image)[None]
    warped = warp(image, shifted(grid, pixels_x=1))
    assert warped[..., -1].abs().max() < 1e-4
    half = warp(image, shifted(grid, pixels_x=0.5))
    torch.testing.assert_close(half[..., -1], image[..., -1] / 2, rtol=0, atol=1e-4)
    assert warp(image, grid + 10).abs().max() == 0


def test_outside_is_a_reflection_about_the_outermost_pixels_where_asked():
    image = random_image(6, 9)
    grid = shifted(identity_grid(6, 9, image)[None], pixels_x=2)
    reflected = sample(image, grid, padding="reflection")
    torch.testing.assert_close(reflected[..., -2:], image[..., [-2, -3]], rtol=0, atol=1e-5)
    torch.testing.assert_close(reflected[..., :-2], image[..., 2:], rtol=0, atol=1e-5)


# Grids and what is drawn on them


def test_affine_grid_equals_loops():
    transforms = torch.eye(3).repeat(2, 1, 1) + 0.3 * torch.randn(2, 3, 3)
    transforms[:, 2] = torch.tensor([0.0, 0.0, 1.0])
    grid = affine_grid(transforms, 3, 5)
    assert grid.shape == (2, 3, 5, 2)
    for b in range(2):
        for i in range(3):
            for j in range(5):
                column = np.array([2 * j / 4 - 1, 2 * i / 2 - 1, 1.0])
                expected = transforms[b].numpy().astype(float) @ column
                np.testing.assert_allclose(grid[b, i, j].numpy(), expected[:2], atol=1e-6)


def test_heatmaps_equal_the_formula():
    points = torch.rand(2, 4, 2) * 2 - 1
    maps = gaussian_heatmaps(points, 6, 9, variance=0.01)
    assert maps.shape == (2, 4, 6, 9)
    for b in range(2):
        for p in range(4):
            for i in range(6):
                for j in range(9):
                    x, y = points[b, p].tolist()
                    squared = (2 * j / 8 - 1 - x) ** 2 + (2 * i / 5 - 1 - y) ** 2
                    assert maps[b, p, i, j].item() == pytest.approx(math.exp(-squared / 0.02), abs=1e-5)


def test_warp_by_each_equals_separate_warps_and_one_image_serves_a_batch():
    image = random_image(8, 10, batch=2)
    grids = torch.rand(2, 4, 6, 7, 2) * 2.4 - 1.2
    together = warp_by_each(image, grids)
    assert together.shape == (2, 4, 3, 6, 7)
    for i in range(4):
        torch.testing.assert_close(together[:, i], sample(image, grids[:, i]), rtol=0, atol=1e-6)
    one, two = image[:1], image[:1].repeat(2, 1, 1, 1)
    torch.testing.assert_close(warp_by_each(one, grids), warp_by_each(two, grids))
    torch.testing.assert_close(warp(one, grids[:, 0]), warp(two, grids[:, 0]))


@each_case("size", [(32, 48), (5, 3), (8, 12)])
def test_resizing_the_grid_of_an_affine_map_is_exact(size):
    transform = torch.tensor([[[0.9, 0.2, 0.1], [-0.3, 1.1, -0.2], [0.0, 0.0, 1.0]]])
    resized = resize_grid(affine_grid(transform, 8, 12), *size)
    torch.testing.assert_close(resized, affine_grid(transform, *size), rtol=0, atol=1e-6)


def test_warp_resizes_the_deformation_to_the_features():
    features = random_image(16, 24)
    transform = torch.tensor([[[0.5, 0.0, 0.1], [0.0, 0.6, 0.0], [0.0, 0.0, 1.0]]])
    small, full = affine_grid(transform, 4, 6), affine_grid(transform, 16, 24)
    torch.testing.assert_close(warp(features, small), sample(features, full), rtol=0, atol=1e-5)


def test_resize_aligned_equals_scipys_linear_interpolation_between_corner_aligned_pixels():
    maps = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    axes = np.linspace(-1, 1, 4), np.linspace(-1, 1, 5)
    y, x = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 12), indexing="ij")
    expected = RegularGridInterpolator(axes, maps[0, 0].numpy())(np.stack((y, x), -1))
    np.testing.assert_allclose(resize_aligned(maps, 7, 12)[0, 0].numpy(), expected, atol=1e-12)
    assert resize_aligned(maps, 4, 5) is maps


# Thin-plate splines


def spline_solved_plainly(control: np.ndarray, values: np.ndarray, at: np.ndarray, regularization: float) -> np.ndarray:
    """The published formula in fp64 and loops: p (N, 2), q (N, 2), where (P, 2) -> (P, 2)."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        squared = float((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)
        return squared * math.log(squared + 1e-9)

    n = len(control)
    system, right = np.zeros((n + 3, n + 3)), np.zeros((n + 3, 2))
    for i in range(n):
        for j in range(n):
            system[i, j] = kernel(control[i], control[j])
        system[i, n:] = system[n:, i] = (control[i, 0], control[i, 1], 1)
        right[i] = values[i]
    for i in range(n + 3):
        system[i, i] += regularization
    solution = np.linalg.inv(system) @ right
    rows = []
    for point in at:
        row = solution[n] * point[0] + solution[n + 1] * point[1] + solution[n + 2]
        for i in range(n):
            row = row + solution[i] * kernel(point, control[i])
        rows.append(row)
    return np.array(rows)


@each_case("seed", range(5))
@each_case(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-3)])
def test_without_regularization_a_spline_equals_scipys(seed, dtype, tolerance):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 9))
    control, values, at = (rng.uniform(-1, 1, (n, 2)) for n in (count, count, 40))
    ours = ThinPlateSpline.fit(torch.tensor(control, dtype=dtype), torch.tensor(values, dtype=dtype), regularization=0)
    expected = RBFInterpolator(control, values, kernel="thin_plate_spline")(at)
    result = ours(torch.tensor(at, dtype=dtype))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@each_case("seed", range(3))
def test_regularization_is_on_the_whole_diagonal(seed):
    rng = np.random.default_rng(seed)
    control, values, at = (rng.uniform(-1, 1, (n, 2)) for n in (5, 5, 20))
    ours = ThinPlateSpline.fit(torch.tensor(control), torch.tensor(values))(torch.tensor(at))
    np.testing.assert_allclose(ours.numpy(), spline_solved_plainly(control, values, at, 0.01), rtol=0, atol=1e-9)


def test_published_quirk__with_regularization_equal_points_do_not_give_the_identity():
    points = np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.1], [-0.4, 0.6], [0.5, 0.5]])
    at = np.array([[0.5, 0.5], [0.9, -0.9]])
    expected = spline_solved_plainly(points, points, at, 0.01)
    ours = ThinPlateSpline.fit(torch.tensor(points), torch.tensor(points))(torch.tensor(at)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours, [[0.5000540288, 0.5000449831], [0.9161155915, -0.9162339393]], rtol=0, atol=1e-8)
    assert np.abs(ours - at).max() > 0.016, "two pixels at 256"


def test_the_kernel_has_1e_minus_9_inside_the_logarithm():
    squared = torch.tensor([0.0, 1e-9, 1e-8, 0.25, 4.0], dtype=torch.float64)
    expected = [value * math.log(value + 1e-9) if value else 0.0 for value in squared.tolist()]
    np.testing.assert_allclose(thin_plate_kernel(squared).numpy(), expected, rtol=1e-12)


def test_splines_side_by_side_equal_single_ones():
    control, values, at = torch.rand(2, 3, 5, 2), torch.rand(2, 3, 5, 2), torch.rand(7, 2)
    together = ThinPlateSpline.fit(control, values)(at)
    assert together.shape == (2, 3, 7, 2)
    for b in range(2):
        for k in range(3):
            single = ThinPlateSpline.fit(control[b, k], values[b, k])(at)
            torch.testing.assert_close(together[b, k], single, rtol=0, atol=1e-4)


def test_gradients_of_a_spline_are_right():
    control, values, at = (torch.rand(n, 2, dtype=torch.float64, requires_grad=True) for n in (4, 4, 3))
    assert torch.autograd.gradcheck(lambda p, q, x: ThinPlateSpline.fit(p, q)(x), (control, values, at))


def test_gradients_are_finite_where_points_coincide():
    control = torch.full((1, 2, 5, 2), 0.25, requires_grad=True)
    values = torch.full((1, 2, 5, 2), 0.25, requires_grad=True)
    at = torch.full((3, 2), 0.25, requires_grad=True)
    ThinPlateSpline.fit(control, values)(at).square().sum().backward()
    for tensor in (control, values, at):
        assert torch.isfinite(tensor.grad).all()


# Precision


def everything(points: torch.Tensor, image: torch.Tensor) -> list[torch.Tensor]:
    """Every function of the package on the same input; the factors are exact in bf16."""
    grid = affine_grid(torch.eye(3, dtype=points.dtype)[None] * 0.875, 12, 12)
    spline = ThinPlateSpline.fit(points, points.flip(-1) * 0.5)
    splines = spline(grid.reshape(1, -1, 2)).reshape(1, 12, 12, 2)
    return [
        identity_grid(4, 5, points),
        grid,
        splines,
        gaussian_heatmaps(points, 8, 8, 0.01),
        resize_grid(splines, 20, 24),
        sample(image, splines, padding="reflection"),
        warp(image, splines),
        warp_by_each(image, splines[:, None]),
    ]


@each_case("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_geometry_in_fp32_with_the_same_results(dtype):
    points, image = torch.rand(1, 5, 2) * 2 - 1, random_image(16, 16)
    plain = everything(points, image)
    with torch.autocast("cpu", dtype=dtype):
        assert F.linear(points, torch.eye(2)).dtype == dtype, "autocast must be on for this test to mean anything"
        inside = everything(points, image)
    for expected, result in zip(plain, inside, strict=True):
        assert result.dtype == torch.float32
        assert torch.equal(result, expected)


def test_bf16_inputs_are_computed_in_fp32_and_fp64_stays():
    points, image = torch.rand(1, 5, 2).bfloat16(), random_image(16, 16).bfloat16()
    expected = everything(points.float(), image.float())
    for result, wanted in zip(everything(points, image), expected, strict=True):
        assert result.dtype == torch.float32
        assert torch.equal(result, wanted)
    assert {tensor.dtype for tensor in everything(points.double(), image.double())} == {torch.float64}


def test_composing_affine_deformations_multiplies_their_matrices():
    first, second = torch.eye(3)[None].repeat(2, 1, 1), torch.eye(3)[None].repeat(2, 1, 1)
    first[:, :2] += 0.3 * torch.randn(2, 2, 3)
    second[:, :2] = 0.3 * torch.randn(2, 2, 3)  # stays inside
    grids = [affine_grid(transform, 12, 20) for transform in (first, second)]
    inside = grids[1].abs().amax(dim=-1) <= 1
    assert inside.float().mean() > 0.8

    found = compose(*grids)

    torch.testing.assert_close(found[inside], affine_grid(first @ second, 12, 20)[inside], rtol=0, atol=1e-5)


def test_composition_equals_scipys_interpolation_and_keeps_the_border_outside():
    first, second = torch.rand(1, 6, 9, 2) * 2 - 1, torch.rand(1, 5, 7, 2) * 2.4 - 1.2
    axes = np.linspace(-1, 1, 6), np.linspace(-1, 1, 9)
    interpolate = RegularGridInterpolator(axes, first[0].double().numpy())
    at = second[0].double().numpy().clip(-1, 1)[..., ::-1]  # (y, x)

    np.testing.assert_allclose(compose(first, second)[0].numpy(), interpolate(at), atol=1e-5)


def test_sampling_at_the_composition_is_sampling_twice_where_it_is_exact():
    """A linear picture is sampled exactly."""
    grid = identity_grid(10, 14, LIKE)
    picture = (grid @ torch.tensor([0.7, -0.4]))[None, None]
    first, second = shifted(grid[None] * 0.5, 1, -1), grid[None] * 0.8
    twice = sample(sample(picture, first), second)
    torch.testing.assert_close(sample(picture, compose(first, second)), twice, rtol=0, atol=1e-6)


def test_cell_areas_of_an_affine_deformation_are_its_determinant():
    transform = torch.eye(3)[None].repeat(4, 1, 1)
    transform[:, :2] += torch.randn(4, 2, 3)
    areas = cell_areas(affine_grid(transform, 7, 11))
    assert areas.shape == (4, 6, 10)
    determinants = torch.linalg.det(transform[:, :2, :2])
    torch.testing.assert_close(areas, determinants[:, None, None].expand(4, 6, 10), rtol=0, atol=1e-4)


def test_fold_over_share_counts_mirrored_cells():
    grid = identity_grid(9, 9, torch.zeros(1))
    mirrored = grid * torch.tensor([-1.0, 1.0])
    half = torch.where(torch.arange(9)[None, :, None] < 4, mirrored, grid)  # columns 0 to 3 run backwards

    shares = fold_over_share(torch.stack((grid, mirrored, half)))

    assert shares[:2].tolist() == [0, 1]
    assert shares[2].item() == pytest.approx(4 / 8)  # of eight columns of cells, three and the one where it turns back
