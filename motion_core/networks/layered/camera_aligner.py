"""Two pictures of one scene to the affine motion of its background, found by laying one over the other; nothing is learned.

The people are left out. The best shifts by normalised correlation (Padfield, "Masked object registration in the Fourier
domain", 2012) are starts; from each, all of the transform is refined with the gradients of both pictures (Malis, "Improving
vision-based control using efficient second-order minimization techniques", 2004) at three sizes, so that places which do not
fit, as shadows and what is nearer than the rest, hardly count.

Coordinates inside of this file are those of *edges*: -1 and 1 are the outer edges of the first and the last pixel, which makes
them the same at all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusers_base import register_to_config
from ...errors import InputError
from ...geometry import geometry_precision, sample
from ..base import CoordinateModel, public_component

LEVELS = 3  # sizes, each half the next
ITERATIONS = (7, 6, 5)  # at each, from the smallest
SCALES = (0.06, 0.04, 0.03)  # distance of two colours at which a place counts a quarter
STARTS = 6  # best shifts, beside no shift at all
SHIFTING = 3  # iterations that only shift, at the smallest size
NOISE = 0.02  # of a colour, as if of `INDEPENDENT` of the pixels: neighbours are wrong together
INDEPENDENT = 0.02 * 128 * 128
LIKELY = (0.08, 0.08, 1.0)  # how far the entries of a row may well be from those of the identity
PERSON = 0.2  # silhouette from which a place may show the person
AROUND = 2  # pixels around the person that are left out, at the largest size
SHARED = 0.15  # of the background must be in both pictures
SAME = 0.1  # of the background must be known in the source both before and after the transform, to compare
BETTER = 0.9  # the cost after over that before must be below this
LEAST = 0.003  # that the cost must fall by: edges of people and shadows change it as much where a camera stands still
PRICE = 0.05  # that it must fall by besides, for the mean square of how far places are moved, in coordinate units
STRETCH = 3.0  # of an area: no camera does more


@dataclass(frozen=True)
class _Pair:
    """Two pictures of one size ``(B, C, h, w)``, and where they show the background ``(B, 1, h, w)``, 0 or 1."""

    source: Tensor
    source_known: Tensor
    driving: Tensor
    driving_known: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return (self.driving.shape[-2], self.driving.shape[-1])

    def repeated(self, times: int) -> _Pair:
        """Each sample so many times, one after another."""
        tensors = (self.source, self.source_known, self.driving, self.driving_known)
        return _Pair(*(each.repeat_interleave(times, dim=0) for each in tensors))


@public_component
class CameraAligner(CoordinateModel):
    """Finds the background transform, which takes *driving coordinates to source coordinates*.

    The identity where nothing can be told: too little texture, too little that both pictures show, or no better fit.

    Args:
        image_channels: of each of the two images.
        side: pixels of the longer side at which they are compared last.

    Raises:
        ValueError: `side` below 32.
    """

    @register_to_config
    def __init__(self, image_channels: int = 3, side: int = 128) -> None:
        super().__init__()
        if side < 32:
            raise ValueError(f"side must be 32 pixels or more, got {side}")
        self.side = side
        self.likely: Tensor
        self.register_buffer("likely", torch.tensor(LIKELY))

    @torch.no_grad()
    def forward(
        self,
        source_image: Tensor,
        driving_image: Tensor,
        source_silhouette: Tensor | None = None,
        driving_silhouette: Tensor | None = None,
    ) -> Tensor:
        """The transform ``(B, 3, 3)``, fp32, corner-aligned; the last row is (0, 0, 1).

        Args:
            source_image, driving_image: ``(B, C, H, W)`` in [0, 1].
            source_silhouette, driving_silhouette: of the people in them, ``(B, 1, h, w)`` in [0, 1] of any size; None: nobody.

        Raises:
            InputError: the pictures are not of one shape.
        """
        if source_image.shape != driving_image.shape:
            shapes = (tuple(source_image.shape), tuple(driving_image.shape))
            raise InputError(f"source_image and driving_image must be of one shape, got {shapes[0]} and {shapes[1]}")
        with geometry_precision(source_image):
            # 1. Both at all sizes, without people
            size = _largest(source_image, self.side)
            source, driving = (
                _pyramid(image.float(), silhouette, size)
                for image, silhouette in ((source_image, source_silhouette), (driving_image, driving_silhouette))
            )
            pairs = [_Pair(*one, *other) for one, other in zip(source, driving, strict=True)]

            # 2. Roughly, from several starts, then finer and finer
            transform = self._best_start(pairs[0])
            for pair, iterations, scale in zip(pairs[1:], ITERATIONS[1:], SCALES[1:], strict=True):
                transform = self._refined(pair, transform, iterations, scale)

            # 3. Only if it fits better than none
            transform = _accepted(pairs[-1], transform)  # (B, 3, 3)
            height, width = source_image.shape[-2:]
            edges = transform.new_tensor(((width - 1) / width, (height - 1) / height, 1.0))
            return transform * edges / edges[:, None]

    def _best_start(self, pair: _Pair) -> Tensor:
        """The best of several starts, each refined, ``(B, 3, 3)``."""
        starts = _shifts(pair)  # (B, S, 3, 3)
        count = starts.shape[1]
        many = pair.repeated(count)
        refined = self._refined(many, starts.flatten(0, 1), SHIFTING, 2 * SCALES[0], shifts=True)
        refined = self._refined(many, refined, ITERATIONS[0], SCALES[0])
        costs, both = _costs(many, refined, SCALES[0])
        share = _mean(both, many.driving_known)
        cost = _mean(costs, both) + PRICE * _movement(refined) + 0.1 * (1 - share) + 10.0 * (share < SHARED)
        best = cost.view(-1, count).argmin(dim=1)
        return refined.view(-1, count, 3, 3)[torch.arange(len(best), device=best.device), best]

    def _refined(self, pair: _Pair, transform: Tensor, iterations: int, scale: float, shifts: bool = False) -> Tensor:
        """Transforms ``(B, 3, 3)`` after so many steps of Gauss and Newton; `shifts`: only their last column changes."""
        places = _homogeneous(pair.size, transform)  # (h * w, 3)
        moments = (places[:, :, None] * places[:, None]).flatten(1)  # (h * w, 9)
        slopes = _slopes(pair.driving)
        inner = _eroded(pair.driving_known)
        certainty = INDEPENDENT / len(places) / NOISE**2
        stiffness = self.likely.repeat(2) ** -2.0  # (6,)
        eye = torch.eye(3, device=transform.device)
        for _ in range(iterations):
            # 1. What the source shows there, how it differs, and which places count
            moved, known = _moved(pair, transform)
            difference = moved - pair.driving  # (B, C, h, w)
            distance = difference.square().sum(dim=1, keepdim=True)
            weight = _eroded(known) * inner * (scale**2 / (scale**2 + distance)) ** 2
            x, y = ((own + other) / 2 for own, other in zip(_slopes(moved), slopes, strict=True))

            # 2. The normal equations of a small affine transform before this one
            products = torch.stack([(weight * a * b).sum(dim=1) for a, b in ((x, x), (x, y), (y, y))], dim=1)
            xx, xy, yy = (products.flatten(2) @ moments).unflatten(2, (3, 3)).unbind(dim=1)  # (B, 3, 3) each
            left = torch.cat((torch.cat((xx, xy), dim=2), torch.cat((xy, yy), dim=2)), dim=1)  # (B, 6, 6)
            right = torch.stack([(weight * a * difference).sum(dim=1) for a in (x, y)], dim=1).flatten(2) @ places
            away = (transform - eye)[:, :2].flatten(1)  # (B, 6)
            left = certainty * left + stiffness.diag()
            right = -certainty * right.flatten(1) - stiffness * away

            # 3. The step
            free = [2, 5] if shifts else list(range(6))
            step = torch.zeros_like(right)
            step[:, free] = torch.linalg.solve(left[:, free][:, :, free], right[:, free])
            transform = transform @ (eye + F.pad(step.unflatten(1, (2, 3)), (0, 0, 0, 1)))
        return transform


def _largest(image: Tensor, side: int) -> tuple[int, int]:
    """(h, w) of the largest size, in multiples of those pixels that become one at the smallest."""
    unit = 2 ** (LEVELS - 1)
    height, width = image.shape[-2:]
    longer = max(height, width)
    return max(unit, round(height * side / longer / unit) * unit), max(unit, round(width * side / longer / unit) * unit)


def _pyramid(image: Tensor, silhouette: Tensor | None, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """A picture and where it shows the background, from the smallest to the largest size; people do not bleed into it."""
    image = _resized(image, size)
    known = torch.ones_like(image[:, :1])
    if silhouette is not None:
        window = 2 * AROUND + 1
        person = F.max_pool2d(_resized(silhouette.float(), size), window, stride=1, padding=AROUND)
        known = (person < PERSON).float()
    levels = [(image, known)]
    for _ in range(LEVELS - 1):
        share = F.avg_pool2d(known, 2)
        image = F.avg_pool2d(image * known, 2) / share.clamp_min(0.25)
        known = (share >= 0.5).float()
        levels.append((image, known))
    return levels[::-1]


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size, mode="bilinear", antialias=True) if image.shape[-2:] != size else image


def _shifts(pair: _Pair) -> Tensor:
    """No shift and those that correlate best, as transforms ``(B, 1 + STARTS, 3, 3)``."""
    height, width = pair.size
    source, driving = (
        (each - 0.5) * known for each, known in ((pair.source, pair.source_known), (pair.driving, pair.driving_known))
    )
    score = _correlation(source, pair.source_known, driving, pair.driving_known)  # (B, 2 h, 2 w)
    around = F.max_pool2d(F.pad(score[:, None], (2, 2, 2, 2), mode="circular"), 5, stride=1)[:, 0]
    peaks = torch.where(score >= around, score, -1.0).flatten(1).topk(STARTS, dim=1).indices  # (B, S)
    y, x = peaks // (2 * width), peaks % (2 * width)
    y, x = torch.where(y >= height, y - 2 * height, y), torch.where(x >= width, x - 2 * width, x)
    transforms = torch.eye(3, device=score.device).repeat(len(peaks), 1 + STARTS, 1, 1)
    transforms[:, 1:, 0, 2] = x * 2 / width
    transforms[:, 1:, 1, 2] = y * 2 / height
    return transforms


def _correlation(source: Tensor, source_known: Tensor, driving: Tensor, driving_known: Tensor) -> Tensor:
    """Normalised correlation ``(B, 2 h, 2 w)`` in [-1, 1] of pictures, 0 where unknown, at all whole shifts of the source.

    Entry (y, x) is that of a shift by y and x pixels, negative ones counted from the end; -1 where too little is in both.
    """
    channels, size = source.shape[1], (2 * source.shape[2], 2 * source.shape[3])

    def spectrum(image: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = torch.cat((image, image.square().sum(dim=1, keepdim=True), known), dim=1)
        colour, square, where = torch.fft.rfft2(parts, s=size).split((channels, 1, 1), dim=1)
        return colour, square, where

    a, a_squares, a_known = spectrum(source, source_known)
    b, b_squares, b_known = (each.conj() for each in spectrum(driving, driving_known))
    products = ((a * b).sum(dim=1, keepdim=True), a_known * b_known, a_squares * b_known, a_known * b_squares)
    sums = torch.fft.irfft2(torch.cat((*products, a * b_known, a_known * b), dim=1), s=size)
    together, count, a_power, b_power = sums[:, :4].unbind(dim=1)  # (B, 2 h, 2 w) each
    a_sum, b_sum = sums[:, 4:].split(channels, dim=1)
    enough = count >= SHARED * driving_known.sum(dim=(2, 3)).clamp_min(1)[..., None]
    count = count.clamp_min(1)
    covariance = together - (a_sum * b_sum).sum(dim=1) / count
    variances = [power - total.square().sum(dim=1) / count for power, total in ((a_power, a_sum), (b_power, b_sum))]
    least = 1e-4 * count  # what is plain correlates with nothing
    score = covariance / (variances[0].maximum(least) * variances[1].maximum(least)).sqrt()
    return torch.where(enough, score, -1.0)


def _accepted(pair: _Pair, transform: Tensor) -> Tensor:
    """Transforms ``(B, 3, 3)``, the identity instead of those that do not fit better where both can be judged."""
    eye = torch.eye(3, device=transform.device).expand_as(transform)
    after, both = _costs(pair, transform, SCALES[-1])
    before, both_before = _costs(pair, eye, SCALES[-1])
    judged = both * both_before
    cost, cost_before = _mean(after, judged), _mean(before, judged)
    better = (cost < BETTER * cost_before) & (cost + LEAST + PRICE * _movement(transform) < cost_before)
    enough = (_mean(both, pair.driving_known) >= SHARED) & (_mean(judged, pair.driving_known) >= SAME)
    area = torch.linalg.det(transform)
    sane = (area > 1 / STRETCH) & (area < STRETCH)  # false for NaN, too
    return torch.where((better & enough & sane)[:, None, None], transform, eye)


def _movement(transform: Tensor) -> Tensor:
    """The mean square of how far transforms ``(B, 3, 3)`` move places all over a picture, ``(B,)``."""
    away = (transform - torch.eye(3, device=transform.device))[:, :2].square()
    return (away[..., :2].sum(dim=-1) / 3 + away[..., 2]).sum(dim=-1)


def _costs(pair: _Pair, transform: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The cost of each place in [0, 1], and whether both pictures show the background there, ``(B, 1, h, w)`` each."""
    moved, known = _moved(pair, transform)
    distance = (moved - pair.driving).square().sum(dim=1, keepdim=True)
    return distance / (scale**2 + distance), known * pair.driving_known


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Of values ``(B, 1, h, w)`` where the other is 1, ``(B,)``; 0 if it is nowhere."""
    return (values * where).sum(dim=(1, 2, 3)) / where.sum(dim=(1, 2, 3)).clamp_min(1)


def _moved(pair: _Pair, transform: Tensor) -> tuple[Tensor, Tensor]:
    """The source as the transforms move it, ``(B, C, h, w)``, and where that is known, ``(B, 1, h, w)``."""
    height, width = pair.size
    places = (_homogeneous(pair.size, transform) @ transform[:, :2].mT).unflatten(1, (height, width))  # (B, h, w, 2)
    corners = places.new_tensor((width / (width - 1), height / (height - 1)))  # of edges to corner-aligned coordinates
    sampled = sample(torch.cat((pair.source, pair.source_known), dim=1), places * corners, padding="border")
    inside = (places.abs() <= 1).all(dim=-1)[:, None]
    return sampled[:, :-1], ((sampled[:, -1:] > 0.5) & inside).float()


def _homogeneous(size: tuple[int, int], like: Tensor) -> Tensor:
    """(x, y, 1) of all pixels' centres, row by row, ``(h * w, 3)``."""
    y, x = ((torch.arange(side, device=like.device) + 0.5) * 2 / side - 1 for side in size)
    return torch.stack((x.repeat(size[0]), y.repeat_interleave(size[1]), torch.ones(size[0] * size[1]).to(x)), dim=1)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives of ``(B, C, h, w)`` by x and y, of the same shape."""
    height, width = image.shape[-2:]
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * (width / 4)
    y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * (height / 4)
    return x, y


def _eroded(known: Tensor) -> Tensor:
    """Where all neighbours are known as well."""
    return -F.max_pool2d(-known, 3, stride=1, padding=1)
