"""Grids, sampling and splines. Imports torch only, and computes in fp32 whatever surrounds it."""

from .grids import affine_grid, gaussian_heatmaps, geometry_precision, identity_grid, resize_aligned, resize_grid
from .thin_plate_spline import ThinPlateSpline
from .warping import sample, warp, warp_by_each

__all__ = [
    "ThinPlateSpline",
    "affine_grid",
    "gaussian_heatmaps",
    "geometry_precision",
    "identity_grid",
    "resize_aligned",
    "resize_grid",
    "sample",
    "warp",
    "warp_by_each",
]
