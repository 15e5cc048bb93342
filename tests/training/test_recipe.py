"""Recipes: stages that go on from each other, in slices, and on other machines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from motion_core import InputError, MotionInterpPipeline, media
from motion_core.saved_pipeline import SHIPPED
from train import recipe as recipes
from train import run_state
from train.checkpoints import TENSORS, Progress, newest_checkpoint, read_progress, save_checkpoint
from train.config import ScheduleConfig
from train.config_file import load_config, parse_config
from train.networks import build_networks
from train.recipe import main, needed, read_recipe, run_recipe, stage_arguments, start_of, waiting
from train.update import learning_rate_at

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "train" / "configs"


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def finished(out: Path, *names: str) -> None:
    for name in names:
        (out / name / "run" / "pipeline").mkdir(parents=True)


# What a recipe is


def test_the_recipe_of_what_ships_is_whole(tmp_path):
    path = CONFIGS / "people.yaml"
    recipe = read_recipe(path)
    configs = [
        recipes._configured(path, recipe, stage, Path("pack"), tmp_path)  # every stage's settings are checked
        for stage in recipe.stages
    ]
    assert {config.variant for config in configs} == {"tpsmm", "v2"}
    assert configs[-1].stage == "selector"
    plain, full = (next(s for s in recipe.stages if s.name == name) for name in ("tpsmm", "v2"))
    assert plain.begin == full.begin  # so that the two can be compared
    steps = {stage.name: config.schedule.steps for stage, config in zip(recipe.stages, configs, strict=True)}
    assert steps["tpsmm"] == steps["v2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "must be YAML"),
        ("stages: [{name: a}]", "shared: Field required"),
        ("shared: a.yaml", "stages: Field required"),
        ("{shared: a.yaml, stages: []}", "stages: .*at least 1"),
        ("{shared: a.yaml, stages: [{name: A B}]}", r"stages\.0\.name: .*pattern"),
        ("{shared: a.yaml, stages: [{name: a, surprise: 1}]}", r"stages\.0\.surprise: "),
        ("{shared: a.yaml, stages: [{name: a}, {name: a}]}", "stage a must be there once"),
        (
            "{shared: a.yaml, stages: [{name: a, from: b}, {name: b}]}",
            "stage a must go on from an earlier stage, got b",
        ),
        ("{shared: a.yaml, stages: [{name: a, size: b}]}", "stage a must have a size of none, got b"),
        ("{shared: a.yaml, stages: [{name: a, grow: true}]}", "stage a must go on from another to grow"),
    ],
)
def test_a_wrong_recipe_is_told_in_a_sentence(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_recipe(written(tmp_path, text))


def test_a_missing_recipe_is_told(tmp_path, capsys):
    assert main(["--recipe", str(tmp_path / "no.yaml"), "--data", "d", "--out", str(tmp_path / "o")]) == 2
    assert "no.yaml: cannot be read" in capsys.readouterr().err


def test_a_stages_configuration_is_checked_before_any_stage_runs(tmp_path):
    (tmp_path / "small.yaml").write_text((ROOT / "train/configs/small.yaml").read_text())
    path = written(
        tmp_path, "{shared: small.yaml, stages: [{name: a}, {name: b, from: a, settings: [schedule.stepz=3]}]}"
    )
    with pytest.raises(InputError, match=r"stage b: .*stepz"):
        run_recipe(path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_stage_begins_with(tmp_path):
    path = written(
        tmp_path,
        "{shared: s.yaml, settings: [seed=3], sizes: {large: ['features.vgg={data}/f']},"
        " stages: [{name: a}, {name: b, from: a, grow: true, size: large, settings: [ema=0]},"
        " {name: c, from: b, keypoints: a}]}",
    )
    recipe = read_recipe(path)
    first, second, third = recipe.stages
    arguments = stage_arguments(path, recipe, second, Path("pack"), tmp_path)
    assert arguments[:5] == ["--config", str(tmp_path / "s.yaml"), "seed=3", "features.vgg=pack/f", "ema=0"]
    assert f"init_from={tmp_path / 'b' / 'start'}" in arguments
    assert f"output.folder={tmp_path / 'b' / 'run'}" in arguments
    assert start_of(third, tmp_path) == tmp_path / "b" / "run" / "pipeline"
    keypoints = f"init_keypoints={tmp_path / 'a' / 'run' / 'pipeline'}"
    assert keypoints in stage_arguments(path, recipe, third, Path("pack"), tmp_path)
    assert keypoints not in arguments
    assert not any(word.startswith("init_from") for word in stage_arguments(path, recipe, first, Path("p"), tmp_path))


def test_only_pipelines_that_matter_are_carried(tmp_path):
    path = written(
        tmp_path, "{shared: s.yaml, stages: [{name: a}, {name: b, from: a}, {name: c, from: b}, {name: d, from: b}]}"
    )
    recipe = read_recipe(path)

    def names() -> list[str]:
        return [folder.parents[1].name for folder in needed(recipe, tmp_path)]

    finished(tmp_path, "a")
    assert names() == ["a"]
    finished(tmp_path, "b")
    assert names() == ["b"]
    finished(tmp_path, "c")
    assert names() == ["b", "c"]
    finished(tmp_path, "d")
    assert names() == ["c", "d"]


def test_what_only_a_finished_stage_went_on_from_is_not_trained_again(tmp_path):
    """On a machine that goes on from a state, which has not all finished stages."""
    path = written(
        tmp_path,
        "{shared: s.yaml, stages: [{name: a}, {name: k}, {name: b, from: a, keypoints: k}, "
        "{name: c, from: b}, {name: d, from: b}]}",
    )
    recipe = read_recipe(path)

    def names() -> list[str]:
        return [stage.name for stage in waiting(recipe, tmp_path)]

    assert names() == ["a", "k", "b", "c", "d"]
    finished(tmp_path, "c")
    assert names() == ["a", "k", "b", "d"]
    finished(tmp_path, "b")
    assert names() == ["d"]
    finished(tmp_path, "d")
    assert names() == []


# The state of a run


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished stage's pipeline and an unfinished stage, with tensors of several sizes."""
    run = tmp_path / "run"
    pipeline = run / "a" / "run" / "pipeline" / "part"
    pipeline.mkdir(parents=True)
    save_file({"weight": torch.randn(30, 10)}, pipeline / "model.safetensors")
    (pipeline / "config.json").write_text('{"a": 1}')
    config = parse_config(
        {
            "variant": "tpsmm",
            "data": {"root": "r"},
            "output": {"folder": "f"},
            "schedule": {"batch_size": 4, "steps": 90},
        }
    )
    tensors = {
        "networks.x": torch.randn(40, 5),
        "networks.steps": torch.tensor(2**40),
        "networks.large": torch.tensor([1e6, -2.5]),
        "ema.x": torch.randn(40, 5),
        "optimizer.x.exp_avg": torch.randn(40, 5),
    }
    folder = run / "b" / "run"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.as_yaml())
    save_checkpoint(folder, tensors, Progress(50, 200, seconds=3.0), config, 1)
    return run


