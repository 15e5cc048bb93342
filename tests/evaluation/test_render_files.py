"""What moves and who: random movements, motion and body files with their importers, and that a figure follows them."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from eval.rendered_people import import_bvh, import_makehuman
from eval.rendered_people.body_file import _OURS, BodyFile, clothed_figure, shape_amounts
from eval.rendered_people.choreography import KINDS, choreograph, mirrored, vector
from eval.rendered_people.clip import Plan, Studio
from eval.rendered_people.figure import joints, pose
from eval.rendered_people.motion import NEEDED, MotionFile, from_angles
from eval.rendered_people.outfit import draw_outfit, draw_shape
from eval.rendered_people.render import main
from eval.rendered_people.simple_body import simple_figure
from eval.rendered_people.skeleton import ANGLE, BONE, HIGH, JOINTS, LOW
from motion_core.errors import InputError

# A standing person in centimetres who looks towards +z: the left side is at +x.
_BODY = {"hip": (0, 95, 0), "abdomen": (0, 105, 0), "chest": (0, 120, 0), "neck": (0, 145, 0), "head": (0, 155, 2)}
_LIMB = {
    "Collar": (3, 142, 0),
    "Shldr": (18, 140, 0),
    "ForeArm": (46, 140, 0),
    "Hand": (70, 140, 0),
    "Buttock": (5, 93, 0),
}
_LIMB |= {"Thigh": (9, 92, 0), "Shin": (9, 50, 0), "Foot": (9, 8, 0), "Foot_end": (9, 4, 14)}


def standing() -> dict[str, np.ndarray]:
    places = {name: np.array(place, float) for name, place in _BODY.items()}
    for side, sign in (("l", 1), ("r", -1)):
        places |= {f"{side}{name}": np.array((sign * x, y, z), float) for name, (x, y, z) in _LIMB.items()}
    return places


def save(path, frames):
    names = list(standing())
    positions = np.array([[frame[name] for name in names] for frame in frames])
    root = positions[:, :1]
    np.savez(path, joint_names=names, a__root=root, a__rel=positions - root)
    return path


def posed(path, frames=2):
    """Joints by name (T, 3) in metres of a person who follows the file."""
    random = np.random.default_rng(3)
    shape = draw_shape(random)
    figure = simple_figure(shape, draw_outfit(random, shape), random)
    file = MotionFile(path)
    places = joints(figure, pose(figure, file.draw(np.random.default_rng(0), file.clips, frames, 30)))
    return {name: places[:, number] for number, name in enumerate(JOINTS)}


def direction(start, end):
    return (end - start) / np.linalg.norm(end - start, axis=-1, keepdims=True)


def test_movements_keep_to_the_joint_limits_do_not_jump_and_depend_on_the_seed():
    for kind in KINDS:
        first, second = (choreograph(kind, np.random.default_rng(seed), 50, 25).turns for seed in (0, 1))
        for turns in (first, second):
            identity = turns @ np.swapaxes(turns, -1, -2)
            np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)
            step = turns[1:] @ np.swapaxes(turns[:-1], -1, -2)
            degrees = np.rad2deg(np.arccos(np.clip((np.trace(step, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
            assert degrees.max() < 45  # a frame
        assert np.abs(first - first[:1]).max() > 0.3
        assert np.abs(first - second).max() > 0.3
    with pytest.raises(InputError, match="kind: must be one of walking"):
        choreograph("flying", np.random.default_rng(0), 5, 25)
    angles = np.tile(LOW.clip(0), (2, 1))
    angles[1, ANGLE["left_knee"]] = 160
    with pytest.raises(InputError, match=r"left_knee: must be in 0\.\.145 degrees, got 0 to 160"):
        from_angles(angles, np.zeros((2, 3)), np.zeros((2, 3)), "x")


def test_a_mirrored_pose_has_left_and_right_exchanged():
    pose = vector({"left_elbow": 70, "spine_side": 20, "head_turn": -30, "spine_bend": 10, "right_hip_side": 15})
    other = mirrored(pose)
    expected = {"right_elbow": 70, "spine_side": -20, "head_turn": 30, "spine_bend": 10, "left_hip_side": 15}
    for name, value in (expected | {"left_elbow": 14}).items():
        assert other[ANGLE[name]] == value
    np.testing.assert_array_equal(mirrored(other), pose)
    assert (LOW < HIGH).all()


def test_a_figure_takes_the_pose_of_a_motion_file_and_faces_the_front(tmp_path):
    person = standing()
    person["lForeArm"], person["lHand"] = person["lShldr"] + (0, 28, 0), person["lShldr"] + (0, 28, 24)
    person["rShin"], person["rFoot"] = person["rThigh"] + (0, 0, 42), person["rThigh"] + (0, -42, 42)
    person["rFoot_end"] = person["rFoot"] + (0, -4, 14)
    at = posed(save(tmp_path / "m.npz", [person] * 3))
    np.testing.assert_allclose(direction(at["left_shoulder"], at["left_elbow"])[0], (0, 1, 0), atol=0.03)
    np.testing.assert_allclose(direction(at["left_elbow"], at["left_wrist"])[0], (0, 0, 1), atol=0.03)
    np.testing.assert_allclose(direction(at["right_hip"], at["right_knee"])[0], (0, 0, 1), atol=0.03)
    np.testing.assert_allclose(direction(at["right_knee"], at["right_ankle"])[0], (0, -1, 0), atol=0.03)
    np.testing.assert_allclose(direction(at["right_shoulder"], at["right_elbow"])[0], (-1, 0, 0), atol=0.03)
    assert at["nose"][0, 2] > at["neck"][0, 2]
    assert abs(at["left_ankle"][0, 1]) < 0.2  # the foot stands on the floor
    # The viewpoint is the camera's affair: someone who was recorded from the side is turned to +z.
    turned = {name: np.array((place[2], place[1], -place[0])) for name, place in standing().items()}
    at = posed(save(tmp_path / "m.npz", [turned] * 3))
    assert (at["left_shoulder"] - at["right_shoulder"])[0, 0] > 0.2
    assert (at["nose"] - at["neck"])[0, 2] > 0.02


def test_a_jump_leaves_the_floor_by_its_share_of_the_leg(tmp_path):
    jumping = {name: place + (0, 42, 0) for name, place in standing().items()}
    at = posed(save(tmp_path / "m.npz", [standing()] * 20 + [jumping]), 21)
    leg = np.linalg.norm(at["left_hip"] - at["left_knee"], axis=1) + np.linalg.norm(
        at["left_knee"] - at["left_ankle"], axis=1
    )
    assert (at["left_ankle"][-1, 1] - at["left_ankle"][0, 1]) / leg[0] == pytest.approx(0.5, abs=0.04)


def test_a_motion_file_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        MotionFile(tmp_path / "none.npz")
    np.savez(tmp_path / "m.npz", joint_names=["hip"])
    with pytest.raises(InputError, match=r"joint_names must have .*; abdomen"):
        MotionFile(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", joint_names=list(standing()))
    with pytest.raises(InputError, match="must have clips"):
        MotionFile(tmp_path / "m.npz")


def bvh(root_turn: float = 0.0) -> str:
    """The standing person as a BVH file of 8 frames at 120 a second; the root turns about y by `root_turn` degrees."""
    places = standing()
    chain = {
        "hip": ["abdomen", "lButtock", "rButtock"],
        "abdomen": ["chest"],
        "chest": ["neck", "lCollar", "rCollar"],
        "neck": ["head"],
    }
    for s in "lr":
        names = (
            [f"{s}{name}" for name in ("Collar", "Shldr", "ForeArm", "Hand")],
            [f"{s}{name}" for name in ("Buttock", "Thigh", "Shin", "Foot")],
        )
        for line in names:
            chain |= {name: [following] for name, following in pairwise(line)}

    def node(name, parent):
        offset = places[name] - (places[parent] if parent else places[name])
        kind = "ROOT" if parent is None else "JOINT"
        channels = (
            "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
            if parent is None
            else "3 Zrotation Xrotation Yrotation"
        )
        if name.endswith("Foot"):
            end = places[f"{name}_end"] - places[name]
            inner = f"End Site {{ OFFSET {end[0]} {end[1]} {end[2]} }}"
        else:
            inner = "\n".join(node(child, name) for child in chain.get(name, []))
        return f"{kind} {name} {{ OFFSET {offset[0]} {offset[1]} {offset[2]} CHANNELS {channels}\n{inner} }}"

    text = node("hip", None)
    values = ["1", "95", "2", "0", "0", str(root_turn)] + ["0"] * 3 * (text.count("JOINT"))
    return f"HIERARCHY\n{text}\nMOTION\nFrames: 8\nFrame Time: 0.00833333\n" + "\n".join(
        " ".join(values) for _ in range(8)
    )


def test_a_bvh_file_becomes_a_motion_file(tmp_path):
    (tmp_path / "walk.bvh").write_text(bvh(90))
    assert import_bvh.main([str(tmp_path / "walk.bvh"), "--out", str(tmp_path / "m.npz")]) == 0
    file = MotionFile(tmp_path / "m.npz")
    assert file.clips == ["walk"]
    assert set(file.joints) == set(NEEDED) == set(standing()) - {"lButtock", "rButtock"}
    positions = file.positions("walk")
    assert len(positions) == 2  # 8 frames at 120 a second are 2 at 30
    for name in NEEDED:
        x, y, z = standing()[name] - (0, 95, 0)
        expected = np.array((z, y, -x)) + (1, 95, 2)  # 90 degrees about y take +z to +x
        np.testing.assert_allclose(positions[0, file.joints[name]], expected, atol=1e-3)


def test_bvh_rotations_apply_in_the_order_of_their_channels(tmp_path):
    (tmp_path / "a.bvh").write_text(
        "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET 0 0 2 } }\n"
        "MOTION Frames: 1 Frame Time: 0.1 30 40 50"
    )
    joints_, values, rate = import_bvh.read_bvh(tmp_path / "a.bvh")
    expected = Rotation.from_euler("ZXY", (30, 40, 50), degrees=True).apply((0, 0, 2))
    np.testing.assert_allclose(import_bvh.positions(joints_, values)[0, 1], expected, atol=1e-12)
    assert rate == pytest.approx(10)
    assert joints_[1].name == "a_end"


def test_a_bvh_file_that_is_broken_or_has_other_joints_is_refused(tmp_path, capsys):
    one_joint = "HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 1 Xposition } MOTION Frames:"
    for text, message in (
        ("", "it has no MOTION"),
        ("HIERARCHY ROOT a { OFFSET 0 0", "ends too early"),
        ("hello", "is no word of its hierarchy"),
        (f"{one_joint} 2 Frame Time: 0.1 1", "got 1 numbers"),
        (f"{one_joint} 1 Frame Time: 0.1 1", "must have the joints hip"),
    ):
        (tmp_path / "a.bvh").write_text(text)
        assert import_bvh.main([str(tmp_path / "a.bvh"), "--out", str(tmp_path / "m.npz")]) == 2
        assert message in capsys.readouterr().err


def box(low, high) -> np.ndarray:
    """Eight corners."""
    return np.array([[(low, high)[(k >> axis) & 1][axis] for axis in range(3)] for k in range(8)], float)


_QUADS = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))  # outwards


@pytest.fixture(scope="module")
def makehuman(tmp_path_factory):
    """A person of boxes, in decimetres, in MakeHuman's files."""
    data = tmp_path_factory.mktemp("makehuman")
    heads = {
        "root": (0, 0.5, 0),
        "spine05": (0, 0.7, 0),
        "spine04": (0, 1.2, 0),
        "spine02": (0, 2.8, 0),
        "neck01": (0, 5.9, 0),
        "head": (0, 7, 0),
    }
    for letter, sign in (("L", 1), ("R", -1)):
        for name, (x, y) in {
            "clavicle": (0.3, 5.2),
            "upperarm01": (1.7, 5.2),
            "lowerarm01": (3.1, 3.5),
            "wrist": (4.4, 2.3),
        }.items():
            heads[f"{name}.{letter}"] = (sign * x, y, 0.1)
        for name, (x, y) in {"upperleg01": (1.1, 0.5), "lowerleg01": (1.3, -3.7), "foot": (1.4, -7.4)}.items():
            heads[f"{name}.{letter}"] = (sign * x, y, 0)
    parts = {"body": [], "helper-tights": [], "helper-hair": [box((-0.8, 6, -1), (0.8, 8.5, 0))]}
    for sign, group in ((1, "helper-l-eye"), (-1, "helper-r-eye")):
        parts[group] = [box((sign * 0.3 - 0.1, 7.2, 0.7), (sign * 0.3 + 0.1, 7.4, 0.9))]
    owners = []
    for name, (x, y, z) in heads.items():
        solid = [box((x - 0.5, y - 1.0, z - 0.5), (x + 0.5, y + 0.6, z + 0.8))]
        parts["body"] += solid
        parts["helper-tights"] += solid if name != "head" else []
        owners.append(name)
    lines, number, weights = [], 1, {name: [] for name in heads}
    for group, boxes in parts.items():
        lines.append(f"g {group}")
        for k, corners in enumerate(boxes):
            lines += [f"v {x} {y} {z}" for x, y, z in corners]
            lines += ["f " + " ".join(f"{number + corner}/1" for corner in quad) for quad in _QUADS]
            bone = owners[k] if group in ("body", "helper-tights") else "head"
            weights[bone] += [[number - 1 + corner, 1.0] for corner in range(8)]
            number += 8
    joint_vertices = {}
    lines.append("g joints")
    for name, (x, y, z) in heads.items():
        joint_vertices[name] = list(range(number - 1, number + 7))
        lines += [f"v {x} {y} {z}"] * 8
        number += 8
    files = {
        "3dobjs/base.obj": "vt 0 0\n" + "\n".join(lines),
        "rigs/default.mhskel": json.dumps({
            "weights_file": "w.mhw",
            "bones": {
                name: {"head": name, "tail": name, "parent": None if name == "root" else "root"} for name in reversed(heads)
            },
            "joints": joint_vertices,
        }),
        "rigs/w.mhw": json.dumps({"weights": weights}),
        "targets/macrodetails/caucasian-male-young.target": "# a comment\n0 0.5 0 0\n3 0 -1 0.25\n",
        "targets/macrodetails/height/male-young-averagemuscle-averageweight-maxheight.target": "1 0 1 0\n",
    }  # fmt: skip
    for name, text in files.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(text)
    return data


