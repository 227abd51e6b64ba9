"""Agents solve small tasks: a bandit, a point mass with hindsight, bit flipping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from agent_cases import BOX, WIDE, small, tensors
from gymnasium import spaces

from gcrl.agents.api import Agent, Batch
from gcrl.agents.awac import AWAC
from gcrl.agents.crl import CRL
from gcrl.agents.dqn import DQN
from gcrl.agents.gcbc import GCBC
from gcrl.agents.iql import IQL
from gcrl.agents.ivl import IVL
from gcrl.agents.qrl import QRL
from gcrl.agents.sac import SAC
from gcrl.agents.td3 import TD3


@pytest.mark.parametrize(("kind", "more"), [("sac", {}), ("td3", {}), ("ddpg", {"action_l2": 0.0, "reward_range": None})])
def test_one_step_bandit_is_solved(kind: str, more: dict[str, Any]) -> None:
    """The reward is minus the squared distance of the action to the goal: the best action is the goal, in the environment's units."""
    rng = np.random.default_rng(0)
    agent = small(kind, hidden=(64, 64), lr=3e-3, **more)
    low, high = WIDE.low, WIDE.high
    for _ in range(400):
        unit_goals, unit_actions = rng.uniform(-0.9, 0.9, (128, 2)), rng.uniform(-1, 1, (128, 2))
        inputs = rng.normal(size=(128, 3))
        rewards = -((unit_goals - unit_actions) ** 2).sum(-1)
        agent.update(tensors(inputs, low + (unit_actions + 1) / 2 * (high - low), rewards, inputs, np.ones(128), unit_goals))
    goals = rng.uniform(-0.9, 0.9, (200, 2)).astype(np.float32)
    actions = agent.act(np.zeros((200, 3), np.float32), goals, None)
    error = np.abs((actions - low) / (high - low) * 2 - 1 - goals)
    assert error.mean() < 0.1
    np.testing.assert_allclose(agent.value(np.zeros((200, 3), np.float32), goals), 0.0, atol=0.25)


