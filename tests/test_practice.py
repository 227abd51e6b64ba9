"""The loop: what an epoch does and in which order, what it records, and when evaluations, fits and resets fall due."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies
from run_cases import BITFLIP, DOOR, differences, finish_steps, outcome, settings

import gcrl
from envs.errors import UserError
from gcrl.config import read_settings
from gcrl.data import Reader
from gcrl.metrics_log import read_metrics
from gcrl.practice import Practice, practice, resume
from gcrl.request import episode_seeds, kept_scenes
from gcrl.schedule import evaluations_due, refit_due
from gcrl.settings import Practice as Schedule

ANY = settings(BITFLIP, Path("anywhere"))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished visual run."""
    return practice(settings([*DOOR, "profile=true"], tmp_path_factory.mktemp("door") / "run"))


def test_a_run_leaves_everything_that_the_folder_promises(door: Path) -> None:
    names = {"config.yaml", "command.txt", "system.json", "metrics.jsonl", "tensorboard", "checkpoint", "practice.h5", "report.html"}
    assert names | {"evaluation.json", "evaluation.npz", "baselines.json"} <= {path.name for path in door.iterdir()}
    evaluation = json.loads((door / "evaluation.json").read_text())
    assert evaluation["finished"] is True
    assert evaluation["episodes"] == 4
    assert set(json.loads((door / "baselines.json").read_text())) == {"untrained", "random", "zero"}
    assert not list(door.rglob("*.tmp"))


def test_every_epoch_is_one_line_of_metrics(door: Path) -> None:
    rows = read_metrics(door)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert [row["env_steps"] for row in rows] == [80, 160, 240, 320]
    assert [row["episodes"] for row in rows] == [8, 16, 24, 32]
    assert [row["updates"] for row in rows] == [10, 20, 30, 40]
    # A baseline an epoch once the policy acts; what a short run leaves unmeasured is measured at its end.
    assert [name for row in rows for name in ("untrained", "eval", "random", "zero") if f"{name}/success_rate" in row] == [
        "untrained",
        "random",
    ]
    fitted = [row["epoch"] for row in rows if "representation/fit_steps" in row]
    assert fitted == [0, 2]  # the first fit, then every second epoch


def test_the_dataset_holds_what_was_practised(door: Path) -> None:
    with Reader(door / "practice.h5") as reader:
        assert len(reader) == 32
        assert reader.column("epoch").tolist() == [epoch for epoch in range(4) for _ in range(8)]
        assert np.array_equal(reader.column("seed"), np.concatenate([episode_seeds(1, epoch, 8) for epoch in range(4)]))
        warmup, practised = reader.episodes(slice(0, 8)), reader.episodes(slice(8, 32))
        assert np.isnan(warmup.goals).all()  # random actions look at no goal
        assert np.isfinite(practised.goals).all()
        assert (practised.rewards < 0).all()
        assert warmup.provenance == "random"
        # A goal that was a stored frame is remembered with the picture of that frame.
        rows = practised.goal_rows[:8]
        assert np.array_equal(reader.read("image", rows), practised.goal_images[:8])


def test_a_run_can_be_commanded_from_python(door: Path) -> None:
    run = gcrl.load(door)
    env = run.environment()
    observation, _ = env.reset(seed=0)
    action = run.act(observation, observation["image"])
    assert env.action_space.contains(action)
    assert np.array_equal(action, run.act(observation, observation["image"]))
    env.close()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    outcomes = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        run = Practice(settings([*BITFLIP, f"seed={seed}"], tmp_path / name))
        finish_steps(run)
        outcomes.append(outcome(tmp_path / name))
    assert differences(outcomes[0], outcomes[1]) == []
    assert "h5/steps/action" in differences(outcomes[0], outcomes[2])


def test_a_finished_run_goes_on_for_more_epochs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    made = settings([*BITFLIP, "practice.epochs=2"], folder)
    practice(made)
    for wanted in ("practice.epochs=2", "practice.epochs=1", "practice.epochs=many", "seed=3"):
        with pytest.raises(UserError, match=wanted):
            resume(folder, [wanted])
    assert read_settings(folder / "config.yaml") == made
    resume(folder, ["practice.epochs=4"])
    rows = read_metrics(folder)
    assert [row["episodes"] for row in rows] == [8, 16, 24, 32]
    assert rows[-1]["updates"] == 80
    assert read_settings(folder / "config.yaml").practice.epochs == 4
    assert json.loads((folder / "evaluation.json").read_text())["finished"] is True
    with Reader(folder / "practice.h5") as reader:
        assert np.array_equal(reader.column("seed"), np.concatenate([episode_seeds(made.seed, epoch, 8) for epoch in range(4)]))


