"""Options that change pictures and nothing else: a camera on the wrist, distractors, randomised colours, light and camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_cases import differing

import envs
from envs.bodies import COLOURS
from envs.button import ButtonEnv
from envs.conformance import check_env
from envs.door import DoorEnv
from envs.drawer import DrawerEnv
from envs.errors import UserError
from envs.looks import draw_shift
from envs.manipulation import ManipulationEnv
from envs.multi_push import MultiPushEnv
from envs.palette import BODIES
from envs.pick_place import PickPlaceEnv
from envs.push import PushEnv
from envs.quiet import bullet
from envs.reach import ReachEnv
from envs.stack import StackEnv
from gcrl.collect import collect
from gcrl.config import env_choice

TASKS = {"door": DoorEnv, "push": PushEnv, "reach": ReachEnv, "pick_place": PickPlaceEnv, "stack": StackEnv}
TASKS |= {"drawer": DrawerEnv, "button": ButtonEnv, "multi_push": MultiPushEnv}
RANDOMISE = ["colours", "light", "camera"]
ALL: dict[str, Any] = {"distractors": 3, "randomise": RANDOMISE}
every_task = pytest.mark.parametrize("task", sorted(TASKS))


def episode(env: ManipulationEnv, seed: int | None = 0, steps: int = 8, **options: Any) -> list[dict[str, Any]]:
    """The observations of the expert's first steps, with their rewards."""
    observations = [env.reset(seed=seed, options=options)[0]]
    for _ in range(steps):
        observation, reward, _, _, _ = env.step(env.expert_action(observations[-1]))
        observations.append({**observation, "reward": np.array(reward)})
    return observations


def column(observations: list[dict[str, Any]], key: str) -> np.ndarray[Any, Any]:
    return np.stack([observation[key] for observation in observations])


