"""The face, painted on the skull's tile."""

from __future__ import annotations

import numpy as np

from .head import BOTTOM, TOP
from .outfit import Outfit
from .patterns import noise
from .shapes import smooth

_HALF_WIDTH = 0.0425  # of the skull where the eyes are, in body heights


def paint_face(u: np.ndarray, v: np.ndarray, outfit: Outfit) -> np.ndarray:
    """The tile ``(h, w, 3)`` in [0, 1]: u 0.25 is in front, v goes from the top of the skull to the chin."""
    angle = (u - 0.25) * 2 * np.pi
    x = np.sin(angle) * _HALF_WIDTH + (np.abs(angle) > np.pi / 2) * 10  # body heights; the back of the head is far away
    y = TOP + v * (BOTTOM - TOP)
    side = np.abs(x)
    skin, hair = np.array(outfit.skin), np.array(outfit.hair)
    color = skin * (0.97 + 0.05 * noise(u.shape, 3, 5))[..., None]

    def lay(where: np.ndarray, paint: np.ndarray | tuple[float, float, float], share: float = 1.0) -> None:
        nonlocal color
        amount = (np.clip(where, 0, 1) * share)[..., None]
        color = color * (1 - amount) + np.asarray(paint) * amount

    def blob(x0: float, y0: float, width: float, height: float, edge: float = 0.25) -> np.ndarray:
        radius = np.hypot((side - x0) / width, (y - y0) / height)
        return 1 - smooth(radius, 1 - edge, 1 + edge)

    scalp = smooth(y, 0.085, 0.095) * (outfit.hair_style != "buzz") + 0.0
    lay(scalp, hair * 0.8)
    lay(blob(0.027, 0.022, 0.010, 0.008, 0.9), skin * (1.02, 0.78, 0.74), 0.45)  # cheeks
    lay(blob(0.0165, 0.043, 0.0125, 0.0085, 0.5), skin * 0.72, 0.75)  # eye sockets
    if outfit.beard:
        jaw = smooth(-y, -0.022, -0.006) * (side < 1) * (1 - smooth(side, 0.040, 0.0425))
        lay(jaw, hair * 0.9 + skin * 0.08, 0.85)
        lay(blob(0.0, 0.0165, 0.016, 0.0035), hair * 0.9, 0.85)
    lay(blob(0.0165, 0.0425, 0.0085, 0.0048), (0.95, 0.94, 0.92))
    lay(blob(0.0165, 0.0425, 0.0043, 0.0048), (0.16, 0.1, 0.07))
    lay(blob(0.0165, 0.0475, 0.0095, 0.0014, 0.5), (0.08, 0.05, 0.04), 0.9)  # lid and lashes
    lay(blob(0.0175, 0.0555, 0.0115, 0.0022, 0.4), hair * 0.7, 0.9)  # brows
    lay(blob(0.0, 0.0205, 0.009, 0.003, 0.6), skin * 0.68, 0.75)  # below the nose
    lips = skin * (0.9, 0.58, 0.56)
    lay(blob(0.0, 0.0065, 0.0145, 0.0042, 0.3), lips)
    lay(blob(0.0, 0.0067, 0.0135, 0.0009, 0.5), lips * 0.5)
    lay(smooth(-y, 0.008, 0.016), skin * 0.78, 0.6)  # under the chin
    return color
