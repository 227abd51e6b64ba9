"""DrawerPickPush: goals are one skill away, long tasks several, a blocked drawer stays shut; starts and long tasks get into every file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_cases import finish_steps, settings
from test_contact import DEPTH

import envs
from envs.api import GoalSet
from envs.drawer import drawer_error, slide
from envs.drawer_pick_push import DrawerPickPushEnv
from envs.drawer_pick_push_scene import FRONT, HEIGHT, OPEN_LOW, Layout
from envs.drawer_pick_push_skills import LONG_TASKS, SKILLS, changes, draw_skill
from envs.errors import NoGoal, UserError
from envs.robot import MAX_STEP
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.evaluate import evaluate_run, goals_for
from gcrl.evaluation import evaluate
from gcrl.goals import GoalFile, make_goals
from gcrl.practice import Practice
from gcrl.run import load

TINY = [
    *("practice.epochs=1", "practice.episodes_per_epoch=2", "practice.simulators=2", "practice.collector_process=false"),
    *(
        "practice.random_epochs=0",
        "practice.eval_every=0",
        "practice.updates_per_epoch=2",
        "goal_sampler=commanded",
        "representation.scale=null",
    ),
    *("env.horizon=12", "agent.hidden=[8]", "agent.batch_size=8"),
]


@pytest.fixture
def env() -> Iterator[DrawerPickPushEnv]:
    made = DrawerPickPushEnv()
    yield made
    made.close()


def follow(env: DrawerPickPushEnv, goals: GoalSet, index: int, steps: int) -> tuple[bool, float]:
    """Whether the expert's last five steps succeed, and the deepest contact on the way (m)."""
    observation, _ = env.reset(seed=index, options=goals.options(index))
    reached, deepest = [], 0.0
    for _ in range(steps):
        observation, _, _, _, info = env.step(env.expert_action(observation))
        reached.append(info["is_success"])
        deepest = max(deepest, env.penetration())
    return all(reached[-5:]), deepest


def layouts(goals: GoalSet) -> list[tuple[Layout, Layout]]:
    assert goals.starts is not None
    return [(Layout.of(start), Layout.of(state)) for start, state in zip(goals.starts, goals.states)]


def test_the_expert_solves_the_goals_of_every_skill(env: DrawerPickPushEnv) -> None:
    goals = env.sample_goals(30, np.random.default_rng(11))
    ends = [follow(env, goals, index, env.horizon) for index in range(len(goals))]
    assert set(env.goal_tasks(goals)) == set(SKILLS)
    assert np.mean([reached for reached, _ in ends]) >= 0.95
    assert max(deepest for _, deepest in ends) < DEPTH


def test_every_sampled_goal_is_one_skill_away_and_no_long_task_is_among_them(env: DrawerPickPushEnv) -> None:
    goals = env.sample_goals(300, np.random.default_rng(0))
    assert all(len(changes(start, goal)) == 1 for start, goal in layouts(goals))
    assert not set(env.goal_tasks(goals)) & set(LONG_TASKS)
    long = env.fixed_goals("long")
    for start, goal in layouts(long):  # what a long task ends with may come about by one skill, but not from where it begins
        assert not [pair for pair in layouts(goals) if not changes(pair[0], start) and not changes(pair[1], goal)]
    began = np.array([[start.opening > OPEN_LOW, start.blocked, start.place == "drawer"] for start, _ in layouts(goals)])
    assert (began.mean(axis=0) > 0.1).all()
    for split in ("test", "tune"):
        assert all(len(changes(start, goal)) == 1 for start, goal in layouts(env.fixed_goals(split)))


def test_the_long_tasks_need_several_skills_and_the_expert_finds_their_order(env: DrawerPickPushEnv) -> None:
    long = env.fixed_goals("long")
    assert env.goal_tasks(long) == list(LONG_TASKS)
    assert [changes(*pair) for pair in layouts(long)] == [["push", "open"], ["open", "place_in_drawer"], ["push", "place_in_drawer"]]
    assert all(start.opening < 0.01 for start, _ in layouts(long))
    for index in range(3):
        reached, deepest = follow(env, long, index, 150)
        assert reached
        assert deepest < DEPTH


def test_goals_of_long_tasks_are_drawn_with_their_starts_and_committed_ones_are_of_all_three() -> None:
    env = DrawerPickPushEnv(tasks="long")
    assert env.horizon == 300
    drawn, test, tune = env.sample_goals(30, np.random.default_rng(0)), env.fixed_goals("test"), env.fixed_goals("tune")
    for goals in (drawn, test, tune):
        assert set(env.goal_tasks(goals)) == set(LONG_TASKS)
        for task, (start, end) in zip(env.goal_tasks(goals), layouts(goals)):
            assert (start.place, start.opening < 0.01, start.blocked) == ("table", True, task != "task_b")
            assert (end.place == "drawer", end.opening > OPEN_LOW - 0.03, end.blocked) == (task != "task_a", task != "task_c", False)
    assert not {tuple(goal) for goal in test.states} & {tuple(goal) for goal in tune.states}
    assert [follow(env, drawn, index, 150)[0] for index in range(3)] == [True] * 3
    env.close()
    with pytest.raises(UserError, match="unknown tasks 'lang'"):
        DrawerPickPushEnv(tasks="lang")


