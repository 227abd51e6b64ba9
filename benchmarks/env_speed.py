"""Compare the speed of the PyBullet tasks with panda-gym's PandaPush-v3 (and Fetch's push), in one process and one thread.

    python benchmarks/env_speed.py [--out results/env_speed.json]

All step random actions and reset every 50 steps. With pictures, all draw one at 48 pixels after every step: ours with
`image_size=48`, the others by `render()` with their own defaults. Rounds alternate, and the ratio to PandaPush-v3 is the median over the
rounds. gymnasium-robotics' FetchPush-v4 stands beside ours for comparison (``MUJOCO_GL=egl`` where there is no screen).
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import gymnasium_robotics
import numpy as np
import panda_gym  # type: ignore[import-untyped]  # noqa: F401 (registers PandaPush-v3)

from envs.button import ButtonEnv
from envs.door import DoorEnv
from envs.drawer import DrawerEnv
from envs.drawer_pick_push import DrawerPickPushEnv
from envs.multi_push import MultiPushEnv
from envs.pick_place import PickPlaceEnv
from envs.push import PushEnv
from envs.reach import ReachEnv
from envs.stack import StackEnv
from envs.tabletop import TabletopEnv

TASKS: dict[str, Any] = {
    **{"door": DoorEnv, "push": PushEnv, "reach": ReachEnv, "pick_place": PickPlaceEnv},
    **{f"stack_{n}": partial(StackEnv, n_blocks=n) for n in (2, 4)},
    **{"drawer": DrawerEnv, "button": ButtonEnv, "multi_push": MultiPushEnv, "tabletop": TabletopEnv},
    "drawer_pick_push": DrawerPickPushEnv,
}
PEER, OTHER = "PandaPush-v3", "FetchPush-v4"
SIZE = 48
EPISODE = 50
REQUIRED = {"state": 2.0, "image": 25.0}


def steps_per_second(env: Any, steps: int, picture: bool) -> float:
    """Return how many steps (each with a `render` if `picture`) `env` does in a second."""
    generator = np.random.default_rng(0)
    low, high = env.action_space.low, env.action_space.high
    env.reset(seed=0)
    begin = time.perf_counter()
    for index in range(steps):
        if index % EPISODE == 0:
            env.reset()
        env.step(generator.uniform(low, high).astype(np.float32))
        if picture:
            env.render()
    return steps / (time.perf_counter() - begin)


def peer(picture: bool) -> Any:
    """Make panda-gym's environment without Gymnasium's wrappers, which would slow it down."""
    size: dict[str, Any] = {"render_width": SIZE, "render_height": SIZE} if picture else {}
    return gymnasium.make(PEER, render_mode="rgb_array", **size).unwrapped


def other(picture: bool) -> Any:
    """Make gymnasium-robotics' environment likewise."""
    gymnasium.register_envs(gymnasium_robotics)
    return gymnasium.make(OTHER, **({"render_mode": "rgb_array", "width": SIZE, "height": SIZE} if picture else {})).unwrapped


def compare(kind: str, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Return a row per task, and one for FetchPush-v4, for `kind` "state" or "image"."""
    picture = kind == "image"
    theirs, fetch = peer(picture), other(picture)
    ours = {task: make(image_size=SIZE if picture else 0) for task, make in TASKS.items()}
    rates: dict[str, list[float]] = {name: [] for name in [PEER, OTHER, *ours]}
    for _ in range(rounds):
        rates[PEER].append(steps_per_second(theirs, max(EPISODE, steps // (20 if picture else 4)), picture))
        rates[OTHER].append(steps_per_second(fetch, max(EPISODE, steps // 4), picture))
        for task, env in ours.items():
            rates[task].append(steps_per_second(env, steps, False))
    for env in [theirs, fetch, *ours.values()]:
        env.close()
    rows = []
    for task in [*ours, OTHER]:
        ratios = np.array(rates[task]) / np.array(rates[PEER])
        rows.append(
            {
                "kind": kind,
                "task": task,
                "steps_per_s": round(float(np.median(rates[task])), 1),
                "peer": PEER,
                "peer_steps_per_s": round(float(np.median(rates[PEER])), 1),
                "ratio": round(float(np.median(ratios)), 2),
                "ratio_range": [round(float(ratios.min()), 2), round(float(ratios.max()), 2)],
                "required": REQUIRED[kind] if task in ("door", "push") else None,
            }
        )
    return rows


def main() -> None:
    """Run the comparison, print a line per row and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/env_speed.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="steps of ours a round")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    rows = [row for kind in ("state", "image") for row in compare(kind, arguments.rounds, arguments.steps)]
    for row in rows:
        wanted = f"; at least {row['required']}" if row["required"] else ""
        print(
            f"{row['kind']:5} {row['task']:16} {row['steps_per_s']:8.1f} steps/s, {PEER} {row['peer_steps_per_s']:7.1f}: "
            f"ratio {row['ratio']:6.2f} (rounds {row['ratio_range'][0]} to {row['ratio_range'][1]}{wanted})"
        )
    result = {
        "command": shlex.join(["python", *sys.argv]),
        "wall_s": round(time.perf_counter() - begin, 1),
        "versions": {name: version(name) for name in ("pybullet", "numpy", "gymnasium", "panda-gym", "gymnasium-robotics", "mujoco")}
        | {"python": platform.python_version()},
        "machine": platform.machine(),
        "image_size": SIZE,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
