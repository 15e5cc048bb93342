"""The losses: values by hand, one number per sample, and gradients where they belong and nowhere else."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from motion_core.geometry import identity_grid
from motion_core.structures import DenseMotion, SourceFeatures
from train import losses

B = 3


def random_tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, requires_grad=True)


def pyramid() -> list[Tensor]:
    return [random_tensor(B, 4, 8, 8), random_tensor(B, 6, 4, 4)]


def motion_with(*masks: Tensor) -> DenseMotion:
    deformation = (identity_grid(4, 4, torch.zeros(1)) + 0.2 * torch.randn(B, 4, 4, 2)).requires_grad_()
    return DenseMotion(deformation, torch.ones(B, 1, 4, 4), masks)


def gradients(loss: Tensor, *inputs: Tensor) -> list[bool]:
    """Whether each input has a gradient that is not all 0."""
    found = torch.autograd.grad(loss.sum(), inputs, allow_unused=True)
    return [gradient is not None and bool(gradient.any()) for gradient in found]


def test_the_examples_run():
    assert doctest.testmod(losses).failed == 0
    without = {test.name.split(".")[-1] for test in doctest.DocTestFinder().find(losses) if not test.examples}
    assert {name for name in without if not name.startswith("_")} <= {"losses"}, "every loss has an example"


def inputs_of_every_loss() -> dict[str, list[Tensor]]:
    """Tensors whose first dimension is the sample, by the name of the loss."""
    return {
        "equivariance_loss": [random_tensor(B, 5, 2), random_tensor(B, 5, 2)],
        "background_loss": [random_tensor(B, 3, 3), random_tensor(B, 3, 3)],
        "appearance_loss": [random_tensor(B, 7) for _ in range(3)],
        "structure_loss": [random_tensor(B, 5, 7), random_tensor(B, 5, 7)],
        "structure_consistency_loss": [random_tensor(B, 5, 7), random_tensor(B, 5, 7)],
        "ranking_loss": [random_tensor(B, 2), torch.rand(B, 2)],
        "avd_loss": [random_tensor(B, 2, 5, 2), random_tensor(B, 2, 5, 2)],
    }


def test_a_batch_gives_what_its_samples_give_alone():
    """So that processes can be averaged."""
    for name, inputs in inputs_of_every_loss().items():
        function = getattr(losses, name)
        alone = [function(*(value[i : i + 1] for value in inputs)) for i in range(B)]
        together = function(*inputs)
        assert together.shape == (B,)
        torch.testing.assert_close(together, torch.cat(alone))
        assert together.std() > 0


def test_pyramids_are_compared_level_by_level_and_sample_by_sample():
    """The target of the perceptual loss has no gradient; feature consistency has one into both."""
    a, b = pyramid(), pyramid()
    for function, learning in (
        (losses.perceptual_loss, [True] * 2 + [False] * 2),
        (losses.feature_consistency_loss, [True] * 4),
    ):
        loss = function(a, b)
        for i in range(B):
            by_hand = sum(
                np.abs(x[i].detach().numpy() - y[i].detach().numpy()).mean() for x, y in zip(a, b, strict=True)
            )
            assert loss[i].item() == pytest.approx(by_hand, rel=1e-6)
        assert gradients(loss, *a, *b) == learning
        with pytest.raises(ValueError, match="shorter"):
            function(a, b[:1])


def test_half_precision_features_are_averaged_in_fp32():
    """A sum of many numbers in bf16 stops growing."""
    a, b = torch.zeros(1, 64, 64, 64, dtype=torch.bfloat16), torch.ones(1, 64, 64, 64, dtype=torch.bfloat16)
    loss = losses.perceptual_loss([a], [b])
    assert loss.dtype == torch.float32
    assert loss.item() == 1


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(3, 2\) and \(1, 2\)"):
        losses.avd_loss(torch.zeros(3, 2), torch.zeros(1, 2))


def test_only_the_deformation_learns_from_the_warp_loss():
    source, driving = pyramid(), pyramid()
    motion = motion_with(torch.rand(B, 1, 4, 4, requires_grad=True), torch.rand(B, 1, 8, 8, requires_grad=True))
    image = torch.zeros(B, 3, 8, 8)
    loss = losses.warp_loss(SourceFeatures(image, tuple(source)), SourceFeatures(image, tuple(driving)), motion)
    assert loss.shape == (B,)
    learning = gradients(loss, motion.deformation, *motion.occlusion_masks, *source, *driving)
    assert learning == [True] + [False] * 6


def test_each_level_of_the_warp_loss_has_its_own_mask():
    """With the identity as deformation, sum over levels of mean |m (e(D) - e(S))|; masks come from the coarsest."""
    fine, coarse = torch.ones(1, 2, 8, 8), torch.ones(1, 2, 4, 4)
    image = torch.zeros(1, 3, 8, 8)
    still = identity_grid(4, 4, image)[None]
    source = SourceFeatures(image, (0 * fine, 0 * coarse))
    driving = SourceFeatures(image, (1 * fine, 10 * coarse))

    def loss(*masks: Tensor) -> float:
        return losses.warp_loss(source, driving, DenseMotion(still, coarse[:, :1], masks)).item()

    coarse_mask, fine_mask = torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 8, 8), 0.25)
    assert loss(coarse_mask, fine_mask) == pytest.approx(0.5 * 10 + 0.25 * 1)
    assert loss(coarse_mask) == pytest.approx(0.5 * 10 + 0.5 * 1), "a single mask serves all levels"


def test_the_background_forward_and_backward():
    forward, backward = random_tensor(1, 3, 3), random_tensor(1, 3, 3)
    by_hand = np.abs(np.eye(3) - forward[0].detach().numpy() @ backward[0].detach().numpy()).mean()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = losses.background_loss(forward, backward)
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert gradients(loss, forward, backward) == [True, True]
    assert losses.background_loss(forward, torch.linalg.inv(forward)).item() < 1e-5


def test_appearance():
    optimal, identity, other = (random_tensor(2, 7) for _ in range(3))
    loss = losses.appearance_loss(optimal, identity, other)
    for i in range(2):
        o, s, t = (token[i].detach().numpy() for token in (optimal, identity, other))
        assert loss[i].item() == pytest.approx(((o - s) ** 2).mean() + ((o - t) ** 2).mean(), rel=1e-5)
    assert gradients(loss, optimal, identity, other) == [True, False, True]


def self_similarity_by_hand(keys: np.ndarray) -> np.ndarray:
    tokens = len(keys)
    similarity = np.empty((tokens, tokens))
    for i in range(tokens):
        for j in range(tokens):
            similarity[i, j] = keys[i] @ keys[j] / np.sqrt((keys[i] @ keys[i]) * (keys[j] @ keys[j]))
    return similarity


def test_structure_by_hand():
    one, other = random_tensor(2, 5, 8), random_tensor(2, 5, 8)
    for function in (losses.structure_loss, losses.structure_consistency_loss):
        loss = function(one, other)
        for i in range(2):
            a, b = (self_similarity_by_hand(keys[i].detach().double().numpy()) for keys in (one, other))
            assert loss[i].item() == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)
        assert gradients(loss, one, other) == [True, function is losses.structure_consistency_loss]


def test_structure_does_not_depend_on_the_number_of_tokens_or_the_length_of_keys():
    keys = [torch.randn(2, 5, 8) for _ in range(2)]
    loss = losses.structure_loss(*keys)
    torch.testing.assert_close(losses.structure_loss(*(key.repeat(1, 3, 1) for key in keys)), loss)
    torch.testing.assert_close(losses.structure_loss(*(7 * key for key in keys)), loss)


def test_self_similarity_is_in_fp32_inside_autocast():
    keys = torch.randn(1, 5, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = losses.self_similarity(keys)
    torch.testing.assert_close(inside, losses.self_similarity(keys), rtol=0, atol=0)


def test_ranking_is_the_logistic_loss_of_the_better_candidate():
    scores, errors = random_tensor(8, 2), torch.rand(8, 2)
    first_is_better = (errors[:, 0] < errors[:, 1]).float()
    expected = F.binary_cross_entropy_with_logits(scores[:, 0] - scores[:, 1], first_is_better, reduction="none")
    torch.testing.assert_close(losses.ranking_loss(scores, errors), expected)
    torch.testing.assert_close(losses.ranking_loss(scores.flip(1), errors.flip(1)), expected)


def test_ranking_prefers_the_better_candidate_and_leaves_the_errors_alone():
    scores, errors = random_tensor(1, 2), torch.tensor([[0.1, 0.2]], requires_grad=True)
    loss = losses.ranking_loss(scores, errors)
    (gradient,) = torch.autograd.grad(loss.sum(), scores, retain_graph=True)
    assert gradient[0, 0] < 0 < gradient[0, 1]
    assert gradients(loss, errors) == [False]


def test_ranking_says_nothing_where_the_better_candidate_is_not_known():
    scores = random_tensor(4, 2)
    loss = losses.ranking_loss(scores, torch.tensor([(0.5, 0.5), (np.nan, 0.5), (0.5, np.inf), (np.inf, np.inf)]))
    assert loss.eq(0).all()
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert gradient.eq(0).all()


def test_all_pairs_of_candidates_are_ranked_by_how_far_their_errors_are_apart():
    errors = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    scores = torch.tensor([[0.0, 1.0], [0.0, -2.0]], requires_grad=True)
    loss = losses.weighted_ranking_loss(scores, errors)
    expected = (0.5 * F.softplus(torch.tensor(1.0)) + 1.5 * F.softplus(torch.tensor(-2.0))) / 2
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(losses.weighted_ranking_loss(scores, 10 * errors), loss)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient[:, 0].lt(0).all()  # the first is better in both, so its score rises
    assert gradient[:, 1].gt(0).all()
    assert losses.weighted_ranking_loss(torch.randn(3, 4), torch.ones(3, 4)) == 0


def test_avd_and_equivariance_are_means_over_all_coordinates():
    a, b = random_tensor(2, 3, 5, 2), random_tensor(2, 3, 5, 2)
    by_hand = np.abs((a - b).detach().numpy()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.avd_loss(a, b).detach().numpy(), by_hand, rtol=1e-6)
    np.testing.assert_allclose(losses.equivariance_loss(a, b).detach().numpy(), by_hand, rtol=1e-6)
    assert gradients(losses.avd_loss(a, b), a, b) == [True, False]
    assert gradients(losses.equivariance_loss(a, b), a, b) == [True, True]
