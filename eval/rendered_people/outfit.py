"""What makes one person differ from another: shape, skin, hair and clothes, drawn at random."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]  # RGB in [0, 1]

_SKIN = (
    (0.98, 0.83, 0.73), (0.95, 0.77, 0.64), (0.88, 0.68, 0.53), (0.78, 0.57, 0.42), (0.63, 0.44, 0.31), (0.46, 0.31, 0.22),
    (0.33, 0.22, 0.16),
)  # fmt: skip
_HAIR = (
    (0.09, 0.07, 0.06), (0.20, 0.13, 0.09), (0.36, 0.23, 0.13), (0.55, 0.38, 0.2), (0.8, 0.65, 0.4), (0.62, 0.61, 0.6),
    (0.5, 0.22, 0.1),
)  # fmt: skip
HAIR_STYLES = ("buzz", "short", "parted", "bob", "long", "bun", "ponytail", "curly")
PATTERNS = (
    *("plain", "plain", "stripes", "pinstripes", "checks", "plaid", "dots", "print", "melange", "blocks", "graphic"),
    *("plain", "graphic"),
)
TOPS = ("t-shirt", "long sleeves", "tank top", "shirt", "jacket", "hoodie")
COAT_PATTERNS = ("plain", "plain", "plain", "melange", "checks", "plaid", "pinstripes", "stripes", "print")
COAT_SLEEVE = 0.97  # share of the arm
BOTTOMS = ("trousers", "trousers", "jeans", "shorts", "skirt", "dress", "leggings")


@dataclass(frozen=True)
class Shape:
    """Proportions of a body. `height` in metres; the others are factors around 1, and `curves` and `belly` are in [0, 1]."""

    height: float
    girth: float
    shoulders: float
    hips: float
    curves: float
    belly: float
    legs: float
    head: float


@dataclass(frozen=True)
class Outfit:
    """Looks of a person. Lengths are shares of the limb; colours RGB in [0, 1]."""

    skin: Color
    hair: Color
    hair_style: str
    beard: bool
    glasses: bool
    top: str
    top_colors: tuple[Color, Color]
    top_pattern: str
    sleeve: float  # 0 none .. 1 to the wrist
    hem: float  # where the top ends, 0 at the waist .. 1 at the crotch
    loose: float  # 0 tight .. 1 wide
    bottom: str
    bottom_colors: tuple[Color, Color]
    bottom_pattern: str
    leg: float  # 0 none .. 1 to the ankle
    skirt: float  # 0 none, else how far down the thigh and shin it goes (0.5: the knee)
    shoes: Color
    sole: Color
    boots: bool
    hair_length: float  # 0 .. 1, of hair that hangs
    drape: float  # 0: the top follows the body .. 1: it stands off and hangs straight down
    flare: float  # 0: trousers or skirt follow the body .. 1: they widen towards their ends
    coat: float  # 0: none, else how far down the leg it goes (0.5: the knee); its sleeves go to the wrist
    coat_open: bool
    coat_colors: tuple[Color, Color]
    coat_pattern: str
    folds: int  # seed of the folds


def draw_shape(random: np.random.Generator) -> Shape:
    """A random body."""
    curves = float(random.uniform(0, 1))
    return Shape(
        height=float(random.uniform(1.72, 1.93) - 0.14 * curves),
        girth=float(random.uniform(0.86, 1.28)),
        shoulders=float(random.uniform(0.98, 1.12) - 0.12 * curves),
        hips=float(random.uniform(0.92, 1.04) + 0.1 * curves),
        curves=curves,
        belly=float(random.uniform(0, 1) ** 2),
        legs=float(random.uniform(0.96, 1.05)),
        head=float(random.uniform(0.97, 1.1)),
    )


def _color(random: np.random.Generator) -> Color:
    """A colour of cloth: mostly muted, often dark, white or grey, now and then bright."""
    kind = random.uniform()
    hue = float(random.uniform())
    if kind < 0.3:
        value = float(random.choice((0.1, 0.18, 0.45, 0.75, 0.93)))
        return colorsys.hsv_to_rgb(hue, 0.04, value)
    saturations, values = ((0.6, 0.9), (0.5, 0.9)) if kind < 0.65 else ((0.25, 0.55), (0.3, 0.8))
    return colorsys.hsv_to_rgb(hue, float(random.uniform(*saturations)), float(random.uniform(*values)))


def _mixed(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def _contrasting(color: Color, random: np.random.Generator) -> Color:
    """A second colour for a pattern that can be told from the first by its brightness."""
    for _ in range(20):
        other = _color(random)
        if abs(sum(other) - sum(color)) > 0.7:
            return other
    return (0.95, 0.95, 0.95) if sum(color) < 1.5 else (0.1, 0.1, 0.12)


def draw_outfit(random: np.random.Generator, shape: Shape) -> Outfit:
    """Random looks that go with a body: skirts and long hair mostly with curves, beards without."""
    place = random.uniform(0, len(_SKIN) - 1.001)
    skin = _mixed(_SKIN[int(place)], _SKIN[int(place) + 1], place % 1)
    feminine = shape.curves > 0.5
    usual: tuple[str, ...] = ("buzz", "short", "short", "parted", "curly")
    if feminine:
        usual = ("bob", "long", "long", "bun", "ponytail", "curly", "parted")
    style = str(random.choice(usual)) if random.uniform() < 0.85 else str(random.choice(HAIR_STYLES))
    top = str(random.choice(TOPS))
    bottom = str(random.choice(BOTTOMS if feminine else BOTTOMS[:4]))
    jeans: Color = (random.uniform(0.1, 0.3), random.uniform(0.18, 0.38), random.uniform(0.3, 0.58))
    top_color = _color(random)
    bottom_color = top_color if bottom == "dress" else jeans if bottom == "jeans" else _color(random)
    sleeves = {"t-shirt": random.uniform(0.25, 0.45), "tank top": 0.0}
    legs = {"shorts": random.uniform(0.3, 0.55), "skirt": 0.0, "dress": 0.0}
    skirt = float(random.uniform(0.32, 0.6))
    drape, flare, coat, long_skirt = _draw_loose(random)
    coat_color = _color(random)
    return Outfit(
        skin=skin,
        hair=_mixed(_HAIR[int(random.integers(len(_HAIR)))], (0.1, 0.08, 0.07), float(random.uniform(0, 0.3))),
        hair_style=style,
        beard=bool(not feminine and random.uniform() < 0.35),
        glasses=bool(random.uniform() < 0.15),
        top=top,
        top_colors=(top_color, _contrasting(top_color, random)),
        top_pattern=str(random.choice(PATTERNS)),
        sleeve=float(sleeves.get(top, random.uniform(0.9, 1.0))),
        hem=0.0 if bottom == "dress" else float(random.uniform(0.7 if drape else 0.35, 1.0)),
        loose=float(random.uniform(0.1, 1) if top != "tank top" else 0.1),
        bottom=bottom,
        bottom_colors=(bottom_color, _contrasting(bottom_color, random)),
        bottom_pattern="plain"
        if bottom in ("jeans", "leggings") or (bottom == "trousers" and random.uniform() < 0.75)
        else str(random.choice(PATTERNS)),
        leg=float(legs.get(bottom, random.uniform(0.9, 1.0))),
        skirt=(max(skirt, long_skirt)) if bottom in ("skirt", "dress") else 0.0,
        shoes=_color(random),
        sole=(0.92, 0.92, 0.9) if random.uniform() < 0.6 else (0.12, 0.1, 0.1),
        boots=bool(random.uniform() < 0.15),
        hair_length=float(random.uniform()),
        drape=drape if coat or top != "tank top" else 0.0,
        flare=flare if bottom != "leggings" and not (coat and bottom in ("skirt", "dress")) else 0.0,
        coat=coat,
        coat_open=bool(random.uniform() < 0.55),
        coat_colors=(coat_color, _contrasting(coat_color, random)),
        coat_pattern=str(random.choice(COAT_PATTERNS)),
        folds=int(random.integers(2**31)),
    )


def _draw_loose(random: np.random.Generator) -> tuple[float, float, float, float]:
    """Drape, flare, length of the coat and least length of a skirt; about half of all people have something loose."""
    drape, flare, coat, skirt = (float(value) for value in random.uniform((0.3, 0.3, 0.0, 0.5), (1, 1, 1, 0.95)))
    loose = random.uniform(size=3) < (0.35, 0.35, 0.22)
    length = 0.22 + 0.4 * coat if random.uniform() < 0.6 else 0.6 + 0.32 * coat
    return drape * (loose[0] or loose[2]), flare * loose[1], length * loose[2], skirt * loose[1]
