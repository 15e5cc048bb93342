"""The recipe of the layered model for people, at toy size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from motion_core import InputError, LayerPainter, LayoutNetwork, MotionInterpPipeline
from motion_core.networks.layered.capsules import capsules
from motion_core.networks.layered.limb_motion import LimbMotion
from motion_core.networks.layered.limbs import LIMBS, strips
from motion_core.networks.layered.strip_correction import StripCorrection
from train.features import load_vgg
from train.recipes.people import __main__ as recipe
from train.recipes.people import loop
from train.recipes.people.__main__ import pairs_of, trained, unpack
from train.recipes.people.batches import draw_batch
from train.recipes.people.correction import corrected, detector_error, learn_correction, with_correction
from train.recipes.people.layout_stage import layout_losses
from train.recipes.people.limb_training import learn_limb_motion, limb_error
from train.recipes.people.loop import Stage, load_weights, run, save_weights
from train.recipes.people.pack import FLOW_SIDE, SIDE, UNKNOWN, Pack, joined
from train.recipes.people.painter_stage import background_losses, deep_loss, painter_losses
from train.recipes.people.ship import people_pipeline, ship


def person(shift: float) -> torch.Tensor:
    """Strips ``(1, 10, 5, 2)``."""
    sides = {
        f"{side}_{name}": (sign * x, y)
        for side, sign in (("right", -1), ("left", 1))
        for name, (x, y) in {
            "shoulder": (0.16, -0.5),
            "elbow": (0.32, -0.15),
            "wrist": (0.4, 0.1),
            "hand": (0.42, 0.14),
            "hip": (0.1, 0.05),
            "knee": (0.1, 0.4),
            "ankle": (0.1, 0.75),
            "foot": (0.12, 0.8),
        }.items()
    }
    places = sides | {"neck": (0, -0.6), "head": (0, -0.75), "nose": (0, -0.7), "hips": (0, 0.05), "torso": (0, -0.4)}
    return strips({name: torch.tensor([[x + shift, y]]) for name, (x, y) in places.items()}, torch.tensor([[1.0]]))


@pytest.fixture(scope="module")
def pack() -> Pack:
    """A person of capsules at two places before a grey wall; every pixel moves by as much."""
    shifts = (-0.1, 0.1)
    points = torch.cat([person(shift) for shift in shifts])
    drawn = capsules(points, SIDE)  # (2, K, SIDE, SIDE)
    labels = torch.where(drawn.amax(dim=1) > 0.5, 1 + drawn.argmax(dim=1), 0).numpy().astype(np.uint8)
    palette = np.random.default_rng(0).integers(0, 255, (len(LIMBS) + 1, 3)).astype(np.uint8)
    palette[0] = 120
    frames = palette[labels]
    line = 2 * (np.arange(FLOW_SIDE) * 4 + 2) / (SIDE - 1) - 1
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    flows = np.stack([grid + (shifts[source] - shifts[1 - source], 0) for source in (0, 1)]).astype(np.float16)
    scenes = np.full((2, SIDE // 2, SIDE // 2, 4), 120, np.uint8)
    scenes[..., 3] = 255
    return Pack(
        frames,
        labels,
        scenes,
        points.numpy(),
        points.numpy(),
        (255 * (labels[:, ::2, ::2] > 0)).astype(np.uint8),
        np.zeros(2, np.int32),
        np.array([[0, 1], [1, 0]], np.int32),
        flows,
        np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)),
    )


@pytest.fixture(scope="module")
def networks() -> tuple[LayoutNetwork, LayerPainter]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layout = LayoutNetwork(widths=(8, 8), part_widths=(8, 8), motion_features=8)
        return layout, LayerPainter(widths=(8, 8), background_widths=(8, 8))


def test_a_mirrored_pair_has_its_limbs_where_its_keypoints_are(pack):
    seen, one_way = set(), replace(pack, pairs=pack.pairs[:1])
    for step in range(8):
        side = draw_batch([(one_way, 1)], 0, step).driving
        for limb in (LIMBS.index("right_thigh"), LIMBS.index("left_forearm"), LIMBS.index("head")):
            middle = side.keypoints.points[0, limb, :4].mean(dim=0)
            column, row = ((middle + 1) / 2 * (SIDE - 1)).round().long().tolist()
            assert side.labels[0, row, column] == 1 + limb
        seen.add(bool(side.keypoints.points[0, LIMBS.index("head"), :4, 0].mean() > 0))
    assert seen == {True, False}  # the driving person stands on one side, or mirrored on the other


def test_some_pictures_are_their_own_driving_pictures_in_the_very_same_pose(pack):
    batches = [draw_batch([(pack, 1)], 0, step) for step in range(40)]
    same = [batch for batch in batches if batch.source.image.equal(batch.driving.image)]
    assert 0 < len(same) < 20
    for batch in same:
        torch.testing.assert_close(batch.source.keypoints.points, batch.driving.keypoints.points, atol=0, rtol=0)
        torch.testing.assert_close(batch.camera, torch.eye(3)[None], atol=1e-5, rtol=0)


def test_what_the_detector_always_gets_wrong_is_corrected(pack):
    """A detector that sees arms and legs too high, of people anywhere and of any size."""
    random = torch.Generator().manual_seed(0)
    true = torch.cat([person(0.0)] * 64)
    true = true * (0.5 + 0.5 * torch.rand(64, 1, 1, 1, generator=random)) + 0.2 * torch.randn(
        64, 1, 1, 2, generator=random
    )
    found = true.clone()
    found[:, 2:, :, 1] -= 0.12 * (true[:, 1, 0] - true[:, 1, 1]).norm(dim=-1)[:, None, None]  # of the trunk's width
    people = replace(pack, keypoints=true.numpy(), detected=found.numpy())

    network = learn_correction(people, steps=150)

    before, after = (
        detector_error(each, people.keypoints)[0] for each in (people.detected, corrected(network, people.detected))
    )
    assert after < 0.5 * before
    (made,) = with_correction(network, [people])
    np.testing.assert_array_equal(made.keypoints, people.keypoints)
    torch.testing.assert_close(torch.from_numpy(made.detected), network(found).detach())


def test_limbs_learn_how_surfaces_move_about_bones(pack):
    """Forearms that turn: their surface goes with the hand, which is beside the strip's axis."""
    turns = 0.1 * torch.randn(40, generator=torch.Generator().manual_seed(0))
    points = torch.cat([person(0.0)] * 40)
    limb = LIMBS.index("right_forearm")
    drawn = capsules(points[:1], SIDE)[0, limb]
    points[:, limb, 4, 0] += turns
    forearm = torch.where(drawn > 0.5, 1 + limb, 0).numpy().astype(np.uint8)
    pairs = np.stack([np.arange(0, 40, 2), np.arange(1, 40, 2)], axis=1).astype(np.int32)
    line = 2 * (np.arange(FLOW_SIDE) * 4 + 2) / (SIDE - 1) - 1
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    flows = np.stack([grid + (float(turns[source] - turns[driving]), 0) for source, driving in pairs])
    turning = replace(
        pack,
        keypoints=points.numpy(),
        detected=points.numpy(),
        labels=np.tile(forearm, (40, 1, 1)),
        pairs=pairs,
        flows=flows.astype(np.float16),
    )

    strips_alone = limb_error(LimbMotion(len(LIMBS), 5), turning, turning.keypoints)
    learned = limb_error(learn_limb_motion(turning, steps=300, features=64), turning, turning.keypoints)

    assert strips_alone > 5
    assert learned < 0.5 * strips_alone


