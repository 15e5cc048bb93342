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
from torch import Tensor, nn

from . import demo, media
from .atomic import atomic_path
from .errors import InputError
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .pipeline import MotionInterpPipeline
from .saved_pipeline import check_target
from .structures import EncodedSource, Keypoints, SourceFeatures

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


class KeypointsGraph(nn.Module):
    """Image ``(1, 3, H, W)`` in [0, 1] to points ``(1, K, N, 2)``."""

    def __init__(self, detector: KeypointDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> Tensor:
        return self.detector(image).points


class SourceGraph(nn.Module):
    """Source image and its points to the small image, the heat maps and the features of each level, from the finest."""

    def __init__(self, motion: DenseMotionNetwork, generator: ImageGenerator) -> None:
        super().__init__()
        self.motion, self.generator = motion, generator

    def forward(self, image: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        small = self.motion.shrink_source(image)
        heatmaps = self.motion.heatmaps(small, Keypoints(points))
        return small, heatmaps, *self.generator.encode(image).pyramid


class FrameGraph(nn.Module):
    """What `SourceGraph` takes and gives, and the points of a pose, to the image ``(1, 3, H, W)`` in [0, 1] in that pose."""

    def __init__(self, motion: DenseMotionNetwork, generator: ImageGenerator) -> None:
        super().__init__()
        self.motion, self.generator = motion, generator

    def forward(
        self, pose: Tensor, image: Tensor, points: Tensor, small_image: Tensor, heatmaps: Tensor, *features: Tensor
    ) -> Tensor:
        source = EncodedSource(Keypoints(points), small_image, SourceFeatures(image, features), heatmaps)
        motion = self.motion(small_image, source.keypoints, Keypoints(pose), None, heatmaps)
        return self.generator(source.features, motion)


def export_onnx(pipeline: MotionInterpPipeline, folder: str | PathLike[str], size: int | None = None) -> list[Exported]:
    """Write the three graphs into a new folder, which appears complete and checked or not at all.

    Args:
        pipeline: in fp32 on the CPU.
        folder: to make.
        size: side of the images; None is the model's own, (height, width).

    Raises:
        InputError: a model of layers, another size than its networks take, a folder that is there already, onnx or onnxruntime
            is not installed, or onnxruntime computes something else.
    """
    detector, motion, generator = (
        pipeline.keypoint_detector,
        pipeline.dense_motion_network,
        pipeline.image_generator,
    )
    if not (
        isinstance(detector, KeypointDetector)
        and isinstance(motion, DenseMotionNetwork)
        and isinstance(generator, ImageGenerator)
    ):
        raise InputError(
            f"{pipeline.model_name}: only models of the published kind are exported; where a model of layers computes depends on "
            "the picture, which a graph of a fixed size cannot follow"
        )
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
    with torch.no_grad(), atomic_path(folder) as partial:
        partial.mkdir()
        points, pose = detector(image).points, detector(other).points  # (1, K, N, 2)
        encoded = SourceGraph(motion, generator)(image, points)
        source = {"image": image, "points": points}
        features = [f"features_{level}" for level in range(len(encoded) - 2)]
        encoding = dict(zip(("small_image", "heatmaps", *features), encoded, strict=True))
        return [
            _write(KeypointsGraph(detector), partial / "keypoints.onnx", {"image": image}, ["points"]),
            _write(SourceGraph(motion, generator), partial / "source.onnx", source, list(encoding)),
            _write(
                FrameGraph(motion, generator),
                partial / "frame.onnx",
                {"pose": pose, **source, **encoding},
                ["frame"],
            ),
        ]


def _write(graph: nn.Module, path: Path, inputs: Mapping[str, Tensor], outputs: list[str]) -> Exported:
    """Write one graph and run it once with onnxruntime."""
    graph.eval()
    wanted = graph(*inputs.values())  # before, since with it `Up` makes its kernels, which ONNX wants as constants
    with _exportable(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that shapes become constants, as they should, and that this exporter is the older
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
        )
    given = run_onnx(path, {name: value.numpy() for name, value in inputs.items()})
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
def _exportable() -> Iterator[None]:
    """Within it, what the exporter cannot write is computed in ways that it can."""
    movedim = Tensor.movedim

    def counted_from_the_front(tensor: Tensor, source: int, destination: int) -> Tensor:
        return movedim(tensor, source % tensor.ndim, destination % tensor.ndim)  # a negative axis is written as it is

    with (
        mock.patch.object(torch.linalg, "solve", solve),
        mock.patch.object(Tensor, "movedim", counted_from_the_front),
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
