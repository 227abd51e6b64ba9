"""The PyBullet tasks as goal environments: spaces, goals, exact state, pictures, and what they say to bad input."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.api import TaskEnv
from envs.button import ButtonEnv
from envs.door import DoorEnv
from envs.drawer import DrawerEnv
from envs.drawer_pick_push import DrawerPickPushEnv
from envs.errors import UserError
from envs.manipulation import TOUCH, ManipulationEnv
from envs.multi_push import MultiPushEnv
from envs.pick_place import PickPlaceEnv
from envs.push import PUCK_START, PushEnv
from envs.reach import ReachEnv
from envs.stack import StackEnv
from envs.tabletop import TabletopEnv

TASKS = {"door": DoorEnv, "push": PushEnv, "reach": ReachEnv, "pick_place": PickPlaceEnv, "stack": StackEnv}
TASKS |= {"drawer": DrawerEnv, "button": ButtonEnv, "multi_push": MultiPushEnv}
TASKS |= {"drawer_pick_push": DrawerPickPushEnv, "tabletop": TabletopEnv}
# Goals whose rollouts touch the door, the puck or what else there is for most of the episode.
TOUCHING = {
    "door": [0.6, 0.35, 0.0, 0.28],
    "push": [0.5, 0.03, 0.58, 0.06],
    "reach": [0.5, 0.1, 0.1],
    "pick_place": [0.5, 0.1, 0.2, 0.5, 0.1, 0.2],
    "stack": [0.5, 0.0, 0.2, 0.5, 0.0, 0.02, 0.5, 0.0, 0.06],
    "drawer": [0.12, 0.5, 0.0, 0.09],
    "button": [0.03, 0.5, 0.1, 0.2],
    "drawer_pick_push": [0.15, 0.37, 0.0, 0.02, 0.53, 0.2, 0.42, 0.0, 0.25],
    "multi_push": [0.4, 0.0, 0, 0.55, -0.15, 9, 0.58, 0.02, -1, 0, 0],
    "tabletop": [0.38, 0.0, 0.22, 0, 0, 0.15, -1, 0.0, 9, 2, 0.39, -0.07, 0.024],
}
Trace = list[np.ndarray[Any, Any]]


@pytest.fixture(params=sorted(TASKS))
def env(request: pytest.FixtureRequest) -> Iterator[ManipulationEnv]:
    made = TASKS[request.param]()
    yield made
    made.close()


def episode(env: ManipulationEnv, seed: int, steps: int = 30) -> Trace:
    """The observations of an episode in which the expert, disturbed at random, pushes things about."""
    generator = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed, options={"goal": TOUCHING[env.task]})
    trace = [observation["observation"]]
    for index in range(steps):
        action = env.expert_action(observation) if index % 4 else generator.uniform(-1, 1, env.action_axes)
        observation = env.step(action)[0]
        trace.append(observation["observation"])
    return trace


def waves(env: ManipulationEnv, steps: int = 25) -> Trace:
    """Fixed actions from wherever the environment is."""
    return [env.step(0.8 * np.sin(0.4 * index + np.arange(env.action_axes)))[0]["observation"] for index in range(steps)]


def digest(trace: Trace) -> str:
    return hashlib.sha256(np.array(trace).tobytes()).hexdigest()


def test_follows_the_contract(env: ManipulationEnv) -> None:
    assert isinstance(env, TaskEnv)
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert len(env.factors) == len(observation["achieved_goal"])
    assert "image" not in observation
    assert not env.capabilities.images
    assert info["step"] == 0
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])


@pytest.mark.parametrize("reward_type", ["sparse", "dense"])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_computed_rewards_equal_those_of_step(task: str, reward_type: str) -> None:
    # Steps in which the expert is done with its first goal.
    horizon = {"stack": 100, "multi_push": 100, "drawer_pick_push": 100, "tabletop": 80}.get(task, 30)
    env = TASKS[task](reward_type=reward_type, horizon=horizon)
    achieved, desired, rewards, truncations, infos = [], [], [], [], []
    for seed in range(2):
        goals = env.sample_goals(1, np.random.default_rng(seed))
        observation, _ = env.reset(seed=seed, options=goals.options(0))
        truncated = False
        while not truncated:
            observation, reward, terminated, truncated, info = env.step(env.expert_action(observation))
            assert not terminated
            achieved.append(observation["achieved_goal"])
            desired.append(observation["desired_goal"])
            rewards.append(reward)
            truncations.append(truncated)
            infos.append(info)
    rows = np.array(achieved), np.array(desired)
    assert len(rewards) == 2 * horizon
    assert min(rewards) < max(rewards)
    np.testing.assert_array_equal(env.compute_reward(*rows, infos), np.array(rewards, np.float32))
    np.testing.assert_array_equal(env.compute_truncated(*rows, infos), truncations)
    np.testing.assert_array_equal(env.compute_truncated(*rows, {"step": np.array([info["step"] for info in infos])}), truncations)
    assert not env.compute_terminated(*rows, infos).any()
    np.testing.assert_array_equal(env.success(*rows), [info["is_success"] for info in infos])
    folded = [row.reshape(2, horizon, -1) for row in rows]
    np.testing.assert_array_equal(env.compute_reward(*folded, None).reshape(-1), np.array(rewards, np.float32))
    env.close()


def test_success_is_a_threshold_on_distance(env: ManipulationEnv) -> None:
    goals = env.sample_goals(20, np.random.default_rng(0)).achieved
    first, second = np.repeat(goals, 20, axis=0), np.tile(goals, (20, 1))
    distance, success = env.metrics(first, second)["distance"], env.success(first, second)
    assert success.any()
    assert not success.all()
    assert distance[success].max() < distance[~success].min()


def test_a_seed_decides_an_episode_whatever_went_before(env: ManipulationEnv) -> None:
    once = [episode(env, seed) for seed in range(3)]
    other = TASKS[env.task]()
    for seed in (2, 0, 1):
        waves(other, 5) if seed == 0 else None
        np.testing.assert_array_equal(episode(other, seed), once[seed])
    assert digest(once[0]) != digest(once[1])
    other.close()


def test_a_restored_state_continues_alike_whatever_went_before(env: ManipulationEnv) -> None:
    states, configurations = [], []
    for seed in range(3):
        episode(env, seed, steps=14 + seed)
        states.append(env.get_state())
        configurations.append(env.goal_state())
    continuations = []
    for state, configuration in zip(states, configurations):
        env.set_state(state)
        np.testing.assert_array_equal(env.goal_state(), configuration)
        continuations.append(waves(env))
    other = TASKS[env.task]()
    for state, continuation in reversed(list(zip(states, continuations))):
        other.set_state(state)
        np.testing.assert_array_equal(waves(other), continuation)
    assert len({digest(continuation) for continuation in continuations}) == 3
    other.close()


def test_a_restored_state_brings_back_goal_steps_and_generator(env: ManipulationEnv) -> None:
    episode(env, 3, steps=env.horizon - 1)
    state = env.get_state()
    drawn = env.np_random.random()
    env.reset(seed=9)
    env.set_state(state)
    observation, _, _, truncated, info = env.step(np.zeros(env.action_axes))
    np.testing.assert_array_equal(observation["desired_goal"], np.array(TOUCHING[env.task], np.float32))
    assert truncated
    assert info["step"] == env.horizon
    assert env.np_random.random() == drawn


OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_envs_pybullet import TASKS, digest, episode, waves
for task, make in sorted(TASKS.items()):
    env = make()
    env.set_state((Path(sys.argv[1]) / task).read_bytes())
    print(digest(waves(env)), digest(episode(env, 5)))
"""


