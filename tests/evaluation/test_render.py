"""The rendered people: the same seed gives the same data, and what the annotations say is what the pictures show."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.rendered_people.annotations import (
    HIDDEN,
    SEEN,
    Annotations,
    annotate,
    clip_names,
    mean_displacement,
    open_scene,
    read_annotations,
)
from eval.rendered_people.camera import Camera, look_at, to_camera
from eval.rendered_people.choreography import KINDS
from eval.rendered_people.clip import Plan, Shot, Studio
from eval.rendered_people.figure import joints, pose
from eval.rendered_people.flow import background_transform, end_point_error, flow
from eval.rendered_people.motion import from_angles
from eval.rendered_people.outfit import draw_outfit, draw_shape
from eval.rendered_people.pairs import read_pairs
from eval.rendered_people.picture import draw_light, seen_faces
from eval.rendered_people.render import main, render_split
from eval.rendered_people.rotations import turn
from eval.rendered_people.scene import draw_scene
from eval.rendered_people.simple_body import simple_figure
from eval.rendered_people.skeleton import ANGLES, BONE_OF_JOINT, BONES, JOINTS, PART, PARTS, PARTS_AT_JOINT
from eval.rendered_people.stills import main as stills
from eval.rendered_people.tracks import GROUPS, LABELS, keypoints
from motion_core.errors import InputError
from motion_core.geometry import identity_grid, sample
from motion_core.media import load_image, open_frames
from motion_core.networks.layered.limbs import MIRRORED, STRIPS
from train.data.layouts import find_videos

SIZE, FRAMES = 96, 8
PLAN = Plan("test", 5, FRAMES, 8, SIZE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two people with two clips each, as folders of PNG files."""
    root = tmp_path_factory.mktemp("rendered")
    render_split(PLAN, root, 2, 2, png=True, pairs=6)
    return root


@pytest.fixture(scope="module")
def clips(data):
    return [read_annotations(data, "test", name) for name in clip_names(data, "test")]


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join((array + 0).tobytes() for array in arrays)).hexdigest()[:16]  # + 0: no -0.0


def test_annotations_are_the_same_everywhere_and_as_they_were(data, clips):
    """Data that results were measured on can be rendered again; float32 holds the rounded values exactly."""
    clip, shot = clips[0], Studio(PLAN).shot(0, 0)
    for written, rendered in (
        (clip.transforms, shot.transforms),
        (clip.camera, shot.camera.poses),
        (clip.surface["vertices"], shot.figure.vertices),
        (clip.surface["weights"], shot.figure.weights),
    ):
        np.testing.assert_array_equal(written, rendered)
    assert [digest(c.transforms, c.camera, c.seen, c.parts, c.visibility) for c in clips] == GOLDEN


