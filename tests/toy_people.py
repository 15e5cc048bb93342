"""Networks of people at toy size, with a real detector."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor, nn

from motion_core import LayerPainter, LayoutNetwork, PersonDetector
from motion_core.networks.layered.limbs import LIMBS
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR

_seen: dict[tuple[Any, ...], Any] = {}


def toy_people() -> tuple[PersonDetector, LayoutNetwork, LayerPainter]:
    """The detector that ships, and networks of random weights whose heads do a little of everything."""
    layout = LayoutNetwork(size=16, widths=(8, 12), part_widths=(8, 12))
    painter = LayerPainter(size=32, widths=(8, 12), background_widths=(8, 12))
    for head in (layout.part_net.head, layout.layout_net.head, painter.figure_head, painter.background_head):
        nn.init.normal_(head.weight, std=0.05)
    return PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval(), layout.eval(), painter.eval()


def remembering(detector: PersonDetector) -> PersonDetector:
    """The same detector, which looks once at a region of a picture: for tests that show it the same few many times."""
    look = detector._look

    def remembered(images: Tensor, region: Tensor, masks: bool = False, mirrored: bool = False) -> Any:
        shown = hashlib.sha1(images.cpu().contiguous().numpy()).digest()
        key = (images.shape, shown, region.shape, region.cpu().numpy().tobytes(), masks, mirrored)
        if key not in _seen:
            _seen[key] = look(images, region, masks, mirrored)
        return _seen[key]

    detector._look = remembered  # type: ignore[method-assign]
    return detector


def turned_round(points: Tensor) -> Tensor:
    """Keypoints ``(B, 11, 5, 2)`` as if right were left."""
    order = list(range(11))
    for right in ("right_upper_arm", "right_forearm", "right_thigh", "right_shin"):
        a, b = LIMBS.index(right), LIMBS.index(right.replace("right", "left"))
        order[a], order[b] = b, a
    turned = points[:, order]
    turned[:, 10] = turned[:, 10, [1, 0, 3, 2, 4]]  # eyes and corners of the mouth
    return turned
