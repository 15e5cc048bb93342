"""`eval.pair_scores`: planted pairs have the figures that are known of them."""

import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_drawings import Dots, dots, write_clip
from scipy.ndimage import map_coordinates
from subcases import each_case

from eval import contact_sheet, pair_scores
from eval.evaluation import NOBODY_MADE, NOBODY_REAL, Instruments
from eval.instruments.cached import CachedDetector, resized
from eval.instruments.similarity import Similarity
from eval.metric_functions import l1
from eval.pair_scores import evenly, score_pairs
from eval.pairs.exact_flow import in_picture
from eval.pairs.frames import open_clips, photo_frames, read_frames
from eval.pairs.model import VIEWS, PairModel, Result, copied, pair_settings
from eval.pairs.records import UNSEEN, pair_record, rows_json
from eval.pairs.report import summarise
from eval.rendered_people import render
from eval.rendered_people.annotations import read_annotations
from eval.rendered_people.flow import Flow, flow
from eval.rendered_people.pairs import Pair, read_pairs, write_pairs
from motion_core import media
from motion_core.errors import InputError
from motion_core.framing import place_in, to_network
from motion_core.geometry import identity_grid
from motion_core.networks.view_fusion import START

DATA_FRAMES, SIDE = 5, 64
STEPS = ((0, 0), (3, 4), (6, 8), (0, 10), (0, 0))  # of all dots; 5, 10 and 10 pixels from the first frame
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))


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
    """A root with one clip of dots that move by `STEPS`; the last frame has only the first. Another clip begins without any."""
    write_clip(tmp_path / "test" / "dots#1", [*map(dots, STEPS[:-1]), dots(STEPS[-1], but=(1, 2, 3))])
    write_clip(tmp_path / "test" / "bare", [np.full((48, 64, 3), 128, np.uint8), dots((0, 0))])
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


def test_a_copy_of_a_planted_shift_has_the_figures_that_are_known_of_it(clips):
    report = score_pairs(None, clips, "test", [pair(0, 1), pair(2, 0, 10.0, 4), pair(1, 1)], Dots(), Dots())

    shifted, far, same = (report.rows.loc[k] for k in range(3))
    # 4 dots of 9 pixels stand elsewhere: each leaves its place to grey and covers grey, and |colour - 128| is the same both times
    differences = np.abs(np.array(COLORS, float) - 128)
    assert shifted["l1"] == pytest.approx(2 * 9 * differences.sum() / (48 * 64 * 3 * 255))
    squared = 2 * 9 * (differences**2).sum() / (48 * 64 * 3 * 255**2)
    assert shifted["psnr"] == pytest.approx(-10 * math.log10(squared), abs=1e-3)
    assert shifted["akd_pixels"] == pytest.approx(5.0)  # 3 and 4
    assert shifted["akd_per_coordinate_pixels"] == pytest.approx(3.5)
    assert (
        shifted["akd_percent"] == shifted["displacement_percent"] == pytest.approx(100 * 5 / 64)
    )  # of the longer side
    assert (far["akd_pixels"], far["copy_akd_pixels"]) == pytest.approx((10.0, 10.0))
    assert (shifted["missing"], shifted["to_find"], shifted["mkr"]) == (0, 4, 0.0)
    assert shifted["wins_l1"] == shifted["wins_akd"] == 0.5
    assert same["l1"] == same["akd_pixels"] == 0.0
    assert not {"epe_percent", "t"} & set(report.rows)
    assert report.about["epe"] == "not measured: the data has no annotations"
    assert report.about["detector"] == "dots, 1"
    written = report.as_json()["rows"][2]
    assert (written["psnr"], written["undefined"]["psnr"]) == (None, "the frames are identical")


