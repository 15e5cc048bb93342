"""Clothes, hair and paint for a modelled body: shells pushed out along the normals, on the tiles of `painting`."""

from __future__ import annotations

import numpy as np

from .hair import hairline
from .head import BOTTOM, TOP
from .outfit import Outfit
from .painting import HEIGHT, TILES, WIDTH, split_of_trunk
from .shapes import Mesh, joined, smooth, vertex_normals
from .skeleton import BONE

_REGIONS = (
    "trunk",
    "left_arm",
    "right_arm",
    "left_leg",
    "right_leg",
    "left_hand",
    "right_hand",
    "left_shoe",
    "right_shoe",
    "head",
    "neck",
)
_REGION_OF = {
    **{name: "trunk" for name in ("pelvis", "abdomen", "chest", "left_collar", "right_collar")},
    **{"neck": "neck", "head": "head"},
    **{f"{side}_{bone}": f"{side}_{region}" for side in ("left", "right") for bone, region in (
        ("upper_arm", "arm"), ("forearm", "arm"), ("hand", "hand"), ("thigh", "leg"), ("shin", "leg"), ("foot", "shoe"))},
}  # fmt: skip


class _Places:
    """For every vertex which region it is in, and its (u, v) there, in the terms of the simple body's tiles."""

    def __init__(self, vertices: np.ndarray, weights: np.ndarray, heads: np.ndarray, eye: np.ndarray) -> None:
        regions = np.array([_REGIONS.index(_REGION_OF[name]) for name in BONE])
        self.region = regions[weights.argmax(1)]
        trunk = self._trunk(vertices, heads)
        # Down to the crotch the legs belong to the trunk, so that no jagged edge of faces runs through a hem.
        thighs = np.isin(self.region, [_REGIONS.index("left_leg"), _REGIONS.index("right_leg")])
        self.region[thighs & (trunk[:, 1] < 0.985)] = _REGIONS.index("trunk")
        self.by_region = {
            "trunk": trunk,
            "head": _face(vertices, heads, eye, vertices[:, 1].max()),
            "neck": _around(vertices - heads[BONE["neck"]], np.array((0, 1.0, 0)), 0.2),
        }
        for side in ("left", "right"):
            sign = 1.0 if side == "left" else -1.0
            arm = _limb(
                vertices,
                heads,
                [f"{side}_{name}" for name in ("upper_arm", "forearm", "hand")],
                np.array((0, 1.0, 0)),
                sign,
            )
            leg = _limb(
                vertices, heads, [f"{side}_{name}" for name in ("thigh", "shin", "foot")], np.array((sign, 0, 0)), sign
            )
            self.by_region |= {f"{side}_arm": arm, f"{side}_leg": leg}
            wrist = heads[BONE[f"{side}_hand"]]
            self.by_region[f"{side}_hand"] = np.stack(
                (0 * arm[:, 0] + 0.6, np.clip(np.linalg.norm(vertices - wrist, axis=1) / 0.2, 0, 1)), 1
            )
            ankle, sole = heads[BONE[f"{side}_foot"]], vertices[:, 1].min()
            up = (vertices[:, 1] - sole) / (ankle[1] - sole)
            self.by_region[f"{side}_shoe"] = np.stack(
                (
                    np.where(up < 0.2, 0.75, 0.08 + 0.17 * smooth(up, 0.3, 0.8)),
                    np.clip((vertices[:, 2] - ankle[2] + 0.06) / 0.26, 0, 1),
                ),
                1,
            )

    def _trunk(self, vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
        hip, neck = heads[BONE["left_thigh"], 1], heads[BONE["neck"], 1]
        height = 0.505 + (vertices[:, 1] - hip) / (neck - hip) * (0.838 - 0.505)  # in the simple body's terms
        turned = np.arctan2(vertices[:, 2] - heads[BONE["chest"], 2], vertices[:, 0] / 1.5) / (2 * np.pi) % 1
        return np.stack((turned, np.clip((0.852 - height) / (0.852 - 0.462), 0, 1)), axis=1)


def _around(offset: np.ndarray, axis: np.ndarray, length: float) -> np.ndarray:
    turned = np.arctan2(offset[:, 2], offset[:, 0]) / (2 * np.pi) % 1
    return np.stack((turned, np.clip(0.5 - offset @ axis / length, 0, 1)), axis=1)


def _limb(vertices: np.ndarray, heads: np.ndarray, bones: list[str], across: np.ndarray, sign: float) -> np.ndarray:
    """u around the nearer bone of a limb, 0 at `across` and 0.25 in front; v from 0 to 1 along both."""
    first, second, third = (heads[BONE[bone]] for bone in bones)
    lengths = np.linalg.norm((second - first, third - second), axis=1)
    result = np.zeros((len(vertices), 2))
    for k, (start, end) in enumerate(((first, second), (second, third))):
        axis = (end - start) / lengths[k]
        along = (vertices - start) @ axis
        side = across - (across @ axis) * axis
        side /= np.linalg.norm(side)
        front = np.cross(side, axis)
        front *= np.sign(front[2]) or 1.0
        offset = vertices - start - along[:, None] * axis
        u = np.arctan2(offset @ front, offset @ side) / (2 * np.pi) % 1
        v = (along + (lengths[0] if k else 0)) / lengths.sum()
        here = along < lengths[0] if k == 0 else (vertices - second) @ ((third - second) / lengths[1]) > 0
        result[here] = np.stack((u, v), 1)[here]
    return result


def _face(vertices: np.ndarray, heads: np.ndarray, eye: np.ndarray, top: float) -> np.ndarray:
    """Where a vertex of the head is on the painted face: eyes, mouth and chin of the model at those of the paint."""
    joint = heads[BONE["head"]]
    scale = 0.0165 / abs(eye[0])
    chin = eye[1] - 0.110 * (top - eye[1]) / 0.12
    y = np.interp(
        vertices[:, 1],
        (chin - 0.1, chin, eye[1] - 0.066, eye[1] - 0.045, eye[1], top),
        (-0.06, -0.018, 0.0065, 0.019, 0.0425, TOP),
    )
    x = np.clip(vertices[:, 0] * scale / 0.0425, -1, 1)
    front = vertices[:, 2] > joint[2]
    angle = np.where(front, np.arcsin(x * 0.97), np.pi - np.arcsin(x * 0.97))
    u = (0.25 - angle / (2 * np.pi)) % 1  # the texture's u grows from the left side to the front
    return np.stack((u, np.clip((TOP - y) / (TOP - BOTTOM), 0, 1)), axis=1)


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
    places = _Places(vertices, weights, heads, eye)
    cover, thick = _cover(places, outfit)
    grown = _hair_growth(vertices, places, outfit)
    normals = {name: vertex_normals(vertices, triangles(quads[name])) for name in ("body", "tights")}
    skin = vertices + normals["body"] * (grown * _HAIR_THICKNESS[outfit.hair_style])[:, None]
    bare = quads["body"][~(cover[quads["body"]] > 0.999).all(1)]
    cloth = vertices + normals["tights"] * (cover * thick - (1 - cover) * 0.004)[:, None]
    worn = quads["tights"][(cover[quads["tights"]] > 0).any(1)]
    parts = [_painted(skin, bare, weights, places, grown), _painted(cloth, worn, weights, places, None)]
    parts += [_eye(vertices, quads[name], weights) for name in ("eye_l", "eye_r")]
    if outfit.skirt:
        parts.append(_skirt(vertices, quads["skirt"], weights, heads, outfit))
    if outfit.hair_style in _HAIR_END:
        parts.append(_long_hair(vertices, quads["hair"], weights, heads, outfit, np.unique(quads["eye_l"])))
    return joined(parts)


_HAIR_THICKNESS = {
    "buzz": 0.003,
    "short": 0.014,
    "parted": 0.018,
    "bob": 0.014,
    "long": 0.012,
    "bun": 0.01,
    "ponytail": 0.01,
    "curly": 0.035,
}
_HAIR_END = {"bob": -0.02, "long": -0.24, "ponytail": -0.2}  # metres from the head's joint to the ends


def triangles(quads: np.ndarray) -> np.ndarray:
    """Quads (Q, 4) as triangles (2 Q, 3)."""
    return np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]))


