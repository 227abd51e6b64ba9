"""Goals that are Gaussians: what a set is told as, the density as reward, hindsight that keeps the precision, what it is good for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agent_cases import BOX, tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import ACTIONS, HORIZON, Doubling, episodes, space
from scipy.stats import multivariate_normal

from envs.errors import UserError
from gcrl.agents.sac import SAC
from gcrl.goal_density import GoalDensity
from gcrl.relabel import GoalBatch, Relabel
from gcrl.replay import Replay
from goal_samplers.api import Goals
from goal_samplers.gaussian_goals import GaussianGoals
from goal_samplers.goal_space import LatentGoals

# What a set is told as.


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_point_asks_for_one_place_alike_in_all_directions(covariance: str) -> None:
    goals = GaussianGoals(3, covariance, min_std=0.5)
    latents = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    assert goals.dim == (9 if covariance == "full" else 6)
    means, precisions = goals.mean_and_precision(goals.points(latents))
    assert np.array_equal(means, latents)
    assert np.allclose(precisions, 4 * np.eye(3))


def test_a_set_says_what_matters_and_in_what_relation() -> None:
    generator = np.random.default_rng(0)
    free = generator.normal(0, 2, (4000, 1))
    examples = np.concatenate([free, free + 5 + generator.normal(0, 0.01, (4000, 1)), generator.normal(3, 0.5, (4000, 1))], axis=1)
    goals = GaussianGoals(3, min_std=0.1)
    means, precisions = goals.mean_and_precision(goals.of_set(examples)[None])
    assert np.allclose(means, [[0, 5, 3]], atol=0.15)

    def cost(latent: list[float]) -> float:
        return float((np.array(latent) - means[0]) @ precisions[0] @ (np.array(latent) - means[0]))

    assert cost([2, 7, 3]) < 2  # along with each other they may go where they like
    assert cost([0, 6, 3]) > 10 * cost([2, 7, 3])  # but not apart
    assert cost([0, 5, 4]) == pytest.approx(4, rel=0.2)  # two of its own deviations
    apart = GaussianGoals(3, "diagonal")
    told = apart.mean_and_precision(apart.of_set(examples)[None])[1][0]
    assert np.count_nonzero(told - np.diag(np.diag(told))) == 0


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 30), st.integers(1, 5), st.integers(0, 10_000), st.floats(0.01, 10), st.floats(1, 1e4))
def test_every_set_keeps_within_the_bounds(m: int, d: int, seed: int, min_std: float, condition: float) -> None:
    generator = np.random.default_rng(seed)
    examples = generator.normal(0, 1, (m, d)) @ (generator.normal(0, 1, (d, d)) * 10.0 ** generator.integers(-3, 2, d))
    goals = GaussianGoals(d, min_std=min_std, condition=condition)
    told = goals.of_set(examples)
    assert np.abs(told[d:]).max() <= 1 + 1e-5
    found = np.linalg.eigvalsh(goals.mean_and_precision(told[None])[1][0].astype(np.float64)) * min_std**2
    assert found.min() > -1e-4 * found.max()
    assert found.max() <= 1 + 1e-4


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(UserError, match="a set of 1 example says nothing about what may vary"):
        GaussianGoals(2).of_set(np.zeros((1, 2)))
    with pytest.raises(UserError, match=r"unknown goal_space\.covariance 'ful' \(did you mean 'full'"):
        GaussianGoals(2, "ful")
    with pytest.raises(UserError, match="covariance=full with 6912 latent dimensions; expected at most 64"):
        GaussianGoals(6912)
    for name, value in (("min_std", 0.0), ("condition", 0.5)):
        with pytest.raises(UserError, match=f"goal_space.{name}={value}"):
            GaussianGoals(2, **{name: value})


# The reward.


def batch(params: np.ndarray) -> GoalBatch:
    return GoalBatch(params.astype(np.float32), np.full(len(params), -1))


def test_the_reward_is_the_log_density_up_to_a_constant_of_the_goal() -> None:
    generator = np.random.default_rng(1)
    mixing = generator.normal(0, 1, (3, 3))
    examples = generator.normal(0, 1, (500, 3)) @ mixing
    goals = GaussianGoals(3, min_std=0.01)
    told = np.repeat(goals.of_set(examples)[None], 50, axis=0)
    reward = GoalDensity(env=None, representation=None, goal_space=goals)  # type: ignore[arg-type]
    latents = generator.normal(0, 1, (50, 3)).astype(np.float32)
    values, ended = reward({"latent": latents}, batch(told))
    exact = multivariate_normal(examples.mean(0), np.cov(examples.T, bias=True)).logpdf(latents)
    assert np.allclose(values - values[0], exact - exact[0], rtol=1e-2, atol=1e-2)
    assert not ended.any()


def test_for_a_point_the_distance_form_is_the_latent_distance() -> None:
    goals = GaussianGoals(2, min_std=0.3)
    reward = GoalDensity(env=None, representation=None, goal_space=goals, form="distance", scale=2.0)  # type: ignore[arg-type]
    wanted, latents = np.array([[0, 0], [1, 1]], np.float32), np.array([[3, 4], [1, 1]], np.float32)
    assert np.allclose(reward({"latent": latents}, batch(goals.points(wanted)))[0], [-2.5, 0.0])


def test_the_reward_refuses_goals_that_are_places_and_other_forms() -> None:
    parts: dict[str, Any] = {"env": None, "representation": None}
    with pytest.raises(UserError, match="goals are LatentGoals; expected goal_space=gaussian"):
        GoalDensity(**parts, goal_space=LatentGoals(2))
    with pytest.raises(UserError, match=r"unknown reward\.form 'distanse' \(did you mean 'distance'"):
        GoalDensity(**parts, goal_space=GaussianGoals(2), form="distanse")
    with pytest.raises(UserError, match=r"reward\.scale=0"):
        GoalDensity(**parts, goal_space=GaussianGoals(2), scale=0)


# Hindsight.


def filled(goalless: bool = False) -> Replay:
    """Return a replay of two episodes, the goal of the first one a set."""
    space_of_goals = GaussianGoals(3)
    store = Replay(space(False), ACTIONS, horizon=HORIZON, capacity=60, goal_space=space_of_goals, image_goal=False)
    some = episodes(0, [12, 12], False)
    examples = np.random.default_rng(0).normal(0, [5, 5, 0.1], (50, 3))
    told = space_of_goals.of_set(examples)
    some.goals = np.stack([told, np.full_like(told, np.nan) if goalless else space_of_goals.points(np.ones((1, 3), np.float32))[0]])
    some.goal_achieved = np.full((2, 3), np.nan, np.float32)
    store.reencode(Doubling(), store.add(some), goals=False)
    return store


def test_hindsight_takes_the_place_from_what_was_reached_and_keeps_what_matters() -> None:
    store, generator = filled(), np.random.default_rng(0)
    own = store.goal_records.at(np.array([0, 1]))[0]
    rows = np.tile([2, 15], 100)
    goals = Relabel(rollout=0.2, future=0.8, sampler=0)(store, rows, generator)
    owners = store.ring.number[rows]
    assert np.array_equal(goals.params[:, 3:], own[owners, 3:])
    hindsight = goals.rows >= 0
    assert 0.7 < hindsight.mean() < 0.9
    assert np.array_equal(goals.params[hindsight, :3], store.read("latent", goals.rows[hindsight]))
    assert np.array_equal(goals.params[~hindsight], own[owners[~hindsight]])


def test_an_episode_without_a_goal_learns_for_those_of_the_pool() -> None:
    store, generator = filled(goalless=True), np.random.default_rng(0)
    told = store.goal_records.at(np.array([0]))[0]
    store.set_goal_pool(Goals(np.repeat(told, 5, axis=0), np.full(5, -1), None, np.full((5, 3), np.nan, np.float32)))
    goals = Relabel(rollout=0.5, future=0.5, sampler=0)(store, np.full(60, 15), generator)
    assert np.array_equal(goals.params[:, 3:], np.repeat(told[:, 3:], 60, axis=0))
    assert (goals.rows >= 0).all()


def test_encoding_anew_leaves_a_set_where_it_was_fitted() -> None:
    store = filled()
    before = store.goal_records.at(np.array([0, 1]))[0]
    store.reencode(Doubling(3.0))
    assert np.array_equal(store.goal_records.at(np.array([0, 1]))[0], before)


# What it is good for.


def one_axis_at_a_time(where: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Return where points (n, 2) come to that move by 0.15 × the larger of their actions."""
    larger = np.abs(actions) == np.abs(actions).max(axis=1, keepdims=True)
    return np.clip(where + 0.15 * actions * larger, -1, 1)


