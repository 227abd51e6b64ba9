"""Bit-flip and the square corridor: their rules, their goals, and the corridor's measure of coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.bitflip import BitFlipEnv
from envs.conformance import check_env
from envs.corridor import INNER, NOISE, OUTER, CorridorEnv, cell_counts, grid_cells, nearest_valid, ring_cells
from envs.errors import UserError

points = st.tuples(st.floats(-8, 8), st.floats(-8, 8))


@pytest.mark.parametrize("env", [BitFlipEnv(), BitFlipEnv(n=3), CorridorEnv(), CorridorEnv(noise=0.0, picture_size=64)], ids=str)
def test_numpy_environments_keep_the_contract(env: BitFlipEnv | CorridorEnv) -> None:
    assert check_env(env) == []


def test_conformance_reports_an_environment_that_breaks_its_promises() -> None:
    class Liar(BitFlipEnv):
        def compute_reward(self, achieved_goal, desired_goal, info):  # type: ignore[no-untyped-def]
            return super().compute_reward(achieved_goal, desired_goal, info) + (np.ndim(achieved_goal) > 1)

        def set_state(self, state: bytes) -> None:
            pass

    problems = check_env(Liar(n=12))
    assert any("compute_reward" in problem for problem in problems)
    assert any(problem.startswith("state") for problem in problems)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**31))
def test_flipping_the_bits_that_differ_reaches_the_goal_in_as_many_steps_and_ends_there(n: int, seed: int) -> None:
    env = BitFlipEnv(n=n)
    observation, _ = env.reset(seed=seed)
    wrong = np.flatnonzero(observation["achieved_goal"] != observation["desired_goal"])
    assert env.metrics(observation["achieved_goal"], observation["desired_goal"])["distance"] == len(wrong)
    for count, bit in enumerate(wrong, start=1):
        observation, reward, terminated, truncated, info = env.step(bit)
        done = count == len(wrong)
        assert (reward, terminated, truncated, info["is_success"]) == (0.0 if done else -1.0, done, False, done)
    assert np.array_equal(observation["achieved_goal"], observation["desired_goal"]) or len(wrong) == 0


def test_an_unsolved_bitflip_episode_is_truncated_after_n_steps() -> None:
    env = BitFlipEnv(n=6)
    env.reset(seed=0, options={"goal": np.ones(6)})
    env.set_state(env.get_state())
    ends = [env.step(0)[2:4] for _ in range(6)]
    assert ends == [(False, False)] * 5 + [(False, True)]


def test_bitflip_refuses_what_is_no_bit() -> None:
    env = BitFlipEnv(n=4)
    with pytest.raises(UserError, match="reset"):
        env.step(0)
    env.reset(seed=0)
    for action in (4, -1, 1.5, np.zeros(2)):
        with pytest.raises(UserError, match="0 to 3"):
            env.step(action)
    with pytest.raises(UserError, match=r"\(4,\)"):
        env.reset(options={"goal": [0, 1, 0.5, 1]})
    with pytest.raises(UserError, match="at least 1"):
        BitFlipEnv(n=0)
    with pytest.raises(UserError, match="has 4 bits; expected 5"):
        BitFlipEnv(n=5).set_state(env.get_state())
    corridor = CorridorEnv()
    corridor.reset(seed=0)
    with pytest.raises(UserError, match=r"belongs to gcrl/Corridor-v0"):
        env.set_state(corridor.get_state())


def test_a_restored_state_goes_on_with_the_same_later_episodes() -> None:
    for env in (BitFlipEnv(), CorridorEnv()):
        env.reset(seed=5)
        state = env.get_state()
        later = [env.reset()[0] for _ in range(3)]
        twin = type(env)()
        twin.reset(seed=99)
        twin.set_state(state)
        for expected in later:
            found = twin.reset()[0]
            assert all(np.array_equal(expected[key], found[key]) for key in expected)


def test_the_ring_has_the_published_maximum_entropy() -> None:
    assert ring_cells().sum() == 1664
    assert math.log(ring_cells().sum()) == pytest.approx(7.42, abs=0.005)


@settings(max_examples=60, deadline=None)
@given(points)
def test_nearest_valid_is_on_the_ring_and_nothing_on_the_ring_is_nearer(point: tuple[float, float]) -> None:
    found = nearest_valid(np.array(point))
    assert INNER - 1e-9 <= np.max(np.abs(found)) <= OUTER + 1e-9
    grid = np.stack(np.meshgrid(*[np.linspace(-OUTER, OUTER, 111)] * 2), axis=-1).reshape(-1, 2)
    ring = grid[np.max(np.abs(grid), axis=-1) >= INNER]
    assert np.linalg.norm(found - point) <= np.linalg.norm(ring - point, axis=-1).min() + 1e-9
    assert np.allclose(nearest_valid(found), found)


@settings(max_examples=60, deadline=None)
@given(points, st.integers(0, 2**31))
def test_every_reached_position_counts_in_a_cell_of_the_ring(target: tuple[float, float], seed: int) -> None:
    env = CorridorEnv()
    env.reset(seed=seed)
    observation, _, terminated, truncated, _ = env.step(np.array(target, np.float32))
    counts = cell_counts(observation["achieved_goal"])
    assert counts.sum() == 1
    assert counts[ring_cells()].sum() == 1
    assert (terminated, truncated) == (False, True)


def test_the_policy_misses_its_goal_by_the_published_noise() -> None:
    env = CorridorEnv()
    env.reset(seed=1)
    goal = np.array([4.8, 0.0], np.float32)
    reached = np.stack([env.step(goal)[0]["achieved_goal"] for _ in range(2000)])
    assert reached.std(axis=0) == pytest.approx([NOISE, NOISE], rel=0.06)
    assert reached.mean(axis=0) == pytest.approx(goal, abs=0.006)


def test_episodes_start_in_one_corner() -> None:
    env = CorridorEnv()
    starts = np.stack([env.reset(seed=seed)[0]["achieved_goal"] for seed in range(100)])
    assert np.all(starts <= -OUTER + 0.5)
    assert env.coverage(starts)["coverage"] < 0.01


def test_coverage_by_hand_and_at_its_extremes() -> None:
    env = CorridorEnv()
    two_cells = np.array([[-5.45, -5.45], [-5.4, -5.4], [-5.45, -5.4], [5.45, 5.45]])
    assert env.coverage(two_cells) == pytest.approx({"entropy": -0.75 * math.log(0.75) - 0.25 * math.log(0.25), "coverage": 2 / 1664})
    assert env.coverage(np.zeros((0, 2))) == {"entropy": 0.0, "coverage": 0.0}
    assert env.coverage(np.zeros((5, 2))) == {"entropy": 0.0, "coverage": 0.0}, "points in the hole do not count"
    uniform = env.coverage(env.sample_goals(200_000, np.random.default_rng(0)).achieved)
    assert uniform["coverage"] == 1.0
    assert uniform["entropy"] == pytest.approx(math.log(1664), abs=0.01)


def test_skewed_goals_spread_over_the_ring_and_plain_ones_stay_in_the_corner() -> None:
    """Skew-Fit's idealised experiment with a histogram as the density, too short to fill the ring."""
    full, half, plain = (_practise(alpha) for alpha in (-1.0, -0.5, 0.0))
    assert full["entropy"] > half["entropy"] + 0.5 > plain["entropy"] + 1.5
    assert plain["coverage"] < 0.1 < half["coverage"] < full["coverage"]


