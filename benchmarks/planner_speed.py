"""Time of a plan, of every planner that searches: ``python benchmarks/planner_speed.py``.

Made-up latents of 16 numbers, values of GCIVL (256 x 256 units) where they are asked for, each planner with its preset's settings (PTP:
8 subgoals, 1,024 candidates, 5 iterations). For one episode, and for eight that are planned at once. CPU time of one thread, median.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.sampler_speed import spent
from benchmarks.update_agents import BOX
from gcrl.agents.ivl import IVL
from gcrl.build import build
from gcrl.config import load_settings
from gcrl.system import system
from goal_samplers.goal_space import LatentGoals
from goal_samplers.made_up import made_up, representation_of
from goal_samplers.planners.api import PlanContext, SubgoalPlanner

LATENT, EPISODES = 16, (1, 8)
REQUIRED_MS = 500.0  # for one episode
PLANNERS: dict[str, list[str]] = {"ptp": ["planner.first_steps=20", "planner.scales=[4,2,1]"], "shortest_path": []}


def planned(name: str, rounds: int) -> list[dict[str, Any]]:
    """Return the milliseconds of a plan of planner `name`, a row for each number of episodes; what it was fitted to costs nothing there."""
    space = LatentGoals(LATENT)
    settings = load_settings(["experiment=bitflip", f"planner={name}", *PLANNERS[name], "run_dir=nowhere"])
    planner: Any = build(settings.planner, SubgoalPlanner, "planner", goal_space=space, seed=0)
    context = made_up(representation_of(LATENT, pictures=False), episodes=200, dims=LATENT)
    planner.fit(context)
    agent = IVL(LATENT, LATENT, BOX, seed=0, layer_norm=True)
    generator, rows = np.random.default_rng(0), []
    for episodes in EPISODES:
        where, goals = (generator.uniform(-1, 1, (episodes, LATENT)).astype(np.float32) for _ in range(2))
        ends = PlanContext(where, agent.value), goals
        rows.append({"planner": name, "episodes": episodes, "steps": planner.plan(*ends).shape[1]})
        rows[-1] |= spent(lambda ends=ends: planner.plan(*ends), rounds)  # type: ignore[misc]
    return rows


def main() -> None:
    """Time all planners and print, and where asked write, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in PLANNERS for row in planned(name, given.rounds)]
    for row in rows:
        print(
            f"{row['planner']:14} {row['episodes']} episodes: {row['ms']:7.1f} ms ({row['low_ms']:.1f} to {row['high_ms']:.1f})", flush=True
        )
    if given.out:
        found = {"command": shlex.join(["python", *sys.argv]), "required_ms": REQUIRED_MS, "latent": LATENT, "load": os.getloadavg()[0]}
        given.out.write_text(json.dumps({**found, "rows": rows, "system": system()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