def test_a_policy_that_is_told_what_matters_does_that_first() -> None:
    """Two tasks, x at 0.5 and y at -0.5, each with the other coordinate anywhere; a point can move along one axis at a time."""
    rng, horizon = np.random.default_rng(1), 12
    space_of_goals = GaussianGoals(2, min_std=0.05)
    reward = GoalDensity(env=None, representation=None, goal_space=space_of_goals, form="distance")  # type: ignore[arg-type]
    free, fixed = rng.uniform(-1, 1, (200, 1)), np.full((200, 1), 0.5)
    tasks = np.stack([space_of_goals.of_set(np.concatenate(pair, axis=1)) for pair in ((fixed, free), (free, -fixed))])
    agent = SAC(2, space_of_goals.dim, BOX, seed=0, hidden=(64, 64), discount=0.9, tau=0.02, lr=3e-3, batch_size=128)
    where, actions = np.zeros((200, horizon + 1, 2), np.float32), rng.uniform(-1, 1, (200, horizon, 2)).astype(np.float32)
    where[:, 0] = rng.uniform(-1, 1, (200, 2))
    for t in range(horizon):
        where[:, t + 1] = one_axis_at_a_time(where[:, t], actions[:, t])
    for _ in range(600):
        e, t = rng.integers(len(where), size=128), rng.integers(horizon, size=128)
        told = tasks[rng.integers(2, size=128)].copy()
        hindsight = rng.random(128) < 0.6
        told[hindsight, :2] = where[e, rng.integers(t + 1, horizon + 1)][hindsight]
        values, ended = reward({"latent": where[e, t + 1]}, batch(told))
        agent.update(tensors(where[e, t], actions[e, t], values, where[e, t + 1], ended.astype(np.float32), told))
    starts = np.random.default_rng(2).uniform(-1, 1, (100, 2)).astype(np.float32)
    for axis, (task, at) in enumerate(zip(tasks, (0.5, -0.5))):
        goals, here = np.repeat(task[None], 100, axis=0), starts
        first = np.abs(one_axis_at_a_time(here, agent.act(here, goals, None)) - here).argmax(axis=1)
        assert (first == axis)[np.abs(starts[:, axis] - at) > 0.3].mean() > 0.9  # whatever the other coordinate is
        for _ in range(horizon):
            here = one_axis_at_a_time(here, agent.act(here, goals, None))
        assert (np.abs(here[:, axis] - at) < 0.1).mean() > 0.9
