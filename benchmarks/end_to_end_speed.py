"""SAC with HER on PandaPush-v3, one update a step, batch 256, 256x256 networks: environment steps per second beside stable-baselines3.

    python benchmarks/end_to_end_speed.py [--steps 2400] [--out results/end_to_end_speed.json]

Both are given the machine's cores: ours a collector process beside the learner, stable-baselines3 as many torch threads as serve it
best (tried with one and with all). The two take turns in one run; start-up and random steps are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gcrl.checkpoint import write_atomically
from gcrl.config import load_settings
from gcrl.practice import Practice
from gcrl.system import system

EPOCH = 400  # steps


def ours(steps: int) -> float:
    """Return our steps per second."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = ["experiment=fetch_reach", "env=PandaPush-v3", "agent=sac", "agent.batch_size=256", "relabel=her"]
        practice = {"epochs": 2 + steps // EPOCH, "episodes_per_epoch": 8, "updates_per_epoch": EPOCH, "random_epochs": 1}
        practice |= {"eval_every": 0, "final_goals": 0}  # stable-baselines3 evaluates nothing here either
        overrides += [f"practice.{key}={value}" for key, value in practice.items()] + [f"run_dir={folder}/run"]
        run = Practice(load_settings(overrides))
        try:
            run.step()
            run.step()  # both processes are at work from here on
            started = time.perf_counter()
            for _ in range(steps // EPOCH):
                run.step()
            return steps / (time.perf_counter() - started)
        finally:
            run.close()


def theirs(steps: int, threads: int) -> float:
    """Return stable-baselines3's steps per second with `threads` torch threads."""
    import gymnasium
    import panda_gym  # noqa: F401
    from stable_baselines3 import SAC, HerReplayBuffer

    torch.set_num_threads(threads)
    env = gymnasium.make("PandaPush-v3")
    agent = SAC(
        "MultiInputPolicy",
        env,
        batch_size=256,
        learning_starts=EPOCH,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [256, 256]},
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        device="cpu",
        seed=1,
    )
    agent.learn(EPOCH + 50)
    started = time.perf_counter()
    agent.learn(steps, reset_num_timesteps=False)
    seconds = time.perf_counter() - started
    env.close()
    torch.set_num_threads(1)
    return steps / seconds


def main() -> None:
    """Print the ratio and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2400, help=f"counted steps, a multiple of {EPOCH}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for _ in range(given.rounds):
        entry = {"gcrl": ours(given.steps), "sb3_one_thread": theirs(given.steps // 4, 1)}
        entry["sb3_all_threads"] = theirs(given.steps // 4, os.cpu_count() or 1)
        entry["ratio"] = entry["gcrl"] / max(entry["sb3_one_thread"], entry["sb3_all_threads"])
        rounds.append(entry)
        print("  ".join(f"{key} {value:.1f}" for key, value in entry.items()), flush=True)
    ratio = statistics.median(entry["ratio"] for entry in rounds)
    print(f"SAC+HER on PandaPush-v3, steps/s: ratio {ratio:.2f} (median of {len(rounds)}; wanted: at least 1.6)")
    if given.out:
        result: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "ratio": ratio, "rounds": rounds, "system": system()}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(given.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
