"""One batch of pictures to the losses of the image generator alone: nothing moves, and holes in it are painted.

In pairs of frames little is uncovered, and it takes many of them until the generator paints that well. Here a figure of another
picture is put in front of a picture, which is therefore known behind it. No motion is computed, so a step is also shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_core.geometry import identity_grid
from motion_core.structures import DenseMotion

from . import losses
from .config import TrainingConfig
from .motion_step import StepOutput
from .phase import Phase

LEAK = 0.2  # of masks that are learned, where they should be closed, at the most


class InpaintingStep(nn.Module):
    """Called like `train.motion_step.MotionStep`; the image generator alone is its parameter.

    Args:
        networks: by their names in a pipeline.
        config: of the run.
        features: "vgg", which images are compared in.
    """

    def __init__(self, networks: nn.ModuleDict, config: TrainingConfig, features: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.generator = networks["image_generator"]
        self._features = (dict(features),)  # hidden in a tuple, since it is not to be trained

    def forward(self, batch: dict[str, Tensor], phase: Phase) -> StepOutput:
        """The losses "reconstruction" and "pixels" of the batch's driving images.

        In front of each one is the figure of another sample's source image, and the masks have a hole where it is. What is to be
        painted is not in the picture that is encoded: from a hole alone, the encoder would learn to pass on what is in it.
        """
        image = batch["driving"]
        silhouettes, others = (each.roll(1, dims=0) for each in (batch["silhouette"][:, 0], batch["source"]))
        known = silhouettes.amin(dim=(1, 2, 3), keepdim=True) < 1  # one that is everywhere is not
        silhouettes = (silhouettes > 0) & known
        generator: Any = self.generator
        leaks = LEAK * (batch["number"] % 5) / 4
        masks = hole_masks(silhouettes.float(), leaks, len(generator.down) + 1)
        still = identity_grid(image.shape[-2], image.shape[-1], image).expand(len(image), -1, -1, -1)
        encoded = generator.encode(torch.where(silhouettes, others, image))
        painted = generator(encoded, DenseMotion(still, torch.ones_like(masks[-1]), masks))
        vgg = self._features[0]["vgg"]
        with torch.no_grad():
            goal = vgg(image)
        parts = {
            "reconstruction": losses.perceptual_loss(vgg(painted), goal),
            "pixels": losses.absolute_difference(painted, image),
        }
        weighted = {name: phase.weights[name] * value.mean() for name, value in parts.items() if phase.weights[name]}
        figures = {"l1": parts["pixels"], "visibility": masks[-1].mean(dim=(1, 2, 3))}
        return StepOutput(
            weighted,
            torch.stack(tuple(weighted.values())).sum(),
            {name: value.detach().float() for name, value in figures.items()},
            {"driving": image, "prediction": painted.detach().float()},
        )


def hole_masks(silhouettes: Tensor, leaks: Tensor, count: int) -> tuple[Tensor, ...]:
    """Occlusion masks ``(B, 1, h, w)``, from the coarsest, each half as large as the next: 0 where a silhouette is.

    They are like masks that are learned: their edges, outside of the silhouette, are soft, and all but the finest let a little
    of the figure through, which must not be painted.

    Args:
        silhouettes: ``(B, 1, H, W)``, 1 where a figure is, 0 elsewhere.
        leaks: ``(B,)``, what the masks are in the hole, all but the finest.
        count: of the masks; the finest is H x W.

    >>> [mask.mean().item() for mask in hole_masks(torch.ones(1, 1, 8, 8), torch.tensor([0.25]), 3)]
    [0.25, 0.25, 0.0]
    """
    hole = F.max_pool2d(silhouettes, 5, stride=1, padding=2)
    hole = F.avg_pool2d(hole, 5, stride=1, padding=2, count_include_pad=False)
    closed = (1 - leaks).view(-1, 1, 1, 1)
    return (*(1 - closed * F.avg_pool2d(hole, 2**level) for level in range(count - 1, 0, -1)), 1 - hole)
