"""One batch of pairs to the losses of the motion networks, in one direction or in both. All five variants are here.

Wang & Li, "Large displacement motion transfer with unsupervised anytime interpolation", ICML 2025. Per direction:

1. the backbone: keypoints, direct dense motion, and the losses that shape these (equivariance, warp, background);
2. two candidate times; the selector prefers one (in warm-up, chance does); the source is animated over its interpolated image
   there, and the losses flow through that; the other candidate is generated too, without gradient;
3. the final errors of both are known now, and the selector learns which one is better.

The way back takes the complementary time, so that both interpolated images show one pose and can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from motion_core.hops import Generated, Hops, displacement
from motion_core.interpolation import candidate_times
from motion_core.structures import EncodedSource, Keypoints

from . import losses
from .config import TrainingConfig
from .draws import Draws, draw
from .networks import hops_of
from .phase import Phase

BIDIRECTIONAL = ("int_bt", "full", "v2")
WITH_TRANSFORMER = ("full", "v2")


@dataclass(frozen=True)
class StepOutput:
    """What a step says of a batch.

    Attributes:
        losses: weighted means over the batch, 0-d, by name.
        total: their sum.
        figures: one number per sample ``(B,)``, without gradient, by name.
        images: ``(B, C, H, W)`` in [0, 1], without gradient, by name.
    """

    losses: dict[str, Tensor]
    total: Tensor
    figures: dict[str, Tensor] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class _End:
    """One of the two images of a pair: the source of one direction and the goal of the other."""

    encoded: EncodedSource
    vgg: tuple[Tensor, ...]

    @property
    def image(self) -> Tensor:
        return self.encoded.image

    @property
    def keypoints(self) -> Keypoints:
        return self.encoded.keypoints


@dataclass(frozen=True)
class _Way:
    """What one direction gave: the final image, its VGG features, and how it was made."""

    generated: Generated
    vgg: tuple[Tensor, ...]
    error: Tensor  # (B,)


class MotionStep(nn.Module):
    """Called with a batch of pairs and the phase of the training; the networks alone are its parameters.

    Args:
        networks: by their names in a pipeline, as `train.networks.build_networks` makes them.
        config: of the run.
        features: what images are compared with, on the device of the training: "vgg" and, in `WITH_TRANSFORMER`, "vit" where
            the appearance or the structure loss has a weight.
    """

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig, features: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks, self.config = networks, config
        self._features = (dict(features),)  # hidden in a tuple, since it is not to be trained, wrapped or saved

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """Losses of pairs.

        Args:
            batch: "source" and "driving" ``(B, 3, H, W)`` in [0, 1], "number" ``(B,)`` of each sample.
            phase: of the training.
        """
        source, driving = batch["source"], batch["driving"]
        drawn = self._draw(batch["number"], source.device)
        kept = drawn.dropout >= phase.dropout if phase.dropout else None
        hops = hops_of(self.networks, kept)
        parts: dict[str, Tensor] = {}

        # 1. Both images and their background motion
        bidirectional = self.config.variant in BIDIRECTIONAL
        there, back = self._ends(hops, batch, drawn, phase, parts, bidirectional)
        transform, inverse = background_motion(self.networks, source, driving, phase, parts)

        # 2. The way there, over the preferred candidate; in one hop it is the direct motion
        if self.config.variant == "tpsmm":
            t = torch.zeros(len(source), device=source.device)
            way = self._generate(hops, there, back, transform, t)
            direct = way.generated.hops[-1]
        else:
            t, way = self._preferred(hops, there, back, transform, drawn, phase, parts)
            direct = hops.backbone.motion(there.encoded, back.keypoints, transform)
        parts["reconstruction"] = way.error

        # 3. What shapes the direct motion, in both directions if both are trained
        warp = losses.warp_loss(there.encoded.features, back.encoded.features, direct)
        if bidirectional:
            returning = hops.backbone.motion(back.encoded, there.keypoints, inverse)
            warp = (warp + losses.warp_loss(back.encoded.features, there.encoded.features, returning)) / 2
        parts["warp"] = warp

        # 4. The way back, over the same pose
        if bidirectional:
            # At t = 0 the image animated is the source itself; the way back reaches that pose in one hop.
            complement = torch.where(t == 0, torch.zeros_like(t), 1 - t)
            other = self._generate(hops, back, there, inverse, complement)
            parts["reconstruction"] = (way.error + other.error) / 2
            self._compare(way, other, there, back, t > 0, phase, parts)

        weighted = {name: phase.weights[name] * values.mean() for name, values in parts.items() if phase.weights[name]}
        with torch.no_grad():
            figures = {
                "l1": losses.absolute_difference(way.generated.image, driving),
                "copy": losses.absolute_difference(source, driving),
                "t": t,
                "displacement": displacement(there.keypoints, back.keypoints),
                "visibility": way.generated.visible.mean(dim=(1, 2, 3)),
            }
            images = {
                "source": source,
                "driving": driving,
                "prediction": way.generated.image,
                "interpolation": way.generated.optimal.image,
                "visible": way.generated.visible.expand(-1, 3, -1, -1),
            }
        return StepOutput(
            weighted,
            torch.stack(tuple(weighted.values())).sum(),
            {name: value.detach().float() for name, value in figures.items()},
            {name: value.detach().float() for name, value in images.items()},
        )

    def _draw(self, numbers: Tensor, device: torch.device) -> Draws:
        model = self.config.model
        return draw(self.config.seed, numbers.tolist(), model.candidates, model.num_splines, device)

    def _vgg(self, image: Tensor) -> tuple[Tensor, ...]:
        return self._features[0]["vgg"](image)

    def _ends(
        self,
        hops: Hops,
        batch: dict[str, Tensor],
        drawn: Draws,
        phase: Phase,
        parts: dict[str, Tensor],
        bidirectional: bool,
    ) -> tuple[_End, _End]:
        """Both images encoded, and the losses of their keypoints; equivariance of the source's only where it is a goal too."""
        source, driving = batch["source"], batch["driving"]
        images = [source, driving]
        bent = []
        if phase.weights["equivariance"]:
            bent = [(driving, drawn.splines[1])] + ([(source, drawn.splines[0])] if bidirectional else [])
            images += [spline.transform_image(image) for image, spline in bent]
        points = self.networks["keypoint_detector"](torch.cat(images)).points.split(len(source))  # one BatchNorm batch
        if bent:
            found = zip((points[1], points[0]), points[2:], (spline for _, spline in bent), strict=False)
            terms = [
                losses.equivariance_loss(here.flatten(1, 2), spline.transform_points(there.flatten(1, 2)))
                for here, there, spline in found
            ]
            parts["equivariance"] = torch.stack(terms).mean(dim=0)
        there = hops.backbone.encode(source, Keypoints(points[0]))
        with torch.set_grad_enabled(bidirectional and torch.is_grad_enabled()):
            back = hops.backbone.encode(driving, Keypoints(points[1]))
        with torch.no_grad():
            goals = self._vgg(source) if bidirectional else (), self._vgg(driving)
        return _End(there, goals[0]), _End(back, goals[1])

    def _generate(self, hops: Hops, start: _End, goal: _End, transform: Tensor | None, t: Tensor) -> _Way:
        generated = hops.generate([start.encoded], goal.keypoints, [transform], t)
        features = self._vgg(generated.image)
        return _Way(generated, features, losses.perceptual_loss(features, goal.vgg))

    def _preferred(
        self,
        hops: Hops,
        start: _End,
        goal: _End,
        transform: Tensor | None,
        drawn: Draws,
        phase: Phase,
        parts: dict[str, Tensor],
    ) -> tuple[Tensor, _Way]:
        """The preferred candidate's time and what became of it; the selector's loss, if it has one, goes to `parts`."""
        times = candidate_times(self.config.model.candidates).to(start.image.device)[drawn.candidates]  # (B, 2)
        with torch.no_grad():
            candidates = hops.candidates(start.encoded, goal.keypoints, transform, times)
        scores = self.networks["selector"](start.encoded.small_image.detach(), candidates)  # (B, 2)
        better = drawn.coin if phase.warmup else scores.argmax(dim=1)  # (B,)
        t, rest = (times.gather(1, index[:, None]).squeeze(1) for index in (better, 1 - better))
        way = self._generate(hops, start, goal, transform, t)
        if phase.weights["ranking"]:
            with torch.no_grad():
                other = self._generate(hops, start, goal, transform, rest)
            errors = torch.stack((way.error.detach(), other.error), dim=1)  # (B, 2): the preferred one, the other
            ranked = torch.where(better[:, None] == 0, scores, scores.flip(1))
            parts["ranking"] = losses.ranking_loss(ranked, errors)
        return t, way

    def _compare(
        self,
        way: _Way,
        other: _Way,
        there: _End,
        back: _End,
        hopped: Tensor,
        phase: Phase,
        parts: dict[str, Tensor],
    ) -> None:
        """What the two directions' interpolated images must have in common, for the samples `hopped` ``(B,)`` that have any."""
        optimal, counterpart = way.generated.optimal.features, other.generated.optimal.features
        if phase.weights["feature"]:
            parts["feature"] = hopped * losses.feature_consistency_loss(optimal.pyramid, counterpart.pyramid)
        vit = self._features[0].get("vit")
        if (
            self.config.variant not in WITH_TRANSFORMER
            or vit is None
            or not (phase.weights["appearance"] or phase.weights["structure"])
        ):
            return
        count = len(hopped)
        seen = vit(torch.cat((optimal.image, counterpart.image, way.generated.image, other.generated.image)))
        with torch.no_grad():
            real = vit(torch.cat((there.image, back.image)))
        tokens, real_tokens = seen.class_token.split(count), real.class_token.split(count)
        keys, real_keys = seen.keys.split(count), real.keys.split(count)
        if phase.weights["appearance"]:
            both = (
                losses.appearance_loss(tokens[0], real_tokens[0], tokens[1])
                + losses.appearance_loss(tokens[1], real_tokens[1], tokens[0])
            ) / 2
            parts["appearance"] = hopped * both
        if phase.weights["structure"]:
            final = losses.structure_loss(keys[2], real_keys[1]) + losses.structure_loss(keys[3], real_keys[0])
            parts["structure"] = hopped * losses.structure_consistency_loss(keys[0], keys[1]) + final / 2


def background_motion(
    networks: nn.ModuleDict, source: Tensor, driving: Tensor, phase: Phase, parts: dict[str, Tensor]
) -> tuple[Tensor | None, Tensor | None]:
    """The background transform and that of the way back, its inverse and no prediction of its own; the loss goes to `parts`."""
    if not phase.background:
        return None, None
    predictor = networks["background_predictor"]
    both = predictor(torch.cat((source, driving)), torch.cat((driving, source)))
    transform, backward = both.chunk(2)
    parts["background"] = losses.background_loss(transform, backward)
    return transform, torch.linalg.inv(transform)
