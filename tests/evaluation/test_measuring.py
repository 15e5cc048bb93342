"""The figures of videos and of all videos together, on pictures with dots whose places are known."""

import json
import math

import numpy as np
import pytest
from evaluation_drawings import Dots, draw_dots

from eval.measuring import (
    IDENTICAL,
    NO_JOINT,
    NO_TARGET,
    NOBODY_MADE,
    NOBODY_REAL,
    NOBODY_SOURCE,
    Instruments,
    Reference,
    measure_animation,
    measure_reconstruction,
)
from eval.report import Report, totals
from eval.similarity import Similarity

CORNERS = ((10, 10), (40, 10), (40, 30), (10, 30))
ALL = Instruments(Similarity(), Dots(), Dots())


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


def test_a_planted_shift_and_dropped_joints():
    real = [draw_dots(points) for points in walk()]
    shifted = [moved(points, 3, 4) for points in walk()]
    shifted[1][0] = None
    shifted[4][1] = shifted[4][2] = None

    figures = measure_reconstruction([draw_dots(points) for points in shifted], real, ALL)

    assert figures.frames == 6
    assert figures.per_frame["akd"] == pytest.approx([5] * 6)
    assert figures.per_frame["akd_per_coordinate"] == pytest.approx([3.5] * 6)
    assert figures.per_frame["mkr"] == [0, 1 / 4, 0, 0, 2 / 4, 0]
    assert figures.pooled["mkr"] == 3 / 24
    assert figures.pooled["jitter"] == pytest.approx(1), "it trembles as much as the real one"
    assert figures.per_frame["l1"][0] == pytest.approx(
        np.abs(draw_dots(shifted[0]) - real[0].astype(float)).mean() / 255
    )
    assert figures.per_frame["flicker"][0] is None
    assert all(value > 0 for value in figures.per_frame["flicker"][1:])
    assert figures.undefined == {"aed": {NOBODY_REAL: 6}}


def test_what_is_not_found_is_counted_with_its_reason():
    nothing = [None] * 4
    real = [CORNERS, CORNERS, nothing, nothing, [CORNERS[0], None, None, None], CORNERS]
    made = [CORNERS, nothing, CORNERS, nothing, [None, *CORNERS[1:]], moved(CORNERS, 0, 2)]

    figures = measure_reconstruction(map(draw_dots, made), map(draw_dots, real), ALL)

    assert figures.per_frame["akd"] == [0, None, None, None, None, 2]
    assert figures.undefined["akd"] == {NOBODY_MADE: 1, NOBODY_REAL: 2, NO_JOINT: 1}
    assert figures.per_frame["mkr"] == [0, 1, None, None, 1, 0]
    assert figures.undefined["mkr"] == {NOBODY_REAL: 2}
    assert figures.pooled == {"mkr": 5 / 13, "jitter": None}
    assert list(figures.undefined["jitter"].values()) == [1]
    assert figures.per_frame["psnr"][0] is None
    assert figures.undefined["psnr"] == {IDENTICAL: 2}


def test_known_identities():
    real = [painted(draw_dots(CORNERS), (10, 20, 30))] * 3
    made = [painted(draw_dots(CORNERS), color) for color in ((13, 24, 30), (10, 20, 30), (128, 128, 128))]

    figures = measure_reconstruction(made, real, ALL)

    assert figures.per_frame["aed"] == [5, 0, None]
    assert figures.per_frame["aed_squared"] == [25, 0, None]
    assert figures.undefined["aed"] == {NOBODY_MADE: 1}


def test_an_animation_is_measured_against_the_relative_motion_and_the_picture():
    source = painted(draw_dots([(4, 4), (64, 4), (64, 44), (4, 44)], 60, 80), (10, 20, 30))  # twice as large as CORNERS
    driving = [painted(draw_dots(points), (10, 20, 90)) for points in walk(5)]
    right = [moved([(4, 4), (64, 4), (64, 44), (4, 44)], 4 * t, 8 * (t % 2)) for t in range(4)]
    right[2] = moved(right[2], 3, 4)
    made = [painted(draw_dots(points, 60, 80), (10, 20, 42)) for points in right]

    figures = measure_animation(made, driving[:4], Reference(source, driving[0]), ALL)

    assert figures.per_frame["akd"] == pytest.approx([0, 0, 5, 0])
    assert figures.per_frame["mkr"] == [0, 0, 0, 0]
    assert figures.per_frame["aed"] == [12] * 4
    assert figures.pooled["identity_apart"] == 60
    assert figures.pooled["jitter"] == pytest.approx((math.hypot(3, 12) + 10) / 2 / 16), "the picture is twice as large"
    assert "l1" not in figures.per_frame


def test_an_animation_of_nobody_is_counted():
    nobody = draw_dots([None] * 4)
    driving = [draw_dots(points) for points in walk(3)]

    figures = measure_animation(driving, driving, Reference(nobody, driving[0]), ALL)

    assert figures.undefined["akd"] == {NO_TARGET: 3}
    assert figures.undefined["mkr"] == {NO_TARGET: 3}
    assert figures.undefined["aed"] == {NOBODY_SOURCE: 3}
    assert figures.pooled == {"mkr": None, "jitter": None, "identity_apart": None}


@pytest.fixture
def report():
    """Two videos of different length and quality, and one that is excluded."""
    videos = {}
    for name, count, shift in (("short", 2, (3, 4)), ("long", 6, (6, 8))):
        real = [draw_dots(points) for points in walk(count)]
        made = [draw_dots(moved(points, *shift)) for points in walk(count)]
        videos[name] = measure_reconstruction(made, real, ALL)
    return Report("reconstruction", {"model": "m"}, totals(videos), videos, {"third": "has 1 frame"})


def test_the_published_form_counts_frames_and_the_clean_one_videos(report):
    akd = report.totals["akd"]

    assert akd.published == pytest.approx((2 * 3.5 + 6 * 7) / 8)
    assert akd.clean == pytest.approx((5 + 10) / 2)
    assert akd.standard_error == pytest.approx(np.std([5, 10], ddof=1) / math.sqrt(2))
    assert (akd.videos, akd.frames, akd.undefined) == (2, 8, {})
    assert report.totals["aed"].clean is None
    assert report.totals["aed"].undefined == {NOBODY_REAL: 8}
    assert report.totals["jitter"].videos == 1, "the short video has no three frames"
    assert list(report.totals["jitter"].undefined.values()) == [1]
    assert "lpips" not in report.totals


def test_the_table_says_what_was_left_out(report):
    table = report.table()

    assert "2 videos, 8 frames, 1 videos excluded" in table
    assert "excluded: third: has 1 frame" in table
    assert f"AED: not defined 8 times: {NOBODY_REAL}" in table
    [line] = [line for line in table.splitlines() if line.startswith("AKD")]
    assert line.split()[-5:] == ["6.1250", "7.5000", "2.5000", "2", "8"]


def test_the_json_has_every_frame(report):
    read = json.loads(json.dumps(report.as_json(), allow_nan=False))

    assert read["videos"]["short"]["clean"]["akd"] == 5
    assert read["videos"]["short"]["published"]["akd"] == 3.5
    assert read["videos"]["long"]["per_frame"]["akd"] == [10] * 6
    assert read["overall"]["akd"]["frames"] == 8
    assert read["excluded"] == {"third": "has 1 frame"}
