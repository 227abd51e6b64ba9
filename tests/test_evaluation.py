"""Evaluation: what counts is where an episode ends, judged by the task's own test; every goal is commanded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.api import Capabilities, GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.agents.dqn import DQN
from gcrl.evaluation import LAST_STEPS, evaluate
from gcrl.policy import Policy, as_goals
from gcrl.rollout import RandomActions, ZeroActions, rollout
from goal_samplers.api import Goals
from representations.identity import Identity


class Scripted:
    """A policy that is a function of observations, goals and the step in the episode."""

    def __init__(self, env: TaskEnv, act: Any) -> None:
        self.representation, self.inputs = Identity(env.observation_space), ("observation",)
        self._act, self._step = act, -1

    def act(self, observations: Any, goals: Any, explore: Any = None) -> Any:
        self._step += 1
        return self._act(observations["achieved_goal"], goals, self._step)


def bits(n: int = 4, simulators: int = 3) -> list[TaskEnv]:
    return [envs.make("gcrl/BitFlip-v0", n=n) for _ in range(simulators)]


def flip_first_wrong(achieved: Any, goals: Any, step: int = 0) -> Any:
    return np.argmax(achieved != goals, axis=1)


def test_an_episode_that_ended_at_its_goal_counts_in_full_however_short_it_was() -> None:
    worlds = bits()
    result = evaluate(worlds, Scripted(worlds[0], flip_first_wrong), worlds[0].fixed_goals("test").take(slice(20)), 3)
    assert (result.success == 1).all()
    assert (result.figures["distance"] == 0).all()
    assert result.summary()["success_rate"] == 1
    assert result.summary()["episodes"] == 20


def test_success_is_the_mean_over_the_last_five_steps_and_never_the_best_moment() -> None:
    horizon = 12
    env = _Line(horizon)
    for leave, expected in ((horizon, 1.0), (horizon - 1, 0.8), (horizon - 2, 0.6), (horizon - 5, 0.0), (3, 0.0)):
        # On the goal from the first step on, and off it from step `leave` on.
        policy = Scripted(env, lambda achieved, goals, step, leave=leave: np.full((1, 1), 1.0 if step < leave else -1.0, np.float32))
        result = evaluate([env], policy, env.goals(1), 0)
        assert result.success[0] == pytest.approx(expected)
        assert result.figures["distance"][0] == pytest.approx(2 * (1 - expected))
    assert LAST_STEPS == 5


def test_every_goal_is_commanded_once_and_pictures_belong_to_it() -> None:
    worlds = bits()
    goals = worlds[0].fixed_goals("tune").take(slice(7))
    result = evaluate(worlds, Scripted(worlds[0], flip_first_wrong), goals, 3)
    assert np.array_equal(result.desired, goals.achieved)
    assert result.achieved.shape == (7, 5, 4)
    assert set(result.pictures()) == {"success", "achieved", "desired", "figure/distance"}


def test_starts_depend_on_the_seed_alone_so_that_policies_are_compared_in_pairs() -> None:
    worlds = bits()
    goals = worlds[0].fixed_goals("test").take(slice(8))
    policy = Scripted(worlds[0], flip_first_wrong)
    starts = [evaluate(worlds, policy, goals, 3, kind=kind).achieved[:, 0] for kind in ("policy", "random", "zero")]
    assert np.array_equal(starts[0], starts[1])
    assert np.array_equal(starts[0], starts[2])
    assert not np.array_equal(starts[0], evaluate(worlds, policy, goals, 4).achieved[:, 0])


def test_the_zero_baseline_does_the_same_thing_always_and_the_random_one_does_not() -> None:
    zero, random = ZeroActions(bits()[0].action_space), RandomActions(bits()[0].action_space)
    generators = [np.random.default_rng(index) for index in range(40)]
    assert set(zero({}, np.zeros((40, 4), np.float32), generators, 0)) == {0}
    assert set(random({}, np.zeros((40, 4), np.float32), generators, 0)) == {0, 1, 2, 3}


@pytest.mark.parametrize("simulators", [1, 2, 5])
def test_episodes_depend_neither_on_each_other_nor_on_their_company(simulators: int) -> None:
    env = bits(simulators=1)[0]
    policy = Policy(Identity(env.observation_space), DQN(4, 4, env.action_space, seed=0), ("observation",))
    goals = as_goals(env, policy.representation, env.sample_goals(9, np.random.default_rng(0)))
    seeds = np.arange(9) + 100

    def explore(observations: Any, goals: Any, generators: Sequence[np.random.Generator], step: int) -> Any:
        return policy.act(observations, goals, generators)

    together = rollout(bits(simulators=simulators), explore, goals, seeds)
    for index in (0, 4, 8):
        one = np.array([index])
        alone = rollout(bits(simulators=simulators), explore, _take(goals, one), seeds[one])
        assert np.array_equal(alone.actions[0], together.actions[index])
        assert np.array_equal(alone.observations["observation"][0], together.observations["observation"][index])
        assert alone.lengths[0] == together.lengths[index]


def test_held_random_actions_change_only_every_so_many_steps() -> None:
    worlds = [_Line(12), _Line(12)]
    goals = as_goals(worlds[0], Identity(worlds[0].observation_space), worlds[0].goals(2))
    episodes = rollout(worlds, RandomActions(worlds[0].action_space, hold=4), goals, np.array([1, 2]))
    for actions in episodes.actions:
        changes = np.flatnonzero((np.diff(actions, axis=0) != 0).any(axis=1)) + 1
        assert changes.tolist() == [4, 8]
    assert not np.array_equal(episodes.actions[0], episodes.actions[1])


def test_rows_past_an_episodes_end_repeat_its_last_frame() -> None:
    worlds = bits()
    goals = as_goals(worlds[0], Identity(worlds[0].observation_space), worlds[0].sample_goals(6, np.random.default_rng(1)))
    episodes = rollout(worlds, lambda observations, goals, *_: flip_first_wrong(observations["observation"], goals), goals, np.arange(6))
    assert (episodes.lengths < 4).any()
    for index, length in enumerate(episodes.lengths):
        frames = episodes.observations["achieved_goal"][index]
        assert np.array_equal(frames[length], episodes.goals[index])
        assert (frames[length:] == frames[length]).all()
        assert episodes.terminated[index].tolist() == [step == length - 1 for step in range(4)]


def test_random_actions_need_bounds() -> None:
    with pytest.raises(UserError, match="expected a bounded Box, or Discrete"):
        RandomActions(spaces.Box(-np.inf, np.inf, (2,)))


def _take(goals: Any, index: Any) -> Any:
    return Goals(goals.params[index], goals.rows[index], None, goals.achieved[index])


class _Line:
    """A point that is where the last action put it, and one goal at 1: success is in the action's hands at every step."""

    def __init__(self, horizon: int) -> None:
        place = spaces.Box(-1, 1, (1,), np.float32)
        self.observation_space = spaces.Dict({key: place for key in ("observation", "achieved_goal", "desired_goal")})
        self.action_space, self.capabilities, self.horizon, self.factors = place, Capabilities(), horizon, ("place",)

    def goals(self, n: int) -> Any:
        return GoalSet(np.ones((n, 1), np.float32), np.ones((n, 1), np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._at(np.zeros(1, np.float32)), {}

    def step(self, action: Any) -> Any:
        return self._at(action), 0.0, False, False, {}

    def success(self, achieved: Any, desired: Any) -> Any:
        return (achieved == desired).all(axis=-1)

    def metrics(self, achieved: Any, desired: Any) -> Any:
        return {"distance": np.abs(achieved - desired)[..., 0]}

    def _at(self, place: Any) -> Any:
        return {"observation": place, "achieved_goal": place, "desired_goal": np.ones(1, np.float32)}
