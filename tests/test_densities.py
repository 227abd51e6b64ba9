"""Densities: right about what is common and what is rare, and never degenerate."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gymnasium import spaces
from sklearn.neighbors import KernelDensity

from envs.errors import UserError
from goal_samplers.api import GoalContext
from goal_samplers.densities.kde import KDE
from goal_samplers.densities.representation import RepresentationDensity
from goal_samplers.densities.vae_state import StateVAE
from representations.identity import Identity
from representations.vae import VAE


class Memory:
    """An experience of given columns, in episodes of `steps` steps."""

    def __init__(self, steps: int = 9, **columns: np.ndarray) -> None:
        self._columns, self._steps = columns, steps
        self.size = len(next(iter(columns.values()))) if columns else 0

    def sample_rows(self, n, generator):
        return generator.integers(self.size, size=n)

    def read(self, key, rows):
        return self._columns[key][rows]

    def episodes(self):
        first = np.arange(0, self.size, self._steps + 1)
        return first, np.minimum(self._steps, self.size - first - 1)


def context_of(points, seed=0):
    points = np.asarray(points, np.float32)
    memory = Memory(achieved_goal=points, latent=points)
    identity = Identity(spaces.Dict({"achieved_goal": spaces.Box(-np.inf, np.inf, points.shape[1:])}), seed=0, device="cpu")
    return GoalContext(memory, identity, np.random.default_rng(seed))


def uniform_draw(context):
    return lambda n: context.experience.sample_rows(n, context.generator)


def fitted(density, points, seed=0, fits=1):
    context = context_of(points, seed)
    for _ in range(fits):
        density.fit(context, uniform_draw(context))
    return density, context


@pytest.mark.parametrize("scaling", ["each", "whole"])
def test_kde_agrees_with_scikit_learn_on_its_own_points_with_each_scored_row_added(scaling):
    points = np.random.default_rng(1).normal(size=(300, 3)) * [1.0, 5.0, 0.1]
    density, context = fitted(KDE(bandwidth=0.4, scaling=scaling), points)
    queries = np.arange(40)
    ours = density.log_prob(context.experience, queries, context.generator)
    centres, scale = density._points, density._scale
    for query, log in zip(scale.apply(points[queries]), ours):
        reference = KernelDensity(bandwidth=0.4).fit(np.concatenate([centres, query[None]]))
        assert log == pytest.approx(reference.score_samples(query[None])[0] - scale.log_volume, abs=2e-3)


def test_scaled_as_a_whole_a_column_that_hardly_varies_hardly_counts():
    points = np.random.default_rng(4).normal(size=(2000, 2)) * [1.0, 0.01]
    points[0], points[1] = [0.0, 0.05], [4.0, 0.0]  # five deviations out along the small column, four along the large one
    for scaling, rare in (("each", [True, True]), ("whole", [False, True])):
        density, context = fitted(KDE(scaling=scaling), points)
        logs = density.log_prob(context.experience, np.arange(2000), context.generator)
        assert (logs[:2] < np.quantile(logs, 0.02)).tolist() == rare


@pytest.mark.parametrize("make", [KDE, lambda: StateVAE(steps=1500)])
def test_log_density_of_a_gaussian_follows_the_truth(make):
    points = np.random.default_rng(2).normal(size=(5000, 2)) * [3.0, 0.2]
    density, context = fitted(make(), points)
    rows = np.flatnonzero((np.abs(points / [3.0, 0.2]) < 1.5).all(axis=1))
    truth = -0.5 * np.square(points[rows] / [3.0, 0.2]).sum(axis=1) - np.log(2 * np.pi * 0.6)
    estimate = density.log_prob(context.experience, rows, context.generator)
    assert np.abs(estimate - truth).mean() < 0.25


@pytest.mark.parametrize("make", [KDE, lambda: StateVAE(steps=1000)])
def test_samples_resemble_the_data(make):
    points = np.random.default_rng(3).normal(size=(4000, 2)) * [2.0, 0.5] + [10.0, -3.0]
    density, context = fitted(make(), points)
    samples = density.sample(4000, context.generator)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples.mean(axis=0), [10.0, -3.0], atol=0.3)
    np.testing.assert_allclose(samples.std(axis=0), [2.0, 0.5], rtol=0.2)


@pytest.mark.parametrize("make", [KDE, lambda: KDE(scaling="whole"), lambda: KDE(bandwidth=0.1), lambda: StateVAE(steps=20)])
@pytest.mark.parametrize("points", [np.zeros((50, 2)), np.arange(10.0)[:, None], np.ones((1, 1)), np.random.default_rng(0).random((30, 1))])
def test_degenerate_data_gives_finite_densities_and_samples(make, points):
    density, context = fitted(make(), points)
    assert np.isfinite(density.log_prob(context.experience, np.arange(len(points)), context.generator)).all()
    assert np.isfinite(density.sample(5, context.generator)).all()


def test_one_outlier_far_from_every_kernel_keeps_a_bounded_weight():
    points = np.concatenate([np.random.default_rng(0).normal(size=(5000, 2)), [[1e3, 1e3]]])
    context = context_of(points)
    density = KDE(max_points=500)
    density.fit(context, lambda n: np.arange(n))  # the outlier is no kernel
    logs = density.log_prob(context.experience, np.arange(5001), context.generator)
    assert logs[-1] == logs.min()
    assert np.ptp(logs) <= np.log(501)


def test_scoring_four_thousand_candidates_takes_less_than_a_fifth_of_a_second():
    density, context = fitted(KDE(), np.random.default_rng(0).normal(size=(20_000, 8)))
    rows = context.experience.sample_rows(4096, context.generator)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        density.log_prob(context.experience, rows, context.generator)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2


@pytest.mark.parametrize("make", [KDE, lambda: StateVAE(steps=30)])
def test_a_restored_density_scores_samples_and_refits_as_the_original(make):
    points = np.random.default_rng(4).normal(size=(400, 2))
    density, _ = fitted(make(), points, fits=2)
    twin = make()
    twin.load_state_dict(density.state_dict())
    for step in range(2):
        one, other = context_of(points, seed=step), context_of(points, seed=step)
        rows = np.arange(100)
        np.testing.assert_array_equal(
            density.log_prob(one.experience, rows, one.generator), twin.log_prob(other.experience, rows, other.generator)
        )
        np.testing.assert_array_equal(density.sample(9, one.generator), twin.sample(9, other.generator))
        density.fit(one, uniform_draw(one))
        twin.fit(other, uniform_draw(other))


def test_an_unfitted_density_restores_as_unfitted():
    for density in (KDE(), StateVAE()):
        density.load_state_dict(density.state_dict())
        with pytest.raises(UserError, match="fit"):
            density.sample(1, np.random.default_rng(0))


def test_altered_state_is_refused_in_one_line():
    density, _ = fitted(StateVAE(steps=5), np.random.default_rng(0).normal(size=(50, 2)))
    state = density.state_dict()
    del state["networks"]["decoder.0.weight"]
    with pytest.raises(UserError, match=r"decoder\.0\.weight"):
        StateVAE().load_state_dict(state)
    with pytest.raises(UserError, match="points"):
        KDE().load_state_dict({"mean": np.zeros(1), "deviation": np.ones(1)})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: KDE(bandwidth="scot"), "did you mean 'scott'"),
        (lambda: KDE(bandwidth=0.0), "above 0"),
        (lambda: KDE(max_points=0), "at least 1"),
        (lambda: KDE(scaling="hole"), "did you mean 'whole'"),
        (lambda: StateVAE(decoder_sigma=-1), "decoder_sigma = -1"),
        (lambda: StateVAE(steps=0), "steps = 0"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_states_densities_refuse_pictures():
    memory = Memory(image=np.zeros((20, 16, 16, 3), np.uint8))
    context = GoalContext(memory, context_of(np.zeros((1, 1))).representation, np.random.default_rng(0))
    with pytest.raises(UserError, match="pictures"):
        KDE(key="image").fit(context, uniform_draw(context))


def test_the_representations_own_density_is_its_log_prob_and_its_lack_names_both_sides():
    space = spaces.Dict({"image": spaces.Box(0, 255, (16, 16, 3), np.uint8)})
    images = np.random.default_rng(0).integers(0, 255, (30, 16, 16, 3), dtype=np.uint8)
    vae = VAE(space, seed=0, device="cpu")
    context = GoalContext(Memory(image=images), vae, np.random.default_rng(0))
    density = RepresentationDensity()
    with pytest.raises(UserError, match="fit or check"):
        density.log_prob(context.experience, np.arange(3), context.generator)
    density.fit(context, uniform_draw(context))
    rows = np.arange(30)
    ours = density.log_prob(context.experience, rows, np.random.default_rng(5))
    np.testing.assert_array_equal(ours, vae.log_prob({"image": images}, np.random.default_rng(5)))
    with pytest.raises(UserError, match=r"RepresentationDensity .* Identity"):
        density.check(context_of(np.zeros((1, 1))).representation)
