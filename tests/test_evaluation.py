"""Evaluation: what counts is where an episode ends, judged by the task's own test; every goal is commanded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from gymnasium import spaces
from run_cases import finish_steps, settings

import envs
from envs.api import Capabilities, GoalSet, TaskEnv
from envs.errors import UserError
from gcrl import cli
from gcrl.agents.dqn import DQN
from gcrl.evaluate import evaluate_run, goals_for
from gcrl.evaluation import LAST_STEPS, evaluate
from gcrl.goals import GoalFile, make_goals
from gcrl.outcome import in_words
from gcrl.policy import Policy, as_goals
from gcrl.practice import Practice
from gcrl.report.film import HOLD
from gcrl.rollout import RandomActions, ZeroActions, rollout
from gcrl.run import load
from goal_samplers.api import Goals
from representations.identity import Identity


class Scripted:
    """A policy that is a function of observations, goals and the step in the episode."""

    def __init__(self, env: TaskEnv, act: Any) -> None:
        self.representation, self.inputs = Identity(env.observation_space), ("observation",)
        self._act, self._step = act, -1

    def told(self, goals: Any) -> Any:
        return goals

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


def test_goals_of_several_tasks_are_counted_by_task_too() -> None:
    env = _Line(6)
    env.goal_tasks = lambda goals: ["leave" if start < 0 else "stay" for start in goals.starts[:, 0]]  # type: ignore[attr-defined]
    starts = np.array([[-1.0], [1.0], [-1.0], [1.0], [1.0]])
    goals = GoalSet(np.ones((5, 1), np.float32), np.ones((5, 1), np.float32), starts=starts)
    act = lambda achieved, goals, step: starts[step // 6][None].astype(np.float32)  # noqa: E731 (episodes of six steps, one after another)
    result = evaluate([env], Scripted(env, act), goals, 0)  # type: ignore[list-item]
    by_task = {"leave": {"success_rate": 0.0, "episodes": 2}, "stay": {"success_rate": 1.0, "episodes": 3}}
    assert result.summary()["by_task"] == by_task
    said = in_words({**result.summary(), "goals": "test", "updates": 0, "env_steps": 5})
    assert "(leave 0.00 of 2, stay 1.00 of 3)" in said
    assert "by_task" not in evaluate([env], Scripted(env, act), goals.take(slice(0, 1)), 0).summary()  # type: ignore[list-item]
    unknown = GoalSet(goals.states * np.nan, goals.achieved, starts=starts)
    assert evaluate([env], Scripted(env, act), unknown, 0).tasks is None  # type: ignore[list-item]


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


# goal files ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny practised runs on push, from pictures and from states."""
    folder = tmp_path_factory.mktemp("practised")
    loop = ["practice.epochs=1", "practice.episodes_per_epoch=2", "practice.simulators=2", "practice.collector_process=false"]
    tiny = [*loop, "practice.random_epochs=1", "practice.eval_every=0", "env.horizon=12", "agent.hidden=[8]", "agent.batch_size=8"]
    presets = {"push": ["env.image_size=48", "representation.first_steps=2", "goal_sampler=prior"], "push_state": []}
    for preset, more in presets.items():
        finish_steps(Practice(settings([f"experiment={preset}", *more, *tiny], folder / preset)))
    return {preset: folder / preset for preset in presets}


def test_a_run_is_measured_on_the_goals_of_a_file_from_the_starts_that_it_gives(runs: dict[str, Path], tmp_path: Path) -> None:
    make_goals(["env=push", "env.image_size=48", "n=10", "splits=[0.6,0,0.4]", f"out={tmp_path / 'goals.h5'}"])
    with GoalFile(tmp_path / "goals.h5") as file:
        goals, starts = file.goals("test"), file.read("starts/achieved", file.rows("test"))
    for name in runs:
        figures = evaluate_run(runs[name], goals=tmp_path / "goals.h5")
        assert figures["episodes"] == 4
        assert 0 <= figures["success_rate"] <= 1
        assert "untrained" not in figures
        assert evaluate_run(runs[name], goals=tmp_path / "goals.h5", split="train", episodes=2)["episodes"] == 2
    run = load(runs["push"])
    env = run.environment()
    taken = goals_for(run, env, tmp_path / "goals.h5", "test")
    result = evaluate([env], run.policy, taken.goals, 0, kind="zero", seeds=taken.seeds)
    assert np.array_equal(result.achieved[:, 0], starts)
    assert np.array_equal(result.goal_images, goals.images)
    assert result.success.max() == 0  # no goal of a file is fulfilled at its start
    env.close()
    longer = envs.make("gcrl/Push-v0", image_size=48)  # the run's own horizon is too short for any policy
    assert evaluate([longer], _Expert(run, longer), taken.goals, 0, seeds=taken.seeds).success.mean() == 1
    longer.close()


