"""Pictures of a moving figure: light from sky and ground and a lamp with shadows, and the face at each pixel's centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from .camera import Camera, project, to_camera
from .figure import Figure, skin
from .rasterizer import Raster, barycentric, rasterize
from .rotations import unit
from .scene import Backdrop, Scene

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
        self.cover = (raster.faces >= 0).astype(np.float32)
        for _ in range(2):
            self.cover = uniform_filter(self.cover, 2 * light.softness + 1, mode="constant")

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


def seen_faces(
    vertices: np.ndarray, faces: np.ndarray, two_sided: np.ndarray, focal: float, size: tuple[int, int]
) -> Raster:
    """The faces seen at half-pixel steps, from vertices ``(V, 3)`` in camera space.

    Sample (row, column) is at pixel ``((column - 1) / 2, (row - 1) / 2)``, so the samples at odd places are the pixels' centres.
    """
    places = project(vertices, focal, size) * 2 + 1
    return rasterize(places, vertices[:, 2], faces, two_sided, (2 * size[0] + 1, 2 * size[1] + 1))


class Renderer:
    """Renders the frames of one clip.

    Args:
        figure: who.
        transforms: ``(T, J, 3, 4)`` from `figure.pose`.
        camera, scene, light: from where, in front of what, in which light.
    """

    def __init__(self, figure: Figure, transforms: np.ndarray, camera: Camera, scene: Scene, light: Light) -> None:
        self.figure, self.transforms, self.camera, self.light = figure, transforms, camera, light
        glow = light.sky * 0.7 + light.lamp * max(light.direction[1], 0.35) * 0.75
        self.backdrop = Backdrop(scene, camera, glow)
        self.texture = np.ascontiguousarray(figure.texture.reshape(-1, 3).astype(np.float32))
        size = np.array((figure.texture.shape[1], figure.texture.shape[0]))
        self.texels = figure.uvs * size

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture ``(H, W, 3)`` uint8 and the faces ``(H, W)`` int32 (-1: background) of one frame."""
        figure, camera = self.figure, self.camera
        vertices, normals = skin(figure.vertices, figure.weights, self.transforms[number], figure.normals)
        in_view = to_camera(camera.poses[number], vertices)
        raster = seen_faces(in_view, figure.faces, figure.two_sided, camera.focal, camera.size)
        shadows = Shadows(vertices, figure.faces, self.light)
        picture = self._shadowed_backdrop(number, shadows)
        rows, columns = np.nonzero(raster.faces >= 0)
        if len(rows):
            colors = self._colors(raster, rows, columns, vertices, normals, shadows)
            _lay(picture, raster.faces.shape, rows, columns, colors)
        return _bytes(picture), raster.faces[1::2, 1::2]

    def scene(self, number: int) -> np.ndarray:
        """Return the picture ``(H, W, 3)`` uint8 that the camera of a frame has without the figure and its shadow."""
        return _bytes(self.backdrop.at(number)[0])

    def _shadowed_backdrop(self, number: int, shadows: Shadows) -> np.ndarray:
        picture, floor, points = self.backdrop.at(number)
        picture = picture.copy()
        lamp = self.light.lamp * max(self.light.direction[1], 0.35)
        lost = 0.8 * lamp / (lamp + self.light.sky * 0.7)
        dark = shadows.on_floor(points)
        hit = dark > 0
        picture.reshape(-1, 3)[floor[hit]] *= 1 - dark[hit][:, None] * lost.astype(np.float32)
        return picture

    def _colors(
        self,
        raster: Raster,
        rows: np.ndarray,
        columns: np.ndarray,
        vertices: np.ndarray,
        normals: np.ndarray,
        shadows: Shadows,
    ) -> np.ndarray:
        """Colours (N, 3) float32 of samples of the figure."""
        numbers = raster.faces[rows, columns]
        shares, _ = barycentric(raster, numbers, columns, rows)
        shares = shares.astype(np.float32)
        ambient, lamp = shade_vertices(normals, self.light)
        by_vertex = np.concatenate((self.texels, vertices, ambient, lamp[:, None]), axis=1).astype(np.float32)  # (V, 9)
        corners = self.figure.faces[numbers]
        mixed = sum(shares[:, k, None] * by_vertex[corners[:, k]] for k in range(3))  # (N, 9)
        texel = mixed[:, 1].astype(np.int32) * self.figure.texture.shape[1] + mixed[:, 0].astype(np.int32)
        lit = mixed[:, 8] * shadows.on_surface(mixed[:, 2:5])
        lit[~raster.front[numbers]] *= 0.3  # the inside of a skirt
        brightness = mixed[:, 5:8] + lit[:, None] * self.light.lamp.astype(np.float32)
        return self.texture[texel] * (brightness / np.float32(255))


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _lay(picture: np.ndarray, grid: tuple[int, ...], rows: np.ndarray, columns: np.ndarray, colors: np.ndarray) -> None:
    """Put samples over a picture (H, W, 3); each pixel takes the nine samples around its centre, the near ones more."""
    top, left = rows.min() // 2 * 2, columns.min() // 2 * 2
    bottom, right = min(rows.max() // 2 * 2 + 3, grid[0]), min(columns.max() // 2 * 2 + 3, grid[1])
    layer = np.zeros((bottom - top, right - left, 4), np.float32)
    layer[rows - top, columns - left, :3] = colors
    layer[rows - top, columns - left, 3] = 1
    layer = (layer[:-1:2] + 2 * layer[1::2] + layer[2::2]) / 4
    layer = (layer[:, :-1:2] + 2 * layer[:, 1::2] + layer[:, 2::2]) / 4
    place = picture[top // 2 : top // 2 + layer.shape[0], left // 2 : left // 2 + layer.shape[1]]
    place *= 1 - layer[..., 3:]
    place += layer[..., :3]
