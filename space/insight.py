"""What the networks make of a pair of pictures at a moment between them, and pictures of what they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core import AnimationSettings, Keypoints, MotionInterpPipeline, media
from motion_core.framing import Placement, from_network
from motion_core.structures import DenseMotion, EncodedSource

from .drawing import COLORS

_LINES = 12  # of the grid, in each direction
_PALETTE = torch.tensor([[int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)] for color in ("#777777", *COLORS)])


@dataclass(frozen=True)
class View:
    """A moment on the way between two poses.

    Attributes:
        t: in [0, 1].
        image: ``(H, W, 3)`` uint8.
        keypoints: ``(K, N, 2)`` in [-1, 1] of the image, corner-aligned.
        deformation: the image with a grid that moved along, ``(H, W, 3)`` uint8.
        contributions: which group of keypoints moves which part, a colour each and grey for the background, same shape.
        occlusion: white is visible in the first picture, black had to be painted, same shape.
    """

    t: float
    image: np.ndarray
    keypoints: np.ndarray
    deformation: np.ndarray
    contributions: np.ndarray
    occlusion: np.ndarray


@dataclass(frozen=True)
class Pair:
    """Two pictures, encoded once, so that any moment between them costs one hop."""

    pipeline: MotionInterpPipeline
    settings: AnimationSettings
    picture: Tensor
    placement: Placement
    source: EncodedSource
    end: Keypoints

    @torch.inference_mode()
    def at(self, t: float) -> View:
        """The view at time t, the same image that `MotionInterpPipeline.interpolate` makes."""
        time = torch.tensor([t]).to(self.end.points)
        frames, keypoints, motion = self.pipeline.method.interpolate(
            self.source, self.end, None, time, self.settings.path
        )
        image = self.pipeline.finish(frames, self.picture, self.placement, self.settings)  # (1, 3, h, w)
        return View(
            t,
            media.to_uint8(image)[0],
            shown_points(keypoints.points[0].float().cpu().numpy(), self.placement),
            _shown(_with_grid(frames.float().cpu(), motion), self.placement),
            _shown(_mixed(motion), self.placement),
            _shown(motion.occlusion_masks[-1].float().cpu().expand(-1, 3, -1, -1), self.placement),
        )


@torch.inference_mode()
def encode_pair(
    pipeline: MotionInterpPipeline, first: np.ndarray, second: np.ndarray, settings: AnimationSettings
) -> Pair:
    """Encode two pictures ``(H, W, 3)`` uint8; the first one moves towards the pose of the second."""
    picture, other = (pipeline.read_picture(pixels, settings) for pixels in (first, second))
    method, subject = pipeline.method, pipeline.subject
    placement = pipeline.place(picture, settings, subject.pose_in(other, "the second picture"), "the first picture")
    source = subject.encode(picture, placement)
    motion = subject.analyse_picture(source, other, placement, settings, "the second picture")
    end = method.transfer(source.keypoints, motion.keypoints, settings)
    return Pair(pipeline, settings, picture, placement, source, end)


@torch.inference_mode()
def interpolated_images(
    pipeline: MotionInterpPipeline,
    pixels: np.ndarray,
    settings: AnimationSettings,
    poses: Sequence[tuple[float, np.ndarray]],
) -> list[np.ndarray]:
    """The images that were animated in place of a picture: (t, keypoints ``(K, N, 2)`` of the frame) to ``(H, W, 3)`` uint8."""
    picture = pipeline.read_picture(pixels, settings)
    placement = pipeline.place(picture, settings)
    source = pipeline.subject.encode(picture, placement)
    images = []
    for t, points in poses:
        frame = source.image
        if t > 0:
            end = Keypoints(torch.from_numpy(points)[None].to(source.keypoints.points))
            frame, _, _ = pipeline.method.interpolate(
                source, end, None, torch.tensor([t]).to(end.points), settings.path
            )
        images.append(media.to_uint8(from_network(frame, placement))[0])
    return images


def shown_points(points: np.ndarray, placement: Placement) -> np.ndarray:
    """Keypoints of the networks' image ``(..., 2)`` as points of what is shown of it, which has no padding."""
    top, left, height, width = placement.content
    size = np.array(placement.network_size[::-1]) - 1
    pixels = (points + 1) / 2 * size - np.array([left, top])
    return 2 * pixels / np.maximum(np.array([width, height]) - 1, 1) - 1


def _shown(image: Tensor, placement: Placement) -> np.ndarray:
    """``(1, 3, h, w)`` of any size as what is shown of it, ``(H, W, 3)`` uint8."""
    size = list(placement.network_size)
    full = F.interpolate(image, size, mode="bilinear", align_corners=True)
    return media.to_uint8(from_network(full, placement))[0]


def _with_grid(image: Tensor, motion: DenseMotion) -> Tensor:
    """The image ``(1, 3, h, w)`` under the lines of a grid that lay straight on the source."""
    grid = F.interpolate(
        motion.deformation.float().cpu().permute(0, 3, 1, 2),
        list(image.shape[-2:]),
        mode="bilinear",
        align_corners=True,
    )  # (1, 2, h, w)
    cell = (grid + 1) / 2 * _LINES
    distance = (cell - cell.round()).abs().amin(dim=1, keepdim=True)  # from the nearest line, in cells
    line = (1 - distance / 0.06).clamp(0, 1)
    return torch.lerp(image * 0.75, torch.tensor([1.0, 0.75, 0.1]).view(1, 3, 1, 1).expand_as(image), line)


def _mixed(motion: DenseMotion) -> Tensor:
    """The contribution maps ``(1, K + 1, h, w)`` as colours ``(1, 3, h, w)``."""
    maps = motion.contribution_maps.float().cpu()
    colors = _PALETTE[[0, *(1 + group % len(COLORS) for group in range(maps.shape[1] - 1))]]  # (K + 1, 3)
    return torch.einsum("bkhw,kc->bchw", maps, colors)
