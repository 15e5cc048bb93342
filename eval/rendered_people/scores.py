"""How far a model's deformation is from the exact flow."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from motion_core.errors import InputError
from motion_core.geometry import resize_grid

from .flow import Flow


def deformation_flow(deformation: Tensor, height: int, width: int) -> np.ndarray:
    """The displacement in pixels that a deformation stands for.

    Args:
        deformation: ``(h, w, 2)`` absolute backward grid in [-1, 1], corner-aligned, of any size.
        height, width: of the pictures.

    Returns:
        ``(height, width, 2)`` float64, (x, y): what belongs at pixel p of the driving frame is at p + this in the source.
    """
    if deformation.ndim != 3 or deformation.shape[-1] != 2:
        raise InputError(f"deformation: must have the shape (h, w, 2), got {tuple(deformation.shape)}")
    grid = resize_grid(deformation.detach().double().cpu()[None], height, width)[0].numpy()
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    places = (grid + 1) / 2 * (np.array((width, height)) - 1)
    return places - np.stack((x, y), axis=-1)


def end_point_error(deformation: Tensor, exact: Flow) -> tuple[float, int]:
    """Mean distance in pixels between where a deformation points and where the surface really is in the source.

    Over the pixels of the driving frame that show a part of the figure which the source shows too; where it is hidden there,
    there is nothing right to point to.

    Args:
        deformation: ``(h, w, 2)``, see `deformation_flow`.
        exact: `flow.flow` from the driving frame to the source frame.

    Returns:
        The mean, NaN if there are no such pixels, and how many pixels there are.

    Example:
        >>> import numpy as np, torch
        >>> from motion_core.geometry import identity_grid
        >>> mask = np.ones((8, 8), bool)
        >>> exact = Flow(np.full((8, 8, 2), (3.0, 4.0)), mask, mask)
        >>> end_point_error(identity_grid(8, 8, torch.zeros(1).double()), exact)
        (5.0, 64)
    """
    height, width = exact.visible.shape
    error = deformation_flow(deformation, height, width)[exact.visible] - exact.displacement[exact.visible]
    distance = np.linalg.norm(error, axis=-1)
    return (float(distance.mean()) if len(distance) else float("nan")), len(distance)
