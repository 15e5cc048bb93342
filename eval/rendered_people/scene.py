"""What is behind the figure: a floor and a wall, plain or textured."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from .camera import Camera, pixel_rays
from .patterns import noise
from .places import Photo, Planes, bilinear
from .rotations import rounded

_SIZE, _METRES = 512, 4.0  # of a texture: pixels, and what it covers before it repeats
KINDS = ("plain", "room", "room", "room", "outdoors")


@dataclass(frozen=True)
class Scene:
    """A floor and a wall.

    Attributes:
        floor, wall: textures ``(512, 512, 3)`` float32 in [0, 1].
        planes: where they are.
        kind: one of `KINDS`, or "photo".
        photo: what is seen on both instead of the textures, or None.
    """

    floor: np.ndarray
    wall: np.ndarray
    planes: Planes
    kind: str
    photo: Photo | None = None


def draw_scene(random: np.random.Generator, facing: np.ndarray, room_needed: float) -> Scene:
    """A random place.

    Args:
        random: where it comes from.
        facing: ``(3,)`` level, from the figure towards the camera; the wall is on the other side.
        room_needed: metres that the figure moves behind the origin.
    """
    kind = str(random.choice(KINDS))
    around = np.arctan2(facing[0], facing[2]) + np.deg2rad(random.uniform(-12, 12))
    normal = np.array((np.sin(around), 0.0, np.cos(around)))
    away = room_needed + random.uniform(0.7, 2.6) + (14 if kind == "outdoors" else 0)
    if kind == "plain":
        base = _background_color(random)
        soft = 0.98 + 0.03 * _noise(_seed(random), 3)
        wall = floor = base * soft[..., None]
        floor = floor * (random.uniform(0.8, 1.0) if random.uniform() < 0.6 else 1.0)
    elif kind == "room":
        wall, floor = _wall(random), _floor(random)
    else:
        wall, floor = _landscape(random), _ground(random)
    clean = [np.clip(texture, 0, 1).astype(np.float32) for texture in (floor, wall)]
    return Scene(clean[0], clean[1], Planes(normal, float(np.round(away, 4))), kind)


def described(scene: Scene) -> dict[str, object]:
    """For the annotations of a clip: its kind and its wall, see `Annotations.planes`, and the photo's name if there is one."""
    wall = {"normal": rounded(scene.planes.normal).tolist(), "away": scene.planes.away}
    place = {} if scene.photo is None else {"place": scene.photo.name}
    return {"background": scene.kind, "wall": wall, **place}


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31))


def _noise(seed: int, cells: int) -> np.ndarray:
    return noise((_SIZE, _SIZE), seed, cells)


