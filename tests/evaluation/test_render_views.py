"""What rendered people are seen with: the rasterizer against rays at every triangle, cameras, scenes and photos."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from eval.rendered_people.annotations import Annotations, annotate
from eval.rendered_people.camera import ROAMING, Camera, draw_camera, look_at, outwards, pixel_rays, project, to_camera
from eval.rendered_people.clip import Plan, Shot, Studio, _staying
from eval.rendered_people.figure import joints, pose
from eval.rendered_people.flow import background_transform
from eval.rendered_people.motion import from_angles
from eval.rendered_people.picture import seen_faces
from eval.rendered_people.places import Photo, Planes, draw_photo, photo_files
from eval.rendered_people.rasterizer import barycentric, facing, on_faces, rasterize
from eval.rendered_people.rotations import between, rounded, unit
from eval.rendered_people.scene import Backdrop
from eval.rendered_people.shapes import ball, vertex_normals
from eval.rendered_people.skeleton import ANGLES, JOINTS
from motion_core.errors import InputError
from motion_core.geometry import identity_grid, sample
from motion_core.media import save_image

GRID, FOCAL = (40, 56), 60.0


def cast(vertices, faces, two_sided):
    """Face at the centre of each pixel by intersecting all rays with all triangles, (H, W), and its depth."""
    rays = pixel_rays(GRID, FOCAL).reshape(-1, 3)
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
    return best.reshape(GRID), depth.reshape(GRID)


def test_the_nearest_triangle_is_seen_and_none_behind_the_camera_or_outside():
    for seed in range(3):
        random = np.random.default_rng(seed)
        vertices, faces = random.uniform((-1, -1, 2), (1, 1, 5), (180, 3)), np.arange(180).reshape(-1, 3)
        two_sided = random.uniform(size=len(faces)) < 0.5
        raster = seen_faces(vertices, faces, two_sided, FOCAL, GRID)
        expected, depth = cast(vertices, faces, two_sided)
        found = raster.faces[1::2, 1::2]
        assert (found >= 0).any()
        assert (found != expected).mean() < 0.002  # corners are snapped, so that a pixel on an edge may go either way
        np.testing.assert_array_equal(raster.front, facing(vertices, faces))
        rows, columns = np.nonzero((found == expected) & (found >= 0))
        shares, z = barycentric(raster, found[rows, columns], 2 * columns + 1, 2 * rows + 1)
        np.testing.assert_allclose(z, depth[rows, columns], rtol=0.01)  # snapped corners of slivers
        exact, same = on_faces(vertices, faces[found[rows, columns]], pixel_rays(GRID, FOCAL)[rows, columns])
        np.testing.assert_allclose(same, depth[rows, columns], rtol=1e-6)
        assert np.median(np.abs(shares - exact)) < 1e-3
    away = np.array([(-1, -1, -3), (1, -1, -3), (0, 1, -3), (90, 0, 3), (91, 0, 3), (90, 1, 3)], float)
    assert (seen_faces(away, np.arange(6).reshape(2, 3), np.ones(2, bool), FOCAL, GRID).faces == -1).all()


def test_a_closed_surface_has_no_gaps_and_no_pixel_twice():
    """Along shared edges each sample belongs to exactly one of the two triangles."""
    grid = np.array([(x, y) for y in range(5) for x in range(5)], float)
    places = grid * 4 + np.random.default_rng(0).uniform(-1, 1, grid.shape) * ((grid > 0) & (grid < 4)).all(1)[:, None]
    corner = np.array([5 * y + x for y in range(4) for x in range(4)])
    upper, lower = np.stack((corner, corner + 5, corner + 1), 1), np.stack((corner + 1, corner + 5, corner + 6), 1)
    faces = np.concatenate((upper, lower))
    count = np.zeros((17, 17), int)
    for face in faces:
        count += rasterize(places, np.ones(25), face[None], np.ones(1, bool), (17, 17)).faces >= 0
    assert (count[:16, :16] == 1).all()
    assert not count[16].any()  # a sample on an edge belongs to what is right of it or below it
    together = rasterize(places, np.ones(25), faces, np.ones(len(faces), bool), (17, 17)).faces
    np.testing.assert_array_equal(together >= 0, count == 1)


def test_only_the_outside_of_a_ball_is_seen():
    mesh = ball(np.array((0.0, 0, 0)), (0.5, 0.7, 0.4), "head", segments=16)
    pose = look_at(np.array((0.3, 0.2, 3.0)), np.zeros(3))
    raster = seen_faces(to_camera(pose, mesh.vertices), mesh.faces, mesh.two_sided, FOCAL, GRID)
    both = seen_faces(to_camera(pose, mesh.vertices), mesh.faces, ~mesh.two_sided, FOCAL, GRID)
    np.testing.assert_array_equal(raster.faces, both.faces)  # it is closed, so the inside is always behind
    assert ((mesh.normals * mesh.vertices).sum(1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(vertex_normals(mesh.vertices, mesh.faces), axis=1), 1)


def test_a_point_is_seen_where_the_camera_points():
    pose = look_at(np.array((1.0, 2.0, 5.0)), np.array((0.5, 1.0, 0.0)))
    centre = project(to_camera(pose, np.array((0.5, 1.0, 0.0))), FOCAL, GRID)
    np.testing.assert_allclose(centre, ((GRID[1] - 1) / 2, (GRID[0] - 1) / 2))
    assert project(to_camera(pose, np.array((0.5, 1.2, 0.0))), FOCAL, GRID)[1] < centre[1]  # y goes down in pictures
    assert project(to_camera(pose, np.array((0.7, 1.0, -0.02))), FOCAL, GRID)[0] > centre[0]


def test_the_smallest_rotation_takes_one_vector_to_the_other_and_last_bits_are_rounded_away():
    start, end = unit(np.random.default_rng(0).normal(size=(2, 20, 3)))
    matrix = between(start, end)
    np.testing.assert_allclose((matrix @ start[..., None])[..., 0], end, atol=1e-9)
    angle = np.arccos((start * end).sum(-1))
    np.testing.assert_allclose(Rotation.from_matrix(matrix).magnitude(), angle, atol=1e-6)
    opposite = between(start[0], -start[0])
    np.testing.assert_allclose(opposite @ start[0], -start[0], atol=1e-9)
    assert np.linalg.det(opposite) == pytest.approx(1)
    values = rounded(start)
    np.testing.assert_array_equal(rounded(values * (1 + 1e-12)), values)


# Cameras that are near: people fill the picture and face it.

SIZE = 256
HEAD, FEET = ([JOINTS.index(f"{side}_{name}") for side in ("left", "right")] for name in ("ear", "ankle"))


def upright(metres: float = 0.0) -> np.ndarray:
    """Joints ``(4, 18, 3)`` of a person with hanging arms who goes a way to the side."""
    figure, _ = Studio(Plan("test", 0)).figure(0)
    path = np.zeros((4, 3))
    path[:, 0] = np.linspace(0, metres / figure.leg_length, 4)
    return joints(figure, pose(figure, from_angles(np.zeros((4, len(ANGLES))), np.zeros((4, 3)), path, "standing")))


def near_camera(seed: int, points: np.ndarray) -> Camera:
    return draw_camera(np.random.default_rng(seed), points, (SIZE, SIZE), 4, near=True, roaming=ROAMING[True])


def places(camera, points: np.ndarray) -> np.ndarray:
    """Pixels ``(T, 18, 2)`` of joints."""
    in_view = [to_camera(pose, at) for pose, at in zip(camera.poses, points, strict=True)]
    return project(np.stack(in_view), camera.focal, camera.size)


def test_near_cameras_show_a_standing_person_large_and_mostly_from_the_front():
    points = upright()
    cameras = [near_camera(seed, points) for seed in range(120)]
    seen = np.stack([places(camera, points)[0] for camera in cameras])
    whole = (seen[:, FEET, 1] < SIZE).all(1)
    assert 0.55 < whole.mean() < 0.85
    tall = (seen[:, FEET, 1].mean(1) - seen[:, HEAD, 1].mean(1))[whole] / SIZE  # from the ankles to the ears
    assert (tall > 0.6).all()  # the soles and the hair take another eighth
    assert (tall < 0.9).all()
    hips = seen[~whole][:, [JOINTS.index("left_hip"), JOINTS.index("right_hip")], 1]
    assert (hips < SIZE).all()
    assert (hips > 0.6 * SIZE).all()
    assert (seen[:, HEAD] > 0).all()
    backwards = -np.stack(
        [camera.poses[0, 2, :3] for camera in cameras]
    )  # from the person to the camera, whose z is away
    degrees = np.abs(np.rad2deg(np.arctan2(backwards[:, 0], backwards[:, 2])))
    assert 0.7 < (degrees < 32).mean() < 0.95  # orbits begin further out
    assert degrees.max() < 100


def test_who_goes_further_than_the_roaming_is_followed():
    here, away = (upright(metres) for metres in (0.5 * ROAMING[True], 3.0))
    for seed in range(20):
        near = near_camera(seed, away)
        assert near.move == "follow"
        assert (np.abs(places(near, away)[:, HEAD, 0] - SIZE / 2) < 0.5 * SIZE).mean() > 0.9
    assert "static" in {near_camera(seed, here).move for seed in range(20)}
    far, followed = (Studio(Plan("test", 1, 4, 4, 64, roaming=most)).shot(0, 0).camera for most in (None, 0.0))
    assert followed.move == "follow" != far.move


def test_most_people_stay_where_a_near_camera_need_not_follow():
    """With the same poses as on their way."""
    studio = Studio(Plan("test", 1, 8, 2, 64, near=True))
    shots = [studio.shot(0, clip) for clip in range(16)]  # each kind of movement, walking too
    way = np.array([np.ptp(shot.joints[:, JOINTS.index("neck"), ::2], axis=0).max() for shot in shots])
    still = np.array([shot.camera.move != "follow" for shot in shots])
    assert 0.4 < still.mean() < 0.95
    assert way[still].max() < 2 * ROAMING[True]  # the neck moves with the trunk
    path = np.array(((0.0, 0, 0), (1, 0.2, 1), (2, 0, 4)))
    motion = from_angles(np.zeros((3, len(ANGLES))), np.zeros((3, 3)), path, "a")
    short = _staying(motion, 2.0)
    np.testing.assert_array_equal(short.turns, motion.turns)
    np.testing.assert_allclose(np.ptp(short.path, axis=0), (1, 0.2, 2), atol=1e-5)
    np.testing.assert_allclose(short.path.mean(0), motion.path.mean(0), atol=1e-5)
    np.testing.assert_array_equal(_staying(motion, 5.0).path, motion.path)


# The background, and how the camera's movement transforms it.

SIDE = 96


def filmed(shot: Shot, eye: np.ndarray, target: np.ndarray) -> tuple[Annotations, list[np.ndarray]]:
    """A clip as seen by a camera at `eye` that looks at `target`, both (T, 3), and its scenes (H, W, 3)."""
    shot = replace(shot, camera=Camera(rounded(look_at(eye, target)), 150.0, (SIDE, SIDE), "moving"))
    renderer = shot.renderer()
    seen = np.stack([renderer.frame(frame)[1] for frame in range(len(eye))])
    return annotate(shot, seen), [renderer.scene(frame) for frame in range(len(eye))]


@pytest.fixture(scope="module")
def walls():
    """Clips of three frames in front of walls with something on them."""
    studio = Studio(Plan("test", 3, 3, 4, SIDE))
    found = [studio.shot(identity, 0) for identity in range(4)]
    return [shot for shot in found if shot.scene.kind != "plain"]


def error(theta: np.ndarray, source: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference between `wanted` and what the transform makes of the other scene, away from the border."""
    linear, shift = torch.from_numpy(theta[:2, :2].T), torch.from_numpy(theta[:2, 2])
    places = identity_grid(SIDE, SIDE, torch.zeros(1).double()) @ linear + shift
    image = torch.from_numpy(source).double().movedim(-1, 0)[None]
    warped = sample(image, places[None])[0].movedim(0, -1).numpy()
    inside = (places.abs() <= 1).all(-1).numpy()
    return float(np.abs(warped - wanted)[inside].mean())


