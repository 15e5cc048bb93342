"""Schedules by training step: learning rate, weights of the losses, dropout. Networks know no steps but a `Phase`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .config import LossWeights, ScheduleConfig, TrainingConfig

RAMPED = ("feature", "appearance", "structure")  # they compare generated images, so they begin once there are good ones


@dataclass(frozen=True)
class Phase:
    """State of the schedules at one training step.

    Attributes:
        weights: of the losses.
        dropout: probability with which a spline is left out of the dense motion.
        background: whether the background transform is used and learned yet.
        warmup: whether candidate times are taken at random; afterwards the selector prefers one.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    dropout: float = 0.0
    background: bool = True
    warmup: bool = False

    def weighted(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted means, 0-d, of losses ``(B,)`` by name; those with weight 0 are left out."""
        weights = {name: getattr(self.weights, name) for name in losses}
        return {name: weights[name] * value.mean() for name, value in losses.items() if weights[name]}


def phase_at(config: TrainingConfig, step: int) -> Phase:
    """The phase of training step `step`, counted from 0."""
    losses, schedule, dropout = config.losses, config.schedule, config.schedule.dropout
    ramp = min(max((step - losses.ramp_start + 1) / losses.ramp_steps, 0.0), 1.0)
    weights = {name: getattr(losses, name) * (ramp if name in RAMPED else 1.0) for name in LossWeights.model_fields}
    growth = min((step + 1) / dropout.ramp, 1.0)
    return Phase(
        LossWeights(**weights),
        dropout.start + (dropout.end - dropout.start) * growth if step < dropout.until else 0.0,
        config.model.background and step >= schedule.background_from,
        step < schedule.selector_warmup,
    )


def learning_rate_at(schedule: ScheduleConfig, step: int) -> float:
    """The learning rate of step `step`, counted from 0: gamma times smaller from each milestone on."""
    return schedule.learning_rate * schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