class PointMass:
    """A point in [-1, 1]² that moves by 0.15 × action; success within 0.1 of the goal after 20 steps; rewards -1 until there."""

    step_size, radius, horizon = 0.15, 0.1, 20

    def episodes(self, agent: Agent, rng: np.random.Generator, n: int, mode: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        positions = np.zeros((n, self.horizon + 1, 2), np.float32)
        positions[:, 0] = rng.uniform(-1, 1, (n, 2))
        goals = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        actions = np.zeros((n, self.horizon, 2), np.float32)
        for t in range(self.horizon):
            if mode == "random":
                actions[:, t] = rng.uniform(-1, 1, (n, 2))
            else:
                actions[:, t] = agent.act(positions[:, t], goals, rng.spawn(n) if mode == "explore" else None)
            positions[:, t + 1] = np.clip(positions[:, t] + self.step_size * actions[:, t], -1, 1)
        return positions, actions, goals

    def batch(
        self, positions: np.ndarray, actions: np.ndarray, goals: np.ndarray, rng: np.random.Generator, rows: int, hindsight: float = 0.8
    ) -> Batch:
        """Draw transitions; that share of the goals becomes a position that the episode reached later (HER, strategy "future")."""
        e, t = rng.integers(len(positions), size=rows), rng.integers(self.horizon, size=rows)
        future = positions[e, rng.integers(t + 1, self.horizon + 1)]
        goal = np.where(rng.random((rows, 1)) < hindsight, future, goals[e])
        after = positions[e, t + 1]
        reached = np.linalg.norm(after - goal, axis=-1) < self.radius
        return tensors(positions[e, t], actions[e, t], reached - 1.0, after, np.zeros(rows), goal)


@pytest.mark.parametrize("cls", [SAC, TD3])
def test_point_mass_with_sparse_rewards_is_solved_by_hindsight(cls: type[SAC] | type[TD3]) -> None:
    task, rng = PointMass(), np.random.default_rng(1)
    extra: dict[str, Any] = {} if cls is SAC else {"exploration_noise": 0.2, "random_actions": 0.3, "action_l2": 0.1}
    agent: Any = cls(2, 2, BOX, seed=0, hidden=(64, 64), discount=0.9, tau=0.02, reward_range=(-1.0, 0.0), **extra)

    def success() -> float:
        positions, _, goals = task.episodes(agent, np.random.default_rng(2), 100, "greedy")
        return float((np.linalg.norm(positions[:, -1] - goals, axis=-1) < task.radius).mean())

    untrained = success()
    data = task.episodes(agent, rng, 40, "random")
    for _ in range(7):
        for _ in range(150):
            agent.update(task.batch(*data, rng, 128))
        data = tuple(np.concatenate(pair) for pair in zip(data, task.episodes(agent, rng, 8, "explore")))
    assert untrained < 0.3
    assert success() > 0.9


@pytest.mark.parametrize("cls", [SAC, TD3])
def test_demonstrations_solve_a_point_mass_that_rewards_alone_do_not(cls: type[SAC] | type[TD3]) -> None:
    """Without hindsight, rewards are too rare to learn from so soon; twenty demonstrations show where they are."""
    task, shown = PointMass(), np.random.default_rng(3)
    straight = np.zeros((20, task.horizon + 1, 2), np.float32)
    straight[:, 0] = shown.uniform(-1, 1, (20, 2))
    aims = shown.uniform(-1, 1, (20, 2)).astype(np.float32)
    moves = np.zeros((20, task.horizon, 2), np.float32)
    for t in range(task.horizon):
        moves[:, t] = np.clip((aims - straight[:, t]) / task.step_size, -1, 1)
        straight[:, t + 1] = straight[:, t] + task.step_size * moves[:, t]

    def success(weight: float) -> float:
        rng = np.random.default_rng(1)
        agent: Any = cls(2, 2, BOX, seed=0, hidden=(64, 64), discount=0.9, tau=0.02, reward_range=(-1.0, 0.0), bc_weight=weight)
        data = task.episodes(agent, rng, 16, "random")
        for _ in range(2):
            for _ in range(300):
                practised = task.batch(*data, rng, 96, hindsight=0.0)
                demos = task.batch(straight, moves, aims, rng, 32, hindsight=0.0)
                parts = zip(vars(demos).values(), vars(practised).values())
                batch = Batch(*(torch.cat(pair) for pair in parts if isinstance(pair[0], torch.Tensor)), demos=32)
                agent.update(batch if weight else practised)
            data = tuple(np.concatenate(pair) for pair in zip(data, task.episodes(agent, rng, 8, "explore")))
        positions, _, goals = task.episodes(agent, np.random.default_rng(2), 100, "greedy")
        return float((np.linalg.norm(positions[:, -1] - goals, axis=-1) < task.radius).mean())

    assert success(0.0) < 0.2
    assert success(1000.0) > 0.9


VALUED = {"discount": 0.9, "tau": 0.02}
OFFLINE: dict[str, tuple[Any, dict[str, Any]]] = {
    "awac": (AWAC, VALUED),
    "iql": (IQL, {**VALUED, "expectile": 0.8, "inverse_temperature": 10.0}),
    "gciql": (IQL, {**VALUED, "expectile": 0.8, "improvement": "value", "clone_weight": 0.1}),
    "ivl": (IVL, VALUED),
    "crl": (CRL, {"improvement": "advantage"}),
    "qrl": (QRL, {"latent": 32, "far": 50.0, "clone_weight": 0.01}),
    "gcbc": (GCBC, {}),
}


@pytest.mark.parametrize("kind", OFFLINE)
def test_a_point_mass_is_learnt_from_random_walks_alone(kind: str) -> None:
    """Agents with values go straight where the data wandered; cloning what led to a goal is left behind."""
    task, rng = PointMass(), np.random.default_rng(1)
    positions = np.zeros((300, task.horizon + 1, 2), np.float32)
    positions[:, 0] = rng.uniform(-1, 1, (300, 2))
    actions = np.repeat(rng.uniform(-1, 1, (300, 5, 2)), 4, axis=1).astype(np.float32)
    for t in range(task.horizon):
        positions[:, t + 1] = np.clip(positions[:, t] + task.step_size * actions[:, t], -1, 1)
    cls, more = OFFLINE[kind]
    agent: Any = cls(2, 2, BOX, seed=0, hidden=(64, 64), lr=1e-3, **more)
    for _ in range(1000 if kind == "crl" else 500):
        e, t = rng.integers(300, size=256), rng.integers(task.horizon, size=256)
        later = positions[e, np.minimum(t + rng.geometric(0.1, 256), task.horizon)]
        anywhere = positions[rng.integers(300, size=256), rng.integers(task.horizon + 1, size=256)]
        share = {"crl": 1.0, "gcbc": 1.0, "qrl": 0.0}.get(kind, 0.5)
        goal = np.where(rng.random((256, 1)) < share, later, anywhere)
        reached = np.linalg.norm(positions[e, t + 1] - goal, axis=-1) < task.radius
        batch = tensors(positions[e, t], actions[e, t], reached - 1.0, positions[e, t + 1], reached, goal)
        batch.actor_goals = torch.as_tensor(later)
        agent.update(batch)
    walked, _, goals = task.episodes(agent, np.random.default_rng(2), 100, "greedy")
    success = float((np.linalg.norm(walked[:, -1] - goals, axis=-1) < task.radius).mean())
    low, high = {"gcbc": (0.3, 0.8), "crl": (0.8, 1.0)}.get(kind, (0.95, 1.0))
    assert low <= success <= high


def test_bit_flip_is_solved_by_dqn_with_hindsight() -> None:
    bits, rng = 6, np.random.default_rng(0)
    agent = DQN(bits, bits, spaces.Discrete(bits), seed=0, hidden=(64,), reward_range=(-1.0, 0.0))

    def play(n: int, explore: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        states = np.zeros((n, bits + 1, bits), np.float32)
        states[:, 0] = rng.integers(2, size=(n, bits))
        goals = rng.integers(2, size=(n, bits)).astype(np.float32)
        actions = np.zeros((n, bits), np.int64)
        for t in range(bits):
            # An episode that is at its goal stays there.
            moving = (states[:, t] != goals).any(-1)
            actions[:, t] = agent.act(states[:, t], goals, rng.spawn(n) if explore else None)
            states[:, t + 1] = states[:, t]
            states[moving, t + 1, actions[moving, t]] = 1 - states[moving, t, actions[moving, t]]
        return states, actions, goals

    def success() -> float:
        states, _, goals = play(64, explore=False)
        return float((states[:, -1] == goals).all(-1).mean())

    untrained = success()
    parts = [play(16, explore=True)]
    for _ in range(30):
        states, actions, goals = (np.concatenate(part) for part in zip(*parts))
        for _ in range(40):
            e, t = rng.integers(len(states), size=128), rng.integers(bits, size=128)
            goal = np.where(rng.random((128, 1)) < 0.8, states[e, rng.integers(t + 1, bits + 1)], goals[e])
            # What an episode at its own goal "did" moved nothing: such steps are no transitions of the task.
            moved = (states[e, t] != states[e, t + 1]).any(-1)
            reached = (states[e, t + 1] == goal).all(-1)
            rows = [a[moved] for a in (states[e, t], actions[e, t], reached - 1.0, states[e, t + 1], reached * 1.0, goal)]
            agent.update(tensors(*rows))
        parts.append(play(16, explore=True))
    assert untrained < 0.3
    assert success() > 0.95
