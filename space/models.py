"""Pipelines by name, each loaded once and shared by all visitors."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from motion_core import InputError, MotionInterpPipeline
from motion_core.checkpoint_conversion import convert, read_checkpoint
from motion_core.commands import describe_pipeline
from motion_core.hardware import choose_device, choose_dtype
from motion_core.networks.layered.layer_painter import LayerPainter
from motion_core.saved_pipeline import fetch
from motion_core.settings import Backend, Mode, Scene

from .choices import PICTURE, SHIPPED, AppliedVariant, Kind, Offered
from .limits import Limits
from .reading import existing

NOTICE = (
    "Works best with one person who faces the camera, seen whole or from the hips up. Hands move, single fingers do not. "
    "Turning round does not work: you still see the front."
)


@dataclass(frozen=True)
class Model:
    """A pipeline, ready to run.

    Attributes:
        key: by which `Models.get` finds it.
        title: for people.
        notice: what they should know before they judge its pictures, or nothing.
    """

    key: str
    title: str
    pipeline: MotionInterpPipeline
    notice: str = ""

    def describe(self) -> str:
        """One line for people."""
        return f"{self.title}: {describe_pipeline(self.pipeline)}"

    def offered(self) -> Offered:
        """What can be chosen with it."""
        has, layered = self.pipeline.components, isinstance(self.pipeline.image_generator, LayerPainter)
        return Offered(
            tuple(mode for mode in get_args(Mode) if mode != "avd" or has["avd_network"] is not None),
            tuple(
                variant
                for variant in get_args(AppliedVariant)
                if (variant != "full" or has["selector"] is not None)
                and (variant != "v2" or None not in (has["selector"], has["view_fusion"]))
            ),
            (*get_args(Scene), PICTURE) if layered else ("source",),
            has["view_fusion"] is not None,
            chooses_by_itself(self.pipeline),
        )


def chooses_by_itself(pipeline: MotionInterpPipeline) -> bool:
    """Whether a model's selector was trained, and so chooses the interpolated image that is animated."""
    return pipeline.selector is not None and pipeline.selector.default_strategy != "none"


def open_shipped() -> tuple[MotionInterpPipeline, str]:
    """The model that comes with the app, and what to say about it."""
    return MotionInterpPipeline.from_pretrained(), NOTICE


class Models:
    """Loads models when they are first asked for, and keeps the last few.

    Args:
        limits: how many are kept, and what may be loaded.
        shipped: makes the model that comes with the app.
        backend: what computes the models' networks.
    """

    def __init__(
        self,
        limits: Limits,
        shipped: Callable[[], tuple[MotionInterpPipeline, str]] = open_shipped,
        backend: Backend = "auto",
    ) -> None:
        self._limits = limits
        self._shipped = shipped
        self._backend = backend
        self._kept: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.Lock()  # held for a moment
        self._loading = threading.Lock()  # held while something loads, which may take minutes

    @property
    def ready(self) -> bool:
        """Whether the shipped model is loaded."""
        return self._find(SHIPPED) is not None

    def get(self, key: str = SHIPPED) -> Model:
        """The model of that key.

        Raises:
            InputError: it was put away for others, or never loaded.
        """
        if (model := self._find(key)) is not None:
            return model
        if key != SHIPPED:
            raise InputError("this model is not loaded any more: load it again in the tab Models")
        return self._add(SHIPPED, "the one that comes with this app", self._shipped)

    def load(self, kind: Kind, name: str = "", checkpoint: str | None = None, size: int = 256) -> Model:
        """Load a model.

        Args:
            kind: where from: the shipped one, a folder, the Hub, or a published TPSMM checkpoint.
            name: the folder, or the Hub's name of the model.
            checkpoint: the checkpoint's file.
            size: side of the pictures that the checkpoint was trained at; the file does not say.

        Raises:
            InputError: it cannot be loaded, or may not.
        """
        if kind not in get_args(Kind):
            raise InputError(f"the kind of model must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        if kind == "shipped":
            return self.get()
        if kind == "checkpoint":
            return self._converted(existing(checkpoint, "the checkpoint", self._limits.checkpoint_megabytes), size)
        name = name.strip()
        if not name:
            raise InputError("the model's name is missing: give a folder or a name such as name/model")
        if kind == "folder":
            if not self._limits.local_folders:
                raise InputError("folders can be loaded only where the app runs on your own computer")
            folder = Path(name).expanduser()
            if not folder.is_dir():
                raise InputError(f"{name}: there is no such folder")
        else:
            folder = fetch(name, {})
        return self._add(f"{kind}:{name}", name, lambda: (MotionInterpPipeline.from_pretrained(folder), ""))

    def _converted(self, file: Path, size: int) -> Model:
        def make() -> tuple[MotionInterpPipeline, str]:
            networks = convert(read_checkpoint(file))
            components = {part.name: getattr(networks, part.name) for part in fields(networks)}
            pipeline = MotionInterpPipeline(**components, image_size=size)
            for network in components.values():
                if network is not None:
                    network.eval()
            pipeline.register_to_config(_name_or_path=file.name)
            return pipeline, ""

        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return self._add(f"checkpoint:{digest}:{size}", f"{file.name}, converted", make)

    def _find(self, key: str) -> Model | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _add(self, key: str, title: str, make: Callable[[], tuple[MotionInterpPipeline, str]]) -> Model:
        with self._loading:
            if (model := self._find(key)) is not None:
                return model
            pipeline, notice = make()
            model = Model(key, title, self._ready(pipeline), notice)
            with self._lock:
                self._kept[key] = model
                others = [other for other in self._kept if other not in (SHIPPED, key)]
                for other in others[: max(0, len(self._kept) - self._limits.models)]:
                    del self._kept[other]
        return model

    def _ready(self, pipeline: MotionInterpPipeline) -> MotionInterpPipeline:
        pipeline.backend = self._backend
        device = choose_device()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device, choose_dtype(device), silence_dtype_warnings=True)


def as_variant(pipeline: MotionInterpPipeline, variant: AppliedVariant) -> MotionInterpPipeline:
    """The same networks, run as another variant; the weights are shared, and nothing is computed.

    Raises:
        InputError: the model lacks a network that the variant needs, or there is no such variant.
    """
    if variant not in get_args(AppliedVariant):
        raise InputError(f"variant must be one of {', '.join(get_args(AppliedVariant))}, got {variant!r}")
    if variant in ("as trained", pipeline.config["variant"]):
        return pipeline
    parts = dict(pipeline.components)
    if variant != "tpsmm" and parts["selector"] is None:
        raise InputError(f"variant {variant!r} needs a model with a selector, and this one has none")
    if variant == "v2" and parts["view_fusion"] is None:
        raise InputError("variant 'v2' needs a model that fuses views, and this one does not")
    if variant == "tpsmm":
        parts["selector"] = None
    if variant != "v2":
        parts["view_fusion"] = None
    made = MotionInterpPipeline(**parts, image_size=pipeline.config["image_size"], variant=variant)
    made.backend = pipeline.backend
    made.register_to_config(_name_or_path=f"{pipeline.model_name} ({variant})")
    made.set_progress_bar_config(disable=True)
    return made
