"""The optimal interpolated image: scores, strategies, a steady choice over time, and what comes back of it."""

import numpy as np
import pytest
import torch
from subcases import each_case

from motion_core import (
    AnimationSettings,
    InputError,
    Keypoints,
    MotionInterpPipeline,
    OptimalInterpolationSelector,
    ViewFusion,
)
from motion_core.interpolation import candidate_times, interpolate_keypoints
from motion_core.selection import FrameSelection, SteadyChoice
from motion_core.structures import Candidates
from motion_core.transfer import displacement

SIZE = 128
SCORED = ("learned", "analytic", "images")
EIGHTHS = tuple(candidate_times(8).tolist())


@pytest.fixture(scope="module")
def pipe(variant_pipeline):
    return variant_pipeline("full")


def scores_of(pipe, case, strategy, poses=None, backgrounds=None):
    poses = case.poses if poses is None else poses
    with torch.no_grad():
        return pipe.method.scores(case.source, poses, backgrounds, strategy)


def painted(pipe, monkeypatch):
    """A list that grows with every image that the generator paints: their number."""
    monkeypatch.setattr(pipe, "backend", "eager")
    counts, paint = [], pipe.image_generator.paint
    monkeypatch.setattr(pipe.image_generator, "paint", lambda view: counts.append(len(view.image)) or paint(view))
    return counts


# Scores


def test_scores_do_not_depend_on_the_batch(pipe, hop_case):
    for strategy in SCORED:
        for background in [False, True]:
            transforms = hop_case.backgrounds if background else None

            times, scores = scores_of(pipe, hop_case, strategy, backgrounds=transforms)

            assert times.tolist() == [0, 0.25, 0.5, 0.75]
            assert scores.shape == (3, 4)
            assert scores.std(dim=1).min() > 1e-4
            for index in range(3):
                pose = Keypoints(hop_case.poses.points[index : index + 1])
                alone = scores_of(
                    pipe, hop_case, strategy, pose, transforms[index : index + 1] if background else None
                )[1]
                torch.testing.assert_close(scores[index], alone[0], atol=1e-4, rtol=0)


@each_case("strategy", SCORED)
def test_only_the_oracle_makes_the_candidates_images(pipe, hop_case, monkeypatch, strategy):
    counts = painted(pipe, monkeypatch)

    scores_of(pipe, hop_case, strategy)

    assert counts == ([3, 3, 3, 3] if strategy == "images" else [])


def test_the_oracles_score_is_identity_less_what_is_missed_less_what_is_left(pipe, hop_case):
    """Step by step, sampling with another function than the package's."""
    case, times = hop_case, torch.tensor([[0.0, 0.5, 0.75]] * 3)
    with torch.no_grad():
        scores = pipe.method.image_scores(case.source, case.poses, None, times)

        def look(image, keypoints):
            features = pipe.image_generator.encode(image).pyramid[-1]
            grid = keypoints.points.flatten(1, 2)[:, None]
            return torch.nn.functional.grid_sample(features, grid, align_corners=True)[:, :, 0]

        for column, t in enumerate(times[0]):
            keypoints = interpolate_keypoints(case.source.keypoints, case.poses, times[:, column])
            left = displacement(keypoints, case.poses)
            if t == 0:
                torch.testing.assert_close(scores[:, column], 1 - left)
                continue
            motion = pipe.dense_motion_network(case.source.small_image, case.source.keypoints, keypoints)
            image = pipe.image_generator(case.source.features, motion)
            here, there = look(image, keypoints), look(case.image, case.source.keypoints)
            lengths = (here.norm(dim=1) * there.norm(dim=1)).clamp_min(1e-8)  # 0 for a point outside
            identity = (here * there).sum(1) / lengths
            expected = identity.mean(1) - displacement(pipe.keypoint_detector(image), keypoints) - left
            torch.testing.assert_close(scores[:, column], expected, atol=1e-4, rtol=0)


def test_the_learned_scorer_starts_with_no_hop(pipe, hop_case):
    candidates = pipe.method.candidates(
        hop_case.source, hop_case.poses, hop_case.backgrounds, candidate_times(8).expand(3, -1)
    )

    scores = OptimalInterpolationSelector()(hop_case.source.small_image, candidates)

    assert scores.eq(scores[:, :1]).all()
    assert SteadyChoice(0.05)(candidate_times(8), scores.detach()) == [FrameSelection(0, 0, EIGHTHS, (0,) * 8)] * 3


