"""Batches of pairs from a pack: turned, mirrored, recoloured, and with keypoints as uncertain as detected ones are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motion_core.geometry import affine_grid, sample
from motion_core.networks.layered.limbs import LAYERS_MIRRORED, mirrored_points
from motion_core.structures import Keypoints

from .pack import Pack

TRUE_SOURCE, TRUE_DRIVING = 0.3, 0.5  # how often the true keypoints are given instead of the detected ones
QUARTERS = (0.7, 0.12, 0.06, 0.12)  # how often a pair is turned by so many quarters, for people who lie or hang
TURNED, TURN = 0.3, 20.0  # how often it is turned a little more, and by how much at most, in degrees
SAME = 0.15  # how often a picture is its own driving picture, in the very same pose: nothing of it may change
LIMB_NOISE, POINT_NOISE = 0.015, 0.006  # standard deviations in coordinate units, at most


@dataclass(frozen=True)
class Side:
    """One picture of each of B pairs.

    Attributes:
        image: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B, H, W)`` int64, see `Pack`.
        scene: ``(B, 3, H / 2, W / 2)`` in [0, 1], and `scene_known` ``(B, 1, H / 2, W / 2)``.
        keypoints: those that the networks are given.
        silhouette: ``(B, 1, H / 2, W / 2)`` in [0, 1].
    """

    image: Tensor
    labels: Tensor
    scene: Tensor
    scene_known: Tensor
    keypoints: Keypoints
    silhouette: Tensor


@dataclass(frozen=True)
class Batch:
    """B pairs of pictures.

    Attributes:
        source, driving: the pictures.
        camera: the background's transform, ``(B, 3, 3)``; the identity where it is not known.
        camera_known: ``(B,)`` bool.
    """

    source: Side
    driving: Side
    camera: Tensor
    camera_known: Tensor


def draw_batch(packs: list[tuple[Pack, int]], seed: int, step: int) -> Batch:
    """The random batch of a step, with so many pairs of each pack; the same one for the same seed and step."""
    random = np.random.default_rng((seed, step))
    return _stacked([_draw(pack, random) for pack, count in packs for _ in range(count)])


def _draw(pack: Pack, random: np.random.Generator) -> list[np.ndarray]:
    """One pair's arrays, augmented: of each side image, labels, scene, keypoints and silhouette; and the camera."""
    pair = int(random.integers(len(pack.pairs)))
    turn = 90.0 * random.choice(4, p=QUARTERS) + random.uniform(-TURN, TURN) * (random.random() < TURNED)
    mirrored = random.random() < 0.5
    gain = random.uniform(0.8, 1.2) * random.uniform(0.92, 1.08, 3)
    gamma = random.uniform(0.8, 1.25)
    same = random.random() < SAME
    drawn = list(zip(pack.pairs[pair], (TRUE_SOURCE, TRUE_DRIVING), strict=True))
    arrays: list[np.ndarray] = []
    for index, true in drawn[:1] if same else drawn:
        points = (pack.keypoints if random.random() < true else pack.detected)[index]
        points = _uncertain(np.array(points), random)
        side = [pack.frames[index], pack.labels[index], pack.scenes[index], points, pack.silhouettes[index]]
        side[0] = _recoloured(side[0], gain, gamma)
        side[2] = np.concatenate((_recoloured(side[2][..., :3], gain, gamma), side[2][..., 3:] / np.float32(255)), -1)
        side = _turned(side, turn) if turn else side
        arrays += _mirrored(side) if mirrored else side
    rotation = _rotation(turn)
    camera = np.eye(3) if same else np.array(pack.cameras[pair], np.float32)
    camera = rotation @ camera @ np.linalg.inv(rotation)
    if mirrored:
        camera = camera * np.outer((-1, 1, 1), (-1, 1, 1))
    return [*(2 * arrays if same else arrays), camera]


def _uncertain(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Strips ``(K, N, 2)`` with errors that limbs have as a whole, and small ones of each point."""
    limb = random.normal(size=(len(points), 1, 2)) * LIMB_NOISE * random.random()
    point = random.normal(size=points.shape) * POINT_NOISE * random.random()
    return points + limb + point


def _recoloured(image: np.ndarray, gain: np.ndarray, gamma: float) -> np.ndarray:
    """A picture uint8 as float32 in [0, 1] in another light."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    table = np.clip(levels**gamma * gain, 0, 1).astype(np.float32)  # (256, 3)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)


def _rotation(degrees: float) -> np.ndarray:
    """Points of a picture to those of the turned one, enlarged so that it fills the square: ``(3, 3)`` float32."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    grown = abs(cos) + abs(sin)
    return np.array([[grown * cos, -grown * sin, 0], [grown * sin, grown * cos, 0], [0, 0, 1]], np.float32)


def _turned(side: list[np.ndarray], degrees: float) -> list[np.ndarray]:
    """All of a picture turned about its middle."""
    image, labels, scene, points, silhouette = side
    rotation = _rotation(degrees)
    back = torch.from_numpy(np.linalg.inv(rotation))[None]

    def turned(array: np.ndarray, mode: str) -> np.ndarray:
        """``(h, w, C)`` float32."""
        given = torch.from_numpy(array).movedim(-1, 0)[None]
        grid = affine_grid(back, *given.shape[-2:])
        return sample(given, grid, "border", mode)[0].movedim(0, -1).numpy()

    labels = turned(labels[..., None].astype(np.float32), "nearest")[..., 0].astype(np.uint8)
    silhouette = turned(silhouette[..., None].astype(np.float32), "bilinear")[..., 0]
    points = points @ rotation[:2, :2].T
    return [turned(image, "bilinear"), labels, turned(scene, "bilinear"), points, silhouette]


def _mirrored(side: list[np.ndarray]) -> list[np.ndarray]:
    image, labels, scene, points, silhouette = side
    points = mirrored_points(torch.from_numpy(points)[None])[0].numpy()
    return [image[:, ::-1], _mirrored_labels(labels), scene[:, ::-1], points, silhouette[:, ::-1]]


def _mirrored_labels(labels: np.ndarray) -> np.ndarray:
    table = np.arange(256, dtype=np.uint8)
    table[: len(LAYERS_MIRRORED)] = LAYERS_MIRRORED
    return table[labels[:, ::-1]]


def _stacked(pairs: list[list[np.ndarray]]) -> Batch:
    columns = [np.stack([np.ascontiguousarray(array) for array in column]) for column in zip(*pairs, strict=True)]
    camera = torch.from_numpy(columns[10].astype(np.float32))
    known = ~camera.isnan().flatten(1).any(dim=1)
    camera = torch.where(known[:, None, None], camera, torch.eye(3))
    return Batch(_side(columns[:5]), _side(columns[5:10]), camera, known)


def _side(columns: list[np.ndarray]) -> Side:
    image, labels, scene, points, silhouette = columns
    scenes = torch.from_numpy(scene.astype(np.float32)).movedim(-1, 1)
    return Side(
        torch.from_numpy(image).movedim(-1, 1).contiguous(),
        torch.from_numpy(labels).long(),
        scenes[:, :3].contiguous(),
        scenes[:, 3:].contiguous(),
        Keypoints(torch.from_numpy(points.astype(np.float32))),
        torch.from_numpy(silhouette.astype(np.float32) / 255)[:, None],
    )