def test_the_source_scene_warped_by_the_background_transform_is_the_driving_scene(walls):
    target, aside = np.tile((0.0, 0.9, 0.0), (3, 1)), np.array(((-0.3, 0, 0.05), (0, 0, 0), (0.2, 0.1, 0)))
    front, around = (target + 3.5 * outwards(np.array(degrees), 5.0) for degrees in ((0.0, 0, 0), (-6.0, 0, 6)))
    assert len(walls) > 1
    for eye, to, most in ((around, target, 0.75), (front, target + aside, 0.4), (front + aside, target + aside, 0.7)):
        gains = []
        for shot in walls:
            clip, scenes = filmed(shot, eye, to)
            for i, j in ((0, 2), (2, 1)):
                theta = background_transform(clip, i, j)
                gains.append(error(theta, scenes[j], scenes[i]) / error(np.eye(3), scenes[j], scenes[i]))
        assert max(gains) < 1
        assert np.mean(gains) < most, gains


def test_a_camera_that_only_turns_moves_the_background_by_the_turn(walls):
    """Without parallax: a small turn to the right moves everything to the left, by focal length x angle."""
    shot, eye, angle = walls[0], np.tile((0, 1.0, 4.0), (2, 1)), 0.01
    shot = replace(shot, transforms=shot.transforms[:2], joints=shot.joints[:2])
    clip, _ = filmed(shot, eye, eye + ((0, 0, -1.0), (np.sin(angle), 0, -np.cos(angle))))
    moved = background_transform(clip, 0, 1) - np.eye(3)
    assert moved[0, 2] == pytest.approx(-150.0 * angle / ((SIDE - 1) / 2), rel=0.05)
    assert np.abs(moved[1]).max() < 1e-3
    clip, _ = filmed(shot, eye, eye - (0, 0, 1))
    np.testing.assert_array_equal(background_transform(clip, 0, 1), np.eye(3))


