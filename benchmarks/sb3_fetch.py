"""stable-baselines3's own SAC with HER on FetchPush-v4, given as long as `fetch_push`: ``python -m benchmarks.sb3_fetch [--minutes 60]``.

Nothing of ours takes part in learning. Networks, batch and share of hindsight goals are those of our preset; one update for every two
steps, on one core (`--threads`), as each run of `fetch_push` had, of which two went side by side (`--jobs 2` writes that down). Time
spent on evaluation does not count. Each seed's outcome is written to ``results/sb3_fetch/sac+her_seedN.json`` as it ends; what is there
is skipped by a second start. ``results/sb3_fetch.md`` is the table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import gymnasium_robotics  # noqa: F401 (registers FetchPush-v4)
import torch

import envs
from benchmarks.experiment import Experiment
from benchmarks.sb3_reach import evaluate
from benchmarks.tables import write_table
from gcrl.checkpoint import write_atomically
from gcrl.system import system, version

NAME, ARM, TASK = "sb3_fetch", "stable-baselines3 sac+her", "FetchPush-v4"
COMMAND = "python -m benchmarks.sb3_fetch"
CLAIM = Experiment(
    preset="",
    claim="stable-baselines3's own SAC with HER on FetchPush-v4, an hour on one core: what `fetch_push` is measured beside.",
    arms={ARM: []},
    seeds=(1, 2, 3),
    figures=("success_rate", "distance"),
)
EVALUATED = 50_000  # environment steps between points of the curve, which are measured on the tuning goals
WARM_UP = 4_000


def learn(seed: int, minutes: float, threads: int, jobs: int) -> dict[str, Any]:
    """Train with `seed` for so many minutes and return the result that the table reads."""
    from stable_baselines3 import SAC, HerReplayBuffer
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        """Ends learning when its time is over."""

        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.ends = time.perf_counter() + seconds

        def _on_step(self) -> bool:
            return time.perf_counter() < self.ends

    torch.set_num_threads(threads)
    env, judged = gymnasium.make(TASK), envs.make(TASK)
    agent = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        learning_rate=1e-3,
        gamma=0.95,
        batch_size=256,
        train_freq=2,
        gradient_steps=1,
        learning_starts=WARM_UP,
        policy_kwargs={"net_arch": [256, 256, 256]},
        seed=seed,
        device="cpu",
    )
    untrained = {"policy": "untrained", **evaluate(judged, agent, "test")}
    curve, practised = [], 0.0
    while practised < 60 * minutes:
        started = time.perf_counter()
        agent.learn(EVALUATED, callback=Clock(60 * minutes - practised), reset_num_timesteps=False)
        practised += time.perf_counter() - started
        point = evaluate(judged, agent, "tune")
        curve.append({"env_steps": agent.num_timesteps, "success_rate": point["success_rate"], "distance": point["distance"]})
        print(f"seed {seed}, {practised / 60:.0f} min: {curve[-1]}", flush=True)
    outcome = evaluate(judged, agent, "test") | {"untrained": untrained}
    result = {"experiment": NAME, "arm": ARM, "seed": seed, "jobs_side_by_side": jobs, "evaluation": outcome, "curve": curve}
    result |= {"command": f"{COMMAND} --seeds {seed} --minutes {minutes:g} --threads {threads} --jobs {jobs}"}
    result |= {"env_steps": agent.num_timesteps, "updates": agent._n_updates, "practice_s": practised}
    result |= {"stable_baselines3": version("stable-baselines3"), "system": system()}
    env.close()
    judged.close()
    return result


def main() -> None:
    """Train and measure the seeds named on the command line that have no result yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=CLAIM.seeds)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="how many of these commands run side by side; only written down")
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    (given.results / NAME).mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        target = given.results / NAME / f"sac+her_seed{seed}.json"
        if target.exists():
            print(f"{target}: already there")
            continue
        result = learn(seed, given.minutes, given.threads, given.jobs)
        write_atomically(target, json.dumps(result, indent=1) + "\n")
        write_table(NAME, CLAIM, given.results, COMMAND)
        print(f"{target}: success {result['evaluation']['success_rate']:.3f} in {result['practice_s']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