def test_the_learned_scorer_sees_everything_that_it_is_given(pipe, hop_case):
    case = hop_case
    with torch.no_grad():
        given = pipe.method.candidates(case.source, case.poses, None, candidate_times(4).expand(3, -1))
    parts = {name: value.clone().requires_grad_() for name, value in vars(given).items()}
    small = case.source.small_image.clone().requires_grad_()

    scores = pipe.selector(small, Candidates(**parts))
    gradients = torch.autograd.grad(scores.sum(), [*parts.values(), small])

    assert all(gradient.abs().max() > 0 for gradient in gradients)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def made_up(visibility, remaining):
    """Candidates of one pose, of which the analytic score sees the visible share and the motion left."""
    count = len(remaining)
    maps = torch.tensor(visibility)[None, :, None, None].expand(1, count, 4, 4)
    grids = torch.zeros(1, count, 4, 4, 2)
    return Candidates(torch.arange(count)[None] / count, grids, maps, torch.tensor([remaining]), torch.tensor([0.4]))


def test_the_analytic_score_is_visible_share_less_motion_left():
    selector = OptimalInterpolationSelector(balance=2.0)

    scores = selector.analytic(made_up([0.9, 0.7], [0.4, 0.1]))

    torch.testing.assert_close(scores, torch.tensor([[0.9 - 2 * 0.4, 0.7 - 2 * 0.1]]))


def test_the_larger_the_balance_the_larger_the_analytic_choice(pipe, hop_case):
    """Motion left falls with t, so its price decides how far the hop goes; at no price it is what is visible."""
    made = [
        pipe.method.candidates(hop_case.source, hop_case.poses, None, candidate_times(8).expand(3, -1)),
        made_up([0.9, 0.86, 0.8, 0.6, 0.5], [0.4, 0.32, 0.24, 0.16, 0.08]),
    ]
    for candidates in made:
        chosen = [
            OptimalInterpolationSelector(balance=balance).analytic(candidates).argmax(dim=1)
            for balance in (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 5.0, 100.0)
        ]
        steps = torch.stack(chosen).diff(dim=0)
        assert steps.min() >= 0
        assert steps.sum() > 0
        assert chosen[0].equal(candidates.visibility.mean(dim=(2, 3)).argmax(dim=1))
        assert chosen[-1].eq(candidates.times.shape[1] - 1).all()


def test_without_motion_there_is_no_hop(pipe, picture):
    for path in ["linear", "rigid"]:
        for strategy in SCORED:
            frames = np.stack([picture] * 2)

            result = pipe(picture, frames, strategy=strategy, path=path, strength=0)

            if strategy == "learned":  # of random weights: here it says nothing, but that all poses are the same
                assert result.selections[0] == result.selections[1]
            else:
                assert [chosen.t for chosen in result.selections] == [0, 0]


def test_a_selector_out_of_range_is_refused():
    for wrong in [{"num_candidates": 0}, {"features": 0}, {"balance": -1.0}, {"fixed_time": 1.5}, {"fixed_time": -0.1}]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OptimalInterpolationSelector(**wrong)


def test_an_unknown_strategy_has_no_scores(pipe, hop_case):
    with pytest.raises(InputError, match="strategy 'fixed' has no scores"):
        scores_of(pipe, hop_case, "fixed")


# A steady choice


def by_the_rule(scores, margin):
    """The index of each frame's candidate, as the rule reads: lists of numbers, one frame after the other."""
    before, chosen = 0, []
    for frame in scores:
        best = max(frame)
        before = frame.index(best) if best > frame[before] + margin else before
        chosen.append(before)
    return chosen


def test_a_steady_choice_follows_its_rule():
    for margin in [0.0, 0.1, 0.5, 2.0]:
        for batch in [1, 3, 40]:
            times, scores = candidate_times(5), torch.randn(40, 5) + torch.randn(40, 5).cumsum(dim=0) / 3
            steady = SteadyChoice(margin)

            chosen = [each for part in scores.split(batch) for each in steady(times, part)]

            expected = by_the_rule(scores.tolist(), margin)
            for each, index, frame in zip(chosen, expected, scores.tolist(), strict=True):
                assert each == FrameSelection(times[index].item(), frame[index], tuple(times.tolist()), tuple(frame))
            alone = SteadyChoice(margin, one_video=False)(times, scores)
            assert alone == [SteadyChoice(margin)(times, frame[None])[0] for frame in scores]


