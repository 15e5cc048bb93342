"""Where outputs go: through links, with the mode that was there, and what can be known is said before the work."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import media_files as files
import numpy as np
import pytest
from subcases import each_case

from motion_core import InputError, atomic, media
from motion_core.records import RecordWriter
from motion_core.settings import AnimationSettings, OneEuro


def write(path: str | Path, height: int = 64, width: int = 96) -> media.VideoWriter:
    with media.VideoWriter(path, 25) as writer:
        for number in range(2):
            writer.write(files.numbered(number, height, width))
    return writer


def write_segments(path: str | Path) -> None:
    with media.SegmentedWriter(path, 25, fingerprint="inputs") as writer:
        for number in range(2):
            writer.write(files.numbered(number))


def write_record(path: str | Path) -> None:
    with RecordWriter(path) as writer:
        writer.write({"t": 0.5})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def save_picture(path: str | Path) -> None:
    media.save_image(path, files.numbered(0))


def save_webp(path: str | Path) -> None:
    media.save_animation(path, [files.numbered(0)], 25)


WRITERS = [
    ("a.mp4", write),
    ("a.mp4", write_segments),
    ("a.gif", write),
    ("a.json", write_record),
    ("a.png", save_picture),
    ("a.webp", save_webp),
]


@each_case(("name", "writer"), WRITERS)
@each_case("there", [True, False])
def test_a_link_to_a_file_is_followed_and_the_mode_kept(tmp_path, name, writer, there):
    for folder in ("real", "links"):
        (tmp_path / folder).mkdir()
    real, link = tmp_path / "real" / name, tmp_path / "links" / name
    link.symlink_to(real)
    if there:
        real.write_bytes(b"old")
        real.chmod(0o600)
    writer(link)
    assert link.is_symlink()
    assert real.stat().st_size > 3
    assert mode(real) == (0o600 if there else 0o666 & ~umask())
    assert [os.listdir(tmp_path / folder) for folder in ("real", "links")] == [[name], [name]]


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


@each_case("writer", [write, write_segments])
def test_a_link_to_an_empty_folder_is_followed(tmp_path, writer):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    writer(f"{tmp_path}/link/")
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path / "real")) == ["000001.png", "000002.png"]
    assert mode(tmp_path / "real") == 0o700
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_a_folder_that_cannot_be_replaced_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="must be a folder that can be replaced, but is the current one"):
        media.check_output("./")
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    (tmp_path / "disk").mkdir()
    with pytest.raises(InputError, match="or a mounted disk; name a new one in it"):
        media.check_output(tmp_path / "disk")


def test_another_users_file_in_a_sticky_folder_is_refused(tmp_path, monkeypatch):
    tmp_path.chmod(0o1777)
    (tmp_path / "a.mp4").touch()
    assert media.check_output(tmp_path / "a.mp4") == "mp4"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match=r"a\.mp4: belongs to another user"):
        media.check_output(tmp_path / "a.mp4")


@each_case(("name", "size"), [("a.mp4", (256, 258)), ("a.gif", (255, 257)), ("a/", (255, 257))])
def test_the_size_that_is_told_is_the_size_that_is_written(tmp_path, name, size):
    writer = write(os.path.join(tmp_path, name), 255, 257)
    assert writer.frame_size == media.open_video(os.path.join(tmp_path, name)).size == size


def test_a_path_is_whole_or_as_before(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.atomic_path(target) as made:
        made.write_text(str(1 / 0))
    assert target.read_text() == "old"
    with atomic.atomic_path(target) as made:
        assert made.suffix == ".txt"
        made.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_with_something_in_it_is_replaced_only_if_that_is_said(tmp_path):
    def fill(*, over: bool) -> None:
        with atomic.atomic_path(tmp_path / "a", over=over) as made:
            made.mkdir()
            (made / "new").touch()

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with pytest.raises(OSError, match="not empty"):
        fill(over=False)
    assert os.listdir(tmp_path / "a") == ["old"]
    fill(over=True)
    assert os.listdir(tmp_path / "a") == ["new"]
    assert os.listdir(tmp_path) == ["a"]


def test_numbers_of_numpy_are_taken_as_settings():
    given = AnimationSettings(
        size=(np.int64(256), np.int32(128)),
        crop=tuple(np.arange(4) + 64),
        strength=np.float32(0.5),
        initial_frame=np.int64(3),
        batch_size=np.uint8(2),
        smoothing=OneEuro(np.float64(2.0)),
    )
    plain = AnimationSettings(
        size=(256, 128), crop=(64, 65, 66, 67), strength=0.5, initial_frame=3, batch_size=2, smoothing=OneEuro(2.0)
    )
    assert repr(given) == repr(plain)
    with pytest.raises(InputError, match="batch_size must be 1 or more, got 0"):
        AnimationSettings(batch_size=np.int64(0))