def _cover(places: _Places, outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
    """How far clothes cover each vertex, (V,) in [0, 1], and how thick they are there in metres."""
    count = len(places.region)
    cover, thick = np.zeros(count), np.full(count, 0.006)
    loose_top = 0.007 + 0.009 * outfit.loose
    loose_leg = 0.003 if outfit.bottom == "leggings" else 0.006 + 0.008 * outfit.loose
    for number, name in enumerate(_REGIONS):
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


def _hair_growth(vertices: np.ndarray, places: _Places, outfit: Outfit) -> np.ndarray:
    """Where hair grows, (V,) in [0, 1]."""
    u, v = places.by_region["head"].T
    y = TOP + v * (BOTTOM - TOP)
    line = hairline(2 * np.pi * u, outfit.hair_style)
    return (places.region == _REGIONS.index("head")) * smooth(y, line - 0.002, line + 0.008)


def _painted(
    vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray, places: _Places, grown: np.ndarray | None
) -> Mesh:
    """Faces on the tiles of their regions (or of hair, where it grows); vertices are doubled where tiles or seams meet."""
    faces = triangles(quads)
    votes = np.sort(places.region[faces], axis=1)[:, 1]  # the region that two of three corners are in
    corners, uvs = np.empty((len(faces), 3), np.int64), np.empty((len(faces), 3, 2))
    for number, name in enumerate(_REGIONS):
        here = votes == number
        uv = places.by_region[name][faces[here]]
        crosses = np.ptp(uv[..., 0], axis=1) > 0.5
        uv[..., 0] = np.where(crosses[:, None] & (uv[..., 0] < 0.5), 1.0, uv[..., 0])
        uvs[here] = _on_tile(uv, name)
    if grown is not None:
        hairy = grown[faces].mean(1) > 0.5
        uvs[hairy] = _on_tile(
            np.stack(
                (places.by_region["head"][faces[hairy]][..., 0] % 0.98, places.by_region["head"][faces[hairy]][..., 1]),
                -1,
            ),
            "hair",
        )
    keys = np.concatenate((faces.reshape(-1, 1), np.round(uvs.reshape(-1, 2) * 4096).astype(np.int64)), axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    corners = inverse.reshape(-1, 3)
    source = faces.reshape(-1)[first]
    return _mesh(vertices[source], uvs.reshape(-1, 2)[first], corners, weights[source], False)


def _on_tile(uv: np.ndarray, name: str) -> np.ndarray:
    x, y, width, height = TILES[name]
    inside = np.array((x, y)) + 0.5 + np.clip(uv, 0, 1) * (np.array((width, height)) - 1)
    return inside / (WIDTH, HEIGHT)


def _mesh(vertices: np.ndarray, uvs: np.ndarray, faces: np.ndarray, weights: np.ndarray, two_sided: bool) -> Mesh:
    return Mesh(vertices, vertex_normals(vertices, faces), uvs, faces, weights, np.full(len(faces), two_sided))


def _eye(vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray) -> Mesh:
    """An eyeball, painted from the front."""
    used, faces = np.unique(triangles(quads), return_inverse=True)
    points = vertices[used]
    half = np.ptp(points, axis=0).max() / 2
    uv = 0.5 + (points[:, :2] - (points.max(0) + points.min(0))[:2] / 2) / (2 * half)
    return _mesh(points, _on_tile(uv, "eyeball"), faces.reshape(-1, 3), weights[used], False)


def _skirt(vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray, heads: np.ndarray, outfit: Outfit) -> Mesh:
    hip, ankle = heads[BONE["left_thigh"], 1], heads[BONE["left_foot"], 1]
    low = hip - outfit.skirt * (hip - ankle)
    faces = triangles(quads[(vertices[quads][..., 1].mean(1) > low)])
    used, faces = np.unique(faces, return_inverse=True)
    points = vertices[used] * (1.04, 1, 1.04)
    turned = np.arctan2(points[:, 2], points[:, 0]) / (2 * np.pi) % 1
    v = (points[:, 1].max() - points[:, 1]) / np.ptp(points[:, 1])
    return _mesh(
        points, _on_tile(np.stack((np.abs(turned - 0.5) * 2, v), 1), "skirt"), faces.reshape(-1, 3), weights[used], True
    )


def _long_hair(
    vertices: np.ndarray, quads: np.ndarray, weights: np.ndarray, heads: np.ndarray, outfit: Outfit, eyes: np.ndarray
) -> Mesh:
    """The file's long hair down to where the style ends; a ponytail keeps what is behind."""
    joint = heads[BONE["head"]]
    centre = vertices[quads].mean(1)
    keep = centre[:, 1] > joint[1] + _HAIR_END[outfit.hair_style]
    eye = vertices[eyes].mean(0)
    keep &= (centre[:, 2] < joint[2] + 0.035) | (centre[:, 1] > eye[1] + 0.05)  # the file's hair hangs over the face
    if outfit.hair_style == "ponytail":
        keep &= (centre[:, 2] < joint[2] - 0.02) & (np.abs(centre[:, 0]) < 0.05)
    used, faces = np.unique(triangles(quads[keep]), return_inverse=True)
    points = vertices[used]
    turned = np.arctan2(points[:, 2] - joint[2], points[:, 0]) / (2 * np.pi) % 1
    v = (points[:, 1].max() - points[:, 1]) / 0.6
    return _mesh(points, _on_tile(np.stack((turned, v), 1), "hair"), faces.reshape(-1, 3), weights[used], True)
