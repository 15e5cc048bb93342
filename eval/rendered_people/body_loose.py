"""Clothes that stand off a modelled body: loose tops, coats, wide trousers and skirts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import numpy as np

from .body_places import REGIONS, Places
from .loose import Drape, around_legs, drape_around, folds, sheet, slice_weights, smoothed
from .outfit import COAT_SLEEVE, Outfit
from .painting import split_of_trunk
from .shapes import Mesh, smooth
from .skeleton import BONE

_SIDES = ("left", "right")
_TRUNK = REGIONS.index("trunk")
_ARMS = [REGIONS.index(f"{side}_arm") for side in _SIDES]
_LEGS = [REGIONS.index(f"{side}_leg") for side in _SIDES]
_COAT_OPENING = 0.055  # metres to either side of the middle


@dataclass(frozen=True)
class Shell:
    """Cloth pushed out from the body.

    Attributes:
        vertices, weights: ``(V, 3)`` and ``(V, J)``.
        quads: ``(Q, 4)`` of it.
        places: of its vertices on the texture.
        trunk: the tile of the trunk.
    """

    vertices: np.ndarray
    quads: np.ndarray
    weights: np.ndarray
    places: Places
    trunk: str


@dataclass
class Layers:
    """What somebody wears above the close-fitting layer.

    Attributes:
        shells: cloth made from the surface of the body.
        skirts: surfaces around both legs or the neck, uvs on their own tile.
        hidden: ``(V,)`` bool: what is below and cannot be seen.
    """

    hidden: np.ndarray
    shells: list[Shell] = field(default_factory=list)
    skirts: list[Mesh] = field(default_factory=list)


@dataclass(frozen=True)
class Body:
    """What clothes are made from.

    Attributes:
        vertices, normals: ``(V, 3)``, metres.
        weights: ``(V, J)``.
        quads: ``(Q, 4)`` of the close-fitting layer.
        heads: ``(J, 3)`` of the bones.
        places: of the vertices.
    """

    vertices: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    quads: np.ndarray
    heads: np.ndarray
    places: Places

    @property
    def core(self) -> np.ndarray:
        """``(N,)`` the vertices of trunk and legs."""
        used = np.unique(self.quads)
        return used[np.isin(self.places.region[used], [_TRUNK, *_LEGS])]

    def down(self, name: str) -> np.ndarray:
        """``(V,)``: how far down its region each vertex is, as v on the tile."""
        return self.places.by_region[name][:, 1]

    def height_of(self, v: float) -> float:
        """Metres, of a v on the trunk."""
        hip, neck = self.heads[BONE["left_thigh"], 1], self.heads[BONE["neck"], 1]
        return float(hip + (0.852 - v * (0.852 - 0.462) - 0.505) / (0.838 - 0.505) * (neck - hip))

    def leg_height(self, share: float) -> float:
        """Metres, of a share of the leg."""
        hip, ankle = self.heads[BONE["left_thigh"], 1], self.heads[BONE["left_foot"], 1]
        return float(hip - share * (hip - ankle))

    @property
    def waist(self) -> float:
        return float(self.heads[BONE["abdomen"], 1] + 0.02)

    def drape(self, top: float, slack: float) -> Drape:
        core = self.core
        return drape_around(
            self.vertices[core], top, self.leg_height(0.97), float(self.heads[BONE["left_thigh"], 2]), slack
        )


def loose_layers(body: Body, outfit: Outfit) -> Layers:
    """All loose clothes of an outfit."""
    layers = Layers(np.zeros(len(body.vertices), bool))
    if outfit.flare and outfit.leg:
        _wide_trousers(body, outfit, layers)
    if outfit.skirt:
        _skirt(body, outfit, layers)
    if outfit.coat:
        _coat(body, outfit, layers)
    elif outfit.drape:
        _loose_top(body, outfit, layers)
    return layers


def _loose_top(body: Body, outfit: Outfit, layers: Layers) -> None:
    split = _split(outfit)
    drape = body.drape(_armpit(body), 0.05 + 0.6 * (1 - outfit.drape))
    thick, hem = 0.014 + 0.02 * outfit.drape, body.height_of(split)
    shell = _top_shell(body, outfit, drape, thick=thick, hem=hem, sleeve=outfit.sleeve, wide=outfit.drape)
    layers.shells.append(shell)
    if outfit.top in ("hoodie", "jacket", "shirt"):
        layers.skirts.append(_collar(body, outfit, "trunk"))
    layers.hidden |= _top_of(body, split - 0.14, outfit.sleeve - 0.15)


def _coat(body: Body, outfit: Outfit, layers: Layers) -> None:
    drape, thick = body.drape(_armpit(body), 0.1 + 0.3 * (1 - outfit.drape)), 0.026 + 0.012 * outfit.drape
    opening = _COAT_OPENING * outfit.coat_open
    shell = _top_shell(body, outfit, drape, thick=thick, hem=body.waist, sleeve=COAT_SLEEVE, wide=_sleeve_width(outfit))
    above = slice_weights(body.vertices[body.core], body.weights[body.core], body.waist)
    share = smooth(shell.vertices[:, 1] - body.waist, 0.0, 0.12)[:, None]
    near_hem = (shell.places.region == _TRUNK)[:, None]
    weights = np.where(near_hem, share * shell.weights + (1 - share) * above, shell.weights)
    shell = replace(shell, weights=weights, trunk="coat")
    if opening:
        shell = _opened(shell, opening, drape.depth)
    skirt = around_legs(
        drape,
        body.heads,
        above,
        top=body.waist,
        bottom=body.leg_height(outfit.coat),
        gap=thick,
        flare=0.05 + 0.14 * outfit.drape,
        waves=0.014 + 0.024 * outfit.drape,
        opening=opening,
        seed=outfit.folds + 1,
        tile="coat_skirt",
    )
    layers.skirts += [skirt, _collar(body, outfit, "coat_skirt")]
    under = _top_of(body, 2.0, COAT_SLEEVE - 0.15)
    if outfit.coat_open:
        inner = (np.abs(body.vertices[:, 0]) < opening + 0.13) & (body.vertices[:, 2] > drape.depth)
        under &= ~(inner | (body.vertices[:, 1] < body.waist + 0.05))
    else:
        under |= _legs_of(body, 0.7 * outfit.coat)
        layers.shells = [replace(worn, quads=worn.quads[~under[worn.quads].all(1)]) for worn in layers.shells]
    layers.hidden |= under
    layers.shells.append(shell)


def _wide_trousers(body: Body, outfit: Outfit, layers: Layers) -> None:
    split = split_of_trunk(outfit)
    legs = np.isin(body.places.region, _LEGS)
    below = (body.places.region == _TRUNK) & (body.down("trunk") > split - 0.1)
    v = np.where(body.places.region == _LEGS[0], body.down("left_leg"), body.down("right_leg"))
    v = np.where(below, 0.0, v)
    amount = outfit.flare * (1.0 if outfit.coat < 0.5 else 0.4)
    thick = 0.012 + smooth(v, 0.0, 0.12) * (0.006 + 0.02 * amount) + 0.075 * amount * np.clip(v - 0.08, 0, 1)
    thick += (0.004 + 0.006 * amount) * smooth(v, 0.05, 0.4) * _wrinkles(body.vertices, outfit.folds + 2)
    moved = smoothed(body.normals * thick[:, None], body.quads, 3)
    vertices, places = body.vertices + moved, copy.copy(body.places)
    places.by_region, places.region = dict(places.by_region), places.region.copy()
    for side, region in zip(_SIDES, _LEGS, strict=True):
        beyond = (np.isin(places.region, [region, REGIONS.index(f"{side}_shoe")])) & (
            body.down(f"{side}_leg") > outfit.leg
        )
        bones = [body.heads[BONE[f"{side}_{name}"]] for name in ("thigh", "shin", "foot")]
        vertices[beyond] = _drawn_back(vertices[beyond], bones, outfit.leg)
        places.region[beyond] = region
        places.by_region[f"{side}_leg"] = _capped(places.by_region[f"{side}_leg"], outfit.leg)
    core = below | (legs & (v < outfit.leg))
    quads = body.quads[core[body.quads].any(1) & np.isin(places.region[body.quads], [_TRUNK, *_LEGS]).all(1)]
    layers.shells.append(Shell(vertices, quads, body.weights, places, "trunk"))
    layers.hidden |= legs & (v < outfit.leg - 0.15)
    layers.hidden |= below & (body.down("trunk") > split + 0.03)


def _skirt(body: Body, outfit: Outfit, layers: Layers) -> None:
    below = bool(outfit.drape and not outfit.coat)  # a top that hangs over it
    top = body.height_of(_split(outfit)) + 0.03 if below else body.waist + 0.01
    drape = body.drape(top + 0.01, 0.25)
    above = slice_weights(body.vertices[body.core], body.weights[body.core], body.waist)
    skirt = around_legs(
        drape,
        body.heads,
        above,
        top=top,
        bottom=body.leg_height(outfit.skirt),
        gap=0.008 if below else 0.014 + 0.012 * outfit.loose + 0.006 * (outfit.flare > 0),
        flare=0.03 + 0.21 * outfit.flare,
        waves=0.006 + 0.006 * outfit.loose + 0.03 * outfit.flare,
        opening=0.0,
        seed=outfit.folds + 3,
        tile="skirt",
    )
    layers.skirts.append(skirt)
    layers.hidden |= _legs_of(body, 0.7 * outfit.skirt)
    layers.hidden |= (body.places.region == _TRUNK) & (body.vertices[:, 1] < (np.inf if below else top - 0.05))


def _sleeve_width(outfit: Outfit) -> float:
    """Of a coat; a third of the long ones are robes with wide sleeves."""
    robe = outfit.coat > 0.6 and outfit.folds % 3 == 0
    return 0.2 + 0.5 * outfit.drape + 1.3 * robe


def _wrinkles(points: np.ndarray, seed: int) -> np.ndarray:
    return folds(points, seed, 0.24) + 0.45 * folds(points, seed + 50, 0.11)


def _collar(body: Body, outfit: Outfit, tile: str) -> Mesh:
    """A turned-down collar, or a hood that lies on the back; open in front."""
    used = np.unique(body.quads)
    near = used[np.abs(body.vertices[used, 1] - body.heads[BONE["neck"], 1]) < 0.02]
    points = body.vertices[near]
    middle = (points.max(0) + points.min(0)) / 2
    half = np.ptp(points, axis=0)[[0, 2]] / 2
    hood = outfit.top == "hoodie" or (outfit.coat > 0 and outfit.folds % 4 == 0)
    out = np.array((0.0, 0.004, 0.02, 0.045, 0.06)) * (1.6 if hood else 0.8)  # from inside over the edge to outside
    up = np.array((-0.03, 0.02, 0.035, 0.01, -0.04)) * (1.3 if hood else 0.8)
    turn = np.linspace(0.25 + 0.04, 1.25 - 0.04, 25)
    behind = (1 - np.sin(2 * np.pi * turn)) / 2  # 0 in front, 1 at the back
    size = (0.35 + 0.65 * behind) if hood else np.ones(turn.shape)
    angle = 2 * np.pi * turn
    points = np.stack(
        (
            (half[0] + 0.008 + np.outer(out, size)) * np.cos(angle),
            middle[1] - 0.055 * (1 - behind) + np.outer(up, size),
            middle[2] + (half[1] + 0.008 + np.outer(out, size)) * np.sin(angle),
        ),
        -1,
    )
    uv = np.stack(np.broadcast_arrays(0.36 + 0.28 * np.linspace(0, 1, 25), np.linspace(0.3, 0.42, 5)[:, None]), -1)
    mean = slice_weights(body.vertices[near], body.weights[near], middle[1])
    return sheet(points, uv, np.tile(mean, (points.shape[0] * points.shape[1], 1)), tile)


def _split(outfit: Outfit) -> float:
    """v on the trunk where a loose top ends."""
    return min(split_of_trunk(outfit), 0.95)


def _armpit(body: Body) -> float:
    return float(body.heads[BONE["left_upper_arm"], 1] - 0.06)


def _top_of(body: Body, trunk: float, arm: float) -> np.ndarray:
    """``(V,)`` bool: the trunk from below the neckline to v `trunk`, and the arms down to v `arm`."""
    v = body.down("trunk")
    result = (body.places.region == _TRUNK) & (v > 0.1) & (v < trunk)
    for side, region in zip(_SIDES, _ARMS, strict=True):
        result |= (body.places.region == region) & (body.down(f"{side}_arm") < arm)
    return result


def _legs_of(body: Body, share: float) -> np.ndarray:
    """``(V,)`` bool: the legs down to a share of them."""
    result = np.zeros(len(body.vertices), bool)
    for side, region in zip(_SIDES, _LEGS, strict=True):
        result |= (body.places.region == region) & (body.down(f"{side}_leg") < share)
    return result


def _top_shell(
    body: Body, outfit: Outfit, drape: Drape, *, thick: float, hem: float, sleeve: float, wide: float
) -> Shell:
    """Trunk and sleeves, hanging straight down from the chest.

    Args:
        drape: where the trunk's cloth hangs.
        thick: metres that it stands off.
        hem: where it ends, metres; its edge there is level.
        sleeve: where the sleeves end, as a share of the arm.
        wide: 0 .. 1, how much the sleeves widen and hang.
    """
    points, region = body.vertices, body.places.region
    turn, height = drape.turn(points), points[:, 1]
    wrinkle = (0.003 + 0.006 * outfit.drape) * _wrinkles(points, outfit.folds) * smooth(height, hem, hem + 0.1)
    resting = smooth(body.normals[:, 1], 0.1, 0.8) * smooth(height, _armpit(body) - 0.1, _armpit(body))
    far = thick * (1 - 0.75 * resting) + wrinkle  # cloth rests on the shoulders
    cover = smooth(body.down("trunk"), 0.03, 0.09) * (region == _TRUNK)
    moved = body.normals * far[:, None]
    hanging = (smooth(_armpit(body) + 0.04 - height, 0.0, 0.15) * (region == _TRUNK))[:, None]
    moved += hanging * (drape.place(height, turn, far) - points - moved)
    for side, number in zip(_SIDES, _ARMS, strict=True):
        cover = np.where(region == number, 1.0, cover)
        v = body.down(f"{side}_arm")
        more = wide * smooth(v, 0.05, max(sleeve, 0.3)) * (region == number)
        moved += body.normals * (0.018 * more)[:, None]
        moved[:, 1] -= 0.035 * more * np.clip(-body.normals[:, 1], 0, 1)
    cover = np.where(np.isin(region, _LEGS), 1.0, cover)
    moved = smoothed(moved * cover[:, None] - body.normals * (0.004 * (1 - cover))[:, None], body.quads, 3)
    vertices, places = points + moved, copy.copy(body.places)
    places.by_region, places.region = dict(places.by_region), region.copy()
    low = np.isin(region, [_TRUNK, *_LEGS]) & (height < hem)
    vertices[low] = drape.place(np.full(low.sum(), hem), turn[low], thick)
    places.region[low] = _TRUNK
    hip, neck = body.heads[BONE["left_thigh"], 1], body.heads[BONE["neck"], 1]
    end = (0.852 - 0.505 - (hem - hip) / (neck - hip) * (0.838 - 0.505)) / (0.852 - 0.462)
    places.by_region["trunk"] = _capped(places.by_region["trunk"], end - 0.006)
    core = (region == _TRUNK) & ~low & (cover > 0)
    for side, number in zip(_SIDES, _ARMS, strict=True):
        arm = np.isin(region, [number, REGIONS.index(f"{side}_hand")])
        beyond = arm & (body.down(f"{side}_arm") > sleeve)
        bones = [body.heads[BONE[f"{side}_{name}"]] for name in ("upper_arm", "forearm", "hand")]
        vertices[beyond] = _drawn_back(vertices[beyond], bones, sleeve)
        places.region[arm] = number
        places.by_region[f"{side}_arm"] = _capped(places.by_region[f"{side}_arm"], sleeve)
        core |= arm & ~beyond
    quads = body.quads[core[body.quads].any(1)]
    return Shell(vertices, quads, body.weights, places, "trunk")


def _drawn_back(points: np.ndarray, bones: list[np.ndarray], share: float) -> np.ndarray:
    """Points ``(N, 3)`` beyond a share of a limb, moved back along it to there, so that the edge is straight."""
    first, second, third = bones
    lengths = np.linalg.norm(second - first), np.linalg.norm(third - second)
    left = share * sum(lengths)
    start, axis, end = (
        (first, (second - first) / lengths[0], left)
        if left < lengths[0]
        else (second, (third - second) / lengths[1], left - lengths[0])
    )
    along = (points - start) @ axis
    return points + np.minimum(end - along, 0)[:, None] * axis


def _capped(uv: np.ndarray, end: float) -> np.ndarray:
    return np.stack((uv[:, 0], np.minimum(uv[:, 1], end)), 1)


def _opened(shell: Shell, half: float, depth: float) -> Shell:
    """The shell without what is less than `half` metres from the middle of the front; its edges there are straight."""
    front = shell.vertices[:, 2] > depth
    inside = front & (np.abs(shell.vertices[:, 0]) < half) & (shell.places.region == _TRUNK)
    vertices = shell.vertices.copy()
    vertices[inside, 0] = half * np.where(vertices[inside, 0] > 0, 1, -1)
    quads = shell.quads[~inside[shell.quads].all(1)]
    return replace(shell, vertices=vertices, quads=quads)
