"""The records of frames and the report over videos, on pictures with dots whose places are known."""

import json
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from evaluation_drawings import Dots, draw_dots

from eval import evaluation, tables
from eval.evaluation import Instruments, Reference, evaluate
from eval.instruments.similarity import Similarity
from eval.report import STILL, Report, clean_figures, totals

CORNERS = ((10, 10), (40, 10), (40, 30), (10, 30))


@cache
def instruments() -> Instruments:
    return Instruments(Similarity(), Dots(), Dots())


def moved(points, x, y):
    return [None if point is None else (point[0] + x, point[1] + y) for point in points]


def painted(frame, color):
    """A frame with another corner, which is the identity that `Dots.embed` sees."""
    frame = frame.copy()
    frame[0, 0] = color
    return frame


def walk(count=6):
    """Places of the dots in each frame; every second frame they are 4 pixels lower: the driving video trembles."""
    return [moved(CORNERS, 2 * t, 4 * (t % 2)) for t in range(count)]


def measured(made, real, reference=None):
    """The frames of a video as a table, and its figures in the clean form."""
    frames = pd.DataFrame(
        [{"video": "v"} | each for each in evaluate(zip(made, real, strict=True), instruments(), reference)]
    )
    return frames, clean_figures(frames).loc["v"]


def reasons(frames, metric):
    return tables.counts(frames[f"undefined {metric}"])


def test_a_planted_shift_and_dropped_joints():
    real = [draw_dots(points) for points in walk()]
    shifted = [moved(points, 3, 4) for points in walk()]
    shifted[1][0] = None
    shifted[4][1] = shifted[4][2] = None

    frames, video = measured([draw_dots(points) for points in shifted], real)

    assert list(frames["akd"]) == pytest.approx([5] * 6)
    assert list(frames["akd_per_coordinate"]) == pytest.approx([3.5] * 6)
    assert list(frames["mkr"]) == [0, 1 / 4, 0, 0, 2 / 4, 0]
    assert video["mkr"] == 3 / 24
    assert video["jitter"] == pytest.approx(1), "it trembles as much as the real one"
    first = np.abs(draw_dots(shifted[0]) - real[0].astype(float)).mean() / 255
    assert frames["l1"][0] == pytest.approx(first)
    assert list(frames["flicker"].isna()) == [True, *[False] * 5]
    assert reasons(frames, "aed") == {evaluation.NOBODY_REAL: 6}
    frames, _ = measured(real[:2], [real[0], real[2]])
    assert math.isnan(frames["psnr"][0])
    assert reasons(frames, "psnr") == {evaluation.IDENTICAL: 1}


def test_jitter_is_over_the_joints_found_in_three_frames_of_both():
    real = np.array(walk(4), float)  # (T, J, 2)
    made = 2 * real  # it trembles twice as much
    made[3, :2] = math.nan

    summands = [evaluation.jitter_summands(list(zip(made[t : t + 3], real[t : t + 3], strict=True))) for t in (0, 1)]

    assert summands == [{"jitter": 4 * 16, "driving_jitter": 4 * 8}, {"jitter": 2 * 16, "driving_jitter": 2 * 8}]


def test_what_is_not_found_is_counted_with_its_reason():
    nothing = [None] * 4
    real = [CORNERS, CORNERS, nothing, nothing, [CORNERS[0], None, None, None], CORNERS]
    made = [CORNERS, nothing, CORNERS, nothing, [None, *CORNERS[1:]], moved(CORNERS, 0, 2)]
    identities = [(13, 24, 30), (10, 20, 30), *[(128, 128, 128)] * 4]

    frames, video = measured(
        [painted(draw_dots(points), color) for points, color in zip(made, identities, strict=True)],
        [painted(draw_dots(points), (10, 20, 30)) for points in real],
    )

    assert [tables.plain(value) for value in frames["akd"]] == [0, None, None, None, None, 2]
    assert reasons(frames, "akd") == {
        evaluation.NOBODY_MADE: 1,
        evaluation.NOBODY_REAL: 2,
        evaluation.NO_JOINT: 1,
    }
    assert [tables.plain(value) for value in frames["mkr"]] == [0, 1, None, None, 1, 0]
    assert reasons(frames, "mkr") == {evaluation.NOBODY_REAL: 2}
    assert video["mkr"] == 5 / 13
    assert math.isnan(video["jitter"])
    assert totals(frames)["jitter"]["undefined"] == {STILL: 1}
    assert [tables.plain(value) for value in frames["aed"]] == [5, 0, None, None, None, None]
    assert [tables.plain(value) for value in frames["aed_squared"]][:2] == [25, 0]
    assert reasons(frames, "aed") == {evaluation.NOBODY_MADE: 4}


