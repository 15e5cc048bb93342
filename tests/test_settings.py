"""The settings of an animation: what each may be, and the groups that they come in."""

from dataclasses import fields

import numpy as np
import pytest

from motion_core import AnimationSettings, InputError
from motion_core.settings import InterpolationSettings, MotionSettings, OutputSettings, PictureSettings

NAN = float("nan")
WRONG = [
    ({"fit": "squeeze"}, "fit must be one of pad, crop, stretch, got 'squeeze'"),
    ({"crop": "middle"}, "crop must be (top, left, height, width), 'subject' or None, got 'middle'"),
    ({"subject": (1.0,)}, "subject must be a place (x, y) in the picture, in pixels from 0, got (1.0,)"),
    ({"subject": (-1, 3)}, "subject must be a place (x, y) in the picture, in pixels from 0, got (-1, 3)"),
    ({"subject": (NAN, 3)}, "subject must be a place (x, y) in the picture, in pixels from 0, got (nan, 3)"),
    ({"feather": 0.6}, "feather must be from 0 to 0.5, got 0.6"),
    ({"mode": "absolute"}, "mode must be one of auto, relative, pose, standard, avd, got 'absolute'"),
    ({"background": "none"}, "background must be one of identity, predicted, got 'none'"),
    ({"strength": -1}, "strength must be 0 or more, got -1"),
    ({"strength": NAN}, "strength must be 0 or more, got nan"),
    ({"initial_frame": -1}, "initial_frame must be a frame's index from 0, or 'best', got -1"),
    ({"initial_frame": "first"}, "initial_frame must be a frame's index from 0, or 'best', got 'first'"),
    ({"strategy": "best"}, "strategy must be one of learned, analytic, fixed, none, images, got 'best'"),
    ({"path": "round"}, "path must be one of linear, rigid, got 'round'"),
    ({"t": 1.5}, "t must be in [0, 1], got 1.5"),
    ({"t": -0.1}, "t must be in [0, 1], got -0.1"),
    ({"t": NAN}, "t must be in [0, 1], got nan"),
    (
        {"t": 0.5, "strategy": "learned"},
        "give either a time t or a strategy that chooses it, got 0.5 and 'learned'",
    ),
    ({"hysteresis": -1}, "hysteresis must be 0 or more, got -1"),
    ({"hysteresis": NAN}, "hysteresis must be 0 or more, got nan"),
    ({"hold": 0}, "hold must be 1 or more frames, got 0"),
    ({"hold": 1.5}, "hold must be 1 or more frames, got 1.5"),
    ({"scene": 3}, "scene must be source, driving, transparent or a picture's path, got 3"),
    (
        {"scene": "driving", "background": "predicted"},
        "background 'predicted' moves the picture's own, which scene 'driving' leaves out",
    ),
    ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
    ({"frame_rate": 0}, "frame_rate must be positive, got 0"),
    ({"on_damage": "guess"}, "on_damage must be one of stop, hold, skip, got 'guess'"),
    ({"audio_track": -1}, "audio_track must be a track's number from 0, got -1"),
]


def test_a_value_out_of_its_range_is_refused_in_one_sentence():
    for wrong, message in WRONG:
        with pytest.raises(InputError) as refusal:
            AnimationSettings(**wrong)
        assert str(refusal.value) == message


def test_every_setting_is_in_one_group_and_a_group_refuses_alone():
    groups = (PictureSettings, MotionSettings, InterpolationSettings, OutputSettings)
    names = [each.name for group in groups for each in fields(group)]
    assert sorted(names) == sorted(each.name for each in fields(AnimationSettings))
    assert len(names) == len(set(names)) == 26
    with pytest.raises(InputError, match="strength"):
        MotionSettings(strength=np.float32(-1))
