"""Gymnasium goal environments of other packages, used as they are."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.conformance import check_env
from envs.errors import UserError
from envs.foreign import ForeignEnv


class Line(gymnasium.Env[dict[str, Any], Any]):
    """A goal environment as strangers write them: float64, one goal at a time, no ``compute_terminated``, ends by falling off."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, edge: float = 2.0, picture: bool = True) -> None:
        box = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict({"observation": box, "achieved_goal": box, "desired_goal": box})
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.render_mode, self.edge, self.picture = render_mode, edge, picture

    def _see(self) -> dict[str, Any]:
        return {"observation": self.at.copy(), "achieved_goal": self.at.copy(), "desired_goal": self.target.copy()}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.at, self.target = np.zeros(1), self.np_random.uniform(-1, 1, 1)
        return self._see(), {}

    def step(self, action: Any) -> Any:
        self.at = self.at + action
        reward = self.compute_reward(self.at, self.target, {})
        return self._see(), reward, bool(abs(self.at[0]) > self.edge), False, {}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> float:
        return 0.0 if abs(achieved_goal[0] - desired_goal[0]) < 0.1 else -1.0

    def render(self) -> Any:
        return np.full((10, 20, 3), 7, np.uint8) if self.picture else None


gymnasium.register("tests/Line-v0", entry_point=Line, max_episode_steps=9)
gymnasium.register("tests/Endless-v0", entry_point=Line)


@pytest.mark.parametrize("env_id", ["FetchReach-v4", "FetchPickAndPlace-v4", "PointMaze_UMaze-v3"])
def test_gymnasium_robotics_keeps_the_contract(env_id: str) -> None:
    env = envs.make(env_id)
    assert env.capabilities.state
    assert check_env(env) == []
    env.close()


def test_panda_gym_keeps_the_contract_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("panda_gym")
    env = envs.make("PandaReach-v3")
    assert capfd.readouterr().out == ""
    assert check_env(env) == []
    assert not env.capabilities.state
    with pytest.raises(UserError, match=r"PandaReach-v3 has no exact state"):
        env.get_state()
    env.close()


def test_a_strangers_environment_keeps_the_contract() -> None:
    assert check_env(envs.make("tests/Line-v0", success_threshold=0.1, edge=1e9)) == []


@pytest.mark.parametrize(("env_id", "steps"), [("FetchReach-v4", 50), ("PointMaze_UMaze-v3", 300)])
def test_the_horizon_is_the_registered_one_unless_given(env_id: str, steps: int) -> None:
    assert envs.make(env_id).horizon == steps
    env = envs.make(env_id, horizon=7)
    env.reset(seed=0)
    assert [env.step(env.action_space.sample())[3] for _ in range(7)] == [False] * 6 + [True]


def test_a_seeded_trajectory_does_not_depend_on_what_came_before() -> None:
    def trajectory(env: envs.TaskEnv) -> list[Any]:
        generator = np.random.default_rng(3)
        frames = [env.reset(seed=11)[0]]
        frames += [env.step(generator.uniform(-1, 1, 4).astype(np.float32))[0] for _ in range(50)]
        return [np.concatenate(list(frame.values())) for frame in frames]

    fresh = trajectory(envs.make("FetchReach-v4"))
    worn = envs.make("FetchReach-v4")
    for seed in range(3):
        worn.reset(seed=seed)
        for _ in range(20 + seed):
            worn.step(np.ones(4, np.float32))
    worn.sample_goals(5, np.random.default_rng(0))
    assert np.array_equal(fresh, trajectory(worn))


_CONTINUE = """
import base64, json, sys, numpy as np, envs
env = envs.make(sys.argv[1])
env.set_state(base64.b64decode(sys.stdin.read()))
generator = np.random.default_rng(0)
steps = [env.step(generator.uniform(-1, 1, env.action_space.shape).astype(np.float32))[0]["observation"].tolist() for _ in range(20)]
print(json.dumps(steps + [env.reset()[0]["observation"].tolist()]))
"""


