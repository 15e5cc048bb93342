"""Clothes, hair and paint for a modelled body: shells pushed out along the normals, on the tiles of `painting`."""

from __future__ import annotations

import numpy as np

from .body_loose import Body, loose_layers
from .body_places import REGIONS, Places
from .head import BOTTOM, TOP, hairline
from .outfit import Outfit
from .painting import on_tile, placed, split_of_trunk
from .rotations import unit
from .shapes import Mesh, joined, smooth, triangles, vertex_normals
from .skeleton import BONE


def dressed(
    vertices: np.ndarray, quads: dict[str, np.ndarray], weights: np.ndarray, heads: np.ndarray, outfit: Outfit
) -> Mesh:
    """The person's surface, on its texture: skin where it shows, cloth, shoes, hair and eyes.

    Args:
        vertices: ``(V, 3)`` metres, shaped.
        quads: by surface, see `body_file.SURFACES`.
        weights: ``(V, J)``.
        heads: ``(J, 3)`` of our bones.
        outfit: the looks; where a length ends is painted, so hems are straight whatever the faces.
    """
    eye = vertices[np.unique(quads["eye_l"])].mean(0)
    places = Places(vertices, weights, heads, eye)
    cover, thick = _cover(places, outfit)
    grown = _hair_growth(places, outfit)
    normals = {name: vertex_normals(vertices, triangles(quads[name])) for name in ("body", "tights")}
    skin = vertices + normals["body"] * (grown * _HAIR_THICKNESS[outfit.hair_style])[:, None]
    bare = quads["body"][~(cover[quads["body"]] > 0.999).all(1)]
    cloth = vertices + normals["tights"] * (cover * thick - (1 - cover) * 0.004)[:, None]
    worn = quads["tights"][(cover[quads["tights"]] > 0).any(1)]
    layers = loose_layers(Body(vertices, normals["tights"], weights, quads["tights"], heads, places), outfit)
    bare, worn = (faces[~layers.hidden[faces].all(1)] for faces in (bare, worn))
    parts = [_painted(skin, bare, weights, places, grown=grown), _painted(cloth, worn, weights, places)]
    parts += [
        _painted(shell.vertices, shell.quads, shell.weights, shell.places, trunk=shell.trunk, two_sided=True)
        for shell in layers.shells
        if len(shell.quads)  # a long coat that is closed hides all of the trousers
    ]
    parts += [placed(mesh) for mesh in layers.skirts]
    parts += [_eye(vertices, quads[name], weights) for name in ("eye_l", "eye_r")]
    if outfit.hair_style in _HAIR_ENDS:
        parts.append(_long_hair(vertices, quads["hair"], weights, heads, outfit, np.unique(quads["eye_l"])))
    return joined(parts)


_HAIR_THICKNESS = {"buzz": 0.003, "bun": 0.01, "ponytail": 0.01, "long": 0.012, "short": 0.014, "bob": 0.014}
_HAIR_THICKNESS |= {"parted": 0.018, "curly": 0.035}
# Metres from the head's joint down to the ends, at least and at most.
_HAIR_ENDS = {"bob": (0.0, 0.07), "long": (0.1, 0.47), "ponytail": (0.1, 0.35)}


