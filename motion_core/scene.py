"""What is behind the figure: another picture, nothing, or the driving video's scene without its person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import media
from .backbone import Source
from .figure import before, box_in_frame, put, straight
from .framing import Box, Placement, Size, free_part, place_in, to_network
from .networks.layered.composition import enlarged
from .networks.layered.layer_painter import LayerPainter
from .networks.layered.person_detector import PRESENT, PersonDetector
from .people import driving_frames, hidden_by, reduced_size, seek
from .settings import AnimationSettings
from .structures import Keypoints, PackedMask
from .transfer import MotionTransfer

LOOKED_AT = 9  # frames all over a video, of which the empty scene is made
STILL = 0.03  # mean difference of two frames' scenes up to which the camera stands still
NOWHERE = 0.01  # share of what a person hides, below which it is nothing
ROWS = 64  # of the frames, whose medians are taken at once


class Scene(Protocol):
    """Puts figures before what is behind them."""

    def frames(self, figures: Tensor, first: int, hidden: Sequence[PackedMask]) -> Tensor:
        """Finished frames, of figures ``(B, 4, h, w)`` as `figure.cut_out` gives them.

        Args:
            first: the number of the first one, which never goes back.
            hidden: what the person in the driving frames hides of them.

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
    def frames(self, figures: Tensor, first: int, hidden: Sequence[PackedMask]) -> Tensor:
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
        self._frames = iter(video)
        self._next = 0

    @torch.inference_mode()
    def frames(self, figures: Tensor, first: int, hidden: Sequence[PackedMask]) -> Tensor:
        """See `Scene`."""
        made = []
        for index, (figure, mask) in enumerate(zip(figures.split(1), hidden, strict=True), first):
            frame = next(islice(self._frames, index - self._next, None))
            self._next = index + 1
            scene = self._filled(media.to_float(frame[None]).to(figure), _soft(mask.tensor().to(figure)))
            made.append(before(put(figure, self._part, self._box, self._video.size), scene))
        return torch.cat(made)

    def _filled(self, frame: Tensor, hidden: Tensor) -> Tensor:
        """A frame ``(1, 3, H, W)`` without what is `hidden`, ``(1, 1, h, w)``."""
        if self._empty is None:
            return self._painter.background(frame, hidden)
        return torch.lerp(frame, self._empty, enlarged(hidden, *self._video.size))

    def _spread(self) -> list[int]:
        count = self._video.frame_count
        return sorted(set(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int).tolist()))

    def _looked_at(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Frames all over the video ``(H, W, 3)`` uint8, with what their person hides."""
        region: Tensor | None = None
        for index in self._spread():
            frame = next(self._video.frames(index))
            small = next(driving_frames([frame], 1)).to(next(self._detector.parameters()).device)  # (1, 3, h, w)
            people = seek(self._detector, small, region, search=False, silhouettes=True)
            region = people.region if people.score.item() >= PRESENT else None
            yield frame, _soft(hidden_by(people, (small.shape[-2], small.shape[-1])).to(small))

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


def _soft(hidden: Tensor) -> Tensor:
    """What is hidden ``(1, 1, h, w)``, 0 or 1, with a soft edge."""
    return F.avg_pool2d(hidden, 5, stride=1, padding=2, count_include_pad=False)


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


def scene_of(
    settings: AnimationSettings,
    method: MotionTransfer,
    painter: LayerPainter,
    ends: tuple[Source, Keypoints],
    video: media.VideoSource,
    placement: Placement,
    size: Size,
    picture: Tensor | None,
) -> Scene | None:
    """What is behind the figure; None: its own background.

    Args:
        settings: `scene`, `mode` and `paste_back`.
        ends: the source, and the driving pose that its own is compared with, ``(1, K, N, 2)``.
        placement: of the source.
        size: (height, width) of the frames.
        picture: ``(1, 3, H, W)`` in [0, 1], where the scene is one.
    """
    source, initial = ends
    match settings.scene:
        case "source":
            return None
        case "driving":
            part = free_part(source.keypoints.points, placement)
            frame = video.size, reduced_size(video.size)
            poses, parents = (source.keypoints, initial), method.detector.parents
            box = box_in_frame(part, placement, frame, method.mode_of(settings), poses, parents)
            return DrivingScene(method.detector, painter, video, part, box)
    box = placement.crop if settings.paste_back else (0, 0, *size)
    if picture is not None:
        picture = to_network(picture, place_in((picture.shape[-2], picture.shape[-1]), size, "crop"))
    return StillScene(picture, placement.content, box, size)
