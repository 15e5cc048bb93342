"""The stage that learns motion alone, from points known to correspond."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from test_motion_step import configuration, moving_networks, pairs

from train.data import PairDataset
from train.phase import phase_at
from train.preparation import build_step, needed_features, pair_options
from train.track_step import TRAINED, TrackStep


def test_only_the_networks_that_motion_is_made_of_learn():
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1})
    networks = moving_networks(config)
    assert needed_features(config) == {}
    step = build_step(networks, config)
    assert isinstance(step, TrackStep)
    batch = pairs() | {
        "points": torch.rand(4, 2, 6, 2) - 0.5,
        "visible": torch.arange(6).expand(4, 2, 6) < 4,
        "groups": torch.arange(6).expand(4, 6) % 5,
    }
    output = step(batch, phase_at(config, 0))
    assert set(output.losses) == {"tracks", "equivariance", "background"}
    output.total.backward()
    learned = {name.split(".")[0] for name, value in networks.named_parameters() if value.grad is not None}
    assert learned == set(TRAINED)
    trained = {id(parameter) for parameter in step.parameters()}
    assert not any(id(parameter) in trained for parameter in networks["image_generator"].parameters())


def test_both_directions_count_alike():
    """Source and driving image exchanged: the same motion to be learned."""
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1, "equivariance": 0, "background": 0})
    networks = moving_networks(config).eval()
    step, phase, batch = TrackStep(networks, config), phase_at(config, 0), pairs()
    batch |= {
        "points": torch.rand(4, 2, 6, 2) - 0.5,
        "visible": torch.ones(4, 2, 6, dtype=torch.bool),
        "groups": torch.zeros(4, 6, dtype=torch.int64),
    }
    forth = step(batch, phase)
    back = step(
        batch | {"source": batch["driving"], "driving": batch["source"], "points": batch["points"].flip(1)}, phase
    )
    # the background's way back is the inverse in one and a prediction in the other
    assert back.total.item() == pytest.approx(forth.total.item(), rel=0.02)
    apart = (batch["points"][:, 0] - batch["points"][:, 1]).norm(dim=-1).mean(dim=1)
    assert torch.allclose(forth.figures["still"], apart)


def test_videos_without_tracks_are_left_out(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (64, 64)).save(tmp_path / "train" / name / f"{k}.png")
    (tmp_path / "tracks" / "train").mkdir(parents=True)
    np.savez(tmp_path / "tracks" / "train" / "b.npz", places=np.full((2, 3, 2), 50, np.uint8))
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1}, data={"root": str(tmp_path)})
    assert [file.name for file in PairDataset(tmp_path, pair_options(config)).files] == ["b"]


def test_splines_learn_the_groups_that_are_theirs():
    """Centres and contribution maps come in with their weights, and a few steps bring both down."""
    weights = {"tracks": 1, "equivariance": 0, "background": 0, "centres": 1, "contributions": 1}
    config = configuration("tpsmm", stage="tracks", losses=weights, data={"flip": False})
    networks = moving_networks(config)
    step, phase = TrackStep(networks, config), phase_at(config, 0)
    visible = torch.arange(6).expand(4, 2, 6) < 5
    batch = pairs() | {
        "points": torch.rand(4, 2, 6, 2) - 0.5,
        "visible": visible,
        "groups": torch.arange(6).expand(4, 6) % 5,
    }
    optimizer = torch.optim.Adam(step.parameters(), 1e-3)
    seen = []
    for _ in range(30):
        output = step(batch, phase)
        seen.append({name: loss.item() for name, loss in output.losses.items()})
        optimizer.zero_grad()
        output.total.backward()
        optimizer.step()
    assert set(seen[0]) == {"tracks", "centres", "contributions"}
    assert seen[-1]["centres"] < 0.8 * seen[0]["centres"]
    assert seen[-1]["contributions"] < 0.8 * seen[0]["contributions"]


def test_groups_and_mirrored_pairs_exclude_each_other():
    with pytest.raises(ValidationError, match="left would become right"):
        configuration("tpsmm", stage="tracks", losses={"tracks": 1, "centres": 1})


def test_the_stage_needs_the_loss():
    with pytest.raises(ValidationError, match=r"losses\.tracks must be above 0 for stage tracks"):
        configuration("tpsmm", stage="tracks")