def test_the_copy_is_measured_at_the_size_that_is_asked_for(clips):
    own, small = (
        score_pairs(None, clips, "test", [pair(0, 2)], Shade(), image_size=size).rows.loc[0] for size in (None, 32)
    )
    assert (own["side"], small["side"]) == (64, 32)
    assert own["akd_pixels"] == pytest.approx(10.0)
    assert small["akd_pixels"] == pytest.approx(5.0, rel=0.02)  # of 32 x 24, which lies in 32 x 32
    assert small["akd_percent"] == pytest.approx(own["akd_percent"], rel=0.02)


def test_missing_joints_are_counted_and_what_is_not_defined_has_its_reason(clips):
    wanted = [pair(0, 1, video="bare"), pair(1, 0, 1.0, 2, "bare"), pair(4, 1, 5.0, 3), pair(0, 1, 5.0, 4)]
    report = score_pairs(None, clips, "test", wanted, Dots(), Dots())

    summary, rows = report.summary, report.as_json()["rows"]
    nobody_made, nobody_real, few, _ = rows
    assert (nobody_made["missing"], nobody_made["to_find"], nobody_made["mkr"]) == (4, 4, 1.0)
    assert (nobody_made["akd_percent"], nobody_made["undefined"]["akd_percent"]) == (None, NOBODY_MADE)
    assert (nobody_real["mkr"], nobody_real["undefined"]["mkr"]) == (None, NOBODY_REAL)
    assert (nobody_real["wins_akd"], nobody_real["undefined"]["wins_akd"]) == (None, NOBODY_REAL)
    assert (few["missing"], few["akd_pixels"]) == (3, 5.0)
    akd = {"mean": 5.0, "stderr": 0.0, "count": 2, "undefined": {NOBODY_MADE: 1, NOBODY_REAL: 1}}
    assert summary["all"]["akd_pixels"] == akd
    assert summary["q1"]["akd_pixels"] == {"mean": None, "stderr": None, "count": 0, "undefined": {NOBODY_MADE: 1}}
    assert summary["all"]["mkr"]["mean"] == pytest.approx((1 + 0.75 + 0) / 3)
    pooled = {"mean": 7 / 12, "stderr": None, "count": 3, "undefined": {NOBODY_REAL: 1}}
    assert summary["all"]["mkr_pooled"] == pooled
    assert f"AKD: not defined for 1 pairs: {NOBODY_MADE}" in report.table()


def test_a_second_detector_s_figures_of_the_same_results_stand_beside_the_first_one_s(clips):
    wanted = [pair(0, 1), pair(4, 1, 5.0, 3), pair(2, 0, 10.0, 4)]
    both = score_pairs(None, clips, "test", wanted, Shade(), second_detector=Dots(), batch=2)
    alone = score_pairs(None, clips, "test", wanted, Dots())
    for name in ("akd_percent", "mkr", "missing", "to_find"):
        pd.testing.assert_series_equal(both.rows[f"{name}_second"], alone.rows[name], check_names=False)
    assert both.rows["akd_percent"][1] != alone.rows["akd_percent"][1], "the first one's are its own"
    assert (both.about["detector"], both.about["second_detector"]) == ("shade, 1", "dots, 1")


def test_means_and_standard_errors_are_those_of_each_quartile():
    values = {1: [1.0, 2.0, 6.0], 2: [4.0], 3: [math.nan, 5.0, 7.0], 4: [8.0, 8.0]}
    rows = pd.DataFrame([{"quartile": quartile, "l1": value} for quartile, given in values.items() for value in given])
    rows["undefined l1"] = ["why" if math.isnan(value) else None for value in rows["l1"]]
    summary = summarise(rows)

    for group, given in {
        "all": list(rows["l1"]),
        **{f"q{quartile}": given for quartile, given in values.items()},
    }.items():
        defined, figure = [value for value in given if not math.isnan(value)], summary[group]["l1"]
        assert figure["mean"] == pytest.approx(statistics.mean(defined))
        assert figure["count"] == len(defined)
        assert figure["undefined"] == ({"why": 1} if len(defined) < len(given) else {})
        error = statistics.stdev(defined) / math.sqrt(len(defined)) if len(defined) > 1 else None
        assert figure["stderr"] == pytest.approx(error)


