"""A deformation against the exact flow of rendered clips, in pixels of their pictures."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from motion_core.errors import InputError
from motion_core.framing import Placement, network_points, picture_points
from motion_core.geometry import identity_grid, identity_grid_like, sample
from motion_core.media import FrameReader

from ..rendered_people.annotations import Annotations, folder_of, mean_displacement, read_annotations
from ..rendered_people.flow import Flow, flow
from ..rendered_people.pairs import Pair

_ROUNDED = 1e-3  # pixels; lists have four decimals


class ExactFlows:
    """The exact flow of pairs of annotated clips; clip by clip is quick, since the last clip is kept.

    Attributes:
        annotated: whether the data has any annotations.
        contradictions: how many pairs so far had another displacement than the annotated joints have.
    """

    def __init__(self, root: Path, split: str, clips: dict[str, FrameReader]) -> None:
        self._root, self._split, self._clips = root, split, clips
        self._last: tuple[str, Annotations] | None = None
        self.annotated = any(folder_of(root, split).glob("*.npz"))
        self.contradictions = 0

    def of(self, pair: Pair) -> Flow | None:
        """The flow from the driving frame to the source frame; None where the data has no annotations.

        Raises:
            InputError: the data has annotations, but of this clip none, or those of another one.
        """
        if not self.annotated:
            return None
        clip = self._annotations(pair.video)
        if not abs(mean_displacement(clip, pair.source, pair.driving) - pair.displacement) < _ROUNDED:
            self.contradictions += 1
        return flow(clip, pair.driving, pair.source)

    def _annotations(self, video: str) -> Annotations:
        if self._last is None or self._last[0] != video:
            clip, access = read_annotations(self._root, self._split, video), self._clips[video]
            known, real = (len(clip.joints), *clip.size), (access.count, *access.size)
            if known != real:
                raise InputError(
                    f"{video}: has annotations of another video, {known} instead of {real} (frames, height, width)"
                )
            self._last = video, clip
        return self._last[1]


def in_picture(deformation: Tensor, placement: Placement) -> Tensor:
    """A deformation of the networks' image as one of the picture.

    Their pixels do not coincide: a picture is resized by its area, so that its first pixel is not the networks' first.

    Args:
        deformation: ``(h, w, 2)``, absolute backward grid of any size, corner-aligned with the networks' image.

    Returns:
        ``(H, W, 2)`` float64, absolute backward grid of the picture at its own size.
    """
    grid = deformation.double()[None]  # (1, h, w, 2)
    places = network_points(identity_grid(*placement.picture_size, grid), placement)[None]  # (1, H, W, 2)
    # The displacement is sampled, not the place: beyond the outermost pixels' centres it continues unchanged.
    motion = (grid - identity_grid_like(grid)).movedim(-1, 1)  # (1, 2, h, w)
    moved = places + sample(motion, places, padding="border").movedim(1, -1)  # (1, H, W, 2)
    return picture_points(moved[0], placement)