@pytest.mark.parametrize("blocked", [True, False])
def test_a_cylinder_between_drawer_and_rail_keeps_the_drawer_shut(env: DrawerPickPushEnv, blocked: bool) -> None:
    long = env.fixed_goals("long")
    assert long.starts is not None
    observation, _ = env.reset(seed=0, options={"start": long.starts[0 if blocked else 1]})
    for _ in range(80):
        x, y, z, _, opening, velocity = (float(value) for value in observation["observation"][:6])
        target, speed = slide((x, y, z), opening, drawer_error(0.15, opening, velocity), FRONT)
        observation = env.step([*np.clip((np.array(target) - (x, y, z)) / MAX_STEP, -speed, speed), -1.0])[0]
    opening = float(observation["achieved_goal"][0])
    assert opening < OPEN_LOW - 0.02 if blocked else opening == pytest.approx(0.15, abs=0.01)


def test_open_fingers_do_not_fit_about_the_cylinder(env: DrawerPickPushEnv) -> None:
    long = env.fixed_goals("long")
    assert long.starts is not None
    observation, _ = env.reset(seed=0, options={"start": long.starts[0]})
    x, y = observation["achieved_goal"][4:6]
    for height in (0.15, 0.02):
        for _ in range(25):
            hand = observation["observation"][:3]
            observation = env.step([*np.clip((np.array([x, y, height]) - hand) / MAX_STEP, -1, 1), 1.0])[0]
    assert observation["observation"][2] > HEIGHT - 0.01


def test_an_episode_begins_where_it_is_told(env: DrawerPickPushEnv) -> None:
    goals = env.sample_goals(3, np.random.default_rng(2))
    assert goals.starts is not None
    for index in range(3):
        observation, _ = env.reset(seed=0, options=goals.options(index))
        np.testing.assert_allclose(env.goal_state(), goals.starts[index], atol=1e-6)
        np.testing.assert_array_equal(observation["desired_goal"], goals.achieved[index])
        env.step(np.zeros(4))
        np.testing.assert_allclose(env.goal_state()[8:], goals.starts[index][8:], atol=1e-3)
    for wrong in (goals.starts[0][:5], np.full(18, np.nan)):
        with pytest.raises(UserError, match="expected a goal state, 18 finite numbers"):
            env.reset(options={"start": wrong})


def test_a_goal_drawn_by_a_reset_is_one_skill_from_where_things_are(env: DrawerPickPushEnv) -> None:
    for seed in range(20):
        observation, _ = env.reset(seed=seed, options={"keep_state": True} if seed % 2 else {})
        start, goal = (as_layout(observation[key]) for key in ("achieved_goal", "desired_goal"))
        assert len(changes(start, goal)) == 1
        env.step(np.zeros(4))


def as_layout(achieved: Any) -> Layout:
    opening, x, y, z, along, across = (float(value) for value in achieved[:6])
    return Layout(opening, (x, y, z, 0.0, 0.0, 0.0, 1.0), (along, across))


def test_play_pursues_one_skill_after_the_other_from_where_things_are(tmp_path: Path) -> None:
    made = collect(
        ["env=drawer_pick_push", "env.image_size=0", "policy=play", "episodes=24", "play_goals=8", f"out={tmp_path / 'play.h5'}"]
    )
    assert made["success_rate"] > 0.5
    with Reader(tmp_path / "play.h5") as reader:
        episodes, sequence = reader.episodes(slice(None)), reader.column("epoch")
    begun = [as_layout(achieved) for achieved in episodes.observations["achieved_goal"][:, 0]]
    assert episodes.goal_achieved is not None
    pursued = [changes(start, as_layout(goal)) for start, goal in zip(begun, episodes.goal_achieved)]
    assert max(len(skills) for skills in pursued) == 1
    assert len({skill for skills in pursued for skill in skills}) >= 4
    ends = episodes.observations["achieved_goal"][np.arange(24), episodes.lengths]
    same = [bool(np.array_equal(ends[index], episodes.observations["achieved_goal"][index + 1, 0])) for index in range(23)]
    assert same == (sequence[1:] == sequence[:-1]).tolist()


class Stuck(DrawerPickPushEnv):
    """Proposes nothing to go on with while the drawer is open, as where noise has left something jammed."""

    def next_goal(self, state, generator):
        if Layout.of(state).opening > 0.06 and np.array_equal(state, self.goal_state()):
            raise NoGoal("0 of 1000 proposed goals are free of penetration")
        return super().next_goal(state, generator)


