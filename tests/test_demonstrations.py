"""Demonstrations: cloning with a Q-filter, a share of every minibatch, episodes that begin in demonstrated states."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from agent_cases import batch_of, same, small
from run_cases import COMMON, differences, finish_steps, outcome, practise, settings

from envs.errors import UserError
from gcrl.agents.imitation import Imitation
from gcrl.agents.losses import demonstration_loss
from gcrl.collect import collect
from gcrl.data import Reader
from gcrl.offline import held_out_episodes
from gcrl.practice import Practice

PUSH = [
    "experiment=push_state",
    "goal_sampler=commanded",
    "reward=environment",
    "relabel=her",
    "env.horizon=10",
    "agent.hidden=[16,16]",
    "agent.batch_size=32",
    *COMMON,
    "practice.updates_per_epoch=10",
    "practice.random_epochs=1",
    "practice.eval_every=0",
    "practice.reset_every=2",
]
DEMOS = ["agent.bc_weight=10", "offline_share=0.25", "practice.demo_resets=0.5"]
COLLECT = ["env=push", "env.image_size=0", "env.horizon=10", "episodes=12", "simulators=4"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripted episodes of Push with their states."""
    path = tmp_path_factory.mktemp("data") / "demos.h5"
    collect([*COLLECT, "policy=scripted", "states=true", f"out={path}"])
    return path


