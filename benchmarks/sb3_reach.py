"""stable-baselines3's own SAC with HER on ``gcrl/Reach-v0`` by state: ``python -m benchmarks.sb3_reach [--seeds 1 2 3]``.

Nothing of ours but the environment takes part. Each seed's outcome is written to ``results/sb3_reach/sac+her_seedN.json`` as it ends;
what is there is skipped by a second start. ``results/sb3_reach.md`` is the table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import envs  # noqa: F401 (registers gcrl/Reach-v0)
from benchmarks.experiment import Experiment
from benchmarks.tables import write_table
from gcrl.checkpoint import write_atomically
from gcrl.evaluation import LAST_STEPS, TEST_SEED
from gcrl.statistics import mean_interval
from gcrl.system import system, version

NAME, ARM = "sb3_reach", "stable-baselines3 sac+her"
COMMAND = "python -m benchmarks.sb3_reach"
CLAIM = Experiment(
    preset="",
    claim="stable-baselines3's own SAC with HER on gcrl/Reach-v0 by state: success at least 0.9 on every seed.",
    arms={ARM: []},
    seeds=(1, 2, 3),
    figures=("success_rate", "distance"),
)
STEPS, WARM_UP = 15_000, 600
EVALUATED = 5_000  # environment steps between points of the curve, which are measured on the tuning goals


def evaluate(env: Any, agent: Any, split: str) -> dict[str, Any]:
    """Return {success_rate, distance, episodes} of the deterministic policy over the goals of `split`, by the last steps of an episode."""
    task = env.unwrapped
    rates, distances = [], []
    for episode, goal in enumerate(task.fixed_goals(split).achieved):
        seed = int(np.random.SeedSequence([TEST_SEED, episode, 3]).generate_state(1)[0] >> 1)
        observation, _ = env.reset(seed=seed, options={"goal": goal})
        achieved = []
        for _ in range(task.horizon):
            observation = env.step(agent.predict(observation, deterministic=True)[0])[0]
            achieved.append(observation["achieved_goal"])
        last = np.stack(achieved[-LAST_STEPS:])
        rates.append(float(np.mean(task.success(last, np.broadcast_to(goal, last.shape)))))
        distances.append(float(np.mean(task.metrics(last, np.broadcast_to(goal, last.shape))["distance"])))
    mean, low, high = mean_interval(rates, 0, 1)
    return {
        "success_rate": mean,
        "success_rate_interval": [low, high],
        "distance": float(np.mean(distances)),
        "episodes": len(rates),
        "goals": split,
    }


def learn(seed: int, steps: int) -> dict[str, Any]:
    """Train with `seed` for `steps` environment steps and return the result that the table reads."""
    from stable_baselines3 import SAC, HerReplayBuffer

    torch.set_num_threads(1)
    env, judged = gymnasium.make("gcrl/Reach-v0"), gymnasium.make("gcrl/Reach-v0")
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
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
    )
    untrained = {"policy": "untrained", **evaluate(judged, agent, "test")}
    curve, practised = [], 0.0
    while agent.num_timesteps < steps:
        started = time.perf_counter()
        agent.learn(min(EVALUATED, steps - agent.num_timesteps), reset_num_timesteps=False)
        practised += time.perf_counter() - started
        point = evaluate(judged, agent, "tune")
        curve.append({"env_steps": agent.num_timesteps, "success_rate": point["success_rate"], "distance": point["distance"]})
        print(f"seed {seed}: {curve[-1]}", flush=True)
    outcome = evaluate(judged, agent, "test") | {"untrained": untrained}
    result = {"experiment": NAME, "arm": ARM, "seed": seed, "jobs_side_by_side": 1, "evaluation": outcome, "curve": curve}
    result |= {"command": f"{COMMAND} --seeds {seed} --steps {steps}", "env_steps": agent.num_timesteps, "updates": agent._n_updates}
    result |= {"practice_s": practised, "stable_baselines3": version("stable-baselines3"), "system": system()}
    env.close()
    judged.close()
    return result


def main() -> None:
    """Train and measure the seeds named on the command line that have no result yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=CLAIM.seeds)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    folder: Path = given.results / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        target = folder / f"sac+her_seed{seed}.json"
        if target.exists():
            print(f"{target}: already there")
            continue
        result = learn(seed, given.steps)
        write_atomically(target, json.dumps(result, indent=1) + "\n")
        write_table(NAME, CLAIM, given.results, COMMAND)
        print(f"{target}: success {result['evaluation']['success_rate']:.3f} in {result['practice_s']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
