"""`eval.pair_scores` and `eval.make_pairs`: planted pairs have the figures that are known of them."""

import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_drawings import Dots, draw_dots
from scipy.ndimage import map_coordinates

from eval import make_pairs as pairs_command
from eval import pair_scores
from eval.landmarks import DETECTORS
from eval.make_pairs import make_pairs
from eval.measuring import NOBODY_MADE, NOBODY_REAL
from eval.metric_functions import l1
from eval.pair_scores import evenly, score_pairs
from eval.pairs.exact import in_picture, network_points
from eval.pairs.frames import open_clips, read_frames
from eval.pairs.moving import Made, left_as_it_is, move, pair_settings
from eval.pairs.remembered import RememberedDetector, resized
from eval.pairs.report import summarise
from eval.pairs.rows import UNSEEN, PairInstruments, measure_pair
from eval.rendered_people import render
from eval.rendered_people.annotations import read_annotations
from eval.rendered_people.flow import Flow, flow
from eval.rendered_people.pairs import Pair, read_pairs, write_pairs
from eval.similarity import Similarity
from motion_core import media
from motion_core.errors import InputError
from motion_core.framing import picture_points, place_in, to_network
from motion_core.geometry import identity_grid

DATA_FRAMES, SIDE = 5, 64
PLACES = ((20, 20), (30, 24), (40, 20), (22, 36))
STEPS = ((0, 0), (3, 4), (6, 8), (0, 10), (0, 0))  # of all dots; 5, 10 and 10 pixels from the first frame


def dots(step, height=48, width=64, but=()):
    places = [None if k in but else (x + step[0], y + step[1]) for k, (x, y) in enumerate(PLACES)]
    return draw_dots(places, height, width)


def write_clip(path, frames):
    path.parent.mkdir(exist_ok=True)
    with media.VideoWriter(f"{path}/", 12) as writer:
        for frame in frames:
            writer.write(frame)


class Counting(Dots):
    """Dots, and how often it is asked."""

    def __init__(self):
        self.asked = []

    def landmarks(self, image):
        self.asked.append(image.copy())
        return super().landmarks(image)


class Shade(Dots):
    """As a detector, the middle of what is dark, whatever the size of the image; as an embedder, the mean colour."""

    name, joints = "shade", 1

    def landmarks(self, image):
        weight = 128.0 - image.min(axis=-1)
        weight = np.where(weight > 10, weight, 0)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        return np.array([[(weight * x).sum(), (weight * y).sum()]]) / weight.sum()

    def embed(self, image):
        return image.reshape(-1, 3).mean(axis=0)


