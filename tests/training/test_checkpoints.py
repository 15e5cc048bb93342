"""Checkpoints: whole or not there, exact, found, pruned, and refused where they belong to another run."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from motion_core.errors import InputError
from train.checkpoints import (
    STATE,
    TENSORS,
    Progress,
    TrainingError,
    newest_checkpoint,
    read_progress,
    remove_partial,
    restore,
    save_checkpoint,
)
from train.config import TrainingConfig
from train.config_file import parse_config


def settings(folder: Path, **changes) -> TrainingConfig:
    values = {"variant": "full", "data": {"root": "x"}, "output": {"folder": str(folder), "keep": 2}}
    return parse_config({**values, **changes})


def saved(folder: Path, step: int, **changes) -> Path:
    return save_checkpoint(folder, {"x": torch.zeros(3)}, Progress(step, step * 28), settings(folder, **changes), 1)


def test_a_checkpoint_is_safetensors_and_json_only(tmp_path):
    path = saved(tmp_path, 1200)
    assert path.name == "checkpoint-00001200"
    assert sorted(file.name for file in path.iterdir()) == [STATE, TENSORS]
    state = json.loads((path / STATE).read_text())
    assert state["progress"]["step"] == 1200
    assert state["files"] == {TENSORS: (path / TENSORS).stat().st_size}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_newest_complete_one_is_found_and_old_ones_go(tmp_path):
    assert newest_checkpoint(tmp_path / "nothing") is None
    assert newest_checkpoint(tmp_path) is None
    for step in (5, 10, 999, 100_000_000):
        saved(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000999", "checkpoint-100000000"]
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100000000"

    (tmp_path / "checkpoint-100000000" / TENSORS).write_bytes(b"cut off")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000999"
    (tmp_path / "checkpoint-00000999" / STATE).write_text('{"files": ')
    assert newest_checkpoint(tmp_path) is None


def test_what_a_killed_run_left_is_no_checkpoint_and_is_removed(tmp_path):
    saved(tmp_path, 5)
    (tmp_path / ".checkpoint-00000010.partial").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-00000005"
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000005"]


def test_a_full_disk_leaves_the_earlier_checkpoint_and_says_so(tmp_path):
    """The real writer against a real limit, which safetensors reports in an error of its own."""
    earlier = saved(tmp_path, 5)
    before = (earlier / TENSORS).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(TrainingError, match="checkpoint-00000006: cannot be written") as caught:
            save_checkpoint(tmp_path, {"x": torch.zeros(100_000)}, Progress(6), settings(tmp_path), 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [earlier.name]
    assert newest_checkpoint(tmp_path) == earlier
    assert (earlier / TENSORS).read_bytes() == before


def test_progress_is_read_back(tmp_path):
    progress = Progress(7, 196, 2, 1, 3.5)
    path = save_checkpoint(tmp_path, {"x": torch.zeros(1)}, progress, settings(tmp_path), 1)
    assert read_progress(path, settings(tmp_path), 1) == progress


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = saved(tmp_path, 7)
    for changes, sentence in (
        ({"variant": "int"}, "belongs to a run with variant 'full', got 'int'"),
        ({"model": {"motion": {"num_blocks": 4}}}, "belongs to a run with model.motion.num_blocks 5, got 4"),
        ({"schedule": {"batch_size": 3}}, "batch_size x accumulation x processes must be 28 as before, got 3"),
        ({"schedule": {"steps": 6}}, "schedule.steps must be at least the 7 that are done, got 6"),
    ):
        with pytest.raises(InputError, match=sentence):
            read_progress(path, settings(tmp_path, **changes), 1)


def test_what_does_not_change_the_result_may_change(tmp_path):
    path = saved(tmp_path, 7)
    more = {"root": "x", "workers": 0, "cache_mb": 1}
    output = {"folder": "elsewhere", "log_every": 1}
    changed = settings(tmp_path, schedule={"steps": 8, "batch_size": 7, "accumulation": 2}, data=more, output=output)
    assert read_progress(path, changed, processes=2).step == 7  # 7 x 2 x 2 = 28 x 1 x 1


def test_tensors_of_other_networks_are_refused(tmp_path):
    networks = nn.ModuleDict({"a": nn.Linear(1, 1)})
    with pytest.raises(InputError, match="checkpoint-00000007: cannot be read back"):
        restore(saved(tmp_path, 7), networks, torch.optim.Adam(networks.parameters()), None)
