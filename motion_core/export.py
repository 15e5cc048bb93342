"""A model as ONNX files, for programs without torch: three graphs of a fixed size, checked against torch with onnxruntime.

- ``keypoints.onnx``: an image to the keypoints in it.
- ``source.onnx``: a source image and its keypoints to all that is computed once per source.
- ``frame.onnx``: that, the source's keypoints and those of a pose to the source image in that pose.

docs/export.md has the names and shapes, and a program that animates with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from . import demo, media
from .atomic import atomic_path
from .errors import InputError
from .networks.layered import layer_painter, layout_network
from .onnx_graphs import Graph, graphs_of
from .pipeline import MotionInterpPipeline
from .saved_pipeline import check_target

OPSET = 18
TOLERANCE = 1e-3  # mean difference from torch above which a graph is refused
INSTALL = "exporting needs onnx and onnxruntime: pip install '.[onnx]'"


@dataclass(frozen=True)
class Exported:
    """One graph, and how far what it gives is from what torch gives, over all outputs.

    Attributes:
        name: of the file in the folder.
        maximum, mean: absolute differences.
    """

    name: str
    maximum: float
    mean: float


def export_onnx(pipeline: MotionInterpPipeline, folder: str | PathLike[str], size: int | None = None) -> list[Exported]:
    """Write the three graphs into a new folder, which appears complete and checked or not at all.

    Args:
        pipeline: in fp32 on the CPU.
        folder: to make.
        size: side of the images; None is the model's own, (height, width).

    Raises:
        InputError: another size than its networks take, a folder that is there already, onnx or onnxruntime is not installed, or
            onnxruntime computes something else.
    """
    try:
        import onnx  # noqa: F401 torch needs it
        import onnxruntime  # noqa: F401
    except ImportError:
        raise InputError(INSTALL) from None
    check_target(folder)
    height, width = pipeline.check_size(pipeline.config["image_size"] if size is None else size)
    image, other = (
        media.to_float(drawn[None, :height, :width])
        for drawn in (demo.source_picture(max(height, width)), demo.driving_frames(4, max(height, width))[1])
    )  # (1, 3, H, W)
    with torch.no_grad(), whole_maps(), atomic_path(folder) as partial:
        partial.mkdir()
        return [_write(graph, partial) for graph in graphs_of(pipeline, image, other)]


def _write(graph: Graph, folder: Path) -> Exported:
    """Write one graph and run it once with onnxruntime."""
    path, module = folder / graph.name, graph.module.eval()
    # Before, since with it `Up` and `Block` make their kernels, which ONNX wants as constants.
    wanted = module(*graph.inputs.values())
    with _exportable(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that shapes become constants, as they should, and that this exporter is the older
        torch.onnx.export(
            module,
            tuple(graph.inputs.values()),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=False,
        )
    given = run_onnx(path, {name: value.numpy() for name, value in graph.inputs.items()})
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    apart = np.concatenate([np.abs(a - b.numpy()).ravel() for a, b in zip(given, wanted, strict=True)])
    exported = Exported(path.name, float(apart.max()), float(apart.mean()))
    if not exported.mean <= TOLERANCE:
        raise InputError(
            f"{path.name}: onnxruntime computes something else than torch (mean difference {exported.mean:.2g})"
        )
    return exported


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs of a graph, by onnxruntime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of constants that it folds
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    used = {value.name for value in session.get_inputs()}
    return session.run(None, {name: value for name, value in inputs.items() if name in used})


@contextmanager
def whole_maps() -> Iterator[None]:
    """Within it, people are computed in all of the picture: which part a figure needs is no constant of a graph."""

    def everything(busy: Tensor, margin: int, multiple: int) -> tuple[slice, slice]:
        return slice(0, busy.shape[-2]), slice(0, busy.shape[-1])

    with (
        mock.patch.object(layout_network, "busy_part", everything),
        mock.patch.object(layer_painter, "busy_part", everything),
    ):
        yield


@contextmanager
def _exportable() -> Iterator[None]:
    """Within it, what the exporter cannot write is computed in ways that it can."""
    movedim, shape = Tensor.movedim, vars(torch._C.TensorBase)["shape"]

    def counted_from_the_front(tensor: Tensor, source: int, destination: int) -> Tensor:
        return movedim(tensor, source % tensor.ndim, destination % tensor.ndim)  # a negative axis is written as it is

    def inverse(matrix: Tensor) -> Tensor:
        return solve(matrix, torch.eye(matrix.shape[-1]).expand_as(matrix))

    def numbers(tensor: Tensor) -> torch.Size:
        return torch.Size(int(side) for side in shape.__get__(tensor))  # what is made of a size is a constant too

    with (
        mock.patch.object(Tensor, "shape", property(numbers)),
        mock.patch.object(torch.linalg, "solve", solve),
        mock.patch.object(torch.linalg, "inv", inverse),
        mock.patch.object(Tensor, "movedim", counted_from_the_front),
        mock.patch.object(Tensor, "mT", property(lambda matrix: matrix.transpose(-2, -1))),
    ):
        yield


def solve(system: Tensor, right: Tensor) -> Tensor:
    """The solution x of A x = b by Gauss-Jordan elimination on A^T A x = A^T b, in fp64.

    A^T A is positive definite, so that no rows need to be exchanged; its condition, the square of A's, is what fp64 is for.

    Args:
        system: A, ``(..., n, n)``.
        right: b, ``(..., n, m)``.
    """
    transposed = system.double().transpose(-1, -2)
    rows = torch.cat((transposed @ system.double(), transposed @ right.double()), dim=-1)  # (..., n, n + m)
    count = system.shape[-1]
    eye = torch.eye(count, dtype=torch.float64)
    for index in range(count):
        pivot = rows[..., index : index + 1, :] / rows[..., index : index + 1, index : index + 1]
        rows = rows - (rows[..., index : index + 1] - eye[:, index : index + 1]) * pivot
    return rows[..., count:].to(right.dtype)