# Photos in the place of scenes.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photos that get redder to the right and greener downwards."""
    folder = tmp_path_factory.mktemp("places")
    x, y = np.meshgrid(np.linspace(20, 220, 120), np.linspace(20, 220, 90))
    for number in range(6):
        picture = np.stack((x, y, np.full(x.shape, 40.0 * number)), axis=-1)
        save_image(folder / f"place{number}.png", picture.round().astype(np.uint8))
    return folder


def test_a_photo_has_its_pixels_where_the_projector_throws_them():
    """By the camera's own projection; beyond the border it is mirrored."""
    picture = np.random.default_rng(0).uniform(size=(5, 7, 3)).astype(np.float32)
    pose = look_at(np.array((0.3, 1.2, 3.0)), np.array((0.0, 0.9, 0.0)))
    photo = Photo("a", picture, pose, 20.0, np.array((-3 / 20, -2 / 20)))
    points = np.random.default_rng(1).uniform(-1, 1, (400, 3)) * (0.7, 0.5, 0.2) + (0, 0.9, 0)
    place = project(to_camera(pose, points), 20.0, (5, 7))
    nearest = np.round(place).astype(int)
    exact = np.linalg.norm(place - nearest, axis=1) < 0.12
    x, y = np.pad(np.arange(7), 8, "reflect")[nearest[:, 0] + 8], np.pad(np.arange(5), 8, "reflect")[nearest[:, 1] + 8]
    assert exact.sum() > 10
    assert ((nearest < 0) | (nearest >= (7, 5)))[exact].any()
    assert np.abs(photo.colors(points) - picture[y, x])[exact].max() < 0.2


