"""What depends on how far training has come. The networks know no steps: they are handed a `Phase`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import TrainingConfig

RAMPED = ("feature", "appearance", "structure")  # losses that need images worth comparing, so they come in slowly


@dataclass(frozen=True)
class Phase:
    """State of the schedules at one training step.

    Attributes:
        weights: of the losses, by name.
        dropout: probability with which a spline is left out of the dense motion.
        background: whether the background transform is used and learned yet.
        warmup: whether candidate times are taken at random; afterwards the selector prefers one.
    """

    weights: dict[str, float] = field(default_factory=dict)
    dropout: float = 0.0
    background: bool = True
    warmup: bool = False


def phase_at(config: TrainingConfig, step: int) -> Phase:
    """The phase of training step `step`, counted from 0."""
    losses, schedule, dropout = config.losses, config.schedule, config.schedule.dropout
    ramp = min(max((step - losses.ramp_start + 1) / max(losses.ramp_steps, 1), 0.0), 1.0)
    names = (
        "reconstruction",
        "equivariance",
        "warp",
        "background",
        "feature",
        "appearance",
        "structure",
        "ranking",
    )
    weights = {name: getattr(losses, name) * (ramp if name in RAMPED else 1.0) for name in names}
    probability = 0.0
    if step < dropout.until:
        growth = min((step + 1) / max(dropout.ramp, 1), 1.0)
        probability = dropout.start + (dropout.end - dropout.start) * growth
    return Phase(
        weights,
        probability,
        config.model.background and step >= schedule.background_from,
        step < schedule.selector_warmup,
    )
