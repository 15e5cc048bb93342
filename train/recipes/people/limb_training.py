"""The limbs' transforms, learned from poses and exact flow at the end of stage "data": a minute, and no pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from motion_core.networks.layered.limb_motion import LimbMotion, taken
from motion_core.networks.layered.limbs import LIMBS, POINTS, mirrored_points, other_side

from .pack import FLOW_SIDE, SIDE, Pack

STEPS, RATE, DECAY, BATCH = 6000, 1e-3, 1e-2, 128
SAMPLES = 24  # points of a limb that are looked at
FEWEST = 4  # known points of a limb, below which it is left out
MOST = 100  # known points that make a limb count more
FARTHEST = 0.5  # coordinate units that a point may be off and still count more: beyond, left and right were confused
NOISE = 0.006  # standard deviation of the limbs' places, in coordinate units
OTHER_SIDES = [LIMBS.index(other_side(limb)) for limb in LIMBS]


@dataclass(frozen=True)
class LimbPoints:
    """Points of the limbs in P pairs of pictures.

    Attributes:
        driving, source: where each is in both, ``(P, K, SAMPLES, 2)`` in [-1, 1].
        counts: how many were known, ``(P, K)``; 0 where too few.
    """

    driving: Tensor
    source: Tensor
    counts: Tensor

    @classmethod
    def of(cls, pack: Pack) -> LimbPoints:
        """Random points of each limb of each pair."""
        random = np.random.default_rng(0)
        step = SIDE // FLOW_SIDE
        line = (2 * (np.arange(FLOW_SIDE) * step + step // 2) / (SIDE - 1) - 1).astype(np.float32)
        shape = (len(pack.pairs), len(LIMBS), SAMPLES, 2)
        driving, source, counts = (
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape[:2], np.float32),
        )
        for pair, (_, picture) in enumerate(pack.pairs):
            labels = pack.labels[picture, step // 2 :: step, step // 2 :: step]
            flow = np.array(pack.flows[pair], np.float32)
            known = ~np.isnan(flow).any(axis=-1)
            for limb in range(len(LIMBS)):
                rows, columns = np.nonzero(known & (labels == limb + 1))
                if len(rows) < FEWEST:
                    continue
                count = min(MOST, len(rows))
                chosen = random.integers(0, len(rows), SAMPLES)
                rows, columns = rows[chosen], columns[chosen]
                driving[pair, limb] = np.stack((line[columns], line[rows]), axis=-1)
                source[pair, limb] = flow[rows, columns]
                counts[pair, limb] = count
        return cls(torch.from_numpy(driving), torch.from_numpy(source), torch.from_numpy(counts))


def learn_limb_motion(pack: Pack, steps: int = STEPS, features: int = 256) -> LimbMotion:
    """Train on the poses, true or detected, and flows of a pack of rendered people."""
    torch.manual_seed(0)
    points = LimbPoints.of(pack)
    poses = [torch.from_numpy(np.array(each)) for each in (pack.keypoints, pack.detected)]  # (N, K, 5, 2)
    pairs = torch.from_numpy(np.array(pack.pairs)).long()
    network = LimbMotion(len(LIMBS), POINTS, features)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * (1 - step / steps) + 1e-5
        chosen = torch.randint(len(pairs), (BATCH,))
        source, driving = (_seen(poses, pairs[chosen, side]) for side in (0, 1))
        here, there, counts = points.driving[chosen], points.source[chosen], points.counts[chosen]
        if step % 2:
            source, driving = mirrored_points(source), mirrored_points(driving)
            here, there = _mirrored(here), _mirrored(there)
            counts = counts[:, OTHER_SIDES]
        apart = (taken(network(source, driving), here) - there).norm(dim=-1).clamp(max=FARTHEST)  # (B, K, SAMPLES)
        loss = (apart.mean(dim=-1) * counts).sum() / counts.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def _seen(poses: list[Tensor], pictures: Tensor) -> Tensor:
    """The true or the detected poses of some pictures, at random, with limbs a little astray."""
    true = torch.rand(len(pictures), 1, 1, 1) < 0.5
    points = torch.where(true, poses[0][pictures], poses[1][pictures])
    return points + NOISE * torch.randn(len(points), points.shape[1], 1, 2)


def _mirrored(points: Tensor) -> Tensor:
    """Points of limbs ``(B, K, S, 2)`` as a mirrored picture shows them."""
    return points[:, OTHER_SIDES] * points.new_tensor((-1.0, 1.0))


@torch.no_grad()
def limb_error(network: LimbMotion, pack: Pack, poses: np.ndarray) -> float:
    """Mean distance, in pixels of 256, of where poses ``(N, K, 5, 2)`` say that points of limbs are in the source."""
    points = LimbPoints.of(pack)
    pairs = torch.from_numpy(np.array(pack.pairs)).long()
    given = torch.from_numpy(np.array(poses))
    places = taken(network(given[pairs[:, 0]], given[pairs[:, 1]]), points.driving)
    apart = (places - points.source).norm(dim=-1).mean(dim=-1) * (SIDE - 1) / 2
    return float((apart * points.counts).sum() / points.counts.sum())
