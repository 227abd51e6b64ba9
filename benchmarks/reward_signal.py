"""How well each reward tells the puck's distance, before any policy: ``python -m benchmarks.reward_signal [--seeds 1 2 3]``.

For each seed, frames of a noisy expert's pushes are collected, the representation of the preset ``push`` is fitted to them, and every
reward is taken at random frames toward random goal frames. Printed, and written to ``results/reward_signal.json``: the rank correlation
of minus the reward with the distance of puck and puck, over all pairs and over those nearer than NEAR, and with that of hand and hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gcrl.checkpoint import write_atomically
from gcrl.config import load_settings
from gcrl.learner import Learner
from gcrl.parts import build_reward
from gcrl.relabel import Relabel
from gcrl.statistics import mean_interval
from gcrl.system import system

REWARDS = {"true state": "state_distance", "latent distance": "latent_distance", "pixel error": "pixel_error"}
PAIRS = 20_000
NEAR = 0.10  # m
COLUMNS = ("puck, all pairs", f"puck, nearer than {NEAR:.2f} m", "hand, all pairs")


def rank(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the rank correlation of two (n,) figures."""
    return float(stats.spearmanr(a, b)[0])


def signals(seed: int, episodes: int, folder: Path) -> dict[str, list[float]]:
    """Return {reward: rank correlations, one for each of COLUMNS} with frames, fit and pairs drawn by `seed`."""
    data = folder / f"{seed}.h5"
    given = ["env=push", "policy=noisy-scripted", "noise=0.5", "random_share=0.3", f"episodes={episodes}", f"seed={seed}", f"out={data}"]
    subprocess.run([sys.executable, "-m", "gcrl", "collect", *given], check=True, capture_output=True)
    settings = load_settings(["experiment=push", f"seed={seed}", f"dataset={data}", "offline_validation=0", f"run_dir={folder / 'run'}"])
    learner = Learner(settings)
    learner.fit_representation()
    learner.reencode()
    replay, generator = learner.experience, np.random.default_rng(seed)
    rows = replay.sample_transitions(PAIRS, generator)
    goals = Relabel(rollout=0, future=0, sampler=0, random=1)(replay, rows, generator)
    assert goals.achieved is not None
    apart = replay.read("achieved_goal", rows + 1) - goals.achieved
    hand, puck = (np.linalg.norm(apart[:, part], axis=1) for part in (slice(2), slice(2, 4)))
    near = puck < NEAR
    found = {}
    for name, choice in REWARDS.items():
        chosen = load_settings(["experiment=push", f"reward={choice}", f"run_dir={folder / 'run'}"])
        reward = build_reward(chosen, learner.env, learner.policy, learner.sampler)
        value = -reward({key: replay.read(key, rows + 1) for key in reward.needs}, goals)[0]
        found[name] = [rank(value, puck), rank(value[near], puck[near]), rank(value, hand)]
    learner.close()
    return found


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--episodes", type=int, default=160)
    parser.add_argument("--out", type=Path, default=Path("results/reward_signal.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        by_seed = [signals(seed, given.episodes, Path(folder)) for seed in given.seeds]
    table = {name: [mean_interval([found[name][column] for found in by_seed], -1, 1) for column in range(len(COLUMNS))] for name in REWARDS}
    print(f"{'':18}" + "".join(f"{column:>28}" for column in COLUMNS))
    for name, row in table.items():
        print(f"{name:18}" + "".join(f"{f'{mean:.2f} [{low:.2f}, {high:.2f}]':>28}" for mean, low, high in row))
    result = {"columns": COLUMNS, "rank_correlation": table, "by_seed": by_seed, "seeds": given.seeds, "system": system()}
    write_atomically(
        given.out,
        json.dumps(result | {"command": shlex.join(["python", "-m", "benchmarks.reward_signal", *sys.argv[1:]])}, indent=1) + "\n",
    )


if __name__ == "__main__":
    main()
