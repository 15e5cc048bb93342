"""Which region of a modelled body each vertex is in, and where on that region's tile of the texture."""

from __future__ import annotations

import numpy as np

from .head import BOTTOM, TOP
from .shapes import smooth
from .skeleton import BONE

_LIMBS = ("arm", "leg", "hand", "shoe")
REGIONS = ("trunk", *(f"{side}_{limb}" for limb in _LIMBS for side in ("left", "right")), "head", "neck")
_OF_BONE = {"upper_arm": "arm", "forearm": "arm", "hand": "hand", "thigh": "leg", "shin": "leg", "foot": "shoe"}
_REGION_OF = {"neck": "neck", "head": "head"} | {  # of the other bones: the trunk
    f"{side}_{bone}": f"{side}_{region}" for side in ("left", "right") for bone, region in _OF_BONE.items()
}


class Places:
    """For every vertex which region it is in, and its (u, v) there, in the terms of the simple body's tiles."""

    def __init__(self, vertices: np.ndarray, weights: np.ndarray, heads: np.ndarray, eye: np.ndarray) -> None:
        regions = np.array([REGIONS.index(_REGION_OF.get(name, "trunk")) for name in BONE])
        self.region = regions[weights.argmax(1)]
        hip, neck = heads[BONE["left_thigh"], 1], heads[BONE["neck"], 1]
        height = 0.505 + (vertices[:, 1] - hip) / (neck - hip) * (0.838 - 0.505)  # in the simple body's terms
        turned = np.arctan2(vertices[:, 2] - heads[BONE["chest"], 2], vertices[:, 0] / 1.5) / (2 * np.pi) % 1
        trunk = np.stack((turned, np.clip((0.852 - height) / (0.852 - 0.462), 0, 1)), axis=1)
        # Down to the crotch the legs belong to the trunk, so that no jagged edge of faces runs through a hem.
        thighs = np.isin(self.region, [REGIONS.index("left_leg"), REGIONS.index("right_leg")])
        self.region[thighs & (trunk[:, 1] < 0.985)] = REGIONS.index("trunk")
        self.by_region = {
            "trunk": trunk,
            "head": _face(vertices, heads, eye, vertices[:, 1].max()),
            "neck": _around_neck(vertices - heads[BONE["neck"]]),
        }
        for side in ("left", "right"):
            sign = 1.0 if side == "left" else -1.0
            arm = _limb(vertices, heads, side, ("upper_arm", "forearm", "hand"), np.array((0, 1.0, 0)))
            leg = _limb(vertices, heads, side, ("thigh", "shin", "foot"), np.array((sign, 0, 0)))
            self.by_region |= {f"{side}_arm": arm, f"{side}_leg": leg}
            along = np.clip(np.linalg.norm(vertices - heads[BONE[f"{side}_hand"]], axis=1) / 0.2, 0, 1)
            self.by_region[f"{side}_hand"] = np.stack((np.full(len(vertices), 0.6), along), 1)
            ankle, sole = heads[BONE[f"{side}_foot"]], vertices[:, 1].min()
            up = (vertices[:, 1] - sole) / (ankle[1] - sole)
            around = np.where(up < 0.2, 0.75, 0.08 + 0.17 * smooth(up, 0.3, 0.8))
            forwards = np.clip((vertices[:, 2] - ankle[2] + 0.06) / 0.26, 0, 1)
            self.by_region[f"{side}_shoe"] = np.stack((around, forwards), 1)


def _around_neck(offset: np.ndarray) -> np.ndarray:
    turned = np.arctan2(offset[:, 2], offset[:, 0]) / (2 * np.pi) % 1
    return np.stack((turned, np.clip(0.5 - offset @ np.array((0, 1.0, 0)) / 0.2, 0, 1)), axis=1)


def _limb(
    vertices: np.ndarray, heads: np.ndarray, side: str, bones: tuple[str, str, str], across: np.ndarray
) -> np.ndarray:
    """u around the nearer bone of a limb, 0 at `across` and 0.25 in front; v from 0 to 1 along both."""
    first, second, third = (heads[BONE[f"{side}_{bone}"]] for bone in bones)
    lengths = np.linalg.norm((second - first, third - second), axis=1)
    result = np.zeros((len(vertices), 2))
    for k, (start, end) in enumerate(((first, second), (second, third))):
        axis = (end - start) / lengths[k]
        along = (vertices - start) @ axis
        beside = across - (across @ axis) * axis
        beside /= np.linalg.norm(beside)
        front = np.cross(beside, axis)
        front *= np.sign(front[2]) or 1.0
        offset = vertices - start - along[:, None] * axis
        u = np.arctan2(offset @ front, offset @ beside) / (2 * np.pi) % 1
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
