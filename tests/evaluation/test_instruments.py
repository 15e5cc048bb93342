"""The benchmark's own joint detector and identity embedder: the shipped ones on fresh pictures, and how they are made."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from subcases import each_case

from eval.instruments import open_detector, open_embedder
from eval.rendered_people import instrument_data as data
from eval.rendered_people.annotations import SEEN, annotate
from eval.rendered_people.clip import Plan, Studio
from eval.rendered_people.instruments import IDENTITY_WEIGHTS, JOINT_WEIGHTS, SHIPPED, peaks
from eval.rendered_people.render import render_split
from eval.rendered_people.skeleton import JOINTS, PART
from eval.rendered_people.train_instruments import identity_scores, joint_scores, missing_limb_scores
from eval.rendered_people.train_instruments import main as train
from motion_core.errors import InputError
from motion_core.media import to_uint8

SIDE, PEOPLE, CLIPS = 128, 8, 2
SEED = 987_654  # of people who are in no data that the instruments were trained or measured on
SHARE_FOUND, PER_CENT, SHIFT = 0.85, 3.0, 1.0  # least share, greatest mean error of the side, pixels


@pytest.fixture(scope="module")
def frames():
    """Simple bodies: 8 people, 2 clips of each, 2 frames of each a second apart."""
    studio = Studio(Plan("test", SEED, frames=2, rate=1, size=SIDE))
    rows = []
    for person in range(PEOPLE):
        for number in range(CLIPS):
            shot = studio.shot(person, number)
            pictures, seen = zip(*shot.render(), strict=True)
            clip = annotate(shot, np.stack(seen))
            numbers = (np.full(2, value) for value in (person, CLIPS * person + number, 0))
            rows.append((np.stack(pictures), clip.parts, clip.joints, clip.visibility, *numbers))
    return data.Frames(*(np.concatenate(column) for column in zip(*rows, strict=True)))


@pytest.fixture(scope="module")
def detector():
    return open_detector("benchmark")


@pytest.fixture(scope="module")
def embedder():
    return open_embedder("benchmark")


@pytest.fixture(scope="module")
def found(detector, frames):
    return np.stack([detector.landmarks(image) for image in frames.images])  # (F, 18, 2)


def test_the_shipped_detector_finds_joints_of_people_it_has_not_seen_and_hidden_ones_less_often(frames, found):
    seen, finite = frames.visibility == SEEN, np.isfinite(found).all(-1)
    both = seen & finite
    constant = np.array([np.median(frames.joints[:, j][seen[:, j]], axis=0) for j in range(18)])

    assert both.sum() / seen.sum() > SHARE_FOUND
    error = 100 / SIDE * np.linalg.norm(found - frames.joints, axis=-1)[both].mean()
    guess = 100 / SIDE * np.linalg.norm(constant - frames.joints, axis=-1)[both].mean()
    assert error < PER_CENT
    assert error < guess / 4
    assert finite[seen].mean() > finite[frames.visibility == 1].mean() + 0.3


def test_limbs_that_are_taken_away_are_missed_and_where_there_is_nobody_next_to_nobody_is_found(detector, frames):
    scores = missing_limb_scores(detector, frames)

    assert scores["found_before"] > 0.7
    assert scores["found_when_taken_away"] < 0.6 * scores["found_before"]
    images, parts = data.batch_of(frames, np.arange(len(frames)))
    empty = np.stack([detector.landmarks(image) for image in to_uint8(data.filled(images, parts > 0))])
    assert np.isfinite(empty).mean() < 0.05
    for value in (0, 128, 255, (40, 120, 200)):
        assert np.isnan(detector.landmarks(np.full((SIDE, SIDE, 3), value, np.uint8))).all()


def test_joints_go_along_with_shifts_sizes_and_borders_of_the_picture(detector, frames, found):
    """The middle of the first pixel is (0, 0), so what was at x is at 2 x + 0.5 in a picture of twice the size."""

    def changed(change):
        points = np.stack([detector.landmarks(image) for image in change(frames.images)])
        both = np.isfinite(points + found).all(-1)
        assert both.mean() > 0.4
        return points, both

    def padded(above, left):
        return lambda images: np.pad(images, ((0, 0), (above, above), (left, left), (0, 0)), mode="edge")

    right, down = 12, 8
    shift = np.array([right, down])
    points, both = changed(
        lambda images: np.pad(images, ((0, 0), (down, 0), (right, 0), (0, 0)), mode="edge")[:, :SIDE, :SIDE]
    )
    assert np.abs(np.median((points - found)[both], axis=0) - shift).max() < 0.3
    assert np.median(np.linalg.norm(points - found - shift, axis=-1)[both]) < SHIFT
    points, both = changed(lambda images: images.repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(np.median((points - 2 * found)[both], axis=0), 0.5, atol=0.1)
    for above, left in ((0, 16), (16, 0)):
        points, both = changed(padded(above, left))
        assert np.median(np.linalg.norm(points - found - [left, above], axis=-1)[both]) < 2.0


def test_the_peak_is_found_between_the_pixels():
    x, y = 40.3, 77.9
    cells = (np.arange(32) + 0.5) * 4 - 0.5  # where the middle of each cell is
    logits = -((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * 4**2)
    far = np.where((np.arange(32) == 2) & (np.arange(32)[:, None] == 3), logits.max() - 0.5, logits)  # a lower peak

    np.testing.assert_allclose(peaks(torch.tensor(far)[None, None])[0, 0], [x, y], atol=0.15)


def test_the_shipped_embedder_tells_people_apart_whatever_the_clip(embedder, frames):
    vectors = np.stack([embedder.embed(image) for image in frames.images])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    same, other = pairs(frames, vectors)

    assert np.median(same) < 0.7 * np.median(other)
    # By the distance that best separates half of the people, the pairs among the other half are judged.
    halves = [pairs(frames, vectors, lambda person, half=half: person % 2 == half) for half in range(2)]
    for (same, other), (judged_same, judged_other) in (halves, halves[::-1]):
        limits = np.sort(np.concatenate((same, other)))
        limit = max(limits, key=lambda value: (same <= value).mean() + (other > value).mean())
        assert ((judged_same <= limit).mean() + (judged_other > limit).mean()) / 2 > 0.8  # 0.5 is chance


def pairs(frames, vectors, wanted=lambda person: True):
    """Distances of pairs of one person in two clips, and of two people."""
    same, other = [], []
    for i in range(len(vectors)):
        for j in range(i):
            if wanted(frames.people[i]) and wanted(frames.people[j]) and frames.clips[i] != frames.clips[j]:
                (same if frames.people[i] == frames.people[j] else other).append(
                    np.linalg.norm(vectors[i] - vectors[j])
                )
    return np.array(same), np.array(other)


@each_case(("name", "opened"), [(JOINT_WEIGHTS, open_detector), (IDENTITY_WEIGHTS, open_embedder)])
def test_the_shipped_weights_are_small_and_named_by_their_digest_and_others_are_refused(name, opened, tmp_path):
    good = SHIPPED / name
    about = json.loads(good.with_suffix(".json").read_text())
    assert good.stat().st_size < 2_000_000
    assert hashlib.sha256(good.read_bytes()).hexdigest()[:12] in opened("benchmark").version
    assert about["steps"] > 0
    assert set(about["held_out"]).isdisjoint(about["trained_on"])

    other = SHIPPED / ({JOINT_WEIGHTS, IDENTITY_WEIGHTS} - {name}).pop()
    cut, endless = tmp_path / "cut.safetensors", tmp_path / "endless.safetensors"
    cut.write_bytes(good.read_bytes()[:-1000])
    save_file({key: tensor * torch.inf for key, tensor in load_file(good).items()}, endless)
    for path, message in (
        (cut, "must be weights of"),
        (other, "must be weights of"),
        (endless, "must have finite"),
        (tmp_path / "nowhere", "benchmark:FILE: there is no file"),
    ):
        with pytest.raises(InputError, match=message):
            opened(f"benchmark:{path}")


class Planted:
    """Answers with the truth, 3 and 4 pixels off; misses the nose, and hidden joints of one frame in two."""

    name, version, joints = "planted", "1", 18

    def __init__(self, frames, side):
        factor = side / SIDE
        self._answers = iter((frames.joints + 0.5) * factor - 0.5 + [3.0, 4.0])
        self._hidden, self._calls = iter(frames.visibility != SEEN), 0

    def landmarks(self, image):
        self._calls += 1
        points, hidden = next(self._answers).copy(), next(self._hidden)
        points[hidden & (self._calls % 2 == 0)] = np.nan
        points[JOINTS.index("nose")] = np.nan
        return points


class Blind:
    name, version, joints = "blind", "1", 18

    def landmarks(self, image):
        return np.full((18, 2), np.nan)


def test_joint_scores_find_a_planted_error_and_are_none_where_there_is_nothing_to_measure(frames):
    seen, hidden = frames.visibility == SEEN, frames.visibility == 1
    for side in (128, 64):
        scores = joint_scores(Planted(frames, side), frames, side)
        assert scores["mean_percent_of_side"] == pytest.approx(500 / side, abs=1e-3)
        assert scores["mean_pixels_at_256"] == pytest.approx(5 * 256 / side, abs=1e-3)
        assert scores["share_within_5_percent"] == (side == 128)
        assert scores["found_of_seen"] == pytest.approx(1 - seen[:, 0].sum() / seen.sum(), abs=1e-4)
        assert scores["found_of_hidden"] == pytest.approx(hidden[::2, 1:].sum() / hidden.sum(), abs=1e-4)
    scores = joint_scores(Blind(), frames)
    assert (scores["found_of_seen"], scores["found_of_hidden"]) == (0, 0)
    assert scores["mean_percent_of_side"] is scores["median_percent_of_side"] is None


class Numbered:
    """An embedding with little in it of the person, and much chance."""

    name, version = "numbered", "1"

    def __init__(self, frames):
        noise = np.random.default_rng(0).normal(size=(len(frames), 3))
        self.vectors = noise + np.eye(PEOPLE)[frames.people][:, :3] * 2
        self._answers = iter(self.vectors)

    def embed(self, image):
        return next(self._answers)


def test_identity_scores_equal_those_counted_pair_by_pair(frames):
    embedder = Numbered(frames)
    scores = identity_scores(embedder, frames)
    same, other = pairs(frames, embedder.vectors)  # two people are never in one clip
    curve = np.mean([(a < other).mean() + (a == other).mean() / 2 for a in same])
    limit = scores["distance_at_equal_errors"] + 1e-4
    errors = (same > limit).mean(), (other <= limit).mean()

    assert scores["mean_distance_same_person_other_clip"] == pytest.approx(same.mean(), abs=1e-4)
    assert scores["mean_distance_other_person"] == pytest.approx(other.mean(), abs=1e-4)
    assert scores["area_under_curve"] == pytest.approx(curve, abs=1e-4)
    assert errors[0] == pytest.approx(errors[1], abs=0.05)
    assert scores["accuracy_at_equal_errors"] == pytest.approx(1 - np.mean(errors), abs=0.01)


def test_joints_go_along_when_pictures_are_moved():
    """A dot is drawn at a joint of the body's middle (the neck) and found again where the joint is said to be."""
    torch.manual_seed(0)
    joints = torch.full((40, 18, 2), 20.0)
    joints[:, 1] = torch.tensor([70.0, 50.0])
    joints[:, JOINTS.index("right_wrist")] = torch.tensor([90.0, 60.0])
    images = torch.zeros(40, 3, SIDE, SIDE)
    images[:, 0, 49:52, 69:72] = images[:, 1, 59:62, 89:92] = 1
    visibility = torch.zeros(40, 18, dtype=torch.uint8)
    visibility[:, JOINTS.index("right_wrist")] = SEEN
    images, joints, visibility = data.moved(images, joints, visibility)
    grid = torch.stack(torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="xy"), -1)
    mirrored = 0
    for image, points, state in zip(images, joints, visibility, strict=True):
        wrist = int(state.argmax())
        mirrored += JOINTS[wrist] == "left_wrist"
        for channel, joint in ((0, 1), (1, wrist)):
            if ((points[joint] > 3) & (points[joint] < SIDE - 4)).all():
                middle = (image[channel][..., None] * grid).sum((0, 1)) / image[channel].sum()
                torch.testing.assert_close(middle, points[joint], atol=0.5, rtol=0)
    assert 8 < mirrored < 32
    assert [data.MIRRORED[j] for j in data.MIRRORED] == list(range(18))


