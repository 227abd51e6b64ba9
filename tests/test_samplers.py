"""Goal samplers: what each proposes, and that Skew-Fit turns a heavy mode into near-uniform goals and explores by itself."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from envs.corridor import NOISE, OUTER, START_SIDE, cell_counts, nearest_valid
from envs.errors import UserError
from goal_samplers.api import GoalContext, Goals, GoalSampler
from goal_samplers.commanded import Commanded
from goal_samplers.densities.kde import KDE
from goal_samplers.densities.representation import RepresentationDensity
from goal_samplers.densities.vae_state import StateVAE
from goal_samplers.prior import Prior
from goal_samplers.resample import RowPool, clip_largest, effective_sample_size, normalise, resample
from goal_samplers.skewfit import SkewFit
from goal_samplers.uniform import Uniform
from representations.identity import Identity
from representations.pca import PCA
from representations.vae import VAE
from representations.vqvae import VQVAE

IMAGE_SPACE = spaces.Dict({"image": spaces.Box(0, 255, (16, 16, 3), np.uint8), "achieved_goal": spaces.Box(-1.0, 1.0, (2,))})
log_weights = arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e4, 1e4))


class Memory:
    """A growing experience of one-step episodes over given columns."""

    def __init__(self, **columns: np.ndarray) -> None:
        self.columns = columns

    @property
    def size(self):
        return len(next(iter(self.columns.values())))

    def add(self, **columns):
        self.columns = {key: np.concatenate([old, columns[key]]) for key, old in self.columns.items()}

    def sample_rows(self, n, generator):
        return generator.integers(self.size, size=n)

    def read(self, key, rows):
        return self.columns[key][rows]

    def episodes(self):
        first = np.arange(0, self.size, 2)
        return first, np.minimum(1, self.size - first - 1)


def state_context(points, seed=0):
    points = np.asarray(points, np.float32)
    space = spaces.Dict({"achieved_goal": spaces.Box(-np.inf, np.inf, points.shape[1:])})
    memory = Memory(achieved_goal=points, latent=points)
    return GoalContext(memory, Identity(space, seed=0, device="cpu"), np.random.default_rng(seed))


def image_context(make=VAE, count=60, identical=False, **arguments):
    images = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    images = np.repeat(images[:1], count, axis=0) if identical else images
    representation = make(IMAGE_SPACE, seed=0, device="cpu", **arguments)
    latents = representation.encode({"image": images})
    memory = Memory(image=images, latent=latents, achieved_goal=np.zeros((count, 2), np.float32))
    return GoalContext(memory, representation, np.random.default_rng(0))


def fit(sampler, context):
    if hasattr(sampler, "fit"):
        return sampler.fit(context, RowPool(context.experience, sampler, context.generator))
    return {}


def achieved(context, goals):
    return goals.achieved if isinstance(goals, Goals) else context.experience.read("achieved_goal", goals)


def entropy(counts):
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


# resampling


@given(log_weights, st.floats(-1e3, 1e3))
def test_weights_are_probabilities_whatever_their_offset(weights, offset):
    shares = normalise(weights)
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0).all()
    np.testing.assert_allclose(normalise(weights + offset), shares, atol=1e-9)


@given(log_weights)
def test_effective_sample_size_lies_between_one_and_all(weights):
    assert 1 - 1e-9 <= effective_sample_size(weights) <= len(weights) * (1 + 1e-9)
    assert effective_sample_size(np.full(len(weights), weights[0])) == pytest.approx(len(weights))


@given(log_weights, st.integers(1, 200), st.integers(0, 2**31))
def test_each_row_is_drawn_its_share_of_times_to_within_one(weights, n, seed):
    rows = np.arange(len(weights)) + 1000
    drawn = resample(rows, weights, n, np.random.default_rng(seed))
    counts = np.bincount(drawn - 1000, minlength=len(rows))
    assert counts.sum() == n
    assert (np.abs(counts - n * normalise(weights)) < 1 + 1e-6).all()


@given(log_weights, st.floats(0, 0.9))
def test_clipping_lowers_the_largest_weights_only_and_bounds_the_effective_sample_size(weights, share):
    clipped = clip_largest(weights, share)
    cut = int(len(weights) * share)
    assert (clipped <= weights).all()
    assert (clipped != weights).sum() <= cut
    assert effective_sample_size(clipped) >= cut


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_a_diverged_density_is_named(bad):
    with pytest.raises(FloatingPointError, match="log weights"):
        normalise(np.array(bad))


def test_a_row_without_probability_is_never_drawn():
    drawn = resample(np.arange(3), np.array([0.0, -np.inf, 0.0]), 100, np.random.default_rng(0))
    assert set(drawn) == {0, 2}


# every sampler


def every_sampler():
    return [
        Uniform(),
        SkewFit(KDE()),
        SkewFit(KDE(), goals="density"),
        SkewFit(StateVAE(steps=20)),
        SkewFit(StateVAE(steps=20), goals="density", alpha=-0.5),
        SkewFit(RepresentationDensity(), candidates=50),
        Prior(),
    ]


@pytest.mark.parametrize("index", range(len(every_sampler())))
@pytest.mark.parametrize("arguments", [{}, {"count": 2}, {"identical": True}, {"latent_dim": 1}, {"count": 1}])
def test_every_sampler_proposes_from_any_experience(index, arguments):
    sampler, context = every_sampler()[index], image_context(**arguments)
    assert isinstance(sampler, GoalSampler)
    for _ in range(2):  # before and after a fit
        goals = sampler.sample(context, 5)
        if isinstance(goals, Goals):
            assert goals.params.shape == (5, context.representation.latent_dim)
            assert goals.params.dtype == np.float32
            assert np.isfinite(goals.params).all()
            assert (goals.rows == -1).all()
            assert goals.images.shape == (5, 16, 16, 3)
            assert np.isnan(goals.achieved).all()
        else:
            assert goals.shape == (5,)
            assert ((goals >= 0) & (goals < context.experience.size)).all()
        metrics = fit(sampler, context)
        assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize("index", range(len(every_sampler())))
def test_no_experience_is_a_clear_error(index):
    empty = image_context()
    empty.experience = Memory(image=np.zeros((0, 16, 16, 3), np.uint8), latent=np.zeros((0, 8)), achieved_goal=np.zeros((0, 2)))
    with pytest.raises(UserError, match="at least 1 stored frame"):
        every_sampler()[index].sample(empty, 3)


def test_uniform_draws_every_row_alike():
    context = state_context(np.arange(10.0)[:, None])
    counts = np.bincount(Uniform().sample(context, 10_000), minlength=10)
    assert (np.abs(counts - 1000) < 150).all()


def test_commanded_passes_the_tasks_goals_on_and_says_when_there_are_none():
    context = state_context(np.zeros((4, 2)))
    with pytest.raises(UserError, match="not offered"):
        Commanded().sample(context, 3)
    offered = Goals(np.ones((3, 2), np.float32), np.full(3, -1))
    context.commanded = lambda n, generator: offered
    assert Commanded().sample(context, 3) is offered
    assert Commanded.needs_commanded


def test_prior_goals_keep_the_picture_they_decode_to():
    context = image_context()
    goals = Prior().sample(context, 4)
    np.testing.assert_array_equal(goals.images, context.representation.decode(goals.params))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: Prior().check(state_context(np.zeros((1, 2))).representation), "Prior .* Identity"),
        (lambda: SkewFit(RepresentationDensity()).check(PCA(IMAGE_SPACE)), "RepresentationDensity .* PCA"),
        (lambda: SkewFit(KDE("achieved_goal"), goals="density").check(PCA(IMAGE_SPACE)), "'achieved_goal'.* PCA encodes image"),
        (lambda: SkewFit(RepresentationDensity(), goals="density"), "has no sample"),
        (lambda: SkewFit(KDE(), goals="row"), "did you mean 'rows'"),
        (lambda: SkewFit(KDE(), alpha=0.5), "alpha = 0.5"),
        (lambda: SkewFit("kde"), "density = str"),
        (lambda: SkewFit(KDE(), candidates=0), "candidates = 0"),
        (lambda: SkewFit(KDE()).load_state_dict({"fitted": 1}), "density"),
    ],
)
def test_parts_that_do_not_fit_name_both_sides(check, words):
    with pytest.raises(UserError, match=words):
        check()


# Skew-Fit


def heavy_mode(dims, seed=0):
    """Nine tenths of the points in one small place, the rest over the unit cube."""
    generator = np.random.default_rng(seed)
    points = generator.random((6000, dims))
    points[:5400] = 0.45 + 0.1 * points[:5400]
    return generator.permutation(points)


@pytest.mark.parametrize("dims", [1, 2])
def test_the_entropy_of_goals_rises_with_minus_alpha_to_near_uniform(dims):
    bins = [np.linspace(0, 1, 11)] * dims
    found = []
    for alpha in (0.0, -0.5, -1.0):
        context = state_context(heavy_mode(dims))
        sampler = SkewFit(KDE("achieved_goal", bandwidth=0.1), alpha=alpha)
        fit(sampler, context)
        goals = achieved(context, sampler.sample(context, 4000))
        found.append(entropy(np.histogramdd(goals, bins)[0]))
    assert found[0] + 0.2 < found[1] < found[2] - 0.1
    assert found[2] > 0.9 * dims * np.log(10)


def test_alpha_zero_is_uniform_over_the_data():
    context = state_context(heavy_mode(2))
    sampler = SkewFit(KDE("achieved_goal"), alpha=0.0)
    metrics = fit(sampler, context)
    assert metrics["effective_share"] == pytest.approx(1.0)
    inside = (np.abs(achieved(context, sampler.sample(context, 4000)) - 0.5) < 0.05).all(axis=1).mean()
    assert inside == pytest.approx(0.9, abs=0.03)


def test_collapsed_weights_are_reported_and_clipping_mends_them():
    points = np.concatenate([np.random.default_rng(0).normal(size=(4000, 1)) * 1e-3, [[1.0]]])
    shares = []
    for clip in (0.0, 0.02):
        context = state_context(points)
        sampler = SkewFit(StateVAE("achieved_goal", decoder_sigma=0.02, units="key", steps=100), clip=clip, candidates=20_000)
        metrics = fit(sampler, context)
        shares.append((metrics["effective_share"], metrics["weights_collapsed"]))
    assert shares[0][0] < 0.01
    assert shares[0][1] == 1.0
    assert shares[1][0] >= 0.02 - 1e-9
    assert shares[1][1] == 0.0


def test_the_weights_drive_training_draws_and_are_computed_once():
    context = state_context(heavy_mode(1))
    sampler = SkewFit(KDE("achieved_goal", bandwidth=0.1))
    fit(sampler, context)
    asked = []
    original = sampler.log_weights
    sampler.log_weights = lambda *arguments: asked.append(1) or original(*arguments)
    pool = RowPool(context.experience, sampler, context.generator)
    drawn = np.concatenate([pool(500) for _ in range(4)])
    assert len(asked) == 1
    in_mode = (np.abs(context.experience.read("achieved_goal", drawn) - 0.5) < 0.05).mean()
    assert in_mode < 0.3
    plain = RowPool(context.experience, Uniform(), context.generator)(2000)
    assert (np.abs(context.experience.read("achieved_goal", plain) - 0.5) < 0.05).mean() > 0.85


@pytest.mark.parametrize("goals", ["rows", "density"])
@pytest.mark.parametrize("make", [lambda: KDE("achieved_goal"), lambda: StateVAE("achieved_goal", steps=20)])
def test_a_restored_sampler_proposes_as_the_original(goals, make):
    context = state_context(heavy_mode(2))
    sampler, twin = SkewFit(make(), goals=goals), SkewFit(make(), goals=goals)
    fit(sampler, context)
    twin.load_state_dict(sampler.state_dict())
    for seed in range(2):
        one, other = state_context(heavy_mode(2), seed), state_context(heavy_mode(2), seed)
        np.testing.assert_array_equal(achieved(one, sampler.sample(one, 50)), achieved(other, twin.sample(other, 50)))
        assert fit(sampler, one) == fit(twin, other)


def practise_corridor(alpha, epochs=25, episodes=600, seed=0):
    """Skew-Fit's idealised process: start in a corner, then reach the valid point nearest to each goal, up to noise."""
    generator = np.random.default_rng(seed)
    context = state_context(np.zeros((0, 2)), seed)
    density = StateVAE("achieved_goal", decoder_sigma=0.3, units="key", steps=100)
    sampler = SkewFit(density, alpha=alpha, goals="density")
    for epoch in range(epochs):
        start = START_SIDE * generator.random((episodes, 2)) - OUTER
        goals = sampler.sample(context, episodes).params if epoch else start
        reached = nearest_valid(nearest_valid(goals) + NOISE * generator.standard_normal((episodes, 2)))
        frames = np.stack([start, reached], axis=1).reshape(-1, 2).astype(np.float32)
        context.experience.add(achieved_goal=frames, latent=frames)
        fit(sampler, context)
    counts = cell_counts(nearest_valid(sampler.sample(context, 20_000).params))
    return (counts > 0).sum() / 1664, entropy(counts)


def test_skew_fit_explores_the_corridor_and_a_model_of_the_data_stays_in_its_corner():
    covered, skewed = practise_corridor(-1.0)
    stayed, plain = practise_corridor(0.0, epochs=12)
    assert covered > 0.25
    assert skewed > 4.5
    assert stayed < 0.1
    assert plain < 4.0


def test_a_sampler_of_the_prior_refuses_one_that_was_switched_off():
    space = spaces.Dict({"image": spaces.Box(0, 255, (16, 16, 3), np.uint8)})
    Prior().check(VQVAE(space, codes=8, hidden=4, prior_width=4))
    with pytest.raises(UserError, match="samples the representation's prior, and VQVAE has none"):
        Prior().check(VQVAE(space, codes=8, hidden=4, prior_steps=0))
