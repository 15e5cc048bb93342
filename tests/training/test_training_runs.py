"""Whole training runs at toy size: exact resume, two processes, what is not finite, full disks, and what a run leaves."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

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
from train.schedule import learning_rate_at
from train.train import main, train

ROOT = Path(__file__).parents[2]
SIDE, FRAMES = 32, 6


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Folders of frames: a square that moves over a background of its own."""
    root = tmp_path_factory.mktemp("videos")
    for split in ("train", "test"):
        for index in range(3):
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


def configured(videos: Path, folder: Path, changes: dict[str, Any]) -> TrainingConfig:
    """A toy configuration; ``{"schedule__steps": 3}`` sets a key."""
    values = {
        "variant": "tpsmm",
        "data": {"root": str(videos), "image_size": SIDE, "workers": 0},
        "model": {
            "num_splines": 2,
            "points_per_spline": 3,
            "background": False,
            "candidates": 3,
            "keypoints": {"architecture": "regnetx_002"},
            "background_motion": {"architecture": "regnetx_002"},
            "motion": {"block_expansion": 4, "max_features": 8, "num_blocks": 3, "shrink": 2},
            "generator": {"block_expansion": 4, "max_features": 8},
        },
        "losses": {"scales": [1, 2]},
        "features": {"vgg": "random:4", "vit": "random", "vit_size": 32},
        "schedule": {"steps": 2, "batch_size": 2},
        "output": {"folder": str(folder), "images_every": 0, "validate_every": 0, "log_every": 1},
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        section: dict[str, Any] = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    return parse_config(values)


@pytest.fixture
def settings(videos, tmp_path) -> Callable[..., TrainingConfig]:
    """Makes a toy configuration, see `configured`; its folder is ``run`` unless set."""
    return lambda **changes: configured(videos, tmp_path / "run", changes)


@dataclass(frozen=True)
class Run:
    """A run that has ended: its configuration, folder, saved pipeline, and what it printed."""

    config: TrainingConfig
    folder: Path
    pipeline: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def ended(videos, tmp_path_factory) -> Run:
    """Four steps of `int`. Not to be changed."""
    AcceleratorState._reset_state(reset_partial_state=True)
    folder = tmp_path_factory.mktemp("ended") / "run"
    changes = {"ema": 0.5, "schedule__steps": 4, "output__log_every": 2, "output__images_every": 2}
    changes |= {"variant": "int", "output__validate_every": 3, "output__validation_per_video": 2}
    config = configured(videos, folder, changes)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        pipeline = train(config)
    return Run(config, folder, pipeline, out.getvalue(), err.getvalue())


def command(folder: Path, config: TrainingConfig) -> list[str]:
    """Arguments of a run with this configuration."""
    (folder / "config.yaml").write_text(config.as_yaml())
    return ["--config", str(folder / "config.yaml")]


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return load_file(newest_checkpoint(folder) / checkpoints.TENSORS)


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


def test_a_run_ends_with_a_pipeline_of_the_averaged_weights_and_a_card(ended, videos):
    pipeline = MotionInterpPipeline.from_pretrained(ended.pipeline)
    assert (pipeline.config["variant"], tuple(pipeline.config["image_size"])) == ("int", (SIDE, SIDE))
    averaged = tensors_of(ended.folder)["ema.module.image_generator.final.weight"]
    assert torch.equal(pipeline.image_generator.final.weight, averaged)

    card = (ended.pipeline / "README.md").read_text()
    assert "int" in yaml.safe_load(card.split("---")[1])["tags"]
    assert parse_config(yaml.safe_load(card.split("```yaml")[1].split("```")[0])).variant == "int"
    assert str(videos.parent) not in card
    for text in ("| Steps | 4 of 2 pairs, 0 skipped |", "| Samples | 8 |", "moving average, decay 0.5", "| Time |"):
        assert text in card


def test_the_largest_variant_ends_with_a_pipeline_that_animates(settings, videos):
    folder = train(settings(variant="v2", model__background=True, schedule__steps=1))
    pipeline = MotionInterpPipeline.from_pretrained(folder)
    result = pipeline(videos / "test" / "v0" / "000.png", videos / "test" / "v1", mode="standard")
    assert result.frames.shape == (FRAMES, SIDE, SIDE, 3)


def test_metrics_curves_and_console(ended):
    metrics = lines(ended.folder / "metrics.jsonl")
    assert [(line["step"], line["samples"]) for line in metrics] == [(2, 4), (4, 8)]
    losses = ("reconstruction", "equivariance", "warp", "ranking")
    assert metrics[0]["loss"] == pytest.approx(sum(metrics[0][name] for name in losses), rel=1e-5)
    assert all(0 <= line["waiting_for_data"] <= 1 and line["samples_per_second"] > 0 for line in metrics)
    validation = lines(ended.folder / "validation.jsonl")
    assert [(line["step"], line["pairs"]) for line in validation] == [(3, 6), (4, 6)]  # at the end in any case

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(ended.folder / "tensorboard")).Reload()
    assert {"train/loss", "train/ranking", "validation/l1", "validation/copy_moved"} <= set(board.Tags()["scalars"])
    assert board.Tags()["histograms"] == ["train/chosen t"]
    picture = board.Images(board.Tags()["images"][0])[0]
    assert (picture.step, picture.height) == (2, 2 * SIDE)  # a row for each of the two samples
    assert picture.width >= 5 * SIDE

    printed = (
        "variant     int",
        "million",
        "vgg random",
        "batch       2 pairs",
        "writes to",
        "than copying the source",
    )
    assert all(text in ended.out for text in printed)
    assert ended.out.splitlines()[-1] == f"pipeline    {ended.pipeline}"
    assert "sample/s" in ended.err