def test_batches_are_the_same_for_the_same_seed_and_step(pack):
    first, again, other = (draw_batch([(pack, 2)], 3, step) for step in (5, 5, 6))
    assert first.source.image.equal(again.source.image)
    assert first.source.keypoints.points.equal(again.source.keypoints.points)
    assert not first.source.image.equal(other.source.image)


def test_packs_side_by_side_keep_their_pairs(pack):
    both = joined([pack, pack])
    assert both.pairs.tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    assert both.clips.tolist() == [0, 0, 1, 1]
    assert both.frames.dtype == np.uint8


def test_packs_are_read_as_they_were_written(pack, tmp_path):
    pack.write(tmp_path / "p")
    np.testing.assert_array_equal(Pack.open(tmp_path / "p").flows, pack.flows)
    with pytest.raises(InputError, match="must be a pack"):
        Pack.open(tmp_path)


def test_the_layout_learns_parts_layers_and_visibility(pack, networks):
    layout = LayoutNetwork(widths=(8, 8), part_widths=(8, 8), motion_features=8)
    layout.load_state_dict(networks[0].state_dict())
    optimizer = torch.optim.Adam(layout.parameters(), 1e-2)
    totals = []
    for step in range(10):
        losses, _, _ = layout_losses(layout, draw_batch([(pack, 2)], 0, step % 2))
        assert losses["silhouette"] == 0  # all limbs are known
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.8 * totals[0]
    learned = (layout.part_net, layout.layout_net)
    assert all(parameter.grad is not None for network in learned for parameter in network.parameters())


def test_real_people_teach_their_silhouette_and_no_limbs(pack, networks):
    real = replace(pack, labels=np.full_like(pack.labels, UNKNOWN), flows=np.full_like(pack.flows, np.nan))
    losses, _, _ = layout_losses(networks[0], draw_batch([(real, 2)], 0, 0))
    assert losses["silhouette"] > 0
    assert losses["parts"] == losses["layers"] == losses["visible"] == 0


def test_the_painter_learns_alone_and_with_everything(pack, networks):
    layout, painter = networks
    features = load_vgg("random:8", scales=(1,))
    batch = draw_batch([(pack, 2)], 0, 0)
    losses = background_losses(painter, features, batch)
    torch.stack(list(losses.values())).sum().backward()
    assert painter.background_head.weight.grad.abs().sum() > 0
    assert painter.figure_head.weight.grad is None

    layout.zero_grad()
    losses = painter_losses(layout, painter, features, batch, joint=False)
    torch.stack(list(losses.values())).sum().backward()
    assert painter.figure_head.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in layout.parameters())

    losses = painter_losses(layout, painter, features, batch, joint=True)
    torch.stack(list(losses.values())).sum().backward()
    assert layout.layout_net.head.weight.grad.abs().sum() > 0


