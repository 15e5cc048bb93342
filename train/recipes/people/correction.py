"""The detector's strips brought to those of rendered people: trained at the end of stage "data", in half a minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from motion_core.networks.layered.limbs import mirrored_points
from motion_core.networks.layered.strip_correction import StripCorrection

from .pack import Pack

STEPS, RATE, DECAY, BATCH = 3000, 1e-3, 3e-2, 256
FARTHEST = 0.3  # coordinate units that a point may be off and still count more
INSIDE = 1.05  # beyond this a point is out of the picture, and the detector can only guess


def learn_correction(pack: Pack, steps: int = STEPS) -> StripCorrection:
    """Train on the detected and the true strips of a pack of rendered people."""
    torch.manual_seed(0)
    network = StripCorrection()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    found, true = (torch.from_numpy(np.array(each)) for each in (pack.detected, pack.keypoints))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps) + 1e-5
        chosen = torch.randint(len(found), (BATCH,))
        here, wanted = found[chosen], true[chosen]
        if step % 2:
            here, wanted = mirrored_points(here), mirrored_points(wanted)
        inside = (wanted.abs() <= INSIDE).all(dim=-1)  # (B, K, 5)
        apart = (network(here) - wanted).norm(dim=-1).clamp(max=FARTHEST)
        loss = (apart * inside).sum() / inside.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def corrected(network: StripCorrection, strips: np.ndarray) -> np.ndarray:
    """Detected strips ``(N, K, 5, 2)`` float32, corrected."""
    return network(torch.from_numpy(np.array(strips))).numpy()


def detector_error(points: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Mean and median distance of strips ``(N, K, 5, 2)`` from the true ones, in percent of the side, inside of the picture."""
    apart = np.linalg.norm(points - true, axis=-1) * 50
    inside = (np.abs(true) <= 1).all(axis=-1)
    return float(apart[inside].mean()), float(np.median(apart[inside]))


def with_correction(network: StripCorrection, packs: Sequence[Pack]) -> list[Pack]:
    """Packs whose detected strips are corrected; where no true ones are known, these are the corrected ones as well."""
    made = []
    for pack in packs:
        points = corrected(network, pack.detected)
        known = not np.array_equal(pack.keypoints, pack.detected)
        made.append(replace(pack, detected=points, keypoints=pack.keypoints if known else points))
    return made