# --- exact flow


def frames_of(root, one, size=None):
    return next(read_frames(open_clips(root, "test", [one]), [one], size))[1]


def test_the_exact_flow_has_no_end_point_error_and_a_copy_that_of_the_mean_flow(rendered):
    one, instruments = max(pairs_of(rendered), key=lambda each: each.displacement), Instruments(Similarity())
    exact = flow(read_annotations(rendered, "test", one.video), one.driving, one.source)
    frames = frames_of(rendered, one)
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    grid = 2 * (np.stack((x, y), axis=-1) + exact.displacement) / (SIDE - 1) - 1
    length = np.linalg.norm(exact.displacement[exact.visible], axis=-1).mean()

    perfect = pair_record(frames, Result(frames.source, torch.from_numpy(grid), 0.0), exact, instruments)
    still = pair_record(frames, copied(frames), exact, instruments)
    large = score_pairs(None, rendered, "test", [one], image_size=2 * SIDE).rows.loc[0]

    assert perfect["epe_pixels"] == pytest.approx(0, abs=1e-6)
    assert perfect["copy_epe_pixels"] == still["epe_pixels"] == pytest.approx(length)
    assert still["epe_percent"] == large["epe_percent"] == pytest.approx(100 * length / SIDE)
    assert large["epe_pixels"] == pytest.approx(2 * length), "of the networks' image"
    assert (perfect["wins_epe"], still["wins_epe"]) == (1.0, 0.5)
    assert perfect["epe_points"] == exact.visible.sum() > 50
    assert length > 2
    nowhere = np.zeros((SIDE, SIDE), bool)
    row = pair_record(frames, copied(frames), Flow(exact.displacement, ~nowhere, nowhere), instruments)
    assert math.isnan(row["epe_percent"])
    assert row["undefined epe"] == row["undefined wins_epe"] == UNSEEN


@each_case(("picture", "network"), [((48, 80), (64, 64)), ((96, 40), (64, 128))])
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


# --- models


def test_the_results_of_a_batch_are_what_the_pipeline_makes_of_each_pair(rendered, variant_pipeline):
    pipeline, wanted = variant_pipeline("v2"), pairs_of(rendered)[::2]
    torch.manual_seed(9)
    for weight in pipeline.selector.parameters():  # so that it takes a hop for some pairs and none for others
        torch.nn.init.normal_(weight)
    report = score_pairs(pipeline, rendered, "test", wanted, batch=3)

    for one, (_, row) in zip(wanted, report.rows.iterrows(), strict=True):
        pictures = dict(media.open_frames(rendered / "test" / one.video).frames_at([one.source, one.driving]))
        source, driving = pictures[one.source], pictures[one.driving]
        made = pipeline(source, np.stack((driving, driving)), mode="standard", background="predicted")
        real = media.to_uint8(to_network(media.to_float(driving[None]), place_in((SIDE, SIDE), (128, 128))))[0]
        assert row["t"] == made.selections[0].t
        assert row["l1"] == pytest.approx(l1(made.frames[0], real), abs=1e-5)
        assert row["wins_l1"] == float(row["l1"] < row["copy_l1"])
        assert (row["source_frame"], row["driving_frame"], row["quartile"]) == (one.source, one.driving, one.quartile)
    assert set(report.rows["hopped"]) == {0.0, 1.0}
    assert report.about["weights"] == pipeline.weights_digest()
    assert set(report.about["gmacs"]) == {"source", "one hop", "two hops"}
    assert report.about["milliseconds_per_pair"] > 0
    json.dumps(report.as_json(), allow_nan=False)