class _Expert:
    """The task's expert as a policy."""

    def __init__(self, run: Any, env: Any) -> None:
        self.representation, self.inputs, self.env = run.representation, run.policy.inputs, env

    def told(self, goals: Any) -> Any:
        return goals

    def act(self, observations: Any, goals: Any, explore: Any = None) -> Any:
        return np.stack([self.env.expert_action({key: values[0] for key, values in observations.items()})])


def test_photos_are_commanded_too_and_judged_by_pictures_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    env: Any = envs.make("gcrl/Push-v0", image_size=60)
    for index, state in enumerate(env.fixed_goals("test").states[:3]):
        imageio.imwrite(tmp_path / "album" / f"{index}.png", env.render_state(state))
    env.close()
    make_goals(["env=push", "env.image_size=48", f"photos={tmp_path / 'album'}", f"out={tmp_path / 'photos.h5'}"])
    figures = evaluate_run(runs["push"], goals=tmp_path / "photos.h5")
    assert figures["success_rate"] is None
    assert figures["episodes"] == 3
    assert figures["latent_distance"] > 0
    assert 0 < figures["pixel_error"] < 0.2
    with pytest.raises(UserError, match=r"holds photos, but .* takes goals as states"):
        evaluate_run(runs["push_state"], goals=tmp_path / "photos.h5")


def test_goals_that_do_not_fit_the_run_are_one_line(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["n=3", "rollout=false"]
    make_goals(["env=reach", *common, f"out={tmp_path / 'reach.h5'}"])
    make_goals(["env=push", "env.image_size=24", *common, f"out={tmp_path / 'small.h5'}"])
    make_goals(["env=push", "env.image_size=48", "cameras=[top]", *common, f"out={tmp_path / 'top.h5'}"])
    make_goals(["env=push", "env.image_size=0", *common, f"out={tmp_path / 'blind.h5'}"])
    capsys.readouterr()
    for name, expected in (
        ("reach.h5", "holds goals of gcrl/Reach-v0"),
        ("small.h5", "holds pictures of 24 pixels"),
        ("top.h5", "make them with cameras=[front]"),
        ("blind.h5", "holds goals without pictures"),
        ("none.h5", "does not exist"),
        (str(runs["push"] / "practice.h5"), "is an HDF5 file of another kind (format 'gcrl-dataset')"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(["evaluate", str(runs["push"]), "--goals", str(tmp_path / name)])
        said = capsys.readouterr()
        assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert expected in said.err
    for more, expected in (
        (["--split", "tset"], "did you mean 'test'?"),
        (["--episodes", "9"], "expected 1 to 1, the goals of the test split"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["evaluate", str(runs["push_state"]), "--goals", str(tmp_path / "blind.h5"), *more])
        assert expected in capsys.readouterr().err


def test_an_evaluation_is_filmed_where_there_are_pictures(runs: dict[str, Path], tmp_path: Path) -> None:
    import imageio.v3 as imageio

    made = evaluate_run(runs["push"], episodes=2, film=tmp_path / "films" / "two.mp4")
    assert made["film"] == str(tmp_path / "films" / "two.mp4")
    video = imageio.imread(tmp_path / "films" / "two.mp4")
    assert len(video) == 2 * (12 + 1 + HOLD)
    with pytest.raises(UserError, match=r"--film none.mp4: this environment has no pictures; expected one with env.image_size above 0"):
        evaluate_run(runs["push_state"], episodes=2, film="none.mp4")
