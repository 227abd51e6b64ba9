"""Tasks of several stages (DisCo): what examples say of a stage given the end, practised as goals and gone through by a planner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from run_cases import differences, finish_steps, outcome, settings
from test_disco import PUSH, command

import envs
from envs.errors import UserError
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.goals import GoalFile, make_goals
from gcrl.policy import Policy
from gcrl.practice import Practice
from gcrl.subgoals import Subgoals
from goal_samplers.api import Goals
from goal_samplers.conformance import check_sampler
from goal_samplers.gaussian_goals import GaussianGoals
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.planners.api import PlanContext
from goal_samplers.planners.conformance import run_checks
from goal_samplers.planners.stages import Stages
from goal_samplers.stages import Stage, StageGoals
from representations.identity import Identity

FILES = ["half.h5", "end.h5"]


def offered(pairs: dict[str, np.ndarray], space: Any = None) -> Any:
    """Return a context that offers these files of latents."""
    context = made_up(representation_of(2, pictures=False))
    read = lambda file, split: Goals(pairs[file].astype(np.float32), np.full(len(pairs[file]), -1))  # noqa: E731
    return replace(context, examples=read, goal_space=space)


def two_stages(n: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    """Return pairs in which the first stage has x as at the end, to within 0.05, and y anywhere."""
    generator = np.random.default_rng(seed)
    ends = generator.uniform(-1, 1, (n, 2))
    half = np.stack([ends[:, 0] + 0.05 * generator.standard_normal(n), generator.uniform(-1, 1, n)], axis=1)
    return {"half.h5": half, "end.h5": ends}


@examples(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_stage_is_the_conditional_of_the_joint_gaussian(seed: int, dims: int) -> None:
    generator = np.random.default_rng(seed)
    slope, noise = generator.normal(size=(dims, dims)), generator.uniform(0.1, 0.5, dims)
    finals = generator.normal(size=(20_000, dims))
    stage = Stage.of_pairs((finals @ slope + 3 + noise * generator.standard_normal(finals.shape)).astype(np.float32), finals)
    assert stage.slope == pytest.approx(slope, abs=0.05)
    assert stage.covariance == pytest.approx(np.diag(noise**2), abs=0.03)
    assert 0 < stage.unexplained < 1


def test_a_distribution_says_what_matters_in_a_stage_and_a_latent_is_its_mean() -> None:
    pairs = two_stages()
    stage, ends = Stage.of_pairs(pairs["half.h5"], pairs["end.h5"]), np.array([[0.5, -0.9], [-0.5, 0.9]], np.float32)
    space = GaussianGoals(2, min_std=0.05)
    means, precisions = space.mean_and_precision(stage.goals(space, ends))
    assert means[:, 0] == pytest.approx([0.5, -0.5], abs=0.05)
    assert np.abs(means[:, 1]).max() < 0.2  # y does not follow from the end
    assert precisions[0, 0, 0] > 50 * precisions[0, 1, 1]  # and does not matter
    alone = LatentGoalsLike(2)
    assert np.array_equal(stage.goals(alone, ends), means)


class LatentGoalsLike:
    """Goals that are latents."""

    def __init__(self, dims: int) -> None:
        self.latent_dim = self.dim = dims

    def points(self, latents: Any) -> Any:
        return latents


def test_both_keep_their_contracts() -> None:
    assert check_sampler(lambda: StageGoals(FILES)) == []
    assert [problem for check in run_checks(lambda space: Stages(FILES, space)) for problem in check.problems] == []


def test_stages_are_practised_equally_often_and_the_last_is_the_end_itself() -> None:
    pairs, space = two_stages(), GaussianGoals(2, min_std=0.05)
    goals = StageGoals(FILES).sample(offered(pairs, space), 4000)
    exact = (goals.params == space.points(goals.params[:, :2])).all(axis=1)
    assert exact.mean() == pytest.approx(0.5, abs=0.05)
    ends = pairs["end.h5"].astype(np.float32)
    assert all((ends == one).all(axis=1).any() for one in goals.params[exact, :2][:50])


@examples(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["full", "diagonal"]))
def test_distance_to_a_goal_counts_what_matters_about_it(seed: int, covariance: str) -> None:
    generator = np.random.default_rng(seed)
    space = GaussianGoals(3, covariance=covariance, min_std=0.1, condition=1e6)
    latents, wanted = generator.normal(size=(2, 20, 3)).astype(np.float32)
    apart = np.linalg.norm(latents - wanted, axis=1)
    assert space.distance(latents, space.points(wanted)) == pytest.approx(apart, rel=1e-3)
    loose = space.of_moments(wanted, np.diag([0.01, 0.01, 100.0]))  # the third does not matter
    assert space.distance(latents, loose) == pytest.approx(np.linalg.norm((latents - wanted)[:, :2], axis=1), rel=0.05, abs=0.05)


class Straight:
    """An agent that goes straight to the mean of what it is told, by 0.1 a step, and remembers what that was."""

    batch_size = 1

    def __init__(self) -> None:
        self.told: list[np.ndarray] = []

    def act(self, inputs: Any, goals: Any, explore: Any = None) -> Any:
        self.told.append(goals.copy())
        away = goals[:, :2] - inputs
        return (away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.1)).astype(np.float32)


@pytest.mark.parametrize(("reach", "patience", "first"), [(0.0, 7, 7), (0.06, 0, 5), (0.06, 3, 3)])
def test_a_stage_ends_after_its_steps_or_once_what_matters_about_it_is_there(reach: float, patience: int, first: int) -> None:
    pairs, space = two_stages(), GaussianGoals(2, min_std=0.05)
    pairs["half.h5"][:, 0] = 0.5  # the first stage is x = 0.5, wherever y is
    planner = Stages(FILES, space, reach=reach, patience=patience)
    planner.fit(offered(pairs, space))
    agent = Straight()
    policy = Policy(Identity(envs.make("gcrl/Corridor-v0").observation_space), agent, ("latent",), space, planner)  # type: ignore[arg-type]
    act, at = Subgoals(policy), np.zeros((1, 2), np.float32)
    end = space.points(np.array([[-0.8, 0.8]], np.float32))
    for step in range(12):
        at = at + 0.1 * act({"achieved_goal": at}, end, [], step)
    at_end = [bool((told == end).all()) for told in agent.told]
    assert at_end.index(True) == first
    assert all(at_end[first:])


def test_a_fitted_planner_goes_on_from_its_state_and_before_it_the_goal_is_the_plan() -> None:
    space = GaussianGoals(2)
    planner, other = (Stages(FILES, space) for _ in range(2))
    metrics = planner.fit(offered(two_stages(), space))
    assert 0.4 < metrics["unexplained"] < 0.6  # of two coordinates one
    ends, where = space.points(np.eye(2, dtype=np.float32)), PlanContext(np.zeros((2, 2), np.float32))
    assert np.array_equal(other.plan(where, ends), ends[:, None])
    other.load_state_dict(planner.state_dict())
    assert np.array_equal(other.plan(where, ends), planner.plan(where, ends))
    assert np.array_equal(planner.plan(where, ends)[:, -1], ends)


# Files of stages, and a run on them.


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations of push."""
    path = tmp_path_factory.mktemp("played") / "played.h5"
    collect(["env=push", "env.image_size=0", "env.horizon=40", "policy=scripted", "episodes=16", "seed=3", f"out={path}"])
    return path