def test_further_photos_are_frames_of_the_clip_and_what_is_taken_from_each_view_is_said(rendered, variant_pipeline):
    """The fusion as it begins: each of the other views has e^START times what the pictures have together."""
    pipeline, begin = variant_pipeline("v2", composed_view=True), math.exp(START)
    one = replace(pairs_of(rendered)[0], source=0, driving=1)
    row = score_pairs(pipeline, rendered, "test", [one], photos=2, t=0.5).rows.iloc[0]
    source, photos, interpolated, composed = (row[f"from_{view}"] for view in VIEWS)
    assert source + photos + interpolated + composed == pytest.approx(1, abs=1e-5)
    assert interpolated == composed == pytest.approx(begin * (source + photos), rel=0.05)
    assert min(source, photos) > begin / 2

    two = [number for number in range(DATA_FRAMES) if number not in (0, 1)]
    assert photo_frames(one, DATA_FRAMES, 2) == two[::2]
    assert all(min(abs(k - 3), abs(k - 15)) >= 2 for k in photo_frames(pair(3, 15), 16, 4))  # an eighth of the clip
    with pytest.raises(InputError, match=r"dots#1 has 3 frames to stand for them, 4 are asked for"):
        photo_frames(pair(0, 1), DATA_FRAMES, 4)

    alone = score_pairs(pipeline, rendered, "test", [one], t=0.0).rows.iloc[0]
    assert [alone[f"from_{view}"] for view in VIEWS] == [1, 0, 0, 0]


def test_what_a_pair_costs_is_counted_alike_in_all_backends(rendered, variant_pipeline):
    pipeline = variant_pipeline("full")
    settings = pair_settings(pipeline, t=0.5)
    counted = []
    for backend in ("eager", "packed"):
        pipeline.backend = backend
        model = PairModel(pipeline, settings)
        model.move([frames_of(rendered, pairs_of(rendered)[-1], model.size)])
        counted.append(model.about()["gmacs"])
        assert pipeline.backend == backend
    assert counted[0] == counted[1]


def test_the_deformation_of_two_hops_is_their_composition(rendered, variant_pipeline):
    pipeline = variant_pipeline("full")
    model = PairModel(pipeline, pair_settings(pipeline, t=0.5))
    moved = model.move([frames_of(rendered, pairs_of(rendered)[-1], model.size)])

    first, last = (hop.deformation[0].double().numpy() for hop in moved.generated.hops)
    rows, columns = ((last[..., axis] + 1) / 2 * (len(last) - 1) for axis in (1, 0))
    expected = [map_coordinates(first[..., k], [rows, columns], order=1, mode="nearest") for k in (0, 1)]
    np.testing.assert_allclose(model.deformation(moved)[0].numpy(), np.stack(expected, axis=-1), atol=1e-5)
    of_one_hop = model.deformation(replace(moved, t=torch.zeros(1)))[0].numpy()
    np.testing.assert_allclose(of_one_hop, last, atol=1e-6)
    assert np.abs(np.stack(expected, axis=-1) - last).max() > 1e-3


def test_interpolated_images_are_those_of_the_pipeline(rendered, variant_pipeline):
    pipeline, one = variant_pipeline("full"), pairs_of(rendered)[0]
    report = score_pairs(pipeline, rendered, "test", [one], None, Shade(), interpolation=True)

    times = [k / 8 for k in range(1, 8)]
    frames = frames_of(rendered, one, (128, 128))
    made = pipeline.interpolate(frames.source, frames.driving, times, settings=pair_settings(pipeline))
    with torch.no_grad():
        found = pipeline.keypoint_detector(media.to_float(made.images)).points.numpy()
    errors = 50 * np.linalg.norm(found - made.keypoints, axis=-1).mean(axis=(1, 2))
    distances = [np.linalg.norm(Shade().embed(image) - Shade().embed(frames.source)) for image in made.images]
    assert list(report.interpolation) == [f"{t:g}" for t in times]
    for figures, error, distance in zip(report.interpolation.values(), errors, distances, strict=True):
        assert figures["all"]["keypoints_percent"]["mean"] == pytest.approx(error, rel=0.01, abs=0.02)
        assert figures["all"]["identity"]["mean"] == pytest.approx(distance, rel=0.01, abs=0.02)
        assert [figures[f"q{k}"]["identity"]["count"] for k in (1, 2, 3, 4)] == [
            k == one.quartile for k in (1, 2, 3, 4)
        ]
    assert set(report.as_json()["rows"][0]["interpolation"]["0.125"]) == {"keypoints_percent", "identity"}
    without_embedder = report.between.drop(columns=["identity", "undefined identity"])
    assert list(rows_json(report.rows, without_embedder)[0]["interpolation"]["0.125"]) == ["keypoints_percent"]
    assert "t = 0.125: keypoints off, %" in report.table()


