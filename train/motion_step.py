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
from motion_core.structures import EncodedSource, Keypoints
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
class _Frame:
    """One frame of a pair: the source of one direction, the target of the other."""

    encoded: EncodedSource
    vgg: tuple[Tensor, ...]  # empty if it is no target

    @property
    def keypoints(self) -> Keypoints:
        return self.encoded.keypoints


@dataclass(frozen=True)
class _Direction:
    """A source animated to its target: the final image, that image's VGG features, and its error."""

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
        method = MotionTransfer(dict(self.networks.items()), kept_splines=kept)

        # 1. Keypoints, encoded frames, and the background transform of each direction
        keypoints, of_keypoints = self._keypoints(images, drawn, phase)
        source, driving = self._encoded(method, images, keypoints)
        transform, inverse, of_background = background_motion(self.networks, *images, phase)

        # 2. Forward, over the preferred candidate; a plain backbone has one hop, the direct motion
        of_selector: Losses = {}
        if self.config.variant == "tpsmm":
            t = torch.zeros(len(batch["number"]), device=images[0].device)  # (B,)
            forward = self._generate(method, source, driving, transform, t)
            direct = forward.generated.hops[-1]
        else:
            t, forward, of_selector = self._preferred(method, source, driving, transform, drawn, phase)
            direct = method.backbone.motion(source.encoded, driving.keypoints, transform)

        # 3. The loss of the direct motion
        reconstruction = forward.error  # (B,)
        warp = losses.warp_loss(source.encoded.features, driving.encoded.features, direct)  # (B,)

        # 4. Backward over the same pose: the mean of both directions, and what their interpolated images must share
        of_both: Losses = {}
        if self.bidirectional:
            direct = method.backbone.motion(driving.encoded, source.keypoints, inverse)
            warp = (warp + losses.warp_loss(driving.encoded.features, source.encoded.features, direct)) / 2
            # At t = 0 the image animated is the source itself; the backward direction reaches that pose in one hop.
            complement = torch.where(t == 0, torch.zeros_like(t), 1 - t)
            backward = self._generate(method, driving, source, inverse, complement)
            reconstruction = (forward.error + backward.error) / 2
            of_both = self._consistency(forward, backward, images, t > 0, phase)

        # 5. Weighted means, and what is reported
        parts: Losses = {"reconstruction": reconstruction, "warp": warp}
        parts |= of_keypoints | of_background | of_selector | of_both
        result = forward.generated
        figures = {
            "l1": losses.absolute_difference(result.image, images[1]),
            "copy": losses.absolute_difference(*images),
            "t": t,
            "displacement": displacement(source.keypoints, driving.keypoints),
            "visibility": result.visible.mean(dim=(1, 2, 3)),
        }
        shown = {
            "source": images[0],
            "driving": images[1],
            "prediction": result.image,
            "interpolation": result.optimal.image,
            "visible": result.visible.expand(-1, 3, -1, -1),
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

    def _encoded(
        self, method: MotionTransfer, images: tuple[Tensor, Tensor], keypoints: tuple[Keypoints, Keypoints]
    ) -> tuple[_Frame, _Frame]:
        """Source and driving frame; in one direction alone, the driving frame has no gradient and the source is no target."""
        source = method.encode(images[0], keypoints[0])
        with torch.set_grad_enabled(self.bidirectional and torch.is_grad_enabled()):
            driving = method.encode(images[1], keypoints[1])
        with torch.no_grad():
            targets = self._vgg(images[0]) if self.bidirectional else (), self._vgg(images[1])
        return _Frame(source, targets[0]), _Frame(driving, targets[1])

    def _generate(
        self, method: MotionTransfer, source: _Frame, target: _Frame, transform: Tensor | None, t: Tensor
    ) -> _Direction:
        generated = method.generate([source.encoded], target.keypoints, [transform], t)
        features = self._vgg(generated.image)
        return _Direction(generated, features, losses.perceptual_loss(features, target.vgg))

    def _preferred(
        self,
        method: MotionTransfer,
        source: _Frame,
        target: _Frame,
        transform: Tensor | None,
        drawn: Draws,
        phase: Phase,
    ) -> tuple[Tensor, _Direction, Losses]:
        """The preferred candidate's time ``(B,)``, the source animated over it, and the selector's loss."""
        times = candidate_times(self.config.model.candidates).to(target.keypoints.points.device)[
            drawn.candidates
        ]  # (B, 2)
        with torch.no_grad():
            candidates = method.candidates(source.encoded, target.keypoints, transform, times)
        scores = self.networks["selector"](source.encoded.small_image.detach(), candidates)  # (B, 2)
        better = drawn.coin if phase.warmup else scores.argmax(dim=1)  # (B,)
        t, rest = (times.gather(1, index[:, None]).squeeze(1) for index in (better, 1 - better))
        direction = self._generate(method, source, target, transform, t)
        if not phase.weights.ranking:
            return t, direction, {}
        with torch.no_grad():
            other = self._generate(method, source, target, transform, rest)
        errors = torch.stack((direction.error.detach(), other.error), dim=1)  # (B, 2): the preferred one, the other
        ranked = torch.where(better[:, None] == 0, scores, scores.flip(1))
        return t, direction, {"ranking": losses.ranking_loss(ranked, errors)}

    def _consistency(
        self, forward: _Direction, backward: _Direction, images: tuple[Tensor, Tensor], hopped: Tensor, phase: Phase
    ) -> Losses:
        """Losses between both directions' interpolated images, of samples that have any (`hopped`, ``(B,)``)."""
        optimal = forward.generated.optimal, backward.generated.optimal
        weights, found = phase.weights, dict[str, Tensor]()
        if weights.feature:
            pyramids = (each.features.pyramid for each in optimal)
            found["feature"] = hopped * losses.feature_consistency_loss(*pyramids)
        if self.config.variant not in WITH_TRANSFORMER or not (weights.appearance or weights.structure):
            return found
        vit = self._features[0]["vit"]
        made = vit(torch.cat([each.image for each in (*optimal, forward.generated, backward.generated)]))
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
) -> tuple[Tensor | None, Tensor | None, Losses]:
    """The background transform, its inverse for the backward direction, which is no prediction of its own, and the loss."""
    if not phase.background:
        return None, None, {}
    predictor = networks["background_predictor"]
    transform, backward = predictor(torch.cat((source, driving)), torch.cat((driving, source))).chunk(2)
    return transform, torch.linalg.inv(transform), {"background": losses.background_loss(transform, backward)}