class KilledError(Exception):
    pass


def line(steps: int, kill_at: int | None = None, rate: float = 0.1) -> Stage:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    def losses(step: int) -> dict[str, torch.Tensor]:
        if step == kill_at:
            raise KilledError
        x = torch.randn(4, 2, generator=torch.Generator().manual_seed(step))
        return {"square": network(x).sub(x).square().mean()}

    return Stage("line", {"net": network}, losses, steps, rate, 0)


def test_what_is_sharp_and_a_little_aside_costs_less_than_blur():
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)

    def loss(made):
        return deep_loss(lambda image: [image - 0.5], made, picture).item()  # type: ignore[arg-type]

    assert loss(picture) < loss(picture.roll(1, 3)) < 0.5 * loss(blurred)
    assert loss(picture.roll(4, 3)) > loss(blurred)


def test_a_stage_that_was_killed_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVED_EVERY", 2)
    run(line(6), tmp_path / "whole")
    with pytest.raises(KilledError):
        run(line(6, kill_at=5), tmp_path / "killed")
    run(line(6), tmp_path / "killed")

    whole, resumed = (load_file(tmp_path / name / "line.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == resumed.keys()
    assert all(whole[name].equal(resumed[name]) for name in whole)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["line.safetensors"]


def test_a_stage_of_other_settings_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVED_EVERY", 2)
    with pytest.raises(KilledError):
        run(line(6, kill_at=3), tmp_path)
    with pytest.raises(InputError, match="delete it to begin anew"):
        run(line(6, rate=0.2), tmp_path)


def test_weights_of_a_stage_that_was_not_run_are_asked_for(tmp_path):
    with pytest.raises(InputError, match="the stage before writes it"):
        load_weights({"net": nn.Linear(2, 2)}, tmp_path / "layout.safetensors")


def test_limbs_are_those_of_stage_data_whatever_a_stage_begins_from(pack, tmp_path, monkeypatch):
    for name in recipe.PAIRS["layout"]:
        pack.write(tmp_path / "packs" / name)
    limbs, begin = tmp_path / "weights" / "limbs.safetensors", tmp_path / "begin.safetensors"
    save_weights(nn.ModuleDict({"limb_motion": LimbMotion(len(LIMBS), 5)}), limbs)
    save_weights(nn.ModuleDict({"layout": LayoutNetwork()}), begin)
    stages = []
    monkeypatch.setattr(recipe, "run", lambda stage, folder: stages.append(stage))

    recipe.train("layout", tmp_path, None, begin=begin)

    wanted, own = load_file(limbs), load_file(begin)
    made = stages[0].networks["layout"].state_dict()
    key = "limb_motion.net.0.weight"
    assert made[key].equal(wanted[key].float())
    assert not made[key].equal(own[f"layout.{key}"].float())
    assert made["layout_net.coarse.first.0.weight"].equal(own["layout.layout_net.coarse.first.0.weight"].float())


def test_what_ships_is_a_whole_pipeline_in_half_precision_with_its_card(networks, tmp_path):
    contents = tmp_path / "contents.csv"
    contents.write_text("origin,licence,pictures\nrendered by this project,-,24\n")
    pipeline = people_pipeline(*networks, StripCorrection())

    told = ship(pipeline, contents, tmp_path / "people")

    assert "MB in half precision" in told
    card = (tmp_path / "people" / "README.md").read_text()
    assert "| rendered by this project | - | 24 |" in card
    assert told in card
    files = list((tmp_path / "people").rglob("*.safetensors"))
    assert {value.dtype for path in files for value in load_file(path).values()} <= {torch.float16, torch.int64}
    loaded = MotionInterpPipeline.from_pretrained(tmp_path / "people")
    assert loaded.keypoint_detector.correction is not None
    wanted = networks[0].layout_net.coarse.first[0].weight.detach().half().float()
    torch.testing.assert_close(loaded.dense_motion_network.layout_net.coarse.first[0].weight.detach().float(), wanted)
    with pytest.raises(InputError, match="stage 'data' writes"):
        ship(pipeline, tmp_path / "missing.csv", tmp_path / "people")


def test_a_model_of_rendered_people_alone_is_trained_on_as_many_pairs():
    assert pairs_of("layout", ["rendered"]) == {"rendered": sum(pairs_of("layout", None).values())}
    with pytest.raises(InputError, match="must have 'rendered'"):
        pairs_of("layout", ["real"])


def test_what_ships_is_unpacked_as_the_stages_would_have_made_it(tmp_path):
    unpack(tmp_path)
    shipped = MotionInterpPipeline.from_pretrained()
    networks = (shipped.dense_motion_network, shipped.image_generator, shipped.keypoint_detector.correction)
    for made, own in zip(trained(tmp_path), networks, strict=True):
        for name, value in own.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(made.state_dict()[name], value.float(), atol=0, rtol=0)