def test_another_process_continues_bit_for_bit(tmp_path: Path) -> None:
    here = []
    for task, make in sorted(TASKS.items()):
        env = make()
        episode(env, 4, steps=17)
        state = env.get_state()
        (tmp_path / task).write_bytes(state)
        env.set_state(state)
        here.append(f"{digest(waves(env))} {digest(episode(env, 5))}")
        env.close()
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path), str(Path(__file__).parent)]
    there = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert [line for line in there.splitlines() if len(line) == 129] == here


def test_keep_state_goes_on_where_the_last_episode_ended(env: ManipulationEnv) -> None:
    episode(env, 1)
    before = env.goal_state()
    _, info = env.reset(seed=2, options={"goal": TOUCHING[env.task], "keep_state": True})
    np.testing.assert_array_equal(env.goal_state(), before)
    assert info["step"] == 0
    env.reset(seed=2)
    assert np.abs(env.goal_state() - before).max() > 0.01


def test_sampled_goals_are_states_without_penetration(env: ManipulationEnv) -> None:
    goals = env.sample_goals(30, np.random.default_rng(1))
    assert goals.achieved.shape == (30, len(env.factors))
    ghost = env.ghost()
    for state, achieved in zip(goals.states, goals.achieved):
        ghost.simulation.restore_start()
        ghost.place(state)
        assert ghost.simulation.penetration() <= TOUCH
        np.testing.assert_allclose(ghost.measure()[1], achieved, atol=1e-6)
    np.testing.assert_array_equal(env.sample_goals(30, np.random.default_rng(1)).states, goals.states)


def test_fixed_goals_are_consistent_states(env: ManipulationEnv) -> None:
    test, tune = env.fixed_goals("test"), env.fixed_goals("tune")
    assert len(test) == len(tune) == 100
    assert len(np.unique(np.concatenate([test.achieved, tune.achieved]), axis=0)) == 200
    ghost = env.ghost()
    for state, achieved in zip(test.states, test.achieved):
        ghost.place(state)
        np.testing.assert_allclose(ghost.measure()[1], achieved, atol=1e-4)