def test_validation_measures_what_it_says(ended):
    """Against the frames that the saved pipeline makes, one pair at a time."""
    pipeline, line = MotionInterpPipeline.from_pretrained(ended.pipeline), lines(ended.folder / "validation.jsonl")[-1]
    rows = []
    for pair in ValidationPairs(ended.config.data, ended.config.seed, per_video=2):
        source, driving = pair["source"], pair["driving"]
        result = pipeline(source, torch.stack((driving, driving)), mode="standard")
        still = pipeline(source, torch.stack((driving, driving)), mode="standard", t=0.0)
        image, straight = (torch.from_numpy(made.frames[0] / 255).movedim(-1, 0) for made in (result, still))
        with torch.inference_mode():
            poses = pipeline.keypoint_detector(torch.stack((source, driving))).points
        errors = [(each - driving).abs().mean() for each in (image, straight, source)]
        rows.append([*errors, (poses[0] - poses[1]).norm(dim=-1).mean(), result.selections[0].t])
    l1, straight, copy, moved, t = np.array(rows, dtype=np.float64).T
    rounding = 1 / 255
    assert (line["t"], line["hopped"]) == (pytest.approx(t.mean()), (t > 0).mean())
    assert line["straight"] == pytest.approx(straight.mean(), abs=rounding)
    assert line["l1"] == pytest.approx(l1.mean(), abs=rounding)
    assert line["copy"] == pytest.approx(copy.mean(), rel=1e-4)
    half = np.argsort(moved)[(len(moved) - 1) // 2 :]
    assert line["l1_moved"] == pytest.approx(l1[half].mean(), abs=rounding)
    half = np.argsort(copy)[(len(copy) - 1) // 2 :]
    assert line["copy_changed"] == pytest.approx(copy[half].mean(), rel=1e-4)


def test_the_avd_stage_trains_the_avd_network_alone(settings, ended):
    config = settings(variant="int", stage="avd", init_from=str(ended.pipeline), schedule__weight_decay=0.1)
    before, after = (MotionInterpPipeline.from_pretrained(folder) for folder in (ended.pipeline, train(config)))
    assert before.avd_network is None
    assert after.avd_network is not None
    for name in ("keypoint_detector", "dense_motion_network", "image_generator", "selector"):
        assert_same(getattr(after, name).state_dict(), getattr(before, name).state_dict())


def test_a_saved_pipeline_gains_the_composed_view_and_other_candidates(settings, tmp_path):
    """No weight depends on them."""
    plain = settings(variant="v2")
    pipeline_of(build_networks(plain), plain).save_pretrained(tmp_path / "plain")
    before = MotionInterpPipeline.from_pretrained(tmp_path / "plain")
    changes = {"model__composed_view": True, "model__candidates": 2}
    networks = build_networks(settings(variant="v2", init_from=str(tmp_path / "plain"), **changes))
    assert networks["view_fusion"].composed_view
    assert (before.selector.num_candidates, networks["selector"].num_candidates) == (plain.model.candidates, 2)
    for name in ("view_fusion", "selector"):
        assert_same(networks[name].state_dict(), getattr(before, name).state_dict())


# Resume


def test_a_run_in_two_parts_ends_as_one_that_was_not_interrupted(settings, tmp_path):
    """Over a milestone of every schedule, with BatchNorm's statistics, averaged weights and accumulated batches."""
    changes = {"variant": "v2", "ema": 0.9, "precision": "bf16", "data__workers": 1, "model__background": True}
    changes |= {"schedule__accumulation": 2, "schedule__background_from": 3}
    schedule = {"schedule__milestones": [3], "schedule__selector_warmup": 3, "losses__ramp_steps": 4}
    whole, parts = (str(tmp_path / name) for name in ("whole", "parts"))
    train(settings(**schedule, **changes, schedule__steps=4, output__folder=whole))
    train(settings(**schedule, **changes, schedule__steps=2, output__folder=parts))
    train(settings(**schedule, **changes, schedule__steps=4, output__folder=parts))
    assert_same(tensors_of(Path(parts)), tensors_of(Path(whole)))
    timed = ("samples_per_second", "waiting_for_data")
    logged = [
        [{k: v for k, v in line.items() if k not in timed} for line in lines(Path(folder) / "metrics.jsonl")]
        for folder in (whole, parts)
    ]
    assert logged[0] == logged[1]


def stop(training: Training, run: Path) -> int:
    """End a run by SIGTERM; returns its last step."""
    training.signal(signal.SIGTERM)
    training.succeed()
    step = state_of(run)["progress"]["step"]
    assert f"stopped by SIGTERM after step {step}" in training.log
    assert not (run / "pipeline").exists()
    return step


@pytest.mark.slow
def test_sigterm_saves_what_a_run_of_as_many_steps_has(settings, tmp_path):
    run, changes = tmp_path / "run", {"ema": 0.9, "data__workers": 1}
    training = Training(tmp_path, command(tmp_path, settings(**changes, schedule__steps=100_000)))
    training.wait_for(run / "metrics.jsonl")
    step = stop(training, run)
    train(settings(**changes, schedule__steps=step, output__folder=str(tmp_path / "whole")))
    assert_same(tensors_of(run), tensors_of(tmp_path / "whole"))


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_to_the_same_weights(settings, tmp_path):
    changes = {"ema": 0.9, "data__workers": 1, "output__checkpoint_every": 2}
    run, whole = tmp_path / "run", tmp_path / "whole"
    arguments = command(tmp_path, settings(**changes, schedule__steps=100_000))
    killed = Training(tmp_path, arguments, 2)
    killed.wait_for(run / "checkpoint-00000002")
    killed.signal(signal.SIGKILL)
    assert set(killed.wait()) == {-signal.SIGKILL}
    done = state_of(run)["progress"]["step"]

    stopped = Training(tmp_path, arguments, 2)
    stopped.wait_for(run / f"checkpoint-{done + 2:08d}")
    step = stop(stopped, run)
    assert f"going on after {done}" in stopped.log
    assert state_of(run)["processes"] == 2
    assert [line["step"] for line in lines(run / "metrics.jsonl")] == list(range(1, step + 1))
    config = settings(**changes, schedule__steps=step, output__folder=str(whole))
    Training(tmp_path, command(tmp_path, config), 2).succeed()
    assert_same(tensors_of(run), tensors_of(whole))


def test_a_run_that_is_done_is_only_exported_again(settings, tmp_path, ended):
    shutil.copytree(ended.folder, tmp_path / "run")
    (tmp_path / "run" / "pipeline" / "model_index.json").unlink()
    changes = {"variant": "int", "ema": 0.5, "schedule__steps": 4, "output__validate_every": 3}
    MotionInterpPipeline.from_pretrained(train(settings(**changes)))
    assert_same(tensors_of(tmp_path / "run"), tensors_of(ended.folder))


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


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one_with_the_joint_batch(settings, tmp_path):
    """And of two accumulated batches those of one."""
    changes = {
        "variant": "v2",
        "model__background": True,
        "output__validate_every": 1,
        "output__validation_per_video": 3,
    }
    changes |= {"schedule__steps": 1, "schedule__clip": 1e9, "schedule__weight_decay": 0}
    changes |= {"model__keypoints": {}, "model__background_motion": {}}  # ResNets: the points of others nearly coincide
    joint, two = tmp_path / "joint", tmp_path / "two"
    train(settings(**changes, schedule__batch_size=4, output__folder=str(joint)), build_step=still_batchnorm)
    config = settings(**changes, schedule__batch_size=1, schedule__accumulation=2, output__folder=str(two))
    Training(tmp_path, command(tmp_path, config), 2, instead=with_still_batchnorm).succeed()
    assert state_of(two)["processes"] == 2
    assert_same_gradients(tensors_of(two), tensors_of(joint))
    expected, found = (lines(folder / "metrics.jsonl")[-1] for folder in (joint, two))
    assert found["l1"] == pytest.approx(expected["l1"], rel=1e-5)
    expected, found = (lines(folder / "validation.jsonl")[-1] for folder in (joint, two))
    assert found["pairs"] == expected["pairs"] == 9  # of which one process has five
    assert found["l1"] == pytest.approx(expected["l1"], rel=0.02)
    assert found["copy"] == pytest.approx(expected["copy"], rel=1e-5)


TWO_GPUS = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        pytest.param("cpu", "fp32", marks=pytest.mark.slow),
        pytest.param("cuda", "bf16", marks=[pytest.mark.gpu, TWO_GPUS]),
    ],
)
def test_accelerate_launch_starts_two_processes(settings, tmp_path, device, precision):
    """Of which each has a GPU of its own, where there are some."""
    arguments = command(tmp_path, settings(schedule__steps=2, precision=precision))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": str(device == "cpu").lower(), "OMP_NUM_THREADS": "1"}
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
    assert all(math.isfinite(line["l1"]) for line in lines(tmp_path / "run" / "metrics.jsonl"))


