"""Goals by analogy: examples in scenes that look otherwise, carried over to the scene at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from run_cases import DOOR, finish_steps, settings
from test_disco import command

import envs
from envs.multi_push import LANES, START_SPREAD, MultiPushEnv
from envs.objects import HUES, NOTHING, SETS, SHAPES, shape_and_colour
from gcrl.analogies import example_shifts
from gcrl.evaluation import evaluate
from gcrl.policy import Policy
from gcrl.practice import Practice
from representations.identity import Identity

torch.set_num_threads(1)

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
    assert len(SHAPES) > 3 < len(HUES)
    env.close()


class Still:
    """An agent that does nothing and remembers what it was told."""

    batch_size = 1

    def __init__(self) -> None:
        self.told: list[np.ndarray] = []

    def act(self, inputs: Any, goals: Any, explore: Any = None) -> Any:
        self.told.append(goals.copy())
        return np.zeros((len(goals), 2), np.float32)


@examples(deadline=None, max_examples=5)
@given(st.integers(0, 1000))
def test_what_is_told_is_the_goal_itself_where_latents_are_places(table: Any, seed: int) -> None:
    goals = table.sample_goals(5, np.random.default_rng(seed))
    agent = Still()
    policy = Policy(Identity(table.observation_space, dims=PLACES), agent, ("latent",))  # type: ignore[arg-type]
    shifts = example_shifts(table, policy, goals, seed)
    evaluate([table], policy, goals, seed, pictures=False, shifts=shifts)
    told = np.concatenate(agent.told[:: table.horizon])
    apart = np.abs(told - goals.achieved[:, PLACES])
    assert apart.max() <= 2 * START_SPREAD + 1e-3  # the example's objects start a little elsewhere
    assert apart.max() > 0
    assert np.array_equal(example_shifts(table, policy, goals, seed), shifts)
    assert len(LANES) == 3


def test_a_run_is_measured_by_analogies_and_other_tasks_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*DOOR, "env=multi_push", "env.image_size=24", "env.horizon=4", "practice.epochs=2"]
    finish_steps(Practice(settings(small, tmp_path / "table")))
    capsys.readouterr()
    assert command("evaluate", str(tmp_path / "table"), "--analogies", "--episodes", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_analogy"] is True
    assert found["episodes"] == 3
    finish_steps(Practice(settings([*DOOR, "practice.epochs=2"], tmp_path / "door")))
    assert command("evaluate", str(tmp_path / "door"), "--analogies") == 2
    assert "all episodes of door look alike, so there are no analogies; expected env.randomise=[colours,light]" in capsys.readouterr().err


def test_where_looks_are_drawn_an_example_is_the_same_goal_in_another_look() -> None:
    env = envs.make("gcrl/Push-v0", image_size=24, randomise=["colours"])
    goals = env.sample_goals(4, np.random.default_rng(1))
    policy = Policy(Identity(env.observation_space), Still(), ("latent",))  # type: ignore[arg-type]
    shifts = example_shifts(env, policy, goals, 5)
    starts = [env.reset(seed=seed)[0]["achieved_goal"] for seed in range(20)]
    wanted = goals.achieved - np.mean(starts, axis=0)
    assert np.abs(shifts - wanted).max() < 0.03  # starts differ by two centimetres
    looks = [env.reset(seed=8, options={"goal": goals.achieved[0], **start})[0]["image"] for start in ({}, {"start": goals.states[0]})]
    other = env.reset(seed=9, options={"goal": goals.achieved[0]})[0]["image"]
    corner = [picture[0, 0].astype(int) for picture in (*looks, other)]
    assert np.array_equal(corner[0], corner[1])  # of one look
    assert not np.array_equal(*looks)
    assert np.abs(corner[0] - corner[2]).max() > 5
    env.close()
