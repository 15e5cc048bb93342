"""The texture of a person: one tile for each surface, painted as the outfit says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .head import paint_face
from .outfit import Color, Outfit
from .patterns import cloth, noise, poster
from .shapes import Mesh

TILES = {  # x, y, width and height in pixels
    "top": (0, 0, 288, 192),
    "head": (288, 0, 288, 192),
    "left_arm": (576, 0, 96, 192),
    "right_arm": (672, 0, 96, 192),
    "left_leg": (0, 192, 96, 192),
    "right_leg": (96, 192, 96, 192),
    "seat": (192, 192, 192, 96),
    "skirt": (384, 192, 192, 192),
    "hair": (576, 192, 96, 192),
    "left_hand": (192, 288, 48, 96),
    "right_hand": (240, 288, 48, 96),
    "left_shoe": (288, 288, 48, 96),
    "right_shoe": (336, 288, 48, 96),
    "ear": (672, 192, 48, 48),
    "neck": (720, 192, 48, 48),
    "frame": (672, 240, 24, 24),
    "eyeball": (696, 240, 72, 72),
    "trunk": (0, 384, 288, 240),
    "coat": (288, 384, 288, 240),
    "coat_skirt": (576, 384, 192, 240),
}
WIDTH, HEIGHT = 768, 624
_DARK: Color = (0.07, 0.07, 0.08)


def on_tile(uvs: np.ndarray, name: str) -> np.ndarray:
    """Places ``(..., 2)`` in the whole texture of `uvs` in a tile, half a pixel away from the tile's border."""
    x, y, width, height = TILES[name]
    return (np.array((x, y)) + 0.5 + np.clip(uvs, 0, 1) * (np.array((width, height)) - 1)) / (WIDTH, HEIGHT)


def placed(mesh: Mesh) -> Mesh:
    """The mesh with uvs in the whole texture instead of in its tile."""
    return replace(mesh, uvs=on_tile(mesh.uvs, mesh.tile))


def paint(outfit: Outfit, random: np.random.Generator) -> np.ndarray:
    """The texture ``(HEIGHT, WIDTH, 3)`` uint8 of an outfit; random numbers decide details of cloth and skin."""
    texture = np.zeros((HEIGHT, WIDTH, 3))
    seed = int(random.integers(2**31))
    painters: dict[str, Callable[[str, np.ndarray, np.ndarray, Outfit, int], np.ndarray]] = {
        "top": _top,
        "head": lambda name, u, v, outfit, seed: paint_face(u, v, outfit),
        "arm": _arm,
        "leg": _leg,
        "seat": _seat,
        "skirt": _skirt,
        "hair": _hair,
        "hand": _hand,
        "shoe": _shoe,
        "ear": _skin,
        "neck": _skin,
        "trunk": _trunk,
        "coat": _coat,
        "coat_skirt": _coat_skirt,
        "eyeball": _eyeball,
        "frame": lambda name, u, v, outfit, seed: np.zeros((*u.shape, 3)) + _DARK,
    }
    absent = {*(("skirt",) if not outfit.skirt else ()), *(("coat", "coat_skirt") if not outfit.coat else ())}
    for name, (x, y, width, height) in TILES.items():
        if name in absent:
            continue
        u, v = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        tile = painters[name.removeprefix("left_").removeprefix("right_")](name, u, v, outfit, seed)
        texture[y : y + height, x : x + width] = tile
    return np.round(np.clip(texture, 0, 1) * 255).astype(np.uint8)


