"""Whole training runs at toy size: exact resume, two processes, what is not finite, full disks, and what a run leaves."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor, nn
from training_processes import Training

from motion_core import MotionInterpPipeline, media
from train import checkpoints, preparation
from train.checkpoints import TrainingError, newest_checkpoint
from train.config import ScheduleConfig, TrainingConfig
from train.config_file import parse_config
from train.data import ValidationPairs
from train.networks import build_networks, pipeline_of
from train.train import main, train
from train.update import learning_rate_at

ROOT = Path(__file__).parents[2]
SIDE, FRAMES = 32, 6


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Folders of frames: a square that moves over a background of its own."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 3), ("test", 2)):
        for index in range(count):
            generator = np.random.default_rng([index, len(split)])
            still = generator.integers(0, 120, (SIDE, SIDE, 3), dtype=np.uint8)
            colour = generator.integers(150, 255, 3, dtype=np.uint8)
            (root / split / f"v{index}").mkdir(parents=True)
            for frame in range(FRAMES):
                picture = still.copy()
                picture[8 + 2 * index :][:10, 2 + 4 * frame :][:, :8] = colour
                media.save_image(root / split / f"v{index}" / f"{frame:03}.png", picture)
    return root


@pytest.fixture(autouse=True)
def _alone():
    """accelerate keeps its state for the process; each run of these tests begins without one."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def settings(videos, tmp_path) -> Callable[..., TrainingConfig]:
    """Makes a toy configuration; ``settings("schedule.steps", 3)`` sets a key, and the folder is ``run`` unless set."""

    def make(**changes) -> TrainingConfig:
        values = {
            "variant": "tpsmm",
            "data": {"root": str(videos), "image_size": SIDE, "workers": 0},
            "model": {
                "num_splines": 2,
                "points_per_spline": 3,
                "background": False,
                "candidates": 3,
                "motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 3, "shrink": 2},
                "generator": {"block_expansion": 4, "max_features": 8},
            },
            "losses": {"scales": [1, 2]},
            "features": {"vgg": "random", "vit": "random", "vit_size": 32},
            "schedule": {"steps": 2, "batch_size": 2},
            "output": {"folder": str(tmp_path / "run"), "images_every": 0, "validate_every": 0, "log_every": 1},
        }
        for path, value in changes.items():
            *parents, key = path.split("__")
            section = values
            for parent in parents:
                section = section.setdefault(parent, {})
            section[key] = value
        return parse_config(values)

    return make


def command(folder: Path, config: TrainingConfig, name: str = "config.yaml") -> list[str]:
    """Arguments of a run with this configuration."""
    (folder / name).write_text(config.as_yaml())
    return ["--config", str(folder / name)]


def tensors_of(folder: Path) -> dict[str, Tensor]:
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    return load_file(checkpoint / checkpoints.TENSORS)


def state_of(folder: Path) -> dict:
    return json.loads((newest_checkpoint(folder) / checkpoints.STATE).read_text())


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def gradients_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a run's first step: Adam's first moment after it is 1 - 0.5 times the gradient."""
    return {name: value / 0.5 for name, value in tensors.items() if name.endswith(".exp_avg")}


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Up to rounding, measured by the network's largest entry: biases in front of a norm have gradient 0 but for rounding."""
    gradients, references = gradients_of(found), gradients_of(expected)
    assert gradients.keys() == references.keys()
    assert len(references) > 50
    for name, reference in references.items():
        network = f".{name.split('.')[1]}."
        scale = max(value.abs().max().item() for other, value in references.items() if network in other)
        torch.testing.assert_close(gradients[name], reference, rtol=1e-2, atol=1e-3 * scale, msg=name)


# What a run leaves


