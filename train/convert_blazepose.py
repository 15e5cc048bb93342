"""Brings BlazePose's weights from mediapipe's TFLite file into `motion_core.networks.layered.blaze_pose`.

    pip download --no-deps mediapipe==0.10.21
    unzip mediapipe-0.10.21-*.whl mediapipe/modules/pose_landmark/pose_landmark_full.tflite
    python -m train.convert_blazepose mediapipe/modules/pose_landmark/pose_landmark_full.tflite OUT_FOLDER

The weights are Google's, under the Apache License 2.0. OUT_FOLDER gets a saved `PersonDetector` in half precision, as the file
has it: 6.5 MB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from motion_core.command_line import CommandParser
from motion_core.errors import InputError, first_sentence
from motion_core.networks.layered.blaze_pose import LANDMARKS, LATERAL, BlazePose
from motion_core.networks.layered.person_detector import PersonDetector

HEAT_MAPS = (LANDMARKS, LATERAL, 1, 1)  # a layer of the file that gives nothing that is used here


def convert(file: Path) -> BlazePose:
    """The network with the file's weights, fp32.

    Both have the same convolutions; in which order the file has them is written down in `file_order`, and shapes are checked.

    Raises:
        InputError: the file cannot be read, holds something else, or the package `tflite` is not installed.
    """
    network = BlazePose()
    read = [weights for weights in convolutions(file) if weights[0].shape != HEAT_MAPS]
    convolutions_here = list(file_order(network))
    if len(read) != len(convolutions_here):
        raise InputError(f"{file}: must hold {len(convolutions_here)} convolutions, but holds {len(read)}")
    with torch.no_grad():
        for number, (to, (kernel, bias)) in enumerate(zip(convolutions_here, read, strict=True)):
            if to.weight.shape != kernel.shape or to.bias is None:
                raise InputError(
                    f"{file}: convolution {number} must be {tuple(to.weight.shape)}, but is {tuple(kernel.shape)}"
                )
            to.weight.copy_(kernel)
            to.bias.copy_(bias)
    return network.eval()


def file_order(network: BlazePose) -> Iterator[nn.Conv2d]:
    """The network's convolutions in the order of the file, which has a level's branch after the layer that it branches off."""
    parts: list[Any] = [network.stem, network.first]
    for stage, lateral in zip(network.stages, network.lateral[:-1], strict=True):
        first, *others = list(stage.children())
        parts += [first.expand, lateral, first.project, *others]
    parts += [network.top, network.lateral[-1], network.narrow, network.at_half, network.at_full, network.silhouette]
    parts += [network.regression, network.landmarks, network.metres, network.score]
    for part in parts:
        yield from (module for module in part.modules() if isinstance(module, nn.Conv2d))


def convolutions(file: Path) -> list[tuple[Tensor, Tensor]]:
    """Kernels ``(C', C / groups, h, w)`` and biases ``(C')`` of a TFLite file's convolutions in the order they run, fp32.

    Raises:
        InputError: the file cannot be read, or the package `tflite` is not installed.
    """
    try:
        import tflite
    except ImportError:
        raise InputError("reading a TFLite file needs the package tflite: pip install tflite") from None
    try:
        model = tflite.Model.GetRootAsModel(file.read_bytes(), 0)
        graph = model.Subgraphs(0)
        operators = [graph.Operators(number) for number in range(graph.OperatorsLength())]
        kinds = [_kind(model, operator) for operator in operators]
        names = tflite.BuiltinOperator
        # Weights are stored in half precision; an operation brings each to single precision first.
        stored = {
            operator.Outputs(0): operator.Inputs(0)
            for operator, kind in zip(operators, kinds, strict=True)
            if kind == names.DEQUANTIZE
        }
        found = []
        for operator, kind in zip(operators, kinds, strict=True):
            if kind not in (names.CONV_2D, names.DEPTHWISE_CONV_2D):
                continue
            kernel, bias = (
                _values(model, graph.Tensors(stored.get(operator.Inputs(number), operator.Inputs(number))))
                for number in (1, 2)
            )
            # (C', h, w, C), and channel by channel (1, h, w, C')
            kernel = kernel.permute(0, 3, 1, 2) if kind == names.CONV_2D else kernel.permute(3, 0, 1, 2)
            found.append((kernel, bias))
    except Exception as error:  # a damaged or hostile file can make the reader raise anything
        raise InputError(f"{file}: cannot be read as a TFLite file ({first_sentence(error)})") from None
    return found


def _kind(model: Any, operator: Any) -> int:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # files older than the first have the second


def _values(model: Any, tensor: Any) -> Tensor:
    """A tensor's values, of half or single precision."""
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    shape = tuple(int(side) for side in tensor.ShapeAsNumpy())
    dtype = np.float32 if len(raw) == 4 * int(np.prod(shape)) else np.float16
    return torch.from_numpy(np.frombuffer(raw, dtype).astype(np.float32).reshape(shape))


def save(network: BlazePose, folder: Path) -> Path:
    """Write a `PersonDetector` with the network's weights in half precision; returns the file of the weights."""
    detector = PersonDetector()
    detector.network = network
    detector.save_pretrained(folder)
    (file,) = folder.glob("*.safetensors")
    save_file({name: value.half() for name, value in load_file(file).items()}, file, metadata={"format": "pt"})
    file.chmod(0o644)
    return file


def run(options: argparse.Namespace) -> None:
    file = save(convert(options.file), options.out)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser("python -m train.convert_blazepose", __doc__)
    parser.add_argument("file", type=Path, help="pose_landmark_full.tflite")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="folder of the saved detector")
    return parser.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