def apart(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    """The mean difference of two pictures, of 255."""
    return float(np.abs(first.astype(int) - second).mean())


@every_task
def test_options_change_pictures_and_nothing_else(task: str) -> None:
    plain, shown = TASKS[task](image_size=32), TASKS[task](image_size=32, **ALL)
    for seed in (0, None):  # the second episode draws on: nothing more was drawn in the first
        before, after = episode(plain, seed), episode(shown, seed)
        for key in ("observation", "achieved_goal", "desired_goal", "proprioception"):
            np.testing.assert_array_equal(column(before, key), column(after, key))
        assert min(apart(one["image"], other["image"]) for one, other in zip(before, after)) > 2
    np.testing.assert_array_equal(plain.np_random.random(3), shown.np_random.random(3))
    assert not shown.observation_space.spaces.keys() - plain.observation_space.spaces.keys()
    for tile in shown._appearance.distractors.bodies:
        assert not bullet.getCollisionShapeData(tile, -1, physicsClientId=shown._scene.simulation.client)
    plain.close()
    shown.close()


@every_task
def test_a_restored_state_looks_and_goes_on_alike(task: str) -> None:
    env, other = TASKS[task](image_size=32, **ALL), TASKS[task](image_size=32, **ALL)
    episode(env, seed=4)
    state, seen = env.get_state(), env.render()
    env.set_state(state)
    first = [env.step(0.5 * np.ones(env.action_axes))[0] for _ in range(5)] + episode(env, None, 3)
    episode(other, seed=5)
    assert apart(other.render(), seen) > 2
    other.set_state(state)
    np.testing.assert_array_equal(other.render(), seen)
    second = [other.step(0.5 * np.ones(env.action_axes))[0] for _ in range(5)] + episode(other, None, 3)
    for key in ("image", "observation", "desired_goal"):
        np.testing.assert_array_equal(column(first, key), column(second, key))
    env.close()
    other.close()


@pytest.mark.parametrize("task", ["door", "multi_push", "stack"])
def test_the_contract_holds_with_all_options(task: str) -> None:
    env = TASKS[task](image_size=24, camera="wrist", **ALL)
    assert check_env(env) == []
    env.close()


def test_distractors_glide_on_paths_of_their_own_in_every_episode() -> None:
    env = PushEnv(image_size=48, distractors=4)
    places = []
    for seed in (0, 1):
        env.reset(seed=seed)
        tiles = env._appearance.distractors
        track = []
        for _ in range(40):
            env.step(np.zeros(2))
            track.append([bullet.getBasePositionAndOrientation(tile, physicsClientId=tiles._client)[0] for tile in tiles.bodies])
        track = np.array(track)
        steps = np.linalg.norm(np.diff(track, axis=0), axis=-1)
        assert (steps.sum(axis=0) > 0.05).all()  # m, in two seconds
        assert steps.max() < 0.05  # m a control step: they never jump
        assert np.abs(np.diff(track, n=2, axis=0)).max() < 0.005
        assert (track[..., 2] < 0.005).all()  # beneath everything
        places.append(track)
    assert np.abs(places[0] - places[1]).max() > 0.1
    env.close()


def test_reset_free_episodes_keep_the_look_and_the_tiles_go_on() -> None:
    env = PushEnv(image_size=32, **ALL)
    episode(env)
    look, clock, before = env._appearance.look, env._appearance.distractors.clock, env.render()
    observation, _ = env.reset(options={"keep_state": True})
    np.testing.assert_array_equal(observation["image"], before)
    assert (env._appearance.look, env._appearance.distractors.clock) == (look, clock)
    env.reset()
    assert env._appearance.look != look
    assert env._appearance.distractors.clock == 0
    env.close()


@pytest.mark.parametrize("option", RANDOMISE)
def test_each_option_draws_a_look_per_episode_that_its_seed_decides(option: str) -> None:
    env, both = (DrawerEnv(image_size=32, randomise=names) for names in ([option], RANDOMISE))
    plain = DrawerEnv(image_size=32)
    pictures = [env.reset(seed=seed)[0]["image"] for seed in (0, 1, 0)]
    np.testing.assert_array_equal(pictures[0], pictures[2])
    both.reset(seed=0)
    env.reset(seed=0, options={"goal": [0.1, 0.5, 0.0, 0.1]})  # with or without a goal
    shared = {"light": ("direction", "ambient", "diffuse"), "colours": ("ground",), "camera": ("shift",)}[option]
    for name in shared:  # what one option draws does not depend on the others
        assert getattr(env._appearance.look, name) == getattr(both._appearance.look, name)
    if option == "colours":
        assert env._appearance.memory()[option] == both._appearance.memory()[option]
    starts = [plain.reset(seed=seed)[0]["image"] for seed in (0, 1)]
    assert apart(starts[0], starts[1]) < apart(pictures[0], pictures[1])
    assert apart(starts[0], pictures[0]) > 0.5
    for made in (env, both, plain):
        made.close()


@every_task
def test_goal_pictures_are_functions_of_the_state_alone(task: str) -> None:
    plain, looks, tiles = (
        TASKS[task](image_size=32),
        TASKS[task](image_size=32, randomise=RANDOMISE),
        TASKS[task](image_size=32, distractors=3),
    )
    states = plain.sample_goals(2, np.random.default_rng(0)).states
    drawn = tiles.render_state(states[0])
    for env in (looks, tiles):
        episode(env, seed=3, steps=2)
    np.testing.assert_array_equal(looks.render_state(states[0]), plain.render_state(states[0]))
    assert apart(drawn, plain.render_state(states[0])) > 0.1
    tiles.render_state(states[1])
    np.testing.assert_array_equal(tiles.render_state(states[0]), drawn)
    for env in (plain, looks, tiles):
        env.close()


@every_task
def test_the_wrist_camera_rides_on_the_hand(task: str) -> None:
    env = TASKS[task](image_size=48, camera="wrist")
    observation, _ = env.reset(seed=0)
    first = observation["image"]
    goal = env.render_state(env.goal_state())
    assert apart(goal, first) < 0.5  # the ghost's camera is on the ghost's hand
    for _ in range(6):
        observation = env.step(env.expert_action(observation))[0]
    moved = observation["image"]
    palm = (slice(0, 8), slice(8, 40))  # what of itself the hand sees stays where it is
    assert apart(first[palm], moved[palm]) < 8
    assert first[palm].mean() < 245
    assert apart(first, moved) > 0.5
    far = env.render_state(env.sample_goals(1, np.random.default_rng(1)).states[0])
    assert apart(far[palm], first[palm]) < 8
    assert apart(far, first) > 0.5
    env.close()


@every_task
def test_a_shifted_camera_is_off_by_little_and_does_not_roll(task: str) -> None:
    env = TASKS[task]()
    env.reset(seed=0)
    for camera in env.cameras.values():
        straight = np.array(camera.view(env._scene.robot)).reshape(4, 4)
        for seed in range(20):
            shift = draw_shift(np.random.default_rng(seed))["shift"]
            off = np.array(camera.shifted(shift).view(env._scene.robot)).reshape(4, 4)  # type: ignore[arg-type]
            assert np.abs(off - straight)[:3, :3].max() < 0.12
    assert {"front", "top", "wrist"} <= env.cameras.keys()
    assert next(iter(env.cameras)) != "wrist"
    env.close()


def test_named_colours_can_be_told_apart_when_they_vary() -> None:
    names = list(COLOURS)
    own = np.array([COLOURS[name] for name in names])
    drawn = (1 - BODIES) * own + BODIES * np.random.default_rng(0).random((500, 1, 3))
    nearest = np.linalg.norm(drawn[:, :, None] - ((1 - BODIES) * own + BODIES / 2), axis=-1).argmin(axis=-1)
    np.testing.assert_array_equal(nearest, np.broadcast_to(np.arange(len(names)), nearest.shape))


@pytest.mark.parametrize("task", ["multi_push", "drawer"])
def test_varied_colours_are_drawn_about_what_the_scene_painted(task: str) -> None:
    env, plain = TASKS[task](image_size=64, randomise=["colours"]), TASKS[task](image_size=64)
    differences = []
    for seed in range(6):
        shown, own = (made.reset(seed=seed)[0]["image"].astype(int) for made in (env, plain))
        bright = np.ptp(own, axis=-1) > 100  # the coloured bodies
        differences.append(np.abs(shown - own)[bright].mean())
        assert bright.sum() > 20
    assert np.mean(differences) > 2
    assert max(differences) < 255 * BODIES
    env.close()
    plain.close()


def test_the_options_are_fields_of_every_task_s_configuration(tmp_path: Path) -> None:
    for task in TASKS:
        _, fields = env_choice([f"env={task}", "env.camera=wrist", "env.distractors=3", "env.randomise=[colours,light]"])
        assert (fields["camera"], fields["distractors"], fields["randomise"]) == ("wrist", 3, ["colours", "light"])
    options = ["env=reach", "env.image_size=16", "env.horizon=3", "env.distractors=2", "env.randomise=[colours,light,camera]"]
    for workers in (1, 2):  # the pictures of goals too are the same whatever the simulators did before
        collect([*options, "policy=play", "episodes=4", "simulators=2", f"workers={workers}", f"out={tmp_path / str(workers)}.h5"])
    assert differing(tmp_path / "1.h5", tmp_path / "2.h5") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"camera": "wirst"}, "did you mean 'wrist'"),
        ({"distractors": -1}, "distractors=-1; expected a whole number from 0 to 16"),
        ({"distractors": 99}, "distractors=99; expected a whole number from 0 to 16"),
        ({"randomise": ["colors"]}, "unknown randomise 'colors' (did you mean 'colours'?); expected one of: camera, colours, light"),
        ({"randomise": "light"}, "randomise='light'; expected a list of: colours, light, camera, such as [colours,light]"),
        ({"randomise": 3}, "randomise=3; expected a list"),
    ],
)
def test_bad_options_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        envs.make("gcrl/Reach-v0", **arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_state_of_an_environment_with_other_options_is_refused() -> None:
    plain, shown = ReachEnv(), ReachEnv(distractors=2, randomise=["light"])
    for env in (plain, shown):
        env.reset(seed=0)
    with pytest.raises(UserError, match=r"distractors=2 randomise=\[light\]; expected one with neither"):
        plain.set_state(shown.get_state())
    with pytest.raises(UserError, match=r"neither distractors nor randomise; expected one with distractors=2 randomise=\[light\]"):
        shown.set_state(plain.get_state())
    plain.close()
    shown.close()