@pytest.mark.parametrize("variant", ["tpsmm", "int", "int_bt", "full", "v2"])
def test_every_variant_trains_and_ends_with_a_pipeline_that_opens(settings, videos, variant):
    config = settings(variant=variant, ema=0.5, model__background=variant != "tpsmm", output__images_every=1)
    folder = train(config)
    pipeline = MotionInterpPipeline.from_pretrained(folder)
    assert (pipeline.config["variant"], tuple(pipeline.config["image_size"])) == (variant, (SIDE, SIDE))
    result = pipeline(videos / "test" / "v0" / "000.png", videos / "test" / "v1", mode="standard")
    assert result.frames.shape == (FRAMES, SIDE, SIDE, 3)

    averaged = {name: value for name, value in tensors_of(folder.parent).items() if name.startswith("ema.")}
    weight = pipeline.image_generator.final.weight
    assert torch.equal(weight, averaged["ema.image_generator.final.weight"])
    card = (folder / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert variant in head["tags"]
    assert parse_config(yaml.safe_load(card.split("```yaml")[1].split("```")[0])).variant == variant
    assert str(videos.parent) not in card
    for text in ("| Steps | 2 of 2 pairs, 0 skipped |", "| Samples | 4 |", "moving average, decay 0.5", "| Time |"):
        assert text in card


def test_the_avd_stage_trains_the_avd_network_alone(settings, tmp_path):
    first = train(settings(variant="int"))
    config = settings(
        variant="int",
        stage="avd",
        init_from=str(first),
        output__folder=str(tmp_path / "avd"),
        schedule__weight_decay=0.1,
    )
    before, after = (MotionInterpPipeline.from_pretrained(folder) for folder in (first, train(config)))
    assert before.avd_network is None
    assert after.avd_network is not None
    for name in ("keypoint_detector", "dense_motion_network", "image_generator", "selector"):
        assert_same(getattr(after, name).state_dict(), getattr(before, name).state_dict())


def test_a_view_more_may_be_fused_after_all(settings, tmp_path):
    """No weight depends on it."""
    plain = settings(variant="v2")
    pipeline_of(build_networks(plain), plain).save_pretrained(tmp_path / "plain")
    before = MotionInterpPipeline.from_pretrained(tmp_path / "plain").view_fusion
    config = settings(variant="v2", init_from=str(tmp_path / "plain"), model__composed_view=True)
    fusion = build_networks(config)["view_fusion"]
    assert fusion.composed_view
    assert_same(fusion.state_dict(), before.state_dict())


def test_what_a_run_tells(settings, tmp_path, capsys):
    config = settings(
        variant="int", schedule__steps=4, output__images_every=2, output__validate_every=2, output__log_every=2
    )
    train(config)
    folder = tmp_path / "run"
    metrics = lines(folder / "metrics.jsonl")
    assert [line["step"] for line in metrics] == [2, 4]
    assert [line["samples"] for line in metrics] == [4, 8]
    losses = ("reconstruction", "equivariance", "warp", "ranking")
    assert metrics[0]["loss"] == pytest.approx(sum(metrics[0][name] for name in losses), rel=1e-5)
    assert all(0 <= line["waiting_for_data"] <= 1 and line["samples_per_second"] > 0 for line in metrics)
    validation = lines(folder / "validation.jsonl")
    assert [(line["step"], line["pairs"]) for line in validation] == [(2, 8), (4, 8)]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"train/loss", "train/ranking", "validation/l1", "validation/copy_moved"} <= set(board.Tags()["scalars"])
    assert board.Tags()["histograms"] == ["train/chosen t"]
    picture = board.Images(board.Tags()["images"][0])[0]
    assert (picture.step, picture.height) == (2, 2 * SIDE)  # a row for each of the two samples
    assert picture.width >= 5 * SIDE

    printed = capsys.readouterr()
    for text in (
        "variant     int",
        "million",
        "vgg random",
        "batch       2 pairs",
        "writes to",
        "than copying the source",
    ):
        assert text in printed.out
    assert printed.out.splitlines()[-1] == f"pipeline    {folder / 'pipeline'}"
    assert "sample/s" in printed.err


