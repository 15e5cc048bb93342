"""Light on a figure: sky and ground, one sun or lamp with shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rasterizer import barycentric, rasterize
from .rotations import unit

_TEXELS = 176
_BIAS = 0.035  # metres; what is nearer than this to the surface that the light meets is lit


@dataclass(frozen=True)
class Light:
    """Light in one clip.

    Attributes:
        direction: ``(3,)``, points to the lamp.
        lamp, sky, ground: ``(3,)`` RGB factors of what comes from the lamp, from above and from below.
        softness: blur of shadows on the floor, in texels of the shadow map.
    """

    direction: np.ndarray
    lamp: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    softness: int


def draw_light(random: np.random.Generator, facing: np.ndarray) -> Light:
    """Random light that comes from the side of the camera, which is in the direction `facing` ``(3,)`` from the figure."""
    around = np.arctan2(facing[0], facing[2]) + np.deg2rad(random.uniform(-75, 75))
    height = np.deg2rad(random.uniform(28, 68))
    direction = np.array((np.sin(around) * np.cos(height), np.sin(height), np.cos(around) * np.cos(height)))
    warm = random.uniform(-0.08, 0.1)
    strength = random.uniform(0.45, 0.9)
    sky = (1.12 - 0.62 * strength) * np.array((1 - warm / 2, 1.0, 1 + warm / 2))
    return Light(
        direction,
        strength * np.array((1 + warm, 1.0, 1 - warm)),
        sky,
        sky * random.uniform(0.45, 0.75),
        int(random.integers(1, 5)),
    )


def shade_vertices(normals: np.ndarray, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Light from everywhere ``(V, 3)`` and the share ``(V,)`` of the lamp, by normals ``(V, 3)`` in the world."""
    up = 0.5 + 0.5 * normals[:, 1:2]
    ambient = light.ground * (1 - up) + light.sky * up
    facing = normals @ light.direction
    return ambient, np.clip((facing + 0.15) / 1.15, 0, None)


class Shadows:
    """What the lamp sees of one frame.

    Args:
        vertices: ``(V, 3)`` in the world.
        faces: ``(F, 3)``.
        light: with its direction.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, light: Light) -> None:
        forward = -light.direction
        right = unit(np.cross(forward, (0.0, 1.0, 0.0)))
        self.axes = np.stack((right, np.cross(forward, right), forward))  # (3, 3)
        seen = vertices @ self.axes.T
        low, high = seen.min(0) - 0.05, seen.max(0) + 0.05
        self.scale = (_TEXELS - 1) / (high - low)[:2].max()
        self.low = low
        places = (seen[:, :2] - low[:2]) * self.scale
        # A parallel projection: 1 / depth has to be linear in the distance from the lamp.
        nearness = high[2] - seen[:, 2] + 1
        raster = rasterize(places, 1 / nearness, faces, np.ones(len(faces), bool), (_TEXELS, _TEXELS))
        rows, columns = np.nonzero(raster.faces >= 0)
        numbers = raster.faces[rows, columns]
        _, inverse = barycentric(raster, numbers, columns, rows)
        self.distance = np.full((_TEXELS, _TEXELS), 1e3, np.float32)
        self.distance[rows, columns] = high[2] + 1 - 1 / inverse
        self.cover = _blurred((raster.faces >= 0).astype(np.float32), light.softness)

    def on_surface(self, points: np.ndarray) -> np.ndarray:
        """The share ``(N,)`` of the lamp's light that reaches points ``(N, 3)`` of the figure."""
        seen = (points @ self.axes.T).astype(np.float32)
        return _bilinear(
            (seen[:, :2] - self.low[:2].astype(np.float32)) * np.float32(self.scale),
            self.distance,
            seen[:, 2] - np.float32(_BIAS),
        )

    def on_floor(self, points: np.ndarray) -> np.ndarray:
        """The share ``(N,)`` of the lamp's light that the figure takes away from points ``(N, 3)`` of the floor."""
        places = (points @ self.axes[:2].T - self.low[:2]) * self.scale
        inside = ((places > 0) & (places < _TEXELS - 1.01)).all(1)
        result = np.zeros(len(points), np.float32)
        result[inside] = _bilinear(places[inside].astype(np.float32), self.cover, None)
        return result


def _bilinear(places: np.ndarray, values: np.ndarray, beyond: np.ndarray | None) -> np.ndarray:
    """Values (h, w) at places (N, 2), or, where `beyond` is given, the share of the neighbours that are further than it."""
    places = np.clip(places, 0, _TEXELS - 1.01)
    corner = places.astype(np.int32)
    right, down = (places - corner).T
    start = corner[:, 1] * _TEXELS + corner[:, 0]
    flat = values.reshape(-1)
    taps = [flat[start + offset] for offset in (0, 1, _TEXELS, _TEXELS + 1)]
    if beyond is not None:
        taps = [(tap > beyond).astype(np.float32) for tap in taps]
    upper, lower = taps[0] + right * (taps[1] - taps[0]), taps[2] + right * (taps[3] - taps[2])
    return upper + down * (lower - upper)


def _blurred(values: np.ndarray, radius: int) -> np.ndarray:
    """Two box blurs along each axis, zeros outside."""
    width = 2 * radius + 1
    for axis in (0, 1, 0, 1):
        padding = [(radius + 1, radius) if k == axis else (0, 0) for k in range(2)]
        sums = np.cumsum(np.pad(values, padding), axis=axis)
        values = (
            np.take(sums, range(width, sums.shape[axis]), axis) - np.take(sums, range(sums.shape[axis] - width), axis)
        ) / width
    return values.astype(np.float32)
