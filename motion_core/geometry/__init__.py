"""Grids, sampling and splines. Imports torch only, and computes in fp32 whatever surrounds it."""

from .affine_path import affine_power
from .folding import cell_areas, fold_over_share
from .grids import (
    affine_grid,
    gaussian_heatmaps,
    geometry_precision,
    identity_grid,
    identity_grid_like,
    resize_aligned,
    resize_grid,
    rotation,
)
from .resizing import Box, affine_part, busy_part, enlarged_part, smoothed
from .thin_plate_spline import ThinPlateSpline
from .warping import compose, sample, warp, warp_by_each

__all__ = [
    "Box",
    "ThinPlateSpline",
    "affine_grid",
    "affine_part",
    "affine_power",
    "busy_part",
    "cell_areas",
    "compose",
    "enlarged_part",
    "fold_over_share",
    "gaussian_heatmaps",
    "geometry_precision",
    "identity_grid",
    "identity_grid_like",
    "resize_aligned",
    "resize_grid",
    "rotation",
    "sample",
    "smoothed",
    "warp",
    "warp_by_each",
]
