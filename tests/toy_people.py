"""Networks of people at toy size, with a real detector."""

from __future__ import annotations

from torch import nn

from motion_core import LayerPainter, LayoutNetwork, PersonDetector
from motion_core.networks.layered.person_detector import SHIPPED_DETECTOR


def toy_people() -> tuple[PersonDetector, LayoutNetwork, LayerPainter]:
    """The detector that ships, and networks of random weights whose heads do a little of everything."""
    layout = LayoutNetwork(size=16, widths=(8, 12), part_widths=(8, 12))
    painter = LayerPainter(size=32, widths=(8, 12), background_widths=(8, 12))
    for head in (layout.part_net.head, layout.layout_net.head, painter.figure_head, painter.background_head):
        nn.init.normal_(head.weight, std=0.05)
    return PersonDetector.from_pretrained(SHIPPED_DETECTOR).eval(), layout.eval(), painter.eval()