def test_a_steady_choice_removes_flicker_and_follows_what_lasts():
    even, odd = [0.0, 1.0, 1.02], [0.0, 1.02, 1.0]
    scores = torch.tensor([even, odd] * 4 + [[0.0, 1.0, 1.4]] * 2)

    def choose(margin):
        return [round(3 * each.t) for each in SteadyChoice(margin)(candidate_times(3), scores)]

    assert choose(0) == [2, 1, 2, 1, 2, 1, 2, 1, 2, 2]
    assert choose(0.05) == [2] * 10
    assert choose(0.3) == [2] * 10
    assert choose(1.01) == [2] * 10  # the first is 1.02 better than no hop
    assert choose(1.03)[:8] == [0] * 8
    assert choose(1.03)[8:] == [2, 2]


def test_the_picture_itself_counts_as_the_frame_before_the_first():
    scores = torch.tensor([[0.0, 0.04]])

    assert [SteadyChoice(margin)(candidate_times(2), scores)[0].t for margin in (0.05, 0.03)] == [0, 0.5]


# In the pipeline


def test_the_output_says_what_was_chosen(pipe, picture, video):
    for strategy in SCORED:
        result = pipe(picture, video[1:4], strategy=strategy, mode="standard", hysteresis=0)

        assert len(result.selections) == 3
        for chosen in result.selections:
            assert chosen.candidates == (0, 0.25, 0.5, 0.75)
            best = max(range(4), key=lambda index: chosen.candidate_scores[index])
            assert (chosen.t, chosen.score) == (chosen.candidates[best], chosen.candidate_scores[best])


def test_learned_is_what_is_done_unless_something_else_is_asked_for(pipe, picture, video):
    default, learned = (pipe(picture, video[:2], **options) for options in ({}, {"strategy": "learned"}))

    assert default.selections == learned.selections
    np.testing.assert_array_equal(default.frames, learned.frames)


def test_a_time_that_is_not_chosen_by_scores_has_none(pipe, picture, video):
    for options, t in [({"strategy": "fixed"}, 0.5), ({"strategy": "none"}, 0), ({"t": 0.3}, 0.3)]:
        result = pipe(picture, video[:2], **options)

        for chosen in result.selections:
            assert chosen.t == pytest.approx(t)
            assert (chosen.score, chosen.candidates, chosen.candidate_scores) == (None, (), ())


def test_what_is_chosen_is_what_is_animated(pipe, picture, video):
    chosen = pipe(picture, video, strategy="analytic", hysteresis=0)

    assert len({one.t for one in chosen.selections}) > 1
    for index, one in enumerate(chosen.selections):
        given = pipe(picture, video, t=one.t)
        assert np.abs(given.frames[index].astype(int) - chosen.frames[index]).max() <= 1


def test_the_choice_does_not_depend_on_the_batch_size(pipe, picture, video):
    for strategy in SCORED:
        one, two = (
            pipe(picture, video[1:4], strategy=strategy, mode="standard", hysteresis=0.001, batch_size=size)
            for size in (1, 2)
        )

        assert [chosen.t for chosen in one.selections] == [chosen.t for chosen in two.selections]
        for ours, theirs in zip(one.selections, two.selections, strict=True):
            assert ours.candidate_scores == pytest.approx(theirs.candidate_scores, abs=1e-4)
        assert np.abs(one.frames.astype(int) - two.frames).max() <= 1


@each_case("variant", ["full", "v2"])
def test_skipped_frames_do_not_change_the_choice_of_the_others(variant_pipeline, picture, video, variant):
    """The choice depends on the frames before, also where these are not made again."""
    pipe = variant_pipeline(variant)
    settings = AnimationSettings(strategy="analytic", mode="standard", hysteresis=0.002, batch_size=2, diagnose=True)

    whole, rest = (list(pipe.stream(picture, video, settings, skip_frames=skip)) for skip in (0, 3))

    assert len(rest) == 2
    for ours, theirs in zip(rest, whole[3:], strict=True):
        assert ours.selection == theirs.selection
        assert ours.diagnosis == theirs.diagnosis
        np.testing.assert_array_equal(ours.image, theirs.image)


