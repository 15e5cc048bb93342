"""The motion of the background between a source and driving images of another size and aspect."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .framing import Box, Size, place_in, to_network
from .networks.layered.camera_aligner import CameraAligner
from .networks.tpsmm.background_predictor import BackgroundPredictor
from .structures import LayeredSource


def background_between(
    predictor: BackgroundPredictor | CameraAligner,
    source: LayeredSource,
    images: Tensor,
    square: Size,
    silhouettes: Tensor | None = None,
    content: Box | None = None,
) -> Tensor:
    """The background transform ``(B, 3, 3)`` from images to a source, in the coordinates of the squares around both.

    Args:
        images: ``(B, 3, h, w)`` in [0, 1], of another size and aspect than the source's.
        square: the size at which both are compared.
        silhouettes: of the people in the images, ``(B, 1, h, w)``; None: nobody.
        content: of the source's image, what is no padding; None is all of it.
    """
    first, count = source.image, len(images)
    size, own = ((image.shape[-2], image.shape[-1]) for image in (images, first))
    around = place_in(size, (max(size), max(size)))
    pair = (
        to_network(first, place_in(own, square)).expand(count, -1, -1, -1),
        to_network(to_network(images, around), place_in(around.network_size, square)),
    )
    if not isinstance(predictor, CameraAligner):
        return predictor(*pair)
    top, left, height, width = content = content or (0, 0, *own)
    person = source.keypoints.silhouette
    if person is not None:
        person = person[..., top : top + height, left : left + width]
    people = _left_out(person, own, content, first), _left_out(silhouettes, around.network_size, around.content, images)
    return predictor(*pair, people[0].expand(count, -1, -1, -1), people[1])


def linked(links: Sequence[Tensor | None], background: Tensor | None) -> list[Tensor | None]:
    """Background transforms ``(B, 3, 3)`` from the driving poses to each source, over the first one; None: identity."""
    return [background if link is None or background is None else link @ background for link in links]


def _left_out(silhouette: Tensor | None, size: Size, content: Box, like: Tensor) -> Tensor:
    """What is not background in images of a size (h, w): people, and all that is not content, ``(B, 1, h, w)`` in [0, 1].

    Args:
        silhouette: of people in the content, ``(B, 1, height, width)``; None: nobody.
        content: where it lies in the image.
        like: images ``(B, 3, ...)``, for how many there are, and where.
    """
    top, left, height, width = content
    made = like.new_ones(len(like), 1, *size)
    made[..., top : top + height, left : left + width] = 0 if silhouette is None else silhouette
    return made
