"""Contact is believable: what is pushed moves and stops, nothing sinks in, the handle can be pulled and pushed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.door import BAR_ALONG, BAR_OUT, LOW, MIDDLE, TOP, DoorEnv, door_point
from envs.manipulation import ManipulationEnv
from envs.push import PushEnv
from envs.reach import ReachEnv
from envs.robot import MAX_STEP

DEPTH = 3e-3  # m, the deepest that two bodies may go into each other at a blow


def move_to(env: ManipulationEnv, target: tuple[float, float, float], speed: float = 1.0, steps: int = 40) -> float:
    """Move the hand toward a point until it is there; returns the deepest contact on the way (m)."""
    deepest = 0.0
    for _ in range(steps):
        offset = np.array(target) - env._hand
        if np.abs(offset).max() < 2e-3:
            break
        env.step(np.clip(offset / MAX_STEP, -speed, speed)[: env.action_axes])
        deepest = max(deepest, env.penetration())
    return deepest


def hooked(goal: Any = (0.5, 0.4, 0.0, 0.28)) -> DoorEnv:
    """A closed door with the fingers between panel and bar."""
    env = DoorEnv()
    env.reset(seed=0, options={"goal": goal})
    x, y = door_point(0.0, BAR_ALONG, MIDDLE)
    move_to(env, (env._hand[0], env._hand[1], TOP + 0.02))
    move_to(env, (x, y, TOP + 0.02))
    move_to(env, (x, y, LOW[2]))
    assert angle(env) < 0.02
    return env


def angle(env: DoorEnv) -> float:
    return float(env.goal_state()[7])


def test_a_pushed_puck_moves_and_stops() -> None:
    env = PushEnv()
    for seed in range(5):
        observation, _ = env.reset(seed=seed, options={"goal": np.zeros(4)})
        start = observation["achieved_goal"][2:]
        for action in [[1.0, 0.0]] * 6 + [[-1.0, 0.0]] * 2 + [[0.0, 0.0]] * 10:
            observation, *_ = env.step(action)
        velocity = observation["observation"][4:]
        assert observation["achieved_goal"][2] - start[0] > 0.03
        assert np.abs(velocity).max() < 1e-3
        resting = observation["achieved_goal"][2:]
        for _ in range(20):
            observation, *_ = env.step([0.0, 0.0])
        np.testing.assert_allclose(observation["achieved_goal"][2:], resting, atol=5e-4)
    env.close()


def test_pushing_at_full_speed_does_not_penetrate() -> None:
    env = PushEnv()
    generator = np.random.default_rng(0)
    deepest = 0.0
    touched = 0
    for seed in range(8):
        observation, _ = env.reset(seed=seed, options={"goal": np.zeros(4)})
        start = observation["achieved_goal"][2:]
        direction = generator.uniform(-0.5, 0.5)
        for _ in range(12):
            observation, *_ = env.step([1.0, direction])
            deepest = max(deepest, env.penetration())
        touched += bool(np.linalg.norm(observation["achieved_goal"][2:] - start) > 0.02)
    assert touched >= 4
    assert deepest < DEPTH
    env.close()


def test_the_handle_can_be_pulled_and_pushed() -> None:
    env = hooked()
    deepest = 0.0
    for wanted in np.arange(0.1, 0.81, 0.1):
        deepest = max(deepest, move_to(env, (*door_point(wanted, BAR_ALONG, BAR_OUT - 0.02), LOW[2]), speed=0.5))
    opened = angle(env)
    assert opened > 0.7
    for wanted in np.arange(0.7, 0.05, -0.1):
        deepest = max(deepest, move_to(env, (*door_point(wanted, BAR_ALONG, 0.025), LOW[2]), speed=0.5))
    assert angle(env) < 0.2
    assert deepest < DEPTH
    env.close()


def test_the_door_stays_where_it_is_left() -> None:
    env = hooked()
    for wanted in (0.15, 0.3, 0.45):
        move_to(env, (*door_point(wanted, BAR_ALONG, BAR_OUT - 0.02), LOW[2]), speed=0.4)
    x, y = door_point(angle(env), BAR_ALONG, MIDDLE)
    move_to(env, (x, y, LOW[2]), speed=0.3)
    left = angle(env)
    assert left > 0.3
    move_to(env, (x, y, TOP + 0.02))
    move_to(env, (0.35, -0.25, TOP + 0.02))
    for _ in range(30):
        env.step(np.zeros(3))
    assert angle(env) == pytest.approx(left, abs=5e-3)
    env.close()


def test_a_blocked_hand_does_not_wind_up() -> None:
    """Leaning on the closed door for a second must not delay the way back."""
    env = hooked()
    for _ in range(20):
        env.step([1.0, 0.0, 0.0])
    before = env._hand[0]
    for _ in range(3):
        env.step([-1.0, 0.0, 0.0])
    assert before - env._hand[0] > 0.03
    env.close()


def test_an_idle_arm_does_not_sag() -> None:
    env = ReachEnv()
    observation, _ = env.reset(seed=0)
    start = observation["achieved_goal"]
    for _ in range(60):
        observation, *_ = env.step(np.zeros(3))
    np.testing.assert_allclose(observation["achieved_goal"], start, atol=1e-3)
    env.close()


def test_a_step_moves_the_hand_by_three_centimetres() -> None:
    env = ReachEnv()
    env.reset(seed=0, options={"goal": [0.5, 0.0, 0.2]})
    env.step([0.0, 1.0, 0.0])
    before = env._hand
    env.step([0.0, 1.0, 0.0])
    np.testing.assert_allclose(np.subtract(env._hand, before), [0.0, 0.03, 0.0], atol=2e-3)
    env.close()


@pytest.mark.parametrize(("make", "arguments"), [(DoorEnv, {"setting": "hard"}), (DoorEnv, {}), (PushEnv, {}), (ReachEnv, {})])
def test_the_expert_reaches_the_goals(make: Any, arguments: dict[str, Any]) -> None:
    env = make(**arguments)
    goals = env.sample_goals(40, np.random.default_rng(7)).achieved
    reached = 0
    for seed, goal in enumerate(goals):
        observation, _ = env.reset(seed=seed, options={"goal": goal})
        truncated = False
        while not truncated:
            observation, _, _, truncated, info = env.step(env.expert_action(observation))
        reached += info["is_success"]
    assert reached >= 38
    env.close()
