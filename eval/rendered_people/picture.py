"""Pictures of a moving figure, with the number of the face that each pixel's centre shows."""

from __future__ import annotations

import numpy as np

from .camera import Camera, project, to_camera
from .figure import Figure, skinned
from .rasterizer import Raster, barycentric, rasterize
from .scene import Backdrop, Scene
from .shading import Light, Shadows, shade_vertices


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
        vertices, normals = skinned(figure, self.transforms[number])
        in_view = to_camera(camera.poses[number], vertices)
        raster = seen_faces(in_view, figure.faces, figure.two_sided, camera.focal, camera.size)
        shadows = Shadows(vertices, figure.faces, self.light)
        picture = self._background(number, shadows)
        rows, columns = np.nonzero(raster.faces >= 0)
        if len(rows):
            colors = self._colors(raster, rows, columns, vertices, normals, shadows)
            _lay(picture, raster.faces.shape, rows, columns, colors)
        return _bytes(picture), raster.faces[1::2, 1::2]

    def scene(self, number: int) -> np.ndarray:
        """Return the picture ``(H, W, 3)`` uint8 that the camera of a frame has without the figure and its shadow."""
        return _bytes(self.backdrop.at(number)[0])

    def _background(self, number: int, shadows: Shadows) -> np.ndarray:
        picture, floor, points = self.backdrop.at(number)
        picture = picture.copy()
        if len(floor):
            lamp = self.light.lamp * max(self.light.direction[1], 0.35)
            lost = 0.8 * lamp / (lamp + self.light.sky * 0.7)
            dark = shadows.on_floor(points)
            hit = dark > 0
            flat = picture.reshape(-1, 3)
            flat[floor[hit]] *= 1 - dark[hit][:, None] * lost.astype(np.float32)
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
