"""Measure the scripted experts: success at the end of episodes to sampled goals, by real contact; and draw what they do.

    python benchmarks/experts.py [TASK ...] [--goals 100] [--out results/experts.json]
    python benchmarks/experts.py --picture docs/environments.png

Success is the mean over an episode's last five steps. "deepest" is the deepest contact of any step (mm), "first" the median number of
steps until success. The long tasks of DrawerPickPush are its fixed ones, whatever --goals says. The picture has a row per task: start, a
sixth and a third of the way and end in the default camera at 48 pixels (enlarged), the end in the camera for films, and a goal's picture.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.api import GoalSet
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

LONG = "DrawerPickPush, long tasks"
TASKS: dict[str, Any] = {
    "Reach": ReachEnv,
    "Push": PushEnv,
    "Door": partial(DoorEnv, setting="hard"),
    "PickPlace": PickPlaceEnv,
    **{f"Stack, {n} blocks": partial(StackEnv, n_blocks=n) for n in (2, 3, 4)},
    "Drawer": DrawerEnv,
    "Button": ButtonEnv,
    "DrawerPickPush": DrawerPickPushEnv,
    LONG: partial(DrawerPickPushEnv, horizon=300),
    "MultiPush": MultiPushEnv,
    "MultiPush, held out": partial(MultiPushEnv, objects="held_out"),
    "Tabletop": TabletopEnv,
    "Tabletop, held-out objects": partial(TabletopEnv, objects="held_out"),
    "Tabletop, held-out layouts": partial(TabletopEnv, layouts="held_out"),
}
DRAWN = (
    *("Reach", "Push", "Door", "PickPlace", "Stack, 3 blocks", "Drawer", "Button", "DrawerPickPush", "MultiPush"),
    "Tabletop, held-out layouts",
)
SEED, SIZE, ENLARGED = 7, 48, 3


def measure(env: Any, goals: GoalSet) -> dict[str, Any]:
    """Return the expert's figures over `goals`."""
    rates, first, deepest = [], [], 0.0
    for seed in range(len(goals)):
        observation, _ = env.reset(seed=seed, options=goals.options(seed))
        reached: list[bool] = []
        while len(reached) < env.horizon:
            observation, _, _, _, info = env.step(env.expert_action(observation))
            reached.append(info["is_success"])
            deepest = max(deepest, env.penetration())
        rates.append(float(np.mean(reached[-5:])))
        if any(reached):
            first.append(reached.index(True) + 1)
    return {
        "success": round(float(np.mean(rates)), 3),
        "goals": len(goals),
        "horizon": env.horizon,
        "first": float(np.median(first)) if first else None,
        "deepest_mm": round(1000 * deepest, 1),
    }


def row(env: Any, seed: int) -> np.ndarray:
    """Return the pictures of one rollout and of its goal, side by side."""
    side = SIZE * ENLARGED
    goals = env.sample_goals(1, np.random.default_rng(seed))
    observation, _ = env.reset(seed=seed, options=goals.options(0))
    small = [observation["image"]]
    for step in range(1, env.horizon + 1):
        observation = env.step(env.expert_action(observation))[0]
        if step in (env.horizon // 6, env.horizon // 3, env.horizon):
            small.append(observation["image"])
    large = [image.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for image in [*small, env.render_state(goals.states[0])]]
    return np.concatenate([*large[:-1], env.picture(side, "film"), large[-1]], axis=1)


def main() -> None:
    """Measure the tasks named (all where none is), a line and a row of the JSON each as it is done; or draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", choices=[*TASKS, []], help="; ".join(TASKS))
    parser.add_argument("--goals", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("results/experts.json"))
    parser.add_argument("--picture", type=Path, help="draw this picture and measure nothing")
    arguments = parser.parse_args()
    if arguments.picture is not None:
        pictures = []
        for name in DRAWN:
            env = TASKS[name](image_size=SIZE)
            pictures.append(row(env, SEED))
            env.close()
        Image.fromarray(np.concatenate(pictures)).quantize(128).save(arguments.picture, optimize=True)
        return
    rows = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.tasks or TASKS:
        env = TASKS[name]()
        sampled = env.sample_goals(arguments.goals, np.random.default_rng(SEED))
        goals = env.fixed_goals("long") if name == LONG else sampled
        rows[name] = {**measure(env, goals), "command": shlex.join(["python", *sys.argv])}
        env.close()
        print(name, json.dumps(rows[name]), flush=True)
        arguments.out.write_text(json.dumps({"rows": {name: rows[name] for name in TASKS if name in rows}}, indent=2) + "\n")


if __name__ == "__main__":
    main()
