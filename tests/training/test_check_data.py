"""What ``python -m train.check_data`` says."""

from __future__ import annotations

import pytest
from media_files import damage, textured, write_video
from PIL import Image

from train.check_data import main


@pytest.fixture
def root(tmp_path):
    """Two good videos to train on, one of them with every frame twice, and one to test on."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    write_video(tmp_path / "train" / "ann#1.mp4", 40, frame=textured)
    write_video(tmp_path / "train" / "bob#1.mp4", 20, frame=lambda k: textured(4 * (k // 2)), options={"crf": "10"})
    write_video(tmp_path / "test" / "cleo#1.mp4", 12, frame=lambda k: textured(4 * k))
    (tmp_path / "train" / "notes.txt").touch()
    return tmp_path


def test_a_good_folder(root, capsys):
    assert main([str(root)]) == 0
    text = capsys.readouterr().out
    assert "train: videos: 2, identities: 2" in text
    assert "frames: 60 in all; 20 to 40 a video, median 30" in text
    assert "kinds: video (2)" in text
    assert "sizes: 160 x 128 (2)" in text
    assert "not videos, left out: 1 (notes.txt)" in text
    assert "broken: none" in text
    assert "in both" not in text
    assert "decoded from end to end" in text
    assert "a pass is 2 samples" in text
    assert text.count(" -> frame ") == 5


def test_repeated_frames_are_found(root, capsys):
    """10 of the 39 + 19 steps are repeats, all of them in one video, and none from two frames apart."""
    main([str(root)])
    text = capsys.readouterr().out
    assert "repeated frames: 17.2% look like the frame before; most in bob#1.mp4, 53%" in text
    assert "suggested min_stride: 2 (0.0% of frames" in text


def test_a_still_video_has_no_good_stride(root, capsys):
    write_video(root / "test" / "cleo#1.mp4", 30, frame=lambda k: textured(0))
    main([str(root)])
    assert "look the same up to 10 frames apart: there is little motion" in capsys.readouterr().out


def test_broken_videos_are_named_with_the_reason(root, capsys):
    (root / "train" / "zoe.mp4").write_bytes(b"no video at all")
    Image.new("RGB", (100, 64)).save(root / "train" / "wide.png")
    assert main([str(root)]) == 1
    text = capsys.readouterr().out
    assert "broken: 2\n" in text
    assert "zoe.mp4: must be a video" in text
    assert "wide.png: must have at least 2 frames, got 1; frames side by side must each be as wide as high" in text
    assert "a pass is 2 samples" in text


def test_damage_inside_a_video_shows_unless_it_is_quick(root, capsys):
    damage(root / "train" / "ann#1.mp4", 0.5, 3000)
    assert main([str(root), "--quick"]) == 0
    assert "--quick: damage inside them does not show" in capsys.readouterr().out
    assert main([str(root)]) == 1
    text = capsys.readouterr().out
    assert "broken: 1\n" in text
    assert "ann#1.mp4: is damaged at frame" in text


def test_identities_in_both_splits_are_named(root, capsys):
    write_video(root / "test" / "bob#7.mp4", 12, frame=textured)
    main([str(root), "--quick", "--id-sampling"])
    assert "identities in both train and test: 1 (bob)" in capsys.readouterr().out


def test_a_missing_test_split_is_said_and_an_empty_one_is_wrong(root, capsys):
    (root / "test" / "cleo#1.mp4").unlink()
    assert main([str(root), "--quick"]) == 1
    assert "test: data root" in capsys.readouterr().out
    (root / "test").rmdir()
    assert main([str(root), "--quick"]) == 0
    assert "nothing to validate on" in capsys.readouterr().out


def test_a_pair_list_is_checked(root, capsys):
    table = root / "pairs.csv"
    table.write_text("source,driving\nann#1.mp4,bob#1.mp4\n")
    assert main([str(root), "--quick", "--pair-list", str(table)]) == 0
    assert "-> bob#1.mp4 frame" in capsys.readouterr().out
    table.write_text("source,driving\nann#1.mp4,nobody.mp4\n")
    assert main([str(root), "--quick", "--pair-list", str(table)]) == 1
    assert "nothing can be sampled: pair_list" in capsys.readouterr().out


def test_an_empty_folder_ends_with_status_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    sentence = f"train.check_data: data root: {tmp_path} must hold a folder 'train' with the videos, but it has none\n"
    assert capsys.readouterr().err == sentence
    assert main([str(tmp_path), "--min-stride", "-1"]) == 2
    assert "min_stride: must be greater than or equal to 0" in capsys.readouterr().err
