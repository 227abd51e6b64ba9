"""What one skill of DrawerPickPush changes, and what a long task: the outcomes that goals are drawn from, and the name of a change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.drawer_pick_push_scene import OPEN_HIGH, OPEN_LOW, Layout, draw_block, draw_cylinder
from envs.errors import NoGoal

APART = 0.08  # m between a start and a goal of the block or the cylinder
SKILLS = ("open", "close", "place_on_table", "place_in_drawer", "place_on_top", "push")
# How often each is drawn where several can be done: the rarer its preconditions, the more.
WEIGHTS = dict(zip(SKILLS, (6.0, 2.0, 1.0, 2.0, 1.0, 1.5)))
OPENED = 0.06  # m from which a drawer counts as open
MOVED = 0.035  # m from which something counts as moved
LONG_TASKS = ("task_a", "task_b", "task_c")
_CHANGES = {"push+open": "task_a", "open+place_in_drawer": "task_b", "push+place_in_drawer": "task_c"}  # what is seen of the long tasks


def possible(layout: Layout) -> list[str]:
    """Return which of `SKILLS` can be done at once, without another one before; a block in the air can but be put down."""
    opened = layout.opening > OPENED
    place = (["place_on_table", "place_on_top"] if opened or layout.place != "drawer" else []) + (
        ["place_in_drawer"] if opened and layout.place != "drawer" else []
    )
    if not layout.resting:
        return place
    return place + (["close"] if opened else ["push"] if layout.blocked else ["open", "push"])


def draw_skill(layout: Layout, generator: np.random.Generator) -> str:
    """Draw one of the skills that are possible. Raises `NoGoal` where none is: the block stands askew in a drawer that is nearly shut."""
    skills = possible(layout)
    if not skills:
        raise NoGoal(f"no skill can be done at once from {layout}")
    weights = np.array([WEIGHTS[skill] for skill in skills])
    return str(generator.choice(skills, p=weights / weights.sum()))


def outcome(layout: Layout, skill: str, generator: np.random.Generator) -> Layout:
    """Return how things stand after one skill (of `possible`): what it does not move is where it was, but for what lies in the drawer."""
    if skill == "open":
        return layout.slid(float(generator.uniform(OPEN_LOW, OPEN_HIGH)))
    if skill == "close":
        return layout.slid(0.0)
    here, there = layout, layout
    while not apart(here, there):
        if skill == "push":  # along the lane
            there = replace(here, cylinder=(here.cylinder[0], draw_cylinder(bool(generator.random() < 0.5), generator)[1]))
        else:
            there = replace(here, block=draw_block(skill.rpartition("_")[2], here.opening, generator))
    return there


def apart(here: Layout, there: Layout) -> bool:
    """Return whether block or cylinder are elsewhere by `APART`."""
    moves = (np.subtract(there.block[:3], here.block[:3]), np.subtract(there.cylinder, here.cylinder))
    return max(float(np.linalg.norm(move)) for move in moves) >= APART


def changes(here: Layout, there: Layout) -> list[str]:
    """Return which of `SKILLS` it takes from one layout to another, in the order of what is seen; none where nothing moved."""
    names = []
    if float(np.linalg.norm(np.subtract(there.cylinder, here.cylinder))) > MOVED:
        names.append("push")
    if abs(there.opening - here.opening) > OPENED:
        names.append("open" if there.opening > here.opening else "close")
    carried = here.slid(there.opening)
    if float(np.linalg.norm(np.subtract(there.block[:3], carried.block[:3]))) > MOVED:
        names.append(f"place_{'in' if there.place == 'drawer' else 'on'}_{there.place}")
    return names


def task_of(here: Layout, there: Layout) -> str:
    """Return the name of the skill or of the long task that leads from one layout to another; of other changes all names, joined by "+"."""
    names = "+".join(changes(here, there))
    return names if here.opening > OPENED else _CHANGES.get(names, names)  # long tasks begin with the drawer shut


def draw_long(task: str, generator: np.random.Generator) -> tuple[Layout, Layout]:
    """Draw where one of `LONG_TASKS` begins and ends: the drawer shut, in a and c blocked, the block on the table."""
    here = Layout(0.0, draw_block("table", 0.0, generator), draw_cylinder(task != "task_b", generator))
    there = here if task == "task_b" else replace(here, cylinder=(here.cylinder[0], draw_cylinder(False, generator)[1]))
    there = there.slid(float(generator.uniform(OPEN_LOW, OPEN_HIGH)))
    if task == "task_a":
        return here, there
    there = replace(there, block=draw_block("drawer", there.opening, generator))
    return here, there if task == "task_b" else there.slid(0.0)
