"""DisCo's tasks: sets of examples, from a dataset's frames to a run that practises them and is measured by their bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
import gcrl
from gcrl import cli
from gcrl.collect import collect
from gcrl.config import load_settings
from gcrl.data import Reader
from gcrl.evaluate import evaluate_run
from gcrl.goals import GoalFile, make_goals
from gcrl.practice import Practice
from goal_samplers.conformance import check_sampler
from goal_samplers.gaussian_goals import GaussianGoals
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.sets import ExampleSets

# A tiny run on push by state.
PUSH = [
    "experiment=disco",
    "env.horizon=10",
    "agent.hidden=[16,16]",
    "agent.batch_size=32",
    "practice.epochs=3",
    "practice.random_epochs=1",
    "practice.episodes_per_epoch=4",
    "practice.simulators=2",
    "practice.updates_per_epoch=5",
    "practice.eval_every=0",
    "practice.final_goals=2",
    "practice.collector_process=false",
]


def command(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes of push in which the puck gets about."""
    path = tmp_path_factory.mktemp("played") / "played.h5"
    collect(["env=push", "env.image_size=0", "policy=noisy-scripted", "episodes=24", "seed=3", f"out={path}"])
    return path


@pytest.fixture(scope="module")
def left(played: Path) -> Path:
    """Frames in which the puck is on the left, wherever the arm is."""
    path = played.with_name("left.h5")
    made = make_goals([f"dataset={played}", "n=40", "where={puck_y_m: [0.04, 0.14]}", f"out={path}"])
    assert (made["goals"], made["from"]) == (40, "frames")
    return path


# The sampler.


def test_the_sampler_keeps_the_contract() -> None:
    assert check_sampler(lambda: ExampleSets(["a.h5", "b.h5"])) == []


def test_one_set_is_one_goal_where_goals_are_distributions_and_examples_where_they_are_places() -> None:
    context = made_up(representation_of(2, False))
    sampler = ExampleSets(["a.h5"])
    assert context.examples is not None
    examples = context.examples("a.h5", "train")
    points = sampler.sample(context, 200)
    assert len(np.unique(points.params, axis=0)) > 20
    assert all((examples.params == one).all(axis=1).any() for one in points.params)
    assert np.array_equal(points.params, points.achieved)
    context.goal_space = GaussianGoals(2)
    told = sampler.sample(context, 200)
    assert np.array_equal(told.params, np.repeat(context.goal_space.of_set(examples.params)[None], 200, axis=0))
    assert np.isnan(told.achieved).all()


def test_every_task_is_practised_equally_often() -> None:
    context = made_up(representation_of(2, False))
    wanted = {name: context.commanded(30, np.random.default_rng(at)) for at, name in enumerate("abc")}  # type: ignore[misc]
    context.examples, context.goal_space = lambda file, split: wanted[file], GaussianGoals(2)
    kinds, counts = np.unique(ExampleSets(list("abc")).sample(context, 6000).params, axis=0, return_counts=True)
    assert len(kinds) == 3
    assert abs(counts - 2000).max() < 5 * np.sqrt(6000 * 2 / 9)


# Sets of goals, and a run on them.


def test_a_set_of_frames_lies_where_it_says_and_the_rest_is_as_it_happened(left: Path, played: Path) -> None:
    with GoalFile(left) as file, Reader(played) as reader:
        rows = file.rows()
        achieved, episodes_of = file.read("achieved", rows), file.read("source_episode", rows)
        assert file.header.success_predicate == "puck_y_m from 0.04 to 0.14"
        in_split = [set(episodes_of[file.rows(split)]) for split in ("train", "valid", "test")]
        assert sum(map(len, in_split)) == len(set(episodes_of))  # frames of one episode are alike, and stay together
        assert dict(file.header.where) == {"puck_y_m": [0.04, 0.14]}
        sources = reader.starts[file.read("source_episode", rows)] + file.read("source_step", rows)
        assert len(np.unique(sources)) == 40
        assert np.array_equal(achieved, reader.read("achieved_goal", sources))
    assert achieved[:, 3].min() >= 0.04
    assert achieved[:, 3].max() <= 0.14
    assert achieved[:, :2].std(axis=0).min() > 0.01


