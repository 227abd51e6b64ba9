"""Make the committed goals of a task: full states in which the expert's rollouts ended.

    python benchmarks/make_goals.py [TASK ...] [--out envs/goals]

A goal is kept when its rollout, from a reset, succeeded, came to rest without penetration and never pressed two bodies into
each other by more than three millimetres on the way; and when it is far: a door open by more than 0.15 rad, a drawer by more than
4 cm, a button pressed, a puck at least 8 cm from its start and every one of several objects at least 6 cm. The splits come from
different seeds, so "tune" shares no goal with "test". DrawerPickPush also has its three long tasks, once each, and 100 of them a split.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from envs.api import GoalSet
from envs.button import ButtonEnv
from envs.door import DoorEnv
from envs.drawer import DrawerEnv
from envs.drawer_pick_push import LONG_HORIZON, DrawerPickPushEnv
from envs.drawer_pick_push_scene import ASIDE_HIGH, ASIDE_LOW, LANE_LOW, OPEN_HIGH, TRAY_HEIGHT, Layout
from envs.drawer_pick_push_skills import LONG_TASKS
from envs.fixed_goals import FOLDER, save_goals
from envs.furniture import LATCH
from envs.grasping import BLOCK_HALF
from envs.manipulation import TOUCH, ManipulationEnv
from envs.multi_push import LANES, START_X, MultiPushEnv
from envs.objects import SETS
from envs.pick_place import PickPlaceEnv
from envs.push import PUCK_START, PushEnv
from envs.reach import ReachEnv
from envs.stack import BLOCKS, StackEnv
from envs.tabletop import TabletopEnv
from envs.tabletop_layout import LAYOUTS
from envs.tabletop_objects import SETS as TABLETOP_SETS

MAKERS: list[Callable[[], ManipulationEnv]] = [
    *(partial(DoorEnv, setting="hard"), ReachEnv, PushEnv, PickPlaceEnv, DrawerEnv, ButtonEnv, DrawerPickPushEnv),
    *(partial(StackEnv, n_blocks=n) for n in BLOCKS),
    *(partial(MultiPushEnv, objects=name) for name in SETS),
    *(partial(TabletopEnv, objects=name, layouts=layouts) for name in TABLETOP_SETS for layouts in LAYOUTS),
]
SEEDS = {"test": 20_001, "tune": 10_001}
COUNT = 100
# Goals that the start already fulfils, or nearly so, would flatter a policy that does nothing.
FAR: dict[str, Callable[[np.ndarray], bool]] = {
    "door": lambda achieved: achieved[0] > 0.15,  # rad open
    "push": lambda achieved: float(np.hypot(*(achieved[2:] - PUCK_START))) >= 0.08,  # m from the puck's start
    "drawer": lambda achieved: achieved[0] > 0.04,  # m open
    "button": lambda achieved: achieved[0] > LATCH,
}


def objects_moved(achieved: np.ndarray) -> bool:
    """Return whether every object lies at least 6 cm from where its lane begins."""
    slots = achieved[2:].reshape(-1, 3)
    return all(kind < 0 or float(np.hypot(x - START_X, y - lane)) >= 0.06 for (kind, x, y), lane in zip(slots, LANES))


FAR |= {f"multi_push{'' if name == 'train' else f'_{name}'}": objects_moved for name in SETS}
MAX_PENETRATION = 3e-3  # m, on the way
AT_REST = 1e-3  # change of the achieved goal in the last step


def rollout(env: ManipulationEnv, goal: GoalSet, seed: int) -> GoalSet | None:
    """Return the goal in which the expert ends on its way to `goal`, None where it fails, penetrates or does not rest."""
    observation, _ = env.reset(seed=seed, options=goal.options(0))
    truncated, reached = False, False
    before = observation["achieved_goal"]
    while not truncated:
        before = observation["achieved_goal"]
        observation, _, _, truncated, info = env.step(env.expert_action(observation))
        reached = info["is_success"]
        if env.penetration() > MAX_PENETRATION:
            return None
    if not reached or env.penetration() > TOUCH or np.abs(observation["achieved_goal"] - before).max() > AT_REST:
        return None
    return GoalSet(env.goal_state()[None], observation["achieved_goal"][None], starts=goal.starts)


def make_split(env: ManipulationEnv, seed: int, far: Callable[[np.ndarray], bool]) -> tuple[GoalSet, int]:
    """Return `COUNT` goals and how many rollouts they took."""
    generator = np.random.default_rng(seed)
    ends: list[GoalSet] = []
    tried = 0
    while len(ends) < COUNT:
        end = rollout(env, env.sample_goals(1, generator), seed + tried)
        tried += 1
        if end is not None and far(end.achieved[0]):
            ends.append(end)
    return GoalSet.join(ends), tried


def long_tasks(seed: int) -> GoalSet:
    """Return the long tasks of DrawerPickPush, in the order of `LONG_TASKS`: fixed starts, and where the expert's rollouts ended."""
    env, hand = DrawerPickPushEnv(horizon=LONG_HORIZON), (0.42, 0.0, 0.25)
    flat = (0.0, 0.0, 0.0, 1.0)
    blocked, left, right = (LANE_LOW + 0.01, 0.02), (LANE_LOW + 0.01, ASIDE_LOW + 0.02), (LANE_LOW + 0.01, 0.02 - ASIDE_HIGH)
    opened = OPEN_HIGH - 0.01
    near, far, inside = (0.365, 0.15, BLOCK_HALF, *flat), (0.37, -0.12, BLOCK_HALF, *flat), (0.745, 0.0, TRAY_HEIGHT, *flat)
    ends = {
        "task_a": (Layout(0.0, near, blocked), Layout(opened, near, right)),
        "task_b": (Layout(0.0, far, left), Layout(opened, (0.745 - opened, *inside[1:]), left)),
        "task_c": (Layout(0.0, near, blocked), Layout(0.0, inside, left)),
    }
    goals = []
    for task in LONG_TASKS:
        start, goal = (layout.state(hand) for layout in ends[task])
        env.ghost().place(goal)
        achieved = np.array(env.ghost().measure()[1], np.float32)
        end = rollout(env, GoalSet(goal[None], achieved[None], starts=start[None]), seed)
        assert end is not None, f"{task} was not reached, or not without penetration"
        goals.append(end)
    env.close()
    return GoalSet.join(goals)


def main() -> None:
    """Make the goals named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    envs = {env.task: env for env in (make() for make in MAKERS)}
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", choices=[*envs, []], help=f"{', '.join(envs)} (all of them where none is named)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for task in arguments.tasks or envs:
        env = envs[task]
        splits = {}
        for split, seed in SEEDS.items():
            splits[split], tried = make_split(env, seed, FAR.get(task, lambda achieved: True))
            spread = np.quantile(splits[split].achieved, [0, 0.25, 0.5, 0.75, 1], axis=0).T.round(3)
            print(f"{task} {split}: {COUNT} goals from {tried} rollouts")
            for factor, quantiles in zip(env.factors, spread):
                print(f"  {factor}: quartiles {quantiles.tolist()}")
        if task == DrawerPickPushEnv.task:
            splits["long"] = long_tasks(SEEDS["test"])
            several = DrawerPickPushEnv(tasks="long", horizon=LONG_HORIZON // 2)  # the expert needs fewer steps
            long = {split: make_split(several, seed, lambda achieved: True)[0] for split, seed in SEEDS.items()}
            print(f"written: {save_goals(f'{task}_long', long, arguments.out)}")
            several.close()
        print(f"written: {save_goals(task, splits, arguments.out)}")
        env.close()


if __name__ == "__main__":
    main()