def test_validation_measures_what_it_says(settings, tmp_path):
    """Against the frames that the saved pipeline makes, one pair at a time."""
    config = settings(variant="int", schedule__batch_size=3, output__validate_every=5)
    pipeline = MotionInterpPipeline.from_pretrained(train(config))
    [line] = lines(tmp_path / "run" / "validation.jsonl")  # at the end, though 5 does not divide it
    rows = []
    for pair in ValidationPairs(config.data.root, preparation.pair_options(config), config.seed):
        source, driving = pair["source"], pair["driving"]
        result = pipeline(source, torch.stack((driving, driving)), mode="standard")
        still = pipeline(source, torch.stack((driving, driving)), mode="standard", t=0.0)
        image, straight = (torch.from_numpy(made.frames[0] / 255).movedim(-1, 0) for made in (result, still))
        with torch.inference_mode():
            poses = pipeline.keypoint_detector(torch.stack((source, driving))).points
        rows.append(
            [
                (image - driving).abs().mean(),
                (straight - driving).abs().mean(),
                (source - driving).abs().mean(),
                (poses[0] - poses[1]).norm(dim=-1).mean(),
                result.selections[0].t,
            ]
        )
    l1, straight, copy, moved, t = np.array(rows, dtype=np.float64).T
    rounding = 1 / 255
    assert line["straight"] == pytest.approx(straight.mean(), abs=rounding)
    assert (line["t"], line["hopped"]) == (pytest.approx(t.mean()), (t > 0).mean())
    assert line["l1"] == pytest.approx(l1.mean(), abs=rounding)
    assert line["copy"] == pytest.approx(copy.mean(), rel=1e-4)
    order = np.argsort(moved)[(len(moved) - 1) // 2 :]
    assert line["l1_moved"] == pytest.approx(l1[order].mean(), abs=rounding)
    order = np.argsort(copy)[(len(copy) - 1) // 2 :]
    assert line["copy_changed"] == pytest.approx(copy[order].mean(), rel=1e-4)


# Resume


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": "v2", "ema": 0.9, "schedule__accumulation": 2, "precision": "bf16"},
        {"variant": "int_bt", "model__background": True, "schedule__background_from": 3, "data__workers": 1},
        pytest.param({"variant": "tpsmm"}, marks=pytest.mark.slow),
        pytest.param({"variant": "int"}, marks=pytest.mark.slow),
        pytest.param({"variant": "full"}, marks=pytest.mark.slow),
    ],
    ids=["v2", "int_bt", "tpsmm", "int", "full"],
)
def test_a_run_in_two_parts_ends_as_one_that_was_not_interrupted(settings, tmp_path, changes):
    """Over a milestone of every schedule, with BatchNorm's statistics, averaged weights and accumulated batches."""
    schedule = {"schedule__milestones": [3], "schedule__selector_warmup": 3, "losses__ramp_steps": 4}
    whole, parts = (str(tmp_path / name) for name in ("whole", "parts"))
    train(settings(**schedule, **changes, schedule__steps=4, output__folder=whole))
    train(settings(**schedule, **changes, schedule__steps=2, output__folder=parts))
    train(settings(**schedule, **changes, schedule__steps=4, output__folder=parts))
    assert_same(tensors_of(Path(parts)), tensors_of(Path(whole)))
    timed = ("samples_per_second", "waiting_for_data")
    told = [
        [{k: v for k, v in line.items() if k not in timed} for line in lines(Path(folder) / "metrics.jsonl")]
        for folder in (whole, parts)
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_that_goes_on_ends_with_the_same_weights(settings, tmp_path, processes):
    changes = {"schedule__steps": 6, "output__checkpoint_every": 2, "ema": 0.9, "variant": "int"}
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    Training(tmp_path, command(tmp_path, settings(**changes, output__folder=str(whole))), processes).succeed()

    arguments = command(tmp_path, settings(**changes, output__folder=str(killed)))
    training = Training(tmp_path, arguments, processes)
    training.wait_for(killed / "checkpoint-00000002")
    training.signal(signal.SIGKILL)
    assert set(training.wait()) == {-signal.SIGKILL}
    assert state_of(killed)["progress"]["step"] < 6

    again = Training(tmp_path, arguments, processes)
    again.succeed()
    assert "going on after" in again.log
    assert state_of(killed)["processes"] == processes
    assert_same(tensors_of(killed), tensors_of(whole))
    assert [line["step"] for line in lines(killed / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_sigterm_saves_and_ends_well(settings, tmp_path):
    config = settings(schedule__steps=100_000, data__workers=1)
    training = Training(tmp_path, command(tmp_path, config))
    training.wait_for(tmp_path / "run" / "metrics.jsonl")
    training.signal(signal.SIGTERM)
    assert training.wait() == [0]
    step = state_of(tmp_path / "run")["progress"]["step"]
    assert 1 <= step < 100_000
    assert f"stopped by SIGTERM after step {step}" in training.log
    assert not (tmp_path / "run" / "pipeline").exists()


def test_a_run_that_is_done_is_only_exported_again(settings, tmp_path):
    train(settings())
    before = tensors_of(tmp_path / "run")
    (tmp_path / "run" / "pipeline" / "model_index.json").unlink()
    MotionInterpPipeline.from_pretrained(train(settings()))
    assert_same(tensors_of(tmp_path / "run"), before)


# Two processes


def still_batchnorm(networks: nn.ModuleDict, config: TrainingConfig) -> nn.Module:
    """A step whose BatchNorm layers stay in evaluation mode: in training mode each process has statistics of its own."""
    for layer in networks.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train = lambda mode=True, layer=layer: layer
    return preparation.build_step(networks, config)


def with_still_batchnorm(arguments: list[str]) -> int:
    """A run in a process of its own."""
    from train import train as module

    module.train(module.load_config(arguments[1], arguments[2:]), build_step=still_batchnorm)
    return 0


def test_gradients_of_two_processes_are_those_of_one_with_the_joint_batch(settings, tmp_path):
    common = {
        "variant": "v2",
        "schedule__steps": 1,
        "schedule__clip": 1e9,
        "schedule__weight_decay": 0,
        "model__background": True,
        "output__validate_every": 1,
    }
    tensors, told = {}, {}
    for name, processes, batch, accumulation in (("joint", 1, 4, 1), ("two", 2, 2, 1), ("accumulated", 2, 1, 2)):
        folder = tmp_path / name
        config = settings(
            **common,
            schedule__batch_size=batch,
            schedule__accumulation=accumulation,
            output__folder=str(folder),
        )
        Training(tmp_path, command(tmp_path, config), processes, instead=with_still_batchnorm).succeed()
        assert state_of(folder)["processes"] == processes
        tensors[name] = tensors_of(folder)
        told[name] = lines(folder / "validation.jsonl")[-1]
        assert lines(folder / "metrics.jsonl")[-1]["l1"] == pytest.approx(
            lines(tmp_path / "joint" / "metrics.jsonl")[-1]["l1"], rel=1e-5
        )
    for name in ("two", "accumulated"):
        assert_same_gradients(tensors[name], tensors["joint"])
        assert told[name]["pairs"] == told["joint"]["pairs"] == 8
        assert told[name]["l1"] == pytest.approx(told["joint"]["l1"], rel=0.02)
        assert told[name]["copy"] == pytest.approx(told["joint"]["copy"], rel=1e-5)


@pytest.mark.slow
def test_accelerate_launch_starts_two_processes(settings, tmp_path):
    arguments = command(tmp_path, settings(schedule__steps=2))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "--main_process_port", "0", str(ROOT / "train" / "train.py"), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert state_of(tmp_path / "run")["processes"] == 2
    assert done.stdout.count("pipeline    ") == 1  # one process speaks


# What is not finite


class Poisoned(nn.Module):
    """A step some of whose losses are not finite; the forward pass has changed BatchNorm's statistics by then."""

    def __init__(self, step: nn.Module, numbers: set[int], value: float) -> None:
        super().__init__()
        self.step, self.numbers, self.value = step, numbers, value

    def forward(self, batch: dict[str, Tensor], phase: object) -> object:
        output = self.step(batch, phase)
        if self.numbers & set(batch["number"].tolist()):
            output.losses["warp"] = output.losses["warp"] * self.value
        return output


def poison(numbers: set[int], value: float = torch.nan) -> Callable[..., nn.Module]:
    return lambda networks, config: Poisoned(preparation.build_step(networks, config), numbers, value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_step_that_is_not_finite_is_skipped_and_counted(settings, tmp_path, capsys, value):
    config = settings(schedule__steps=2, ema=0.5)
    train(config, build_step=poison({2}, value))
    after = tensors_of(tmp_path / "run")
    assert state_of(tmp_path / "run")["progress"]["skipped"] == 1
    assert lines(tmp_path / "run" / "metrics.jsonl")[-1]["skipped"] == 1
    assert "step 2: warp not finite, the step is skipped" in capsys.readouterr().out
    train(settings(schedule__steps=1, ema=0.5, output__folder=str(tmp_path / "one")))
    assert_same(after, tensors_of(tmp_path / "one"))  # weights, BatchNorm's statistics, Adam, average


def test_a_gradient_that_is_not_finite_is_skipped_too(settings, tmp_path, capsys):
    def build(networks: nn.ModuleDict, config: TrainingConfig) -> nn.Module:
        networks["keypoint_detector"].backbone.get_classifier().bias.register_hook(lambda grad: grad * torch.nan)
        return preparation.build_step(networks, config)

    train(settings(schedule__steps=1), build_step=build)
    assert "step 1: gradient not finite" in capsys.readouterr().out
    assert all(bool(tensor.isfinite().all()) for tensor in tensors_of(tmp_path / "run").values())


def test_too_many_in_a_row_stop_the_run(settings, tmp_path):
    config = settings(schedule__steps=9, schedule__max_skipped=3, output__checkpoint_every=1)
    with pytest.raises(TrainingError, match="stopped at step 4: warp not finite 3 times in a row"):
        train(config, build_step=poison({2, 4, 6}))  # in steps 2, 3 and 4
    assert state_of(tmp_path / "run")["progress"]["skipped_in_row"] == 2  # the checkpoint of step 3


def poisoned_in_one_process(arguments: list[str]) -> int:
    """Sample 2 is the second process's part of the first step; 7 is its part of the second."""
    from train import train as module

    module.train(module.load_config(arguments[1]), build_step=poison({2, 7}))
    return 0


@pytest.mark.slow
def test_all_processes_skip_together(settings, tmp_path):
    config = settings(schedule__steps=3, schedule__accumulation=2, schedule__batch_size=1)
    Training(tmp_path, command(tmp_path, config), 2, instead=poisoned_in_one_process).succeed()
    assert state_of(tmp_path / "run")["progress"] | {"seconds": 0} == {
        "step": 3,
        "samples": 12,
        "skipped": 2,
        "skipped_in_row": 0,
        "seconds": 0,
    }


# Disks, and what cannot be used


def test_a_full_disk_stops_the_run_and_keeps_the_checkpoint_before(settings, tmp_path, monkeypatch, capsys):
    config = settings(schedule__steps=2, output__checkpoint_every=1)
    write, written = checkpoints.save_file, []

    def until_full(tensors: dict[str, Tensor], path: Path) -> None:
        if written:
            path.write_bytes(b"the disk is full in the middle of this")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", until_full)
    assert main(command(tmp_path, config)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("train: ")
    assert "checkpoint-00000002: cannot be written (No space left on device)" in error
    assert newest_checkpoint(tmp_path / "run").name == "checkpoint-00000001"
    assert not list((tmp_path / "run").glob(".*"))

    monkeypatch.undo()
    assert main(command(tmp_path, config)) == 0  # with room again it goes on


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command ends."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [sentence] = [line for line in captured.err.splitlines() if "is random" not in line]
    assert sentence.startswith("train: ")
    return sentence


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["schedule.stepz=3"], "schedule.stepz: there is no such key"),
        (["schedule.steps=few"], "schedule.steps: must be a valid integer"),
        (["data.image_size=33"], "data.image_size must be multiples of 16"),
        (["model.motion.num_masks=3"], "num_masks must be 1 or num_down_blocks [+] 1"),
        (["model.motion.shrink=3", "data.image_size=48"], "shrink must be a power of two, got 3"),
        (["data.root=nowhere"], "data root: .* but nowhere is none"),
        (["init_from=nowhere"], "nowhere: no such folder"),
        (["sync_batchnorm=true"], "sync_batchnorm must be false on this device, cpu"),
        (["features.vgg=vgg.pth", "data.root=nowhere"], "features.vgg: vgg.pth is not a file"),
        (["variant=full", "features.vit=vit.pth", "data.root=nowhere"], "features.vit: vit.pth is not a file"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_written(settings, tmp_path, capsys, overrides, sentence):
    arguments = command(tmp_path, settings())
    before = sorted(tmp_path.rglob("*"))
    assert re.search(sentence, refused([*arguments, *overrides], capsys))
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_that_a_run_does_not_touch(settings, tmp_path, capsys, videos):
    arguments = command(tmp_path, settings())
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    for root in (empty, broken):
        (root / "train").mkdir(parents=True)
    (broken / "train" / "video.mp4").write_bytes(b"not a video")
    assert "but has none" in refused([*arguments, f"data.root={empty}"], capsys)
    assert "video.mp4" in refused([*arguments, f"data.root={broken}"], capsys)
    assert not (tmp_path / "run").exists()

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    assert "but holds thesis.tex" in refused([*arguments, f"output.folder={other}"], capsys)

    train(settings())
    capsys.readouterr()
    assert "variant 'tpsmm', got 'int'" in refused([*arguments, "variant=int"], capsys)
    assert "must be empty or new for --fresh" in refused([*arguments, "--fresh"], capsys)
    (newest_checkpoint(tmp_path / "run") / checkpoints.TENSORS).write_bytes(b"")
    assert "must hold a complete checkpoint" in refused(arguments, capsys)


def test_the_command_line_is_one_sentence_without_a_traceback(tmp_path):
    program = str(ROOT / "train" / "train.py")
    arguments = [sys.executable, program, "--config", "nowhere.yaml"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "train: nowhere.yaml: cannot be read (No such file or directory)\n"


def test_a_command_line_without_a_configuration(capsys):
    assert "--config" in refused([], capsys)


# Smaller things


def test_the_learning_rate_falls_at_milestones():
    schedule = ScheduleConfig(learning_rate=0.1, milestones=(3, 5), gamma=0.5)
    assert [learning_rate_at(schedule, step) for step in range(7)] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


def test_gradients_of_keypoints_and_motion_are_clipped(settings, tmp_path):
    train(settings(schedule__steps=1, schedule__clip=1e-3, schedule__weight_decay=0))
    gradients = gradients_of(tensors_of(tmp_path / "run"))

    def largest(network: str) -> float:
        return max(value.abs().max().item() for name, value in gradients.items() if f".{network}." in name)

    assert largest("keypoint_detector") == pytest.approx(1e-3, rel=1e-3)
    assert largest("dense_motion_network") == pytest.approx(1e-3, rel=1e-3)
    assert largest("image_generator") > 1e-2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a processor")
def test_compiled_networks_have_the_same_gradients_and_names(settings, tmp_path):
    moments = []
    for name, compiled in (("plain", False), ("compiled", True)):
        config = settings(compile=compiled, schedule__steps=1, output__folder=str(tmp_path / name))
        train(config, build_step=still_batchnorm)
        moments.append(tensors_of(tmp_path / name))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    plain, compiled = moments
    assert compiled.keys() == plain.keys()
    assert_same_gradients(compiled, plain)  # it orders sums anew, and where |x| is near 0 its sign turns
