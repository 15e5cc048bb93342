"""The three graphs that a model is exported as, and example inputs: `graphs_of`. docs/export.md has the names and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from .networks.layered.backbone import layered_source
from .networks.layered.composition import compose
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.layout_network import LayoutNetwork
from .networks.layered.person_detector import PersonDetector, whole_region
from .networks.tpsmm.dense_motion import DenseMotionNetwork
from .networks.tpsmm.image_generator import ImageGenerator
from .networks.tpsmm.keypoint_detector import KeypointDetector
from .pipeline import MotionInterpPipeline
from .structures import EncodedSource, Keypoints, LayeredSource, SourceFeatures

LOOKS = 3  # at a picture in which a person is looked for, each nearer than the one before


@dataclass(frozen=True)
class Graph:
    """What becomes a file.

    Attributes:
        name: of the file.
        module: takes and gives tensors.
        inputs: examples, by name.
        outputs: their names.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def graphs_of(pipeline: MotionInterpPipeline, image: Tensor, other: Tensor) -> Iterator[Graph]:
    """The graphs of a model: "keypoints", "source" and "frame".

    Args:
        pipeline: in fp32 on the CPU.
        image, other: example of a source and of a driving frame, ``(1, 3, H, W)`` in [0, 1].
    """
    detector, motion, generator = (
        pipeline.keypoint_detector,
        pipeline.dense_motion_network,
        pipeline.image_generator,
    )
    graphs: tuple[nn.Module, nn.Module, nn.Module]
    found: tuple[str, ...] = ("points",)
    encoded: tuple[str, ...] = LayeredSourceGraph.OUTPUTS
    if isinstance(detector, PersonDetector):
        assert isinstance(motion, LayoutNetwork)  # as the pipeline has checked
        assert isinstance(generator, LayerPainter)
        graphs = (
            PersonGraph(detector),
            LayeredSourceGraph(motion, generator),
            LayeredFrameGraph(motion, generator),
        )
        found = PersonGraph.OUTPUTS
        looks = [_looked(graphs[0], picture) for picture in (image, other)]
    else:
        assert isinstance(detector, KeypointDetector)
        assert isinstance(motion, DenseMotionNetwork)
        assert isinstance(generator, ImageGenerator)
        graphs = KeypointsGraph(detector), SourceGraph(motion, generator), FrameGraph(motion, generator)
        levels = len(generator.encode(image).pyramid)
        encoded = ("small_image", "heatmaps", *(f"features_{level}" for level in range(levels)))
        looks = [{"image": picture, "points": detector(picture).points} for picture in (image, other)]
    find, encode, frame = graphs
    source, pose = looks[0], looks[1]["points"]
    given = {name: value for name, value in source.items() if name in ("image", "points", "silhouette")}
    made = dict(zip(encoded, encode(*given.values()), strict=True))
    looked = {name: value for name, value in source.items() if name in ("image", "region")}
    yield Graph("keypoints.onnx", find, looked, found)
    yield Graph("source.onnx", encode, given, encoded)
    inputs = {"pose": pose, "image": source["image"], "points": source["points"], **made}
    yield Graph("frame.onnx", frame, inputs, ("frame",))


# Of the published kind


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


# Of people in layers


class PersonGraph(nn.Module):
    """Image ``(1, 3, H, W)`` in [0, 1] and where to look to the limbs and the silhouette of a person, and where to look next."""

    OUTPUTS = ("points", "silhouette", "score", "next_region")

    def __init__(self, detector: PersonDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor, region: Tensor) -> tuple[Tensor, ...]:
        people = self.detector.detect(image, region)
        assert people.silhouette is not None  # it was asked for
        return people.keypoints.points, people.silhouette, people.score, people.region


class LayeredSourceGraph(nn.Module):
    """Source image, its points and the silhouette to the small image, the parts, the capsules, the scene and the colours."""

    OUTPUTS = ("small_image", "parts", "capsules", "scene", "part_colours")

    def __init__(self, layout: LayoutNetwork, painter: LayerPainter) -> None:
        super().__init__()
        self.layout, self.painter = layout, painter

    def forward(self, image: Tensor, points: Tensor, silhouette: Tensor) -> tuple[Tensor, ...]:
        keypoints = Keypoints(points)
        parts = self.layout.parts(image, keypoints, silhouette).softmax(dim=1)
        source = layered_source(self.layout, image, keypoints, parts)
        scene = self.painter.background(image, 1 - parts[:, :1])
        return source.small_image, parts, source.capsules, scene, source.part_colours


class LayeredFrameGraph(nn.Module):
    """What `LayeredSourceGraph` takes and gives, and the points of a pose, to the image ``(1, 3, H, W)`` in that pose."""

    def __init__(self, layout: LayoutNetwork, painter: LayerPainter) -> None:
        super().__init__()
        self.layout, self.painter = layout, painter

    def forward(
        self,
        pose: Tensor,
        image: Tensor,
        points: Tensor,
        small_image: Tensor,
        parts: Tensor,
        capsules: Tensor,
        scene: Tensor,
        part_colours: Tensor,
    ) -> Tensor:
        source = LayeredSource(Keypoints(points), image, small_image, parts, capsules, scene, part_colours)
        return self.painter(compose(source, self.layout(source, Keypoints(pose)), everywhere=True))


def _looked(find: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """What is found in an image after some looks at it, and what was given for the last one."""
    looked = {"image": image, "next_region": whole_region(image)}
    for _ in range(LOOKS):
        region = looked["next_region"]
        looked = {"image": image, "region": region}
        looked |= dict(zip(PersonGraph.OUTPUTS, find(image, region), strict=True))
    return looked
