"""The stage that learns motion alone, from points known to correspond."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from test_motion_step import configuration, features, moving_networks, pairs

from train.data import PairDataset
from train.motion_step import MotionStep
from train.phase import phase_at
from train.preparation import build_step, needed_features, pair_options
from train.track_step import TRAINED, TrackStep


def known(config):
    """Points and keypoints for `pairs()`, some of each not known."""
    splines = (config.model.num_splines, config.model.points_per_spline)
    found = torch.rand(4, 2, *splines) < 0.9
    return {
        "points": torch.rand(4, 2, 6, 2) - 0.5,
        "visible": torch.arange(6).expand(4, 2, 6) < 5,
        "groups": torch.arange(6).expand(4, 6) % 5,
        "keypoints": torch.rand(4, 2, *splines, 2) - 0.5,
        "known": found,
        "silhouette": (torch.rand(4, 2, 1, *config.data.image_size) < 0.02).float(),
    }


def trained(step, phase, batch, steps=30):
    """The losses of each of a few steps."""
    optimizer, seen = torch.optim.Adam(step.parameters(), 1e-3), []
    for _ in range(steps):
        output = step(batch, phase)
        seen.append({name: loss.item() for name, loss in output.losses.items()})
        optimizer.zero_grad()
        output.total.backward()
        optimizer.step()
    return seen


def test_only_the_networks_that_motion_is_made_of_learn():
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1})
    networks = moving_networks(config)
    assert needed_features(config) == {}
    step = build_step(networks, config)
    assert isinstance(step, TrackStep)
    output = step(pairs() | known(config), phase_at(config, 0))
    assert set(output.losses) == {"tracks", "equivariance"}
    output.total.backward()
    learned = {name.split(".")[0] for name, value in networks.named_parameters() if value.grad is not None}
    assert learned == set(TRAINED)
    trained = {id(parameter) for parameter in step.parameters()}
    assert not any(id(parameter) in trained for parameter in networks["image_generator"].parameters())


@pytest.mark.parametrize("fine", [True, False])
def test_fine_occlusion_masks_learn_where_they_are_wanted(fine):
    """The coarse ones alone are a part of the work; their loss is then the mean over fewer."""
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1, "occlusion": 1, "fine_occlusion": fine})
    networks = moving_networks(config)
    TrackStep(networks, config)(pairs() | known(config), phase_at(config, 0)).total.backward()
    heads = [head.weight.grad is not None for head in networks["dense_motion_network"].occlusion]
    assert heads == [True, True, fine, fine]  # from the coarsest
    refined = networks["dense_motion_network"].refine.parameters()
    assert {parameter.grad is not None for parameter in refined} == {fine}


def test_both_directions_count_alike():
    """Source and driving image exchanged: the same motion to be learned."""
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1, "equivariance": 0, "background": 0})
    networks = moving_networks(config).eval()
    step, phase, batch = TrackStep(networks, config), phase_at(config, 0), pairs()
    batch |= known(config) | {"visible": torch.ones(4, 2, 6, dtype=torch.bool)}
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
    """Contribution maps come in with their weight, and a few steps bring their loss down."""
    weights = {"tracks": 1, "equivariance": 0, "background": 0, "contributions": 1}
    config = configuration("tpsmm", stage="tracks", losses=weights)
    batch = pairs() | known(config)
    seen = trained(TrackStep(moving_networks(config), config), phase_at(config, 0), batch)
    assert set(seen[0]) == {"tracks", "contributions"}
    assert seen[-1]["contributions"] < 0.8 * seen[0]["contributions"]

    batch["visible"][:] = False  # the background is a group like the others
    seen = trained(TrackStep(moving_networks(config), config), phase_at(config, 0), batch)
    assert seen[-1]["contributions"] < 0.8 * seen[0]["contributions"]


def test_contributions_are_those_where_things_are_in_the_image_that_is_made():
    """In the driving image of a way there, and in the source image of a way back."""
    config = configuration(
        "tpsmm", stage="tracks", losses={"contributions": 1, "tracks": 1}, model={"background": False}
    )
    step, batch = TrackStep(moving_networks(config), config).eval(), pairs() | known(config)
    exchanged = {name: batch[name].flip(1) for name in ("points", "visible", "silhouette")}
    exchanged = batch | exchanged | {"source": batch["driving"], "driving": batch["source"]}

    def contributions(batch, end):
        """With nothing known of the image at the other end."""
        kept = torch.arange(2) == end
        silhouette = torch.where(kept[:, None, None, None], batch["silhouette"], 1.0)
        changed = {"visible": batch["visible"] & kept[:, None], "silhouette": silhouette}
        return step(batch | changed, phase_at(config, 0)).losses["contributions"].item()

    assert contributions(batch, 1) == pytest.approx(
        contributions(exchanged, 0), rel=0.01
    )  # one has an inverse background
    assert contributions(batch, 1) != pytest.approx(contributions(batch, 0), rel=1e-3)


def test_what_the_figure_uncovers_is_occluded():
    """A figure that was everywhere in the source and is gone: a few steps teach the masks that nothing is visible."""
    config = configuration("tpsmm", stage="tracks", losses={"tracks": 1, "occlusion": 1, "equivariance": 0})
    networks = moving_networks(config)
    step, batch = TrackStep(networks, config), pairs() | known(config)
    batch["silhouette"] = torch.tensor([1.0, 0.0])[None, :, None, None, None].expand_as(batch["silhouette"])
    seen = trained(step, phase_at(config, 0), batch, 10)
    assert seen[-1]["occlusion"] < 0.8 * seen[0]["occlusion"]
    batch["silhouette"] = torch.ones_like(batch["silhouette"])  # not known
    assert step(batch, phase_at(config, 0)).losses["occlusion"] == 0


def test_keypoints_learn_alone_where_only_they_are_known():
    """No dense motion is made, and what is not known of the keypoints does not count."""
    weights = {"equivariance": 0, "background": 0, "keypoints": 1}
    config = configuration("tpsmm", stage="tracks", losses=weights)
    step, phase, batch = TrackStep(moving_networks(config), config), phase_at(config, 0), pairs() | known(config)
    assert set(step.networks) == {"keypoint_detector"}
    seen = trained(step, phase, batch, 10)
    assert seen[-1]["keypoints"] < 0.8 * seen[0]["keypoints"]
    step.eval()
    before = step(batch, phase).total
    batch["keypoints"][~batch["known"]] = 7
    assert step(batch, phase).total == before


def test_known_motion_shapes_the_motion_stage_too():
    """All variants: the losses of what is known beside those of images, in both directions where both are trained."""
    weights = {"tracks": 1, "keypoints": 1, "contributions": 1}
    for variant in ("tpsmm", "v2"):
        config = configuration(variant, losses=weights)
        step, batch = MotionStep(moving_networks(config), config, features()), pairs() | known(config)
        output = step(batch, phase_at(config, 0))
        assert {*weights, "reconstruction"} <= set(output.losses)
        exchanged = batch | {"source": batch["driving"], "driving": batch["source"]}
        exchanged |= {name: batch[name].flip(1) for name in ("points", "visible", "keypoints", "known", "silhouette")}
        other = step.eval()(exchanged, phase_at(config, 0))
        here = step(batch, phase_at(config, 0))
        for name in ("keypoints", "tracks") if variant == "v2" else ("keypoints",):
            assert other.losses[name].item() == pytest.approx(here.losses[name].item(), rel=1e-3), (variant, name)


@pytest.mark.parametrize("stage", ["tracks", "motion"])
def test_where_keypoints_are_known_motion_takes_them_as_they_are(stage):
    """A motion that is young must not lead them astray: without keypoints that are known, nothing reaches the detector."""
    weights = {"tracks": 1, "keypoints": 1, "equivariance": 0}
    config = configuration("tpsmm", stage=stage, losses=weights)
    networks = moving_networks(config)
    step = TrackStep(networks, config) if stage == "tracks" else MotionStep(networks, config, features())
    batch = pairs() | known(config)
    batch["known"][:] = False
    step(batch, phase_at(config, 0)).total.backward()
    gradients = {name: parameter.grad for name, parameter in networks.named_parameters() if parameter.grad is not None}
    assert not any(gradients[name].any() for name in gradients if name.startswith("keypoint_detector"))
    assert any(gradients[name].any() for name in gradients if name.startswith("dense_motion_network"))


def test_the_stage_needs_a_loss():
    with pytest.raises(ValidationError, match=r"losses\.tracks or losses\.keypoints must be above 0 for stage tracks"):
        configuration("tpsmm", stage="tracks")
