"""What is behind the figure: another picture, nothing, or the driving video's scene without its person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import media
from .figure import before, put, straight
from .framing import Box, Size
from .networks.layered.composition import enlarged
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.person_detector import PRESENT, PersonDetector
from .people import driving_frames, seek

LOOKED_AT = 9  # frames all over a video, of which the empty scene is made
AROUND = 0.06  # of half the side of the person's region: what is taken out around the silhouette
SILHOUETTE = 0.2  # from which there may be a person
STILL = 0.03  # mean difference of two frames' scenes up to which the camera stands still
NOWHERE = 0.01  # share of what a person hides, below which it is nothing
ROWS = 64  # of the frames, whose medians are taken at once


class Scene(Protocol):
    """Puts figures before what is behind them."""

    def frames(self, figures: Tensor, first: int) -> Tensor:
        """Finished frames, of figures ``(B, 4, h, w)`` as `figure.cut_out` gives them.

        Args:
            first: the number of the first one, which never goes back.

        Returns:
            ``(B, 3, H, W)`` in [0, 1], or ``(B, 4, H, W)`` with transparency.
        """


@dataclass(frozen=True)
class StillScene:
    """One picture ``(1, 3, H, W)`` in [0, 1]; None is nothing.

    Attributes:
        picture: what is behind the figure.
        part: of the networks' image, that is shown.
        box: where it is shown.
        size: (height, width) of the frames.
    """

    picture: Tensor | None
    part: Box
    box: Box
    size: Size

    @torch.inference_mode()
    def frames(self, figures: Tensor, first: int) -> Tensor:
        """See `Scene`."""
        placed = put(figures, self.part, self.box, self.size)
        return straight(placed) if self.picture is None else before(placed, self.picture.to(placed))


class DrivingScene:
    """The driving video without its person.

    Where the camera stands still, what was behind the person is seen in other frames; it is their median. Elsewhere, and where
    no frame shows it, it is painted.

    Args:
        detector, painter: find the person, and paint.
        video: the driving video.
        part, box: what is shown of the networks' image, and where in the frame.
    """

    @torch.inference_mode()
    def __init__(
        self, detector: PersonDetector, painter: LayerPainter, video: media.VideoSource, part: Box, box: Box
    ) -> None:
        self._detector, self._painter, self._video = detector, painter, video
        self._part, self._box = part, box
        looked_at = list(self._looked_at())
        self._empty = self._without_person(looked_at) if _camera_stands_still(looked_at) else None  # (1, 3, H, W)
        self._behind = self._scenes()
        self._next = 0

    @torch.inference_mode()
    def frames(self, figures: Tensor, first: int) -> Tensor:
        """See `Scene`."""
        made = []
        for figure in figures.split(1):
            frame, hidden = next(islice(self._behind, first - self._next, None))
            first += 1
            self._next = first
            scene = self._filled(frame.to(figure), hidden)
            made.append(before(put(figure, self._part, self._box, self._video.size), scene))
        return torch.cat(made)

    def _filled(self, frame: Tensor, hidden: Tensor) -> Tensor:
        """A frame ``(1, 3, H, W)`` without what is `hidden`, ``(1, 1, h, w)``."""
        if self._empty is None:
            return self._painter.background(frame, hidden)
        return torch.lerp(frame, self._empty, enlarged(hidden, *self._video.size))

    def _scenes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All frames with what their person hides, one after another; people are followed from frame to frame."""
        region: Tensor | None = None
        for frame in self._video:
            hidden, region = self._hidden(frame, region)
            yield media.to_float(frame[None]), hidden

    def _hidden(self, frame: np.ndarray, region: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the person hides of a frame, ``(1, 1, h, w)`` in [0, 1], and where the person is; None: nowhere."""
        with torch.inference_mode():
            small = next(driving_frames([frame], 1)).to(next(self._detector.parameters()).device)
            people = seek(self._detector, small, region, search=False, silhouettes=True)
            if people.silhouette is None or people.score.item() < PRESENT:
                return small.new_zeros(1, 1, *small.shape[-2:]), None
            reach = max(2, round(AROUND * people.region[0, 2].item()))
            hidden = (people.silhouette > SILHOUETTE).float()
            for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
                hidden = F.max_pool2d(hidden, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
            return F.avg_pool2d(hidden, 5, stride=1, padding=2, count_include_pad=False), people.region

    def _spread(self) -> list[int]:
        count = self._video.frame_count
        return sorted(set(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int).tolist()))

    def _looked_at(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Frames all over the video ``(H, W, 3)`` uint8, with what their person hides."""
        region: Tensor | None = None
        for index in self._spread():
            frame = next(self._video.frames(index))
            hidden, region = self._hidden(frame, region)
            yield frame, hidden

    def _without_person(self, looked_at: list[tuple[np.ndarray, Tensor]]) -> Tensor:
        """The empty scene ``(1, 3, H, W)`` in [0, 1]: of each pixel the median of those frames in which nobody hides it."""
        frames, masks = zip(*looked_at, strict=True)
        height, width = self._video.size
        hidden = torch.cat([enlarged(mask, height, width) for mask in masks])[:, 0].cpu() > NOWHERE  # (T, H, W)
        made = torch.empty(height, width, 3)
        for top in range(0, height, ROWS):
            rows = slice(top, top + ROWS)
            pixels = torch.from_numpy(np.stack([frame[rows] for frame in frames])).float() / 255  # (T, rows, W, 3)
            known = pixels.masked_fill(hidden[:, rows, :, None], torch.nan).nanmedian(dim=0).values
            made[rows] = torch.where(known.isnan(), pixels[0], known)
        picture = made.permute(2, 0, 1)[None].to(masks[0].device)
        never = hidden.all(dim=0)[None, None].to(picture)
        return self._painter.background(picture, never) if bool(never.any()) else picture


def _camera_stands_still(looked_at: list[tuple[np.ndarray, Tensor]]) -> bool:
    """Whether frames ``(H, W, 3)`` uint8 show the same beside what their person hides, ``(1, 1, h, w)``."""
    small = [(next(driving_frames([frame], 1)), (hidden < NOWHERE).float().cpu()) for frame, hidden in looked_at]
    (first, known), *others = small
    for frame, also_known in others:
        both = known * also_known  # (1, 1, h, w)
        difference = ((frame - first).abs().mean(dim=1, keepdim=True) * both).sum() / both.sum().clamp(min=1)
        if difference > STILL:
            return False
    return True