def _color(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _background_color(random: np.random.Generator) -> np.ndarray:
    light = random.uniform(0.4, 0.97)
    return _color(random.uniform(), random.uniform(0, 0.35), light)


def _axes() -> tuple[np.ndarray, np.ndarray]:
    """(x, y) in metres of the pixels of a texture, y going up for walls from 0 at the floor."""
    grid = (np.arange(_SIZE) + 0.5) * _METRES / _SIZE
    return np.meshgrid(grid, grid)


def _wall(random: np.random.Generator) -> np.ndarray:
    x, y = _axes()
    base, other = _background_color(random), _background_color(random)
    color = np.broadcast_to(base, (_SIZE, _SIZE, 3)).copy()
    kind = random.integers(5)
    if kind == 0:  # bricks
        row = np.floor(y / 0.12)
        joint = ((y / 0.12) % 1 < 0.1) | (((x / 0.25 + 0.5 * (row % 2)) % 1) < 0.05)
        color = color * (0.85 + 0.25 * _cells(np.floor(x / 0.25 + 0.5 * (row % 2)) % 16, row % 32, random))[..., None]
        color[joint] = base * 0.6
    elif kind == 1:  # wallpaper stripes
        width = random.choice((0.1, 0.2, 0.4))
        color[(x / width) % 1 < 0.5] = base * 0.86
    elif kind == 2:  # panels below, paint above
        color[y < 1.0] = other
        color[(y < 1.0) & ((x / 0.2) % 1 < 0.06)] = other * 0.75
        color[np.abs(y - 1.0) < 0.03] = other * 0.6
    elif kind == 3:  # tiles
        color[((x / 0.25) % 1 < 0.03) | ((y / 0.25) % 1 < 0.03)] = base * 0.75
    for _ in range(int(random.integers(0, 4))):  # pictures, windows, shelves
        _hang(color, x, y, random)
    color[y < 0.09] = 0.25 + 0.5 * other
    mottled = 0.93 + 0.1 * _noise(_seed(random), 6) + 0.04 * _noise(_seed(random), 90)
    return color * mottled[..., None]


def _hang(color: np.ndarray, x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> None:
    left, low = random.uniform(0, 3), random.uniform(0.9, 1.9)
    width, height = random.uniform(0.3, 1.0), random.uniform(0.3, 1.0)
    outer = (x > left) & (x < left + width) & (y > low) & (y < low + height)
    frame = 0.04
    inner = (x > left + frame) & (x < left + width - frame) & (y > low + frame) & (y < low + height - frame)
    color[outer] = _color(random.uniform(), 0.3, random.uniform(0.1, 0.9))
    one, two = _background_color(random), _color(random.uniform(), 0.7, random.uniform(0.3, 0.9))
    share = (_noise(_seed(random), 14) > 0.5)[..., None]
    color[inner] = (one + share * (two - one))[inner]


def _floor(random: np.random.Generator) -> np.ndarray:
    x, y = _axes()
    base = _color(random.uniform(0.04, 0.13), random.uniform(0.1, 0.5), random.uniform(0.4, 0.85))
    kind = random.integers(4)
    seed = _seed(random)
    grain = _noise(seed, 60)
    if kind == 0:  # boards
        board = np.floor(x / 0.2)
        shade = 0.8 + 0.3 * _cells(board % 20, np.floor(y / 2 + 0.37 * board) % 2, random) + 0.1 * (grain - 0.5)
        shade = np.where(((x / 0.2) % 1 < 0.03) | ((y / 2 + 0.37 * board) % 1 < 0.006), 0.55, shade)
    elif kind == 1:  # tiles
        dark = (np.floor(x / 0.5) + np.floor(y / 0.5)) % 2 * random.choice((0.0, 0.25))
        shade = np.where(((x / 0.5) % 1 < 0.03) | ((y / 0.5) % 1 < 0.03), 0.6, 1 - dark + 0.06 * (grain - 0.5))
    elif kind == 2:  # carpet
        speckles = np.random.default_rng(seed).uniform(size=x.shape)
        shade = 0.8 + 0.25 * speckles + 0.15 * (_noise(seed, 8) - 0.5)
    else:  # concrete
        base = np.full(3, random.uniform(0.35, 0.7))
        shade = 0.85 + 0.25 * _noise(seed, 5) + 0.12 * grain
    return base * shade[..., None]


def _ground(random: np.random.Generator) -> np.ndarray:
    hue = random.choice((0.09, 0.24, 0.28, 0.6))
    base = _color(hue, 0.1 if hue == 0.6 else random.uniform(0.25, 0.5), random.uniform(0.35, 0.6))
    seed = _seed(random)
    shade = 0.65 + 0.4 * _noise(seed, 12) + 0.35 * _noise(seed + 1, 110)
    return base * shade[..., None]


def _landscape(random: np.random.Generator) -> np.ndarray:
    """Hedges or houses below a sky; seen from afar, so its metres are stretched (see `Backdrop`)."""
    _, y = _axes()
    seed = _seed(random)
    blue, haze = np.array((0.62, 0.75, 0.93)), np.array((0.8, 0.84, 0.9))
    sky = blue * (1 - y / 4)[..., None] * 0.4 + haze * (0.6 + 0.1 * y / 4)[..., None]
    clouds = np.clip(_noise(seed, 5) * 1.6 - 0.7, 0, 1)[..., None]
    color = sky + clouds * (0.96 - sky)
    for layer in range(2):
        coarse, fine = (noise((1, _SIZE), seed + layer + k, cells)[0] for k, cells in ((0, 9), (5, 60)))
        level = 0.9 - 0.35 * layer + 0.5 * coarse + 0.1 * fine
        green = _color(random.uniform(0.2, 0.4), random.uniform(0.2, 0.5), random.uniform(0.25, 0.5))
        leaves = 0.75 + 0.25 * _noise(seed + 9 + layer, 40) + 0.2 * _noise(seed + 19 + layer, 250)
        below = y < level[None]
        color[below] = (green * leaves[..., None])[below]
    return color


def _cells(column: np.ndarray, row: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One random number in [0, 1] for each cell."""
    table = random.uniform(size=(64, 64))
    return table[row.astype(int) % 64, column.astype(int) % 64]


class Backdrop:
    """The scene without the figure, as one camera sees it; what is the same in every frame is computed once."""

    def __init__(self, scene: Scene, camera: Camera, glow: np.ndarray) -> None:
        self.scene, self.camera = scene, camera
        self.glow = glow.astype(np.float32)  # (3,) how bright the place is
        self.rays = pixel_rays(camera.size, camera.focal).reshape(-1, 3).astype(np.float32)
        self._last: tuple[bytes, np.ndarray, np.ndarray, np.ndarray] | None = None

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours ``(H, W, 3)`` float32, the pixels ``(N,)`` that show floor, and their places ``(N, 3)`` in the world."""
        pose = self.camera.poses[frame]
        key = pose.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, *self._render(pose))
        return self._last[1:]

    def _render(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        turn = pose[:, :3].astype(np.float32)
        eye = (-turn.T @ pose[:, 3]).astype(np.float32)
        rays = self.rays @ turn  # (N, 3) in the world
        point, on_floor = self.scene.planes.meet(eye, rays)
        photo = self.scene.photo
        # The light of the place is in the photo.
        color = self._painted(point, on_floor) * self.glow if photo is None else photo.colors(point)
        return color.reshape(*self.camera.size, 3), np.flatnonzero(on_floor), point[on_floor]

    def _painted(self, point: np.ndarray, on_floor: np.ndarray) -> np.ndarray:
        """Colours (N, 3) float32 of points (N, 3) of the planes."""
        normal = self.scene.planes.normal.astype(np.float32)
        sideways = np.array((normal[2], 0, -normal[0]), np.float32)
        stretch = 6.0 if self.scene.kind == "outdoors" else 1.0
        color = np.empty((len(point), 3), np.float32)
        color[on_floor] = _textured(self.scene.floor, point[on_floor][:, [0, 2]])
        wall = point[~on_floor]
        height = wall[:, 1] / stretch
        # Above the texture its last row goes on, instead of another floor.
        place = np.stack((wall @ sideways / stretch, np.clip(height, 0, _METRES - 0.02)), axis=1)
        color[~on_floor] = _textured(self.scene.wall, place)
        if self.scene.kind == "plain":  # no hard edge between floor and wall
            gap = np.abs(point @ normal + np.float32(self.scene.planes.away)) + np.abs(point[:, 1])
            color *= (1 - 0.12 * np.exp(-gap / 0.5))[:, None]
        return color


def _textured(texture: np.ndarray, metres: np.ndarray) -> np.ndarray:
    """Bilinear samples (N, 3) of a texture that repeats."""
    place = metres * np.float32(_SIZE / _METRES) - np.float32(0.5)
    corner = np.floor(place).astype(np.int64)
    return bilinear(texture, corner % _SIZE, (corner + 1) % _SIZE, (place - np.floor(place)))
