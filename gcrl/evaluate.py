"""``gcrl evaluate RUN``: command the test goals to a practised policy and say how many it reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from envs.errors import UserError
from gcrl.evaluation import TEST_SEED, evaluate
from gcrl.outcome import untrained
from gcrl.run import load


def evaluate_run(path: str | Path, episodes: int | None = None, split: str = "test") -> dict[str, Any]:
    """Return {success_rate, success_rate_interval, distance, ..., episodes, untrained} of a run on committed goals.

    Args:
        episodes: number of goals, spread evenly over the split; all by default.

    Raises:
        UserError: no run, a damaged checkpoint, or a number of episodes that the goals do not cover.
    """
    torch.set_num_threads(1)
    run = load(path)
    envs = [run.environment() for _ in range(run.settings.practice.simulators)]
    try:
        goals = envs[0].fixed_goals(split)
        count = len(goals) if episodes is None else episodes
        if not 1 <= count <= len(goals):
            raise UserError(f"episodes={count}; expected 1 to {len(goals)}, the goals of this environment's {split} split")
        chosen = np.linspace(0, len(goals) - 1, count).astype(int)
        result = evaluate(envs, run.policy, goals.take(chosen), TEST_SEED, pictures=False)
    finally:
        for env in envs:
            env.close()
    details = {"goals": split, "env_steps": run.env_steps, "updates": run.updates, "seed": run.settings.seed}
    return {**result.summary(), **details, "untrained": untrained(run.path)}