def _practise(alpha: float, rounds: int = 150, batch: int = 150, spread: float = 0.15) -> dict[str, float]:
    env, generator = CorridorEnv(), np.random.default_rng(0)
    env.reset(seed=0)
    visited = np.stack([env.reset()[0]["achieved_goal"] for _ in range(batch)])
    for _ in range(rounds):
        cells = grid_cells(visited)
        weights = cell_counts(visited)[cells[:, 0], cells[:, 1]].astype(float) ** alpha
        goals = visited[generator.choice(len(visited), batch, p=weights / weights.sum())]
        goals = goals + generator.normal(0, spread, goals.shape)  # a generative model's own spread
        visited = np.concatenate([visited, np.stack([env.step(goal)[0]["achieved_goal"] for goal in goals])])
    return env.coverage(visited[-rounds * batch // 2 :])


def test_corridor_pictures_show_the_ring_and_the_position() -> None:
    env = CorridorEnv(picture_size=60)
    picture = env.render_state(np.array([-5.0, 5.0], np.float32))
    assert picture.shape == (60, 60, 3)
    red = np.argwhere(picture[..., 0].astype(int) - picture[..., 1] > 80)
    assert np.all(red < 8), "the upper left corner is the small row and column"
    assert np.array_equal((picture == picture[30, 30]).all(axis=-1), ~ring_cells())


def test_corridor_refuses_what_is_no_position() -> None:
    env = CorridorEnv()
    env.reset(seed=0)
    for bad in (np.zeros(3), np.array([np.nan, 0.0])):
        with pytest.raises(UserError, match="2 finite numbers"):
            env.step(bad)
        with pytest.raises(UserError, match="2 finite numbers"):
            env.reset(options={"goal": bad})
    with pytest.raises(UserError, match="noise=-1"):
        CorridorEnv(noise=-1)
