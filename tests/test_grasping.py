"""The gripper holds by friction alone; PickPlace and Stack are solved with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import UserError
from envs.grasping import GRIPPED, OPEN, SHUT, GraspingEnv, grips, move
from envs.gripper import MAX_OPENING
from envs.manipulation import ManipulationEnv
from envs.pick_place import PickPlaceEnv
from envs.quiet import bullet
from envs.stack import AWAY, SIDE, SUCCESS_DISTANCE, StackEnv

DEPTH = 3e-3  # m, the deepest that two bodies may go into each other at a blow
HIGH_GOAL = [0.5, 0.0, 0.2, 0.5, 0.0, 0.2]


def success_at_the_end(env: ManipulationEnv, goals: Any) -> tuple[float, float]:
    """The expert's mean success over the last five steps, and the deepest contact on the way (m)."""
    rates, deepest = [], 0.0
    for seed, goal in enumerate(goals):
        observation, _ = env.reset(seed=seed, options={"goal": goal})
        truncated, reached = False, []
        while not truncated:
            observation, _, _, truncated, info = env.step(env.expert_action(observation))
            reached.append(info["is_success"])
            deepest = max(deepest, env.penetration())
        rates.append(np.mean(reached[-5:]))
    return float(np.mean(rates)), deepest


def holding() -> tuple[PickPlaceEnv, dict[str, Any]]:
    """A block held in the air."""
    env = PickPlaceEnv()
    observation, _ = env.reset(seed=3, options={"goal": HIGH_GOAL})
    for _ in range(35):
        observation = env.step(env.expert_action(observation))[0]
    values = observation["observation"]
    assert grips(values[:3], values[3], values[4:7])
    assert values[6] > 0.15
    return env, observation


def block_from_hand(observation: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(observation["observation"][4:7] - observation["observation"][:3])


@pytest.mark.parametrize(
    ("make", "arguments", "count", "least"),
    [
        (PickPlaceEnv, {}, 40, 0.95),
        (StackEnv, {}, 20, 0.95),
        (StackEnv, {"n_blocks": 3}, 10, 0.95),
        (StackEnv, {"n_blocks": 4}, 8, 0.85),
    ],
)
def test_the_expert_solves_the_goals(make: Any, arguments: dict[str, Any], count: int, least: float) -> None:
    env = make(**arguments)
    rate, deepest = success_at_the_end(env, env.sample_goals(count, np.random.default_rng(11)).achieved)
    assert rate >= least
    assert deepest < 2 * DEPTH
    env.close()


def test_fingers_open_and_close_to_where_they_are_told() -> None:
    env = PickPlaceEnv(image_size=16)
    observation, _ = env.reset(seed=0)
    for wanted in (-1.0, 0.0, 0.5, 1.0):
        for _ in range(15):
            observation = env.step([0.0, 0.0, 0.0, wanted])[0]
        assert observation["proprioception"].shape == (4,)
        assert observation["proprioception"][3] == pytest.approx(MAX_OPENING * (wanted + 1) / 2, abs=1e-3)
        states = bullet.getJointStates(env._scene.robot.body, (7, 8), physicsClientId=env._scene.simulation.client)
        assert states[0][0] == pytest.approx(states[1][0], abs=1e-3)
    env.close()


def test_a_held_block_hardly_shifts_and_does_not_sink_into_the_fingers() -> None:
    env, observation = holding()
    before, deepest = block_from_hand(observation), 0.0
    generator = np.random.default_rng(0)
    for step in range(60):
        if step % 4 == 0:
            action = generator.uniform(-1, 1, 3)
        observation = env.step([*action, -1.0])[0]
        deepest = max(deepest, env.penetration())
    np.testing.assert_allclose(block_from_hand(observation), before, atol=8e-3)
    assert deepest < DEPTH
    for _ in range(40):
        observation = env.step([0.0, 0.0, 0.0, -1.0])[0]
    np.testing.assert_allclose(block_from_hand(observation), before, atol=1e-2)
    env.close()


def test_open_fingers_let_go_and_nothing_else_holds() -> None:
    env, _ = holding()
    scene = env._scene
    client = scene.simulation.client
    bodies = [
        bullet.getConstraintInfo(bullet.getConstraintUniqueId(i, client), client)[:4] for i in range(bullet.getNumConstraints(client))
    ]
    assert [(info[0], info[2]) for info in bodies] == [(scene.robot.body, scene.robot.body)], "the gear of the fingers, nothing more"
    for _ in range(12):
        observation = env.step([0.0, 0.0, 0.0, 1.0])[0]
    assert observation["observation"][6] == pytest.approx(0.02, abs=2e-3)
    env.close()


def test_closing_on_nothing_lifts_nothing() -> None:
    env = PickPlaceEnv()
    observation, _ = env.reset(seed=1, options={"goal": HIGH_GOAL})
    block = observation["observation"][4:7].astype(np.float64)
    for _ in range(20):  # ten centimetres beside the block
        hand = observation["observation"][:3].astype(np.float64)
        observation = env.step(move(hand, block - [0.1, 0.0, 0.0], OPEN))[0]
    for _ in range(25):
        observation = env.step([0.0, 0.0, 0.6, -1.0])[0]
    assert observation["observation"][3] < GRIPPED - 0.02
    assert observation["observation"][6] == pytest.approx(0.02, abs=2e-3)
    env.close()


def test_goal_pictures_show_the_finger_opening() -> None:
    env = PickPlaceEnv(image_size=48)
    state = env.sample_goals(1, np.random.default_rng(0)).states[0]
    pictures = []
    for opening in (0.0, MAX_OPENING):
        state[7] = opening
        pictures.append(env.render_state(state))
        assert env.ghost().state()[7] == pytest.approx(opening)
    assert (pictures[0] != pictures[1]).any(axis=-1).sum() >= 4
    env.close()


@pytest.mark.parametrize("n_blocks", [2, 3, 4])
def test_fixed_towers_stand(n_blocks: int) -> None:
    env = StackEnv(n_blocks=n_blocks)
    for split in ("test", "tune"):
        blocks = env.fixed_goals(split).achieved[:, 3:].reshape(100, n_blocks, 3)
        np.testing.assert_allclose(np.diff(blocks[:, :, 2], axis=1), SIDE, atol=3e-3)
        assert np.abs(np.diff(blocks[:, :, :2], axis=1)).max() < SIDE / 2
    env.close()


@pytest.fixture(scope="module")
def tower() -> StackEnv:
    return StackEnv()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-0.03, 0.03), min_size=6, max_size=6), st.lists(st.floats(-0.12, 0.12), min_size=3, max_size=3))