# --- detectors are asked once


def test_real_frames_are_looked_at_once_and_kept_for_other_runs(clips):
    wanted = [pair(0, 1), pair(0, 2, 10.0, 2), pair(2, 1, 5.0, 3), pair(0, 1, 0.0, 4, "bare")]
    first, second, other = Counting(), Counting(), Counting()
    other.version = "2"
    folder = clips / "cache"

    fresh = score_pairs(None, clips, "test", wanted, first, Dots(), cache=folder)
    again = score_pairs(None, clips, "test", wanted, second, Dots(), cache=folder)
    score_pairs(None, clips, "test", wanted, other, cache=folder)

    assert len(first.asked) == len(other.asked) == 4  # different frames: the first one of dots#1 is in bare as well
    assert second.asked == []
    pd.testing.assert_frame_equal(fresh.rows, again.rows)
    for file in folder.rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match=r"\.npy: cannot be read, delete it"):
        score_pairs(None, clips, "test", wanted, Dots(), cache=folder)


def test_small_pictures_are_enlarged_and_landmarks_are_in_their_own_pixels():
    image, size = dots((2, 3)), []

    class Looking(Shade):
        def landmarks(self, picture):
            size.append(picture.shape)
            return super().landmarks(picture)

    found = CachedDetector(Looking(), 256).landmarks(image)

    assert size == [(192, 256, 3)]
    np.testing.assert_allclose(found, Shade().landmarks(image), atol=0.05)
    assert resized(image, None) is resized(image, 64) is image


# --- input that cannot be used


def test_pairs_and_settings_that_cannot_be_used_are_refused(clips, variant_pipeline):
    for wanted, message in [
        ([], "must be one or more, got none"),
        ([pair(0, 5)], r"driving_frame must be in 0\.\.4 of dots#1, got 5"),
        ([pair(-1, 0)], r"source_frame must be in 0\.\.4 of dots#1, got -1"),
        ([pair(0, 1, video="cat.mp4")], "there is no 'cat.mp4'"),
        ([pair(0, 1, quartile=0)], "quartile must be from 1 to 4, got 0"),
        ([pair(0, 1, math.nan)], "displacement must be 0 or more, got nan"),
    ]:
        with pytest.raises(InputError, match=message):
            score_pairs(None, clips, "test", wanted)
    for model, settings, message in [
        ("tpsmm", {"strategy": "images"}, "needs a model with a selector"),
        (None, {"batch": 0}, "batch must be 1 or more, got 0"),
        (None, {"detector_size": 0}, "detector_size must be 1 pixel or more, got 0"),
        (None, {"interpolation": True}, "interpolation needs a model"),
        (None, {"image_size": 0}, "image_size must be 1 pixel or more, got 0"),
        ("full", {"photos": 1}, r"photos must be 0, or more with a model that fuses views \(v2\), got 1"),
    ]:
        with pytest.raises(InputError, match=message):
            score_pairs(model and variant_pipeline(model), clips, "test", [pair(0, 1)], Dots(), **settings)


def test_annotations_of_other_data_are_refused_and_a_list_of_other_data_is_reported(rendered, tmp_path):
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