@pytest.mark.parametrize("rollout", ["true", "false"])
def test_goals_that_are_made_lie_within_the_bounds(rollout: str, tmp_path: Path) -> None:
    where = "where={puck_x_m: [0.52, 0.58], puck_y_m: [0.0, 0.1]}"
    make_goals(["env=push", "env.image_size=0", "n=6", f"rollout={rollout}", where, f"out={tmp_path / 'some.h5'}"])
    with GoalFile(tmp_path / "some.h5") as file:
        puck = file.goals().achieved[:, 2:]
    assert (puck >= [0.52, 0.0]).all()
    assert (puck <= [0.58, 0.1]).all()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("where={puck_z_m: [0, 1]}", "unknown factor in where 'puck_z_m' (did you mean 'puck_y_m'?)"),
        ("where={puck_y_m: 0.1}", "where.puck_y_m=0.1; expected [low, high]"),
        ("where={puck_y_m: [0.1, 0.0]}", "where.puck_y_m=[0.1, 0.0]; expected [low, high]"),
        ("where={puck_y_m: [3, 4]}", "none of 50 goals that gcrl/Push-v0 drew has puck_y_m from 3 to 4"),
    ],
)
def test_bounds_that_cannot_be_met_are_named(
    argument: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcrl.goals.reach.DRAWS", 50)
    assert command("goals", "env=push", "env.image_size=0", "n=2", "rollout=false", argument, f"out={tmp_path / 'x.h5'}") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["n=5000", "where={puck_y_m: [0.04, 0.14]}"], "frames with puck_y_m from 0.04 to 0.14; expected at least n=5000"),
        (["n=5", "where={puck: [0, 1]}"], "unknown factor in where 'puck'"),
        (["where={puck_y_m: [0, 1]}"], "missing n=N"),
        (["n=5", "env=push"], "says what its environment is; expected no env=..."),
        (["n=5", "photos=here"], "dataset=... and photos=...; expected dataset=... with n=N"),
    ],
)
def test_frames_that_are_not_there_are_refused(
    arguments: list[str], said: str, played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("goals", f"dataset={played}", *arguments, f"out={tmp_path / 'x.h5'}") == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_frames_of_pictures_are_goals_with_pictures(tmp_path: Path) -> None:
    collect(["env=push", "env.image_size=16", "policy=random", "episodes=2", "states=true", f"out={tmp_path / 'data.h5'}"])
    make_goals([f"dataset={tmp_path / 'data.h5'}", "n=7", f"out={tmp_path / 'some.h5'}"])
    with GoalFile(tmp_path / "some.h5") as file, Reader(tmp_path / "data.h5") as reader:
        rows = file.rows()
        sources = reader.starts[file.read("source_episode", rows)] + file.read("source_step", rows)
        assert np.array_equal(file.read("image", rows), reader.read("image", sources))
        assert np.array_equal(file.read("state", rows), reader.states(sources))
        assert file.header.image_size == 16
    assert (tmp_path / "some_sheet.png").exists()


def test_a_run_practises_sets_and_is_measured_by_their_bounds(left: Path, tmp_path: Path) -> None:
    files = f"goal_sampler.files=[{left}]"
    assert command("practice", *PUSH, files, f"run_dir={tmp_path / 'run'}") == 0
    run = gcrl.load(tmp_path / "run")
    assert run.policy.goal_space.dim == 4 + 10
    with run.dataset() as data:
        assert data.header.goal_dim == 14
    figures = evaluate_run(tmp_path / "run", goals=left)
    assert figures["where"] == {"puck_y_m": [0.04, 0.14]}
    assert 0 <= figures["success_rate"] <= 1
    assert command("evaluate", str(tmp_path / "run"), "--goals", str(left), "--json") == 0
    assert run.act({key: value for key, value in observation().items()}, np.zeros(4, np.float32)).shape == (2,)


def observation() -> dict[str, Any]:
    """Return a first observation of push."""
    env = envs.make("gcrl/Push-v0", image_size=0)
    try:
        return env.reset(seed=0)[0]
    finally:
        env.close()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["reward=latent_distance"], "reward LatentDistance takes a goal for one place, and goals are GaussianGoals here"),
        (["goal_space=latent"], "reward GoalDensity needs goals that are distributions"),
        (["representation=pca", "env.image_size=32", "practice.refit_every=1"], "practice.refit_every=1 moves the latents that goals"),
        (["goal_sampler.files=[]"], "expected at least one file of `gcrl goals`"),
        (["goal_sampler.files=[nothing.h5]"], "nothing.h5 does not exist"),
        (["goal_sampler.split=tset"], "unknown split 'tset'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    overrides: list[str], said: str, left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("practice", *PUSH, f"goal_sampler.files=[{left}]", *overrides, f"run_dir={tmp_path / 'run'}") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "practice.h5").exists()  # before anything is practised


def test_the_control_practises_examples_of_the_same_files(left: Path, tmp_path: Path) -> None:
    control = ["goal_space=latent", "reward=latent_distance", f"goal_sampler.files=[{left}]"]
    assert command("practice", *PUSH, *control, f"run_dir={tmp_path / 'run'}") == 0
    figures = evaluate_run(tmp_path / "run", goals=left)
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["episodes"] == 2
    assert figures["episodes"] >= 1  # the split test
    assert figures["fulfilled_at_start"] == 0
    assert not any("distance" in name for name in figures)  # from single goals, which nobody asked for


def test_goals_that_a_dataset_knows_are_points(left: Path, played: Path, tmp_path: Path) -> None:
    run = Practice(load_settings([*PUSH, f"goal_sampler.files=[{left}]", f"dataset={played}", f"run_dir={tmp_path / 'run'}"]))
    offline, space_of_goals = run.learner.offline, run.learner.policy.goal_space
    assert offline is not None
    run.learner.reencode()
    goals = offline.rollout_goals(offline.episodes()[0])
    scale = np.array([1, 1, 2, 2], np.float32)
    assert np.allclose(goals.params, space_of_goals.points(goals.achieved * scale), atol=1e-6)
    run.close()


def test_what_exists_outlives_a_command_that_fails(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcrl.goals.reach.DRAWS", 50)
    copy = tmp_path / "data.h5"
    copy.write_bytes(played.read_bytes())
    assert command("goals", f"dataset={copy}", "n=5", f"out={copy}", "overwrite=true") == 2
    assert "is the dataset itself" in capsys.readouterr().err
    assert copy.read_bytes() == played.read_bytes()
    some = tmp_path / "some.h5"
    make_goals([f"dataset={played}", "n=5", f"out={some}"])
    kept = some.read_bytes()
    impossible = ["env=push", "env.image_size=0", "n=2", "rollout=false", "where={puck_y_m: [5, 6]}"]
    assert command("goals", *impossible, f"out={some}", "overwrite=true") == 2
    assert command("goals", f"dataset={played}", "n=5", "where={puck_y_m: [5, 6]}", f"out={some}", "overwrite=true") == 2
    assert some.read_bytes() == kept


def test_goals_of_a_set_whose_starts_lie_in_it_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = "where={puck_y_m: [-0.05, 0.05], puck_x_m: [0.4, 0.55]}"  # where resets put the puck
    assert command("goals", "env=push", "env.image_size=0", "n=2", "rollout=false", where, f"out={tmp_path / 'x.h5'}") == 2
    assert "were fulfilled at the start" in capsys.readouterr().err


def test_doing_nothing_is_told_apart_from_success(played: Path, left: Path, tmp_path: Path) -> None:
    assert command("practice", *PUSH, f"goal_sampler.files=[{left}]", f"run_dir={tmp_path / 'run'}") == 0
    make_goals([f"dataset={played}", "n=10", "where={puck_x_m: [0.3, 0.7]}", f"out={tmp_path / 'anywhere.h5'}"])
    assert evaluate_run(tmp_path / "run", goals=tmp_path / "anywhere.h5")["fulfilled_at_start"] == 1


def test_examples_that_changed_are_refused_when_a_run_is_resumed(played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.h5"
    make_goals([f"dataset={played}", "n=20", f"out={file}"])
    run = Practice(load_settings([*PUSH, f"goal_sampler.files=[{file}]", f"run_dir={tmp_path / 'run'}"]))
    run.step()
    run.close()
    make_goals([f"dataset={played}", "n=21", f"out={file}", "overwrite=true"])
    assert command("resume", str(tmp_path / "run")) == 2
    assert "some.h5 has changed since the checkpoint" in capsys.readouterr().err


MIXED = ["goal_sampler=mixture", "goal_sampler.first=sets", "goal_sampler.second=uniform"]


@pytest.mark.parametrize("more", [MIXED, ["env.image_size=16"], ["agent=td3"]], ids=["mixed with frames", "beside pictures", "td3"])
def test_sets_go_with_other_parts(more: list[str], left: Path, played: Path, tmp_path: Path) -> None:
    files = left
    if "env.image_size=16" in more:
        files = tmp_path / "left.h5"
        make_goals(["env=push", "env.image_size=16", "n=10", "rollout=false", "where={puck_y_m: [0.06, 0.14]}", f"out={files}"])
    key = "goal_sampler.first.files" if more is MIXED else "goal_sampler.files"
    assert command("practice", *PUSH, *more, f"{key}=[{files}]", f"run_dir={tmp_path / 'run'}") == 0