def test_a_tower_counts_when_every_block_is_placed_and_the_hand_away(tower: StackEnv, offsets: list[float], hand: list[float]) -> None:
    goal = np.array([0.5, 0.0, 0.3, 0.5, 0.0, 0.02, 0.5, 0.0, 0.06])
    achieved = goal.copy()
    achieved[3:] += offsets
    achieved[:3] = achieved[6:] + hand
    blocks = achieved[3:].reshape(2, 3)
    near = np.linalg.norm(blocks - goal[3:].reshape(2, 3), axis=1).max() < SUCCESS_DISTANCE
    away = np.linalg.norm(blocks - achieved[:3], axis=1).min() >= AWAY
    metrics = tower.metrics(achieved, goal)
    assert bool(tower.success(achieved, goal)) == (near and away) == bool(metrics["distance"] < SUCCESS_DISTANCE)


def test_a_block_beside_the_tower_is_no_success(tower: StackEnv) -> None:
    goal = np.array([0.5, 0.0, 0.3, 0.5, 0.0, 0.02, 0.5, 0.0, 0.06])
    beside = goal + np.array([0, 0, 0, 0, 0, 0, 0, SIDE, -SIDE])
    assert tower.success(goal, goal)
    assert not tower.success(beside, goal)
    assert tower.coverage(np.stack([goal, beside])) == {"storeys_2": 0.5}


@pytest.mark.parametrize("value", [1, 5, 2.5, True, "2"])
def test_a_wrong_number_of_blocks_is_named(value: Any) -> None:
    with pytest.raises(UserError, match="expected one of: 2, 3, 4"):
        StackEnv(n_blocks=value)


def test_bad_calls_are_named() -> None:
    env, other = PickPlaceEnv(), StackEnv(n_blocks=3)
    env.reset(seed=0)
    calls: dict[str, Callable[[], Any]] = {
        "expected 4 finite numbers in [-1, 1]": lambda: env.step([0.0, 0.0, 0.0]),
        "7 joint angles, then the finger opening": lambda: env.render_state(np.zeros(14)),
        "expected 6 finite numbers: hand_x_m": lambda: env.reset(options={"goal": [0.5]}),
        "expected one of 'stack_3'": lambda: other.set_state(env.get_state()),
    }
    for said, call in calls.items():
        with pytest.raises(UserError) as caught:
            call()
        assert said in str(caught.value)
    env.close()
    other.close()


def test_the_skill_commands_shut_and_open() -> None:
    assert issubclass(StackEnv, GraspingEnv)
    assert move(np.zeros(3), np.ones(3), SHUT)[3] == -1.0
    assert move(np.zeros(3), np.ones(3), OPEN)[3] == 1.0