def test_goals_that_were_on_their_way_during_a_refit_are_encoded_again(tmp_path: Path) -> None:
    run = Practice(settings([*DOOR, "practice.refit_every=1", "practice.epochs=3"], tmp_path / "run"))
    for _ in range(3):
        run.step()
        replay, representation = run.learner.replay, run.learner.representation
        first, _ = replay.episodes()
        goals = replay.rollout_goals(first[8:])
        if len(goals):
            assert np.abs(representation.encode({"image": goals.images}) - goals.params).max() < 1e-4
        rows = np.arange(replay.size)
        assert np.abs(representation.encode({"image": replay.read("image", rows)}) - replay.read("latent", rows)).max() < 1e-4
    run.close()


def test_the_policy_of_an_epoch_is_one_epoch_old(tmp_path: Path) -> None:
    run = Practice(settings(BITFLIP, tmp_path / "run"))
    before = run.learner.policy.snapshot()["actor"]
    run.step()
    assert run.request is not None
    assert run.request.updates == 0
    assert all(np.array_equal(run.request.snapshot["actor"][name], weights) for name, weights in before.items())
    run.step()
    assert run.request.updates == 20
    assert not all(np.array_equal(run.request.snapshot["actor"][name], weights) for name, weights in before.items())
    run.close()


@pytest.mark.parametrize("key", ["epochs", "episodes_per_epoch", "simulators", "checkpoint_every", "random_hold", "eval_episodes"])
def test_a_schedule_that_cannot_work_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"practice.{key}=0; expected at least 1"):
        Practice(settings([*BITFLIP, f"practice.{key}=0"], tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@given(strategies.integers(0, 60), strategies.integers(0, 6), strategies.integers(0, 6))
def test_baselines_come_first_and_evaluations_at_their_interval(epoch: int, random_epochs: int, every: int) -> None:
    schedule = Schedule(random_epochs=random_epochs, eval_every=every)
    names = [order.name for order in evaluations_due(replace(ANY, practice=schedule), epoch)]
    trained = epoch - random_epochs
    if 1 <= trained <= 3:
        assert names == [("untrained", "random", "zero")[trained - 1]]
    else:
        assert names == (["eval"] if every and trained > 0 and trained % every == 0 else [])


@given(strategies.integers(0, 60), strategies.integers(0, 6), strategies.integers(0, 6), strategies.integers(0, 20))
def test_refits_never_fall_into_the_warm_up_nor_after_the_last(epoch: int, random_epochs: int, every: int, until: int) -> None:
    schedule = Schedule(random_epochs=random_epochs, refit_every=every, refit_until=until)
    due = refit_due(replace(ANY, practice=schedule), epoch)
    since = epoch + 1 - random_epochs
    assert due == (every > 0 and 1 <= since <= until and since % max(every, 1) == 0)


@given(strategies.integers(1, 5), strategies.integers(1, 4), strategies.integers(0, 5), strategies.integers(1, 12))
def test_each_simulator_is_reset_every_so_many_of_its_own_episodes(simulators: int, waves: int, every: int, epochs: int) -> None:
    schedule = Schedule(simulators=simulators, episodes_per_epoch=simulators * waves, reset_every=every)
    kept = np.stack([kept_scenes(schedule, epoch) for epoch in range(epochs)]).reshape(epochs * waves, simulators)
    assert (kept == kept[:, :1]).all()  # all simulators alike
    resets = np.flatnonzero(~kept[:, 0])
    assert resets.tolist() == (list(range(0, epochs * waves, every)) if every else [0])


@given(strategies.integers(0, 2**31), strategies.integers(0, 1000))
def test_seeds_of_episodes_differ_within_and_between_epochs(seed: int, epoch: int) -> None:
    seeds = np.concatenate([episode_seeds(seed, epoch, 16), episode_seeds(seed, epoch + 1, 16), episode_seeds(seed + 1, epoch, 16)])
    assert len(set(seeds.tolist())) == 48
    assert seeds.min() >= 0