# What is not finite


class Poisoned(nn.Module):
    """A step whose warp loss is multiplied for some samples; the forward pass has changed BatchNorm's statistics by then."""

    def __init__(self, step: nn.Module, factors: dict[int, float]) -> None:
        super().__init__()
        self.step, self.factors = step, factors

    def forward(self, batch: dict[str, Tensor], phase: object) -> object:
        output = self.step(batch, phase)
        for number in batch["number"].tolist():
            output.losses["warp"] = output.losses["warp"] * self.factors.get(number, 1.0)
        return output


def poison(factors: dict[int, float]) -> Callable[..., nn.Module]:
    return lambda networks, config: Poisoned(preparation.build_step(networks, config), factors)


def test_a_step_that_is_not_finite_is_skipped_and_counted(settings, tmp_path, capsys):
    train(settings(schedule__steps=3, ema=0.5), build_step=poison({2: torch.nan, 5: torch.inf}))
    after = tensors_of(tmp_path / "run")
    assert state_of(tmp_path / "run")["progress"]["skipped"] == 2
    assert [line["skipped"] for line in lines(tmp_path / "run" / "metrics.jsonl")] == [0, 1, 2]
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
        train(config, build_step=poison(dict.fromkeys((2, 4, 6), torch.nan)))  # in steps 2, 3 and 4
    assert state_of(tmp_path / "run")["progress"]["skipped_in_row"] == 2  # the checkpoint of step 3