@pytest.fixture(scope="module")
def body(makehuman):
    assert import_makehuman.main(["--data", str(makehuman), "--out", str(makehuman / "body.npz")]) == 0
    return makehuman / "body.npz"


def test_makehuman_files_become_a_body_file(body):
    file = BodyFile(body)
    assert set(_OURS) <= {str(name) for name in np.load(body)["bone_names"]}
    assert len(file.faces["body"]) == 6 * len(_OURS)
    np.testing.assert_allclose(file.weights.sum(1), 1)
    plain, shaped = file.shaped({}), file.shaped({"caucasian-male-young": 0.5})
    np.testing.assert_allclose(shaped[0] - plain[0], (0.25, 0, 0), atol=1e-3)
    np.testing.assert_allclose(shaped[3] - plain[3], (0, -0.5, 0.125), atol=1e-3)
    np.testing.assert_array_equal(shaped[1], plain[1])
    np.testing.assert_allclose(file.heads(plain)[BONE["head"]], (0, 7, 0), atol=1e-3)


def test_amounts_of_a_group_of_targets_add_up_to_one():
    random = np.random.default_rng(0)
    for _ in range(5):
        amounts = shape_amounts(draw_shape(random), random)
        ancestry = [value for name, value in amounts.items() if name.split("-")[0] in ("african", "asian", "caucasian")]
        universal = [value for name, value in amounts.items() if name.startswith("universal")]
        assert sum(ancestry) == pytest.approx(1)
        assert sum(universal) == pytest.approx(1)
        assert min(amounts.values()) >= 0


