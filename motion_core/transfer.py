"""The method, once: encode a source, transfer a pose to it, select the interpolated image to animate, generate.

The pipeline, training, validation, evaluation and the UI all call it, and none of them knows which backbone it has. Gradients
flow through everything but the selection. The first hop takes the source to the keypoints of time t, and the image made there is
the source of the second hop: Wang & Li, "Large displacement motion transfer with unsupervised anytime interpolation", ICML 2025.
With a fusion ("V2"), the views of all hops are fused before anything is painted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import motion_modes
from .backbone import Motion, Source, View
from .backends import fast_backbone, fast_detector
from .background import background_between, linked
from .errors import InputError
from .framing import Box, Size
from .geometry import identity_grid_like, sample
from .interpolation import (
    KeypointPath,
    candidate_times,
    interpolate_background,
    interpolate_keypoints,
    remaining_background,
)
from .networks.view_fusion import ViewFusion, ViewKind
from .selection import FrameSelection, SteadyChoice, given_time
from .settings import AnimationSettings, Backend, Background, InterpolationSettings, Mode, MotionSettings, Strategy
from .structures import Candidates, DrivingMotion, Keypoints

# Of several pictures of the subject, one that is farther from the pose by 5 % of the width has e^(-0.1 * NEARER) times the share.
NEARER = 30.0
FAR = -4.0  # logarithm of the least share: what only a far picture shows comes from it still


@dataclass(frozen=True)
class FirstHop:
    """From a source to the interpolated images that are animated in its place.

    Attributes:
        between: the interpolated images, encoded, of batch B or 1; where t = 0, the source itself.
        motion: to them; where t = 0, none.
        background: coordinates of the interpolated images to the source's, of the same batch; None for the identity.
        t: their times, of the same batch, in [0, 1].
    """

    between: Source
    motion: Motion
    background: Tensor | None
    t: Tensor


@dataclass(frozen=True)
class Generated:
    """A source in the driving pose, and how it got there.

    Attributes:
        image: in the driving pose, ``(B, 3, H, W)`` in [0, 1].
        optimal: what was animated: the interpolated image, or where t = 0 the source itself; of batch B, or 1 where it is the
            source of all.
        hops: the motions, one or two; the last is from `optimal` to the driving pose, the other may be of batch 1 as `optimal`.
        visible: what did not have to be painted in `image`, ``(B, 1, H, W)`` in [0, 1].
        layer_logits: of the background and of each layer before it in `image`, ``(B, K + 1, h, w)``; None without layers.
    """

    image: Tensor
    optimal: Source
    hops: tuple[Motion, ...]
    visible: Tensor
    layer_logits: Tensor | None = None


@dataclass(frozen=True)
class Composed:
    """What is seen of a source in the driving pose, before the rest is painted.

    Attributes:
        view: of the source, or of several as one.
        optimal, hops: as in `Generated`.
    """

    view: View
    optimal: Source
    hops: tuple[Motion, ...]


@dataclass(frozen=True)
class Moved:
    """B sources in the poses of as many driving images, and what they were made of.

    Attributes:
        source: encoded, of batch B.
        poses: ``(B, K, N, 2)``, transferred.
        background: ``(B, 3, 3)``, coordinates of the poses to the source's; None for the identity.
        t: of the interpolated image that was animated, ``(B,)`` in [0, 1].
        generated: the result.
    """

    source: Source
    poses: Keypoints
    background: Tensor | None
    t: Tensor
    generated: Generated


class MotionTransfer:
    """The method over a set of networks.

    Args:
        networks: by their names in a pipeline, see `motion_core.components`; optional ones may be None or left out.
        kept_splines: spline dropout of all motions, for training; see `TPSMMBackbone`.
        background_size: (height, width) at which a source and driving images of other sizes and aspects are compared for the
            background's motion; None: they are of one size, and compared as they are.
        backend: what computes the networks; others than "eager" give no gradients.

    Raises:
        InputError: the networks are of no backbone.
    """

    def __init__(
        self,
        networks: Mapping[str, Any],
        kept_splines: Tensor | None = None,
        background_size: Size | None = None,
        backend: Backend = "eager",
    ) -> None:
        self.detector = fast_detector(networks["keypoint_detector"], backend)
        self.backbone = fast_backbone(
            networks["dense_motion_network"], networks["image_generator"], backend, kept_splines
        )
        self.background_predictor = networks.get("background_predictor")
        self.avd_network = networks.get("avd_network")
        self.selector: Any = networks.get("selector")
        self.view_fusion: ViewFusion | None = networks.get("view_fusion")
        self.background_size = background_size

    # 1. Both ends

    def encode(self, image: Tensor, keypoints: Keypoints | None = None) -> Source:
        """All that is computed once per source image ``(B, 3, H, W)`` in [0, 1].

        Args:
            keypoints: in it, ``(B, K, N, 2)``; None looks for them.
        """
        return self.backbone.encode(image, self.detector(image) if keypoints is None else keypoints)

    def analyse(
        self, source: Source, images: Tensor, background: Background = "identity", keypoints: Keypoints | None = None
    ) -> DrivingMotion:
        """All that is kept of driving images ``(B, 3, H, W)`` in [0, 1] of the source's size.

        Args:
            keypoints: in them, ``(B, K, N, 2)``; None looks for them.
        """
        keypoints = keypoints or self.detector(images)
        return DrivingMotion(keypoints, self.background(source, images, background, keypoints.silhouette))

    def background(
        self,
        source: Source,
        images: Tensor,
        background: Background,
        silhouettes: Tensor | None = None,
        content: Box | None = None,
    ) -> Tensor | None:
        """The background transform ``(B, 3, 3)`` from images ``(B, 3, h, w)`` in [0, 1] to a source; None: identity.

        Args:
            silhouettes: of the people in the images, ``(B, 1, h, w)``, for models that look for them.
            content: of the source's image, what is no padding; None is all of it.
        """
        predictor = self.background_predictor
        if background == "identity" or predictor is None:
            return None
        if self.background_size is None:
            return predictor(source.image.expand(len(images), -1, -1, -1), images)
        return background_between(predictor, source, images, self.background_size, silhouettes, content)

    def links(self, sources: Sequence[Source], background: Background = "identity") -> list[Tensor | None]:
        """Of each source, the background transform ``(1, 3, 3)`` from the first one's coordinates to its own; None: identity."""
        if background == "identity" or self.background_predictor is None:
            return [None for _ in sources]
        first, silhouette = sources[0].image, sources[0].keypoints.silhouette
        eye = torch.eye(3, device=first.device)[None]
        return [eye, *(self.background(other, first, background, silhouette) for other in sources[1:])]

    # 2. Transferred keypoints

    def mode_of(self, settings: MotionSettings) -> Mode:
        """The mode that the settings mean with these networks: "auto" is "pose" where keypoints are limbs, else "relative"."""
        if settings.mode != "auto":
            return settings.mode
        return "relative" if self.detector.parents is None else "pose"

    def transfer(
        self,
        source: Keypoints,
        driving: Keypoints,
        settings: MotionSettings,
        initial: Keypoints | None = None,
    ) -> Keypoints:
        """The driving keypoints carried over to the source's object, ``(B, K, N, 2)``.

        Args:
            source: ``(1, K, N, 2)``, or with the modes "standard" and "avd" ``(B, K, N, 2)``.
            driving: ``(B, K, N, 2)``.
            settings: `mode` and `strength`.
            initial: for "relative" and "pose", see `motion_modes`; None is the first of the driving poses.
        """
        start = Keypoints(driving.points[:1]) if initial is None else initial
        parents = self.detector.parents
        match self.mode_of(settings):
            case "pose":
                transferred = motion_modes.pose(source, driving, start, parents)
            case "relative" if parents is None:
                transferred = motion_modes.relative(source, driving, start)
            case "relative":
                transferred = motion_modes.relative_limbs(source, driving, start, parents)
            case "avd" if self.avd_network is not None:
                transferred = motion_modes.avd(self.avd_network, source, driving)
            case _:
                transferred = motion_modes.standard(driving)
        return motion_modes.with_strength(source, transferred, settings.strength)

    # 3. The optimal interpolated image

    def select(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        settings: InterpolationSettings,
        steady: SteadyChoice,
    ) -> list[FrameSelection]:
        """Which interpolated image is animated, for each of the poses ``(B, K, N, 2)``.

        Args:
            background: ``(B, 3, 3)``, coordinates of the poses to the source's; None for the identity.
            settings: `t`, `strategy` and `path`.
            steady: carries the choice from batch to batch of one video.
        """
        count = len(poses.points)
        if settings.t is not None:
            return given_time(settings.t, count)
        if self.selector is None:
            return given_time(0, count)
        strategy: Strategy = settings.strategy or self.selector.default_strategy
        if strategy in ("none", "fixed"):
            return given_time(self.selector.fixed_time if strategy == "fixed" else 0, count)
        return steady(*self.scores(source, poses, background, strategy, settings.path))

    def scores(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        strategy: Strategy,
        path: KeypointPath = "linear",
    ) -> tuple[Tensor, Tensor]:
        """The candidates' times ``(M,)`` and their scores ``(B, M)``, higher is better; by "learned", "analytic" or "images".

        Raises:
            InputError: another strategy.
        """
        times = candidate_times(self.selector.num_candidates).to(poses.points.device)  # (M,)
        grid = times.expand(len(poses.points), -1)  # (B, M)
        if strategy == "images":
            return times, self.image_scores(source, poses, background, grid, path)
        if strategy not in ("learned", "analytic"):
            raise InputError(f"strategy {strategy!r} has no scores")
        candidates = self.candidates(source, poses, background, grid, path)
        if strategy == "analytic":
            return times, self.selector.analytic(candidates)
        return times, self.selector(source.small_image, candidates)

    def candidates(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        times: Tensor,
        path: KeypointPath = "linear",
    ) -> Candidates:
        """The first hops to `times` ``(B, M)`` on the way to B poses, at the dense motion's own size; no image is made."""
        batch, count = times.shape
        t = times.flatten()  # (B * M,)
        start = self.backbone.repeated(source, count)
        goal = Keypoints(poses.points.repeat_interleave(count, dim=0))  # (B * M, K, N, 2)
        keypoints = interpolate_keypoints(start.keypoints, goal, t, path)
        transform = None if background is None else interpolate_background(_each(background, count), t)
        motion = self.backbone.coarse(start, keypoints, transform)
        still = (t == 0)[:, None, None, None]
        deformation = torch.where(still, identity_grid_like(motion.deformation), motion.deformation)
        return Candidates(
            times,
            deformation.unflatten(0, (batch, count)),
            motion.visibility.unflatten(0, (batch, count)),
            displacement(keypoints, goal).unflatten(0, (batch, count)),
            displacement(source.keypoints, poses),
        )

    def image_scores(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        times: Tensor,
        path: KeypointPath = "linear",
    ) -> Tensor:
        """The oracle for the cheap scorers: makes the image of every candidate and looks at it, ``(B, M)``.

        The score is how much of the source's identity the image has (the cosine between their coarsest features at the
        keypoints, averaged over these), less the distance of the keypoints found in it from those it was made for, less the
        motion left to the driving pose. The source itself has identity 1 and all of the motion left.

        Args:
            times: ``(B, M)`` in [0, 1].
        """
        identity = _at(self.backbone.appearance(source.image), source.keypoints)
        columns = []
        for t in times.unbind(dim=1):  # one candidate at a time, for memory
            image, keypoints, _ = self.interpolate(source, poses, background, t, path)
            features = _at(self.backbone.appearance(image), keypoints)
            kept = F.cosine_similarity(features, identity, dim=1).mean(dim=1)  # (B,)
            missed = displacement(self.detector(image), keypoints)
            left = displacement(keypoints, poses)
            real = 1 - displacement(source.keypoints, poses)
            columns.append(torch.where(t == 0, real, kept - missed - left))
        return torch.stack(columns, dim=1)

    # 4. Dense motion and image, in one hop or two

    def generate(
        self,
        sources: Sequence[Source],
        poses: Keypoints,
        backgrounds: Sequence[Tensor | None],
        t: Tensor,
        path: KeypointPath = "linear",
    ) -> Generated:
        """Take a source to poses, over its interpolated images at times t ``(B,)`` in [0, 1]; 0 is no hop.

        Arguments as in `first_hop` and `compose`.
        """
        first = self.first_hop(sources[0], poses, backgrounds[0], t, path)
        return self.paint(self.compose(sources, poses, backgrounds, first))

    def paint(self, composed: Composed) -> Generated:
        """The image of what is seen, with the rest painted."""
        backbone, view = self.backbone, composed.view
        image, visible = backbone.paint(view), backbone.visible(view)
        return Generated(image, composed.optimal, composed.hops, visible, backbone.layers(view))

    def compose(
        self,
        sources: Sequence[Source],
        poses: Keypoints,
        backgrounds: Sequence[Tensor | None],
        first: FirstHop | None = None,
    ) -> Composed:
        """What is seen of a source in poses.

        Args:
            sources: the source, of batch B or 1; with a fusion, more pictures of the same subject may follow.
            poses: ``(B, K, N, 2)``.
            backgrounds: of each source, its background transform ``(B, 3, 3)`` or None for the identity.
            first: to the images that are animated in the source's place; None animates the source itself.
        """
        backbone, source, left = self.backbone, sources[0], backgrounds[0]
        between = source if first is None else first.between
        if left is not None and first is not None and first.background is not None:
            left = remaining_background(first.background, left)
        last = backbone.motion(between, poses, left)
        view = backbone.view(between, last)
        if self.view_fusion is not None:
            known = 1 if first is None else 0  # in one hop, the view that is there already is the first source's
            real = [
                backbone.view(other, backbone.motion(other, poses, transform))
                for other, transform in list(zip(sources, backgrounds, strict=True))[known:]
            ]
            through = None
            if first is not None and self.view_fusion.composed_view:
                through = backbone.view(source, backbone.composed(first.motion, last))
            shares = nearness([each.keypoints for each in sources], poses)
            view = self._fused(self.view_fusion, view, real, through, shares, None if first is None else first.t == 0)
        return Composed(view, between, (last,) if first is None else (first.motion, last))

    def first_hop(
        self,
        source: Source,
        poses: Keypoints,
        background: Tensor | None,
        t: Tensor,
        path: KeypointPath = "linear",
    ) -> FirstHop | None:
        """The interpolated images on the way from a source to B poses; None where no sample takes a hop.

        Args:
            source: of batch B or 1.
            poses: ``(B, K, N, 2)``.
            background: ``(B, 3, 3)``, coordinates of the poses to the source's; None for the identity.
            t: ``(B,)`` in [0, 1]; 0 is no hop: the source itself is animated.
            path: of the keypoints from the source to the pose.
        """
        still = t == 0  # (B,)
        if bool(still.all()):
            return None
        image, keypoints, motion = self.interpolate(source, poses, background, t, path)
        image = torch.where(still[:, None, None, None], source.image, image)
        transform = None if background is None else interpolate_background(background, t)
        between = self.backbone.between(source, motion, image, keypoints)
        return FirstHop(between, self.backbone.unmoved(motion, still), transform, t)

    def interpolate(
        self, source: Source, pose: Keypoints, background: Tensor | None, t: Tensor, path: KeypointPath
    ) -> tuple[Tensor, Keypoints, Motion]:
        """The interpolated images at times t ``(B,)``, ``(B, 3, H, W)`` in [0, 1], with their keypoints and first hop.

        At t = 0 it is the model's reconstruction of the source.
        """
        keypoints = interpolate_keypoints(source.keypoints, pose, t, path)  # (B, K, N, 2)
        transform = None if background is None else interpolate_background(background, t)
        motion = self.backbone.motion(source, keypoints, transform)
        return self.backbone.paint(self.backbone.view(source, motion)), keypoints, motion

    def _fused(
        self,
        fusion: ViewFusion,
        animated: View,
        real: list[View],
        through: View | None,
        shares: Tensor,
        straight: Tensor | None,
    ) -> View:
        """The views of what is animated, of the pictures given and of the composed motion as one.

        Args:
            shares: of the pictures given, see `nearness`.
            straight: which samples take no hop, ``(B,)`` or ``(1,)`` bool; None is all. What is animated is a picture given
                there, and the views of an interpolated image have no weight: what becomes of a sample does not depend on the
                others of its batch.
        """
        if straight is None:
            return self.backbone.fuse(fusion, [animated, *real], ["source"] * (1 + len(real)), shares)
        views: list[View] = [animated, *real]
        kinds: list[ViewKind] = ["interpolated"]
        kinds += ["source"] * len(real)
        if through is not None:
            views.append(through)
            kinds.append("composed")
        made = shares.new_zeros(len(shares), 1).masked_fill(straight[:, None], -math.inf)  # (B, 1)
        prior = torch.cat([made, shares] + [made] * (through is not None), dim=1)  # (B, V)
        return self.backbone.fuse(fusion, views, kinds, prior)

    # 1 to 4 for pairs

    def move(
        self,
        sources: Tensor,
        driving: Tensor,
        settings: AnimationSettings,
        photos: Sequence[Tensor] = (),
        look: Callable[[Tensor], Keypoints] | None = None,
    ) -> Moved:
        """Take source images to the poses of as many driving images, both ``(B, 3, H, W)`` in [0, 1].

        What becomes of a pair does not depend on the others: each time is chosen as for the first frame of a video.

        Args:
            settings: `mode` ("standard" or "avd"), `strength` and `background`; `t`, `strategy`, `hysteresis` and `path`.
            photos: with a fusion, further pictures of the sources' subjects, each ``(B, 3, H, W)``.
            look: finds keypoints in images; None is the detector.
        """
        look = look or self.detector
        pictures = [self.encode(each, look(each)) for each in (sources, *photos)]
        source = pictures[0]
        motion = self.analyse(source, driving, settings.background, look(driving))
        poses = self.transfer(source.keypoints, motion.keypoints, settings)  # (B, K, N, 2)
        background = motion.background_transform  # (B, 3, 3)
        chosen = self.select(source, poses, background, settings, SteadyChoice(settings.hysteresis, one_video=False))
        t = poses.points.new_tensor([each.t for each in chosen])  # (B,)
        backgrounds = linked(self.links(pictures, settings.background), background)  # (B, 3, 3) each
        generated = self.generate(pictures, poses, backgrounds, t, settings.path)
        return Moved(source, poses, background, t, generated)


def nearness(pictures: Sequence[Keypoints], poses: Keypoints) -> Tensor:
    """The logarithms of the pictures' shares in the poses ``(B, K, N, 2)``: those near to a pose have more, ``(B, V)``."""
    distances = torch.stack([displacement(each, poses) for each in pictures], dim=1)  # (B, V)
    return (-NEARER * distances).log_softmax(dim=1).clamp(min=FAR)


def displacement(start: Keypoints, end: Keypoints) -> Tensor:
    """The keypoints' mean distance, ``(B,)`` in coordinate units: 2 is the width of the image."""
    return torch.linalg.vector_norm(end.points - start.points, dim=-1).mean(dim=(1, 2))


def _each(values: Tensor, count: int) -> Tensor:
    """Each sample `count` times; one serves all."""
    return values if len(values) == 1 else values.repeat_interleave(count, dim=0)


def _at(features: Tensor, keypoints: Keypoints) -> Tensor:
    """Features at the keypoints, ``(B, C, K * N)``: what a part of the object looks like, wherever it is."""
    return sample(features, keypoints.flat()[:, None]).squeeze(2)