@pytest.mark.parametrize("env_id", ["FetchPickAndPlace-v4", "PointMaze_UMaze-v3"])
def test_a_saved_state_goes_on_bit_for_bit_in_another_process(env_id: str) -> None:
    env = envs.make(env_id)
    env.reset(seed=4)
    generator = np.random.default_rng(1)

    def act() -> list[float]:
        return env.step(generator.uniform(-1, 1, env.action_space.shape).astype(np.float32))[0]["observation"].tolist()  # type: ignore[no-any-return]

    for _ in range(30):
        act()
    state = env.get_state()
    generator = np.random.default_rng(0)
    here = [act() for _ in range(20)] + [env.reset()[0]["observation"].tolist()]
    command = [sys.executable, "-c", _CONTINUE, env_id]
    there = subprocess.run(command, input=base64.b64encode(state).decode(), capture_output=True, text=True, check=True)
    assert json.loads(there.stdout) == here


def test_success_is_the_environments_own() -> None:
    env = envs.make("FetchReach-v4")
    goals = np.zeros((3, 3), np.float32)
    reached = np.array([[0.049, 0, 0], [0.051, 0, 0], [0, 0, 0]], np.float32)
    assert env.success(reached, goals).tolist() == [True, False, True]
    assert env.compute_reward(reached, goals, {}).tolist() == [0.0, -1.0, 0.0]
    strict = envs.make("FetchReach-v4", success_threshold=0.01)
    assert strict.success(reached, goals).tolist() == [False, False, True]
    maze = envs.make("PointMaze_UMaze-v3")
    assert maze.success(np.array([[0.44, 0.0], [0.46, 0.0]]), np.zeros((2, 2))).tolist() == [True, False]


def test_a_commanded_goal_reaches_the_environment_and_its_marker() -> None:
    env = envs.make("PointMaze_UMaze-v3")
    goal = np.array([1.0, -1.0], np.float32)
    env.reset(seed=0, options={"goal": goal})
    inner: Any = env._inner.unwrapped  # type: ignore[attr-defined]
    assert np.allclose(inner.goal, goal)
    assert np.allclose(inner.model.site_pos[inner.target_site_id][:2], goal)
    observation, _ = env.reset(seed=0)
    assert not np.allclose(observation["desired_goal"], goal), "the next episode has its own goal again"


def test_reaching_the_goal_does_not_end_an_episode_of_a_continuing_task() -> None:
    goal = {"goal": envs.make("PointMaze_UMaze-v3").reset(seed=2)[0]["achieved_goal"]}
    for continuing in (True, False):
        env = envs.make("PointMaze_UMaze-v3", continuing_task=continuing)
        env.reset(seed=2, options=goal)
        _, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
        assert (reward, info["is_success"], truncated) == (1.0, True, False)
        assert terminated is not continuing
        ends = env.compute_terminated(np.zeros((2, 2)), np.array([[0.0, 0.0], [1.0, 0.0]]), {})
        assert ends.tolist() == [not continuing, False]


def test_an_end_that_is_not_the_goal_is_passed_on() -> None:
    env = envs.make("tests/Line-v0", success_threshold=0.1)
    env.reset(seed=0, options={"goal": np.array([2.0])})
    ends = [env.step(np.ones(1, np.float32))[2] for _ in range(3)]
    assert ends == [False, False, True], "step 2 reaches the goal and goes on, step 3 falls off the edge"


def test_reset_free_episodes_go_on_where_the_last_one_ended_with_a_new_goal() -> None:
    env = envs.make("FetchReach-v4")
    env.reset(seed=0)
    for _ in range(50):
        last = env.step(np.ones(4, np.float32))[0]
    after = env.reset(options={"keep_state": True})[0]
    assert np.array_equal(after["observation"], last["observation"])
    assert not np.array_equal(after["desired_goal"], last["desired_goal"])
    assert env.step(np.zeros(4, np.float32))[3] is False, "the clock starts anew"