def test_people_with_the_bodies_of_a_file_are_rendered(body, tmp_path):
    who = ["--split", "test", "--identities", "1", "--clips", "1", "--seed", "1", "--frames", "2", "--size", "48"]
    assert main(["--out", str(tmp_path), *who, "--body", str(body)]) == 0
    assert (tmp_path / "test" / "test0000#000.mp4").is_file()
    shot = Studio(Plan("test", 1, 2, 25, 64, body=body)).shot(0, 0)
    assert all((faces >= 0).mean() > 0.02 for _, faces in shot.render())


def test_loose_clothes_of_a_body_file_stand_off_it(body):
    """Each makes the surface wider than without; weights stay shares, on the tiles of the texture."""
    file = BodyFile(body)
    random = np.random.default_rng(1)
    shape = draw_shape(random)
    drawn = draw_outfit(random, shape)
    close = replace(drawn, top="t-shirt", hair_style="short", drape=0.0, flare=0.0, coat=0.0, skirt=0.0, leg=0.95)

    def figure(**clothes):
        return clothed_figure(file, shape, replace(close, **clothes), np.random.default_rng(2))

    def width(figure, low, high):
        return np.ptp(figure.vertices[(figure.vertices[:, 1] > low) & (figure.vertices[:, 1] < high)][:, 0])

    plain = figure()
    hip, ankle = plain.heads[BONE["left_thigh"], 1], plain.heads[BONE["left_foot"], 1]
    below = (ankle + 0.1 * (hip - ankle), ankle + 0.6 * (hip - ankle))
    closed = {"coat": 0.9, "coat_open": False, "flare": 1.0}
    hiding = closed | {"leg": 0.3}  # nothing of the wide shorts below is seen
    for clothes in ({"coat": 0.9, "coat_open": True}, closed, hiding, {"skirt": 0.9}):
        loose = figure(**clothes)
        assert width(loose, *below) > width(plain, *below) + 0.02, clothes
        np.testing.assert_allclose(loose.weights.sum(1), 1, atol=1e-4)
        assert ((loose.uvs >= 0) & (loose.uvs <= 1)).all()
        assert np.isfinite(loose.vertices).all()
    assert np.ptp(figure(drape=1.0).vertices[:, 2]) > np.ptp(plain.vertices[:, 2])


def test_incomplete_makehuman_data_are_refused(makehuman, tmp_path, capsys):
    assert import_makehuman.main(["--data", str(tmp_path), "--out", str(tmp_path / "b.npz")]) == 2
    assert "base.obj: cannot be read" in capsys.readouterr().err
    (tmp_path / "base.obj").write_text("g body\nv 0 0 0\nf 1 1 1 1\n")
    with pytest.raises(InputError, match=r"helper-tights, helper-hair, .* has none"):
        import_makehuman.read_base(tmp_path / "base.obj")
    (tmp_path / "a.target").write_text("1 2 3\n")
    with pytest.raises(InputError, match="a vertex number and three offsets"):
        import_makehuman.read_target(tmp_path / "a.target")
    np.savez(tmp_path / "b.npz", vertices=np.zeros((1, 3)))
    with pytest.raises(InputError, match="bone_names"):
        BodyFile(tmp_path / "b.npz")
