"""Stage "data": rendered clips, photo pairs and real clips to packs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from eval.photo_pairs import photo_pairs
from eval.rendered_people.annotations import Annotations, clip_names, open_pictures, open_scene, read_annotations
from eval.rendered_people.flow import background_transform, flow
from eval.rendered_people.tracks import LABELS, keypoints
from motion_core.framing import place_in, to_network
from motion_core.media import FrameReader, image_tensor, open_frames, save_image, to_float, to_uint8
from motion_core.networks.layered.composition import filled
from motion_core.networks.layered.limbs import LIMBS
from motion_core.networks.layered.person_detector import (
    HIPS,
    PRESENT,
    SHIPPED_DETECTOR,
    SHOULDERS,
    PersonDetector,
)

from .pack import FLOW_SIDE, SIDE, UNKNOWN, Pack, joined

FLOWS_OF_A_CLIP = 20
STILL = 12.0  # mean difference of two photos beside the figures, of 255, below which the camera stood still
MOSTLY = 0.8  # of a place that must be known
AT_ONCE = 16  # pictures that the detector sees together


def rendered_pack(root: Path, split: str, workers: int = 1) -> Pack:
    """The pack of a split that eval.rendered_people.render wrote at 256 x 256.

    Raises:
        InputError: there are no such clips.
    """
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        packs = list(pool.map(partial(_rendered_clip, root, split), clip_names(root, split), chunksize=4))
    return joined(packs)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _rendered_clip(root: Path, split: str, name: str) -> Pack:
    clip = read_annotations(root, split, name)
    frames = _all_of(open_pictures(root, clip))
    scenes = _halved(_all_of(open_scene(root, split, name)))
    truth = (2 * (keypoints(clip) * SIDE - 0.5) / (SIDE - 1) - 1).astype(np.float32)
    people = detected(frames)
    random = np.random.default_rng(list(name.encode()))
    pairs = _pairs(len(frames), random)
    return Pack(
        frames,
        LABELS[clip.parts],
        np.concatenate((scenes, np.full((*scenes.shape[:3], 1), 255, np.uint8)), axis=-1),
        truth,
        people.keypoints,
        people.silhouettes,
        np.zeros(len(frames), np.int32),
        pairs,
        np.stack([_flow(clip, driving, source) for source, driving in pairs]),
        np.stack([background_transform(clip, driving, source) for source, driving in pairs]).astype(np.float32),
    )


def _pairs(count: int, random: np.random.Generator) -> np.ndarray:
    """Ordered pairs of different frames, (P, 2) int32."""
    every = np.array([(i, j) for i in range(count) for j in range(count) if i != j], np.int32)
    return every[random.permutation(len(every))[:FLOWS_OF_A_CLIP]]


def _flow(clip: Annotations, driving: int, source: int) -> np.ndarray:
    """See `Pack.flows`."""
    step = SIDE // FLOW_SIDE
    exact = flow(clip, driving, source)
    y, x = np.mgrid[:SIDE, :SIDE]
    places = 2 * (exact.displacement + np.stack((x, y), axis=-1)) / (SIDE - 1) - 1
    places[~(exact.on_figure & exact.visible)] = np.nan
    return places[step // 2 :: step, step // 2 :: step].astype(np.float16)


def _all_of(video: FrameReader) -> np.ndarray:
    return np.stack([frame for _, frame in video.frames_at(range(video.count))])


def _halved(images: np.ndarray) -> np.ndarray:
    """Pictures (T, H, W, C) uint8 at half the size."""
    count, height, width, channels = images.shape
    cells = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.round(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


@dataclass(frozen=True)
class Photos:
    """Two photos of one person in one place.

    Attributes:
        name: of the pair.
        frames: ``(2, SIDE, SIDE, 3)`` uint8.
        people: what the detector finds in them.
        scenes: the place of each as far as either photo shows it, ``(2, SIDE, SIDE, 3)`` uint8.
        known: where that is, ``(2, SIDE / 2, SIDE / 2)`` bool.
        still: whether the camera stood still between them.
    """

    name: str
    frames: np.ndarray
    people: People
    scenes: np.ndarray
    known: np.ndarray
    still: bool


def photos_for_training(folder: Path) -> list[Photos]:
    """The photo pairs that training may see and in which the detector finds a person's trunk.

    What one photo's figure hides of the scene, the other shows if the camera stood still.
    """
    chosen = []
    for pair in photo_pairs(folder):
        if pair.held_back:
            continue
        frames = np.stack([_squared(image_tensor(path)) for path in (pair.first, pair.second)])
        people = detected(frames)
        if not people.clear.all():
            continue
        figure = _grown(people.silhouettes)  # (2, h, h)
        small = _halved(frames)
        apart = np.abs(small[0].astype(np.float32) - small[1]).mean(-1)[~figure.any(0)].mean()
        still = bool(apart <= STILL)
        hidden = figure.repeat(2, axis=1).repeat(2, axis=2)[..., None]
        scenes = np.where(hidden, frames[::-1], frames)
        known = np.broadcast_to(~figure.all(0), figure.shape) if still else ~figure
        chosen.append(Photos(pair.name, frames, people, scenes, known, still))
    return chosen


def photo_pack(photos: Sequence[Photos]) -> Pack:
    """A pack of photo pairs, each in both directions."""
    ways = np.array([[0, 1], [1, 0]], np.int32)
    return joined(
        [_real(each.frames, each.people, _halved(each.scenes), each.known, ways, each.still) for each in photos]
    )


def write_places(photos: Sequence[Photos], folder: Path) -> None:
    """Pictures of the photos' places without people, for eval.rendered_people.render --places: NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in photos:
        if each.still and each.known[0].mean() > MOSTLY:
            known = torch.from_numpy(each.known[0].repeat(2, axis=0).repeat(2, axis=1))[None, None].float()
            save_image(folder / f"{each.name}.png", to_uint8(filled(to_float(each.scenes[:1]), known))[0])