def test_pictures_come_in_the_size_asked_for() -> None:
    env = envs.make("tests/Line-v0", success_threshold=0.1, image_size=8, proprioception=(0,))
    observation, _ = env.reset(seed=0)
    assert observation["image"].shape == (8, 8, 3)
    assert np.all(observation["image"] == 7)
    assert observation["proprioception"].shape == (1,)
    assert env.capabilities.images
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("env_id", "arguments", "message"),
    [
        ("tests/Line-v0", {}, "success_threshold="),
        ("tests/Line-v0", {"success_threshold": -1.0}, "positive"),
        ("tests/Endless-v0", {"success_threshold": 0.1}, "horizon="),
        ("tests/Line-v0", {"success_threshold": 0.1, "image_size": 8, "picture": False}, "draws no pictures"),
        ("tests/Line-v0", {"success_threshold": 0.1, "proprioception": (3,)}, "proprioception"),
        ("tests/Line-v0", {"success_threshold": 0.1, "image_size": -1}, "image_size"),
        ("tests/Line-v0", {"success_threshold": 0.1, "image_size": 100_000}, "image_size=100000; expected a whole number from 0 to 4096"),
        ("CartPole-v1", {}, "not a goal environment"),
    ],
)
def test_what_cannot_be_wrapped_is_said_in_one_line(env_id: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        envs.make(env_id, **arguments)
    assert "\n" not in str(caught.value)


def test_malformed_use_is_said_in_one_line() -> None:
    env = ForeignEnv("tests/Line-v0", success_threshold=0.1)
    with pytest.raises(UserError, match="before reset"):
        env.step(np.zeros(1))
    with pytest.raises(UserError, match="expected 1 finite numbers"):
        env.reset(options={"goal": np.zeros(2)})
    reach = envs.make("FetchReach-v4")
    with pytest.raises(UserError, match="cannot be read"):
        reach.set_state(b"not a state")
    maze = envs.make("PointMaze_UMaze-v3")
    maze.reset(seed=0)
    with pytest.raises(UserError, match="belongs to PointMaze_UMaze-v3"):
        reach.set_state(maze.get_state())


def test_a_maze_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    maze = envs.make("PointMaze_UMaze-v3")
    maze.sample_goals(2, np.random.default_rng(0))  # by a copy
    maze.close()
    assert not list(tmp_path.iterdir())


_DRAW = """
import sys, numpy as np, envs
for env_id in sys.argv[1:]:
    env = envs.make(env_id, image_size=24)
    picture = env.reset(seed=0)[0]["image"]
    goals = env.fixed_goals("test").states
    drawn = [env.render_state(goals[0]), env.render_state(goals[1]), env.render_state(goals[0])]
    print(env_id, picture.std() > 5, np.array_equal(drawn[0], drawn[2]), not np.array_equal(drawn[0], drawn[1]), flush=True)
    env.close()
"""


def draws(env_ids: list[str]) -> None:
    """One process draws the environments one after another, with MuJoCo on EGL; skipped where there is no EGL."""
    command = [sys.executable, "-c", _DRAW, *env_ids]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MUJOCO_GL": "egl"}, check=False)
    if "draws no pictures here" in done.stderr or "EGL" in done.stderr:
        pytest.skip("no OpenGL through EGL here")
    assert done.returncode == 0, done.stderr
    for env_id in env_ids:
        assert f"{env_id} True True True" in done.stdout, done.stdout


def test_goals_of_fetch_mazes_and_hands_are_drawn_and_no_environment_spoils_the_next_ones_pictures() -> None:
    draws(["FetchReach-v4", "FetchPush-v4", "PointMaze_UMaze-v3", "HandManipulateBlock-v1"])


def test_goals_of_panda_gym_are_drawn() -> None:
    pytest.importorskip("panda_gym")
    draws(["PandaReach-v3", "PandaPush-v3"])


@pytest.mark.parametrize("env_id", ["FetchPush-v4", "AntMaze_UMaze-v5", "HandReach-v3", "HandManipulateBlock-v1"])
def test_other_tasks_of_gymnasium_robotics_are_made_and_stepped(env_id: str) -> None:
    env = envs.make(env_id)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    assert env.success(observation["achieved_goal"][None], observation["achieved_goal"][None]).tolist() == [True]
    with pytest.raises(UserError, match="cannot draw goals"):
        env.render_state(observation["achieved_goal"])
    env.close()
