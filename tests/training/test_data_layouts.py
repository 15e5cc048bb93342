"""Which folders and files are training videos, and lists of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion_core.errors import InputError
from train.data import find_videos
from train.data.layouts import VideoFile, left_out, read_pairs


def test_videos_are_found_in_natural_order_whatever_their_kind(tmp_path):
    for name in ("clip10.mp4", "clip2.mp4", "clip1.gif", "strip3.PNG", ".hidden.mp4", "notes.txt"):
        path = tmp_path / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "train" / "clip4.mp4").mkdir()  # a folder of frames, named as the field's download script does
    assert [file.name for file in find_videos(tmp_path)] == [
        "clip1.gif",
        "clip2.mp4",
        "clip4.mp4",
        "clip10.mp4",
        "strip3.PNG",
    ]
    assert left_out(tmp_path, "train") == ["notes.txt"]


def test_the_identity_is_what_stands_before_the_first_hash():
    names = ("id10280#NXjT3732Ekg#001093#001192.mp4", "clip.mp4", "clip.v2.gif", "J.S.Bach", "a#b")
    found = [VideoFile(name, Path(name)).identity for name in names]
    assert found == ["id10280", "clip", "clip.v2", "J.S.Bach", "a"]


def test_a_root_without_videos_is_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere is none"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="must hold a folder 'train'"):
        find_videos(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "readme.txt").touch()
    with pytest.raises(InputError, match=r"must hold videos .* but has none"):
        find_videos(tmp_path)


def test_pairs_are_read_from_two_columns(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeffdistance,source,driving,frame\n3,a.mp4,b.mp4,0\n1,b.mp4,a.mp4,7\n", encoding="utf-8")
    assert read_pairs(path) == [("a.mp4", "b.mp4"), ("b.mp4", "a.mp4")]


def test_a_bad_pair_list_is_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    for text, message in (
        (b"a,b\n1,2\n", "columns source and driving, got a, b"),
        (b"", "got none"),
        (b"source,driving\n", "at least one row"),
        (b"source,driving\na.mp4\n", "in every row"),
        (b"source,driving\n\xff\xfe,b\n", "in UTF-8"),
    ):
        path.write_bytes(text)
        with pytest.raises(InputError, match=message):
            read_pairs(path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pairs(tmp_path / "none.csv")
