"""Learning from a dataset before practice, beside it, and from another run's networks."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies
from run_cases import BITFLIP, DOOR, differences, outcome, practise, settings

from envs.errors import UserError
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.metrics_log import read_metrics
from gcrl.outcome import after_offline
from gcrl.practice import Practice
from gcrl.run import load
from gcrl.schedule import offline_epochs, total_epochs, updates_of

ANY = settings(BITFLIP, Path("anywhere"))
OFFLINE = ["agent=iql", "agent.hidden=[16,16]", "agent.batch_size=32", "practice.epochs=3", "practice.eval_every=1"]


@pytest.fixture(scope="module")
def undisturbed(doors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learnt from `doors` for 25 updates, then practised for 3 epochs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(Practice(settings(DOOR, folder, *OFFLINE, f"dataset={doors}", "offline_updates=25")))
    return folder


def finish(run: Practice) -> None:
    while run.epoch < run.epochs:
        run.step()
    run.close()


def test_a_run_learns_offline_first_and_goes_on_practising(undisturbed: Path) -> None:
    rows = read_metrics(undisturbed)
    assert [row["updates"] for row in rows] == [10, 20, 25, 35, 45, 55]
    assert [row["env_steps"] for row in rows] == [0, 0, 0, 80, 160, 240]
    assert "representation/reconstruction_mse" in rows[0]  # fitted to the dataset at once
    switched = [row for row in rows if "eval/updates" in row and row["eval/updates"] == 25]
    assert len(switched) == 1, "the policy that the dataset alone made is evaluated once"
    alone = [row for row in rows if "offline/success_rate" in row]
    assert [row["offline/updates"] for row in alone] == [25], "and on the test goals, once"
    kept = after_offline(undisturbed)
    assert kept["distance"] == alone[0]["offline/distance"]
    assert (kept["env_steps"], kept["updates"], kept["episodes"]) == (0, 25, 4)  # nothing that was practised has been learnt from
    assert kept["success_rate_interval"][0] <= kept["success_rate"] <= kept["success_rate_interval"][1]
    with Reader(undisturbed / "practice.h5") as reader:
        assert len(reader) == 24
        goals = reader.goal("achieved", np.arange(8))
    assert np.isfinite(goals).all()  # no random warm-up after learning: the first episodes already have goals of their own


@pytest.mark.parametrize("fault", ["epoch:end:2", "checkpoint:mid:3", "rollout:step:12", "epoch:end:4"])
def test_a_run_killed_before_at_or_after_the_switch_resumes_to_the_same_outcome(
    doors: Path, undisturbed: Path, tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "run"
    killed = practise(folder, DOOR, *OFFLINE, f"dataset={doors}", "offline_updates=25", fault=fault)
    assert killed.wait() == -signal.SIGKILL, killed.said
    finish(Practice(settings(DOOR, folder, *OFFLINE, f"dataset={doors}", "offline_updates=25"), resume=True))
    assert differences(outcome(undisturbed), outcome(folder)) == []


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.25, 8), (1.0, 32)])
def test_minibatches_mix_dataset_and_practice_by_the_share(doors: Path, tmp_path: Path, share: float, old: int) -> None:
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={doors}", "offline_updates=1", f"offline_share={share}"))
    finish(run)
    with Reader(doors) as reader:
        known = {row.tobytes() for row in reader.read("action", np.arange(reader.rows))[:, :3]}
    batch = run.learner.batches(32)
    from_dataset = sum(row.tobytes() in known for row in batch.actions.numpy())
    assert (from_dataset, len(batch.actions)) == (old, 32)


def test_actors_may_improve_toward_other_goals_than_values(doors: Path, tmp_path: Path) -> None:
    more = [f"dataset={doors}", "offline_updates=5", "relabel=random", "actor_goals.geometric=1", "actor_goals.discount=0.5"]
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, *more))
    run.step()
    batch = run.learner.batches(32)
    assert batch.actor_goals is not None
    assert batch.actor_goals.shape == batch.goals.shape
    near, far = ((goals - batch.next_inputs[:, : goals.shape[1]]).norm(dim=1).mean() for goals in (batch.actor_goals, batch.goals))
    assert near < far
    run.close()


def test_a_run_may_start_with_the_networks_of_another(undisturbed: Path, tmp_path: Path) -> None:
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"init_from={undisturbed}", "seed=7"))
    other = load(undisturbed)
    assert all(np.array_equal(value, other.agent.actor_state()[name]) for name, value in run.learner.agent.actor_state().items())
    state = run.learner.agent.state_dict()
    assert state["updates"] == 0
    assert not any(state["optimizers"].values())  # they begin anew, and noise is by this run's seed
    assert not np.array_equal(state["generator"], other.agent.state_dict()["generator"])
    run.close()


def test_a_dataset_of_an_environment_with_other_arguments_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "top.h5"
    collect(["env=door", "env.image_size=48", "env.horizon=10", "env.camera=top", "policy=random", "episodes=3", f"out={data}"])
    Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={data}")).close()
    assert f"note: dataset={data} was made with env.camera=top instead of None" in capsys.readouterr().err


@given(strategies.integers(0, 5000), strategies.integers(1, 900), strategies.integers(1, 20))
def test_offline_updates_are_all_made_before_practice(wanted: int, each: int, epochs: int) -> None:
    run = ANY
    run.offline_updates, run.practice.updates_per_epoch, run.practice.epochs = wanted, each, epochs
    for keep in (False, True):
        run.practice.keep_agent = keep
        made = [updates_of(run, epoch) for epoch in range(total_epochs(run))]
        assert sum(made[: offline_epochs(run)]) == wanted
        assert made[offline_epochs(run) :] == [0 if keep else each] * epochs
        assert all(0 < count <= each for count in made[: offline_epochs(run)])


def test_an_agent_that_is_kept_is_the_one_that_the_dataset_made(doors: Path, tmp_path: Path) -> None:
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, f"dataset={doors}", "offline_updates=8", "practice.keep_agent=true"))
    while run.epoch < run.offline_epochs:
        run.step()
    made = {name: weights.copy() for name, weights in run.learner.agent.actor_state().items()}
    finish(run)
    assert run.env_steps > 0
    for name, weights in run.learner.agent.actor_state().items():
        np.testing.assert_array_equal(weights, made[name])


def test_what_cannot_be_learnt_from_is_refused_in_one_line(doors: Path, undisturbed: Path, tmp_path: Path) -> None:
    cases = [
        ([f"dataset={doors.parent}/door.h5"], "did you mean 'doors.h5'"),
        ([f"dataset={doors}", "env.image_size=32"], "has image Box.*48, 48.*; expected Box.*32, 32"),
        ([f"dataset={doors}", "offline_share=1.5"], "offline_share=1.5; expected a share between 0 and 1"),
        ([f"dataset={doors}", "offline_updates=-1"], "offline_updates=-1; expected at least 0"),
        (
            [f"dataset={doors}", "offline_updates=9", "practice.updates_per_epoch=0"],
            "updates_per_epoch=0; expected at least 1 of",
        ),
        (["offline_updates=10"], "offline_updates=10 need something to learn from; expected dataset=FILE"),
        (
            [f"dataset={doors}", "practice.keep_agent=true"],
            "keep_agent=true keeps an agent that has learnt nothing; expected",
        ),
        ([f"dataset={doors}", "actor_goals.later=1"], "unknown actor_goals fraction 'later'"),
        ([f"init_from={undisturbed}", "agent=td3", "agent.hidden=[16,16]"], "has agent=gcrl.agents.iql:IQL; expected gcrl.agents.td3:TD3"),
        ([f"init_from={doors.parent}"], "is not a run folder: it has no config.yaml"),
        ([f"dataset={doors}", "offline_share=0", "offline_updates=0"], "offline_share=0 and offline_updates=0 is not learnt from"),
        ([f"dataset={doors}", "offline_share=0.01"], r"offline_share=0.01 of agent.batch_size=32 rows is none; expected at least 0.031"),
    ]
    for more, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            Practice(settings(DOOR, tmp_path / "run", *OFFLINE, *more))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_a_dataset_that_changed_is_refused_on_resuming(doors: Path, tmp_path: Path) -> None:
    data, more = tmp_path / "data.h5", ["offline_updates=20"]
    shutil.copy(doors, data)
    run = Practice(settings(DOOR, tmp_path / "run", *OFFLINE, *more, f"dataset={data}"))
    run.step()
    run.close()
    collect(["env=door", "env.image_size=48", "env.horizon=10", "policy=random", "episodes=3", "seed=9", f"out={data}", "overwrite=true"])
    with pytest.raises(UserError, match="has changed since the checkpoint"):
        Practice(settings(DOOR, tmp_path / "run", *OFFLINE, *more, f"dataset={data}"), resume=True)
