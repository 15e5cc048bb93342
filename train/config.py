"""The configuration of a training run: defaults and rules. `train.config_file` reads it.

Sizes are (height, width) in pixels, times are in optimiser steps, and weights of losses are factors of a mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from motion_core.settings import Fit, Variant

Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

VGG_REDUCTION = 16  # of relu5_1, the deepest layer that images are compared in


class Section(BaseModel):
    """A part of the configuration: unknown keys, wrong types and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic would take ``steps: true`` for 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("must not be true or false")
        return value


class JitterConfig(Section):
    """Colour jitter, the same for both images of a pair: factors U(1 - x, 1 + x), and turns of the hue U(-x, x)."""

    brightness: Share = 0.1
    contrast: Share = 0.1
    saturation: Share = 0.1
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1


class DataConfig(Section):
    """Videos, and how pairs of frames are drawn from them."""

    root: str
    image_size: tuple[Count, Count] = (256, 256)  # or one number for both
    id_sampling: bool = False  # one sample per person and pass: draw a person, then one of the videos of that person
    fit: Fit = (
        "crop"  # of videos of another aspect: the middle is used, "pad": borders repeated, "stretch": aspect lost
    )
    pair_list: str | None = (
        None  # CSV with columns source and driving: one sample per row and pass, of these two videos
    )
    min_stride: Steps = 1  # frames between source and driving, at least; in shorter videos, the first and the last
    max_stride: Count | None = None  # and at most; null is any
    flip: bool = True  # mirror half of the pairs
    jitter: JitterConfig = JitterConfig()
    workers: Annotated[int, Field(ge=0)] = 4  # processes that read data, per training process
    cache_mb: Weight = 2048  # decoded frames that each training process and its workers keep
    skip_broken: bool = (
        False  # leave out broken videos, and draw another sample for a damaged frame, instead of stopping
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _both_sides(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.max_stride is not None and self.max_stride < self.min_stride:
            raise ValueError(f"max_stride must be at least min_stride = {self.min_stride}, got {self.max_stride}")
        if self.id_sampling and self.pair_list is not None:
            raise ValueError("id_sampling must be off where pair_list says which videos belong together")
        return self


class MotionConfig(Section):
    """Of `motion_core.DenseMotionNetwork`."""

    block_expansion: Count = 64
    max_features: Count = 1024
    num_blocks: Count = 5
    shrink: Count = 4
    num_masks: Count = 4


class GeneratorConfig(Section):
    """Of `motion_core.ImageGenerator`."""

    block_expansion: Count = 64
    max_features: Count = 512
    num_down_blocks: Count = 3


class KeypointConfig(Section):
    """Of `motion_core.KeypointDetector`."""

    architecture: str = "resnet18"  # or another of timm's networks, or "heatmaps"
    shrink: Count = 1


class BackgroundConfig(Section):
    """Of `motion_core.BackgroundPredictor`."""

    architecture: str = "resnet18"  # or another of timm's networks
    shrink: Count = 1


class AvdConfig(Section):
    """Of `motion_core.AVDNetwork`."""

    id_features: Count = 128
    pose_features: Count = 128


class ModelConfig(Section):
    """The networks."""

    num_splines: Count = 10
    points_per_spline: Annotated[int, Field(ge=3)] = 5
    keypoints: KeypointConfig = KeypointConfig()
    background_motion: BackgroundConfig = BackgroundConfig()
    motion: MotionConfig = MotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    background: bool = True
    candidates: Count = 8  # times 0, 1/M, ..., (M-1)/M that the selector chooses from
    composed_view: bool = False  # v2: a further view, the source sampled through both hops at once
    avd: AvdConfig = AvdConfig()

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this, as the networks themselves say once they are built."""
        return max(self.motion.shrink * 2**self.motion.num_blocks, 2**self.generator.num_down_blocks)


class LossWeights(Section):
    """Weights of the losses, which have these names everywhere; 0 leaves one out."""

    reconstruction: Weight = 10
    equivariance: Weight = 10
    warp: Weight = 10
    background: Weight = 10
    feature: Weight = 1
    appearance: Weight = 1
    structure: Weight = 0.8
    ranking: Weight = 1


class LossConfig(LossWeights):
    """The losses: weights, scales, and when those begin that compare generated images (`train.schedule.RAMPED`)."""

    scales: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8)  # images are compared at 1/scale
    ramp_start: Steps = 0  # these losses are 0 before this step
    ramp_steps: Count = 1  # and have their weights this many steps later


class FeatureConfig(Section):
    """Pretrained networks that images are compared with: a name that timm fetches, a file, or "random"."""

    vgg: str = "vgg19.tv_in1k"
    vit: str = "vit_small_patch8_224.dino"
    vit_size: Count = 224  # pixels of the short side that it sees


class DropoutConfig(Section):
    """Dropping splines from the dense motion: with a probability that rises, and not at all from step `until` on."""

    until: Steps = 105_000
    ramp: Count = 30_000
    start: Annotated[float, Field(ge=0, lt=1, alias="from")] = 0.0
    end: Annotated[float, Field(ge=0, lt=1, alias="to")] = 0.3


class ScheduleConfig(Section):
    """Duration, learning rate, and steps at which things begin. A published epoch is taken as 3,000 steps."""

    steps: Count = 300_000
    batch_size: Count = 28  # pairs per process
    accumulation: Count = 1  # batches per optimiser step
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.999)
    weight_decay: Weight = 1e-4
    milestones: tuple[Steps, ...] = (210_000, 270_000)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 10  # largest gradient entry of keypoints, dense motion and background
    background_from: Steps = 0
    dropout: DropoutConfig = DropoutConfig()
    selector_rate: Annotated[float, Field(gt=0)] = 1  # learning rate of the selector, times that of the others
    selector_warmup: Steps = 0  # the loss flows through a random candidate before this step
    max_skipped: Count = 10  # steps in a row with a loss that is not finite, before the run stops

    @model_validator(mode="after")
    def _milestones_in_order(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")
        return self


class OutputConfig(Section):
    """Output folder and intervals in steps; 0 is never."""

    folder: str
    checkpoint_every: Count = 2000
    keep: Count = 3  # checkpoints
    log_every: Count = 50
    images_every: Steps = 1000
    validate_every: Steps = 5000
    validation_per_video: Count = 4  # pairs


class TrainingConfig(Section):
    """A training run."""

    variant: Variant
    stage: Literal["motion", "selector", "avd"] = "motion"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    init_from: str | None = None  # a saved pipeline to start from; the selector and AVD stages need one
    data: DataConfig
    model: ModelConfig = ModelConfig()
    losses: LossConfig = LossConfig()
    features: FeatureConfig = FeatureConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    sync_batchnorm: bool = False
    ema: Annotated[float, Field(ge=0, lt=1)] = (
        0.0  # decay of the averaged weights, which are then the ones saved; 0 is off
    )
    output: OutputConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        sides, multiple = self.data.image_size, self.model.size_multiple
        if any(side % multiple for side in sides):
            raise ValueError(
                f"data.image_size must be multiples of {multiple} (model.motion.shrink * 2^num_blocks), got {list(sides)}"
            )
        coarsest = max(self.losses.scales)
        if self.stage != "avd" and min(sides) <= (VGG_REDUCTION - 1) * coarsest:
            raise ValueError(
                f"losses.scales must leave {VGG_REDUCTION} pixels of data.image_size {list(sides)} for VGG-19, got {coarsest}"
            )
        if self.variant != "tpsmm" and self.model.candidates < 2:
            raise ValueError(f"model.candidates must be 2 or more for {self.variant}, got {self.model.candidates}")
        if self.model.composed_view and self.variant != "v2":
            raise ValueError(f"model.composed_view must be false for variants other than v2, got {self.variant}")
        if self.stage in ("selector", "avd") and self.init_from is None:
            network = {"selector": "selector", "avd": "AVD network"}[self.stage]
            raise ValueError(f"init_from must name the saved pipeline whose {network} is trained, got null")
        if self.stage == "selector" and self.variant == "tpsmm":
            raise ValueError("variant must be one with a selector for stage selector, got tpsmm")
        if self.stage == "avd" and self.output.validate_every:
            raise ValueError(f"output.validate_every must be 0 for stage avd, got {self.output.validate_every}")
        if self.stage == "avd" and self.schedule.batch_size < 2:
            raise ValueError(
                f"schedule.batch_size must be 2 or more for stage avd (BatchNorm), got {self.schedule.batch_size}"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        """All settings as JSON and YAML have them."""
        return self.model_dump(mode="json", by_alias=True)

    def as_yaml(self) -> str:
        """All settings as a file that `load_config` reads."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False)
