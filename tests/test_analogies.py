"""Goals by analogy: examples in scenes that look otherwise, carried over to the scene at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from run_cases import DOOR, finish_steps, settings
from test_disco import command

import envs
from envs.multi_push import MultiPushEnv
from envs.objects import NOTHING, SETS, shape_and_colour
from gcrl.analogies import example_shifts
from gcrl.evaluation import evaluate, start_seeds
from gcrl.policy import Policy
from gcrl.practice import Practice
from representations.identity import Identity

PLACES = [3, 4, 6, 7, 9, 10]  # entries of an achieved goal that say where objects are, whatever they are


@pytest.fixture(scope="module")
def table() -> Any:
    env = MultiPushEnv(image_size=24, horizon=2)
    yield env
    env.close()


@pytest.mark.parametrize("objects", ["train", "held_out"])
def test_an_example_has_other_things_in_the_same_places(objects: str) -> None:
    env = MultiPushEnv(objects=objects, image_size=24)
    goals = env.sample_goals(30, np.random.default_rng(1))
    others = env.analogous(goals, np.random.default_rng(2))
    for mine, other in zip(goals.achieved, others.achieved):
        kinds = [[round(float(number)) for number in goal[2::3]] for goal in (mine, other)]
        assert [number == NOTHING for number in kinds[0]] == [number == NOTHING for number in kinds[1]]
        looks = [[shape_and_colour(number) for number in row if number != NOTHING] for row in kinds]
        assert all(one[0] != two[0] and one[1] != two[1] for one, two in zip(*looks))
        assert len({shape for shape, _ in looks[1]}) == len(looks[1])
        assert all(shape in SETS[objects][0] and colour in SETS[objects][1] for shape, colour in looks[1])
    assert np.array_equal(goals.achieved[:, PLACES], others.achieved[:, PLACES])
    drawn = [env.render_state(goal.states[0]) for goal in (goals, others)]
    assert not np.array_equal(*drawn)
    env.reset(seed=3, options=others.options(0))
    env.close()


class Still:
    """An agent that does nothing and remembers what it was told."""

    batch_size = 1

    def __init__(self, actions: int = 2) -> None:
        self.told: list[np.ndarray] = []
        self.actions = actions

    def act(self, inputs: Any, goals: Any, explore: Any = None) -> Any:
        self.told.append(goals.copy())
        return np.zeros((len(goals), self.actions), np.float32)


@examples(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_what_is_told_is_the_goal_itself_where_latents_are_places(table: Any, seed: int) -> None:
    goals = table.sample_goals(5, np.random.default_rng(seed))
    agent = Still()
    policy = Policy(Identity(table.observation_space, dims=PLACES), agent, ("latent",))  # type: ignore[arg-type]
    shifts = example_shifts(table, policy, goals, start_seeds(seed, 5), seed)
    evaluate([table], policy, goals, seed, pictures=False, shifts=shifts)
    told = np.concatenate(agent.told[:: table.horizon])
    assert told == pytest.approx(goals.achieved[:, PLACES], abs=1e-3)
    assert np.abs(shifts).max() > 0.02


def test_a_run_is_measured_by_analogies_and_other_tasks_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*DOOR, "env=multi_push", "env.image_size=24", "env.horizon=4", "practice.epochs=2"]
    finish_steps(Practice(settings(small, tmp_path / "table")))
    capsys.readouterr()
    assert command("evaluate", str(tmp_path / "table"), "--analogies", "--episodes", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_analogy"] is True
    assert found["episodes"] == 3
    assert "untrained" not in found  # which was shown its goals
    finish_steps(Practice(settings([*DOOR, "practice.epochs=2"], tmp_path / "door")))
    assert command("evaluate", str(tmp_path / "door"), "--analogies") == 2
    assert "all episodes of door look alike, so there are no analogies; expected env.randomise=[colours,light]" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["Push", "PickPlace", "Door"])
def test_where_looks_are_drawn_an_example_is_the_same_goal_in_another_look(task: str) -> None:
    env = envs.make(f"gcrl/{task}-v0", image_size=24, randomise=["colours"], horizon=2)
    goals, agent = env.sample_goals(4, np.random.default_rng(1)), Still(env.action_space.shape[0])
    policy = Policy(Identity(env.observation_space), agent, ("latent",))  # type: ignore[arg-type]
    shifts = example_shifts(env, policy, goals, start_seeds(5, 4), 5)
    evaluate([env], policy, goals, 5, pictures=False, shifts=shifts)
    assert np.concatenate(agent.told[::2]) == pytest.approx(goals.achieved, abs=5e-3)
    looks = [env.reset(seed=8, options={"goal": goals.achieved[0], **start})[0]["image"] for start in ({}, {"start": goals.states[0]})]
    other = env.reset(seed=9, options={"goal": goals.achieved[0]})[0]["image"]
    apart = [np.abs(picture.astype(int) - looks[0]).max(axis=2) for picture in (looks[1], other)]
    assert apart[0].max() > 5
    assert (apart[0] > 0).mean() < (apart[1] > 0).mean()  # of one look but for what moved; of another all over
    env.close()


def test_a_start_says_what_lies_on_the_table_and_the_goal_drawn_is_for_that(table: Any) -> None:
    goals = table.sample_goals(3, np.random.default_rng(4))
    for state, achieved in zip(goals.states, goals.achieved):
        observation, _ = table.reset(seed=1, options={"start": state})
        assert observation["achieved_goal"] == pytest.approx(achieved, abs=1e-3)
        assert np.array_equal(observation["desired_goal"][2::3], achieved[2::3])
