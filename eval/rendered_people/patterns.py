"""Patterns of cloth, and smooth noise from integers only, so that it is the same everywhere."""

from __future__ import annotations

import numpy as np

from .outfit import Color


def noise(shape: tuple[int, int], seed: int, cells: int) -> np.ndarray:
    """Smooth value noise ``(h, w)`` in [0, 1] with about `cells` bumps along the longer side; it tiles horizontally."""
    height, width = shape
    longer = max(height, width)
    rows, columns = max(1, round(cells * height / longer)), max(1, round(cells * width / longer))
    values = np.random.default_rng(seed).uniform(size=(rows + 2, columns))
    y, x = np.linspace(0, rows, height), np.arange(width) * columns / width
    row, column = np.minimum(y.astype(int), rows), x.astype(int)
    down, right = y - row, x - column
    down, right = (share * share * (3 - 2 * share) for share in (down, right))
    beside = (column + 1) % columns
    upper = values[row][:, column] * (1 - right) + values[row][:, beside] * right
    lower = values[row + 1][:, column] * (1 - right) + values[row + 1][:, beside] * right
    return upper * (1 - down)[:, None] + lower * down[:, None]


def cloth(pattern: str, colors: tuple[Color, Color], s: np.ndarray, t: np.ndarray, seed: int) -> np.ndarray:
    """Cloth ``(h, w, 3)`` in [0, 1].

    Args:
        pattern: one of `outfit.PATTERNS`; "print" is a few large shapes.
        colors: ground and figure.
        s, t: ``(h, w)`` places on the cloth across and down, in decimetres.
        seed: of the details.
    """
    size = 0.6 + 0.8 * ((seed * 7919) % 1000) / 1000
    if pattern == "stripes":
        share = ((t / size) % 1 < 0.45).astype(float)
    elif pattern == "pinstripes":
        share = ((s * 2.0 / size) % 1 < 0.2) * 0.7
    elif pattern == "checks":
        share = 0.5 * ((s / size) % 1 < 0.4) + 0.5 * ((t / size) % 1 < 0.4)
    elif pattern == "plaid":
        bands = [0.5 * ((x % 1 < 0.3) + ((x + 0.35) % 1 < 0.06)) for x in (s / (2 * size), t / (2 * size))]
        share = 0.5 * (bands[0] + bands[1])
    elif pattern == "graphic":  # bands of uneven widths; larger pictures are `poster`
        share = (np.random.default_rng(seed).uniform(size=32)[np.floor(t * 1.4).astype(int) % 32] < 0.45).astype(float)
    elif pattern == "dots":
        row = np.floor(t / size * 1.6)
        share = (np.hypot((s / size * 1.6 + 0.5 * (row % 2)) % 1 - 0.5, (t / size * 1.6) % 1 - 0.5) < 0.27).astype(
            float
        )
    elif pattern == "print":
        share = (noise(s.shape, seed, 9) > 0.62).astype(float)
    elif pattern == "melange":
        share = 0.35 * np.random.default_rng(seed).uniform(size=s.shape)
    elif pattern == "blocks":
        share = (t > np.round(t.max() * 0.45, 3)).astype(float)
    else:
        share = np.zeros(s.shape)
    ground, figure = (np.array(color) for color in colors)
    folds = 0.86 + 0.2 * noise(s.shape, seed + 11, 5) + 0.06 * noise(s.shape, seed + 12, 14)
    return (ground + share[..., None] * (figure - ground)) * folds[..., None]


def poster(x: np.ndarray, y: np.ndarray, colors: tuple[Color, Color], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A large picture on cloth: discs, bars, blocks and rows of letters, each in a colour of its own.

    Args:
        x, y: ``(h, w)`` places on it, within -1 .. 1 both ways; y goes down.
        colors: of the cloth and of its pattern; the picture's are mixed with the second.
        seed: of the picture.

    Returns:
        Colours ``(h, w, 3)`` in [0, 1], and where the picture is ``(h, w)`` bool.
    """
    random = np.random.default_rng(seed)
    color, where = np.zeros((*x.shape, 3)) + np.array(colors[1]), np.zeros(x.shape, bool)
    for _ in range(int(random.integers(3, 8))):
        across, down = random.uniform(-0.75, 0.75, 2)
        wide, high = random.uniform(0.15, 0.6, 2)
        p, q = (x - across) / wide, (y - down) / high
        kind = random.integers(4)
        if kind == 0:
            inside = np.hypot(p, q) < 1
        elif kind == 1:
            inside = np.abs(np.hypot(p, q) - 0.75) < 0.25
        elif kind == 2:
            inside = (np.abs(p) < 1) & (np.abs(q) < 1)
        else:  # letters, more or less
            cell = np.floor((p + 1) * 3.5).astype(int) * 7 + np.floor((q + 1) * 2.5).astype(int)
            inside = (np.abs(p) < 1) & (np.abs(q) < 1) & (random.uniform(size=64)[cell % 64] < 0.55)
        paint = random.uniform(0.05, 0.95, 3) if random.uniform() < 0.6 else np.array(colors[1])
        inside &= (np.abs(x) < 1) & (np.abs(y) < 1)
        color[inside] = paint
        where |= inside
    return color, where