def test_a_run_comes_back_from_its_state(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run_state, "LARGEST_FILE", 700)
    state, again = tmp_path / "state", tmp_path / "again"

    written = run_state.pack_run(run, [run / "a" / "run" / "pipeline"], state)
    assert written == sum(path.stat().st_size for path in state.iterdir())
    files = sorted(state.glob("*.safetensors"))
    assert len(files) > 1
    assert all(sum(tensor.nbytes for tensor in load_file(path).values()) <= 700 for path in files)
    run_state.unpack_run(state, again)

    first, second = (load_file(folder / "a/run/pipeline/part/model.safetensors") for folder in (run, again))
    torch.testing.assert_close(second["weight"], first["weight"], rtol=1e-3, atol=1e-6)
    assert second["weight"].dtype == torch.float32
    assert (again / "a/run/pipeline/part/config.json").read_text() == '{"a": 1}'
    before, after = (newest_checkpoint(folder / "b" / "run") for folder in (run, again))
    old, new = load_file(before / TENSORS), load_file(after / TENSORS)
    assert set(new) == {name for name in old if not name.startswith("optimizer.")}
    assert new["networks.steps"] == 2**40
    torch.testing.assert_close(
        new["networks.large"], old["networks.large"], rtol=0, atol=0
    )  # too large for half precision
    config = parse_config(json.loads((after / "state.json").read_text())["config"])
    assert read_progress(after, config, 1) == Progress(50, 200, seconds=3.0, optimizer_began=50)


def test_a_state_is_replaced_whole(run, tmp_path):
    state = tmp_path / "state"
    run_state.pack_run(run, [run / "a" / "run" / "pipeline"], state)
    (state / "left-over.safetensors").write_text("")
    run_state.pack_run(run, [], state)
    assert sorted(path.name for path in state.iterdir()) == ["state.json", "tensors-00001.safetensors"]
    assert not any(key.startswith("a/") for key in load_file(state / "tensors-00001.safetensors"))


def test_a_tensor_larger_than_a_file_is_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run_state, "LARGEST_FILE", 300)
    with pytest.raises(InputError, match="more than a file of the state may have"):
        run_state.pack_run(run, [], tmp_path / "state")


@pytest.mark.parametrize("name", ["/tmp/x.json", "../x.json", "a/../../x.yaml", "a/x.py", "a/x.safetensors"])
def test_a_state_writes_nothing_outside_of_the_run(name, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "state.json").write_text(json.dumps({name: "text"}))
    with pytest.raises(InputError, match="must name files of the run"):
        run_state.unpack_run(state, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["{", "", "\xff"])
