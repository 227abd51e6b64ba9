"""Go-explore: toward the goal until it is reached, at random from there on, whatever proposed the goal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_cases import BITFLIP, differences, finish_steps, outcome, settings

import envs
from envs.errors import UserError
from gcrl.behaviours import GoExplore, ScriptedExpert
from gcrl.data import Reader
from gcrl.episodes import share_reached
from gcrl.practice import Practice
from gcrl.rollout import RandomActions, rollout
from goal_samplers.api import Goals

WIDTH, EPISODES = 2, 6


@pytest.fixture(scope="module")
def simulators():
    made = [envs.make("gcrl/Reach-v0", image_size=0) for _ in range(WIDTH)]
    yield made
    for env in made:
        env.close()


def practised(simulators, share: float, known: bool = True):
    """Roll the expert out toward goals of the task, exploring where they are reached; return the episodes and when each was first there."""
    goal_set = simulators[0].sample_goals(EPISODES, np.random.default_rng(3))
    achieved = goal_set.achieved if known else np.full_like(goal_set.achieved, np.nan)
    goals = Goals(np.asarray(goal_set.achieved, np.float32), np.full(EPISODES, -1), None, achieved)
    random = RandomActions(simulators[0].action_space, 5)
    act = GoExplore(
        ScriptedExpert(simulators), random, goals, simulators[0].success, share=share, width=WIDTH, horizon=simulators[0].horizon
    )
    return rollout(simulators, act, goals, np.arange(EPISODES)), goal_set.achieved


def arrivals(simulators, episodes, goals):
    there = np.array(
        [
            simulators[0].success(path, np.repeat(goal[None], len(path), 0))
            for path, goal in zip(episodes.observations["achieved_goal"], goals)
        ]
    )
    assert there.any(axis=1).all()  # the expert gets there
    return there.argmax(axis=1)


def test_nothing_changes_until_the_goal_is_reached_and_everything_after(simulators) -> None:
    plain, goals = practised(simulators, 0.0)
    exploring, _ = practised(simulators, 1.0)
    at = arrivals(simulators, plain, goals)
    assert (at > 0).all()
    for episode, step in enumerate(at):
        assert np.array_equal(plain.actions[episode, :step], exploring.actions[episode, :step])
        assert not np.isclose(plain.actions[episode, step:], exploring.actions[episode, step:]).all(axis=1).any()


def test_more_is_visited(simulators) -> None:
    plain, exploring = (practised(simulators, share)[0].observations["achieved_goal"] for share in (0.0, 1.0))
    assert exploring[:, -10:].std(axis=(0, 1)).sum() > 1.05 * plain[:, -10:].std(axis=(0, 1)).sum()


def test_a_share_of_the_episodes_explores(simulators) -> None:
    plain, _ = practised(simulators, 0.0)
    some, _ = practised(simulators, 0.5)
    changed = [not np.array_equal(one, other) for one, other in zip(plain.actions, some.actions)]
    assert 0 < sum(changed) < EPISODES


def test_a_goal_of_unknown_place_counts_as_reached_after_half_of_the_episode(simulators) -> None:
    explored, _ = practised(simulators, 1.0, known=False)
    plain, _ = practised(simulators, 0.0, known=False)
    half = simulators[0].horizon // 2
    assert np.array_equal(plain.actions[:, :half], explored.actions[:, :half])
    assert not np.isclose(plain.actions[:, half:], explored.actions[:, half:]).all(axis=2).any()


def test_it_is_an_option_of_any_sampler_and_resumes_exactly(tmp_path: Path) -> None:
    overrides = [*BITFLIP, "practice.go_explore=0.5"]
    whole, broken = (Practice(settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    broken.step()
    broken.close()
    again = Practice(settings(overrides, tmp_path / "broken"), resume=True)
    finish_steps(again)
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    plain = Practice(settings(BITFLIP, tmp_path / "plain"))
    finish_steps(plain)
    actions = []
    for name in ("whole", "plain"):
        with Reader(tmp_path / name / "practice.h5") as reader:
            actions.append(reader.read("action", np.arange(reader.rows)))
    assert not np.array_equal(*actions)


@pytest.mark.parametrize(("ever", "share"), [(False, 0.0), (True, 1.0)])
def test_a_goal_that_was_left_again_counts_as_reached_where_episodes_explore(simulators, ever: bool, share: float) -> None:
    episodes, goals = practised(simulators, 1.0)
    episodes.observations["achieved_goal"][:, -1] += 0.5  # gone far away
    assert share_reached(simulators[0], episodes, ever) == share
    assert goals.shape == episodes.goal_achieved.shape


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_what_is_no_share_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match=f"go_explore={share}; expected a share"):
        Practice(settings([*BITFLIP, f"practice.go_explore={share}"], tmp_path / "run"))
    assert not (tmp_path / "run").exists()