def test_what_is_filled_continues_its_surroundings():
    images = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 64, 64).clone()
    hole = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    hole[..., 10:40, 20:50] = True
    whole = images.clone()
    images[:, :, 10:40, 20:50] = 1

    torch.testing.assert_close(data.filled(images, hole), whole, atol=1e-4, rtol=0)


def test_what_is_done_to_pictures_changes_what_it_should_and_nothing_in_place(frames):
    torch.manual_seed(0)
    images, parts = data.batch_of(frames, np.arange(len(frames)))
    before = images.clone()
    result, taken = data.without_limbs(images, parts, 1.0)
    near = torch.nn.functional.max_pool2d(taken.float(), 5, 1, 2) > 0  # (F, 1, 128, 128)
    changed = (result - images).abs().amax(1, keepdim=True) > 1e-4
    assert taken.any()
    assert changed[taken].float().mean() > 0.8
    assert not changed[~near].any()

    change = (data.elsewhere(images, parts, 1.0) - images).abs().mean(1, keepdim=True)  # people keep their looks
    assert change[parts == PART["torso"]].mean() < 0.01
    assert change[parts == 0].mean() > 0.05

    losses = [
        float((data.compressed(images, torch.full((1,), step)) - images).abs().mean()) for step in (1e-5, 0.02, 0.2)
    ]
    assert losses[0] < 1e-4 < losses[1] < losses[2]
    for made in (data.degraded(images, 0.5), data.recoloured(images, 1.0)):
        assert 0 <= made.min() <= made.max() <= 1
        assert 0.005 < (made - images).abs().mean() < 0.2
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    torch.testing.assert_close(data.recoloured(images.clamp(0.001, 0.999), 0.0), images.clamp(0.001, 0.999))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Small data sets, two for training whose people have the same names, and one for testing."""
    folder = tmp_path_factory.mktemp("roots")
    for seed, size, split in ((1, 32, "train"), (2, 64, "train"), (3, 32, "test")):
        render_split(Plan(split, seed, 2, 2, size), folder / f"{split}{seed}", 2, 2)
    return folder


def test_frames_of_two_data_sets_have_other_people_and_annotations_that_fit_their_resized_pictures(roots):
    frames = data.read_frames([roots / "train1", roots / "train2"], "train")
    column, row = np.round(frames.joints).astype(int).clip(0, 127).transpose(2, 0, 1)
    there = frames.parts[np.arange(16)[:, None], row, column]

    assert frames.images.shape == (16, 128, 128, 3)
    assert frames.people.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert frames.clips.tolist() == np.repeat(np.arange(8), 2).tolist()
    assert (there[frames.visibility == SEEN] > 0).mean() > 0.9


def test_the_training_command_makes_instruments_that_open_the_same_from_the_same_seed(roots, tmp_path, capsys):
    data, short = [str(roots / "train1"), str(roots / "train2")], ["--steps", "2", "--batch", "4"]
    assert train(["--data", *data, "--held-out", str(roots / "test3"), *short, "--out", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    again = ["--data", *data, "--only", "identity", *short, "--out"]
    assert train([*again, str(tmp_path / "b")]) == train([*again, str(tmp_path / "c"), "--seed", "1"]) == 0
    first, same, other = ((tmp_path / name / IDENTITY_WEIGHTS).read_bytes() for name in "abc")
    assert first == same != other

    picture = np.zeros((50, 70, 3), np.uint8)
    assert open_detector(f"benchmark:{tmp_path / 'a' / JOINT_WEIGHTS}").landmarks(picture).shape == (18, 2)
    assert open_embedder(f"benchmark:{tmp_path / 'a' / IDENTITY_WEIGHTS}").embed(picture).shape == (64,)
    assert "2 of 2, loss" in printed
    for name, score in ((JOINT_WEIGHTS, "found_of_seen"), (IDENTITY_WEIGHTS, "area_under_curve")):
        about = json.loads((tmp_path / "a" / name).with_suffix(".json").read_text())
        assert about["trained_on"]["train2"] == {"people": 2, "clips": 4, "frames": 8}
        assert about["held_out"]["test3"]["at_64"][score] >= 0
        assert f'"{score}": {about["held_out"]["test3"]["at_64"][score]}' in printed


@pytest.mark.slow
def test_training_lowers_the_loss(roots, tmp_path, capsys):
    for only in ("joints", "identity"):
        losses = []
        for steps in ("2", "12"):
            short = ["--steps", steps, "--batch", "4", "--out", str(tmp_path)]
            assert train(["--data", str(roots / "train1"), "--only", only, *short]) == 0
            losses.append(float(capsys.readouterr().out.split("loss ")[1].split(",")[0]))
        assert losses[1] < losses[0]


def test_the_training_command_refuses(roots, tmp_path, capsys):
    for arguments, message in (
        (["--steps", "1"], "steps: must be at least 2, got 1"),
        (["--batch", "1"], "batch: must be at least 2, got 1"),
        (["--held-out", "nowhere"], "data: nowhere must have rendered clips of the split test"),
    ):
        assert train(["--data", str(roots / "train1"), "--out", str(tmp_path / "out"), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
