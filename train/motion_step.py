"""Losses of a batch of pairs for the motion networks, in one direction or in both. All five variants are here.

Wang & Li, "Large displacement motion transfer with unsupervised anytime interpolation", ICML 2025. Per direction:

1. the backbone: keypoints, direct dense motion, and the losses that shape these (equivariance, warp, background);
2. two candidate times; the selector prefers one (in warm-up, chance does); the source is animated over its interpolated image
   there, and the losses flow through that; the other candidate is generated too, without gradient;
3. the final errors of both are known now, and the selector learns which one is better.

The backward direction takes the complementary time, so that both interpolated images show one pose and can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from motion_core.interpolation import candidate_times
from motion_core.structures import (
    EncodedSource,
    Keypoints,
    SourceFeatures,
    first_samples,
    joined,
    swapped_halves,
)
from motion_core.transfer import Generated, MotionTransfer, displacement

from . import losses
from .config import TrainingConfig
from .draws import Draws, draw
from .schedule import Phase

BIDIRECTIONAL = ("int_bt", "full", "v2")
WITH_TRANSFORMER = ("full", "v2")

Losses = dict[str, Tensor]  # by the names of `train.config.LossWeights`, ``(B,)`` each, without weights


@dataclass(frozen=True)
class StepOutput:
    """Losses and figures of a batch.

    Attributes:
        losses: weighted means over the batch, 0-d, by name.
        figures: one number per sample ``(B,)``, without gradient, by name.
        images: ``(B, C, H, W)`` in [0, 1], without gradient, by name.
    """

    losses: dict[str, Tensor]
    figures: dict[str, Tensor] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The sum of the losses, 0-d."""
        return torch.stack(tuple(self.losses.values())).sum()