def clip_pack(folder: Path, name: str, stride: int = 5, pairs: int = 60) -> Pack | None:
    """A real clip: every `stride`-th frame, and random pairs of these; None where hardly a person is found.

    Args:
        folder: has the file `name`, which decides the random pairs.
    """
    video = open_frames(folder / name)
    frames = np.stack([_squared(to_float(frame[None])) for _, frame in video.frames_at(range(0, video.count, stride))])
    people = detected(frames)
    frames, people = frames[people.clear], people.only(people.clear)
    if len(frames) < 2:
        return None
    random = np.random.default_rng(list(name.encode()))
    chosen = np.stack([random.permutation(len(frames))[:2] for _ in range(pairs)]).astype(np.int32)
    return _real(frames, people, _halved(frames), ~_grown(people.silhouettes), chosen, False)


def _squared(image: torch.Tensor) -> np.ndarray:
    """A picture ``(1, 3, h, w)`` in [0, 1] as ``(SIDE, SIDE, 3)`` uint8, its borders repeated."""
    return to_uint8(to_network(image, place_in((image.shape[-2], image.shape[-1]), (SIDE, SIDE), "pad")))[0]


def _grown(silhouettes: np.ndarray) -> np.ndarray:
    """Where a figure is or may be, ``(T, h, w)`` bool, of silhouettes uint8."""
    person = torch.from_numpy(silhouettes > 40)[:, None].float()
    return (F.max_pool2d(person, 9, stride=1, padding=4)[:, 0] > 0).numpy()


def _real(
    frames: np.ndarray, people: People, scenes: np.ndarray, known: np.ndarray, pairs: np.ndarray, still: bool
) -> Pack:
    camera = np.eye(3, dtype=np.float32) if still else np.full((3, 3), np.nan, np.float32)
    return Pack(
        frames,
        np.full(frames.shape[:3], UNKNOWN, np.uint8),
        np.concatenate((scenes, 255 * known[..., None].astype(np.uint8)), axis=-1),
        people.keypoints,
        people.keypoints,
        people.silhouettes,
        np.zeros(len(frames), np.int32),
        pairs,
        np.full((len(pairs), FLOW_SIDE, FLOW_SIDE, 2), np.nan, np.float16),
        np.tile(camera, (len(pairs), 1, 1)),
    )


@dataclass(frozen=True)
class People:
    """What the detector finds in T pictures: `keypoints` and `silhouettes` as in `Pack`, and whether shoulders and hips
    are in sight, `clear` ``(T,)`` bool."""

    keypoints: np.ndarray
    silhouettes: np.ndarray
    clear: np.ndarray

    def only(self, chosen: np.ndarray) -> People:
        """Those of some of the pictures."""
        return People(self.keypoints[chosen], self.silhouettes[chosen], self.clear[chosen])


@torch.inference_mode()
def detected(frames: np.ndarray) -> People:
    """The person in each of the frames ``(T, SIDE, SIDE, 3)`` uint8."""
    detector = _detector()
    found = [detector.detect(to_float(frames[i : i + AT_ONCE])) for i in range(0, len(frames), AT_ONCE)]
    silhouettes = [F.avg_pool2d(each.silhouette, 2)[:, 0] for each in found if each.silhouette is not None]
    sure = torch.cat([torch.minimum(each.visibility[:, [*SHOULDERS, *HIPS]].amin(1), each.score) for each in found])
    return People(
        torch.cat([each.keypoints.points[:, : len(LIMBS)] for each in found]).numpy(),
        (torch.cat(silhouettes) * 255).round().to(torch.uint8).numpy(),
        (sure > PRESENT).numpy(),
    )


@cache
def _detector() -> PersonDetector:
    detector: PersonDetector = PersonDetector.from_pretrained(SHIPPED_DETECTOR)
    return detector.eval()
