"""What the app says and draws of a run, its examples and gallery, and how it is pushed; no server and no browser."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from space_files import DRIVING, LITTLE_PICTURE
from subcases import each_case

from motion_core import media
from space import drawing, make_examples, push, zerogpu
from space.insight import Explanation
from space.limits import Limits
from space.make_banner import banner, rows_of
from space.make_gallery import make_gallery, row
from space.models import SHIPPED, Models
from space.reading import resized
from space.runs import Stopwatch
from space.service import Service
from space.showcase import EXAMPLES, Examples, read_examples, read_gallery
from space.words import Moment, diagnosis, duration

ROOT = Path(__file__).parents[2]


def moments(*runs: tuple[int, float, float]) -> list[Moment]:
    """Frames: (how many, t, displacement)."""
    return [Moment(t, moved, (1 - t) * moved) for count, t, moved in runs for _ in range(count)]


def explained(**given) -> Explanation:
    rest = {
        "t": 0.5,
        "used": True,
        "difference": 0.05,
        "shares": {"Green: taken from your picture": 0.9, "Pink: made up": 0.1},
        "folded": 0.0,
    }
    return Explanation(**{"displacements": [0.1, 0.6], "index": 1, "pictures": [], "missed": 0.0, **rest, **given})


def test_a_run_is_told_in_sentences():
    sentences = diagnosis(moments((30, 0, 0.1), (20, 0.5, 0.6), (10, 0, 0.1)), 10, explained())
    assert sentences == [
        "Made by way of an interpolated image (a helper picture that the model makes between the two poses) at t = 0.50 in 20 "
        "of 60 frames.",
        "The largest movement is at 0.1 s: on average, points of the body move by 30 % of the picture's width, from the "
        "interpolated image by 15 %.",
        "With and without the interpolated image this frame differs by 5.0 % in its colours.",
        "Green: taken from your picture (90 %). Pink: made up (10 %). No colour: the picture, unchanged.",
    ]
    assert diagnosis(moments((1, 0, 0.1)), 25, explained())[0].startswith("Made straight from the picture")


@each_case(
    ("fault", "words"),
    [({"folded": 0.3}, "mirrored"), ({"missed": 0.5}, "not quite"), ({"difference": 0.001}, "equally good")],
)
def test_what_is_worth_knowing_of_the_frame_is_told(fault, words):
    frames = moments((10, 0, 0.1))
    assert words in " ".join(diagnosis(frames, 10, explained(**fault)))
    assert words not in " ".join(diagnosis(frames, 10, explained()))


def test_the_time_left_comes_from_all_frames_so_far():
    watch = Stopwatch(12, now=100.0)
    assert watch.seconds_left(2, now=100.5) is None
    assert watch.seconds_left(3, now=104.0) == pytest.approx(12)
    assert [watch.is_due(1, now=now) for now in (0, 0.5, 1.0, 1.5, 2.0)] == [True, False, True, False, True]
    assert (duration(0.2), duration(89), duration(200)) == ("1 s", "89 s", "3 min")


def test_a_timeline_is_a_picture_with_a_text():
    figure = ElementTree.fromstring(drawing.timeline(moments((5, 0, 0.1), (5, 0.5, 0.4)), 5))
    svg = figure.find("svg")
    assert svg is not None
    assert svg.get("aria-label", "").startswith(
        "How far the pose is from the picture's over 2.0 s, in widths of the picture: at most 0.20"
    )
    lines = {line.get("class"): line.get("points", "").split() for line in svg.iter("polyline")}
    assert lines["line moved"][1::2][0] > lines["line moved"][1::2][-1]  # y grows downwards
    assert lines["line left"][1::2][-1] > lines["line moved"][1::2][-1]
    assert drawing.timeline([], 5) == ""


def test_what_is_found_is_drawn_with_limbs_and_box():
    limbs = np.array([[[0.0, 0.0], [1.0, 1.0]]])  # from corner to corner
    svg = ElementTree.fromstring(
        drawing.found(np.zeros((20, 40, 3), np.uint8), limbs, "picture", "words", (0.5, 0, 0.5, 1))
    )
    (line,), (box,) = svg.findall("line"), svg.findall("rect")
    assert [line.get(name) for name in ("x1", "y1", "x2", "y2")] == ["0.0", "0.0", "40.0", "20.0"]
    assert [box.get(name) for name in ("x", "y", "width", "height")] == ["0.0", "10.0", "40.0", "10.0"]


def test_keypoints_are_drawn_where_they_are():
    picture = np.zeros((41, 81, 3), np.uint8)
    paths = np.array([[[[-1.0, -1.0]]], [[[1.0, 1.0]]]])  # (2, 1, 1, 2): from corner to corner
    svg = ElementTree.fromstring(drawing.keypoint_paths(picture, paths, np.array([[[0.0, 0.0]]]))).find("svg")
    assert svg is not None
    assert svg.find("polyline").get("points") == "0.5,0.5 80.5,40.5"
    ring, dot = svg.findall("circle")
    assert (ring.get("cx"), ring.get("cy"), dot.get("cx"), dot.get("cy")) == ("0.5", "0.5", "40.5", "20.5")


def test_words_cannot_become_markup():
    for html in (
        drawing.progress("<b>&", tone="ended"),
        drawing.picker("<i>", [(["a.png"], '"><script>')]),
    ):
        assert "<script" not in html
        assert "<b>" not in html
        assert "<i>" not in html


def test_examples_are_all_there_small_and_named():
    examples = read_examples()
    items = [
        *examples.pictures,
        *examples.movements,
        *(item for pair in (*examples.same, *examples.different) for item in pair),
    ]
    assert len(examples.pictures) >= 5
    assert len(examples.movements) >= 5
    for item in items:
        assert item.path.is_file()
        height, width, _ = media.load_image(item.thumbnail.removeprefix("gradio_api/file=")).shape
        assert height == width  # one whole picture or frame
        assert len(item.title) >= 7
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 1_250_000
    assert min(media.load_image(picture.path).shape[0] for picture in examples.pictures) >= 256
    assert {media.open_video(movement.path).frame_count for movement in examples.movements} == {50}
    assert media.open_video(DRIVING).has_audio


def test_the_gallery_is_made_by_a_model_and_read_again(tmp_path, variant_pipeline):
    service = Service(tmp_path / "work", Limits(seconds=0.2), Models(Limits(), lambda: (variant_pipeline("v2"), "")))
    whole = read_examples()
    few = Examples(whole.pictures[:1], whole.movements[:2], whole.same[:1], whole.different[:1])
    assert make_gallery(service, SHIPPED, "a model", tmp_path / "made", few) == 3
    gallery = read_gallery(tmp_path / "made")
    assert gallery.model == "a model"
    assert [piece.kind for piece in gallery.pieces] == ["animation", "interpolation", "interpolation"]
    assert media.open_video(gallery.pieces[0].shown.path).frame_count == 5
    assert media.load_image(gallery.pieces[1].shown.path).shape == (128, 9 * 128 + 8 * 4, 3)
    assert all(piece.first.is_file() and piece.second.is_file() for piece in gallery.pieces)
    assert read_gallery(tmp_path / "nothing").pieces == ()
    assert row([np.zeros((8, 6, 3), np.uint8), np.ones((4, 4, 3), np.uint8)]).shape == (4, 3 + 4 + 4, 3)


def test_the_banner_has_a_row_for_each_person(variant_pipeline):
    rows = rows_of(read_examples())
    pipeline = variant_pipeline("v2")
    frame = next(banner(pipeline, rows[:2], 32))
    assert frame.shape == (2 * 32 + 4, 3 * 32 + 2 * 4, 3)
    assert (frame[32:36] == 255).all()
    driving = resized(next(iter(media.open_video(rows[1][1].path))), 1 / 8)
    np.testing.assert_array_equal(frame[36:, 36:68], driving)
    made = next(pipeline.stream(rows[1][0].path, rows[1][1].path).frames).image
    np.testing.assert_array_equal(frame[36:, 72:], resized(made, 32 / made.shape[0]))


@pytest.mark.slow
def test_the_examples_are_made_by_their_script(tmp_path):
    assert make_examples.main(["--out", str(tmp_path), "--size", "48", "--clip-size", "32"]) == 0
    made, shipped = (json.loads((folder / "index.json").read_text()) for folder in (tmp_path, EXAMPLES))
    assert made == shipped
    assert len(read_examples(tmp_path).pictures) == len(shipped["pictures"])


def test_push_uploads_the_app_and_nothing_else(monkeypatch):
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    calls = []

    class Url(str):
        repo_id = "name/space"

    monkeypatch.setattr(HfApi, "create_repo", lambda self, *given, **named: calls.append(named) or Url("address"))
    monkeypatch.setattr(HfApi, "upload_folder", lambda self, **named: calls.append(named))
    assert push.push("name/space", hardware="zero-a10g") == "address"
    assert calls[0]["space_sdk"] == "gradio"
    assert Path(calls[1]["folder_path"]) == ROOT
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    chosen = set(
        filter_repo_objects(
            tracked.splitlines(), allow_patterns=calls[1]["allow_patterns"], ignore_patterns=calls[1]["ignore_patterns"]
        )
    )
    assert {
        "app.py",
        "README.md",
        "requirements.txt",
        "space/layout.py",
        "space/page.css",
        "space/live.js",
        "motion_core/media/writing.py",
    } <= chosen
    assert "space/examples/index.json" in chosen
    assert not any(name.startswith(("tests/", "train/", "eval/", "docs/")) or "make_" in name for name in chosen)


def test_a_push_that_the_hub_refuses_ends_with_a_sentence(monkeypatch, capsys):
    from huggingface_hub import HfApi

    def refuse(self, *given, **named):
        raise OSError("Token is required. More about it at ...")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    assert push.main(["name/space"]) == 2
    assert capsys.readouterr().err == "error: name/space: Token is required\n"


def test_on_zerogpu_all_that_goes_to_the_gpu_and_back_can_be_pickled(monkeypatch, tmp_path, variant_pipeline):
    """There a call runs in another process; this stand-in for its package pickles as that does."""

    def travelled(value):
        return pickle.loads(pickle.dumps(value))

    class GPU:
        def __init__(self, duration: int) -> None:
            assert duration > 0

        def __call__(self, function):
            def call(*given, **named):
                given, named = travelled(given), travelled(named)
                result = function(*given, **named)
                if isinstance(result, Iterator):
                    return (travelled(item) for item in result)
                return travelled(result)

            return call

    from space import compute
    from space.choices import Choices
    from space.runs import Stop

    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=GPU))
    for name in ("frames", "explain", "look", "views"):
        monkeypatch.setattr(compute, name, zerogpu.on_gpu(getattr(compute, name)))
    monkeypatch.setattr(compute, "preview_of_subject", zerogpu.on_gpu(compute.preview))
    service = Service(tmp_path, Limits(), Models(Limits(), lambda: (variant_pipeline("v2"), "")))
    choices = Choices(longest=0.12, selector="fixed", crop="subject")
    *_, last = service.animate(LITTLE_PICTURE, DRIVING, choices, Stop())
    assert last.result is not None
    assert len(service.interpolate(LITTLE_PICTURE, LITTLE_PICTURE, [0, 1])) == 2
    assert service.preview(LITTLE_PICTURE, choices)[1]
    assert service.check(LITTLE_PICTURE, DRIVING, choices).works