def poisoned_in_one_process(arguments: list[str]) -> int:
    """Sample 3 is the second process's part of the first step, in its second batch; 5 is its part of the second step."""
    from train import train as module

    module.train(module.load_config(arguments[1]), build_step=poison({3: torch.nan, 5: torch.nan}))
    return 0


@pytest.mark.slow
def test_all_processes_skip_together(settings, tmp_path):
    config = settings(schedule__steps=3, schedule__accumulation=2, schedule__batch_size=1)
    Training(tmp_path, command(tmp_path, config), 2, instead=poisoned_in_one_process).succeed()
    progress = {"step": 3, "samples": 12, "skipped": 2, "skipped_in_row": 0, "seconds": 0}
    assert state_of(tmp_path / "run")["progress"] | {"seconds": 0} == progress


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


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command ends."""
    AcceleratorState._reset_state(reset_partial_state=True)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [sentence] = [line for line in captured.err.splitlines() if "is random" not in line]
    assert sentence.startswith("train: ")
    return sentence


def test_what_cannot_be_used_is_said_before_anything_is_written(settings, tmp_path, capsys):
    arguments = command(tmp_path, settings())
    before = sorted(tmp_path.rglob("*"))
    for overrides, sentence in (
        (["schedule.stepz=3"], "schedule.stepz: there is no such key"),
        (["model.motion.num_masks=3"], "num_masks must be 1 or num_down_blocks [+] 1"),
        (["data.root=nowhere"], "data root: .* but nowhere is none"),
        (["init_from=nowhere"], "nowhere: no such folder"),
        (["sync_batchnorm=true"], "sync_batchnorm must be false on this device, cpu"),
        (["variant=full", "features.vit=vit.pth", "data.root=nowhere"], "features.vit: vit.pth is not a file"),
        (["precision=fp16"], "precision must be fp32 or bf16 on this device, cpu, got fp16"),
    ):
        assert re.search(sentence, refused([*arguments, *overrides], capsys))
        assert sorted(tmp_path.rglob("*")) == before


def test_folders_that_a_run_does_not_touch(settings, tmp_path, capsys, ended):
    arguments = command(tmp_path, settings(variant="int", ema=0.5, schedule__steps=4))
    (tmp_path / "broken" / "train").mkdir(parents=True)
    (tmp_path / "broken" / "train" / "video.mp4").write_bytes(b"not a video")
    assert "video.mp4" in refused([*arguments, f"data.root={tmp_path / 'broken'}"], capsys)
    assert not (tmp_path / "run").exists()
    assert "empty or new for --fresh" in refused([*arguments, "--fresh", f"output.folder={ended.folder}"], capsys)
    assert "variant 'int', got 'full'" in refused([*arguments, "variant=full", f"output.folder={ended.folder}"], capsys)

    other, damaged = tmp_path / "other", tmp_path / "damaged"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    assert "but holds thesis.tex" in refused([*arguments, f"output.folder={other}"], capsys)
    shutil.copytree(ended.folder, damaged)
    (newest_checkpoint(damaged) / checkpoints.TENSORS).write_bytes(b"")
    assert "must hold a complete checkpoint" in refused([*arguments, f"output.folder={damaged}"], capsys)


def test_a_command_line_without_a_configuration_that_can_be_read(capsys):
    assert "--config" in refused([], capsys)
    assert (
        refused(["--config", "nowhere.yaml"], capsys)
        == "train: nowhere.yaml: cannot be read (No such file or directory)"
    )


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
def test_compiled_networks_have_the_same_gradients_and_names(settings, tmp_path, monkeypatch):
    """Of which one goes through the C++ compiler, and the others up to it."""

    def compiled_part(part: Callable, compiler: Callable = torch.compile) -> Callable:
        return compiler(part, backend="inductor" if getattr(part, "__name__", "") == "_hourglass" else "aot_eager")

    monkeypatch.setattr(torch, "compile", compiled_part)
    moments = []
    small = {"model__keypoints__architecture": "test_resnet", "model__generator__num_down_blocks": 1}
    small |= {"model__motion__num_blocks": 1, "model__motion__num_masks": 1}
    for name, compiled in (("plain", False), ("compiled", True)):
        changes = small | {"compile": compiled, "output__folder": str(tmp_path / name)}
        train(settings(**changes, schedule__steps=1), build_step=still_batchnorm)
        moments.append(tensors_of(tmp_path / name))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    plain, compiled = moments
    assert compiled.keys() == plain.keys()
    assert_same_gradients(compiled, plain)  # it orders sums anew, and where |x| is near 0 its sign turns
