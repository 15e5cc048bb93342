"""The rasterizer against rays that are cast through every pixel at every triangle."""

import numpy as np
import pytest

from eval.rendered_people.camera import look_at, project, to_camera
from eval.rendered_people.picture import seen_faces
from eval.rendered_people.rasterizer import barycentric, rasterize
from eval.rendered_people.rotations import between, rounded, turn, unit
from eval.rendered_people.shapes import ball, vertex_normals
from eval.rendered_people.surface import facing, on_faces, pixel_rays

SIZE, FOCAL = (40, 56), 60.0


def soup(random, count=60):
    """Random triangles in front of the camera, (V, 3) and (F, 3), with every side turned anywhere."""
    vertices = random.uniform((-1, -1, 2), (1, 1, 5), (3 * count, 3))
    return vertices, np.arange(3 * count).reshape(-1, 3)


def cast(vertices, faces, two_sided):
    """Face at the centre of each pixel by intersecting all rays with all triangles, (H, W), and its depth."""
    rays = pixel_rays(SIZE, FOCAL).reshape(-1, 3)
    best, depth = np.full(len(rays), -1), np.full(len(rays), np.inf)
    front = facing(vertices, faces)
    for number, face in enumerate(faces):
        if not (front[number] or two_sided[number]):
            continue
        a, b, c = vertices[face]
        matrix = np.stack((b - a, c - a), axis=1)
        normal = np.cross(b - a, c - a)
        z = (a @ normal) / (rays @ normal)
        s, t = np.linalg.lstsq(matrix, (rays * z[:, None] - a).T, rcond=None)[0]
        hit = (s >= 0) & (t >= 0) & (s + t <= 1) & (z > 0) & (z < depth)
        best[hit], depth[hit] = number, z[hit]
    return best.reshape(SIZE), depth.reshape(SIZE)


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_triangle_is_seen(seed):
    random = np.random.default_rng(seed)
    vertices, faces = soup(random)
    two_sided = random.uniform(size=len(faces)) < 0.5
    raster = seen_faces(vertices, faces, two_sided, FOCAL, SIZE)
    expected, depth = cast(vertices, faces, two_sided)
    found = raster.faces[1::2, 1::2]
    assert (found >= 0).any()
    assert (found != expected).mean() < 0.002  # corners are snapped, so that a pixel on an edge may go either way
    np.testing.assert_array_equal(raster.front, facing(vertices, faces))
    rows, columns = np.nonzero((found == expected) & (found >= 0))
    shares, z = barycentric(raster, found[rows, columns], 2 * columns + 1, 2 * rows + 1)
    np.testing.assert_allclose(z, depth[rows, columns], rtol=0.01)  # snapped corners of slivers
    exact, same = on_faces(vertices, faces[found[rows, columns]], pixel_rays(SIZE, FOCAL)[rows, columns])
    np.testing.assert_allclose(same, depth[rows, columns], rtol=1e-6)
    assert np.median(np.abs(shares - exact)) < 1e-3


def test_a_closed_surface_has_no_gaps_and_no_pixel_twice():
    """Along shared edges each sample belongs to exactly one of the two triangles."""
    grid = np.array([(x, y) for y in range(5) for x in range(5)], float)
    places = grid * 4 + np.random.default_rng(0).uniform(-1, 1, grid.shape) * ((grid > 0) & (grid < 4)).all(1)[:, None]
    corner = np.array([5 * y + x for y in range(4) for x in range(4)])
    faces = np.concatenate(
        (np.stack((corner, corner + 5, corner + 1), 1), np.stack((corner + 1, corner + 5, corner + 6), 1))
    )
    count = np.zeros((17, 17), int)
    for face in faces:
        count += rasterize(places, np.ones(25), face[None], np.ones(1, bool), (17, 17)).faces >= 0
    assert (count[:16, :16] == 1).all()
    assert not count[16].any()  # a sample on an edge belongs to what is right of it or below it
    together = rasterize(places, np.ones(25), faces, np.ones(len(faces), bool), (17, 17)).faces
    np.testing.assert_array_equal(together >= 0, count == 1)


def test_what_is_behind_the_camera_or_outside_is_left_out():
    vertices = np.array([(-1, -1, -3), (1, -1, -3), (0, 1, -3), (90, 0, 3), (91, 0, 3), (90, 1, 3)], float)
    raster = seen_faces(vertices, np.arange(6).reshape(2, 3), np.ones(2, bool), FOCAL, SIZE)
    assert (raster.faces == -1).all()


def test_only_the_outside_of_a_ball_is_seen():
    mesh = ball(np.array((0.0, 0, 0)), (0.5, 0.7, 0.4), "head", segments=16)
    pose = look_at(np.array((0.3, 0.2, 3.0)), np.zeros(3))
    raster = seen_faces(to_camera(pose, mesh.vertices), mesh.faces, mesh.two_sided, FOCAL, SIZE)
    both = seen_faces(to_camera(pose, mesh.vertices), mesh.faces, ~mesh.two_sided, FOCAL, SIZE)
    np.testing.assert_array_equal(raster.faces, both.faces)  # it is closed, so the inside is always behind
    outwards = (mesh.normals * mesh.vertices).sum(1) > 0
    assert outwards.all()
    np.testing.assert_allclose(np.linalg.norm(vertex_normals(mesh.vertices, mesh.faces), axis=1), 1)


def test_a_point_is_seen_where_the_camera_points():
    pose = look_at(np.array((1.0, 2.0, 5.0)), np.array((0.5, 1.0, 0.0)))
    centre = project(to_camera(pose, np.array((0.5, 1.0, 0.0))), FOCAL, SIZE)
    np.testing.assert_allclose(centre, ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2))
    higher = project(to_camera(pose, np.array((0.5, 1.2, 0.0))), FOCAL, SIZE)
    assert higher[1] < centre[1]  # y goes down in pictures
    left = project(to_camera(pose, np.array((0.7, 1.0, -0.02))), FOCAL, SIZE)
    assert left[0] > centre[0]


def test_rotations():
    from scipy.spatial.transform import Rotation

    for axis in "xyz":
        np.testing.assert_allclose(
            turn(axis, 37.0), Rotation.from_euler(axis, 37, degrees=True).as_matrix(), atol=1e-12
        )
    random = np.random.default_rng(0)
    start, end = unit(random.normal(size=(2, 20, 3)))
    matrix = between(start, end)
    np.testing.assert_allclose((matrix @ start[..., None])[..., 0], end, atol=1e-9)
    angle = np.arccos((start * end).sum(-1))
    np.testing.assert_allclose(Rotation.from_matrix(matrix).magnitude(), angle, atol=1e-6)
    opposite = between(start[0], -start[0])
    np.testing.assert_allclose(opposite @ start[0], -start[0], atol=1e-9)
    assert np.linalg.det(opposite) == pytest.approx(1)


def test_small_differences_between_processors_are_rounded_away():
    values = rounded(np.random.default_rng(0).uniform(-3, 3, 1000))
    np.testing.assert_array_equal(rounded(values * (1 + 1e-12)), values)
    np.testing.assert_array_equal(values.astype(np.float32).astype(float), values)
