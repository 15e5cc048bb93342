"""`eval.camera`: a planted movement has the errors that are known of it, and rendered clips are gone through."""

from __future__ import annotations

import torch

from eval import camera
from eval.camera import background_errors, shown_in_both, table
from eval.rendered_people.clip import Plan
from eval.rendered_people.render import render_split
from motion_core.geometry import affine_grid, sample

RIGHT = torch.tensor([[[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]]])  # a quarter of the picture to the left
NONE = torch.eye(3)[None]


def test_the_right_transform_has_no_error_and_none_has_what_differs():
    source = torch.linspace(0, 1, 41).expand(1, 3, 9, 41)  # brighter by 0.025 a pixel
    driving = sample(source, affine_grid(RIGHT, 9, 41), padding="border")
    known = torch.zeros(1, 1, 9, 41, dtype=torch.bool)
    known[..., :20] = True
    errors = background_errors(source.expand(2, -1, -1, -1), driving, known, torch.cat((RIGHT, NONE)))
    torch.testing.assert_close(errors, torch.tensor([0, 255 * 0.25]), atol=1e-3, rtol=1e-4)


def test_pixels_that_count_show_background_in_both_frames():
    source, driving = torch.zeros(2, 1, 1, 1, 5)
    source[..., 2], driving[..., 2] = 1, 1  # the transform takes each pixel to the next
    assert shown_in_both(source, driving, RIGHT).flatten().tolist() == [True, False, False, True, False]


def test_means_are_of_clips_and_those_made_worse_are_named():
    clips = [("a", "orbit", 4.0, 2.0, 1.0), ("b", "follow", 8.0, 9.0, 3.0), ("c", "static", 0.0, 0.01, 0.0)]
    names = ("name", "move", "identity", "found", "exact")
    lines = table([dict(zip(names, clip, strict=True)) for clip in clips]).splitlines()
    assert lines[2:6] == [
        "| follow | 1 | 8.00 | 9.00 | 3.00 |",
        "| orbit | 1 | 4.00 | 2.00 | 1.00 |",
        "| all that move | 2 | 6.00 | 5.50 | 2.00 |",
        "| static | 1 | 0.00 | 0.01 | 0.00 |",
    ]
    assert lines[-1] == "Worse than the identity by more than 0.05: 1 of 3 clips: b."


def test_rendered_clips_are_measured(tmp_path, capsys):
    render_split(Plan("test", 1, 2, 2, 64), tmp_path, 1, 1)
    assert camera.main([str(tmp_path)]) == 0
    assert "of 1 clips" in capsys.readouterr().out
    assert camera.main([str(tmp_path / "nowhere")]) == 2
    assert "must be a folder with videos" in capsys.readouterr().err
