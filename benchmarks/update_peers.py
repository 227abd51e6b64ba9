"""The other side of `benchmarks.update_speed`: the nearest public implementation of each agent that installs beside gcrl.

stable-baselines3 and d3rlpy, at the same networks, batch, critics, LayerNorm and optimiser (Adam); their minibatches are drawn before the
clock starts, as ours are. OGBench's own agents are JAX scripts of its repository, which its package does not hold; JaxGCRL's package asks
for a build of jaxlib that is on no index. So CRL, QRL and HIQL have no peer, and GCIQL and GCIVL have IQL, the nearest there is.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import d3rlpy
import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
from d3rlpy.torch_utility import TorchMiniBatch
from gymnasium import spaces
from stable_baselines3.common.utils import polyak_update

from benchmarks.update_agents import BATCHES, BOX, CHOICES, DISCOUNT, GOAL, INPUTS, LR, TAU, Timed

STEPS = 2_000  # random ones in stable-baselines3's replay
WIDTH = INPUTS + GOAL


class Noise(gym.Env[Any, Any]):
    """Random observations of the size of inputs and goal together: what is learnt does not matter to the time."""

    observation_space = spaces.Box(-5.0, 5.0, (WIDTH,), np.float32)

    def __init__(self, actions: spaces.Space[Any]) -> None:
        self.action_space = actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), -1.0, False, bool(self.np_random.random() < 0.02), {}


def stable_baselines3(kind: str, hidden: Sequence[int], batch_size: int) -> Timed:
    """Return what times n updates of stable-baselines3's agent."""
    discrete = kind == "DQN"
    keywords = {"policy_kwargs": {"net_arch": list(hidden)}, "gamma": DISCOUNT, "learning_rate": LR, "tau": TAU, "device": "cpu", "seed": 0}
    env = Noise(CHOICES if discrete else BOX)
    model = getattr(sb3, kind)("MlpPolicy", env, batch_size=batch_size, buffer_size=10_000, learning_starts=STEPS, **keywords)
    model.learn(STEPS)
    drawn = itertools.cycle([model.replay_buffer.sample(batch_size) for _ in range(BATCHES)])
    model.replay_buffer.sample = lambda *_, **__: next(drawn)

    def run(n: int) -> float:
        start = time.process_time()
        model.train(n, batch_size)
        if discrete:  # which moves its target as it collects, and not as it trains
            for _ in range(n):
                polyak_update(model.q_net.parameters(), model.q_net_target.parameters(), TAU)
        return time.process_time() - start

    return run


def d3rlpy_agent(kind: str, hidden: Sequence[int], batch_size: int, layer_norm: bool = False) -> Timed:
    """Return what times n updates of d3rlpy's agent."""
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=list(hidden), use_layer_norm=layer_norm)
    plain = d3rlpy.models.VectorEncoderFactory(hidden_units=list(hidden))
    discrete = kind == "DoubleDQN"
    settings: dict[str, dict[str, Any]] = {
        "IQL": {"actor_encoder_factory": plain, "critic_encoder_factory": encoder, "value_encoder_factory": encoder, "tau": TAU},
        "AWAC": {"actor_encoder_factory": plain, "critic_encoder_factory": encoder, "tau": TAU},
        "BC": {"encoder_factory": plain, "policy_type": "stochastic"},
        "DoubleDQN": {"encoder_factory": plain, "target_update_interval": 1},  # as ours moves its target at every update
    }
    adam = d3rlpy.optimizers.AdamFactory()
    optimisers = dict.fromkeys(["actor_optim_factory", "critic_optim_factory"] if kind in ("IQL", "AWAC") else ["optim_factory"], adam)
    config = getattr(d3rlpy.algos, f"{kind}Config")(batch_size=batch_size, **settings[kind], **optimisers)
    algorithm = config.create(device="cpu:0")
    algorithm.create_impl((WIDTH,), int(CHOICES.n) if discrete else BOX.shape[0])
    generator = torch.Generator().manual_seed(0)

    def draw(width: int) -> torch.Tensor:
        return torch.randn((batch_size, width), generator=generator)

    def actions() -> torch.Tensor:
        if discrete:
            return torch.randint(int(CHOICES.n), (batch_size, 1), generator=generator)
        return draw(BOX.shape[0]).clamp_(-1, 1)

    one, none = torch.ones((batch_size, 1)), torch.zeros((batch_size, 1))
    fixed = {"rewards": -one, "returns_to_go": none, "terminals": none, "intervals": one, "device": "cpu:0"}
    drawn = itertools.cycle(
        [
            TorchMiniBatch(observations=draw(WIDTH), actions=actions(), next_observations=draw(WIDTH), next_actions=actions(), **fixed)
            for _ in range(BATCHES)
        ]
    )
    count = itertools.count(1)

    def run(n: int) -> float:
        start = time.process_time()
        for _ in range(n):
            algorithm.impl.update(next(drawn), next(count))
        return time.process_time() - start

    return run


@dataclass
class Peer:
    """What one of ours is timed beside: its name, how it is made, and in what it is not the same."""

    name: str
    make: Callable[[Sequence[int], int], Timed]
    differs: str = ""


def _sb3(kind: str, differs: str = "") -> Peer:
    return Peer(f"stable-baselines3 {kind}", lambda hidden, batch: stable_baselines3(kind, hidden, batch), differs)


def _d3rlpy(kind: str, differs: str = "", layer_norm: bool = False) -> Peer:
    return Peer(f"d3rlpy {kind}", lambda hidden, batch: d3rlpy_agent(kind, hidden, batch, layer_norm), differs)


PEERS: dict[str, list[Peer]] = {
    "SAC": [_sb3("SAC")],
    "TD3": [_sb3("TD3")],
    "DDPG": [_sb3("DDPG")],
    "DQN": [_d3rlpy("DoubleDQN"), _sb3("DQN", "not double: one pass less")],
    "AWAC": [_d3rlpy("AWAC")],
    "IQL": [_d3rlpy("IQL")],
    "GCIQL": [_d3rlpy("IQL", "its policy clones by advantage", layer_norm=True)],
    "GCIVL": [_d3rlpy("IQL", "critics of actions beside one value", layer_norm=True)],
    "GCBC": [_d3rlpy("BC", "squared error instead of a density")],
    "CRL": [],
    "QRL": [],
    "HIQL": [],
}
