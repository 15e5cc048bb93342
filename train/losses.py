"""The losses as pure functions: tensors in, one number per sample out, ``(B,)``, without weights.

Every |.| is a mean over all that a sample has, and a sum runs over scales, layers or terms. A mean over the samples of a
joint batch therefore equals the average of the means of its equal parts, on however many processes they are. "Without
gradient" below means that the function detaches that side itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.geometry import geometry_precision, resize_aligned, warp
from motion_core.structures import DenseMotion, SourceFeatures


def per_sample_mean(values: Tensor) -> Tensor:
    """Mean over all but the first dimension, ``(B, ...)`` to ``(B,)``, in fp32 or more.

    >>> per_sample_mean(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
    tensor([2., 5.])
    """
    dimensions = tuple(range(1, values.ndim))
    return values.mean(dimensions, dtype=torch.promote_types(values.dtype, torch.float32))


def absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean of |a - b| per sample, ``(B, ...)`` and the same to ``(B,)``.

    >>> absolute_difference(torch.tensor([[0.0, 0.5]]), torch.tensor([[1.0, 0.5]]))
    tensor([0.5000])
    """
    if a.shape != b.shape:  # broadcasting would compare a sample with another
        raise ValueError(f"what is compared must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return per_sample_mean((a - b).abs())


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(tuple(terms)).sum(0)


def perceptual_loss(prediction: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Sum over scales and layers of |f(prediction) - f(target)|, the target without gradient.

    Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016; scales and
    layers as in the thin-plate spline motion model, CVPR 2022.

    Args:
        prediction, target: feature maps ``(B, C, h, w)`` in one order, as `train.features.PerceptualFeatures` gives them.

    >>> black, white = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    >>> perceptual_loss([black, black], [white, 2 * white])
    tensor([3., 3.])
    """
    return _sum(absolute_difference(p, t.detach()) for p, t in zip(prediction, target, strict=True))


def equivariance_loss(points: Tensor, points_back: Tensor) -> Tensor:
    """|kp(D) - R(kp(D o R))|: keypoints must move with the picture. Siarohin et al., "First order motion model", NeurIPS 2019.

    Args:
        points: kp(D) of the driving frame, ``(B, P, 2)`` in [-1, 1].
        points_back: R of the keypoints of the frame that was sampled at R, ``(B, P, 2)``.

    >>> equivariance_loss(torch.zeros(1, 3, 2), torch.full((1, 3, 2), 0.25))
    tensor([0.2500])
    """
    return absolute_difference(points, points_back)


def warp_loss(source: SourceFeatures, driving: SourceFeatures, motion: DenseMotion) -> Tensor:
    """Sum over the generator encoder's levels of |m e(D) - m W(e(S))|, with the mask m that the generator uses there.

    Masks and features are without gradient, so that only the deformation learns.

    Args:
        source, driving: of the images S and D, ``(B, C, h, w)`` per level.
        motion: from S to D, with a mask per level or a single one for all.

    >>> from motion_core.geometry import identity_grid
    >>> image, level = torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4)
    >>> still = identity_grid(4, 4, image)[None]
    >>> half = DenseMotion(still, torch.ones(1, 1, 4, 4), (torch.full((1, 1, 4, 4), 0.5),))
    >>> warp_loss(SourceFeatures(image, (level,)), SourceFeatures(image, (level + 1,)), half)
    tensor([0.5000])
    """
    levels = len(driving.pyramid)
    given = motion.occlusion_masks
    masks = reversed(given if len(given) == levels else given * levels)  # from the finest, as the pyramids are

    def difference(e_source: Tensor, e_driving: Tensor, mask: Tensor) -> Tensor:
        m = resize_aligned(mask.detach(), *e_driving.shape[-2:])  # (B, 1, h, w), 0 or more
        apart = (e_driving.detach() - warp(e_source.detach(), motion.deformation)).abs()
        return per_sample_mean(m * apart.mean(dim=1, keepdim=True))

    return _sum(difference(*level) for level in zip(source.pyramid, driving.pyramid, masks, strict=True))


def background_loss(forward: Tensor, backward: Tensor) -> Tensor:
    """|I - A(S,D) A(D,S)| over all nine entries: forward and backward together are the identity.

    Args:
        forward, backward: background transforms A(S,D) and A(D,S), ``(B, 3, 3)``.

    >>> background_loss(2 * torch.eye(3)[None], 0.5 * torch.eye(3)[None])
    tensor([0.])
    """
    with geometry_precision(forward):
        product = forward @ backward
    return absolute_difference(torch.eye(3, dtype=product.dtype, device=product.device).expand_as(product), product)


def feature_consistency_loss(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Sum over levels of |e(a) - e(b)| of the encoder features of the two optimal images; gradient into both.

    The two show one pose, reached from either side, so they should be one picture.

    Args:
        a, b: feature maps ``(B, C, h, w)`` in one order, such as `SourceFeatures.pyramid`.

    >>> feature_consistency_loss([torch.zeros(1, 2, 2, 2)], [torch.ones(1, 2, 2, 2)])
    tensor([1.])
    """
    return _sum(absolute_difference(x, y) for x, y in zip(a, b, strict=True))


def appearance_loss(token_optimal: Tensor, token_identity: Tensor, token_other: Tensor) -> Tensor:
    """|c(I_opt) - c(I_identity)|^2 + |c(I_opt) - c(I_other)|^2, c the class token, each a mean over its D entries.

    Tumanyan et al., "Splicing ViT features for semantic appearance transfer", CVPR 2022: the class token holds appearance
    and not place. (There it is the last block's output, here after the final layer norm, so that its size is known.)

    Args:
        token_optimal: of the optimal image, ``(B, D)``.
        token_identity: of the image whose identity that one carries, ``(B, D)``, without gradient.
        token_other: of the other direction's optimal image, ``(B, D)``, with gradient.

    >>> one = torch.ones(1, 4)
    >>> appearance_loss(one, 3 * one, 2 * one)
    tensor([5.])
    """
    to_identity = per_sample_mean((token_optimal - token_identity.detach()).square())
    return to_identity + per_sample_mean((token_optimal - token_other).square())


def self_similarity(keys: Tensor) -> Tensor:
    """S_ij = cos(k_i, k_j) of keys ``(B, T, D)``, ``(B, T, T)`` in [-1, 1], in fp32 whatever surrounds it.

    >>> self_similarity(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]))
    tensor([[[1., 0.],
             [0., 1.]]])
    """
    with torch.autocast(keys.device.type, enabled=False):
        directions = F.normalize(keys.to(torch.promote_types(keys.dtype, torch.float32)), dim=-1)
        return directions @ directions.transpose(1, 2)


def structure_loss(keys_final: Tensor, keys_target: Tensor) -> Tensor:
    """|S(I_final) - S(I_target)|^2, S the self-similarity of keys, a mean over T x T.

    Tumanyan et al., CVPR 2022 (see `appearance_loss`), whose squared Frobenius norm is here divided by T^2, so that it
    does not grow with the image.

    Args:
        keys_final: keys of all tokens of the final image, ``(B, T, D)``.
        keys_target: of the image that it should be, ``(B, T, D)``, without gradient.

    >>> structure_loss(torch.ones(1, 2, 2), torch.eye(2)[None])
    tensor([0.5000])
    """
    return structure_consistency_loss(keys_final, keys_target.detach())


def structure_consistency_loss(keys: Tensor, keys_other: Tensor) -> Tensor:
    """|S(I_opt) - S(I_other)|^2 of the two directions' optimal images, as `structure_loss` but with gradient into both.

    >>> structure_consistency_loss(torch.ones(1, 2, 2), torch.eye(2)[None])
    tensor([0.5000])
    """
    return per_sample_mean((self_similarity(keys) - self_similarity(keys_other)).square())


def ranking_loss(scores: Tensor, errors: Tensor) -> Tensor:
    """log(1 + exp(score of the worse - score of the better)) of two candidates; 0 where neither is known to be better.

    Burges et al., "Learning to rank using gradient descent", ICML 2005.

    Args:
        scores: of the two candidates, ``(B, 2)``, higher is preferred.
        errors: their final errors, ``(B, 2)``, without gradient. Where they are equal or one is not finite, the loss and
            its gradient are 0.

    >>> ranking_loss(torch.tensor([[0.0, 0.0], [1.0, -1.0], [5.0, 1.0]]), torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 3.0]]))
    tensor([0.6931, 0.1269, 0.0000])
    """
    errors = errors.detach()
    known = errors.isfinite().all(dim=1) & (errors[:, 0] != errors[:, 1])
    first_is_worse = errors[:, 0] > errors[:, 1]
    margin = torch.where(first_is_worse, scores[:, 0] - scores[:, 1], scores[:, 1] - scores[:, 0])
    return torch.where(known, F.softplus(margin.float()), 0.0)


def weighted_ranking_loss(scores: Tensor, errors: Tensor) -> Tensor:
    """The ranking loss of all pairs of M candidates, each weighted by how far their errors are apart, 0-d.

    A pair that hardly matters hardly counts: most samples hardly move, and all times serve them alike. The weights are divided by
    their mean over the batch, so a scale of the errors changes nothing.

    Burges et al., "Learning to rank using gradient descent", ICML 2005, but for the weights.

    Args:
        scores: ``(B, M)``, higher is preferred.
        errors: ``(B, M)``, without gradient.

    >>> weighted_ranking_loss(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))
    tensor(0.6931)
    """
    errors = errors.detach().float()
    first, second = torch.triu_indices(errors.shape[1], errors.shape[1], offset=1, device=errors.device)
    apart = errors[:, first] - errors[:, second]  # (B, M (M - 1) / 2), above 0 where the second is better
    margin = (scores[:, first] - scores[:, second]).float() * apart.sign()  # above 0 where the worse is preferred
    weights = apart.abs() / apart.abs().mean().clamp_min(1e-12)
    return (weights * F.softplus(margin)).mean()


def avd_loss(decoded: Tensor, driving: Tensor) -> Tensor:
    """|AVD(scaled driving, source) - driving|, points ``(B, ..., 2)``; the driving points without gradient.

    >>> avd_loss(torch.zeros(1, 2, 5, 2), torch.ones(1, 2, 5, 2))
    tensor([1.])
    """
    return absolute_difference(decoded, driving.detach())
