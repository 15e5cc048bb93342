"""A dressed body built from rounded shapes, without any outside file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from .figure import Figure, figure_of
from .head import FACE_POINTS, hair_meshes, head_meshes
from .loose import around_legs, drape_around, leg_weights
from .outfit import COAT_SLEEVE, Outfit, Shape
from .painting import paint, placed
from .shapes import Mesh, along, joined, loft, mirrored, on_bone, smooth
from .skeleton import BONE, BONES

# Half-widths and half-depths of the trunk and its shift forwards by height, in shares of the body's height.
_TRUNK = np.array(
    [
        (0.462, 0.030, 0.030, 0.000),
        (0.478, 0.078, 0.058, -0.002),
        (0.510, 0.097, 0.070, -0.004),
        (0.550, 0.092, 0.067, -0.002),
        (0.590, 0.083, 0.059, 0.002),
        (0.630, 0.077, 0.055, 0.004),
        (0.680, 0.083, 0.060, 0.003),
        (0.725, 0.094, 0.068, 0.002),
        (0.765, 0.103, 0.066, -0.002),
        (0.793, 0.106, 0.056, -0.006),
        (0.812, 0.095, 0.047, -0.008),
        (0.826, 0.070, 0.040, -0.008),
        (0.838, 0.040, 0.034, -0.006),
        (0.852, 0.030, 0.030, -0.004),
    ]
)
_HIP, _WAIST, _CROTCH = 0.505, 0.62, 0.47


def bind_joints(shape: Shape) -> np.ndarray:
    """Where the bones begin in the bind pose, with the arms stretched out: ``(J, 3)`` metres."""
    height, legs = shape.height, shape.legs
    shoulder, hip = 0.108 * shape.shoulders, 0.052 * shape.hips
    lower = {"foot": (hip, 0.045 * legs, -0.006), "shin": (hip, 0.282 * legs, 0.004), "thigh": (hip, _HIP, 0.0)}
    upper = {"collar": (0.02, 0.79, -0.005), "upper_arm": (shoulder, 0.798, -0.008)}
    upper |= {"forearm": (shoulder + 0.172, 0.798, -0.008), "hand": (shoulder + 0.32, 0.798, -0.008)}
    trunk = {"pelvis": 0.53, "abdomen": 0.585, "chest": 0.675, "neck": 0.825, "head": 0.872}
    heads = np.zeros((len(BONES), 3))
    for name, y in trunk.items():
        heads[BONE[name]] = (0, y, -0.004)
    for name, (x, y, z) in (lower | upper).items():
        heads[BONE[f"left_{name}"]] = (x, y, z)
        heads[BONE[f"right_{name}"]] = (-x, y, z)
    return heads * height


def _trunk(shape: Shape, inflate: np.ndarray | float, low: float, high: float, rings: int, tile: str) -> Mesh:
    """The trunk from `low` to `high` (shares of the height); `inflate` is by ring, in the same shares."""
    y = np.linspace(high, low, rings)
    half = np.stack([np.interp(y, _TRUNK[:, 0], _TRUNK[:, k]) for k in (1, 2)], axis=1)
    shift = np.interp(y, _TRUNK[:, 0], _TRUNK[:, 3])
    wide_at = (shape.hips, shape.hips, 1 - 0.08 * shape.curves, 1.0, shape.shoulders)
    wide = np.interp(y, (0.47, 0.53, 0.62, 0.7, 0.78), wide_at)
    half = half * wide[:, None] * np.interp(y, (0.77, 0.83), (shape.girth, 1))[:, None]
    bust = 0.016 * shape.curves * np.exp(-(((y - 0.735) / 0.028) ** 2))
    belly = 0.03 * shape.belly * np.exp(-(((y - 0.61) / 0.06) ** 2))
    half[:, 1] += (bust + belly) / 2
    half = half + np.broadcast_to(inflate, y.shape)[:, None]
    centres = np.stack((0 * y, y, shift + (bust + belly) / 2), axis=1)
    mesh = loft(centres * shape.height, half * shape.height, "pelvis", segments=20, squareness=0.86, tile=tile)
    up = mesh.vertices[:, 1] / shape.height
    return replace(mesh, weights=along(up, ("pelvis", "abdomen", "chest", "neck"), (0.575, 0.675, 0.838), 0.06))


def _arm(shape: Shape, outfit: Outfit, heads: np.ndarray) -> Mesh:
    """The left arm with its sleeve; v runs from 0 at the shoulder to 1 at the wrist."""
    height = shape.height
    start, elbow, wrist = (heads[BONE[f"left_{name}"]] for name in ("upper_arm", "forearm", "hand"))
    length = wrist[0] - start[0]
    s = np.concatenate((np.linspace(-0.12, 0.0, 4), np.linspace(0.06, 1.0, 15)))
    bare = np.interp(
        s,
        (-0.12, -0.09, -0.05, 0.0, 0.2, 0.5, 0.6, 0.75, 1.0),
        (0.002, 0.018, 0.026, 0.029, 0.026, 0.021, 0.022, 0.019, 0.0125),
    )
    bare = bare * (0.35 + 0.65 * shape.girth)
    sleeve, wide = (COAT_SLEEVE, 0.5) if outfit.coat else (outfit.sleeve, outfit.drape)
    s, radius = _with_hem(s, bare * height, sleeve, height * (0.003 + 0.006 * outfit.loose + 0.012 * wide))
    centres = start + np.stack((s * length, 0 * s, 0 * s), axis=1)
    mesh = loft(centres, np.stack((radius, radius), 1), "left_upper_arm", across=(0, 1, 0), tile="left_arm")
    share = np.repeat(s, 13)
    bones = ("left_collar", "left_upper_arm", "left_forearm")
    weights = along(share, bones, (-0.02, (elbow[0] - start[0]) / length), 0.16)
    uvs = np.stack((mesh.uvs[:, 0], np.clip(share, 0, 1)), 1)
    return replace(mesh, weights=weights, uvs=uvs)


def _with_hem(s: np.ndarray, bare: np.ndarray, hem: float, cloth: float) -> tuple[np.ndarray, np.ndarray]:
    """Rings (positions, radii) with cloth of some thickness up to `hem`, where it ends in an edge of its own."""
    if hem <= 0:
        return s, bare
    edge = np.interp(hem, s, bare)
    flare = cloth * (1 + 0.7 * np.clip(s / hem, 0, 1)) * smooth(s, -0.12, 0.02)
    inside, outside = s < hem - 0.01, s > hem + 0.02
    end = min(hem, 1.0)
    s = np.concatenate((s[inside], [end, end + 0.004], s[outside]))
    radius = np.concatenate(((bare + flare)[inside], [edge + cloth * 1.7, edge], bare[outside]))
    return s, radius


def _hand(shape: Shape, heads: np.ndarray) -> list[Mesh]:
    """The left hand: a palm with fingers laid together and slightly bent, and a thumb."""
    height, wrist = shape.height * 1.06, heads[BONE["left_hand"]]
    s = np.array((-0.012, 0.0, 0.012, 0.03, 0.045, 0.06, 0.075, 0.088, 0.096, 0.1))
    wide = np.array((0.009, 0.0115, 0.016, 0.022, 0.0225, 0.021, 0.019, 0.016, 0.011, 0.003))
    thick = np.array((0.009, 0.0105, 0.0105, 0.0105, 0.0095, 0.008, 0.007, 0.006, 0.005, 0.002))
    drop = -3.2 * np.clip(s - 0.04, 0, None) ** 2
    tube = partial(loft, bone="left_hand", across=(0, 1, 0), tile="left_hand")
    palm = tube(wrist + np.stack((s, drop, 0 * s), 1) * height, np.stack((thick, wide), 1) * height)
    t = np.array((0.0, 0.012, 0.028, 0.042, 0.05, 0.053))
    thumb = np.array((0.008, 0.0085, 0.0075, 0.0065, 0.005, 0.001))
    line = np.array((0.016, -0.003, 0.012)) + t[:, None] * np.array((0.72, -0.25, 0.62))
    radii = np.stack((thumb, thumb), 1) * height
    return [palm, tube(wrist + line * height, radii, deep=(-0.65, 0, 0.76), segments=8)]


def _leg(shape: Shape, outfit: Outfit, heads: np.ndarray) -> Mesh:
    """The left leg with its trouser leg; v runs from 0 at the hip to 1 at the ankle."""
    height = shape.height
    hip, knee, ankle = (heads[BONE[f"left_{name}"]] for name in ("thigh", "shin", "foot"))
    length = hip[1] - ankle[1]
    s = np.concatenate((np.linspace(-0.1, 0.03, 4), np.linspace(0.1, 1.03, 17)))
    bare = np.interp(
        s,
        (-0.1, -0.06, 0.0, 0.12, 0.3, 0.46, 0.52, 0.66, 0.85, 1.0, 1.03),
        (0.01, 0.04, 0.051, 0.052, 0.043, 0.033, 0.031, 0.033, 0.023, 0.019, 0.019),
    )
    bare = bare * (0.3 + 0.7 * shape.girth) * np.interp(s, (0, 0.4), (0.5 + 0.5 * shape.hips, 1))
    loose = 0.002 if outfit.bottom == "leggings" else 0.004 + 0.009 * outfit.loose
    s, radius = _with_hem(s, bare * height, outfit.leg, height * loose)
    widening = 0.045 * outfit.flare * smooth(s, 0.0, 1.0) * (s < outfit.leg + 0.003)
    radius = radius + widening * height
    centres = hip + np.stack((0 * s, -s * length, 0 * s), 1)
    centres[:, 2] += np.interp(s, (0, 0.5, 0.7, 1), (-0.004, knee[2] / height + 0.004, -0.008, -0.01)) * height
    mesh = loft(centres, np.stack((radius, radius * 1.06), 1), "left_thigh", segments=14, tile="left_leg")
    share = np.repeat(s, 15)
    weights = along(share, ("pelvis", "left_thigh", "left_shin"), (0.0, (hip[1] - knee[1]) / length), 0.17)
    uvs = np.stack((mesh.uvs[:, 0], np.clip(share, 0, 1)), 1)
    return replace(mesh, weights=weights, uvs=uvs)


def _shoe(shape: Shape, heads: np.ndarray) -> Mesh:
    height, ankle = shape.height, heads[BONE["left_foot"]]
    z = np.array((-0.034, -0.031, -0.02, 0.0, 0.022, 0.05, 0.075, 0.093, 0.103, 0.106))
    wide = np.array((0.004, 0.015, 0.021, 0.0225, 0.0235, 0.027, 0.027, 0.021, 0.012, 0.003))
    top = np.array((0.01, 0.036, 0.052, 0.056, 0.05, 0.036, 0.028, 0.023, 0.017, 0.01))
    y = top / 2 - ankle[1] / height
    centres, radii = ankle + np.stack((0 * z, y, z), 1) * height, np.stack((wide, top / 2), 1) * height
    return loft(centres, radii, "left_foot", deep=(0, 1, 0), segments=14, squareness=0.75, tile="left_shoe")


def _skirt(shape: Shape, outfit: Outfit, heads: np.ndarray) -> Mesh:
    """A skirt from the waist down; the legs carry it along, each its own side."""
    height = shape.height
    hip, ankle = heads[BONE["left_thigh"]][1] / height, heads[BONE["left_foot"]][1] / height
    low = hip - outfit.skirt * (hip - ankle)
    y = np.concatenate((np.linspace(_WAIST, hip - 0.03, 7), np.linspace(hip - 0.06, low, 8), [low]))
    flare = 0.012 + np.clip(hip + 0.02 - y, 0, None) * (0.08 + 0.12 * outfit.loose + 0.14 * outfit.flare)
    half = np.stack([np.interp(np.maximum(y, hip), _TRUNK[:, 0], _TRUNK[:, k]) for k in (1, 2)], 1)
    wide = np.interp(y, (0.5, 0.62), (shape.hips, 1 - 0.08 * shape.curves))
    half = half * shape.girth * wide[:, None] + flare[:, None]
    half[-1] *= 0.9
    down = np.clip((hip - y) / (hip - low), 0, 1)[:, None]
    folds = 0.012 * outfit.loose * down * np.cos(8 * 2 * np.pi * np.arange(25) / 24)
    centres = np.stack((0 * y, y, 0 * y), 1) * height
    mesh = loft(centres, half * height, "pelvis", segments=24, two_sided=True, tile="skirt", push=folds * height)
    return replace(mesh, weights=leg_weights(mesh.vertices, heads, on_bone(1, "pelvis")[0]))


def _coat(shape: Shape, outfit: Outfit, heads: np.ndarray, inside: np.ndarray) -> list[Mesh]:
    """A closed coat around points ``(N, 3)`` of trunk and left leg."""
    y = np.linspace(0.852, _WAIST, 16)
    trunk = _trunk(shape, 0.014 + 0.012 * outfit.loose * (1 - smooth(y, 0.77, 0.845)), _WAIST, 0.852, 16, "coat")
    trunk.uvs[:, 1] *= (0.852 - _WAIST) / (0.852 - 0.462)
    inside = np.concatenate((inside, trunk.vertices[-21:] - (0, 0.01, 0)))
    hip, ankle = heads[BONE["left_thigh"]], heads[BONE["left_foot"]]
    waist = _WAIST * shape.height
    skirt = around_legs(
        drape_around(np.concatenate((inside, inside * (-1, 1, 1))), waist + 0.02, ankle[1], hip[2], 0.3),
        heads,
        on_bone(1, "abdomen")[0],
        top=waist,
        bottom=hip[1] - outfit.coat * (hip[1] - ankle[1]),
        gap=0.012,
        flare=0.05 + 0.14 * outfit.drape,
        waves=0.014 + 0.024 * outfit.drape,
        opening=0.0,
        seed=outfit.folds,
        tile="coat_skirt",
    )
    return [trunk, skirt]


def _meshes(shape: Shape, outfit: Outfit, heads: np.ndarray) -> list[Mesh]:
    loose = 0.004 + 0.008 * outfit.loose + 0.012 * outfit.drape
    hem = _WAIST - 0.02 - outfit.hem * (_WAIST - 0.02 - _CROTCH - 0.012)
    y = np.linspace(0.852, hem, 24)
    puff = loose * (1 - smooth(y, 0.77, 0.845))
    wide = 0.006 + 0.014 * outfit.drape
    puff = puff + wide * (1 - smooth(y, hem, hem + 0.1)) * (outfit.bottom != "dress")
    puff[-1] -= 0.012  # the hem turns inwards
    meshes = [_trunk(shape, 0.002, 0.462, _WAIST + 0.01, 10, "seat")]
    if not outfit.coat:  # it is closed
        meshes.append(_trunk(shape, puff, hem, 0.852, 24, "top"))
    if outfit.skirt:
        meshes.append(_skirt(shape, outfit, heads))
    left = [_arm(shape, outfit, heads), *_hand(shape, heads), _leg(shape, outfit, heads), _shoe(shape, heads)]
    if outfit.coat:
        meshes += _coat(shape, outfit, heads, np.concatenate([mesh.vertices for mesh in (*meshes, left[-2])]))
    right = [mirrored(mesh, mesh.tile.replace("left", "right")) for mesh in left]
    return [*meshes, *left, *right, *head_meshes(shape, outfit, heads), *hair_meshes(shape, outfit, heads)]


def simple_figure(shape: Shape, outfit: Outfit, random: np.random.Generator) -> Figure:
    """A person of the given shape and looks, made from lofted tubes."""
    outfit = replace(outfit, coat_open=False)
    heads = bind_joints(shape)
    mesh = joined([placed(mesh) for mesh in _meshes(shape, outfit, heads)])
    face = heads[BONE["head"]] + FACE_POINTS * shape.height * shape.head
    ankle = heads[BONE["left_foot"]][1]
    soles = [(0.0, -ankle, z * shape.height) for z in (-0.03, 0.1)]
    return figure_of(mesh, heads, face, soles, paint(outfit, random))
