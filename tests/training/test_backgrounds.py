"""Figures before other backgrounds."""

from __future__ import annotations

import torch
from test_motion_step import configuration, moving_networks, pairs
from test_track_step import known

from train.backgrounds import exchange_backgrounds
from train.phase import phase_at
from train.preparation import pair_options
from train.track_step import TrackStep

# Three samples of 4 x 8 pixels, each of one colour, with a figure in the two columns at the left; the last is not known.
FIGURE = torch.zeros(3, 2, 1, 4, 8)
FIGURE[:2, ..., :2] = 1
FIGURE[2] = 1


def batch():
    colours = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1).expand(3, 3, 4, 8)
    source = torch.where(FIGURE[:, 0] > 0, 0.9, colours)
    return {
        "source": source,
        "driving": source / 2,
        "silhouette": FIGURE,
        "number": torch.arange(3),
        "points": torch.ones(1),
    }


def test_the_figure_stays_and_the_background_is_the_next_sample_s_without_its_figure():
    before, after = batch(), exchange_backgrounds(batch(), 1.0)
    for end, factor in (("source", 1.0), ("driving", 0.5)):
        assert torch.equal(after[end][:2, ..., :2], before[end][:2, ..., :2]), "the figures"
        torch.testing.assert_close(after[end][1, :, :, 2:], torch.full((3, 4, 6), 0.1 * factor))
        assert torch.equal(after[end][2], before[end][2]), "a figure that is not known takes its background along"
    assert torch.equal(after["points"], before["points"])
    assert not (after["source"][1, ..., 2:] == 0.9).any(), "the other's figure is covered"


def test_so_many_samples_are_changed_and_always_the_same_ones():
    figure = torch.zeros(64, 2, 1, 2, 4)
    figure[..., 0] = 1
    source = torch.rand(64, 3, 2, 4)
    many = {"source": source, "driving": source, "silhouette": figure, "number": torch.arange(64)}
    changed = (exchange_backgrounds(many, 0.25)["source"] != source).flatten(1).any(dim=1)
    assert 14 <= changed.sum() <= 18
    half = {name: value[32:] for name, value in many.items()}
    assert torch.equal((exchange_backgrounds(half, 0.25)["source"] != source[32:]).flatten(1).any(dim=1), changed[32:])
    assert torch.equal(exchange_backgrounds(many, 0.0)["source"], source)


def test_the_stage_sees_other_backgrounds_and_asks_for_silhouettes():
    settings = {"stage": "tracks", "losses": {"tracks": 0, "keypoints": 1, "equivariance": 0, "background": 0}}
    plain, other = (configuration("tpsmm", **settings, data={"backgrounds": share}) for share in (0, 1))
    assert [pair_options(config).silhouettes for config in (plain, other)] == [False, True]
    networks = moving_networks(plain).eval()
    sample = pairs() | known(plain)
    losses = [TrackStep(networks, config)(sample, phase_at(config, 0)).total.item() for config in (plain, other)]
    assert losses[0] != losses[1]