@pytest.fixture(scope="module")
def files(played: Path) -> list[Path]:
    """Frames in the middle and at the end of each of them."""
    paths = [played.with_name(f"{name}.h5") for name in ("half", "end")]
    for path, share in zip(paths, (0.5, 1.0)):
        assert make_goals([f"dataset={played}", f"stage={share}", "splits=[1,0,0]", f"out={path}"])["goals"] == 16
    return paths


def test_a_file_of_a_stage_holds_one_frame_of_each_episode(files: list[Path], played: Path) -> None:
    with GoalFile(files[0]) as half, GoalFile(files[1]) as end, Reader(played) as reader:
        for file, step in ((half, 20), (end, 40)):
            rows = file.rows("train")
            assert np.array_equal(file.read("source_episode", rows), np.arange(16))
            assert (file.read("source_step", rows) == step).all()
            assert np.array_equal(file.read("achieved", rows), reader.read("achieved_goal", reader.starts + step))


def test_fewer_are_of_the_same_episodes_whatever_the_stage(played: Path, tmp_path: Path) -> None:
    episodes = []
    for share in (0.25, 1.0):
        make_goals([f"dataset={played}", f"stage={share}", "n=5", f"out={tmp_path / 'some.h5'}", "overwrite=true"])
        with GoalFile(tmp_path / "some.h5") as file:
            episodes.append([file.read("source_episode", file.rows(split)).tolist() for split in ("train", "valid", "test")])
    assert episodes[0] == episodes[1]
    assert sum(map(len, episodes[0])) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stage=1.5"], "stage=1.5; expected a share of an episode's steps"),
        (["stage=0.5", "where={puck_y_m: [0, 1]}"], "stage=0.5 and where=...; expected dataset=FILE stage=SHARE"),
        (["stage=0.5", "n=17"], "has 16 of 16 frames; expected at least n=17"),
    ],
)
def test_odd_stages_are_named(played: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("goals", f"dataset={played}", *arguments, f"out={tmp_path / 'x.h5'}") == 2
    assert said in capsys.readouterr().err
    assert command("goals", "env=push", "stage=0.5", f"out={tmp_path / 'x.h5'}") == 2
    assert "no dataset=..." in capsys.readouterr().err


def staged(files: list[Path]) -> list[str]:
    named = f"[{','.join(map(str, files))}]"
    by_stage = [f"goal_sampler.files={named}", "planner=stages", f"planner.files={named}", "planner.patience=5"]
    return [*PUSH, "goal_sampler=stages", *by_stage, "practice.planned=false"]


def test_a_run_practises_stages_and_is_led_through_them_and_resumes_exactly(files: list[Path], tmp_path: Path) -> None:
    whole, broken = (Practice(settings(staged(files), tmp_path / name)) for name in ("whole", "broken"))
    finish_steps(whole)
    broken.step()
    broken.step()
    broken.close()
    finish_steps(Practice(settings(staged(files), tmp_path / "broken"), resume=True))
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "broken")) == []
    policy = whole.learner.policy
    goals = policy.told(Goals(np.zeros((3, policy.goal_space.latent_dim), np.float32), np.full(3, -1))).params
    assert policy.planner.plan(PlanContext(goals[:, : policy.goal_space.latent_dim]), goals).shape == (3, 2, policy.goal_space.dim)
    with Reader(tmp_path / "whole" / "practice.h5") as reader:
        assert len(reader) == 12


