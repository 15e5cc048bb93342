"""The state of a run in small files, to go on from on another machine: half precision, no moments of the optimiser.

    state.json                 every other file of the run that is needed, as text, and which tensor lies where
    tensors-00001.safetensors  weights and their averages

A checkpoint loses the optimiser's moments, which are two thirds of it; its `Progress.optimizer_began` says so, and the learning
rate rises anew over `schedule.warmup` steps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from motion_core.errors import InputError, first_sentence

from .checkpoints import STATE, newest_checkpoint, writing

INDEX = "state.json"
LARGEST_FILE = 14_900_000  # bytes of tensors in a file, which has names as well and stays below 15 MB
_HALF_MAX = torch.finfo(torch.float16).max
_TEXTS = (".json", ".jsonl", ".yaml", ".md")


def pack_run(run: Path, pipelines: Sequence[Path], folder: Path) -> int:
    """Write the newest checkpoint of each unfinished stage in `run`, and these pipelines of finished ones.

    Args:
        run: as `train.recipe` makes it.
        pipelines: folders in it.
        folder: for the state; a state that is there is replaced.

    Returns:
        The bytes written.

    Raises:
        InputError: a tensor is larger than a file may be.
        TrainingError: the state cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    texts: dict[str, str] = {}
    files: list[dict[str, Tensor]] = [{}]
    size = 0
    with writing(folder):
        for path in _needed(run, pipelines):
            relative = path.relative_to(run).as_posix()
            if path.suffix in _TEXTS:
                texts[relative] = _restarting(path) if path.name == STATE else path.read_text(encoding="utf-8")
                continue
            for name, tensor in load_file(path).items():
                if name.startswith("optimizer."):
                    continue
                kept = _halved(tensor)
                if kept.nbytes > LARGEST_FILE:
                    raise InputError(
                        f"{path}: {name} has {kept.nbytes:,} bytes, more than a file of the state may have"
                    )
                if size + kept.nbytes > LARGEST_FILE:
                    files.append({})
                    size = 0
                size += kept.nbytes
                files[-1][f"{relative}::{name}"] = kept
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, tensors in enumerate(files, 1):
            save_file(tensors, partial / f"tensors-{number:05}.safetensors")
        (partial / INDEX).write_text(json.dumps(texts), encoding="utf-8")
        written = sum(path.stat().st_size for path in partial.iterdir())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return written


def unpack_run(folder: Path, run: Path) -> None:
    """Write a run again from its state, all in fp32.

    Raises:
        InputError: the state is damaged, or names files outside of the run.
        TrainingError: the run cannot be written.
    """
    try:
        texts = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        tensors: dict[str, Tensor] = {}
        for path in sorted(folder.glob("tensors-*.safetensors")):
            tensors |= load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: must be the state of a run ({first_sentence(error)})") from error
    files: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        relative, _, name = key.partition("::")
        files.setdefault(relative, {})[name] = tensor.float() if tensor.is_floating_point() else tensor
    partial = run.with_name(f".{run.name}.partial")
    for relative in [*texts, *files]:
        path = Path(relative)
        allowed = _TEXTS if relative in texts else (".safetensors",)
        if path.is_absolute() or ".." in path.parts or path.suffix not in allowed:
            raise InputError(f"{folder}: must name files of the run, got {relative}")
    with writing(run):
        shutil.rmtree(partial, ignore_errors=True)
        for relative, content in files.items():
            (partial / relative).parent.mkdir(parents=True, exist_ok=True)
            save_file(content, partial / relative, metadata={"format": "pt"})
        for relative, text in texts.items():
            path = partial / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_with_sizes(path, text) if path.name == STATE else text, encoding="utf-8")
        partial.rename(run)


def _needed(run: Path, pipelines: Sequence[Path]) -> Iterator[Path]:
    """The files to keep: of pipelines, and of unfinished training runs in folders ``STAGE/run``."""
    for folder in pipelines:
        yield from sorted(path for path in folder.rglob("*") if path.suffix in (*_TEXTS, ".safetensors"))
    for stage in sorted(run.glob("*/run")):
        checkpoint = newest_checkpoint(stage)
        if (stage / "pipeline").is_dir() or checkpoint is None:
            continue
        yield from sorted(path for path in stage.glob("*") if path.suffix in _TEXTS)
        yield from sorted(checkpoint.iterdir())


def _halved(tensor: Tensor) -> Tensor:
    """In half precision, if it is not made of whole numbers and none is too large."""
    if tensor.is_floating_point() and tensor.numel() and tensor.abs().max() < _HALF_MAX:
        return tensor.half()
    return tensor


def _restarting(path: Path) -> str:
    """A checkpoint's state with a word on the optimiser, which begins anew there."""
    state = json.loads(path.read_text(encoding="utf-8"))
    state["progress"]["optimizer_began"] = state["progress"]["step"]
    return json.dumps(state, indent=2) + "\n"


def _with_sizes(path: Path, text: str) -> str:
    """A checkpoint's state with the sizes that its files have now."""
    state = json.loads(text)
    state["files"] = {name: (path.parent / name).stat().st_size for name in state["files"]}
    return json.dumps(state, indent=2) + "\n"