GOLDEN = ["85e70d94c37d27d7", "ce59205800c7b58c", "c5c8ea7991f4af5a", "727da43197944b64"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_any_number_of_processes(tmp_path):
    plan = Plan("train", 7, 3, 8, 48)  # PNG: libx264's bytes vary from run to run for pictures as small as these
    written = []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        render_split(plan, root, 2, 1, png=True, workers=workers)
        written.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    assert len(written[0]) == 2 * (2 * 3 + 3) + 1
    assert written[0] == written[1]


def test_split_seed_person_and_clip_decide_a_clip_and_nothing_else_does():
    def shot(split, seed, identity, clip, studio=None):
        return (studio or Studio(Plan(split, seed, 2, 8, 32))).shot(identity, clip)

    wanted = [("test", 1, 0, 0), ("test", 2, 0, 0), ("test", 1, 1, 0), ("val", 1, 0, 0), ("test", 1, 0, 1)]
    shots = [shot(*numbers) for numbers in wanted]
    pictures = [next(each.render())[0] for each in shots]
    for k, one in enumerate(pictures):
        assert all((one != other).any() for other in pictures[k + 1 :])
    np.testing.assert_array_equal(shots[0].figure.texture, shots[4].figure.texture)  # a person is the same in all clips
    studio = Studio(Plan("test", 1, 2, 8, 32))
    studio.shot(0, 0)
    np.testing.assert_array_equal(shot("test", 1, 1, 0, studio).transforms, shots[2].transforms)


def test_files_have_the_fields_layout_and_the_json_says_what_the_numbers_are(data):
    names = sorted(path.name for path in (data / "test").iterdir())
    assert names == clip_names(data, "test") == [f"test000{i}#00{c}" for i in range(2) for c in range(2)]
    for name in names:
        video = open_frames(data / "test" / name)
        assert (video.count, video.size) == (FRAMES, (SIZE, SIZE))
    assert [(video.name, video.identity) for video in find_videos(data, "test")] == [(name, name[:8]) for name in names]
    text = json.loads((data / "annotations" / "test" / "test0000#000.json").read_text())
    assert text["joint_names"] == list(JOINTS)
    assert text["movement"] in KINDS
    assert {"identity", "seed", "frame_rate", "part_names", "camera_move", "background", "shape", "outfit"} <= set(text)


def test_the_scene_is_the_picture_without_the_figure_and_its_shadow(data, clips):
    """Off the figure, pixels are those of the scene or darker."""
    for clip in clips:
        video, scene = open_frames(data / "test" / clip.name), open_scene(data, "test", clip.name)
        for number in (0, FRAMES - 1):
            (_, picture), (_, empty) = *video.frames_at([number]), *scene.frames_at([number])
            assert 0.02 < (clip.seen[number] >= 0).mean() < 0.5
            away = interior(clip.seen[number] < 0)  # an outline's pixels are mixed
            assert (picture <= empty)[away].all()
            assert (picture == empty)[away].all(axis=-1).mean() > 0.6
            assert (picture != empty)[~away].any()


def test_visible_joints_are_on_their_parts(clips):
    seen = 0
    for clip in clips:
        for frame, joint in zip(*np.nonzero(clip.visibility == SEEN), strict=True):
            x, y = np.round(clip.joints[frame, joint]).astype(int)
            assert clip.parts[frame, y, x] in PARTS_AT_JOINT[joint], (clip.name, frame, JOINTS[joint])
            seen += 1
    assert seen > 0.35 * sum(clip.visibility.size for clip in clips)


def standing(yaw: float, **clothes: float) -> Annotations:
    """A person in the T pose, seen from far in front; without a skirt or a coat unless `clothes` say so."""
    random = np.random.default_rng(0)
    shape = draw_shape(random)
    close = {"drape": 0.0, "flare": 0.0, "skirt": 0.0, "coat": 0.0, "leg": 1.0}
    outfit = replace(draw_outfit(random, shape), hair_style="short", top="t-shirt", **(close | clothes))
    figure = simple_figure(shape, outfit, random)
    angles = np.zeros((1, len(ANGLES)))
    for side in ("left", "right"):
        angles[:, list(ANGLES).index(f"{side}_arm_raise")] = 75
    transforms = pose(figure, from_angles(angles, np.array([[yaw, 0.0, 0.0]]), np.zeros((1, 3)), "standing"))
    camera = Camera(look_at(np.array([[0, 1.0, 6.0]]), np.array([[0, 0.95, 0.0]])), 420.0, (192, 192), "static")
    places, front = joints(figure, transforms), np.array((0.0, 0, 1))
    scene, light = draw_scene(random, front, 1), draw_light(random, front)
    shot = Shot("a#0", "a", figure, transforms, places, camera, scene, light, {})
    return annotate(shot, np.stack([faces for _, faces in shot.render()]))


def test_joints_are_seen_and_in_place_from_the_front_and_the_face_is_hidden_from_behind():
    clip, back = standing(0.0), standing(180.0)
    hidden = {name for name, value in zip(JOINTS, clip.visibility[0], strict=True) if value != SEEN}
    assert hidden <= {"right_ear", "left_ear"}
    place = dict(zip(JOINTS, clip.joints[0], strict=True))
    for low, high in (("nose", "neck"), ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle")):
        assert place[low][1] < place[high][1]  # y goes down
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"):
        assert place[f"left_{joint}"][0] > place[f"right_{joint}"][0]  # who looks at us has the left on the right
    face = [JOINTS.index(name) for name in ("nose", "left_eye", "right_eye")]
    assert (back.visibility[0, face] == HIDDEN).all()
    assert back.visibility[0, JOINTS.index("left_elbow")] == SEEN


def test_loose_clothes_widen_the_figure_and_belong_to_the_limbs_below_them():
    close = standing(0.0)
    for clothes in ({"coat": 0.9, "drape": 0.5}, {"skirt": 0.9, "flare": 0.5}, {"flare": 1.0, "drape": 1.0}):
        loose = standing(0.0, **clothes)
        assert (loose.seen >= 0).sum() > 1.1 * (close.seen >= 0).sum()
        assert ((loose.parts > 0) == (loose.seen >= 0)).all()
        place = dict(zip(JOINTS, loose.joints[0], strict=True))
        for side, other in (("left", "right"), ("right", "left")):
            middle = (place[f"{side}_hip"] + 2 * place[f"{side}_knee"] + 2 * place[f"{side}_ankle"]) / 5
            column, row = np.round(middle + (place[f"{side}_knee"] - place[f"{other}_knee"]) * (0.3, 0)).astype(int)
            assert PARTS[loose.parts[0, row, column]] in (f"{side}_thigh", f"{side}_shin")


def warped(picture: np.ndarray, exact) -> np.ndarray:
    """A picture (S, S, 3) sampled where the flow says, in [0, 255]."""
    side = len(picture)
    grid = identity_grid(side, side, torch.zeros(1).double()) + torch.from_numpy(exact.displacement) * 2 / (side - 1)
    image = torch.from_numpy(picture).double().movedim(-1, 0)[None]
    return sample(image, grid[None])[0].movedim(0, -1).numpy()


def interior(mask: np.ndarray) -> np.ndarray:
    """Without the pixels whose eight neighbours are not all in the mask."""
    inner = mask.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            inner &= np.roll(mask, (dy, dx), (0, 1))
    return inner


def test_a_frame_warped_by_the_exact_flow_is_the_other_frame():
    """In light that is the same from everywhere a point keeps its colour; only resampling is left over."""
    studio = Studio(Plan("test", 5, 4, 4, 192))
    right, wrong = [], []
    for identity in range(3):
        shot = studio.shot(identity, 0)
        even = replace(shot.light, lamp=np.zeros(3), sky=np.ones(3), ground=np.ones(3))
        images, faces = zip(*replace(shot, light=even).render(), strict=True)
        clip = annotate(shot, np.stack(faces))
        for i, j in ((0, 1), (3, 2), (0, 3)):
            exact = flow(clip, i, j)
            where = interior(exact.visible)
            right.append(np.abs(warped(images[j], exact) - images[i])[where].mean())
            wrong.append(np.abs(images[j].astype(float) - images[i])[where].mean())
    assert np.mean(right) < 6, (right, wrong)
    assert np.mean(right) < 0.2 * np.mean(wrong), (right, wrong)


def test_flow_moves_joints_as_the_joints_move_and_is_nothing_to_the_frame_itself(clips):
    """An oracle that knows neither faces nor barycentric coordinates: the surface goes with the joint below it."""
    checked = 0
    for clip in clips:
        exact, same = flow(clip, 0, 2), flow(clip, 4, 4)
        for joint, bone in enumerate(BONE_OF_JOINT):
            if bone in PART and clip.visibility[0, joint] == SEEN and clip.visibility[2, joint] == SEEN:
                x, y = np.round(clip.joints[0, joint]).astype(int)
                moved = clip.joints[2, joint] - clip.joints[0, joint]
                if exact.visible[y, x]:
                    assert np.linalg.norm(exact.displacement[y, x] - moved) < 3 + 0.35 * np.linalg.norm(moved)
                    checked += 1
        np.testing.assert_allclose(same.displacement, 0, atol=1e-6)
        np.testing.assert_array_equal(same.visible, clip.seen[4] >= 0)
    assert checked > 15


def test_the_back_of_a_sheet_is_not_its_front():
    """A square that turns half around: each point is in the second picture, with nothing in front, but from behind."""
    weights = np.zeros((4, len(BONES)))
    weights[:, 0] = 1
    surface = {
        "vertices": np.array([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)]),
        "normals": np.tile((0.0, 0, 1), (4, 1)),
        "weights": weights,
        "faces": np.array([(0, 1, 2), (0, 2, 3)]),
        "two_sided": np.ones(2, bool),
        "parts": np.ones(2, np.uint8),
    }
    transforms = np.zeros((3, len(BONES), 3, 4))
    transforms[..., :3] = turn("y", np.array((0.0, 180.0, 10.0)))[:, None]
    pose = look_at(np.array((0.0, 0, 4)), np.zeros(3))
    corners = [to_camera(pose, surface["vertices"] @ turn("y", angle).T) for angle in (0.0, 180.0, 10.0)]
    rasters = [seen_faces(points, surface["faces"], surface["two_sided"], 60.0, (32, 32)) for points in corners]
    seen = np.stack([raster.faces[1::2, 1::2] for raster in rasters])
    nothing = np.zeros((3, 18, 2))
    sheet = Annotations(
        "a#0", "a", nothing, nothing[..., 0], nothing[..., 0], seen, seen, transforms, np.tile(pose, (3, 1, 1)), 60.0, surface, {}
    )  # fmt: skip
    turned, moved = flow(sheet, 0, 1), flow(sheet, 0, 2)
    assert turned.on_figure.sum() > 100
    assert not turned.visible.any()
    across, x = turned.displacement[turned.on_figure][:, 0], np.nonzero(turned.on_figure)[1]
    np.testing.assert_allclose(across, 31 - 2 * x, atol=1e-6)  # left and right change places
    assert moved.visible.mean() > 0.8 * moved.on_figure.mean()


def test_keypoints_are_strips_along_the_limbs(clips):
    """From joint to joint, and as wide at any turn of the person; mirrored, left ones are right ones and sides change."""
    assert len(STRIPS) == len(GROUPS) == LABELS.max()
    clip = clips[0]
    found = keypoints(clip) * SIZE - 0.5
    places = {name: clip.joints[:, number] for number, name in enumerate(JOINTS)}
    for group, (start, end, start_width, end_width, _) in enumerate(STRIPS):
        for place, first, width in ((start, 0, start_width), (end, 2, end_width)):
            middle = (found[:, group, first] + found[:, group, first + 1]) / 2
            if place in places:
                assert np.abs(middle - places[place]).max() < 1e-6
            sides = np.linalg.norm(found[:, group, first + 1] - found[:, group, first], axis=-1)
            metre = clip.focal / clip.joint_depth[:, JOINTS.index("neck")]
            assert np.allclose(sides, 2 * width * metre, rtol=1e-6)
    order = np.array(MIRRORED)
    assert (order[order] == np.arange(55)).all()
    *strips, face = order.reshape(len(GROUPS) + 1, 5)
    for group, names in enumerate(GROUPS):
        swapped = tuple(name.replace("left", "?").replace("right", "left").replace("?", "right") for name in names)
        assert GROUPS[strips[group][0] // 5] == swapped
        assert (strips[group] % 5).tolist() == [1, 0, 3, 2, 4]
    assert (face - 50).tolist() == [1, 0, 3, 2, 4]


def test_the_exact_flow_has_no_error_and_a_planted_one_is_found(clips):
    exact = flow(clips[0], 0, 7)
    still = identity_grid(SIZE, SIZE, torch.zeros(1).double())
    right = still + torch.from_numpy(exact.displacement) * 2 / (SIZE - 1)
    error, count = end_point_error(right, exact)
    assert error < 1e-6
    assert count == exact.visible.sum()
    assert end_point_error(right + torch.tensor((3.0, 4.0)) * 2 / (SIZE - 1), exact)[0] == pytest.approx(5.0)
    # standing still has the mean displacement, at a quarter of the size too
    small = identity_grid(SIZE // 4, SIZE // 4, torch.zeros(1).double())
    length = np.linalg.norm(exact.displacement[exact.visible], axis=1).mean()
    assert end_point_error(small, exact)[0] == pytest.approx(length)
    error, count = end_point_error(still, replace(exact, visible=np.zeros_like(exact.visible)))
    assert np.isnan(error)
    assert count == 0


def test_pairs_say_their_displacement_and_fill_the_quartiles(data, clips):
    pairs = read_pairs(data / "annotations" / "test" / "pairs.csv")
    assert len(pairs) == 4 * 6
    by_name = {clip.name: clip for clip in clips}
    for pair in pairs:
        clip = by_name[pair.video]
        moved = np.linalg.norm(clip.joints[pair.source] - clip.joints[pair.driving], axis=-1)
        both = (clip.visibility[pair.source] > 0) & (clip.visibility[pair.driving] > 0)
        assert pair.displacement == pytest.approx(moved[both].mean(), abs=1e-3)
        assert pair.displacement == pytest.approx(mean_displacement(clip, pair.source, pair.driving), abs=1e-4)
    quartiles = np.array([pair.quartile for pair in pairs])
    assert np.bincount(quartiles).tolist() == [0, 6, 6, 6, 6]
    values = np.array([pair.displacement for pair in pairs])
    for quartile in (1, 2, 3):
        assert values[quartiles == quartile].max() <= values[quartiles == quartile + 1].min()
    with (data / "annotations" / "test" / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all((data / "test" / row[name]).is_dir() for row in rows for name in ("source", "driving"))


def test_chosen_frames_and_clips_are_those_of_the_data_set(data, tmp_path):
    options = ["--split", "test", "--seed", "5", "--frames", str(FRAMES), "--rate", "8", "--size", str(SIZE)]
    assert stills(["--out", str(tmp_path / "some"), *options, "0#1@2", "0#0"]) == 0
    some = {"0#1@2.png": "test0000#001/000003.png", "0#0/000001.png": "test0000#000/000001.png"}
    for name, same in some.items():
        np.testing.assert_array_equal(load_image(tmp_path / "some" / name), load_image(data / "test" / same))
    assert len(list((tmp_path / "some" / "0#0").iterdir())) == FRAMES
    assert len(list((tmp_path / "some").iterdir())) == 2


def test_what_cannot_be_rendered_or_read_is_said_in_one_line(data, clips, tmp_path, capsys):
    base = ["--out", str(data), "--split", "test", "--identities", "1", "--clips", "1", "--seed"]
    new = ["--out", str(tmp_path / "none"), *base[2:], "0"]
    for command, arguments, words in (
        (main, [*base, "0"], "must be empty or not be there"),
        (main, [*base, "-1"], "seed: must be in 0.."),
        (main, [*new, "--motion", str(data / "none.npz")], "cannot be read"),
        (main, [*new, "--roaming", "nan"], "roaming: must be in 0..100 metres"),
        (stills, [*new[:4], "--seed", "0", "0#0", "3"], "must be IDENTITY#CLIP"),
        (stills, [*new[:4], "--seed", "0", "0#0", "0#1@64"], "must have a frame in 0..63"),
    ):
        assert command(arguments) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    for broken, words in (
        (lambda: read_annotations(data, "test", "nobody#000"), "no such annotations"),
        (lambda: open_scene(data, "test", "nobody#000"), "no such scene"),
        (lambda: flow(clips[0], 99, 0), r"i: must be a frame in 0\.\.7"),
        (lambda: background_transform(clips[0], 0, 8), r"j: must be a frame in 0\.\.7"),
        (lambda: background_transform(replace(clips[0], about={}), 0, 1), "must say where its wall is"),
        (lambda: end_point_error(torch.zeros(2, 8, 8), flow(clips[0], 0, 1)), "deformation: must have the shape"),
    ):
        with pytest.raises(InputError, match=words):
            broken()