@pytest.mark.parametrize("of_planner", [False, True])
def test_files_that_do_not_pair_up_are_refused_as_a_run_starts(files: list[Path], played: Path, tmp_path: Path, of_planner: bool) -> None:
    other = tmp_path / "other.h5"
    make_goals([f"dataset={played}", "stage=1", "n=12", "splits=[1,0,0]", f"out={other}"])
    part = "planner" if of_planner else "goal_sampler"
    with pytest.raises(UserError, match=r"other.h5 are not of the same episodes as those in .*half.h5"):
        Practice(settings([*staged(files), f"{part}.files=[{files[0]},{other}]"], tmp_path / "run"))
    with pytest.raises(UserError, match=r"half.h5 shows stage 0.5 after .*end.h5, stage 1; expected stages from early to late"):
        Practice(settings([*staged(files), f"{part}.files=[{files[1]},{files[0]}]"], tmp_path / "run"))
    with pytest.raises(UserError, match=r"expected one for each stage"):
        Practice(settings([*staged(files), f"{part}.files=[{other}]"], tmp_path / "run"))


def test_files_in_a_mixture_pair_up_too_and_plans_stay_out_of_practice(files: list[Path], played: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    make_goals([f"dataset={played}", "stage=1", "n=12", "splits=[1,0,0]", f"out={other}"])
    mixed = [
        "goal_sampler=mixture",
        "goal_sampler.first=stages",
        f"goal_sampler.first.files=[{files[0]},{other}]",
        "goal_sampler.second=uniform",
    ]
    with pytest.raises(UserError, match="are not of the same episodes"):
        Practice(settings([*PUSH, *mixed], tmp_path / "run"))
    frames = tmp_path / "frames.h5"
    make_goals([f"dataset={played}", "n=16", "splits=[1,0,0]", f"out={frames}"])
    with pytest.raises(UserError, match=r"frames.h5 holds no frames of a stage"):
        Practice(settings([*staged(files), f"goal_sampler.files=[{files[0]},{frames}]"], tmp_path / "run"))
    with pytest.raises(UserError, match=r"planner=stages would take each for an end; expected practice.planned=false"):
        Practice(settings([*staged(files), "practice.planned=true"], tmp_path / "run"))


def test_where_goals_are_latents_a_goal_is_one_of_the_frames(files: list[Path]) -> None:
    pairs = two_stages()
    goals = StageGoals(FILES).sample(offered(pairs), 200)
    shown = np.concatenate(list(pairs.values())).astype(np.float32)
    assert all((shown == one).all(axis=1).any() for one in goals.params)


def test_odd_arguments_are_named() -> None:
    with pytest.raises(UserError, match="patience = 0 and reach = 0 would never end a stage"):
        Stages(FILES, GaussianGoals(2), patience=0)
    with pytest.raises(UserError, match=r"half.h5 400, end.h5 3; expected as many in each"):
        StageGoals(FILES).sample(offered({**two_stages(), "end.h5": np.zeros((3, 2))}), 5)
