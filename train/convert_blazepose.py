"""Brings the weights of mediapipe's two TFLite files for poses into `motion_core.networks.layered`.

    pip download --no-deps mediapipe==0.10.21
    unzip mediapipe-0.10.21-*.whl "mediapipe/modules/pose_*/*.tflite" -d wheel
    python -m train.convert_blazepose wheel/mediapipe/modules/pose_landmark/pose_landmark_full.tflite \\
        wheel/mediapipe/modules/pose_detection/pose_detection.tflite OUT_FOLDER

The weights are Google's, under the Apache License 2.0. OUT_FOLDER gets `person_detector`, a saved `PersonDetector`, and
`person_finder/model.safetensors`, both in half precision, as the files have it.
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
from motion_core.networks.layered.person_finder import PersonFinder

HEAT_MAPS = (LANDMARKS, LATERAL, 1, 1)  # a layer of the file that gives nothing that is used here


def convert(network: BlazePose | PersonFinder, file: Path) -> None:
    """Give a network the weights of its file.

    Both have the same convolutions; in which order the file has them is written down in `file_order`, and shapes are checked.

    Raises:
        InputError: the file cannot be read, holds something else, or the package `tflite` is not installed.
    """
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


def file_order(network: BlazePose | PersonFinder) -> Iterator[nn.Conv2d]:
    """The network's convolutions in the order of its file, which has a level's branch after the layer that it branches off."""
    branches = dict(enumerate(network.lateral[:-1]))
    if isinstance(network, PersonFinder):
        branches = {2: network.lateral[0], 3: network.lateral[1]}
    parts: list[Any] = [network.stem, network.first]
    for number, stage in enumerate(network.stages):
        first, *others = list(stage.children())
        parts += [first.expand, *([branches[number]] if number in branches else []), first.project, *others]
    parts += [network.top]
    if isinstance(network, PersonFinder):
        parts += [network.narrow[1], network.join[1], network.narrow[0], network.join[0]]
        for each in zip(network.scores, network.places, strict=True):
            parts += each
    else:
        parts += [network.lateral[-1], network.narrow, network.at_half, network.at_full, network.silhouette]
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
        # Weights are stored in half precision, some without their zeros; operations make each what it is first.
        stored = {
            operator.Outputs(0): operator.Inputs(0)
            for operator, kind in zip(operators, kinds, strict=True)
            if kind in (names.DEQUANTIZE, names.DENSIFY)
        }

        def weights(number: int) -> Tensor:
            while number in stored:
                number = stored[number]
            return _values(model, graph.Tensors(number))

        found = []
        for operator, kind in zip(operators, kinds, strict=True):
            if kind not in (names.CONV_2D, names.DEPTHWISE_CONV_2D):
                continue
            kernel, bias = weights(operator.Inputs(1)), weights(operator.Inputs(2))
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
    """A tensor's values, of half or single precision; of one without zeros, the last of its dimensions lacks them."""
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    shape = tuple(int(side) for side in tensor.ShapeAsNumpy())
    dtype = np.float32 if tensor.Type() == 0 else np.float16
    values = np.frombuffer(raw, dtype).astype(np.float32)
    if tensor.Sparsity() is None:
        return torch.from_numpy(values.reshape(shape))
    ends, columns = _indices(tensor.Sparsity().DimMetadata(len(shape) - 1))
    rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    made = np.zeros((len(ends) - 1, shape[-1]), np.float32)
    made[rows, columns] = values
    return torch.from_numpy(made.reshape(shape))


def _indices(dimension: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of a dimension without zeros, where each row's values end, behind a 0, and in which column each value is."""
    import tflite

    kinds = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}

    def read(kind: int, table: Any) -> np.ndarray:
        vector = kinds[kind]()
        vector.Init(table.Bytes, table.Pos)
        return np.asarray(vector.ValuesAsNumpy(), dtype=np.int64)

    ends = read(dimension.ArraySegmentsType(), dimension.ArraySegments())
    return ends, read(dimension.ArrayIndicesType(), dimension.ArrayIndices())


def save(network: BlazePose, finder: PersonFinder, folder: Path) -> list[Path]:
    """Write both in half precision; returns the files of the weights."""
    detector = PersonDetector()
    detector.network = network
    detector.save_pretrained(folder / "person_detector")
    (file,) = (folder / "person_detector").glob("*.safetensors")
    files = [file, folder / "person_finder" / "model.safetensors"]
    files[1].parent.mkdir(exist_ok=True)
    for path, weights in zip(files, (load_file(file), finder.state_dict()), strict=True):
        save_file({name: value.half() for name, value in weights.items()}, path, metadata={"format": "pt"})
        path.chmod(0o644)
    return files


def run(options: argparse.Namespace) -> None:
    network, finder = BlazePose(), PersonFinder()
    convert(network, options.landmarks)
    convert(finder, options.detection)
    for file in save(network, finder, options.out):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser("python -m train.convert_blazepose", __doc__)
    parser.add_argument("landmarks", type=Path, help="pose_landmark_full.tflite")
    parser.add_argument("detection", type=Path, help="pose_detection.tflite")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="motion_core/weights, where they are")
    return parser.run(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