def _cover(places: Places, outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
    """How far clothes cover each vertex, (V,) in [0, 1], and how thick they are there in metres."""
    count = len(places.region)
    cover, thick = np.zeros(count), np.full(count, 0.006)
    loose_top = 0.003 if outfit.drape else 0.007 + 0.009 * outfit.loose  # others are in `body_loose`
    loose_leg = 0.003 if outfit.bottom == "leggings" else 0.006 + 0.008 * outfit.loose
    for number, name in enumerate(REGIONS):
        here = places.region == number
        v = places.by_region[name][here, 1] if name in places.by_region else np.zeros(here.sum())
        kind = name.removeprefix("left_").removeprefix("right_")
        if kind == "trunk":
            cover[here] = smooth(v, 0.03, 0.09) if outfit.top != "tank top" else smooth(v, 0.06, 0.2)
            split = split_of_trunk(outfit)
            thick[here] = np.where(v < split, loose_top, 0.5 * loose_leg)
        elif kind == "arm" and outfit.sleeve > 0:
            cover[here] = 1 - smooth(v, outfit.sleeve, outfit.sleeve + 0.05)
            thick[here] = loose_top
        elif kind == "leg":
            cover[here] = np.maximum(
                1 - smooth(v, outfit.leg, outfit.leg + 0.05) if outfit.leg else 1 - smooth(v, 0.1, 0.2),
                smooth(v, 0.9, 0.97),
            )
            thick[here] = np.where(v > 0.93, 0.006, loose_leg * (0.5 + 0.5 * smooth(v, 0.05, 0.3)))
        elif kind == "shoe":
            cover[here], thick[here] = 1.0, 0.009
    return cover, thick


def _hair_growth(places: Places, outfit: Outfit) -> np.ndarray:
    """Where hair grows, (V,) in [0, 1]."""
    u, v = places.by_region["head"].T
    y = TOP + v * (BOTTOM - TOP)
    line = hairline(2 * np.pi * u, outfit.hair_style)
    return (places.region == REGIONS.index("head")) * smooth(y, line - 0.002, line + 0.008)


def _painted(
    vertices: np.ndarray,
    quads: np.ndarray,
    weights: np.ndarray,
    places: Places,
    *,
    grown: np.ndarray | None = None,
    trunk: str = "trunk",
    two_sided: bool = False,
) -> Mesh:
    """Faces on the tiles of their regions (or of hair, where it grows); vertices are doubled where tiles or seams meet."""
    faces = triangles(quads)
    votes = np.sort(places.region[faces], axis=1)[:, 1]  # the region that two of three corners are in
    uvs = np.empty((len(faces), 3, 2))
    for number, name in enumerate(REGIONS):
        here = votes == number
        uv = places.by_region[name][faces[here]]
        crosses = np.ptp(uv[..., 0], axis=1) > 0.5
        uv[..., 0] = np.where(crosses[:, None] & (uv[..., 0] < 0.5), 1.0, uv[..., 0])
        uvs[here] = on_tile(uv, trunk if name == "trunk" else name)
    if grown is not None:
        hairy = grown[faces].mean(1) > 0.5
        uv = places.by_region["head"][faces[hairy]] * 1.0
        uv[..., 0] %= 0.98
        uvs[hairy] = on_tile(uv, "hair")
    grid = np.round(uvs.reshape(-1, 2) * 4096).astype(np.int64)
    keys = (faces.reshape(-1) << 26) | (grid[:, 0] << 13) | grid[:, 1]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    source = faces.reshape(-1)[first]
    return _mesh(vertices[source], uvs.reshape(-1, 2)[first], inverse.reshape(-1, 3), weights[source], two_sided)


def _mesh(vertices: np.ndarray, uvs: np.ndarray, faces: np.ndarray, weights: np.ndarray, two_sided: bool) -> Mesh:
    return Mesh(vertices, vertex_normals(vertices, faces), uvs, faces, weights, np.full(len(faces), two_sided))


def _eye(vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray) -> Mesh:
    """An eyeball, painted from the front."""
    used, faces = np.unique(triangles(quads), return_inverse=True)
    points = vertices[used]
    half = np.ptp(points, axis=0).max() / 2
    uv = 0.5 + (points[:, :2] - (points.max(0) + points.min(0))[:2] / 2) / (2 * half)
    return _mesh(points, on_tile(uv, "eyeball"), faces.reshape(-1, 3), weights[used], False)


def _long_hair(
    vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray, heads: np.ndarray, outfit: Outfit, eyes: np.ndarray
) -> Mesh:
    """The file's long hair down to where the style ends, above loose clothes; a ponytail keeps what is behind."""
    joint, neck = heads[BONE["head"]], heads[BONE["neck"], 1]
    short, long = _HAIR_ENDS[outfit.hair_style]
    end = joint[1] - short - outfit.hair_length * (long - short)
    centre, eye = vertices[quads].mean(1), vertices[eyes].mean(0)
    keep = (vertices[quads][..., 1] > end).any(1)
    keep &= (centre[:, 2] < joint[2] + 0.035) | (centre[:, 1] > eye[1] + 0.05)  # the file's hair hangs over the face
    if outfit.hair_style == "ponytail":
        keep &= (centre[:, 2] < joint[2] - 0.02) & (np.abs(centre[:, 0]) < 0.05)
    used, faces = np.unique(triangles(quads[keep]), return_inverse=True)
    points = vertices[used]
    beside = 0.012 * outfit.loose + 0.03 * max(outfit.drape, 0.8 * (outfit.coat > 0))
    away = unit((points - joint) * (1, 0, 1))
    points = points + away * (0.004 + beside * smooth(neck + 0.06 - points[:, 1], 0, 0.1))[:, None]
    points[:, 1] = np.maximum(points[:, 1], end)
    turned = np.arctan2(points[:, 2] - joint[2], points[:, 0]) / (2 * np.pi) % 1
    v = (points[:, 1].max() - points[:, 1]) / 0.6
    return _mesh(points, on_tile(np.stack((turned, v), 1), "hair"), faces.reshape(-1, 3), weights[used], True)
