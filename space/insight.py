"""What the networks make of a pair of pictures at a moment between them, and pictures of what they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core import AnimationSettings, InputError, Keypoints, MotionInterpPipeline, media
from motion_core.diagnosis import diagnose, watch_fusion
from motion_core.framing import Placement, from_network
from motion_core.key_frames import KeyFrames
from motion_core.networks.layered.limbs import strip_ends
from motion_core.networks.layered.person_detector import PRESENT, PersonDetector
from motion_core.networks.view_fusion import ViewKind
from motion_core.structures import DenseMotion, EncodedSource
from motion_core.transfer import Generated

from .drawing import COLORS, rgb

HALF_WAY = 0.5
CHANGED = 0.05  # of the range of colours, from which a pixel is not the picture's any more
ORIGINS = (
    "Green: taken from your picture",
    "Blue: taken from another photo",
    "Yellow: taken from the interpolated image",
    "Pink: made up by the model",
)
_ORIGIN_COLORS = torch.tensor([rgb(color) for color in ("#2fbf8a", "#56b4e9", "#f0c000", "#e377c2")])
_LINES = 12  # of the grid, in each direction
_PALETTE = torch.tensor([rgb(color) for color in ("#777777", *COLORS)])


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


@dataclass(frozen=True)
class Seen:
    """What can be said before a run.

    Attributes:
        limbs: of the person in the picture and of the one in the video's first frame, their two ends ``(K, 2, 2)``, as shares
            (x, y) of the picture; None: nobody is found, or the model is not of people.
        sentences: for people.
        works: whether a run would begin; if not, the last of the sentences says why.
    """

    limbs: tuple[np.ndarray | None, np.ndarray | None]
    sentences: tuple[str, ...]
    works: bool = True


@torch.inference_mode()
def look(
    pipeline: MotionInterpPipeline,
    picture: np.ndarray | None,
    frames: list[np.ndarray] | None,
    settings: AnimationSettings,
) -> Seen:
    """Look at a picture ``(H, W, 3)`` uint8 and at a few frames of a video, the first one first."""
    limbs = _limbs(pipeline, picture, settings.subject), _limbs(pipeline, None if frames is None else frames[0])
    try:
        if picture is None:
            return Seen(limbs, ())
        if frames is None:
            image = pipeline.read_picture(picture, settings)
            placement = pipeline.place(image, settings)
            return Seen(limbs, (f"Used: {placement.describe()}.",))
        animation = pipeline.stream(picture, frames, settings)
        check = animation.check()
        return Seen(limbs, (f"Used: {animation.placement.describe()}.",) if check is None else check.sentences())
    except InputError as error:
        return Seen(limbs, (str(error),), False)


def _limbs(
    pipeline: MotionInterpPipeline, pixels: np.ndarray | None, subject: tuple[float, float] | None = None
) -> np.ndarray | None:
    """The limbs in a picture, as `Seen` has them."""
    detector = pipeline.keypoint_detector
    if pixels is None or not isinstance(detector, PersonDetector):
        return None
    image = media.to_float(pixels[None]).to(pipeline.device)
    people = detector.detect(image, None if subject is None else detector.find(image, subject), silhouettes=False)
    if people.score.item() < PRESENT:
        return None
    start, end, _, _ = strip_ends(people.keypoints.points)  # (1, K, 2)
    return ((torch.stack((start, end), dim=2)[0].float().cpu() + 1) / 2).numpy()


@dataclass(frozen=True)
class Explanation:
    """How frames were made, and one of them in pictures: that of the largest displacement.

    Attributes:
        displacements: of each frame, the keypoints' mean distance from the picture's; 2 is the width of the networks' image.
        index: of the frame that is shown.
        pictures: ``(H, W, 3)`` uint8 each, with what it is.
        t: of the interpolated image that is shown: the one that was animated, or where none was, half-way.
        used: whether it was animated.
        difference: between the frame made over it and straight from the picture, in [0, 1], a mean over what is not as in the
            picture.
        shares: of the frame's pixels by where they come from, in [0, 1].
        folded: share of the deformation that is folded over, in [0, 1].
        missed: mean distance of the pose found in the frame from the one asked for, as a share of the width.
    """

    displacements: list[float]
    index: int
    pictures: list[tuple[np.ndarray, str]]
    t: float
    used: bool
    difference: float
    shares: dict[str, float]
    folded: float
    missed: float


@torch.inference_mode()
def explain(
    pipeline: MotionInterpPipeline,
    pixels: np.ndarray,
    photos: Sequence[np.ndarray],
    settings: AnimationSettings,
    placement: Placement,
    keypoints: np.ndarray,
    times: Sequence[float],
) -> Explanation:
    """Explain frames of a picture ``(H, W, 3)`` uint8 that were made with keypoints ``(T, K, N, 2)`` at `times`, one each.

    Args:
        photos: more pictures of the subject.
        placement: of the picture, in the run.
    """
    picture = pipeline.read_picture(pixels, settings)
    others = [pipeline.read_picture(photo, settings) for photo in photos]
    method, subject = pipeline.method, pipeline.subject
    places = [placement, *(subject.place_other(other, placement, settings, "a photo") for other in others)]
    sources = [subject.encode(each, place) for each, place in zip([picture, *others], places, strict=True)]
    start = sources[0].keypoints.points
    poses = torch.from_numpy(keypoints).to(start)  # (T, K, N, 2)
    moved = (poses - start).norm(dim=-1).mean(dim=(1, 2))  # (T,)
    index = int(moved.argmax())
    pose, used = Keypoints(poses[index : index + 1]), times[index] > 0
    t = times[index] or HALF_WAY
    # The frame whose interpolated image this one was made from; which it is, depends on the poses alone.
    key = KeyFrames(method, sources[0], replace(settings, t=t, strategy=None)).of(Keypoints(poses), None)[index]
    weights = watch_fusion(method)

    def generated(time: float) -> tuple[Generated, Tensor]:
        weights.clear()
        first = method.first_hop(sources[0], key.pose, None, pose.points.new_tensor([time]), settings.path)
        made = method.paint(method.compose(sources, pose, [None] * len(sources), first))
        return made, _origins(made, weights, time > 0)

    def shown(image: Tensor) -> np.ndarray:
        return media.to_uint8(pipeline.finish(image.float(), picture, placement, settings))[0]

    (direct, direct_share), (over, over_share) = generated(0), generated(t)
    made, share = (over, over_share) if used else (direct, direct_share)  # (1, C, h, w)
    colours = _ORIGIN_COLORS.to(share)
    mixed = torch.einsum("bchw,ck->bkhw", share, colours) * (0.35 + 0.65 * made.image.float().mean(dim=1, keepdim=True))
    changed = (made.image - sources[0].image).abs().amax(dim=1) > CHANGED  # (1, h, w)
    measured = diagnose(method, sources[0], pose, made)[0]
    top, left, height, width = placement.content
    mean = share[..., top : top + height, left : left + width].mean(dim=(0, 2, 3)).tolist()
    role = "used" if used else "tried, not used"
    return Explanation(
        moved.tolist(),
        index,
        [
            (shown(sources[0].image), "The picture"),
            (shown(over.optimal.image), f"The interpolated image, t = {t:.2f}: {role}"),
            (shown(made.image), f"Frame {index + 1} of the result"),
            (shown(mixed.clamp(0, 1)), "Where the frame's pixels come from"),
        ],
        t,
        used,
        float((over.image - direct.image).abs().mean(dim=1)[changed].mean()) if bool(changed.any()) else 0.0,
        {name: value for name, value in zip(ORIGINS, mean, strict=True) if value >= 0.005},
        measured.fold_over,
        measured.cycle_error / 2,
    )


def _origins(made: Generated, weights: list[tuple[Tensor, Sequence[ViewKind]]], hopped: bool) -> Tensor:
    """Shares ``(1, 4, h, w)`` of what pixels come from, in the order of `ORIGINS`."""
    visible = made.visible.float()
    share = visible.new_zeros(1, len(ORIGINS), *visible.shape[-2:])
    if weights:
        each, kinds = weights[-1]
        each = F.interpolate(each.float(), list(visible.shape[-2:]), mode="bilinear", align_corners=True)
        photos = 0
        for index, kind in enumerate(kinds):
            place = {"interpolated": 2, "composed": 0, "source": min(photos, 1)}[kind]
            photos += kind == "source"
            share[:, place] += each[:, index]
    else:
        share[:, 2 if hopped else 0] = 1
    share[:, :3] *= visible
    share[:, 3:] = 1 - visible
    return share


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
