"""A picture that moves with a camera: `motion_core.live`, and the command."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from subcases import each_case

from motion_core import AnimationSettings, InputError, media
from motion_core.__main__ import main
from motion_core.live import LivePicture, Newest, camera_frames

EXAMPLES = Path(__file__).parents[1] / "space" / "examples"
PICTURE, DRIVING = EXAMPLES / "green-sweater.png", EXAMPLES / "dancing.mp4"


@each_case("mode", ["relative", "standard"])
def test_live_frames_are_those_of_an_animation(variant_pipeline, mode):
    pipeline = variant_pipeline("v2")
    driving = list(media.open_video(DRIVING))[:20:5]
    settings = AnimationSettings(mode=mode, size=128, strategy="none")
    live = LivePicture(pipeline, PICTURE, settings)
    expected = pipeline(PICTURE, driving, settings).frames
    for index in range(3):
        np.testing.assert_allclose(live(driving[index]).astype(int), expected[index], atol=1)
    live.restart()
    still = pipeline(PICTURE, driving[3:] * 2, settings).frames[0]  # the first pose counts as the picture's again
    np.testing.assert_allclose(live(driving[3]).astype(int), still, atol=1)


def test_frames_that_nobody_takes_in_time_are_dropped_and_errors_arrive():
    def frames():
        for shade in range(50):
            yield np.full((2, 2, 3), shade, np.uint8)
            time.sleep(0.002)
        raise InputError("the camera is gone")

    newest = Newest(frames())
    seen: list[int] = []

    def take() -> None:
        for came, frame in newest:
            assert came <= time.perf_counter()
            seen.append(int(frame[0, 0, 0]))
            time.sleep(0.02)

    with pytest.raises(InputError, match="the camera is gone"):
        take()
    assert newest.seen == 50
    assert seen == sorted(seen)
    assert len(seen) < 30


def test_the_command_says_how_fast_it_was(tmp_path, variant_pipeline, capsys):
    variant_pipeline("tpsmm").save_pretrained(tmp_path / "model")
    arguments = ["live", str(PICTURE), "--camera", str(DRIVING), "--no-window", "--seconds", "0.1"]
    assert main([*arguments, "--model", str(tmp_path / "model"), "--size", "128"]) == 0
    told = capsys.readouterr().out
    assert "frames of 128 x 128" in told
    assert "camera frames dropped" in told


def test_what_is_no_camera_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        camera_frames(str(tmp_path / "nowhere.mp4"))
