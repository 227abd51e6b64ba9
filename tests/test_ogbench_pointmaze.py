"""OGBench's pointmaze-medium: its map, dynamics and tasks, its expert's data, and a run that only learns from them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_cases import settings as run_settings

from envs.conformance import check_env
from envs.errors import UserError
from envs.ogbench_maze import LARGE, MAZES, MEDIUM, RADIUS, UNIT, Ball, Maze, cell_of, centre
from envs.ogbench_pointmaze import OGBenchPointMazeEnv
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.metrics_log import read_metrics
from gcrl.practice import Practice, resume

COLLECT = ["env=ogbench_pointmaze", "env.continuing=true", "policy=noisy-scripted", "noise=0.5", "random_share=0"]
TINY = [
    "experiment=ogbench_pointmaze",
    "env.horizon=50",
    "agent.hidden=[16,16]",
    "agent.batch_size=16",
    "offline_updates=6",
    "practice.updates_per_epoch=4",
]
TINY += ["practice.simulators=5", "practice.eval_every=0", "practice.final_goals=5", "practice.collector_process=false"]
EDGES = {name: np.array([centre((row, column)) for row, column in np.argwhere(maze.walls)]) for name, maze in MAZES.items()}
PLACES = [(maze, cell) for maze in MAZES.values() for cell in maze.cells]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maze") / "maze.h5"
    collect([*COLLECT, "episodes=4", "simulators=4", "seed=3", f"out={path}"])
    return path


def wall_distance(maze: Maze, position: np.ndarray) -> float:
    """Return how far a position (2,) is from the nearest wall."""
    return float(np.linalg.norm(np.maximum(np.abs(EDGES[maze.name] - position) - UNIT / 2, 0), axis=1).min())


@pytest.mark.parametrize(("continuing", "maze"), [(False, "medium"), (True, "medium"), (False, "large")])
def test_the_maze_keeps_the_contract(continuing: bool, maze: str) -> None:
    assert check_env(OGBenchPointMazeEnv(continuing=continuing, maze=maze)) == []


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PLACES), st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=4))
def test_the_point_is_moved_by_a_fifth_of_the_action_and_enters_no_wall(
    place: tuple[Maze, tuple[int, int]], pushes: list[tuple[float, float]]
) -> None:
    maze, cell = place
    ball, position = Ball(maze), centre(cell)
    for push in pushes:
        for _ in range(25):
            moved = ball.move(position, np.array(push))
            if wall_distance(maze, position + 0.2 * np.array(push)) > RADIUS:
                assert np.allclose(moved, position + 0.2 * np.array(push), atol=1e-12)
            position = moved
            assert wall_distance(maze, position) > 0.6  # the ball of 0.7 yields a little


@pytest.fixture(params=MAZES)
def theirs(request: pytest.FixtureRequest) -> Iterator[Any]:
    pytest.importorskip("ogbench.locomaze", reason="OGBench is not installed (make test does that)")
    import gymnasium

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(f"pointmaze-{request.param}-v0", render_mode=None)
    env.unwrapped.ours = MAZES[request.param]
    yield env.unwrapped
    env.close()


def test_map_tasks_and_shortest_paths_are_ogbenchs(theirs: Any) -> None:
    maze = theirs.ours
    assert np.array_equal(np.array(theirs.maze_map, bool), maze.walls)
    assert tuple((task["init_ij"], task["goal_ij"]) for task in theirs.task_infos) == maze.tasks
    for here in maze.cells:
        assert np.array_equal(centre(here), theirs.ij_to_xy(here))
        for there in maze.cells:
            subgoal, steps = theirs.get_oracle_subgoal(centre(here), centre(there))
            assert np.array_equal(subgoal, centre(maze.next_cell(here, there)))
            assert steps[here] == maze.steps_to(there)[here]


def test_steps_success_and_end_are_ogbenchs(theirs: Any) -> None:
    env, generator = OGBenchPointMazeEnv(maze=theirs.ours.name), np.random.default_rng(0)
    goals, touched = env.fixed_goals("test"), 0
    for index in range(0, 100, 5):
        env.reset(seed=0, options=goals.options(index))
        theirs.reset()
        theirs.set_goal(goal_xy=goals.achieved[index])
        theirs.set_xy(goals.starts[index])
        for step in range(150):
            if step % 15 == 0:
                drift = generator.uniform(-1.3, 1.3, 2)
            action = np.clip(drift + 0.2 * generator.standard_normal(2), -1, 1)
            mine, their = env.step(action), theirs.step(action)
            assert np.allclose(mine[0]["achieved_goal"], their[0], atol=1e-5)
            assert (mine[2], mine[4]["is_success"]) == (their[2], bool(their[4]["success"]))
            touched += wall_distance(theirs.ours, their[0]) < RADIUS
            if mine[2]:
                break
    assert touched > 300  # walls were run into


def test_fixed_goals_are_twenty_episodes_of_each_task_near_its_cells() -> None:
    env = OGBenchPointMazeEnv()
    test, tune = env.fixed_goals("test"), env.fixed_goals("tune")
    for goals in (test, tune):
        assert goals.starts is not None
        for ends, which in ((goals.starts, 0), (goals.achieved, 1)):
            wanted = np.repeat([centre(task[which]) for task in MEDIUM.tasks], 20, axis=0)
            assert 0.9 < np.abs(ends - wanted).max() <= 1
    env.reset(seed=1, options=test.options(33))
    assert np.array_equal(env.goal_state(), test.starts[33])  # type: ignore[index]
    assert not np.array_equal(test.achieved, tune.achieved)


def test_goals_lie_where_a_passage_turns_forks_or_ends_and_starts_anywhere() -> None:
    env = OGBenchPointMazeEnv()
    goals = env.sample_goals(600, np.random.default_rng(0)).achieved
    assert {cell_of(goal) for goal in goals} == set(MEDIUM.crossings()) < set(MEDIUM.cells)
    env.reset(seed=0)
    assert {cell_of(env.reset()[0]["achieved_goal"]) for _ in range(400)} == set(MEDIUM.cells)


@pytest.mark.parametrize("maze", [MEDIUM, LARGE])
def test_the_expert_solves_every_fixed_goal_by_the_shortest_path(maze: Maze) -> None:
    env = OGBenchPointMazeEnv(maze=maze.name)
    goals = env.fixed_goals("test")
    for index in range(100):
        observation, _ = env.reset(seed=index, options=goals.options(index))
        cells = maze.steps_to(cell_of(goals.achieved[index]))[cell_of(observation["achieved_goal"])]
        count, ended = 0, False
        while not ended and count < env.horizon:
            observation, reward, ended, _, info = env.step(env.expert_action(observation))
            assert (reward == 0, info["is_success"]) == (ended, ended)
            count += 1
        assert ended
        assert count <= (cells * UNIT + 3) / 0.2


def test_data_goes_on_from_goal_to_goal_for_whole_episodes(data: Path) -> None:
    with Reader(data) as reader:
        assert reader.lengths.tolist() == [1000] * 4
        paths = [reader.read("achieved_goal", np.arange(start, start + 1001)) for start in reader.starts]
        actions = reader.read("action", np.arange(reader.starts[0], reader.starts[0] + 1000))
    for path in paths:
        assert len({cell_of(position) for position in path}) >= 12
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() <= 0.3
    assert 0.5 < np.linalg.norm(actions, axis=1).mean() < 1.2  # the expert's unit vectors under noise, clipped
    assert np.linalg.norm(actions, axis=1).std() > 0.1


def test_a_goal_that_is_reached_makes_room_for_another_one_at_the_next_step() -> None:
    env = OGBenchPointMazeEnv(continuing=True)
    observation, _ = env.reset(seed=0)
    changes = 0
    for _ in range(600):
        before = observation["desired_goal"]
        reached = bool(env.success(observation["achieved_goal"], before))
        observation, _, ended, _, _ = env.step(env.expert_action(observation))
        assert not ended
        assert reached == (not np.array_equal(before, observation["desired_goal"]))
        changes += reached
    assert changes >= 3


def test_what_is_no_place_or_action_is_refused() -> None:
    env = OGBenchPointMazeEnv()
    with pytest.raises(UserError, match=r"expected reset\(\) first"):
        env.step([0, 0])
    for options in ({"goal": centre((1, 3))}, {"start": [-3, 0]}, {"goal": [0, np.nan]}, {"goal": [0, 0, 0]}):
        with pytest.raises(UserError, match="is no place in the maze; expected x from -2 to 22 and y from -2 to 22 outside its walls"):
            env.reset(options=options)
    env.reset(seed=0)
    with pytest.raises(UserError, match="expected 2 finite numbers"):
        env.step([0, 0, 0])
    with pytest.raises(UserError, match="horizon=0; expected at least 1"):
        OGBenchPointMazeEnv(horizon=0)
    with pytest.raises(UserError, match="expected true or false"):
        OGBenchPointMazeEnv(continuing=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"unknown maze 'larg'.*large"):
        OGBenchPointMazeEnv(maze="larg")


# no practice ---------------------------------------------------------------------------------------------------------


def test_the_preset_learns_from_its_data_alone_and_is_evaluated_on_the_five_tasks(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Practice(run_settings(TINY, tmp_path / "run", f"dataset={data}")).run()
    found = json.loads((folder / "evaluation.json").read_text())
    assert (found["updates"], found["env_steps"], found["episodes"], found["finished"]) == (6, 0, 5, True)
    assert "offline" not in found  # it is the final evaluation itself
    with np.load(folder / "evaluation.npz") as arrays:
        assert [cell_of(goal) for goal in arrays["desired"]] == [task[1] for task in MEDIUM.tasks]
        assert [cell_of(path[0]) for path in arrays["achieved"]] == [task[0] for task in MEDIUM.tasks]
    assert "(from the dataset alone)" in capsys.readouterr().err
    assert (folder / "report.html").exists()
    resume(folder)
    assert "has finished already: all 2 epochs are done" in capsys.readouterr().err


@pytest.mark.parametrize("arm", [["agent=gciql", "agent.clone_weight=0.003", "relabel=ogbench"], ["agent=gcbc", "relabel=future"]])
def test_the_other_arms_learn_from_the_same_data(data: Path, tmp_path: Path, arm: list[str]) -> None:
    run = Practice(run_settings(TINY, tmp_path / "run", *arm, f"dataset={data}", "practice.final_goals=0"))
    run.run()
    assert run.learner.updates == 6
    assert read_metrics(tmp_path / "run")[-1]["env_steps"] == 0


def test_a_run_that_collects_nothing_needs_no_room_for_it(data: Path, tmp_path: Path) -> None:
    more = ["practice.capacity=60", "practice.episodes_per_epoch=3", "practice.reset_every=0", "practice.final_goals=0"]
    assert Practice(run_settings(TINY, tmp_path / "run", f"dataset={data}", *more)).run().exists()


@pytest.mark.parametrize("given", [{"goal": "abc"}, {"start": [[1, 2], [3]]}, {"goal": [1, np.nan]}, {"start": None, "goal": [0]}])
def test_places_that_are_none_are_refused(given: dict[str, Any]) -> None:
    env = OGBenchPointMazeEnv()
    with pytest.raises(UserError, match="no place in the maze"):
        env.reset(seed=0, options=given)
    env.reset(seed=0)
    with pytest.raises(UserError, match="moves no point"):
        env.step("ab")


def test_no_practice_needs_updates_on_a_dataset(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"practice\.epochs=0; expected at least 1, or 0 with offline_updates"):
        Practice(run_settings(TINY, tmp_path / "run", f"dataset={data}", "offline_updates=0"))