@dataclass(frozen=True)
class _Ways:
    """Sources on their way to their targets, N of them: of B pairs, N = B in one direction; in both, 2 B, the forward ones first.

    Both directions are one batch, which costs less than two; what becomes of a sample does not depend on the others.
    """

    source: EncodedSource
    target: SourceFeatures  # the target's own features, without gradient in one direction
    pose: Keypoints  # the target's, (N, K, P, 2)
    background: Tensor | None  # (N, 3, 3)
    vgg: tuple[Tensor, ...]  # of the targets


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
        self.bidirectional = config.variant in BIDIRECTIONAL
        self._features = (dict(features),)  # hidden in a tuple, since it is not to be trained, wrapped or saved

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """Losses of pairs.

        Args:
            batch: "source" and "driving" ``(B, 3, H, W)`` in [0, 1], "number" ``(B,)`` of each sample.
            phase: of the training.
        """
        images = batch["source"], batch["driving"]
        drawn = self._draw(batch["number"], images[0].device)
        kept = drawn.dropout >= phase.dropout if phase.dropout else None  # (B, K)
        forward = method = MotionTransfer(dict(self.networks.items()), kept_splines=kept)
        if kept is not None and self.bidirectional:
            method = MotionTransfer(dict(self.networks.items()), kept_splines=kept.repeat(2, 1))

        # 1. Keypoints, and the ways from source to driving image and, in both directions, back
        keypoints, of_keypoints = self._keypoints(images, drawn, phase)
        transforms, of_background = background_motion(self.networks, *images, phase)
        ways = self._ways(method, images, keypoints, transforms)

        # 2. The preferred candidate's time; a plain backbone has one hop, the direct motion
        of_selector: Losses = {}
        t = torch.zeros(len(batch["number"]), device=images[0].device)  # (B,)
        rest, scores = t, None
        if self.config.variant != "tpsmm":
            t, rest, scores = self._preferred(forward, first_samples(ways, len(t)), drawn, phase)

        # 3. The images, made over the same pose in both directions, and their errors. At t = 0 the image animated is the
        # source itself, and the backward direction reaches that pose in one hop.
        times = torch.cat((t, torch.where(t == 0, t, 1 - t))) if self.bidirectional else t  # (N,)
        generated, errors = self._generate(method, ways, times)
        if scores is not None:
            with torch.no_grad():
                _, error = self._generate(forward, first_samples(ways, len(t)), rest)
            both = torch.stack((errors[: len(t)].detach(), error), dim=1)  # (B, 2): the preferred one, the other
            of_selector = {"ranking": losses.ranking_loss(scores, both)}

        # 4. The loss of the direct motion, the mean of both directions, and what their interpolated images must share
        plain = self.config.variant == "tpsmm"
        direct = generated.hops[-1] if plain else method.backbone.motion(ways.source, ways.pose, ways.background)
        warps = losses.warp_loss(ways.source.features, ways.target, direct)  # (N,)
        reconstruction, warp = (each.unflatten(0, (-1, len(t))).mean(dim=0) for each in (errors, warps))  # (B,)
        of_both = self._consistency(generated, images, t > 0, phase) if self.bidirectional else {}

        # 5. Weighted means, and what is reported
        parts: Losses = {"reconstruction": reconstruction, "warp": warp}
        parts |= of_keypoints | of_background | of_selector | of_both
        image, optimal, visible = (
            each[: len(t)] for each in (generated.image, generated.optimal.image, generated.visible)
        )
        figures = {
            "l1": losses.absolute_difference(image, images[1]),
            "copy": losses.absolute_difference(*images),
            "t": t,
            "displacement": displacement(*keypoints),
            "visibility": visible.mean(dim=(1, 2, 3)),
        }
        shown = {
            "source": images[0],
            "driving": images[1],
            "prediction": image,
            "interpolation": optimal,
            "visible": visible.expand(-1, 3, -1, -1),
        }
        return StepOutput(
            phase.weighted(parts),
            {name: value.detach().float() for name, value in figures.items()},
            {name: value.detach().float() for name, value in shown.items()},
        )

    def _draw(self, numbers: Tensor, device: torch.device) -> Draws:
        model = self.config.model
        return draw(self.config.seed, numbers.tolist(), model.candidates, model.num_splines, device)

    def _vgg(self, image: Tensor) -> tuple[Tensor, ...]:
        return self._features[0]["vgg"](image)

    def _keypoints(
        self, images: tuple[Tensor, Tensor], drawn: Draws, phase: Phase
    ) -> tuple[tuple[Keypoints, Keypoints], Losses]:
        """Keypoints of source and driving, and their equivariance loss; the source's own only if it is a target too."""
        targets = (1, 0) if self.bidirectional else (1,)
        bent = targets if phase.weights.equivariance else ()
        warped = [drawn.splines[index].transform_image(images[index]) for index in bent]
        found = self.networks["keypoint_detector"](torch.cat((*images, *warped)))  # one batch for BatchNorm
        points = found.points.split(len(images[0]))  # (B, K, N, 2) each
        terms = [
            losses.equivariance_loss(
                points[index].flatten(1, 2), drawn.splines[index].transform_points(moved.flatten(1, 2))
            )
            for index, moved in zip(bent, points[2:], strict=True)
        ]
        of_keypoints = {"equivariance": torch.stack(terms).mean(dim=0)} if terms else {}
        return (Keypoints(points[0]), Keypoints(points[1])), of_keypoints

    def _ways(
        self,
        method: MotionTransfer,
        images: tuple[Tensor, Tensor],
        keypoints: tuple[Keypoints, Keypoints],
        transforms: tuple[Tensor, Tensor] | None,
    ) -> _Ways:
        """The ways of a batch of pairs; in one direction alone, the target's features have no gradient."""
        if not self.bidirectional:
            source = method.encode(images[0], keypoints[0])
            with torch.no_grad():
                target, vgg = method.encode(images[1], keypoints[1]).features, self._vgg(images[1])
            return _Ways(source, target, keypoints[1], None if transforms is None else transforms[0], vgg)
        source = method.encode(torch.cat(images), joined(keypoints))
        with torch.no_grad():
            vgg = self._vgg(torch.cat(images[::-1]))
        background = None if transforms is None else torch.cat(transforms)
        return _Ways(source, swapped_halves(source.features), swapped_halves(source.keypoints), background, vgg)

    def _generate(self, method: MotionTransfer, ways: _Ways, t: Tensor) -> tuple[Generated, Tensor]:
        """The sources animated over their interpolated images at times t ``(N,)``, and the errors ``(N,)``."""
        generated = method.generate([ways.source], ways.pose, [ways.background], t)
        return generated, losses.perceptual_loss(self._vgg(generated.image), ways.vgg)

    def _preferred(
        self, method: MotionTransfer, ways: _Ways, drawn: Draws, phase: Phase
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Times ``(B,)`` of the preferred candidate and of the other, and their scores ``(B, 2)``, None unless these learn."""
        times = candidate_times(self.config.model.candidates).to(drawn.candidates.device)[drawn.candidates]  # (B, 2)
        learns = phase.weights.ranking > 0
        if learns or not phase.warmup:
            with torch.no_grad():
                candidates = method.candidates(ways.source, ways.pose, ways.background, times)
            scores = self.networks["selector"](ways.source.small_image.detach(), candidates)  # (B, 2)
        better = drawn.coin if phase.warmup else scores.argmax(dim=1)  # (B,)
        order = torch.stack((better, 1 - better), dim=1)  # (B, 2)
        t, rest = times.gather(1, order).unbind(dim=1)
        return t, rest, scores.gather(1, order) if learns else None

    def _consistency(self, generated: Generated, images: tuple[Tensor, Tensor], hopped: Tensor, phase: Phase) -> Losses:
        """Losses between both directions' interpolated images, of samples that have any (`hopped`, ``(B,)``)."""
        optimal, weights, found = generated.optimal, phase.weights, dict[str, Tensor]()
        if weights.feature:
            halves = zip(*(level.chunk(2) for level in optimal.features.pyramid), strict=True)
            found["feature"] = hopped * losses.feature_consistency_loss(*halves)
        if self.config.variant not in WITH_TRANSFORMER or not (weights.appearance or weights.structure):
            return found
        vit = self._features[0]["vit"]
        made = vit(torch.cat((optimal.image, generated.image)))
        with torch.no_grad():
            real = vit(torch.cat(images))
        tokens, real_tokens = made.class_token.split(len(hopped)), real.class_token.split(len(hopped))  # (B, D) each
        keys, real_keys = made.keys.split(len(hopped)), real.keys.split(len(hopped))  # (B, T, D) each
        if weights.appearance:
            both = losses.appearance_loss(tokens[0], real_tokens[0], tokens[1])
            both = both + losses.appearance_loss(tokens[1], real_tokens[1], tokens[0])
            found["appearance"] = hopped * both / 2
        if weights.structure:
            final = losses.structure_loss(keys[2], real_keys[1]) + losses.structure_loss(keys[3], real_keys[0])
            found["structure"] = hopped * losses.structure_consistency_loss(keys[0], keys[1]) + final / 2
        return found


def background_motion(
    networks: nn.ModuleDict, source: Tensor, driving: Tensor, phase: Phase
) -> tuple[tuple[Tensor, Tensor] | None, Losses]:
    """The background transform, its inverse for the backward direction, which is no prediction of its own, and the loss."""
    if not phase.background:
        return None, {}
    predictor = networks["background_predictor"]
    transform, backward = predictor(torch.cat((source, driving)), torch.cat((driving, source))).chunk(2)
    return (transform, torch.linalg.inv(transform)), {"background": losses.background_loss(transform, backward)}