@pytest.fixture(scope="module")
def undisturbed(demos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that clones `demos` and begins half of its episodes in them."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish_steps(Practice(settings(PUSH, folder, *DEMOS, f"dataset={demos}")))
    return folder


class Best:
    """A critic that values actions (n, 1) by how near they are to 0.5, whatever the state; the worse of two opinions counts."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        value = -(rows[:, -1] - 0.5).abs()
        return torch.stack([value, value + 1.0])


def test_only_actions_that_the_critics_prefer_are_cloned() -> None:
    rows = torch.zeros(4, 2)
    taken = torch.tensor([[0.4], [0.9], [0.5], [0.5]])
    policy = torch.tensor([[0.0], [0.3], [0.9], [0.9]], requires_grad=True)
    own = torch.zeros(()), {"actor_loss": torch.zeros(())}
    loss, metrics = Imitation("X", 2.0, True)(own, 3, rows, taken, lambda seen: policy[: len(seen)], Best())  # type: ignore[arg-type]
    loss.backward()
    # Row 0 and 2 are better than the policy, row 1 is worse, row 3 is no demonstration; the mean is over all three.
    assert loss.item() == pytest.approx(2.0 * (0.16 + 0.16) / 3)
    assert metrics["bc_kept"].item() == pytest.approx(2 / 3)
    assert policy.grad is not None
    assert policy.grad.squeeze(-1).tolist() == pytest.approx([2 * 2 * -0.4 / 3, 0.0, 2 * 2 * 0.4 / 3, 0.0])
    everything, _ = Imitation("X", 2.0, False)(own, 3, rows, taken, lambda seen: policy[: len(seen)], Best())  # type: ignore[arg-type]
    assert everything.item() == pytest.approx(2.0 * (0.16 + 0.36 + 0.16) / 3)


def test_the_loss_is_summed_over_actions_and_averaged_over_rows() -> None:
    loss, _ = demonstration_loss(torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), None)
    assert loss.item() == pytest.approx((2 + 4) / 2)


@pytest.mark.parametrize("kind", ["sac", "td3", "ddpg", "awac"])
def test_without_a_weight_or_without_demonstrations_nothing_changes(kind: str) -> None:
    plain, unweighted, alone, cloning = small(kind), small(kind), small(kind, bc_weight=5.0), small(kind, bc_weight=5.0, q_filter=False)
    rng = np.random.default_rng(0)
    for _ in range(4):
        batch = batch_of(kind, rng)
        plain.update(batch)
        alone.update(batch)
        batch.demos = 8
        unweighted.update(batch)
        cloning.update(batch)
    assert same(plain.state_dict(), unweighted.state_dict())
    assert same(plain.state_dict(), alone.state_dict())
    assert not same(plain.actor_state(), cloning.actor_state())


@pytest.mark.parametrize("kind", ["sac", "ddpg", "awac"])
def test_a_heavy_weight_ends_in_the_demonstrated_actions(kind: str) -> None:
    agent, batch = small(kind, bc_weight=1000.0, q_filter=False, lr=1e-2), batch_of(kind, np.random.default_rng(0))
    batch.demos = 16
    for _ in range(300):
        metrics = agent.update(batch)
    assert metrics["bc_loss"] < 0.1
    assert metrics["finite"].isfinite()


@pytest.mark.parametrize(("share", "old"), [(0.25, 8), (1.0, 32)])
def test_the_first_rows_of_a_minibatch_are_the_demonstrations(demos: Path, tmp_path: Path, share: float, old: int) -> None:
    run = Practice(settings(PUSH, tmp_path / "run", f"dataset={demos}", f"offline_share={share}"))
    with Reader(demos) as reader:
        known = {row.tobytes() for row in reader.read("action", np.arange(reader.rows))[reader.read("valid", np.arange(reader.rows))]}
    assert run.learner.batches(32).demos == 32  # nothing was practised yet
    run.step()
    batch = run.learner.batches(32)
    run.close()
    assert batch.demos == old
    assert [row.tobytes() in known for row in batch.actions.numpy()] == [True] * old + [False] * (32 - old)


def test_a_share_of_the_episodes_begins_in_demonstrated_states_toward_their_ends(demos: Path, undisturbed: Path) -> None:
    with Reader(demos) as reader:
        seen = reader.read("achieved_goal", np.arange(reader.rows))
        ends = seen[reader.starts + reader.lengths]
        owner = np.repeat(np.arange(len(reader)), reader.lengths + 1)
    with Reader(undisturbed / "practice.h5") as reader:
        begun = reader.read("achieved_goal", reader.starts)
        wanted = reader.goal("achieved", np.arange(len(reader)))
        epoch = reader.column("epoch")
    error = np.abs(begun[:, None] - seen[None]).max(-1)
    demonstrated = error.min(1) < 1e-5
    assert not demonstrated[epoch == 0].any()  # random actions
    # A scene that is kept (every second wave) stays; of 12 others about half.
    assert 2 <= demonstrated.sum() <= 11
    np.testing.assert_allclose(wanted[demonstrated], ends[owner[error.argmin(1)]][demonstrated], atol=1e-6)


def test_states_and_ends_belong_together_where_episodes_are_held_out(demos: Path, tmp_path: Path) -> None:
    run = Practice(settings(PUSH, tmp_path / "run", *DEMOS, "practice.demo_resets=1", f"dataset={demos}", "offline_validation=0.4"))
    learner = run.learner
    assert learner.demo_resets is not None
    goals = learner.demo_resets(learner.warmup_goals(200, 0), np.zeros(200, np.bool_), np.random.default_rng(0))
    with Reader(demos) as reader:
        rows = reader.episode_rows(np.arange(len(reader)))
        states, ends = reader.states(rows), reader.read("achieved_goal", reader.starts + reader.lengths)
        owner = np.repeat(np.arange(len(reader)), reader.lengths + 1)
        held_out = held_out_episodes(reader, 0.4, learner.settings.seed)
    run.close()
    assert goals.starts is not None
    begun = owner[np.abs(goals.starts[:, None] - states[None]).max(-1).argmin(1)]
    np.testing.assert_allclose(goals.achieved, ends[begun], atol=1e-6)
    assert held_out.any()
    assert not held_out[begun].any()


@pytest.mark.parametrize("fault", ["epoch:end:2", "checkpoint:mid:3", "rollout:step:25"])
def test_a_killed_run_with_demonstrations_resumes_to_the_same_outcome(demos: Path, undisturbed: Path, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "run"
    killed = practise(folder, PUSH, *DEMOS, f"dataset={demos}", fault=fault)
    assert killed.wait() == -signal.SIGKILL, killed.said
    finish_steps(Practice(settings(PUSH, folder, *DEMOS, f"dataset={demos}"), resume=True))
    assert differences(outcome(undisturbed), outcome(folder)) == []


def test_what_cannot_be_demonstrated_is_refused_in_one_line(demos: Path, tmp_path: Path) -> None:
    stateless, goalless = tmp_path / "stateless.h5", tmp_path / "practice" / "practice.h5"
    collect([*COLLECT, "policy=random", "seed=1", f"out={stateless}"])
    run = Practice(settings(PUSH, goalless.parent, "goal_sampler=uniform", "practice.reset_every=1"))
    run.step()  # its first epoch acts at random, after no goal
    run.close()
    given = f"dataset={demos}"
    cases = [
        (["agent.bc_weight=1"], "agent.bc_weight=1 needs demonstrations; expected dataset=FILE, or agent.bc_weight=0"),
        (["practice.demo_resets=0.5"], "practice.demo_resets=0.5 needs demonstrations; expected dataset=FILE"),
        ([given, "practice.demo_resets=1.5"], "practice.demo_resets=1.5; expected a share between 0 and 1"),
        ([given, "agent.bc_weight=-1"], "SAC bc_weight=-1.0 is out of range"),
        ([given, "agent.bc_weight=much"], "agent.bc_weight"),
        ([given, "agent.q_filter=perhaps"], "agent.q_filter"),
        ([given, "agent=iql", "agent.bc_weight=1"], "unknown key 'agent.bc_weight' for gcrl.agents.iql:IQL"),
        ([given, "agent.bc_weight=1", "offline_share=0"], "offline_share=0 clones nothing"),
        (
            [given, "agent.bc_weight=1", "relabel=mix"],
            "relabel.sampler=0.4 with agent.bc_weight=1 would clone actions for goals that they did",
        ),
        ([given, "practice.demo_resets=0.5", "practice.reset_every=0"], "practice.reset_every=0, which never resets"),
        ([f"dataset={stateless}", "practice.demo_resets=0.5"], "has no states; expected a dataset made with gcrl collect ... states=true"),
        ([f"dataset={goalless}", "agent.bc_weight=1"], "has episodes without a goal, and relabel.rollout=0.2"),
    ]
    for more, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            Practice(settings(PUSH, tmp_path / "run", *more))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_environments_without_states_begin_in_none(tmp_path: Path) -> None:
    bits = ["env=bitflip", "env.n=5", "policy=random", "episodes=4", "simulators=4"]
    with pytest.raises(UserError, match=r"states=true records goal states, which .* does not have"):
        collect([*bits, "states=true", f"out={tmp_path / 'bits.h5'}"])
    collect([*bits, f"out={tmp_path / 'bits.h5'}"])
    given = ["experiment=bitflip", "env.n=5", f"dataset={tmp_path / 'bits.h5'}", "practice.demo_resets=0.5"]
    with pytest.raises(UserError, match=r"practice.demo_resets=0.5, but .* cannot begin in a given state"):
        Practice(settings(given, tmp_path / "run"))
