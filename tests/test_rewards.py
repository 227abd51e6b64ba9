"""Rewards: each equals its formula recomputed one transition at a time, and refuses what it cannot judge."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from replay_cases import Doubling, episodes, replay

import envs
from envs.api import Capabilities
from envs.errors import UserError
from gcrl.relabel import GoalBatch, Relabel
from gcrl.rewards import Environment, LatentDistance, LogDensity, Mahalanobis, PixelError, Reward, SparseThreshold, StateDistance


class Reaching:
    """The part of a task environment that rewards use: -1 beyond 2, 0 and the end within."""

    capabilities = Capabilities(images=True)
    factors = ("x_m", "y_m", "angle_rad")

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 2).astype(np.float32)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return np.linalg.norm(achieved_goal - desired_goal, axis=-1) <= 2


def build(kind, **arguments):
    return kind(env=Reaching(), representation=Doubling(), **arguments)


def stored(count=200):
    store = replay(4000)
    for number in range(count):
        store.reencode(Doubling(), store.add(episodes(number, [12])), goals=False)
    return store


vectors = hnp.arrays(np.float32, (7, 3), elements=st.floats(-5, 5, width=32))


@settings(deadline=None, max_examples=80)
@given(vectors, vectors)
def test_rewards_equal_their_formulas(here, goal):
    goals, nearby = GoalBatch(goal, np.full(7, -1), goal), {"latent": here, "achieved_goal": here}
    difference = here.astype(np.float64) - goal
    l2, l1 = np.sqrt((difference**2).sum(axis=1)), np.abs(difference).sum(axis=1)
    variances, weights = np.array([4.0, 1.0, 0.25]), np.array([2.0, 0.0, 0.5])
    expected = [
        (build(LatentDistance, scale=2.0), -l2 / 2),
        (build(LatentDistance, norm="l1", scale=0.5), -l1 * 2),
        (build(Mahalanobis, variances=[4.0, 1.0, 0.25]), -np.sqrt((difference**2 / variances).sum(axis=1))),
        (build(LogDensity, std=2.0), [sum(-0.5 * (x / 2) ** 2 - np.log(2 * np.sqrt(2 * np.pi)) for x in row) for row in difference]),
        (build(StateDistance, weights={"x_m": 2.0, "angle_rad": 0.5}), -np.sqrt(((difference * weights) ** 2).sum(axis=1))),
    ]
    for reward, values in expected:
        assert isinstance(reward, Reward)
        given_reward, terminated = reward(nearby, goals)
        assert given_reward.dtype == np.float32
        assert np.allclose(given_reward, values, atol=1e-4, rtol=1e-4)
        assert terminated.dtype == bool
        assert not terminated.any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31))
def test_relabelled_rewards_and_terminals_are_those_of_the_new_goal(seed):
    store, generator = stored(5), np.random.default_rng(seed)
    rows = store.sample_transitions(64, generator)
    goals = Relabel(rollout=0, future=0.8, next=0.2, sampler=0)(store, rows, generator)
    nearby = {key: store.read(key, rows + 1) for key in ("achieved_goal", "latent")}
    distance = np.array([np.linalg.norm(a - d) for a, d in zip(nearby["achieved_goal"], store.read("achieved_goal", goals.rows))])
    for reward in (build(Environment), build(SparseThreshold, epsilon=2.0, terminate=True)):
        value, terminated = reward(nearby, goals)
        assert np.array_equal(value, np.where(distance <= 2, 0, -1))
        assert np.array_equal(terminated, distance <= 2)
    value, terminated = build(SparseThreshold, epsilon=4.0, on="latent")(nearby, goals)
    assert np.array_equal(value, np.where(distance <= 2, 0, -1))
    assert not terminated.any()
    assert value[goals.rows == rows + 1].tolist() == [0.0] * int((goals.rows == rows + 1).sum())


def test_pixel_error_is_the_root_mean_square_in_units_of_full_brightness():
    store, generator = stored(5), np.random.default_rng(0)
    rows = store.sample_transitions(50, generator)
    goals = Relabel(rollout=0.5, future=0.5, sampler=0)(store, rows, generator)
    value, terminated = build(PixelError)({"image": store.read("image", rows + 1)}, goals)
    frames, wanted = store.read("image", rows + 1) / 255.0, goals.images / 255.0
    assert np.allclose(value, [-np.sqrt(((a - b) ** 2).mean()) for a, b in zip(frames, wanted)], atol=1e-6)
    assert not terminated.any()
    black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
    extreme = GoalBatch(np.zeros((1, 3), np.float32), np.array([-1]), None, lambda: white)
    assert build(PixelError)({"image": black}, extreme)[0].tolist() == [-1.0]


def test_the_mean_square_is_the_square_of_its_root_and_a_scale_keeps_its_size() -> None:
    store, generator = stored(5), np.random.default_rng(0)
    rows = store.sample_transitions(400, generator)
    goals = Relabel(rollout=0.0, future=0.0, sampler=0, random=1.0)(store, rows, generator)
    seen = {"image": store.read("image", rows + 1)}
    plain, squared = build(PixelError)(seen, goals)[0], build(PixelError, form="mse")(seen, goals)[0]
    assert np.allclose(squared, -(plain**2), atol=1e-6)
    scaled = build(PixelError, form="mse", scale="auto")
    assert scaled.state_dict() == {"scale": 1.0}
    scaled.refit(store, generator)
    value = scaled(seen, goals)[0]
    assert np.allclose(value * scaled.scale, squared, rtol=1e-5)
    assert -1.3 < np.median(value) < -0.7, "two stored frames differ by one, in the median"
    again = build(PixelError, form="mse", scale="auto")
    again.load_state_dict(scaled.state_dict())
    assert np.array_equal(again(seen, goals)[0], value)
    for wrong, message in (({"form": "msq"}, "mse"), ({"scale": -1}, "positive number or 'auto'")):
        with pytest.raises(UserError, match=message):
            build(PixelError, **wrong)


def test_auto_scales_make_rewards_indifferent_to_the_latent_unit():
    for kind in (LatentDistance, Mahalanobis):
        values = []
        for factor in (0.01, 100.0):
            store = stored()
            store.reencode(Doubling(factor))
            reward = build(kind)
            reward.refit(store, np.random.default_rng(0))
            rows = np.random.default_rng(1).permutation(store.ring.all_rows())[:400]
            goals = GoalBatch(store.read("latent", rows[200:]), rows[200:])
            values.append(reward({"latent": store.read("latent", rows[:200])}, goals)[0])
        assert np.allclose(values[0], values[1], rtol=1e-3)
        if kind is LatentDistance:
            assert np.median(values[0]) == pytest.approx(-1, abs=0.3)


def test_fitted_numbers_survive_a_checkpoint():
    store = stored()
    nearby, goals = {"latent": store.read("latent", np.array([5]))}, GoalBatch(np.ones((1, 3), np.float32), np.array([-1]))
    for kind in (LatentDistance, Mahalanobis, LogDensity):
        reward, fresh = build(kind), build(kind)
        reward.refit(store, np.random.default_rng(0))
        assert reward(nearby, goals)[0] != fresh(nearby, goals)[0]
        fresh.load_state_dict(reward.state_dict())
        assert reward(nearby, goals)[0] == fresh(nearby, goals)[0]


def test_a_constant_latent_space_gives_finite_rewards():
    store = stored(3)
    store.reencode(Doubling(0.0))
    goals = GoalBatch(np.zeros((1, 3), np.float32), np.array([-1]))
    for kind in (LatentDistance, Mahalanobis, LogDensity):
        reward = build(kind)
        reward.refit(store, np.random.default_rng(0))
        assert np.isfinite(reward({"latent": np.zeros((1, 3), np.float32)}, goals)[0]).all()


def test_imagined_goals_are_refused_before_practice_and_during_it():
    class Dreamer:
        imagines = True

    unknown = GoalBatch(np.zeros((1, 3), np.float32), np.array([-1]), np.full((1, 3), np.nan, np.float32))
    nearby = {"achieved_goal": np.zeros((1, 3), np.float32), "latent": np.zeros((1, 3), np.float32)}
    for reward in (build(Environment), build(StateDistance), build(SparseThreshold, epsilon=0.1)):
        with pytest.raises(UserError, match=f"{type(reward).__name__} needs goals with a known .* Dreamer"):
            reward.check(Dreamer())
        with pytest.raises(UserError, match="may be imagined"):
            reward(nearby, unknown)
        reward.check(SimpleNamespace())
    for reward in (build(LatentDistance), build(SparseThreshold, epsilon=0.1, on="latent")):
        reward.check(Dreamer())
        assert np.isfinite(reward(nearby, unknown)[0]).all()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (LatentDistance, {"norm": "l3"}, "unknown norm 'l3'.*expected one of: l1, l2"),
        (LatentDistance, {"scale": -1}, "reward.scale=-1; expected a positive number or 'auto'"),
        (LatentDistance, {"scale": "atuo"}, "reward.scale='atuo'"),
        (Mahalanobis, {"variances": [1.0]}, "expected 'empirical' or 3 positive numbers"),
        (LogDensity, {"std": [1.0, 0.0, 1.0]}, "expected 'auto', a positive number or 3 of them"),
        (SparseThreshold, {"epsilon": 0.1, "on": "laten"}, "did you mean 'latent'"),
        (SparseThreshold, {"epsilon": 0}, "reward.epsilon=0; expected a positive number"),
        (StateDistance, {"weights": {"x_n": 1.0}}, "did you mean 'x_m'"),
        (StateDistance, {"weights": [1.0]}, "expected 3 weights"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kind, arguments, message):
    with pytest.raises(UserError, match=message):
        build(kind, **arguments)


def test_pixel_error_without_pictures_names_the_setting_that_gives_them() -> None:
    env = envs.make("gcrl/BitFlip-v0", n=4)
    with pytest.raises(UserError, match=r"expected e\.g\. env\.image_size=48"):
        PixelError(env=env, representation=Doubling())
