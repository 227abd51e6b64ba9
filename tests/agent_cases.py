"""What the tests of the agents share: batches, small agents, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from gcrl.agents.api import Batch
from gcrl.agents.awac import AWAC
from gcrl.agents.crl import CRL
from gcrl.agents.dqn import DQN
from gcrl.agents.gcbc import GCBC
from gcrl.agents.hiql import HIQL
from gcrl.agents.iql import IQL
from gcrl.agents.ivl import IVL
from gcrl.agents.qrl import QRL
from gcrl.agents.sac import SAC
from gcrl.agents.td3 import TD3

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
WIDE = spaces.Box(np.array([-3.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))
DDPG = {"critics": 1, "policy_delay": 1, "target_noise": 0.0}
HER = {**DDPG, "exploration_noise": 0.2, "random_actions": 0.3, "action_l2": 1.0, "reward_range": (-1.0, 0.0)}


CLASSES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sac": (SAC, {}),
    "td3": (TD3, {}),
    "ddpg": (TD3, HER),
    "awac": (AWAC, {}),
    "iql": (IQL, {}),
    "gciql": (IQL, {"improvement": "value", "layer_norm": True}),
    "ivl": (IVL, {}),
    "hiql": (HIQL, {}),
    "gcbc": (GCBC, {}),
    "crl": (CRL, {"latent": 8}),
    "qrl": (QRL, {"latent": 16}),
}


def tensors(*arrays: Any) -> Batch:
    """Return a batch of (inputs, actions, rewards, next_inputs, terminated, goals); whole-number actions stay whole."""
    return Batch(*(torch.as_tensor(a if np.asarray(a).dtype == np.int64 else np.asarray(a, np.float32)) for a in arrays))


def random_batch(rng: np.random.Generator, space: spaces.Space[Any] = BOX, rows: int = 32, goals: int = 2) -> Batch:
    if isinstance(space, spaces.Box):
        actions: Any = rng.uniform(space.low, space.high, (rows, 2))
    else:
        actions = rng.integers(4, size=rows)
    return tensors(
        rng.normal(size=(rows, 3)),
        actions,
        rng.normal(size=rows),
        rng.normal(size=(rows, 3)),
        rng.integers(2, size=rows).astype(np.float32),
        rng.normal(size=(rows, goals)),
    )


def small(kind: str, seed: int = 0, **more: Any) -> Any:
    """Return an agent of 3 inputs and `goals_of` goal parameters with networks that are quick to run."""
    if kind == "dqn":
        return DQN(3, 2, spaces.Discrete(4), seed=seed, **({"hidden": (16, 16)} | more))
    cls, settings_ = CLASSES[kind]
    return cls(3, goals_of(kind), WIDE, seed=seed, **({"hidden": (16, 16)} | settings_ | more))


def goals_of(kind: str) -> int:
    """Return the number of goal parameters of `small` agents: distances are between states, so as many as inputs there."""
    return 3 if kind == "qrl" else 2


def batch_of(kind: str, rng: np.random.Generator) -> Batch:
    batch = random_batch(rng, space_of(kind), goals=goals_of(kind))
    if kind != "hiql":
        return batch
    waypoints, inputs = (torch.as_tensor(rng.normal(size=(len(batch.rewards), width)), dtype=torch.float32) for width in (2, 3))
    return replace(batch, waypoints=waypoints, waypoint_inputs=inputs)


def space_of(kind: str) -> spaces.Space[Any]:
    return spaces.Discrete(4) if kind == "dqn" else WIDE


def generators(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, row]) for row in range(n)]


def flat(state: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {key: leaf for name, value in state.items() for key, leaf in flat(value, f"{prefix}/{name}").items()}
    return {prefix: np.asarray(state)}


def same(one: Any, other: Any) -> bool:
    a, b = flat(one), flat(other)
    return a.keys() == b.keys() and all(a[key].dtype == b[key].dtype and np.array_equal(a[key], b[key]) for key in a)


KINDS = [*CLASSES, "dqn"]