def _skin(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    return np.array(outfit.skin) * (0.96 + 0.06 * noise(u.shape, seed, 5))[..., None]


def _over(base: np.ndarray, color: np.ndarray | Color, where: np.ndarray) -> np.ndarray:
    """`color` over `base` where the mask (h, w), bool or in [0, 1], says so."""
    share = np.asarray(where, np.float64)[..., None]
    return base * (1 - share) + np.asarray(color) * share


def _top(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    """u 0.25 is in front; v goes from the neck (0) to the hem (1)."""
    pattern = "plain" if outfit.top_pattern == "graphic" else outfit.top_pattern
    color = cloth(pattern, outfit.top_colors, u * 9, v * 6, seed)
    front = np.abs(u - 0.25)  # 0 in the middle of the chest, about 0.25 at the sides
    if outfit.top_pattern == "print" and outfit.top in ("t-shirt", "long sleeves", "hoodie", "tank top"):
        color = cloth("plain", outfit.top_colors, u * 9, v * 6, seed)
        color = _over(color, outfit.top_colors[1], _emblem((u - 0.25) / 0.085, (v - 0.45) / 0.14, seed))
    if outfit.top_pattern == "graphic":
        picture, where = poster((u - 0.25) / 0.13, (v - 0.52) / 0.36, outfit.top_colors, seed)
        color = _over(color, picture * color.mean(2, keepdims=True) / color.mean(), where)
        picture, where = poster((u - 0.75) / 0.13, (v - 0.5) / 0.36, outfit.top_colors, seed + 1)
        color = _over(color, picture, where & (seed % 2 > 0))
    if outfit.top == "jacket":
        inner = np.array(outfit.top_colors[1])
        opening = front < 0.035 + 0.03 * v
        color = _over(color, inner, opening & (v < 0.97))
        color = _over(color, color * 0.6, np.abs(front - 0.04 - 0.03 * v) < 0.008)
    if outfit.top == "shirt":
        color = _over(color, color * 0.72, np.abs(front - 0.014) < 0.004)
        buttons = (front < 0.006) & (np.abs((v * 7) % 1 - 0.5) < 0.09)
        color = _over(color, (0.9, 0.9, 0.88), buttons)
        color = _over(color, color * 0.75, (np.abs(v - 0.16 + 0.25 * front) < 0.012) & (front < 0.12))
    if outfit.top == "hoodie":
        pocket = (front < 0.1) & (np.abs(v - 0.8) < 0.1)
        color = _over(color, color * 0.85, pocket)
    color = _over(color, color * 0.8, v > 0.965)
    return _over(color, np.array(outfit.skin), _neckline(front, np.abs(u - 0.75), v, outfit))


def _neckline(front: np.ndarray, back: np.ndarray, v: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Where skin shows at the neck (and the shoulders, with a tank top)."""
    if outfit.top == "tank top":
        straps = (np.abs(front - 0.1) < 0.03) | (np.abs(back - 0.1) < 0.03)
        return (v < 0.2) & ~straps | (v < 0.27) & (front > 0.15) & (back > 0.15)
    if outfit.top in ("shirt", "jacket"):
        return v < np.clip(0.18 - 2.2 * front, 0.055, 1)
    if outfit.top == "hoodie":
        return v < 0.03
    return v < np.where(front < 0.25, np.clip(0.135 - 3.0 * front**2 * 5, 0.075, 1), 0.08)


def _emblem(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A mark on the chest: a disc, a ring, a bar, a star-like shape or a block, within |x|, |y| < 1."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    shapes = (
        radius < 1,
        (radius < 1) & (radius > 0.6),
        (np.abs(y) < 0.35) & (np.abs(x) < 1),
        radius < 0.7 + 0.3 * np.cos(5 * angle),
        (np.abs(x) < 0.8) & (np.abs(y) < 0.8) & (np.abs(x + y) > 0.25),
    )
    return shapes[seed % len(shapes)]


def _arm(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    color = _skin(name, u, v, outfit, seed + 1)
    if outfit.coat:
        sleeve = cloth(outfit.coat_pattern, outfit.coat_colors, u * 3, v * 5.5, seed + len(name))
        return _over(color, _over(sleeve, sleeve * 0.78, v > 0.93), v < 0.99)
    if outfit.sleeve <= 0:
        return color
    pattern = "plain" if outfit.top_pattern in ("print", "graphic") else outfit.top_pattern
    sleeve = cloth(pattern, outfit.top_colors, u * 3, v * 5.5, seed + len(name))
    sleeve = _over(sleeve, sleeve * 0.78, v > outfit.sleeve - 0.025)
    return _over(color, sleeve, v < outfit.sleeve + 0.004)


def _leg(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    color = _skin(name, u, v, outfit, seed + 2)
    if outfit.leg > 0:
        trousers = cloth(outfit.bottom_pattern, outfit.bottom_colors, u * 4.5, v * 8.5, seed + len(name))
        if outfit.bottom == "jeans":
            fade = np.exp(-(((u - 0.25) / 0.16) ** 2)) * np.exp(-(((v - 0.3) / 0.28) ** 2))
            trousers = trousers * (1 + 0.35 * fade[..., None])
        trousers = _over(trousers, trousers * 0.75, (v > outfit.leg - 0.015) | (np.abs(u - 0.0) < 0.01))
        color = _over(color, trousers, v < outfit.leg + 0.004)
    if outfit.boots:
        color = _over(color, np.array(outfit.shoes) * 0.95, v > 0.66)
    return color


def _seat(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    color = cloth(outfit.bottom_pattern, outfit.bottom_colors, u * 9, v * 2.4, seed + 3)
    if outfit.bottom in ("trousers", "jeans", "shorts"):
        color = _over(color, _DARK, v < 0.16)
        color = _over(color, (0.75, 0.7, 0.5), (v < 0.15) & (v > 0.02) & (np.abs(u - 0.25) < 0.02))
        color = _over(color, color * 0.7, (v > 0.16) & (v < 0.6) & (np.abs(u - 0.25) < 0.006))
    return color


def _skirt(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    dress = outfit.bottom == "dress"
    pattern, colors = (
        (outfit.top_pattern, outfit.top_colors) if dress else (outfit.bottom_pattern, outfit.bottom_colors)
    )
    long = max(outfit.skirt / 0.5, 0.6)
    plain = pattern == "graphic" or (pattern == "print" and dress)
    color = cloth("plain" if plain else pattern, colors, u * 11, v * 5 * long, seed + 4)
    if pattern == "graphic":
        for k in range(4):  # a picture on each side
            picture, where = poster((u - 0.125 - 0.25 * k) / 0.11, (v - 0.55) / 0.35, colors, seed + 20 + k)
            color = _over(color, picture, where)
    color = color * (0.93 + 0.09 * np.cos(8 * 2 * np.pi * u) * v)[..., None]
    return _over(color, color * 0.75, (v > 0.96) | (v < 0.04) & dress)


def _hair(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    strands = noise((1, u.shape[1]), seed + 5, 24) * 0.6 + noise(u.shape, seed + 6, 12) * 0.4
    color = np.array(outfit.hair) * (0.7 + 0.6 * strands)[..., None]
    skin = np.array(outfit.skin)
    return 0.6 * color + 0.4 * skin * 0.6 if outfit.hair_style == "buzz" else color


def _hand(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    color = _skin(name, u, v, outfit, seed + 7)
    gaps = (np.abs((np.cos(2 * np.pi * (u - 0.25)) * 2) % 1 - 0.5) < 0.12) & (v > 0.5)  # u 0.25 is the thumb's side
    color = _over(color, color * 0.78, gaps)
    return color if outfit.sleeve < 0.85 and not outfit.coat else _over(color, color * 0.8, v < 0.08)


def _shoe(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    color = np.array(outfit.shoes) * (0.93 + 0.1 * noise(u.shape, seed + 8, 6))[..., None]
    up = np.sin(2 * np.pi * u)
    laces = (up > 0.75) & (v > 0.32) & (v < 0.62) & ((v * 26) % 1 < 0.5)
    color = _over(color, (0.9, 0.9, 0.9) if sum(outfit.shoes) < 1.8 else (0.3, 0.3, 0.3), laces & (not outfit.boots))
    return _over(color, outfit.sole, up < -0.42)


def split_of_trunk(outfit: Outfit) -> float:
    """v on the tile "trunk" where the top ends and what is below begins; 1 where a dress goes all the way down."""
    if outfit.bottom == "dress":
        return 1.0
    return (0.852 - (0.60 - outfit.hem * (0.60 - 0.482))) / (0.852 - 0.462)


def _trunk(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    """Top and seat on one tile, for a body whose trunk is one surface."""
    split = split_of_trunk(outfit)
    below = _seat(name, u, np.clip((v - 0.57) / 0.43, 0, 1), outfit, seed)
    return _over(below, _top(name, u, v / split, outfit, seed), v < split)


def _coat(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    """The trunk of a coat; u and v as on "trunk". Closed, it shows what is below it at the neck."""
    color = cloth(outfit.coat_pattern, outfit.coat_colors, u * 9, v * 6, seed + 9)
    front = np.abs(u - 0.25)
    lapel = np.abs(front - 0.16 * np.clip(0.42 - v, 0, None) - 0.012) < 0.01
    color = _over(color, color * 0.65, lapel & (v < 0.45))
    color = _over(color, color * 0.8, (np.abs(v - 0.66) < 0.012) & (np.abs(front - 0.12) < 0.035))  # pockets
    if outfit.coat_open:
        return _over(color, np.array(outfit.coat_colors[1]) * 0.8, (front < 0.01) | (v < 0.02))
    color = _over(color, color * 0.6, (front < 0.005) & (v > 0.4))
    buttons = (np.abs((v * 9) % 1 - 0.5) < 0.1) & (np.abs(front - 0.015) < 0.006) & (v > 0.4)
    color = _over(color, np.array(outfit.coat_colors[1]), buttons)
    opening = front < 0.16 * np.clip(0.4 - v, 0, None)
    color = _over(color, np.array(outfit.top_colors[0]), opening)
    return _over(color, np.array(outfit.skin), (front < 0.16 * np.clip(0.2 - v, 0, None)) | (v < 0.055))


def _coat_skirt(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    """The coat below the waist: u is 0 and 1 at its edges in front, v goes down to its hem."""
    long = max(outfit.coat / 0.5, 0.5)
    color = cloth(outfit.coat_pattern, outfit.coat_colors, u * 11, v * 5 * long, seed + 10)
    edge = np.minimum(u, 1 - u)
    color = _over(color, color * 0.7, (v > 0.97) | (edge < 0.012))
    if seed % 3 == 0 and not outfit.coat_open:  # a belt
        color = _over(color, np.array(outfit.coat_colors[1]) * 0.7, v * long < 0.07)
    return color


def _eyeball(name: str, u: np.ndarray, v: np.ndarray, outfit: Outfit, seed: int) -> np.ndarray:
    radius = np.hypot(u - 0.5, v - 0.5)
    iris = (0.3, 0.22, 0.14) if sum(outfit.skin) < 1.9 or seed % 3 else (0.35, 0.45, 0.5)
    color = _over(np.ones((*u.shape, 3)) * 0.94, iris, radius < 0.24)
    return _over(color, _DARK, radius < 0.11)