def test_noisy_play_goes_on_where_things_are_and_begins_anew_where_nothing_can_be_wanted(tmp_path: Path) -> None:
    options = ["env=test_drawer_pick_push:Stuck", "env.image_size=0", "play_goals=8", "episodes=16"]
    collect([*options, "policy=noisy-play", "noise=0.1", "random_share=0.05", f"out={tmp_path / 'noisy.h5'}"])
    with Reader(tmp_path / "noisy.h5") as reader:
        episodes = reader.episodes(slice(None))
    ends = episodes.observations["achieved_goal"][np.arange(16), episodes.lengths]
    goes_on = [bool(np.array_equal(ends[index], episodes.observations["achieved_goal"][index + 1, 0])) for index in range(15)]
    assert goes_on == [bool(ends[index][0] <= 0.06) and index != 7 for index in range(15)]
    assert True in goes_on
    assert goes_on.count(False) > 1
    collect([*options, "policy=play", f"out={tmp_path / 'play.h5'}"])
    with Reader(tmp_path / "play.h5") as reader:
        assert not np.array_equal(reader.episodes(slice(0, 1)).actions[0, 0], episodes.actions[0, 0])


def test_where_no_skill_can_be_done_none_is_drawn() -> None:
    askew = Layout(0.03, (FRONT, 0.0, 0.037, 0.0, 0.0, 0.0, 1.0), (0.53, 0.2))
    with pytest.raises(NoGoal, match="no skill can be done at once"):
        draw_skill(askew, np.random.default_rng(0))


def test_scripted_episodes_begin_where_their_goals_want_it(tmp_path: Path) -> None:
    options = ["env=drawer_pick_push", "env.image_size=0", "policy=scripted", "episodes=6", "simulators=2", "seed=4"]
    assert collect([*options, f"out={tmp_path / 'data.h5'}"])["success_rate"] == 1
    with Reader(tmp_path / "data.h5") as reader:
        begun = reader.episodes(slice(None)).observations["achieved_goal"][:, 0]
        goals = reader.file["goals/achieved"][()]
    assert all(len(changes(as_layout(start), as_layout(goal))) == 1 for start, goal in zip(begun, goals))


def test_the_long_tasks_become_a_goal_file_that_measures_a_run(tmp_path: Path) -> None:
    made = make_goals(["env=drawer_pick_push", "env.image_size=0", "env.horizon=130", "fixed=long", f"out={tmp_path / 'long.h5'}"])
    assert made["splits"] == {"train": 0, "valid": 0, "test": 3}
    assert made["success"] == "worst_distance_m < 0.03"
    env: Any = envs.make("gcrl/DrawerPickPush-v0")
    long = env.fixed_goals("long")
    env.close()
    with GoalFile(tmp_path / "long.h5") as file:
        assert file.read("task", file.rows()).tolist() == list(LONG_TASKS)
        goals = file.goals("test")
        np.testing.assert_allclose(file.read("starts/state", file.rows()), long.starts, atol=1e-6)
    np.testing.assert_array_equal(goals.achieved, long.achieved)
    np.testing.assert_array_equal(goals.starts, long.starts)
    finish_steps(Practice(settings(["experiment=push_state", "env=drawer_pick_push", "env.image_size=0", *TINY], tmp_path / "run")))
    figures = evaluate_run(tmp_path / "run", goals=tmp_path / "long.h5")
    assert figures["episodes"] == 3
    assert figures["success_rate"] == 0
    run = load(tmp_path / "run")
    worlds = [run.environment(horizon=130)]
    taken = goals_for(run, worlds[0], tmp_path / "long.h5", "test")
    result = evaluate(worlds, Expert(run, worlds[0]), taken.goals, 0, seeds=taken.seeds)
    assert result.achieved.shape[1] == 131
    assert result.success.tolist() == [1, 1, 1]
    worlds[0].close()


class Expert:
    """The task's expert as a policy."""

    def __init__(self, run: Any, env: Any) -> None:
        self.representation, self.inputs, self.env = run.representation, run.policy.inputs, env

    def told(self, goals: Any) -> Any:
        return goals

    def act(self, observations: Any, goals: Any, explore: Any = None) -> Any:
        return np.stack([self.env.expert_action({key: values[0] for key, values in observations.items()})])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fixed=lang"], "unknown split 'lang' (did you mean 'long'?); expected one of: long, test, tune"),
        (["fixed=long", "n=3"], "n=3 contradicts fixed=..."),
        (["fixed=long", "at=[[0,0,0,0,0,0,0,0,0]]"], "fixed=... and at=...; expected only one of them"),
    ],
)
def test_mistakes_about_fixed_goals_are_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        make_goals(["env=drawer_pick_push", "env.image_size=0", *arguments, f"out={tmp_path / 'goals.h5'}"])
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())