def test_a_damaged_state_is_told(content, tmp_path):
    (tmp_path / "state.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match="must be the state of a run"):
        run_state.unpack_run(tmp_path, tmp_path / "run")


def test_the_learning_rate_rises_where_the_optimiser_begins():
    schedule = ScheduleConfig(learning_rate=1.0, warmup=4, milestones=(6,), gamma=0.5)
    assert [learning_rate_at(schedule, step) for step in range(8)] == [0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5]
    assert [learning_rate_at(schedule, step, 5) for step in range(5, 10)] == [0.25, 0.25, 0.375, 0.5, 0.5]


# All of it


RECIPE = """
shared: shared.yaml
settings: [schedule.batch_size=2, output.log_every=1]
sizes:
  large: [data.image_size=64, model.motion.shrink=4, model.keypoints.shrink=2, model.background_motion.shrink=2]
stages:
  - {name: motion, settings: [schedule.steps=2]}
  - {name: larger, from: motion, grow: true, size: large, settings: [schedule.steps=3]}
  - {name: v2, from: larger, size: large, settings: [variant=v2]}
  - {name: selector, from: v2, size: large, settings: [variant=v2, stage=selector]}
"""
SHARED = """
variant: tpsmm
data: {root: data, image_size: 32, workers: 0}
model:
  num_splines: 2
  points_per_spline: 3
  candidates: 3
  keypoints: {architecture: heatmaps}
  background_motion: {architecture: regnetx_002}
  motion: {block_expansion: 4, max_features: 8, num_blocks: 3, shrink: 2}
  generator: {block_expansion: 4, max_features: 8}
losses: {scales: [1, 2]}
features: {vgg: "random:2", vit: random, vit_size: 32}
schedule: {steps: 2, warmup: 2}
output: {folder: run, images_every: 0, validate_every: 0}
"""


@pytest.mark.slow
def test_a_whole_recipe_in_slices_and_on_two_machines(tmp_path):
    data = tmp_path / "data"
    generator = np.random.default_rng(0)
    for index in range(3):
        for split in ("train", "test"):
            (data / split / f"v{index}").mkdir(parents=True)
            for frame in range(4):
                picture = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                media.save_image(data / split / f"v{index}" / f"{frame}.png", picture)
    path = written(tmp_path, RECIPE)
    (tmp_path / "shared.yaml").write_text(SHARED)
    first, second, state = tmp_path / "first", tmp_path / "second", tmp_path / "state"

    def command(out: Path, *more: str) -> str:
        words = [
            "-m",
            "train.recipe",
            "--recipe",
            str(path),
            "--data",
            str(data),
            "--out",
            str(out),
            "--state",
            str(state),
        ]
        done = subprocess.run([sys.executable, *words, *more], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    # The first machine has time for hardly anything, so it stops in the midst
    assert "stopped; the same command goes on" in command(first, "--minutes", "0.25")
    shutil.rmtree(first)
    # The second one goes on from the state, and ends
    assert "all stages are done" in command(second)
    pipeline = MotionInterpPipeline.from_pretrained(second / "selector/run/pipeline")
    assert pipeline.variant == "v2"
    assert pipeline.image_size == (64, 64)
    assert command(second).splitlines() == ["all stages are done"]  # nothing is trained again
    before = load_file(next((second / "v2/run/pipeline/image_generator").glob("*.safetensors")))
    after = load_file(next((second / "selector/run/pipeline/image_generator").glob("*.safetensors")))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_recipe_that_is_told_to_stop_tells_its_training_and_packs(tmp_path, monkeypatch):
    """The training is played by a program that ends with a word when it is told to."""
    player = tmp_path / "train.py"
    player.write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n    pathlib.Path(sys.argv[-1].partition('=')[2]).mkdir(parents=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "small.yaml").write_text((ROOT / "train/configs/small.yaml").read_text())
    path = written(tmp_path, "{shared: small.yaml, stages: [{name: a}]}")
    code = (
        "import sys, train.recipe as r\nfrom pathlib import Path\n"
        f"r._SCRIPT = Path({str(player)!r})\nsys.exit(r.main(sys.argv[1:]))"
    )
    words = ["--recipe", str(path), "--data", "d", "--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    with subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
        process.terminate()
        assert "stopped; the same command goes on" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert (tmp_path / "out" / "a" / "run").is_dir()  # the training was told, and waited for
    assert (tmp_path / "state" / "state.json").is_file()


def test_what_ships_can_be_gone_on_from(tmp_path):
    """In the place of the stage `adapted`: only the later ones are still to be trained, and they begin with its weights."""
    pipeline = tmp_path / "adapted" / "run" / "pipeline"
    pipeline.parent.mkdir(parents=True)
    shutil.copytree(SHIPPED, pipeline)
    path = CONFIGS / "people.yaml"
    recipe = read_recipe(path)

    stages = waiting(recipe, tmp_path)
    assert [stage.name for stage in stages] == ["faithful", "tpsmm", "v2", "people"]

    _, file, *settings = stage_arguments(path, recipe, stages[0], Path("data"), tmp_path)
    networks = build_networks(load_config(file, settings))
    shipped = MotionInterpPipeline.from_pretrained(SHIPPED)
    for name, network in networks.items():
        expected = getattr(shipped, name).state_dict()
        for key, value in network.state_dict().items():
            assert torch.equal(value, expected[key].to(value.dtype)), (name, key)
