"""Validation on videos that the model is not trained on, beside copying the source."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import DataLoader

from motion_core.settings import AnimationSettings, Strategy
from motion_core.transfer import MotionTransfer, Moved, displacement

from .losses import absolute_difference


@torch.inference_mode()
def validate(accelerator: Accelerator, networks: nn.ModuleDict, loader: DataLoader) -> dict[str, Any]:
    """Compare predictions with the driving images, over all processes; every process gets the result.

    Args:
        networks: put into evaluation mode.
        loader: a prepared one, of samples with "source" and "driving".

    Returns:
        ``pairs``, how many; ``l1``, ``straight`` and ``copy``, mean absolute differences from the driving images of the
        predictions, of what they would be without interpolated images, and of the sources; ``hopped``, the share of pairs
        whose interpolated image is used, and ``t``, its mean time. ``_moved``: over pairs whose keypoints move more than the
        median, ``_changed``: over pairs that differ by more than the median.
    """
    for buffer in networks.buffers():  # until its next step, each process has statistics of BatchNorm of its own
        broadcast(buffer)
    networks.eval()
    rows = []
    for batch in loader:
        source, driving = batch["source"], batch["driving"]
        with accelerator.autocast():
            moved, straight = animated(networks, source, driving)
        errors = [absolute_difference(each.float(), driving) for each in (moved.generated.image, straight, source)]
        row = torch.stack((*errors, displacement(moved.source.keypoints, moved.poses), moved.t), dim=1)  # (B, 5)
        rows.append(accelerator.gather_for_metrics(row).cpu())  # (B * processes, 5)
    table = torch.cat(rows)  # (pairs, 5)
    *errors, distance, t = table.unbind(dim=1)
    result: dict[str, Any] = {"pairs": len(t)}
    everything = torch.ones_like(t, dtype=torch.bool)
    for half, much in (("", everything), ("_moved", _upper_half(distance)), ("_changed", _upper_half(errors[-1]))):
        result |= {
            f"{name}{half}": error[much].mean().item()
            for name, error in zip(("l1", "straight", "copy"), errors, strict=True)
        }
        result |= {f"hopped{half}": (t[much] > 0).float().mean().item(), f"t{half}": t[much].mean().item()}
    return result


def _upper_half(amounts: Tensor) -> Tensor:
    """A mask of those that are at least the median."""
    return amounts >= amounts.median()


def animated(networks: nn.ModuleDict, source: Tensor, driving: Tensor) -> tuple[Moved, Tensor]:
    """Source images in the driving poses as the pipeline would animate them, the first of several frames.

    Both images show one scene, so the background goes along.

    Args:
        networks: by name, in evaluation mode.
        source, driving: ``(B, 3, H, W)`` in [0, 1].

    Returns:
        The result, and what its images ``(B, 3, H, W)`` would be without interpolated ones.
    """
    method = MotionTransfer(dict(networks.items()))
    strategy: Strategy | None = None if method.selector is None else "learned"
    moved = method.move(source, driving, AnimationSettings(mode="standard", background="predicted", strategy=strategy))
    if not moved.t.any():
        return moved, moved.generated.image
    return moved, method.generate([moved.source], moved.poses, [moved.background], torch.zeros_like(moved.t)).image