@pytest.fixture
def clips(tmp_path):
    """A root with one clip of dots that move by `STEPS`; in the last frame of all but the first are gone."""
    frames = [dots(step) for step in STEPS[:-1]] + [dots(STEPS[-1], but=(1, 2, 3))]
    write_clip(tmp_path / "test" / "dots#1", frames)
    return tmp_path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A rendered split with annotations and a list of pairs."""
    root = tmp_path_factory.mktemp("rendered")
    options = f"--split test --identities 1 --clips 2 --frames {DATA_FRAMES} --size {SIDE} --rate 4 --png --pairs 4"
    assert render.main(["--out", str(root), "--seed", "0", *options.split()]) == 0
    return root


def pairs_of(root):
    return read_pairs(root / "annotations" / "test" / "pairs.csv")


def pair(source, driving, displacement=5.0, quartile=1, video="dots#1"):
    return Pair(video, source, driving, displacement, quartile)


# --- planted pairs


def test_a_copy_of_a_planted_shift_has_the_figures_that_are_known_of_it(clips):
    report = score_pairs(None, clips, "test", [pair(0, 1), pair(2, 0, 10.0, 4), pair(1, 1)], Dots(), Dots())

    shifted, far, same = report.rows
    # 4 dots of 9 pixels stand elsewhere: each leaves its place to grey and covers grey, and |colour - 128| is the same both times
    change = (
        2
        * 9
        * sum(sum(abs(c - 128) for c in color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)))
    )
    assert shifted["l1"] == pytest.approx(change / (48 * 64 * 3 * 255))
    squared = 2 * 9 * (3 * (127**2 + 2 * 128**2) + 2 * 127**2 + 128**2) / (48 * 64 * 3 * 255**2)
    assert shifted["psnr"] == pytest.approx(-10 * math.log10(squared), abs=1e-3)
    assert shifted["akd_pixels"] == pytest.approx(5.0)  # 3 and 4
    assert shifted["akd_per_coordinate_pixels"] == pytest.approx(3.5)
    assert shifted["akd_percent"] == pytest.approx(100 * 5 / 64)  # of the longer side
    assert shifted["displacement_percent"] == pytest.approx(100 * 5 / 64)
    assert (far["akd_pixels"], far["copy_akd_pixels"]) == pytest.approx((10.0, 10.0))
    assert (shifted["missing"], shifted["to_find"], shifted["mkr"]) == (0, 4, 0.0)
    assert shifted["wins_l1"] == shifted["wins_akd"] == 0.5
    assert same["l1"] == same["akd_pixels"] == 0.0
    assert same["psnr"] is None
    assert same["undefined"]["psnr"] == "the frames are identical"
    assert "epe_percent" not in shifted
    assert "t" not in shifted
    assert report.about["epe"] == "not measured: the data has no annotations"
    assert report.about["detector"] == "dots, 1"


def test_the_copy_is_measured_at_the_size_that_is_asked_for(clips):
    own, small = (score_pairs(None, clips, "test", [pair(0, 2)], Shade(), image_size=size) for size in (None, 32))

    assert (own.rows[0]["side"], small.rows[0]["side"]) == (64, 32)
    assert own.rows[0]["akd_pixels"] == pytest.approx(10.0)
    assert small.rows[0]["akd_pixels"] == pytest.approx(5.0, rel=0.02)  # of 32 x 24, which lies in 32 x 32
    assert small.rows[0]["akd_percent"] == pytest.approx(own.rows[0]["akd_percent"], rel=0.02)


def test_missing_joints_are_counted_and_what_is_not_defined_has_its_reason(clips):
    write_clip(clips / "test" / "bare", [np.full((48, 64, 3), 128, np.uint8), dots((0, 0))])
    wanted = [pair(0, 1, video="bare"), pair(1, 0, 1.0, 2, "bare"), pair(4, 1, 5.0, 3), pair(0, 1, 5.0, 4)]
    report = score_pairs(None, clips, "test", wanted, Dots(), Dots())

    nobody_made, nobody_real, few, _ = report.rows
    assert (nobody_made["missing"], nobody_made["to_find"], nobody_made["mkr"]) == (4, 4, 1.0)
    assert nobody_made["akd_percent"] is None
    assert nobody_made["undefined"]["akd_percent"] == NOBODY_MADE
    assert nobody_real["mkr"] is None
    assert nobody_real["undefined"]["mkr"] == NOBODY_REAL
    assert (few["missing"], few["akd_pixels"]) == (3, 5.0)
    assert nobody_real["wins_akd"] is None
    assert nobody_real["undefined"]["wins_akd"] == NOBODY_REAL
    figure = report.summary["all"]["akd_pixels"]
    assert (figure["count"], figure["undefined"]) == (2, {NOBODY_MADE: 1, NOBODY_REAL: 1})
    assert figure["mean"] == pytest.approx((5 + 5) / 2)
    assert report.summary["q1"]["akd_pixels"] == {
        "mean": None,
        "stderr": None,
        "count": 0,
        "undefined": {NOBODY_MADE: 1},
    }
    assert report.summary["all"]["mkr"]["mean"] == pytest.approx((1 + 0.75 + 0) / 3)
    assert report.summary["all"]["mkr_pooled"]["mean"] == pytest.approx(7 / 12)
    assert f"AKD: not defined for 1 pairs: {NOBODY_MADE}" in report.table()


def test_means_and_standard_errors_are_those_of_each_quartile():
    values = {1: [1.0, 2.0, 6.0], 2: [4.0], 3: [None, 5.0, 7.0], 4: [8.0, 8.0]}
    rows = [
        {"quartile": quartile, "l1": value, "undefined": {} if value is not None else {"l1": "why"}}
        for quartile, given in values.items()
        for value in given
    ]
    summary = summarise(rows)

    groups = {f"q{quartile}": given for quartile, given in values.items()}
    groups["all"] = [row["l1"] for row in rows]
    for group, given in groups.items():
        there, figure = [value for value in given if value is not None], summary[group]["l1"]
        assert figure["mean"] == pytest.approx(statistics.mean(there))
        assert figure["count"] == len(there)
        assert figure["undefined"] == ({"why": 1} if None in given else {})
        if len(there) > 1:
            assert figure["stderr"] == pytest.approx(statistics.stdev(there) / math.sqrt(len(there)))
    assert summary["q2"]["l1"]["stderr"] is None


# --- exact flow


def instruments():
    return PairInstruments(Similarity(), None, None)


def frames_of(root, one, size=None):
    return next(read_frames(open_clips(root, "test", [one]), [one], size))[1]


def test_the_exact_flow_has_no_end_point_error_and_a_copy_that_of_the_mean_flow(rendered):
    one = max(pairs_of(rendered), key=lambda each: each.displacement)
    exact = flow(read_annotations(rendered, "test", one.video), one.driving, one.source)
    frames = frames_of(rendered, one)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    grid = 2 * (np.stack((x, y), axis=-1) + exact.displacement) / (SIDE - 1) - 1
    length = np.linalg.norm(exact.displacement[exact.visible], axis=-1).mean()

    perfect = measure_pair(frames, Made(frames.source, torch.from_numpy(grid), 0.0), exact, instruments())
    still = measure_pair(frames, left_as_it_is(frames), exact, instruments())

    assert perfect["epe_pixels"] == pytest.approx(0, abs=1e-6)
    assert perfect["copy_epe_pixels"] == still["epe_pixels"] == pytest.approx(length)
    assert still["epe_percent"] == pytest.approx(100 * length / SIDE)
    assert (perfect["wins_epe"], still["wins_epe"]) == (1.0, 0.5)
    assert perfect["epe_points"] == exact.visible.sum() > 50
    whole = score_pairs(None, rendered, "test", [one]).rows[0]
    assert whole["epe_pixels"] == pytest.approx(length)
    assert length > 2


def test_the_pixels_are_those_of_the_networks_image_and_per_cent_do_not_depend_on_its_size(rendered):
    one = max(pairs_of(rendered), key=lambda each: each.displacement)
    own, large = (score_pairs(None, rendered, "test", [one], image_size=size).rows[0] for size in (None, 2 * SIDE))
    assert large["epe_percent"] == pytest.approx(own["epe_percent"])
    assert large["epe_pixels"] == pytest.approx(2 * own["epe_pixels"])


def test_a_pair_without_a_point_in_common_has_no_end_point_error(rendered):
    one = pairs_of(rendered)[0]
    frames = frames_of(rendered, one)
    nowhere = np.zeros((SIDE, SIDE), bool)
    row = measure_pair(frames, left_as_it_is(frames), Flow(np.zeros((SIDE, SIDE, 2)), ~nowhere, nowhere), instruments())
    assert row["epe_percent"] is None
    assert row["undefined"]["epe_percent"] == UNSEEN


@pytest.mark.parametrize(
    ("picture", "network"), [((64, 64), (64, 64)), ((64, 64), (32, 32)), ((48, 80), (64, 64)), ((96, 40), (64, 128))]
)
def test_a_deformation_of_the_networks_image_is_the_same_motion_in_the_picture(picture, network):
    """An affine motion: bilinear samples of it are exact, so that it must come out exactly, padding and all."""
    placement = place_in(picture, network)
    matrix, offset = np.array([[0.9, 0.1], [-0.2, 1.05]]), np.array([3.0, -2.0])  # of places from the picture's corner
    height, width = picture
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = np.stack((x, y), axis=-1) @ matrix.T + offset

    # The same in the networks' image, computed here from the placement's definition.
    top, left, inner_height, inner_width = placement.content
    scale = np.array([inner_width / width, inner_height / height])
    column, row = np.meshgrid(np.arange(network[1]) + 0.5, np.arange(network[0]) + 0.5)
    start = (np.stack((column, row), axis=-1) - (left, top)) / scale
    goal = (start @ matrix.T + offset) * scale + (left, top)
    grid = (goal - 0.5) / (np.array([network[1], network[0]]) - 1) * 2 - 1

    made = in_picture(torch.from_numpy(grid), placement).numpy()
    found = (made + 1) / 2 * (np.array([width, height]) - 1) + 0.5
    inside = np.s_[2:-2, 2:-2]  # the last pixel's centre may lie beyond the networks' last one
    np.testing.assert_allclose(found[inside], places[inside], atol=1e-9)


def test_a_shift_is_the_same_up_to_the_border_of_the_picture():
    grid = identity_grid(32, 32, torch.zeros(1).double()) + torch.tensor([0.25, -0.5])  # 0.25 is 31 / 8 pixels of 32
    made = in_picture(grid, place_in((64, 64), (32, 32)))
    moved = (made - identity_grid(64, 64, made)) * 63 / 2
    expected = torch.tensor([31 / 4, -31 / 2], dtype=torch.float64).expand(64, 64, 2)
    torch.testing.assert_close(moved, expected)


def test_points_of_the_picture_and_of_the_networks_image_are_inverse():
    placement = place_in((48, 80), (64, 64))
    points = torch.rand(7, 2, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(picture_points(network_points(points, placement), placement), points)
    middle = torch.zeros(1, 2, dtype=torch.float64)
    torch.testing.assert_close(network_points(middle, placement), middle)


# --- models


@pytest.fixture
def animated(variant_pipeline):
    """Makes a pipeline of a variant whose selector, where it has one, takes a hop for some pairs and none for others."""

    def make(variant):
        pipeline = variant_pipeline(variant)
        if pipeline.selector is not None:
            torch.manual_seed(9)
            for weight in pipeline.selector.parameters():
                torch.nn.init.normal_(weight)
        return pipeline

    return make


@pytest.mark.parametrize("variant", ["tpsmm", "full", "v2"])
def test_the_result_is_what_the_pipeline_makes_of_the_two_frames(rendered, animated, variant):
    pipeline, wanted = animated(variant), pairs_of(rendered)[::2]
    report = score_pairs(pipeline, rendered, "test", wanted, batch=3)

    for one, row in zip(wanted, report.rows, strict=True):
        pictures = dict(media.open_frames(rendered / "test" / one.video).frames_at([one.source, one.driving]))
        source, driving = pictures[one.source], pictures[one.driving]
        made = pipeline(source, np.stack((driving, driving)), "standard", background="predicted")
        real = media.to_uint8(to_network(media.to_float(driving[None]), place_in((SIDE, SIDE), (128, 128))))[0]
        assert row["t"] == made.selections[0].t
        assert row["l1"] == pytest.approx(l1(made.frames[0], real), abs=1e-5)
        assert row["wins_l1"] == float(row["l1"] < row["copy_l1"])
        assert (row["source_frame"], row["driving_frame"], row["quartile"]) == (one.source, one.driving, one.quartile)
    assert variant == "tpsmm" or {row["hopped"] for row in report.rows} == {0.0, 1.0}
    assert report.about["weights"] == pipeline.weights_digest()
    assert set(report.about["gmacs"]) == {"source", "one hop"} | ({"two hops"} if variant != "tpsmm" else set())
    assert report.about["milliseconds_per_pair"] > 0
    json.dumps(report.as_json(), allow_nan=False)


def test_a_pair_does_not_depend_on_the_others_of_its_batch(rendered, animated):
    pipeline, wanted = animated("full"), pairs_of(rendered)
    alone, together = (score_pairs(pipeline, rendered, "test", wanted, batch=batch).rows for batch in (1, 5))
    assert 0 < sum(row["hopped"] for row in alone) < len(alone)
    for one, other in zip(alone, together, strict=True):
        for column in ("t", "l1", "epe_percent"):
            assert one[column] == pytest.approx(other[column], abs=1e-4), column


def test_the_deformation_of_two_hops_is_their_composition(rendered, variant_pipeline):
    pipeline, one = variant_pipeline("full"), pairs_of(rendered)[-1]
    frames = frames_of(rendered, one, (128, 128))
    source, driving = frames.network_source, frames.network_driving
    moved = move(pipeline, source, driving, pair_settings(pipeline, t=0.5))
    straight = move(pipeline, source, driving, pair_settings(pipeline, t=0.0))

    generated = pipeline.generate([moved.source], moved.pose, moved.background, t=torch.tensor([0.5]))
    first, last = (hop.deformation[0].double().numpy() for hop in generated.hops)
    rows, columns = ((last[..., axis] + 1) / 2 * (len(last) - 1) for axis in (1, 0))
    expected = np.stack(
        [map_coordinates(first[..., k], [rows, columns], order=1, mode="nearest") for k in (0, 1)], axis=-1
    )
    np.testing.assert_allclose(moved.deformation[0].numpy(), expected, atol=1e-5)
    only = pipeline.generate([straight.source], straight.pose, straight.background).hops
    assert len(only) == 1
    torch.testing.assert_close(straight.deformation, only[0].deformation)
    assert (moved.deformation - straight.deformation).abs().max() > 1e-3


def test_interpolated_images_are_those_of_the_pipeline(rendered, variant_pipeline):
    pipeline, wanted = variant_pipeline("full"), pairs_of(rendered)[:3]
    report = score_pairs(pipeline, rendered, "test", wanted, None, Shade(), interpolation=True, batch=2)

    times = [k / 8 for k in range(1, 8)]
    assert list(report.interpolation) == [f"{t:g}" for t in times]
    expected = {"keypoints_percent": [], "identity": []}
    for one in wanted:
        frames = frames_of(rendered, one, (128, 128))
        made = pipeline.interpolate(frames.source, frames.driving, times, settings=pair_settings(pipeline))
        with torch.no_grad():
            found = pipeline.keypoint_detector(media.to_float(made.images)).points.numpy()
        expected["keypoints_percent"].append(50 * np.linalg.norm(found - made.keypoints, axis=-1).mean(axis=(1, 2)))
        who = Shade().embed(frames.source)
        expected["identity"].append([np.linalg.norm(Shade().embed(frame) - who) for frame in made.images])
    for name, values in expected.items():
        for k, t in enumerate(report.interpolation.values()):
            own = [each[k] for each in values]
            assert t["all"][name]["mean"] == pytest.approx(np.mean(own), rel=0.01, abs=0.02), name
            top = [value for value, one in zip(own, wanted, strict=True) if one.quartile == 4]
            assert t["q4"][name]["count"] == len(top)
            if top:
                assert t["q4"][name]["mean"] == pytest.approx(np.mean(top), rel=0.01, abs=0.02)
    assert "t = 0.125: keypoints off, %" in report.table()


# --- detectors are asked once


def test_real_frames_are_looked_at_once_and_kept_for_other_runs(clips):
    wanted = [pair(0, 1), pair(0, 2, 10.0, 2), pair(2, 1, 5.0, 3), pair(1, 3, 6.7, 4)]
    first, second, without = Counting(), Counting(), Counting()
    folder = clips / "cache"

    fresh = score_pairs(None, clips, "test", wanted, first, Dots(), cache=folder)
    again = score_pairs(None, clips, "test", wanted, second, Dots(), cache=folder)
    uncached = score_pairs(None, clips, "test", wanted, without, Dots())

    assert len(first.asked) == len(without.asked) == 4  # four different frames
    assert second.asked == []
    assert fresh.rows == again.rows == uncached.rows
    assert fresh.summary == again.summary
    other = Counting()
    other.version = "2"
    score_pairs(None, clips, "test", wanted, other, cache=folder)
    assert len(other.asked) == 4
    assert not list(folder.rglob("*.partial"))


def test_nothing_found_is_remembered_too(clips):
    write_clip(clips / "test" / "bare", [np.full((48, 64, 3), 128, np.uint8)] * 2)
    reports = [
        score_pairs(None, clips, "test", [pair(0, 1, video="bare")], Dots(), Dots(), cache=clips / "cache")
        for _ in "ab"
    ]
    assert reports[0].rows == reports[1].rows
    assert reports[1].rows[0]["undefined"]["aed"] == NOBODY_REAL


def test_a_damaged_file_of_the_cache_is_named(clips):
    score_pairs(None, clips, "test", [pair(0, 1)], Dots(), cache=clips / "cache")
    file = next((clips / "cache").rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match=rf"{file.name}: cannot be read, delete it"):
        score_pairs(None, clips, "test", [pair(0, 1)], Dots(), cache=clips / "cache")


def test_small_pictures_are_enlarged_and_landmarks_are_in_their_own_pixels():
    image, size = dots((2, 3)), []

    class Looking(Shade):
        def landmarks(self, picture):
            size.append(picture.shape)
            return super().landmarks(picture)

    found = RememberedDetector(Looking(), 256).landmarks(image)

    assert size == [(192, 256, 3)]
    np.testing.assert_allclose(found, Shade().landmarks(image), atol=0.05)
    assert resized(image, None) is resized(image, 64) is image


# --- input that cannot be used


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "must be one or more, got none"),
        ([pair(0, 5)], r"driving_frame must be in 0\.\.4 of dots#1, got 5"),
        ([pair(-1, 0)], r"source_frame must be in 0\.\.4 of dots#1, got -1"),
        ([pair(0, 1, video="cat.mp4")], "there is no 'cat.mp4'"),
        ([pair(0, 1, quartile=0)], "quartile must be from 1 to 4, got 0"),
        ([pair(0, 1, math.nan)], "displacement must be 0 or more, got nan"),
    ],
)
def test_a_pair_that_does_not_fit_the_data_is_refused(clips, wanted, message):
    with pytest.raises(InputError, match=message):
        score_pairs(None, clips, "test", wanted)


def test_settings_that_cannot_be_are_refused(clips, variant_pipeline):
    plain = variant_pipeline("tpsmm")
    for settings, message in [
        ({"batch": 0}, "batch must be 1 or more, got 0"),
        ({"detector_size": 0}, "detector_size must be 1 pixel or more, got 0"),
        ({"image_size": 60}, "size must be .* multiples of"),
        ({"strategy": "images"}, "needs a model with a selector"),
        ({"t": 2.0}, r"t must be in \[0, 1\], got 2.0"),
    ]:
        with pytest.raises(InputError, match=message):
            score_pairs(plain, clips, "test", [pair(0, 1)], **settings)
    with pytest.raises(InputError, match="interpolation needs a model"):
        score_pairs(None, clips, "test", [pair(0, 1)], interpolation=True)
    with pytest.raises(InputError, match="image_size must be 1 pixel or more, got 0"):
        score_pairs(None, clips, "test", [pair(0, 1)], image_size=0)


def test_annotations_of_other_data_are_refused_and_a_list_of_other_data_is_told(rendered, tmp_path):
    one = pairs_of(rendered)[0]
    report = score_pairs(None, rendered, "test", [replace(one, displacement=one.displacement + 1)])
    assert report.about["displacement"] == "of the list; 1 pairs have another one by the annotated joints"
    assert "displacement" not in score_pairs(None, rendered, "test", [one]).about

    (tmp_path / "annotations").symlink_to(rendered / "annotations")
    write_clip(tmp_path / "test" / one.video, [np.zeros((32, 32, 3), np.uint8)] * DATA_FRAMES)
    with pytest.raises(InputError, match=rf"{one.video}: has annotations of another video, \(5, 64, 64\)"):
        score_pairs(None, tmp_path, "test", [one])
    write_clip(tmp_path / "test" / "other", [np.zeros((32, 32, 3), np.uint8)] * 2)
    with pytest.raises(InputError, match="no such annotations"):
        score_pairs(None, tmp_path, "test", [replace(one, video="other", source=0, driving=1)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,driving\na,b\n", "must have rows with the columns source, driving, source_frame"),
        (
            "source,driving,source_frame,driving_frame,displacement,quartile\na,b,0,1,2.0,1\n",
            "both frames must be of one clip, got 'a' and 'b'",
        ),
        (
            "source,driving,source_frame,driving_frame,displacement,quartile\na,a,x,1,2.0,1\n",
            "must be numbers",
        ),
        (b"\xff\xfe\x00", "must be a csv file in UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(clips, capsys, text, message):
    file = clips / "list.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    options = ("--model", "copy", "--data", clips, "--pairs", file, "--out", clips / "out.json")
    assert pair_scores.main([str(option) for option in options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (clips / "out.json").exists()


def test_the_command_says_in_one_line_what_is_missing(clips, capsys):
    (clips / "list.csv").write_text(
        "source,driving,source_frame,driving_frame,displacement,quartile\ndots#1,dots#1,0,1,5,1\n"
    )
    for options, message in [
        (("--model", "copy"), "no such list of pairs"),
        (("--model", "copy", "--pairs", clips / "list.csv", "--split", "val"), "there is no such folder"),
        (("--model", "copy", "--pairs", clips / "list.csv", "--limit", "0"), "limit must be 1 pair or more, got 0"),
        (("--model", "copy", "--pairs", clips / "list.csv", "--detector", "eyes"), "detector must be one of"),
    ]:
        arguments = (*options, "--data", clips, "--out", clips / "out.json")
        assert pair_scores.main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


# --- the commands


def test_the_command_writes_rows_and_summary_and_prints_a_table(rendered, variant_pipeline, tmp_path, capsys):
    variant_pipeline("full").save_pretrained(tmp_path / "model")
    out = tmp_path / "new" / "scores.json"
    options = ("--model", tmp_path / "model", "--data", rendered, "--out", out, "--device", "cpu", "--limit", 4)
    assert pair_scores.main([str(option) for option in (*options, "--strategy", "analytic")]) == 0

    written = json.loads(out.read_text())
    assert written["about"]["settings"]["strategy"] == "analytic"
    assert written["about"]["settings"]["mode"] == "standard"
    assert written["about"]["settings"]["background"] == "predicted"
    assert len(written["rows"]) == written["about"]["pairs"] == 4
    assert sorted(row["quartile"] for row in written["rows"]) == [1, 2, 3, 4]
    assert set(written["summary"]) == {"all", "q1", "q2", "q3", "q4"}
    said = capsys.readouterr().out
    assert "EPE, %" in said
    assert "wins by L1" in said
    assert "against exact flow" in said


def test_a_limit_keeps_the_order_of_the_list_and_all_displacements():
    given = [pair(0, 1, float(k % 8), k % 8 // 2 + 1) for k in range(64)]
    some = evenly(given, 8)
    assert sorted(each.quartile for each in some) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [id(each) for each in some] == [id(each) for each in given if any(each is other for other in some)]
    assert evenly(given, None) == evenly(given, 100) == given


@pytest.fixture
def ordinary(tmp_path):
    """Clips without annotations: dots at 64 x 48 and at twice that, a clip without any, a short one, and no video at all."""
    steps = [(k * k, 0) for k in range(5)]
    write_clip(tmp_path / "test" / "ann#1", [dots(step) for step in steps])
    large = [draw_dots([(2 * x + step[0], 2 * y) for x, y in PLACES], 96, 128) for step in steps]
    write_clip(tmp_path / "test" / "bob#1", large)
    write_clip(tmp_path / "test" / "bare", [np.full((48, 64, 3), 128, np.uint8)] * 5)
    write_clip(tmp_path / "test" / "short", [dots((0, 0))] * 2)
    (tmp_path / "test" / "torn.mp4").write_bytes(b"no video")
    return tmp_path


def test_pairs_of_ordinary_clips_have_the_displacement_of_their_landmarks(ordinary):
    made = make_pairs(ordinary, "test", Dots(), 4, seed=3, min_gap=2)

    assert {one.video for one in made.pairs} == {"ann#1", "bob#1"}
    for one in made.pairs:
        assert abs(one.source - one.driving) >= 2
        assert one.displacement == pytest.approx(abs(one.source**2 - one.driving**2))
    for video in ("ann#1", "bob#1"):
        own = sorted(one.displacement for one in made.pairs if one.video == video)
        assert own[0] == 4
        assert own[-1] == 16
    shares = {one: one.displacement / {"ann#1": 64, "bob#1": 128}[one.video] for one in made.pairs}
    ordered = sorted(made.pairs, key=lambda one: shares[one])
    assert [one.quartile for one in ordered] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert made.left_out["bare"].startswith(
        "has no two frames 2 or more apart with the same 4 landmarks; 4 or more were"
    )
    assert made.left_out["short"] == "must have more than 2 frames, got 2"
    assert made.left_out["torn.mp4"].startswith("cannot be read: ")


def test_what_is_drawn_from_a_clip_depends_on_the_seed_and_its_name(ordinary):
    first, second = Counting(), Counting()
    made = make_pairs(ordinary, "test", first, 4, seed=3, cache=ordinary / "cache")
    again = make_pairs(ordinary, "test", second, 4, seed=3, cache=ordinary / "cache")
    assert made == again
    assert len(first.asked) == 5 + 5 + 1 + 0  # each different picture once: "short" shows what "ann#1" does
    assert second.asked == []


def test_a_list_of_ordinary_clips_can_be_scored(ordinary, monkeypatch, capsys):
    monkeypatch.setitem(DETECTORS, "dots", "evaluation_drawings:Dots")
    out = ordinary / "lists" / "pairs.csv"
    options = ("--data", ordinary, "--detector", "dots", "--count", 3, "--out", out, "--device", "cpu")
    assert pairs_command.main([str(option) for option in options]) == 0
    said = capsys.readouterr().out
    assert "8 pairs of 3 clips, 2 clips left out" in said  # of two frames there are only two pairs
    assert "left out: bare: has no two frames" in said

    report = score_pairs(None, ordinary, "test", read_pairs(out), Dots())
    for row in report.rows:
        assert row["akd_pixels"] == pytest.approx(row["displacement"], abs=1e-3)
    assert report.summary["q4"]["akd_percent"]["mean"] > report.summary["q1"]["akd_percent"]["mean"]


def test_what_make_pairs_cannot_use_is_refused(ordinary, tmp_path, capsys):
    for settings, message in [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"min_gap": 0}, "min_gap must be 1 or more, got 0"),
        ({"frames": 1}, "frames must be 2 or more, got 1"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"min_gap": 9}, "none of the 5 clips offers a pair; ann#1: must have more than 9 frames, got 5"),
    ]:
        with pytest.raises(InputError, match=message):
            make_pairs(ordinary, "test", Dots(), **({"count": 4, "seed": 0} | settings))

    class Failing(Dots):
        def landmarks(self, image):
            raise InputError("the detector failed")

    with pytest.raises(InputError, match="the detector failed"):
        make_pairs(ordinary, "test", Failing(), 4, seed=0)
    options = ("--data", tmp_path / "nowhere", "--detector", "eyes", "--out", tmp_path / "p.csv", "--device", "cpu")
    assert pairs_command.main([str(option) for option in options]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_list_is_read_as_it_was_written(tmp_path):
    wanted = [pair(0, 1, 5.25, 1), pair(3, 2, 1.5, 4, "other.mp4")]
    write_pairs(tmp_path / "pairs.csv", wanted)
    assert read_pairs(tmp_path / "pairs.csv") == wanted
