"""Returns over several steps equal those of a plain loop, and end where episodes and goals end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agent_cases import WIDE, batch_of, random_batch, same, small
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_cases import episodes, replay

from gcrl.agents.losses import td_target
from gcrl.returns import n_step_returns


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 15), st.floats(0, 0.999), st.floats(0, 0.5))
def test_returns_are_those_of_a_plain_loop(seed: int, steps: int, discount: float, ends: float) -> None:
    generator = np.random.default_rng(seed)
    store = replay(60, False)
    for number in range(8):  # the ring wraps, so that neighbours in memory are of other times
        store.add(episodes(number, [int(generator.integers(1, 13))], False))
    reward, ended = generator.normal(size=(2, 20, 60)).astype(np.float32)
    ended = ended < np.quantile(ended, ends) if ends else np.zeros((20, 60), bool)
    rows = store.sample_transitions(20, generator)
    goal = np.arange(20)
    found = n_step_returns(rows, store.ring.last[rows], steps, discount, lambda later: (reward[goal, later], ended[goal, later]))
    for i, row in enumerate(rows):
        total, k = 0.0, 0
        while True:
            total += discount**k * reward[i, row + k]
            terminal = bool(ended[i, row + k])
            k += 1
            if k == steps or terminal or store.ring.last[row + k] == row + k:
                break
        assert found.rewards[i] == pytest.approx(total, abs=1e-4)
        assert (found.terminated[i], found.after[i]) == (terminal, row + k)
        assert found.discounts[i] == pytest.approx(discount**k)


def test_a_step_at_a_time_is_the_plain_target() -> None:
    r, t, v = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([5.0, 7.0])
    torch.testing.assert_close(td_target(r, t, v, torch.tensor([0.9, 0.9])), td_target(r, t, v, 0.9))
    torch.testing.assert_close(td_target(r, t, v, torch.tensor([0.5, 0.9]), (0.0, 3.0)), torch.tensor([3.0, 2.0]))


@pytest.mark.parametrize("kind", ["sac", "td3", "awac", "iql", "dqn"])
def test_agents_count_what_comes_after_by_the_rows_own_discounts(kind: str) -> None:
    plain, given_, other = small(kind), small(kind), small(kind)
    batch = batch_of(kind, np.random.default_rng(0))
    first = plain.update(batch)
    batch.discounts = torch.full((32,), plain.discount)
    second = given_.update(batch)
    batch.discounts = torch.zeros(32)
    third = other.update(batch)
    assert float(first["critic_loss"]) == pytest.approx(float(second["critic_loss"]), rel=1e-4)
    assert float(first["critic_loss"]) != pytest.approx(float(third["critic_loss"]), rel=1e-4)


@pytest.mark.parametrize("kind", ["sac", "td3", "ddpg", "awac", "iql", "gciql", "ivl", "gcbc", "crl", "qrl", "dqn"])
def test_losses_are_those_of_an_update_and_leave_no_bit_changed(kind: str) -> None:
    agent, twin = small(kind), small(kind)
    rng = np.random.default_rng(0)
    for _ in range(3):
        batch = batch_of(kind, rng)
        agent.update(batch)
        twin.update(batch)
    held_out = batch_of(kind, rng)
    losses = agent.losses(held_out)
    assert same(agent.state_dict(), twin.state_dict())
    updated = twin.update(held_out)
    named = [name for name in updated if name.endswith("_loss")]
    assert named
    assert set(updated) <= set(losses)  # a delayed actor is measured every time
    first = next(name for name in ("value_loss", "critic_loss", "spread_loss", "actor_loss") if name in named)
    assert float(losses[first]) == float(updated[first])  # what is computed before any step
    agent.update(held_out)
    assert same(agent.state_dict(), twin.state_dict())


@pytest.mark.parametrize("kind", ["sac", "td3", "awac", "iql", "ivl", "crl"])
def test_critics_that_disagree_have_a_spread(kind: str) -> None:
    agent = small(kind)
    inputs, goals = np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32)
    goals = goals[:, :2]
    spread = agent.value_spread(inputs, goals)
    assert spread.shape == (9,)
    assert (spread > 0).all()
    rows = agent.normalizer(torch.from_numpy(inputs), torch.from_numpy(goals))
    np.testing.assert_allclose(spread, agent.member_values(rows).detach().numpy().std(0), rtol=1e-3)


def test_a_single_critic_has_no_spread() -> None:
    assert small("ddpg").value_spread is None
    assert not hasattr(small("gcbc"), "value_spread")
    agent = small("sac", critics=5, layer_norm=True)
    assert agent.members() == 5
    assert np.isfinite(float(agent.update(random_batch(np.random.default_rng(0), WIDE))["finite"]))
