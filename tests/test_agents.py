"""Agents learn small goal-conditioned tasks, repeat themselves exactly, and say what is wrong with what they are given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import BOX, CLASSES, KINDS, WIDE, batch_of, flat, generators, goals_of, random_batch, same, small, tensors
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from envs.errors import UserError
from gcrl.agents import losses, products
from gcrl.agents.api import Agent
from gcrl.agents.dqn import DQN
from gcrl.agents.inference import ACT_ROWS
from gcrl.agents.networks import Critics, GaussianActor
from gcrl.agents.sac import SAC
from gcrl.agents.scripted import Oracle
from gcrl.agents.targets import Polyak, value_range
from gcrl.agents.td3 import TD3


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_and_batches_give_the_same_bits(kind: str) -> None:
    agents = [small(kind, seed=3), small(kind, seed=3), small(kind, seed=4)]
    for agent in agents:
        rng = np.random.default_rng(0)
        for _ in range(5):
            agent.update(batch_of(kind, rng))
    assert same(agents[0].state_dict(), agents[1].state_dict())
    assert not same(agents[0].actor_state(), agents[2].actor_state())


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_from_a_saved_state_bit_by_bit(kind: str) -> None:
    batches = [batch_of(kind, np.random.default_rng(i)) for i in range(14)]
    through, saved, fresh = small(kind, seed=1), small(kind, seed=1), small(kind, seed=99)
    goals = goals_of(kind)
    for agent in (through, saved):
        agent.set_normalizer(np.ones(3, np.float32), np.full(3, 2, np.float32), np.zeros(goals, np.float32), np.ones(goals, np.float32))
    for batch in batches:
        through.update(batch)
    for batch in batches[:7]:
        saved.update(batch)
    state = saved.state_dict()
    kept = copy.deepcopy(state)
    fresh.load_state_dict(state)
    for agent in (saved, fresh):  # the saved state is a copy: neither agent writes to it
        for batch in batches[7:]:
            agent.update(batch)
    assert same(state, kept)
    assert same(through.state_dict(), fresh.state_dict())
    assert same(through.state_dict(), saved.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_saved_before_the_first_update_can_be_loaded(kind: str) -> None:
    agent, other = small(kind, seed=1), small(kind, seed=2)
    other.load_state_dict(agent.state_dict())
    for each in (agent, other):
        each.update(batch_of(kind, np.random.default_rng(0)))
    assert same(agent.state_dict(), other.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_another_agent_acts_alike_from_the_actor_state_alone(kind: str) -> None:
    agent, actor = small(kind, seed=1), small(kind, seed=2)
    n = goals_of(kind)
    agent.set_normalizer(np.ones(3, np.float32), np.full(3, 2, np.float32), np.ones(n, np.float32), np.full(n, 3, np.float32))
    state = agent.actor_state()
    kept = {name: value.copy() for name, value in state.items()}
    inputs, goals = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    goals = goals[:, :n]
    expected, explored = agent.act(inputs, goals, None), agent.act(inputs, goals, generators(5))
    agent.update(batch_of(kind, np.random.default_rng(0)))
    assert same(state, kept)  # a snapshot, not a view
    actor.load_actor_state(state)
    np.testing.assert_array_equal(actor.act(inputs, goals, None), expected)
    np.testing.assert_array_equal(actor.act(inputs, goals, generators(5)), explored)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), row=st.integers(0, 39), kind=st.sampled_from(KINDS))
def test_a_row_acts_alike_whatever_is_beside_it(n: int, row: int, kind: str) -> None:
    row %= n
    rng = np.random.default_rng(n)
    inputs, goals = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, goals_of(kind))).astype(np.float32)
    agent = small(kind, hidden=(64, 64))
    place = row % ACT_ROWS  # in its chunk, which on some processors shows in the last bit
    among = [np.concatenate([np.zeros((place, part.shape[1]), np.float32), part[[row]]]) for part in (inputs, goals)]
    together = agent.act(inputs, goals, generators(n))[row]
    np.testing.assert_array_equal(together, agent.act(*among, generators(n)[row - place : row + 1])[place])
    if kind != "gcbc":  # which has no values; a chunk of them has room for all
        among = [np.where(np.arange(n)[:, None] == row, part, 0).astype(np.float32) for part in (inputs, goals)]
        np.testing.assert_array_equal(agent.value(inputs, goals)[row], agent.value(*among)[row])
    broken = np.where(np.arange(n)[:, None] == row, inputs, np.nan).astype(np.float32)
    np.testing.assert_array_equal(agent.act(broken, goals, generators(n))[row], together)


# ---- actions --------------------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(list(CLASSES)), scale=st.floats(0.0, 1e6), explore=st.booleans())
def test_actions_lie_in_the_environments_range(kind: str, scale: float, explore: bool) -> None:
    rng = np.random.default_rng(0)
    agent = small(kind, **({"exploration_noise": 5.0} if kind in ("td3", "ddpg") else {}))
    rows = (scale * rng.normal(size=(16, 3 + goals_of(kind)))).astype(np.float32)
    actions = agent.act(rows[:, :3], rows[:, 3:], generators(16) if explore else None)
    assert actions.shape == (16, 2)
    assert actions.dtype == np.float32
    assert (actions >= WIDE.low).all()
    assert (actions <= WIDE.high).all()


def test_discrete_actions_are_counted_from_the_first_of_the_space() -> None:
    agent = DQN(3, 2, spaces.Discrete(4, start=5), seed=0, epsilon=1.0, hidden=(8,))
    zeros = np.zeros((200, 3), np.float32)
    assert set(agent.act(zeros, zeros[:, :2], generators(200))) == {5, 6, 7, 8}
    assert np.isfinite(
        float(agent.update(tensors(zeros, np.full(200, 8), *np.zeros((1, 200)), zeros, np.ones(200), zeros[:, :2]))["finite"])
    )


def test_epsilon_is_the_fraction_of_random_actions() -> None:
    agent = small("dqn", epsilon=0.4)
    zeros = np.zeros((2000, 3), np.float32)
    greedy = agent.act(zeros, zeros[:, :2], None)
    other = (agent.act(zeros, zeros[:, :2], generators(2000)) != greedy).mean()
    assert other == pytest.approx(0.4 * 3 / 4, abs=0.04)


@given(st.lists(st.tuples(st.floats(-50, 50, width=32), st.floats(-50, 50, width=32)), min_size=1, max_size=20))
def test_oracle_acts_with_the_goal_in_the_environments_units(goals: list[tuple[float, float]]) -> None:
    given_goals = np.array(goals, np.float32)
    oracle = Oracle(3, 2, WIDE, seed=0, scale=(2.0, -10.0))
    assert isinstance(oracle, Agent)
    assert oracle.update(random_batch(np.random.default_rng(0))) == {}
    actions = oracle.act(np.zeros((len(goals), 3), np.float32), given_goals, None)
    np.testing.assert_array_equal(actions, np.clip(given_goals / np.float32([2, -10]), WIDE.low, WIDE.high))


# ---- what the pieces promise ----------------------------------------------------------------------------------------------------


def test_agents_satisfy_the_contract() -> None:
    assert all(isinstance(small(kind), Agent) for kind in KINDS)


@pytest.mark.parametrize("kind", ["sac", "td3", "ddpg"])
def test_each_loss_moves_its_own_network_only(kind: str) -> None:
    """With the critics' or the actor's optimiser at rest, that network stays as it was and the target moves only toward the critics."""
    for resting in ("critics", "actor"):
        agent = small(kind, tau=1.0, **({} if kind == "sac" else {"policy_delay": 1}))
        own = list(getattr(agent, resting).parameters())
        seen: list[torch.Tensor] = []
        agent.learner.optimizers[resting].step = lambda own=own, seen=seen: seen.extend(p.grad.clone() for p in own)
        before = agent.state_dict()["networks"]
        agent.update(random_batch(np.random.default_rng(0), WIDE))
        after = agent.state_dict()["networks"]
        moved = {name for name in ("critics", "actor") if not same(before[name], after[name])}
        assert moved == {"critics", "actor"} - {resting}
        assert same(after["target_critics"], after["critics"])
        assert all(parameter.grad is None for parameter in agent.target_critics.parameters())
        # Nothing was added to the gradient of its own loss by the other's.
        assert seen
        assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(own, seen))


def test_frozen_critics_pass_gradients_to_actions_only() -> None:
    critics = Critics(2, 5, (64, 64), torch.Generator().manual_seed(0))
    x = torch.randn(70, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    values = critics(x, frozen=True)
    values.amin(0).sum().backward()
    frozen = x.grad
    assert all(parameter.grad is None for parameter in critics.parameters())
    (wanted,) = torch.autograd.grad(critics(x).amin(0).sum(), x)
    torch.testing.assert_close(frozen, wanted)
    torch.testing.assert_close(values[:1], critics(x, frozen=True, members=1))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 130), width=st.integers(1, 130), out=st.integers(1, 130))
def test_linear_layers_equal_the_plain_ones_and_their_gradients(rows: int, width: int, out: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    leaves = [torch.randn(shape, generator=generator, requires_grad=True) for shape in ((rows, width), (out, width), (out,))]
    probe = torch.randn((rows, out), generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "ONEDNN", hasattr(torch.ops.mkldnn, "_linear_pointwise"))
        one, other = products.linear(*leaves), F.linear(*leaves)
        ours = torch.autograd.grad(one, leaves, probe)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for a, b in zip(ours, torch.autograd.grad(other, leaves, probe), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_log_probability_of_a_squashed_action_is_that_of_torch() -> None:
    actor = GaussianActor(5, 2, (16,), torch.Generator().manual_seed(0))
    x, noise = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(1))
    actions, log_prob = actor.sample(x, noise[:, :2])
    mean, log_std = actor(x)
    squashed = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.transforms.TanhTransform()
    )
    torch.testing.assert_close(log_prob, squashed.log_prob(actions).sum(-1), rtol=1e-3, atol=1e-3)


def test_temperature_rises_while_the_policy_is_less_random_than_wanted() -> None:
    for entropy, direction in ((-5.0, 1), (5.0, -1)):
        log_temperature = torch.zeros((), requires_grad=True)
        loss, _ = losses.temperature_loss(log_temperature, torch.full((8,), -entropy), target_entropy=0.0)
        loss.backward()  # type: ignore[no-untyped-call]
        assert log_temperature.grad is not None
        assert np.sign(-log_temperature.grad.item()) == direction


@given(
    reward=st.floats(-1, 0, width=32),
    value=st.floats(-1e6, 1e6, width=32),
    discount=st.floats(0.0, 0.99),
    terminated=st.booleans(),
)
def test_targets_stay_within_what_rewards_can_sum_to(reward: float, value: float, discount: float, terminated: bool) -> None:
    bounds = value_range("TD3", (-1.0, 0.0), discount)
    assert bounds == pytest.approx((-1 / (1 - discount), 0.0))
    r, v, end = (torch.tensor([x], dtype=torch.float32) for x in (reward, value, float(terminated)))
    target = losses.td_target(r, end, v, discount, bounds).item()
    assert bounds is not None
    assert bounds[0] - 1e-3 <= target <= bounds[1]
    free = losses.td_target(r, end, v, discount).item()
    assert free == pytest.approx(reward if terminated else reward + discount * value, rel=1e-4, abs=1e-4)


def test_polyak_moves_the_target_by_its_fraction() -> None:
    one, other = (Critics(2, 3, (4,), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    before = copy.deepcopy(one)
    Polyak(0.25, (one, other)).step()
    for now, old, goal in zip(one.parameters(), before.parameters(), other.parameters()):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * goal)


def test_averaged_weights_act_and_go_on_from_a_checkpoint() -> None:
    """After each update the weights that act are nine tenths of what they were and a tenth of those that learn; only they act."""
    agent, other = small("gcbc", average=0.9), small("gcbc", average=0.9, seed=5)
    assert agent.averaged is not None
    rng = np.random.default_rng(0)
    expected = [weight.detach().clone() for weight in agent.actor.parameters()]
    for _ in range(3):
        agent.update(batch_of("gcbc", rng))
        expected = [0.9 * slow + 0.1 * fast.detach() for slow, fast in zip(expected, agent.actor.parameters())]
    for slow, wanted in zip(agent.averaged.parameters(), expected):
        torch.testing.assert_close(slow, wanted)
    rows = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    before = agent.act(*rows, None)
    other.load_state_dict(agent.state_dict())
    assert np.array_equal(other.act(*rows, None), before)
    with torch.no_grad():
        next(agent.actor.parameters()).zero_()
    assert np.array_equal(agent.act(*rows, None), before)
    other.update(batch_of("gcbc", rng))
    assert not np.array_equal(other.act(*rows, None), before)


@pytest.mark.parametrize("kind", ["gcbc", "awac", "iql", "ivl"])
def test_exploration_is_a_share_of_the_learnt_deviation(kind: str) -> None:
    rows = [np.random.default_rng(seed).normal(size=(64, width)).astype(np.float32) for seed, width in ((0, 3), (1, goals_of(kind)))]
    mode = small(kind).act(*rows, None)
    away = {share: small(kind, exploration=share).act(*rows, generators(64)) - mode for share in (0.0, 0.01, 0.02)}
    np.testing.assert_allclose(away[0.0], 0, atol=1e-6)
    assert np.abs(away[0.02]).max() > 1e-3
    np.testing.assert_allclose(2 * away[0.01], away[0.02], atol=2e-3)


def test_inputs_are_standardised_and_clipped() -> None:
    agent = small("sac")
    agent.set_normalizer(np.float32([10, 0, 0]), np.float32([2, 1, 0]), np.zeros(2, np.float32), np.ones(2, np.float32))
    rows = agent.normalizer(torch.tensor([[14.0, -100.0, 0.0]]), torch.tensor([[0.5, 7.0]]))
    torch.testing.assert_close(rows, torch.tensor([[2.0, -5.0, 0.0, 0.5, 5.0]]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_not_finite_shows_in_the_metrics(kind: str) -> None:
    agent = small(kind)
    batch = batch_of(kind, np.random.default_rng(0))
    assert np.isfinite(float(agent.update(batch)["finite"]))
    batch.inputs[3] = torch.nan
    assert not np.isfinite(float(agent.update(batch)["finite"]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("gcbc", "crl", "qrl")])
def test_agents_that_learn_from_rewards_show_one_that_is_not_finite(kind: str) -> None:
    agent, batch = small(kind), batch_of(kind, np.random.default_rng(0))
    batch.rewards[3] = torch.nan
    metrics = agent.update(batch)
    assert not np.isfinite(float(metrics["finite"]))
    assert kind in ("ivl", "hiql") or {"critic_loss", "q_mean", "q_min", "q_max"} <= metrics.keys()


def test_qrls_multiplier_grows_by_a_factor_while_steps_are_too_long() -> None:
    factors = []
    for first in (1.0, 100.0):
        agent = small("qrl", multiplier=first, lr=1e-4, slack=0.0)
        agent.distance.embed.layers[-1][0].data.mul_(50.0)  # whatever an action does is far too long
        for seed in range(30):
            batch = batch_of("qrl", np.random.default_rng(seed))
            assert agent.update(batch)["step_length"] > 1.0
        factors.append(agent.multiplier().item() / first)
    assert factors[0] == pytest.approx(np.exp(30 * 1e-4), rel=3e-4)  # Adam's steps of the logarithm are all as long as its rate
    assert factors[1] == pytest.approx(factors[0], rel=3e-4)


# ---- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SAC(3, 2, spaces.Discrete(4), seed=0), "did you mean agent=dqn"),
        (lambda: SAC(3, 2, spaces.Box(-np.inf, np.inf, (2,)), seed=0), "bounded Box"),
        (lambda: DQN(3, 2, BOX, seed=0), "did you mean agent=sac"),
        (lambda: TD3(3, 2, BOX, seed=0, discount=1.5), "nearest valid: 0.99999"),
        (lambda: TD3(3, 2, BOX, seed=0, policy_delay=0), "nearest valid: 1"),
        (lambda: SAC(3, 2, BOX, seed=0, lr="fast"), "lr='fast'"),
        (lambda: SAC(3, 2, BOX, seed=0, hidden=(64, 0)), "positive layer widths"),
        (lambda: small("qrl", multiplier=0), "multiplier=0.*nearest valid: 1e-06"),
        (lambda: small("qrl", slack=-1.0), "slack=-1.0.*nearest valid: 0.0"),
        (lambda: small("qrl", far=-5), "far=-5.*nearest valid: 0.001"),
        (lambda: small("sac", target_entropy=float("nan")), "target_entropy=nan"),
        (lambda: SAC(3, 2, BOX, seed=0, reward_range=(0.0, -1.0)), "lowest, highest"),
        (lambda: Oracle(3, 5, BOX, seed=0), "goals have 5 parameters; expected 2"),
        (lambda: Oracle(3, 2, BOX, seed=0, scale=(1.0, 0.0)), "finite factors other than 0"),
        (lambda: small("sac").set_normalizer(*(np.zeros(2, np.float32),) * 4), "expected .5,.: 3 inputs, 2 goal parameters"),
        (lambda: small("sac").set_normalizer(*(np.full(n, np.nan, np.float32) for n in (3, 3, 2, 2))), "not finite"),
        (lambda: small("sac").act(np.zeros((3, 3), np.float32), np.zeros((2, 2), np.float32), None), "one goal per row"),
        (lambda: small("sac").load_state_dict({}), "has no 'networks'"),
        (lambda: small("sac").load_state_dict(small("td3").state_dict()), "saved state of SAC has an unknown network 'target_actor'"),
        (lambda: small("sac").load_actor_state(small("sac", hidden=(16, 8)).actor_state()), "expected .16, 16."),
    ],
)
def test_bad_input_is_one_line_that_names_what_was_expected(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_an_altered_checkpoint_is_refused(kind: str, data: st.DataObject) -> None:
    """A missing leaf or a tensor of another shape is named, whichever it is."""
    agent = small(kind)
    agent.update(batch_of(kind, np.random.default_rng(0)))
    agent.update(batch_of(kind, np.random.default_rng(1)))
    state = agent.state_dict()
    path = data.draw(st.sampled_from(sorted(flat(state)))).split("/")[1:]
    owner = state
    for name in path[:-1]:
        owner = owner[name]
    if data.draw(st.booleans()) and np.ndim(owner[path[-1]]):
        owner[path[-1]] = owner[path[-1]][:-1]
    else:
        del owner[path[-1]]
    with pytest.raises(UserError):
        small(kind).load_state_dict(state)
