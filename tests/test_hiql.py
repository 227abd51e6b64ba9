"""HIQL: waypoints in minibatches, a high policy that says where to be soon, and a planner that asks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from agent_cases import BOX, batch_of, small
from hypothesis import given
from hypothesis import strategies as st
from run_cases import COMMON, differences, finish_steps, outcome, settings

from envs.errors import UserError
from gcrl.agents.api import Batch
from gcrl.agents.hiql import HIQL
from gcrl.batches import waypoints
from gcrl.parts import require_values
from gcrl.practice import Practice
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.conformance import run_checks
from goal_samplers.planners.own import Own

# ---- waypoints ------------------------------------------------------------------------------------------------------------------


@given(data=st.data(), rows=st.lists(st.integers(0, 40), min_size=1, max_size=20), steps=st.integers(1, 30))
def test_a_waypoint_is_steps_ahead_or_at_the_goal_or_at_the_end(data: st.DataObject, rows: list[int], steps: int) -> None:
    last = [row + data.draw(st.integers(1, 30)) for row in rows]
    goals = [data.draw(st.one_of(st.just(-1), st.integers(0, 80))) for _ in rows]
    ahead = waypoints(np.array(rows), np.array(goals), np.array(last), steps)
    for row, goal, end, chosen in zip(rows, goals, last, ahead, strict=True):
        assert row < chosen <= min(row + steps, end)
        if row < goal <= min(row + steps, end):
            assert chosen == goal
        else:
            assert chosen == min(row + steps, end)


# ---- learning -------------------------------------------------------------------------------------------------------------------

LENGTH, AHEAD = 40, 6


def on_a_line(generator: np.random.Generator, rows: int = 256) -> Batch:
    """Return transitions of walks on a line of 40 m, of ±1 m and now and then turning; goals are places that the walk came to, or any."""
    steps = np.where(generator.random((rows, 20)) < 0.15, -1.0, 1.0).cumprod(axis=1) * generator.choice([-1.0, 1.0], (rows, 1))
    start = generator.uniform(0, LENGTH, (rows, 1))
    walked = np.clip(np.concatenate([start, start + steps.cumsum(axis=1)], axis=1), 0, LENGTH)
    goal_step = np.minimum(generator.geometric(0.1, rows), 20)
    own = generator.random(rows) < 0.7
    goals = np.where(own, walked[np.arange(rows), goal_step], generator.uniform(0, LENGTH, rows))
    ahead = np.where(own, np.minimum(goal_step, AHEAD), AHEAD)
    there = np.abs(walked[:, 1] - goals) < 0.5
    tensor = lambda values: torch.as_tensor(np.reshape(values, (rows, -1)), dtype=torch.float32)  # noqa: E731
    flat = lambda values: torch.as_tensor(values, dtype=torch.float32)  # noqa: E731
    way = tensor(walked[np.arange(rows), ahead])
    actions = tensor(np.stack([steps[:, 0], np.zeros(rows)], axis=1))
    return Batch(
        tensor(walked[:, 0]),
        actions,
        flat(there - 1.0),
        tensor(walked[:, 1]),
        flat(there),
        tensor(goals),
        waypoints=way,
        waypoint_inputs=way,
    )


def test_far_goals_are_reached_by_both_policies_in_turn() -> None:
    """On a line, from data that turn around at random: subgoals lie toward the goal, a few steps ahead, and actions lead to them."""
    generator = np.random.default_rng(0)
    agent = HIQL(1, 1, BOX, seed=0, hidden=(32, 32), lr=2e-3, tau=0.02, subgoal_steps=AHEAD, discount=0.95, layer_norm=True)
    middle, width = np.float32([LENGTH / 2]), np.float32([LENGTH / 4])
    agent.set_normalizer(middle, width, middle, width)
    for _ in range(800):
        agent.update(on_a_line(generator))
    where, goals = (np.linspace(*ends, 200, dtype=np.float32)[:, None] for ends in ((4, 36), (36, 4)))
    far = np.abs(goals - where)[:, 0] > 10
    ahead = (agent.subgoals(where, goals) - where)[far, 0] * np.sign(goals - where)[far, 0]
    assert (ahead > 1).mean() >= 0.95
    assert ahead.max() < 2 * AHEAD
    near = where + np.sign(goals - where) * 3
    assert (np.sign(agent.act(where, near, None)[:, :1]) == np.sign(near - where)).mean() >= 0.95


def test_it_needs_waypoints() -> None:
    with pytest.raises(UserError, match="HIQL was given a minibatch without waypoints; expected those of 25 steps later"):
        small("hiql").update(batch_of("ivl", np.random.default_rng(0)))


def test_a_copy_of_its_acting_part_says_the_same_subgoals() -> None:
    agent, elsewhere = small("hiql"), small("hiql", seed=1)
    agent.set_normalizer(*(np.full(width, value, np.float32) for width, value in ((3, 1.0), (3, 2.0), (2, 3.0), (2, 4.0))))
    agent.update(batch_of("hiql", np.random.default_rng(0)))
    inputs, goals = np.ones((9, 3), np.float32), np.zeros((9, 2), np.float32)
    assert not np.array_equal(agent.subgoals(inputs, goals), elsewhere.subgoals(inputs, goals))
    elsewhere.load_actor_state(agent.actor_state())
    assert np.array_equal(agent.subgoals(inputs, goals), elsewhere.subgoals(inputs, goals))


# ---- the planner ----------------------------------------------------------------------------------------------------------------


def test_the_planner_keeps_the_contract_and_passes_on_what_the_agent_says() -> None:
    assert [problem for check in run_checks(lambda space: Own()) for problem in check.problems] == []
    where, goals = np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)
    plans = Own().plan(PlanContext(where, subgoals=lambda latents, ends: latents + ends / 4), goals)
    assert np.array_equal(plans, np.stack([goals / 4, goals], axis=1))


def test_an_agent_without_subgoals_is_refused() -> None:
    with pytest.raises(UserError, match="planner Own needs an agent of subgoals, and SAC is none; expected agent=hiql"):
        require_values(Own(), "planner", small("sac"))


@pytest.mark.parametrize(("given", "match"), [({"patience": 0}, "patience = 0; expected at least 1"), ({"reach": -1.0}, "reach = -1.0")])
def test_arguments_out_of_range_are_refused(given, match: str) -> None:
    with pytest.raises(UserError, match=match):
        Own(**given)


# ---- in a run -------------------------------------------------------------------------------------------------------------------

REACH = [
    *("experiment=push_state", "env=reach", "env.image_size=0", "env.horizon=10", "representation.scale=null", "reward=environment"),
    *("agent=hiql", "planner=hiql", "practice.inputs=[latent]", "agent.subgoal_steps=3", "agent.hidden=[16]", "agent.batch_size=32"),
    *(*COMMON, "practice.updates_per_epoch=10", "practice.random_epochs=1"),
]


def test_a_run_resumes_exactly_and_its_minibatches_hold_where_episodes_stood_later(tmp_path: Path) -> None:
    whole, broken = (Practice(settings(REACH, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(3):
        broken.step()
    broken.close()
    finish_steps(Practice(settings(REACH, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []

    replay, batches = whole.learner.replay, whole.learner.batches
    rows = replay.sample_transitions(64, np.random.default_rng(0))
    goals = batches.relabel(replay, rows, np.random.default_rng(0))
    ahead = waypoints(rows, goals.rows, replay.ring.last.take(rows), 3)
    assert np.array_equal(replay.ring.number.take(ahead), replay.ring.number.take(rows))
    batch = batches(256)
    assert batch.waypoints is not None
    stored = {tuple(row) for row in replay.read("latent", np.arange(replay.size)).tolist()}
    assert {tuple(row) for row in batch.waypoints.tolist()} <= stored
    assert torch.equal(batch.waypoints, batch.waypoint_inputs)