def test_a_photo_covers_the_view_of_every_frame(folder):
    """Nowhere does it go on mirrored: the colours always change in the same direction."""
    target, photos = np.tile((0.0, 0.9, 0.0), (3, 1)), photo_files(folder)
    scene = replace(Studio(Plan("train", 4, 3, 4, 64)).shot(0, 0).scene, planes=Planes(np.array((0.0, 0, 1)), 2.0))
    for degrees, seed in ((0.0, 0), (0.0, 1), (20.0, 0), (20.0, 1)):
        eye = target + 3.5 * outwards(np.array((-degrees, 0.0, degrees)), 5.0)
        camera = Camera(rounded(look_at(eye, target)), 100.0, (64, 64), "orbit")
        photo = draw_photo(np.random.default_rng(seed), photos, camera, scene.planes)
        backdrop = Backdrop(replace(scene, kind="photo", photo=photo), camera, np.ones(3))
        for frame in range(3):
            colors, floor, points = backdrop.at(frame)
            across = np.diff(colors[..., 0], axis=1)
            assert (across > 0).mean() > 0.98 or (across < 0).mean() > 0.98
            assert (np.diff(colors[..., 1], axis=0) > 0).mean() > 0.98
            assert len(floor) == len(points) > 0  # for the shadow


def test_half_of_the_clips_have_a_photo_and_are_otherwise_the_same(folder, tmp_path):
    studio, without = (Studio(Plan("train", 4, 2, 4, 32, places=places)) for places in (folder, None))
    shots = [studio.shot(0, clip) for clip in range(8)]
    with_photo = [shot for shot in shots if shot.scene.photo is not None]
    assert 2 <= len(with_photo) <= 6
    for number, shot in enumerate(shots):
        other = without.shot(0, number)
        np.testing.assert_array_equal(shot.camera.poses, other.camera.poses)
        np.testing.assert_array_equal(shot.transforms, other.transforms)
        assert (shot.scene.kind == "photo") == (shot in with_photo) == ("place" in shot.about)
    assert {shot.about["place"] for shot in with_photo} <= {f"place{k}.png" for k in (2, 3, 4)}  # those of this split
    for path, words in ((tmp_path / "none", "must be a folder of photos"), (tmp_path, "must have photos in it")):
        with pytest.raises(InputError, match=words):
            Studio(Plan("test", 1, places=path))
