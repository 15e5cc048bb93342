"""BlazePose against the runtime that it is published for, whose outputs tests/golden/make_blazepose.py wrote down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from motion_core import InputError
from motion_core.networks.layered.blaze_pose import BlazePose
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR, PersonDetector
from motion_core.networks.layered.person_finder import GUESSES, SIDE, PersonFinder, shipped_finder
from train.convert_blazepose import convert, file_order

GOLDEN = Path(__file__).parent / "golden" / "blazepose.npz"


@pytest.fixture(scope="module")
def detector():
    return PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval()


def test_poses_are_those_of_the_published_runtime(detector):
    golden = np.load(GOLDEN)
    crops = torch.from_numpy(golden["pictures"]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        pose, mask = detector.network(crops)
    wanted = {name: torch.from_numpy(golden[name]) for name in ("landmarks", "metres", "mask", "score")}
    assert (pose.landmarks - wanted["landmarks"][..., :2]).abs().max() < 2e-3  # pixels
    assert (pose.visibility - wanted["landmarks"][..., 3].sigmoid()).abs().max() < 1e-3
    assert (pose.metres - wanted["metres"]).abs().max() < 1e-3
    assert (pose.score - wanted["score"]).abs().max() < 1e-3
    assert (mask[:, 0, ::4, ::4] - wanted["mask"]).abs().max() < 1e-3 * wanted["mask"].abs().max()


def test_guesses_are_those_of_the_published_runtime():
    golden = np.load(GOLDEN)
    crop = torch.from_numpy(golden["pictures"][:1, :SIDE, :SIDE]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        found = shipped_finder(crop.device)(crop)
    first, wanted = 0, []  # (N, 5) each: the score and two places; the file has the guesses of a cell one after another
    for count, guesses in zip((28, 14, 7), GUESSES, strict=True):
        some = slice(first, first := first + count * count * guesses)
        places = torch.from_numpy(golden["found_places"][some]).view(count, count, guesses, 4)
        middles = (torch.arange(count) + 0.5) * (SIDE / count)
        about = torch.stack(torch.broadcast_tensors(middles[None, :], middles[:, None]), dim=-1).repeat(1, 1, 2)
        score = torch.from_numpy(golden["found_logits"][some]).sigmoid().view(count, count, guesses, 1)
        wanted.append(torch.cat((score, places + about[:, :, None]), dim=-1).permute(2, 0, 1, 3).flatten(0, 2))
    difference = torch.cat((found.score[..., None], found.middle, found.reach), dim=-1)[0] - torch.cat(wanted)
    assert found.score.max() > 0.9
    assert difference[:, 0].abs().max() < 1e-4
    assert difference[:, 1:].abs().max() < 1e-2  # pixels


@pytest.mark.parametrize("kind", [BlazePose, PersonFinder])
def test_every_convolution_has_its_place_in_the_file(kind):
    network = kind()
    ordered = list(map(id, file_order(network)))
    assert len(ordered) == len(set(ordered))
    assert set(ordered) == {id(module) for module in network.modules() if isinstance(module, nn.Conv2d)}


def test_a_file_that_is_no_tflite_file_is_refused(tmp_path):
    pytest.importorskip("tflite", reason="tflite is not installed: pip install tflite")
    file = tmp_path / "pose.tflite"
    file.write_bytes(b"not a model of any kind")
    with pytest.raises(InputError, match="cannot be read as a TFLite file"):
        convert(BlazePose(), file)