def test_fixed_goals_cover_what_the_experiments_ask_for() -> None:
    door, push = DoorEnv(), PushEnv()
    for split in ("test", "tune"):
        angles = door.fixed_goals(split).achieved[:, 0]
        assert (angles > 0.15).sum() >= 70
        assert angles.max() > 0.8
        moved = np.linalg.norm(push.fixed_goals(split).achieved[:, 2:] - PUCK_START, axis=1)
        assert (moved >= 0.08).sum() >= 50
    door.close()
    push.close()


@pytest.mark.parametrize("task", sorted(TASKS))
def test_pictures_of_goal_states_do_not_disturb_the_episode(task: str) -> None:
    plain, drawn = TASKS[task](image_size=48), TASKS[task](image_size=48)
    goal = TOUCHING[task]
    first, second = (env.reset(seed=3, options={"goal": goal})[0] for env in (plain, drawn))
    for _ in range(15):
        first, second = plain.step(plain.expert_action(first))[0], drawn.step(drawn.expert_action(second))[0]
        picture = drawn.render_state(drawn.goal_state())
        # A goal state leaves out how a puck is turned about its axis, which shades its side a little differently.
        assert np.abs(picture.astype(int) - second["image"]).mean() < 0.5
    np.testing.assert_array_equal(first["observation"], second["observation"])
    np.testing.assert_array_equal(first["image"], second["image"])
    far = drawn.render_state(drawn.sample_goals(1, np.random.default_rng(0)).states[0])
    assert np.abs(far.astype(int) - second["image"]).mean() > 1
    plain.close()
    drawn.close()


@pytest.mark.parametrize("camera", sorted(DoorEnv.cameras))
def test_every_camera_sees_the_door_open(camera: str) -> None:
    env = DoorEnv(image_size=32, camera=camera)
    states = env.sample_goals(1, np.random.default_rng(0)).states.repeat(2, axis=0)
    states[:, 7] = 0.1, 0.8
    closed, opened = (env.render_state(state) for state in states)
    assert closed.shape == (32, 32, 3)
    assert (closed != opened).any(axis=-1).mean() > 0.05
    assert env.picture(64, "top").shape == (64, 64, 3)
    env.close()


def test_images_come_with_the_hand_position() -> None:
    env = ReachEnv(image_size=20)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.capabilities.images
    np.testing.assert_array_equal(observation["proprioception"], observation["achieved_goal"])
    env.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"camera": "hing"}, "did you mean 'hinge'"),
        ({"reward_type": "sprase"}, "did you mean 'sparse'"),
        ({"setting": "hrad"}, "did you mean 'hard'"),
        ({"visuals": "ful"}, "did you mean 'full'"),
        ({"image_size": -1}, "image_size=-1; expected a whole number from 0 to 4096"),
        ({"image_size": 100_000}, "image_size=100000; expected a whole number from 0 to 4096"),
        ({"image_size": 4.5}, "image_size=4.5"),
        ({"horizon": 0}, "horizon=0; expected a whole number of at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        DoorEnv(**arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_calls_are_named() -> None:
    env, other = DoorEnv(), ReachEnv()
    env.reset(seed=0)
    state = env.get_state()
    calls: dict[str, Callable[[], Any]] = {
        "did you mean 'goal'": lambda: env.reset(options={"gaol": [0.1]}),
        "expected 4 finite numbers: door_angle_rad": lambda: env.reset(options={"goal": [0.1]}),
        "goal [nan": lambda: env.reset(options={"goal": [np.nan, 0, 0, 0]}),
        "expected 3 finite numbers in [-1, 1]": lambda: env.step([0.0, np.inf, 0.0]),
        "action [0.0, 0.0]": lambda: env.step([0.0, 0.0]),
        "goal state has shape (3,)": lambda: env.render_state(np.zeros(3)),
        "expected one of: test, tune": lambda: env.fixed_goals("train"),
        "not a simulator state": lambda: env.set_state(b"bullet"),
        "cut short or altered": lambda: env.set_state(state[:-5]),
        "simulator state of task 'door'": lambda: other.set_state(state),
    }
    for said, call in calls.items():
        with pytest.raises(UserError) as caught:
            call()
        assert said in str(caught.value)
    env.close()
    env.close()
    other.close()


def test_worlds_leave_no_files_behind() -> None:
    env = ReachEnv()
    env.sample_goals(1, np.random.default_rng(0))
    folders = [scene.simulation.folder for scene in (env._scene, env.ghost())]
    assert all(folder.exists() for folder in folders)
    env.close()
    assert not any(folder.exists() for folder in folders)
