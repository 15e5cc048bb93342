"""Make a trained pipeline the one that comes with the package: ``python -m train.ship PIPELINE --data PACK --about FILE.md``.

Half precision if that costs less than 0.1 dB against the target images of the test split, files of at most 9 MB and 30 MB in
all, and a model card: the text of FILE.md, then where every picture of PACK is from and under which licence.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motion_core.errors import InputError
from motion_core.pipeline import MotionInterpPipeline
from motion_core.saved_pipeline import SHIPPED

from .data import PairOptions, ValidationPairs
from .validation import predict

LARGEST_FILE, LARGEST_SUM = 9_000_000, 30_000_000  # bytes
MOST_LOST = 0.1  # dB of PSNR that half precision may cost
_CONTENTS = "contents.csv"


def ship(pipeline: MotionInterpPipeline, data: Path, about: str, folder: Path) -> str:
    """Write a pipeline to `folder`, in place of the one that is there; returns what is to be told about it.

    Args:
        pipeline: in fp32.
        data: as `train.pack_data` makes it.
        about: beginning of the model card, Markdown.
        folder: whole at any time.

    Raises:
        InputError: the data cannot be used, or the weights are too large.
    """
    table = provenance(data)
    exact = mean_psnr(pipeline, data)
    networks = [network for network in pipeline.components.values() if network is not None]
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    for network in networks:
        _round_to_half(network)
    lost = exact - mean_psnr(pipeline, data)
    half = lost < MOST_LOST
    for network, state in zip(networks, before, strict=True):
        network.load_state_dict(state)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", suffix=".partial") as temporary:
        made = Path(temporary) / folder.name
        pipeline.save_pretrained(made, max_shard_size=LARGEST_FILE * (2 if half else 1))
        files = list(made.rglob("*.safetensors"))
        if half:  # in the files alone: some networks compute in fp32 whatever they are told
            for path in files:
                kept = {
                    name: value.half() if value.is_floating_point() else value
                    for name, value in load_file(path).items()
                }
                save_file(kept, path, metadata={"format": "pt"})
        sizes = [path.stat().st_size for path in files]
        if max(sizes) > 1.02 * LARGEST_FILE or sum(sizes) > LARGEST_SUM:  # a file has a header as well
            raise InputError(
                f"{folder}: weights of {sum(sizes):,} bytes in files of up to {max(sizes):,} are too large to ship"
            )
        kind = "half" if half else "full"
        numbers = f"{sum(sizes) / 1e6:.1f} MB in {kind} precision; half precision costs {lost:.4f} dB of {exact:.2f} dB"
        (made / "README.md").write_text(
            f"{about.rstrip()}\n\n## Weights\n\n{numbers} against the test split.\n\n{table}", encoding="utf-8"
        )
        for path in (made, *made.rglob("*")):  # temporary folders and safetensors' files are private otherwise
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return numbers


@torch.inference_mode()
def mean_psnr(pipeline: MotionInterpPipeline, data: Path) -> float:
    """Mean PSNR in dB of the test split's images, animated as the pipeline does it, against what they should be."""
    networks: dict[str, Any] = {
        name: value for name, value in pipeline.components.items() if isinstance(value, nn.Module)
    }
    if pipeline.config["variant"] == "tpsmm":
        networks.pop("selector", None)
    height, width = pipeline.config["image_size"]
    pairs = ValidationPairs(data, PairOptions(image_size=(height, width)), per_video=1)
    total = 0.0
    for index in range(len(pairs)):
        source, driving = (pairs[index][name][None] for name in ("source", "driving"))
        image, _, _ = predict(networks, source, driving)
        total += _psnr(image, driving)
    return total / len(pairs)


def _psnr(image: Tensor, target: Tensor) -> float:
    return -10 * torch.log10((image.float() - target).square().mean().clamp_min(1e-10)).item()


def _round_to_half(network: nn.Module) -> None:
    """What half precision keeps of the weights, computed with in fp32."""
    network.load_state_dict(
        {
            name: value.half().to(value.dtype) if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        }
    )


def provenance(data: Path) -> str:
    """Markdown: how many videos of each origin and licence are in each split.

    Raises:
        InputError: the data has no list of contents.
    """
    try:
        with (data / _CONTENTS).open(encoding="utf-8", newline="") as file:
            counts = Counter((row["origin"], row["licence"], row["split"]) for row in csv.DictReader(file))
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise InputError(
            f"{data}: must be a folder that `train.pack_data` has made, with {_CONTENTS} ({error})"
        ) from None
    rows = [
        f"| {origin} | {licence} | {split} | {count} |" for (origin, licence, split), count in sorted(counts.items())
    ]
    head = "## Data\n\n| origin | licence | split | videos or pairs |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 2 for what cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m train.ship", description="Makes a trained pipeline the one that comes with the package."
    )
    add = parser.add_argument
    add("pipeline", metavar="PIPELINE", help="folder of the pipeline")
    add("--data", type=Path, required=True, metavar="PACK", help="what it was trained on, from `train.pack_data`")
    add("--about", type=Path, required=True, metavar="FILE.md", help="beginning of the model card")
    add("--out", type=Path, default=SHIPPED, metavar="FOLDER", help="(default: where the package has it)")
    options = parser.parse_args(arguments)
    try:
        try:
            about = options.about.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{options.about}: cannot be read ({error})") from None
        numbers = ship(MotionInterpPipeline.from_pretrained(options.pipeline), options.data, about, options.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {numbers}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
