"""Our side of `benchmarks.update_speed`: every agent but DrQ with its preset's choices, fed with minibatches that are drawn already."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

INPUTS, GOAL = 19, 3  # a manipulation task's
BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
CHOICES = spaces.Discrete(6)  # of agents of discrete actions
BATCHES = 8  # different ones, which take turns
DISCOUNT, LR, TAU = 0.98, 1e-3, 0.005

Timed = Callable[[int], float]  # n -> CPU seconds of n updates


@dataclass
class Ours:
    """An agent as it is timed: its class, and the settings of its preset that cost time."""

    make: Callable[..., Any]
    settings: dict[str, Any] = field(default_factory=dict)
    goal: int = GOAL
    discrete: bool = False


AGENTS = {
    "SAC": Ours(SAC, {"tau": TAU}),
    "TD3": Ours(TD3, {"tau": TAU}),
    "DDPG": Ours(TD3, {"tau": TAU, "critics": 1, "policy_delay": 1, "target_noise": 0.0, "action_l2": 1.0}),
    "DQN": Ours(DQN, {"tau": TAU}, discrete=True),
    "AWAC": Ours(AWAC, {"tau": TAU}),
    "IQL": Ours(IQL, {"tau": TAU}),
    "GCIQL": Ours(IQL, {"tau": TAU, "improvement": "value", "layer_norm": True}),
    "GCIVL": Ours(IVL, {"tau": TAU, "layer_norm": True}),
    "HIQL": Ours(HIQL, {"tau": TAU, "layer_norm": True}),
    "GCBC": Ours(GCBC),
    "CRL": Ours(CRL, {"layer_norm": True}),
    "QRL": Ours(QRL, goal=INPUTS),  # distances are between states
}


def ours(name: str, hidden: Sequence[int], batch_size: int) -> Timed:
    """Return what times n updates of gcrl's agent."""
    agent_of = AGENTS[name]
    given = {"seed": 0, "hidden": hidden, "batch_size": batch_size, "lr": LR, **agent_of.settings}
    agent = agent_of.make(INPUTS, agent_of.goal, CHOICES if agent_of.discrete else BOX, **given)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    def actions() -> torch.Tensor:
        if agent_of.discrete:
            return torch.randint(int(CHOICES.n), (batch_size,), generator=generator)
        return draw(batch_size, BOX.shape[0]).clamp_(-1, 1)

    drawn = itertools.cycle(
        [
            Batch(
                inputs=draw(batch_size, INPUTS),
                actions=actions(),
                rewards=-torch.ones(batch_size),
                next_inputs=draw(batch_size, INPUTS),
                terminated=torch.zeros(batch_size),
                goals=draw(batch_size, agent_of.goal),
                waypoints=draw(batch_size, agent_of.goal),
                waypoint_inputs=draw(batch_size, INPUTS),
            )
            for _ in range(BATCHES)
        ]
    )

    def run(n: int) -> float:
        start = time.process_time()
        for _ in range(n):
            agent.update(next(drawn))
        return time.process_time() - start

    return run
