"""Rendered frames in memory, for training and measuring the benchmark's own detector and embedder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.errors import InputError
from motion_core.geometry import affine_grid, sample
from motion_core.media import FrameReader, to_float

from ..instruments.cached import resized
from .annotations import Annotations, clip_names, open_pictures, read_annotations
from .instruments import SIDE
from .skeleton import JOINTS, PARTS, other_side


@dataclass(frozen=True)
class Frames:
    """Frames of many clips, N in all, at the size of the networks' image.

    Attributes:
        images: ``(N, 128, 128, 3)`` uint8.
        parts: ``(N, 128, 128)`` uint8, numbers in `skeleton.PARTS`.
        joints: ``(N, 18, 2)`` float32, pixels.
        visibility: ``(N, 18)`` uint8: 0 outside of the picture, 1 hidden, 2 seen.
        people, clips, roots: ``(N,)`` numbers. People of two roots are different ones, whatever their names.
    """

    images: np.ndarray
    parts: np.ndarray
    joints: np.ndarray
    visibility: np.ndarray
    people: np.ndarray
    clips: np.ndarray
    roots: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def of_root(self, root: int) -> Frames:
        """The frames of one root."""
        return Frames(*(getattr(self, field.name)[self.roots == root] for field in fields(self)))


def read_frames(roots: Sequence[Path], split: str) -> Frames:
    """Decode all clips of a split of several data sets.

    Raises:
        InputError: one has none, or a clip that is not square or cannot be read.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    people: dict[tuple[int, str], int] = {}
    for root_number, root in enumerate(roots):
        names = clip_names(root, split)
        if not names:
            raise InputError(f"data: {root} must have rendered clips of the split {split}, but has none")
        for name in names:
            clip = read_annotations(root, split, name)
            person = people.setdefault((root_number, clip.identity), len(people))
            numbers = (np.full(len(clip.joints), number) for number in (person, len(columns), root_number))
            columns.append((*_pictures(clip, open_pictures(root, clip)), clip.visibility, *numbers))
    return Frames(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _pictures(clip: Annotations, video: FrameReader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, parts and joints of a clip, at the networks' size."""
    side = clip.size[0]
    images = np.stack([image for _, image in video.frames_at(range(video.count))])  # (T, h, w, 3)
    if images.shape[:3] != (len(clip.joints), side, side):
        raise InputError(
            f"{video.path}: must have {len(clip.joints)} frames of {side} x {side}, got {images.shape[:3]}"
        )
    nearest = (np.arange(SIDE) * 2 + 1) * side // (2 * SIDE)
    joints = (clip.joints + 0.5) * (SIDE / side) - 0.5
    resized_images = np.stack([resized(image, SIDE) for image in images])
    return resized_images, clip.parts[:, nearest][:, :, nearest], joints.astype(np.float32)


def batch_of(frames: Frames, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
    """Images ``(B, 3, 128, 128)`` float32 in [0, 1] and parts ``(B, 1, 128, 128)`` int64 of these frames."""
    return to_float(frames.images[numbers]), torch.from_numpy(frames.parts[numbers]).long()[:, None]


_LIMBS = (("upper_arm", "forearm", "hand"), ("thigh", "shin", "foot"))
MIRRORED = [JOINTS.index(other_side(name)) for name in JOINTS]


# What may be taken away from a person: ends of limbs, the head, everything.
_MISSING = [
    *({f"{side}_{part}" for part in limb[k:]} for limb in _LIMBS for side in ("left", "right") for k in range(3)),
    *({"head"}, set(PARTS[1:]), set(PARTS[1:])),
]


def filled(images: Tensor, hole: Tensor) -> Tensor:
    """The images with holes filled smoothly from around them.

    Args:
        hole: ``(B, 1, H, W)`` bool. H and W are powers of two. A picture that is all hole becomes black.
    """
    keep = 1 - F.max_pool2d(hole.float(), 5, 1, 2)  # the soft outline of what is taken away goes with it
    value, weight = images * keep, keep
    levels = []
    while value.shape[-1] > 1:
        levels.append((value, weight))
        value, weight = F.avg_pool2d(value, 2), F.avg_pool2d(weight, 2)
    coarse = value / weight.clamp_min(1e-6)
    for value, weight in reversed(levels):
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        known = (weight * 1e6).clamp(0, 1)
        coarse = torch.where(known > 0, value / weight.clamp_min(1e-6), coarse)
    return coarse


def without_limbs(images: Tensor, parts: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Take something away from a share of the people.

    Returns:
        The images, and ``(B, 1, H, W)`` bool, where something was taken away.
    """
    chosen = torch.rand(len(images)) < share
    missing = torch.tensor([[part in group for part in PARTS] for group in _MISSING])  # (G, 16)
    groups = missing[torch.randint(len(missing), (len(images),))] & chosen[:, None]  # (B, 16)
    taken = groups.gather(1, parts.flatten(1)).view_as(parts)  # (B, 1, H, W)
    # Blurred patches that hide nobody's limb would otherwise not exist, and be learnt as a sign that something is missing.
    decoys = torch.rand(len(images), 1, 1, 1) < share / 2
    shifted = groups.roll(1, 0).gather(1, parts.roll(1, 0).flatten(1)).view_as(parts)
    taken = taken | (shifted & decoys)
    some = taken.flatten(1).any(1)
    result = images.clone()
    result[some] = filled(images[some], taken[some])
    return result, taken


def moved(images: Tensor, joints: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn, scale, shift and mirror; joints ``(B, 18, 2)`` go along, and may then be outside.

    What is known of each joint ``(B, 18)`` changes sides where a picture is mirrored.
    """
    count, side = len(images), images.shape[-1]

    def spread(low: float, high: float) -> Tensor:
        return torch.rand(count) * (high - low) + low

    angle, scale, stretch = spread(-0.26, 0.26), spread(-0.5, 0.15).exp(), spread(-0.1, 0.1).exp()
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    transform = torch.zeros(count, 3, 3)
    transform[:, 0, 0], transform[:, 0, 1] = angle.cos() * scale * stretch * mirror, -angle.sin() * scale
    transform[:, 1, 0], transform[:, 1, 1] = angle.sin() * scale * stretch * mirror, angle.cos() * scale
    points = 2 * joints / (side - 1) - 1  # (B, 18, 2)
    # Where the result's middle is taken from: anywhere between the picture's middle and the person's, and a little off.
    limit = (1.05 - scale).clamp_min(0.1)[:, None]  # less of the repeated border
    middle = (points.mean(1) * spread(0, 1)[:, None] + torch.randn(count, 2) * 0.15).clamp(-limit, limit)
    transform[:, :2, 2], transform[:, 2, 2] = middle, 1
    images = sample(images, affine_grid(transform, side, side), padding="border")
    points = torch.linalg.solve(transform[:, None, :2, :2], (points - middle[:, None])[..., None])[..., 0]
    points = (points + 1) / 2 * (side - 1)
    mirrored = (mirror < 0)[:, None]
    joints = torch.where(mirrored[..., None], points[:, MIRRORED], points)
    return images, joints, torch.where(mirrored, visibility[:, MIRRORED], visibility)


def elsewhere(images: Tensor, parts: Tensor, share: float) -> Tensor:
    """Put a share of the people before the background of the picture before, whose own person is taken away."""
    chosen = torch.randperm(len(images))[: round(len(images) * share)]
    person = F.max_pool2d((parts[chosen] > 0).float(), 3, 1, 1)
    inner = F.avg_pool2d(person, 3, 1, 1)  # (C, 1, H, W), softer at the outline
    behind = chosen - 1  # the picture before, and the last one for the first
    result = images.clone()
    result[chosen] = torch.lerp(filled(images[behind], parts[behind] > 0), images[chosen], inner)
    return result


def recoloured(images: Tensor, amount: float) -> Tensor:
    """Other light: brightness, contrast, tint and gamma of each picture; `amount` 0 leaves them."""
    count = len(images)

    def factors(channels: int, spread: float) -> Tensor:
        return (torch.randn(count, channels, 1, 1) * spread * amount).exp()

    mean = images.mean((1, 2, 3), keepdim=True)
    contrasted = (images - mean) * factors(1, 0.15) + mean * factors(1, 0.2)
    return (contrasted * factors(3, 0.08)).clamp(1e-4, 1) ** factors(1, 0.2)


def compressed(images: Tensor, step: Tensor) -> Tensor:
    """What coarse quantisation of cosine coefficients in blocks of 8 leaves of the images, as in JPEG and H.264.

    Args:
        step: ``(B,)``, of the lowest frequency; it grows with the frequency.
    """
    count, channels, height, width = images.shape
    n = torch.arange(8.0)
    transform = torch.cos(math.pi / 8 * (n + 0.5) * n[:, None]) / 2  # (8, 8), orthonormal, as JPEG has it
    transform[0] /= math.sqrt(2)
    blocks = images.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (B, 3, h, w, 8, 8)
    steps = step.view(-1, 1, 1, 1, 1, 1) * (1 + (n + n[:, None]) / 2)
    coefficients = ((transform @ blocks @ transform.T) / steps).round() * steps
    return (transform.T @ coefficients @ transform).transpose(3, 4).reshape(images.shape)


def degraded(images: Tensor, share: float) -> Tensor:
    """Softness, noise and compression, each for a share of the pictures."""
    side = images.shape[-1]
    images = images.clone()
    for part in torch.randperm(len(images))[: round(len(images) * share)].chunk(2):
        small = int(torch.randint(side * 5 // 16, side * 7 // 8, ()))
        mode = "bilinear" if torch.rand(()) < 0.5 else "bicubic"
        less = F.interpolate(images[part], (small, small), mode=mode, antialias=True)
        images[part] = F.interpolate(less, (side, side), mode=mode, align_corners=False)
    some = torch.randperm(len(images))[: round(len(images) * share / 2)]
    noise = torch.randn(len(some), 3, side, side)
    coarse = torch.randn(len(some), 3, side // 4, side // 4)  # blotches, as networks make them
    noise += F.interpolate(coarse, scale_factor=4.0, mode="bilinear")
    images[some] += noise * torch.rand(len(some), 1, 1, 1) * 0.04
    some = torch.randperm(len(images))[: round(len(images) * share / 2)]
    images[some] = compressed(images[some], torch.rand(len(some)) * 0.15 + 0.02)
    return images.clamp(0, 1)
