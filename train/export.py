"""The end of a run: a saved pipeline with a model card, which `MotionInterpPipeline.from_pretrained` opens."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
import yaml

from motion_core.atomic import atomic_path
from motion_core.errors import InputError
from motion_core.pipeline import MotionInterpPipeline
from motion_core.saved_pipeline import save_whole
from motion_core.version import __version__

from .checkpoints import Progress, TrainingError, effective_batch, writing
from .config import TrainingConfig
from .summaries import describe_validation

PIPELINE = "pipeline"
_PATHS = (("data", "root"), ("data", "pair_list"), ("features", "vgg"), ("features", "vit"), ("output", "folder"))


def export(pipeline: MotionInterpPipeline, folder: Path, card: str) -> Path:
    """Save a pipeline as ``folder/pipeline``, in place of an earlier one; it appears whole, with its card, or not at all.

    Raises:
        TrainingError: it cannot be written.
    """
    final = folder / PIPELINE
    with writing(final), atomic_path(final, over=True) as made:
        try:
            save_whole(pipeline, made)
        except InputError as error:
            raise TrainingError(str(error)) from error
        (made / "README.md").write_text(card, encoding="utf-8")
    return final


def model_card(
    config: TrainingConfig, progress: Progress, validation: dict[str, Any], videos: int, device: str, processes: int
) -> str:
    """The model card: settings, data, progress and validation, without the paths of this machine."""
    settings = _without_paths(config.as_dict())
    head = yaml.safe_dump(
        {"library_name": "motion-core", "pipeline_tag": "image-to-video", "tags": ["motion-transfer", config.variant]},
        sort_keys=False,
    )
    hours, minutes = divmod(round(progress.seconds / 60), 60)
    height, width = config.data.image_size
    rows = {
        "Variant": f"{config.variant}, stage {config.stage}",
        "Data": f"{settings['data']['root']}: {videos} samples a pass, {width} x {height}",
        "Steps": f"{progress.step:,} of {effective_batch(config, processes)} pairs, {progress.skipped} skipped",
        "Samples": f"{progress.samples:,}",
        "Weights": f"moving average, decay {config.ema}" if config.ema else "of the last step",
        "Hardware": f"{processes} x {device}, {config.precision}",
        "Time": f"{hours} h {minutes} min",
        "Versions": f"motion-core {__version__}, PyTorch {torch.__version__}",
    }
    if validation:
        rows["Validation"] = (
            f"step {validation['step']:,}, {validation['pairs']} pairs: {describe_validation(validation)}"
        )
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items())
    return f"""---
{head}---

# {config.variant} trained on {settings["data"]["root"]}

Animates the object in a picture with the motion of a video:

```python
from motion_core import MotionInterpPipeline

pipe = MotionInterpPipeline.from_pretrained("this-folder")
pipe(source_image="me.jpg", driving_video="dance.mp4").save("out.mp4")
```

| | |
|---|---|
{table}

What the model makes is synthetic. It was trained on the data named above and nothing is known of how it does elsewhere; the
data's licences and the consent of the people in them are the trainer's to state here.

## Configuration

```yaml
{yaml.safe_dump(settings, sort_keys=False)}```
"""


def device_name(device: torch.device) -> str:
    """The device's name for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu" and (information := Path("/proc/cpuinfo")).exists():  # Linux does not tell otherwise
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or device.type


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with only the last part of every path: how this machine's folders are named is nobody's business."""
    short = settings | {"init_from": _last(settings["init_from"])}
    for section, key in _PATHS:
        short[section] = {**short[section], key: _last(short[section][key])}
    return short


def _last(path: str | None) -> str | None:
    return None if path is None else Path(path).name
