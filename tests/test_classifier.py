"""The reward that is learnt from examples of success."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_cases import DOOR, differences, finish_steps, outcome
from run_cases import settings as run_settings
from sklearn.metrics import roc_auc_score

import envs
from envs.errors import UserError
from gcrl.classifier import SuccessClassifier
from gcrl.goals import GoalFile, make_goals
from gcrl.practice import Practice
from gcrl.relabel import GoalBatch
from representations.identity import Identity


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Goals of push with the puck on the left."""
    path = tmp_path_factory.mktemp("examples") / "left.h5"
    make_goals(["env=push", "env.image_size=0", "n=60", "rollout=false", "where={puck_y_m: [0.06, 0.14]}", f"out={path}"])
    return path


class Frames:
    """An experience of states as the task draws its goals."""

    def __init__(self, n: int = 600) -> None:
        env = envs.make("gcrl/Push-v0", image_size=0)
        self.states = env.sample_goals(n, np.random.default_rng(5)).achieved.astype(np.float32)
        self.size = n
        env.close()

    def sample_rows(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return generator.integers(self.size, size=n)

    def read(self, key: str, rows: np.ndarray) -> np.ndarray:
        assert key == "latent"
        return self.states[rows]


@functools.cache
def frames_of(n: int) -> Frames:
    return Frames(n)


def made(path: Path | str, **more: Any) -> SuccessClassifier:
    env = envs.make("gcrl/Push-v0", image_size=0)
    try:
        space: Any = env.observation_space
        return SuccessClassifier(env=env, env_id="gcrl/Push-v0", representation=Identity(space), examples=str(path), **more)
    finally:
        env.close()


def rewards(reward: SuccessClassifier, latents: np.ndarray) -> np.ndarray:
    values, ended = reward({"latent": latents}, GoalBatch(np.zeros_like(latents), np.full(len(latents), -1)))
    assert not ended.any()
    return values


def test_states_like_the_examples_are_rewarded_above_others(left: Path) -> None:
    reward, frames = made(left), frames_of(600)
    unseen = frames.states
    assert np.allclose(rewards(reward, unseen), np.log(0.5))  # nothing learnt yet
    reward.refit(frames, np.random.default_rng(0))
    inside = (unseen[:, 3] > 0.06) & (unseen[:, 3] < 0.14)
    assert roc_auc_score(inside, rewards(reward, unseen)) > 0.9
    with GoalFile(left) as file:
        assert rewards(reward, file.goals("test").achieved).mean() > rewards(reward, unseen).mean() + 0.5


def test_an_interval_in_the_middle_is_learnt_where_no_plane_parts_it(tmp_path: Path) -> None:
    make_goals(["env=push", "env.image_size=0", "n=80", "rollout=false", "where={puck_y_m: [0.03, 0.08]}", f"out={tmp_path / 'x.h5'}"])
    reward = made(tmp_path / "x.h5")
    reward.refit(frames_of(600), np.random.default_rng(0))
    line = np.tile(np.array([0.45, 0.0, 0.50, 0.0], np.float32), (3, 1))
    line[:, 3] = -0.08, 0.055, 0.14
    low, middle, high = rewards(reward, line)
    assert middle > max(low, high) + 0.3


def test_named_failures_are_what_successes_are_told_from(left: Path, tmp_path: Path) -> None:
    make_goals(["env=push", "env.image_size=0", "n=60", "rollout=false", "where={puck_y_m: [-0.14, -0.06]}", f"out={tmp_path / 'r.h5'}"])
    reward = made(left, failures=str(tmp_path / "r.h5"), form="probability")
    reward.refit(frames_of(600), np.random.default_rng(0))
    with GoalFile(left) as good, GoalFile(tmp_path / "r.h5") as bad:
        assert rewards(reward, good.goals("test").achieved).mean() > 0.7
        assert rewards(reward, bad.goals("test").achieved).mean() < 0.3


def test_its_state_is_all_that_it_learnt(left: Path) -> None:
    reward, twin = made(left), made(left)
    reward.refit(frames_of(600), np.random.default_rng(3))
    twin.load_state_dict(reward.state_dict())
    states = frames_of(600).states
    assert np.array_equal(rewards(reward, states), rewards(twin, states))
    again = made(left)
    again.refit(frames_of(600), np.random.default_rng(3))
    assert np.array_equal(rewards(reward, states), rewards(again, states))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": ""}, r"reward\.examples is empty; expected a file of `gcrl goals`"),
        ({"path": "none.h5"}, r"none\.h5 does not exist"),
        ({"form": "probabilty"}, r"unknown reward\.form 'probabilty' \(did you mean 'probability'"),
        ({"features": 0}, r"reward\.features=0"),
        ({"strength": 0.0}, r"reward\.strength=0\.0"),
        ({"split": "tset"}, "unknown split 'tset'"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(arguments: dict[str, Any], said: str, left: Path) -> None:
    with pytest.raises(UserError, match=said):
        made(**{"path": left, **arguments})


def test_a_run_learns_by_pictures_of_success_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    make_goals(
        ["env=door", "env.image_size=48", "n=10", "rollout=false", "where={door_angle_rad: [0.4, 1.0]}", f"out={tmp_path / 'open.h5'}"]
    )
    overrides = [*DOOR, "reward=classifier", f"reward.examples={tmp_path / 'open.h5'}"]
    whole, broken = (Practice(run_settings(overrides, tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    for _ in range(2):
        broken.step()
    broken.close()
    finish_steps(Practice(run_settings(overrides, tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
