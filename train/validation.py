"""How well a model animates the videos that it is not trained on, beside what copying the source would give."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from motion_core.hops import displacement
from motion_core.selection import candidate_scores

from .config import TrainingConfig
from .networks import hops_of


@torch.inference_mode()
def validate(
    accelerator: Accelerator, networks: nn.ModuleDict, config: TrainingConfig, pairs: Dataset[dict[str, Tensor]]
) -> dict[str, Any]:
    """Compare predictions with the driving images, over all processes; every process gets the result.

    Args:
        networks: put into evaluation mode.
        pairs: samples with "source" and "driving".

    Returns:
        ``pairs``, how many; ``l1`` and ``copy``, mean absolute differences of the predictions and of the sources from the
        driving images; ``_moved``: over pairs whose keypoints move more than the median, ``_changed``: over pairs that
        differ by more than the median.
    """
    share = Subset(pairs, range(accelerator.process_index, len(pairs), accelerator.num_processes))  # type: ignore[arg-type]
    for buffer in networks.buffers():  # until its next step, each process has statistics of BatchNorm of its own
        broadcast(buffer)
    detector = networks.eval()["keypoint_detector"]
    rows = []
    for batch in DataLoader(share, config.schedule.batch_size, num_workers=config.data.workers):
        source, driving = (batch[name].to(accelerator.device) for name in ("source", "driving"))
        with accelerator.autocast():
            image = predict(networks, source, driving)
        moved = displacement(detector(source), detector(driving))  # (B,)
        errors = [(given.float() - driving).abs().mean(dim=(1, 2, 3)) for given in (image, source)]
        rows.append(torch.stack((*errors, moved), dim=1))  # (B, 3)
    table = torch.cat(rows) if rows else torch.empty(0, 3, device=accelerator.device)
    padded = accelerator.pad_across_processes(table, pad_index=-1)
    table = accelerator.gather(padded).cpu()
    l1, copy, moved = table[table[:, 1] >= 0].unbind(dim=1)  # (pairs,) each, without the padding
    result = {"pairs": len(l1), "l1": l1.mean().item(), "copy": copy.mean().item()}
    for name, amount in (("moved", moved), ("changed", copy)):
        much = amount >= amount.median()
        result |= {f"l1_{name}": l1[much].mean().item(), f"copy_{name}": copy[much].mean().item()}
    return result


def predict(networks: Any, source: Tensor, driving: Tensor) -> Tensor:
    """Source images in the driving poses as the pipeline would animate them, ``(B, 3, H, W)`` in [0, 1] as both are.

    Both images show one scene, so the background goes along.
    """
    detector, hops = networks["keypoint_detector"], hops_of(networks)
    encoded, pose = hops.encode(source, detector(source)), detector(driving)
    background = networks["background_predictor"](source, driving) if "background_predictor" in networks else None
    t = source.new_zeros(len(source))  # (B,)
    if "selector" in networks:
        times, scores = candidate_scores(networks["selector"], hops, detector, encoded, pose, background, "learned")
        t = times[scores.argmax(dim=1)]
    return hops.generate([encoded], pose, [background], t).image