@each_case("variant", ["tpsmm", "full", "v2"])
def test_a_given_time_works_with_every_model(variant_pipeline, picture, video, variant):
    pipe = variant_pipeline(variant)
    tpsmm = variant_pipeline("tpsmm")

    hopped = pipe(picture, video[:2], t=0.5, mode="standard").frames
    straight = pipe(picture, video[:2], t=0, mode="standard").frames

    np.testing.assert_array_equal(straight, tpsmm(picture, video[:2], mode="standard").frames)
    assert not np.array_equal(hopped, straight)
    if variant == "full":
        np.testing.assert_array_equal(hopped, tpsmm(picture, video[:2], t=0.5, mode="standard").frames)


def test_the_path_of_the_keypoints_can_be_chosen(pipe, picture, video):
    linear, rigid = (pipe(picture, video[:2], t=0.5, mode="standard", path=path) for path in ("linear", "rigid"))

    assert not np.array_equal(linear.frames, rigid.frames)


def test_in_bfloat16_keypoints_grids_and_scores_stay_fp32(golden_networks, variant_pipeline, picture, video):
    full = variant_pipeline("v2", composed_view=True)
    parts = {
        name: None if part is None else type(part).from_config(part.config) for name, part in full.components.items()
    }
    fast = MotionInterpPipeline(**parts, image_size=SIZE, variant="v2")
    for name, part in fast.components.items():
        part.load_state_dict(full.components[name].state_dict())
        part.eval()
    fast.set_progress_bar_config(disable=True)
    fast.to(torch.bfloat16, silence_dtype_warnings=True)
    options = {"mode": "standard", "background": "predicted", "diagnose": True}

    assert fast.selector.dtype == torch.float32
    assert fast.image_generator.dtype == fast.view_fusion.dtype == torch.bfloat16
    reference, result = (each(picture, video[:2], t=0.5, **options) for each in (full, fast))
    np.testing.assert_array_equal(result.keypoints, reference.keypoints)
    error = np.mean((result.frames.astype(float) - reference.frames) ** 2)
    assert -10 * np.log10(error / 255**2) > 30
    with torch.inference_mode():
        source = fast.method.encode(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
        pose = Keypoints(source.keypoints.points + 0.1)
        generated = fast.method.generate([source], pose, [None], torch.tensor([0.5]))
        candidates = fast.method.candidates(source, pose, None, candidate_times(4)[None])
    for hop in generated.hops:
        assert hop.deformation.dtype == torch.float32
        assert {mask.dtype for mask in hop.occlusion_masks} == {torch.float32}
    assert generated.image.dtype == generated.optimal.small_image.dtype == torch.float32
    assert {value.dtype for value in vars(candidates).values()} == {torch.float32}
    slow, quick = (each(picture, video[:2], **options).selections for each in (full, fast))
    for ours, theirs in zip(quick, slow, strict=True):
        assert ours.candidate_scores == pytest.approx(theirs.candidate_scores, abs=0.05)


# What is refused


def test_a_strategy_needs_a_selector(variant_pipeline, picture, video):
    pipe = variant_pipeline("tpsmm")
    for strategy in ("learned", "analytic", "fixed", "images"):
        with pytest.raises(
            InputError, match=f"strategy '{strategy}' needs a model with a selector; this one is of variant 'tpsmm'"
        ):
            pipe("no picture", "no video", strategy=strategy)
    assert len(pipe(picture, video[:2], strategy="none").frames) == 2


@each_case(
    ("variant", "changes", "message"),
    [
        ("tpsmm", {"variant": "int"}, "variant 'int' must have a selector"),
        ("full", {"variant": "v2"}, "variant 'v2' must have a view_fusion"),
        ("full", {"variant": "tpsmm"}, "variant 'tpsmm' must have no selector"),
        ("v2", {"variant": "int_bt"}, "variant 'int_bt' must have no view_fusion"),
        ("full", {"variant": "int-bt"}, "variant must be one of tpsmm, int, int_bt, full, v2, got 'int-bt'"),
        ("full", {"variant": "full", "selector": ViewFusion()}, "selector must be a OptimalInterpolationSelector, got View"),
        ("full", {"variant": "full", "selector": OptimalInterpolationSelector(image_channels=1)},
         "selector must have the keypoint detector's image_channels 3, got 1"),
    ],
)  # fmt: skip
def test_networks_that_are_not_the_variants_are_refused(variant_pipeline, variant, changes, message):
    with pytest.raises(InputError, match=message):
        MotionInterpPipeline(**variant_pipeline(variant).components | changes, image_size=SIZE)