def test_an_animation_is_measured_against_the_relative_motion_and_the_picture():
    large = [(4, 4), (64, 4), (64, 44), (4, 44)]  # twice as large as CORNERS
    source = painted(draw_dots(large, 60, 80), (10, 20, 30))
    driving = [painted(draw_dots(points), (10, 20, 90)) for points in walk(5)]
    right = [moved(large, 4 * t, 8 * (t % 2)) for t in range(4)]
    right[2] = moved(right[2], 3, 4)
    made = [painted(draw_dots(points, 60, 80), (10, 20, 42)) for points in right]

    frames, video = measured(made, driving[:4], Reference(source, driving[0]))

    assert list(frames["akd"]) == pytest.approx([0, 0, 5, 0])
    assert list(frames["mkr"]) == [0, 0, 0, 0]
    assert list(frames["aed"]) == [12] * 4
    assert video["identity_apart"] == 60
    assert video["jitter"] == pytest.approx((math.hypot(3, 12) + 10) / 2 / 16), "the picture is twice as large"
    assert "l1" not in frames


def test_an_animation_of_nobody_is_counted():
    driving = [draw_dots(points) for points in walk(3)]

    frames, video = measured(driving, driving, Reference(draw_dots([None] * 4), driving[0]))

    assert reasons(frames, "akd") == reasons(frames, "mkr") == {evaluation.NO_TARGET: 3}
    assert reasons(frames, "aed") == {evaluation.NOBODY_SOURCE: 3}
    assert video[["mkr", "jitter", "identity_apart"]].isna().all()


@pytest.fixture
def report():
    """Two videos of different length and quality, and one that is excluded."""
    records = []
    for name, count, shift in (("short", 2, (3, 4)), ("long", 6, (6, 8))):
        pairs = [(draw_dots(moved(points, *shift)), draw_dots(points)) for points in walk(count)]
        records += [{"video": name} | record for record in evaluate(pairs, instruments())]
    return Report("reconstruction", {"model": "m"}, pd.DataFrame(records), {"third": "has 1 frame"})


def test_the_published_form_counts_frames_and_the_clean_one_videos(report):
    overall = totals(report.frames)

    akd = overall["akd"]
    assert akd["published"] == pytest.approx((2 * 3.5 + 6 * 7) / 8)
    assert akd["clean"] == pytest.approx((5 + 10) / 2)
    assert akd["standard_error"] == pytest.approx(np.std([5, 10], ddof=1) / math.sqrt(2))
    assert (akd["videos"], akd["frames"], akd["undefined"]) == (2, 8, {})
    assert overall["aed"]["clean"] is None
    assert overall["aed"]["undefined"] == {evaluation.NOBODY_REAL: 8}
    assert overall["jitter"]["videos"] == 1, "the short video has no three frames"
    assert overall["jitter"]["undefined"] == {STILL: 1}
    assert "lpips" not in overall


def test_the_table_and_the_json_have_every_figure_and_what_was_left_out(report):
    table, read = report.table(), json.loads(json.dumps(report.as_json(), allow_nan=False))

    assert "2 videos, 8 frames, 1 videos excluded" in table
    assert "excluded: third: has 1 frame" in table
    assert f"AED: not defined 8 times: {evaluation.NOBODY_REAL}" in table
    [line] = [line for line in table.splitlines() if line.startswith("AKD")]
    assert line.split()[-5:] == ["6.1250", "7.5000", "2.5000", "2", "8"]
    assert (read["videos"]["short"]["clean"]["akd"], read["videos"]["short"]["published"]["akd"]) == (5, 3.5)
    assert read["videos"]["long"]["per_frame"]["akd"] == [10] * 6
    assert read["videos"]["short"]["undefined"]["jitter"] == {STILL: 1}
    assert read["excluded"] == {"third": "has 1 frame"}