def test_a_list_is_read_as_it_was_written_and_one_that_is_none_is_refused(tmp_path):
    file, head = tmp_path / "pairs.csv", b"source,driving,source_frame,driving_frame,displacement,quartile\n"
    wanted = [pair(0, 1, 5.25, 1), pair(3, 2, 1.5, 4, "other.mp4")]
    write_pairs(file, wanted)
    assert read_pairs(file) == wanted
    for text, message in [
        (b"source,driving\na,b\n", "must have rows with the columns source, driving, source_frame"),
        (head + b"a,b,0,1,2.0,1\n", "both frames must be of one clip, got 'a' and 'b'"),
        (head + b"a,a,x,1,2.0,1\n", "must be numbers"),
        (b"\xff\xfe\x00", "must be a csv file in UTF-8"),
    ]:
        file.write_bytes(text)
        with pytest.raises(InputError, match=message):
            read_pairs(file)


# --- the command


def test_the_command_writes_rows_and_summary_and_prints_a_table(rendered, variant_pipeline, tmp_path, capsys):
    variant_pipeline("full").save_pretrained(tmp_path / "model")
    out = tmp_path / "new" / "scores.json"
    options = ("--model", tmp_path / "model", "--data", rendered, "--out", out, "--device", "cpu", "--limit", 4)
    assert pair_scores.main([str(option) for option in (*options, "--strategy", "analytic")]) == 0

    written = json.loads(out.read_text())
    settings = written["about"]["settings"]
    assert (settings["strategy"], settings["mode"], settings["background"]) == ("analytic", "standard", "predicted")
    assert len(written["rows"]) == written["about"]["pairs"] == 4
    assert sorted(row["quartile"] for row in written["rows"]) == [1, 2, 3, 4]
    assert set(written["summary"]) == {"all", "q1", "q2", "q3", "q4"}
    said = capsys.readouterr().out
    assert all(label in said for label in ("EPE, %", "wins by L1", "against exact flow"))

    assert pair_scores.main([str(option) for option in (*options, "--pairs", tmp_path / "no.csv")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "no such list of pairs" in line


def test_a_limit_keeps_the_order_of_the_list_and_all_displacements():
    given = [pair(0, 1, float(k % 8), k % 8 // 2 + 1) for k in range(64)]
    some = evenly(given, 8)
    assert sorted(each.quartile for each in some) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [id(each) for each in some] == [id(each) for each in given if any(each is other for other in some)]
    assert evenly(given, None) == evenly(given, 100) == given
    with pytest.raises(InputError, match="limit must be 1 pair or more, got 0"):
        evenly(given, 0)


def test_a_row_of_a_contact_sheet_is_source_driving_image_and_results(rendered, variant_pipeline):
    model, pairs = variant_pipeline("tpsmm"), pairs_of(rendered)[:2]
    (side, _), gap = model.config["image_size"], 3
    sheet = contact_sheet.contact_sheet([model, model], rendered, "test", pairs)
    assert sheet.shape == (2 * side + gap, 4 * side + 3 * gap, 3)
    assert sheet[side : side + gap].min() == 255
    for place, frames in read_frames(open_clips(rendered, "test", pairs), pairs, (side, side)):
        row = sheet[place * (side + gap) :][:side]
        source, driving, first, second = (row[:, k * (side + gap) :][:, :side] for k in range(4))
        np.testing.assert_array_equal(source, frames.source)
        np.testing.assert_array_equal(driving, frames.driving)
        np.testing.assert_array_equal(first, second)  # the same model twice
        assert not np.array_equal(first, source)

    columns = contact_sheet.contact_sheet([model, model], rendered, "test", pairs, by_model=True)
    np.testing.assert_array_equal(columns[:side, side + gap :], sheet[side + gap :, :side], "the second source")
    with pytest.raises(InputError, match="must be pairs to show"):
        contact_sheet.contact_sheet([model], rendered, "test", [])
