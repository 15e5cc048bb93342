"""One clip: who moves how, seen from where, all drawn from the seed; and its rendering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from motion_core.errors import InputError

from .body_file import BodyFile, clothed_figure
from .camera import ROAMING, Camera, draw_camera
from .choreography import KINDS, choreograph
from .figure import Figure, joints, pose
from .motion import Motion, MotionFile
from .outfit import draw_outfit, draw_shape
from .picture import Light, Renderer, draw_light
from .places import draw_photo, photo_files
from .rotations import rounded
from .scene import Scene, described, draw_scene
from .simple_body import simple_figure

_Item = TypeVar("_Item")
SPLITS = ("train", "val", "test")
_WHO, _WHAT, _WHERE = 0, 1, 3  # streams of random numbers; 2 is that of `render`
_PHOTOS = 0.5  # share of clips in front of a photo, where there are photos
_STRETCHES = 2  # of motion capture, of which cameras that are near take the one that faces them more
_STAYING = 0.75  # share of clips with cameras that are near whose people stay within the roaming


@dataclass(frozen=True)
class Plan:
    """What to render. The same plan gives the same clips, in whatever order they are made.

    Attributes:
        split: one of `SPLITS`; no two have a person in common, nor a photo or a clip of the motion file if there are five.
        seed: at least 0.
        frames: of a clip.
        rate: frames a second.
        size: side of the square pictures in pixels.
        motion: a motion file instead of choreography, or None.
        body: a body file instead of simple bodies, or None.
        roaming: metres that a person may go before the camera follows; with less, people are larger in the picture. None:
            1.6, or 0.7 with `near`.
        near: cameras whose people fill the picture, see `camera.draw_camera`. Most people stay within the roaming then:
            where they would go further, their way is made shorter, and their feet slide.
        places: a folder of photos in front of which people are in half of the clips, or None.
    """

    split: str
    seed: int
    frames: int = 64
    rate: int = 25
    size: int = 256
    motion: Path | None = None
    body: Path | None = None
    roaming: float | None = None
    near: bool = False
    places: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"split: must be one of {', '.join(SPLITS)}, got {self.split!r}")
        for name, low, high in (("seed", 0, 2**32 - 1), ("frames", 2, 100_000), ("rate", 1, 240), ("size", 16, 2048)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: must be in {low}..{high}, got {value}")
        if self.roaming is not None and not 0 <= self.roaming <= 100:  # False for a NaN
            raise InputError(f"roaming: must be in 0..100 metres, got {self.roaming}")

    def random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, SPLITS.index(self.split), *stream))


@dataclass(frozen=True)
class Shot:
    """Everything that decides a clip's pictures and annotations."""

    name: str
    identity: str
    figure: Figure
    transforms: np.ndarray  # (T, J, 3, 4), see `figure.pose`
    joints: np.ndarray  # (T, 18, 3) in the world
    camera: Camera
    scene: Scene
    light: Light
    about: dict[str, object]  # for people: movement, looks

    def renderer(self) -> Renderer:
        return Renderer(self.figure, self.transforms, self.camera, self.scene, self.light)

    def render(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each frame the picture ``(H, W, 3)`` uint8 and the seen faces ``(H, W)`` int32."""
        renderer = self.renderer()
        for frame in range(len(self.transforms)):
            yield renderer.frame(frame)


class Studio:
    """Makes the clips of a plan; reads the plan's files once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.motion = None if plan.motion is None else MotionFile(plan.motion)
        self.body = None if plan.body is None else BodyFile(plan.body)
        self.photos = None if plan.places is None else photo_files(plan.places)
        self.figure = lru_cache(1)(self._figure)  # the clips of a person follow each other

    def _figure(self, identity: int) -> tuple[Figure, dict[str, object]]:
        """A person and a description of their looks."""
        random = self.plan.random(identity, _WHO)
        shape = draw_shape(random)
        outfit = draw_outfit(random, shape)
        looks: dict[str, object] = {"shape": asdict(shape), "outfit": asdict(outfit)}
        if self.body is None:
            return simple_figure(shape, outfit, random), looks
        return clothed_figure(self.body, shape, outfit, random), looks

    def shot(self, identity: int, clip: int) -> Shot:
        """The clip with this number of the person with this number."""
        plan = self.plan
        figure, looks = self.figure(identity)
        random = plan.random(identity, _WHAT, clip)
        motion = self._motion(random, identity, clip)
        roaming = ROAMING[plan.near] if plan.roaming is None else plan.roaming
        if plan.near and random.uniform() < _STAYING:
            motion = _staying(motion, 0.8 * roaming / figure.leg_length)  # the upper body sways, too
        transforms = pose(figure, motion)
        places = joints(figure, transforms)
        camera = draw_camera(random, places, (plan.size, plan.size), plan.rate, near=plan.near, roaming=roaming)
        facing = -camera.poses[:, 2, :3].mean(0)  # from the figure to the camera
        facing = facing * (1, 0, 1) / np.hypot(facing[0], facing[2])
        scene = draw_scene(random, facing, 0.6 + max(0.0, float(-(places @ facing).min())))
        light = draw_light(random, facing)
        where = plan.random(identity, _WHERE, clip)
        if self.photos is not None and where.uniform() < _PHOTOS:
            photo = draw_photo(where, _of_split(self.photos, plan.split), camera, scene.planes)
            scene = replace(scene, kind="photo", photo=photo)
        about = {"movement": motion.name, "camera_move": camera.move, **described(scene), **looks}
        name = f"{plan.split}{identity:04d}"
        return Shot(f"{name}#{clip:03d}", name, figure, transforms, places, camera, scene, light, about)

    def _motion(self, random: np.random.Generator, identity: int, clip: int) -> Motion:
        plan = self.plan
        if self.motion is None:
            return choreograph(KINDS[(identity + clip) % len(KINDS)], random, plan.frames, plan.rate)
        names = _of_split(self.motion.clips, plan.split)
        if not plan.near:
            return self.motion.draw(random, names, plan.frames, plan.rate)
        return min((self.motion.draw(random, names, plan.frames, plan.rate) for _ in range(_STRETCHES)), key=_turned)


def _of_split(items: Sequence[_Item], split: str) -> list[_Item]:
    """A fifth each for validation and test, if there are five or more; otherwise all of them."""
    wanted = {"test": (0,), "val": (1,), "train": (2, 3, 4)}[split] if len(items) >= 5 else range(5)
    return [item for number, item in enumerate(items) if number % 5 in wanted]


def _turned(motion: Motion) -> float:
    """A measure of how far a person is turned away from +z: 1 - the cosine, on average."""
    return float((1 - motion.turns[:, 0, 2, 2]).mean())


def _staying(motion: Motion, most: float) -> Motion:
    """The motion with its way made shorter, so that it is nowhere wider than `most`, in lengths of the leg."""
    level = motion.path * (1, 0, 1)
    share = min(1.0, most / max(float(np.ptp(level, axis=0).max()), 1e-9))
    return replace(motion, path=rounded(motion.path - (1 - share) * (level - level.mean(0))))
