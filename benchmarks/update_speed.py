"""Times one gradient update of gcrl's agents beside stable-baselines3's, at equal networks and batch, on one thread each.

    python benchmarks/update_speed.py [--batch 256] [--hidden 256 256] [--rounds 30] [--out update_speed.json]

Times are CPU seconds of the one thread, which on an idle machine are wall seconds. The two take turns in short rounds, so that
whatever else the machine does falls on both; the figure is the median over rounds of the ratio within a round. Each update is timed
on a batch that is already drawn, since replay and relabelling have benchmarks of their own; stable-baselines3 draws its batch inside
``train``, so its drawing is timed apart and taken off.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch
from gymnasium import spaces

from gcrl.agents.api import Batch
from gcrl.agents.sac import SAC
from gcrl.agents.td3 import TD3

INPUTS, GOAL, ACTION = 19, 3, 4  # a manipulation task's
UPDATES = 10  # per round
DISCOUNT, LR, TAU = 0.98, 1e-3, 0.005


class Noise(gym.Env[Any, Any]):
    """Random observations of the size of inputs and goal together: what is learnt does not matter to the time."""

    observation_space = spaces.Box(-5.0, 5.0, (INPUTS + GOAL,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (ACTION,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), -1.0, False, bool(self.np_random.random() < 0.02), {}


def ours(kind: str, hidden: list[int], batch_size: int) -> Callable[[int], float]:
    """Return what times n updates of gcrl's agent (seconds)."""
    make: Any = {"SAC": SAC, "TD3": TD3}[kind]
    agent = make(INPUTS, GOAL, Noise.action_space, seed=0, hidden=hidden, batch_size=batch_size, discount=DISCOUNT, lr=LR, tau=TAU)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    batch = Batch(
        inputs=draw(batch_size, INPUTS),
        actions=draw(batch_size, ACTION).clamp_(-1, 1),
        rewards=-torch.ones(batch_size),
        next_inputs=draw(batch_size, INPUTS),
        terminated=torch.zeros(batch_size),
        goals=draw(batch_size, GOAL),
    )

    def run(n: int) -> float:
        start = time.process_time()
        for _ in range(n):
            agent.update(batch)
        return time.process_time() - start

    return run


def theirs(kind: str, hidden: list[int], batch_size: int) -> Callable[[int], float]:
    """Return what times n updates of stable-baselines3's agent (seconds), without the drawing of its batches."""
    make: Any = {"SAC": sb3.SAC, "TD3": sb3.TD3}[kind]
    keywords = {"policy_kwargs": {"net_arch": hidden}, "gamma": DISCOUNT, "learning_rate": LR, "tau": TAU, "device": "cpu", "seed": 0}
    model = make("MlpPolicy", Noise(), batch_size=batch_size, buffer_size=10_000, learning_starts=2_000, **keywords)
    model.learn(2_000)

    def run(n: int) -> float:
        start = time.process_time()
        for _ in range(n):
            model.replay_buffer.sample(batch_size)
        drawing = time.process_time() - start
        start = time.process_time()
        model.train(n, batch_size)
        return time.process_time() - start - drawing

    return run


def compare(kind: str, hidden: list[int], batch_size: int, rounds: int) -> dict[str, float]:
    """Return median milliseconds per update of both and the median and quartiles of their ratio (gcrl / stable-baselines3)."""
    runs = ours(kind, hidden, batch_size), theirs(kind, hidden, batch_size)
    for run in runs:
        run(UPDATES)
    seconds = np.array([[run(UPDATES) for run in runs] for _ in range(rounds)]) / UPDATES
    low, ratio, high = np.quantile(seconds[:, 0] / seconds[:, 1], [0.25, 0.5, 0.75])
    mine, other = 1e3 * np.median(seconds, axis=0)
    return {"gcrl_ms": mine, "stable_baselines3_ms": other, "ratio": ratio, "ratio_quartile_low": low, "ratio_quartile_high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description="Update time of gcrl's agents beside stable-baselines3's, one thread each.")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", help="write the figures as JSON to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    results = {kind: compare(kind, options.hidden, options.batch, options.rounds) for kind in ("SAC", "TD3")}
    print(f"one update, networks {options.hidden}, batch {options.batch}, one thread each")
    for kind, row in results.items():
        spread = f"(quartiles {row['ratio_quartile_low']:.2f} to {row['ratio_quartile_high']:.2f})"
        times = f"gcrl {row['gcrl_ms']:.2f} ms, stable-baselines3 {row['stable_baselines3_ms']:.2f} ms"
        print(f"{kind}: {times}, ratio {row['ratio']:.2f} {spread}")
    if options.out:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "batch": options.batch,
            "hidden": options.hidden,
            "rounds": options.rounds,
            "threads": 1,
            "results": results,
            "versions": {name: version(name) for name in ("torch", "stable-baselines3", "numpy")} | {"python": platform.python_version()},
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "wall_s": round(time.perf_counter() - start, 1),
        }
        with open(options.out, "w") as file:
            json.dump(record, file, indent=2)


if __name__ == "__main__":
    main()
