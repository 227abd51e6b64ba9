"""Time of proposing 1,000 goals, of every sampler that needs no planning and no decoding: ``python benchmarks/sampler_speed.py``.

The sampler of a whole learner (Push by state, SAC of 256 x 256 units) over a replay of 10^4 and of 10^6 states, asked as a run asks it:
rows chosen, checked, and made into goals. Fitting a density happens once an epoch and is timed apart. CPU time of one thread, median.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from gcrl.config import load_settings
from gcrl.episodes import Episodes
from gcrl.learner import Learner
from gcrl.system import system
from representations.vqvae import VQVAE

GOALS, SIZES, EPISODE = 1000, (10_000, 1_000_000), 50
REQUIRED_MS = 50.0
OUTCOMES, OUTCOMES_MS = 64, 1500.0  # goals of a VQ-VAE's prior
SAMPLERS = {
    "uniform": [],
    "skewfit": ["goal_sampler.density=kde", "goal_sampler.density.key=achieved_goal"],
    "skewfit_distance": [],
    "skewfit_model": [],
    "mega": [],
    "discover": [],
    "neighbours": [],
    "mixture": ["goal_sampler.first=mega", "goal_sampler.second=uniform"],
    "commanded": [],
    "single": [],
}


def filled(sampler: str, states: int) -> Learner:
    """Return a learner of `sampler` whose replay holds about so many `states`, of the hand and the puck all over the table."""
    overrides = ["experiment=push_state", f"goal_sampler={sampler}", *SAMPLERS[sampler], f"practice.capacity={states + 2 * EPISODE}"]
    learner = Learner(load_settings([*overrides, "run_dir=nowhere"]))
    generator, at_once = np.random.default_rng(0), 200
    space: Any = learner.env.observation_space
    for first in range(0, states // (EPISODE + 1), at_once):
        n = min(at_once, states // (EPISODE + 1) - first)
        observations = {
            key: generator.uniform(-0.3, 0.7, (n, EPISODE + 1, *one.shape)).astype(np.float32)
            for key, one in space.spaces.items()
            if key != "desired_goal"
        }
        goals = generator.normal(size=(n, learner.representation.latent_dim)).astype(np.float32)
        actions = generator.uniform(-1, 1, (n, EPISODE, *(learner.env.action_space.shape or ()))).astype(np.float32)
        ended, lengths = np.zeros((n, EPISODE), np.bool_), np.full(n, EPISODE)
        achieved = observations["achieved_goal"][:, 0]
        episodes = Episodes(observations, actions, ended, lengths, np.arange(n), goals, np.full(n, -1), None, achieved)
        learner.replay.reencode(learner.representation, learner.replay.add(episodes), goals=False)
    return learner


def timed(learner: Learner, rounds: int) -> dict[str, float]:
    """Return milliseconds of a fit and of `GOALS` goals: CPU time, the median and the quartiles."""
    started = time.process_time()
    learner.prepare(0)
    fit = time.process_time() - started
    return {**spent(lambda: learner.propose(GOALS, 1), rounds), "prepare_ms": 1000 * fit}


def spent(do: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Return milliseconds of CPU time that `do` takes, after a first time: the median and the quartiles over `rounds`."""
    do()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        do()
        times.append(1000 * (time.process_time() - started))
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75])
    return {"ms": float(median), "low_ms": float(low), "high_ms": float(high)}


def outcomes(rounds: int) -> dict[str, float]:
    """Return milliseconds of `OUTCOMES` samples of an untrained VQ-VAE's prior, whose cost does not depend on its weights, at 48 pixels."""
    space = spaces.Dict({"image": spaces.Box(0, 255, (48, 48, 3), np.uint8)})
    vqvae = VQVAE(space)
    scenes = vqvae.encode({"image": np.random.default_rng(0).integers(0, 255, (OUTCOMES, 48, 48, 3), dtype=np.uint8)})
    return spent(lambda: vqvae.outcomes(scenes, np.random.default_rng(1)), rounds)


def main() -> None:
    """Time all samplers and print, and where asked write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    rows = []
    for states in SIZES:
        for sampler in SAMPLERS:
            learner = filled(sampler, states)
            row = {"sampler": sampler, "states": states, **timed(learner, given.rounds)}
            learner.close()
            rows.append(row)
            print(f"{sampler:18} {states:9,} states: {row['ms']:7.1f} ms ({row['low_ms']:.1f} to {row['high_ms']:.1f})", flush=True)
    slow = [f"{row['sampler']} ({row['states']:,})" for row in rows if row["ms"] > REQUIRED_MS]
    print(f"above {REQUIRED_MS:g} ms: {', '.join(slow) or 'none'}")
    torch.set_num_threads(1)
    prior = {"goals": OUTCOMES, "required_ms": OUTCOMES_MS, **outcomes(given.rounds)}
    print(f"{OUTCOMES} outcomes of the VQ-VAE's prior: {prior['ms']:.0f} ms ({prior['low_ms']:.0f} to {prior['high_ms']:.0f})")
    if given.out:
        found = {"command": shlex.join(["python", *sys.argv]), "goals": GOALS, "required_ms": REQUIRED_MS, "load": os.getloadavg()[0]}
        given.out.write_text(json.dumps({**found, "rows": rows, "vq_prior": prior, "system": system()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
