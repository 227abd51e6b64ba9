"""Drawer and button: what is moved stays, what is pressed latches; the experts solve both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_contact import DEPTH, move_to
from test_grasping import success_at_the_end

from envs.button import CLEAR, PLACE, ButtonEnv
from envs.drawer import BAR, FRONT, DrawerEnv
from envs.drawer import LOW as DRAWER_LOW
from envs.furniture import BUTTON_TOP, BUTTON_TRAVEL, LATCH


@pytest.mark.parametrize("make", [DrawerEnv, ButtonEnv])
def test_the_expert_solves_the_goals(make: Any) -> None:
    env = make()
    rate, deepest = success_at_the_end(env, env.sample_goals(40, np.random.default_rng(11)).achieved)
    assert rate >= 0.95
    assert deepest < DEPTH
    env.close()


def test_a_drawer_stays_where_it_is_left() -> None:
    env = DrawerEnv()
    observation, _ = env.reset(seed=0, options={"goal": [0.1, 0.5, 0.0, 0.09]})
    for _ in range(30):
        observation = env.step(env.expert_action(observation))[0]
    left = env.goal_state()[7]
    assert left == pytest.approx(0.1, abs=0.01)
    middle = (BAR + FRONT - 0.012) / 2 - left
    move_to(env, (middle, 0.0, 0.16))
    move_to(env, (0.40, 0.15, 0.16))
    for _ in range(20):
        env.step(np.zeros(3))
    assert env.goal_state()[7] == pytest.approx(left, abs=2e-3)
    env.close()


def test_a_drawer_moves_by_its_handle_only() -> None:
    """A hand that passes over the handle leaves the drawer alone, and one before the bar pushes it no farther than shut."""
    env = DrawerEnv()
    env.reset(seed=0, options={"goal": [0.1, 0.5, 0.0, 0.09]})
    move_to(env, (0.62, 0.0, 0.16))
    move_to(env, (0.45, 0.0, 0.16))
    assert env.goal_state()[7] < 1e-3
    move_to(env, (0.45, 0.0, DRAWER_LOW[2]))
    deepest = move_to(env, (0.60, 0.0, DRAWER_LOW[2]), steps=20)
    assert env.goal_state()[7] < 2e-3
    assert deepest < DEPTH
    env.close()


def press(env: ButtonEnv, depth: float) -> None:
    """Lower the hand until the cap is `depth` m down."""
    move_to(env, (*PLACE, CLEAR))
    for _ in range(60):
        if env.goal_state()[7] >= depth:
            return
        env.step([0.0, 0.0, -0.1])
    raise AssertionError("the button does not go down")


def test_a_button_pressed_a_little_comes_back_up() -> None:
    env = ButtonEnv()
    env.reset(seed=0)
    press(env, 0.5 * LATCH)
    assert env.goal_state()[7] < LATCH
    move_to(env, (*PLACE, 0.2))
    for _ in range(10):
        env.step(np.zeros(3))
    assert env.goal_state()[7] == pytest.approx(0.0, abs=1e-3)
    env.close()


def test_a_button_pressed_far_enough_stays_down_in_every_later_episode_until_a_reset() -> None:
    env, other = ButtonEnv(), ButtonEnv()
    env.reset(seed=0)
    press(env, LATCH + 0.002)
    move_to(env, (*PLACE, 0.2))
    for _ in range(20):
        env.step(np.zeros(3))
    assert env.goal_state()[7] == pytest.approx(BUTTON_TRAVEL, abs=1e-3)
    other.reset(seed=5)
    other.set_state(env.get_state())
    for one in (env, other):
        one.reset(options={"keep_state": True})
        for _ in range(10):
            one.step(np.zeros(3))
        assert one.goal_state()[7] == pytest.approx(BUTTON_TRAVEL, abs=1e-3)
    env.reset(seed=1)
    assert env.goal_state()[7] == pytest.approx(0.0, abs=1e-3)
    env.close()
    other.close()


def test_an_untouched_button_stays_up() -> None:
    env = ButtonEnv()
    env.reset(seed=0)
    for _ in range(40):
        observation = env.step([0.0, 0.5, 0.0])[0]
    assert observation["achieved_goal"][0] == pytest.approx(0.0, abs=1e-3)
    assert BUTTON_TOP > BUTTON_TRAVEL
    env.close()
