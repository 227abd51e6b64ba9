"""Tabletop: a drawer, a button, a tray and an object, some of them in every scene, and a skill to bring one of them about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats, GoalSet
from envs.bodies import POSE, turned
from envs.camera import Camera
from envs.furniture import BUTTON_TRAVEL, LATCH
from envs.grasping import GraspingEnv
from envs.gripper import MAX_OPENING
from envs.robot import inverse_kinematics
from envs.tabletop_expert import expert_action
from envs.tabletop_goals import (
    BUTTON,
    DEPTH,
    DRAWER,
    FACTORS,
    OBJECT,
    OPENING,
    PLACE,
    PULLED,
    SCENE,
    SKILLS,
    TRAY,
    TWO_PARTS,
    draw_opening,
    draw_place,
    layout_of,
    lies,
    movable,
    skill,
)
from envs.tabletop_layout import NOTHING, SCENES, SIDES, Layout, check_layouts, draw_layout
from envs.tabletop_objects import HUES, SHAPES, object_look, object_set
from envs.tabletop_scene import HAND_HIGH, HAND_LOW, TabletopScene

DRAWER_DISTANCE, BUTTON_DISTANCE, OBJECT_DISTANCE = 0.02, 0.01, 0.03  # m that count as there
STRANGER = 10.0  # what `distance` has at least on another table than the goal's


class TabletopEnv(GraspingEnv):
    """Open or close the drawer, press the button, put the object into the tray or elsewhere, on a table that differs per episode.

    Goals are (hand x, y, z m, side, drawer's kind, its opening m, button's kind, its depth m, tray's kind, object's kind, its x, y, z m);
    `envs.tabletop_layout` and `envs.tabletop_objects` say what kinds mean, -1 is for what is not there. A goal names its scene:
    ``reset(options={"goal": g})`` lays the table of that goal, with everything as the goal has it but for one part, or two in a
    fifth of the episodes. Success is the drawer within 2 cm, the button within 1 cm and the object within 3 cm; ``distance`` is the
    worst of these as a share of what is allowed, so success is ``distance`` below 1. Another scene than the goal's is 10 or more.

    objects: "train" or "held_out" (shapes and colours). layouts: "train" or "held_out" (side and places of button and tray that never
    occur together in training), or "scene_1" to "scene_3": always the same held-out table, with everything on it. Source of the task:
    Khazatsky et al. 2021, "What Can I Do Here? Learning New Skills by Imagining Visual Affordances" (VAL), here with a Franka arm. Raises
    `UserError` for another set.
    """

    task = "tabletop"
    factors = FACTORS
    skills = SKILLS
    observation_dim = 4 + 1 + 6 + 7 + 6 + 9 + len(SHAPES) + 4  # hand and fingers; side; drawer; button; tray; object and its look
    default_horizon = 80
    cameras: ClassVar[dict[str, Camera]] = {
        "front": Camera((1.00, 0.0, 0.92), (0.53, 0.0, 0.045), 34.0),
        "top": Camera((0.56, 0.0, 1.40), (0.561, 0.0, 0.0), 26.0),
        "side": Camera((0.30, 0.75, 0.70), (0.56, 0.0, 0.03), 33.0),
        "film": Camera((0.75, 1.15, 0.80), (0.42, 0.0, 0.14), 40.0),  # the whole arm, for people
    }

    def __init__(self, *, objects: str = "train", layouts: str = "train", **arguments: Any) -> None:
        self.objects, self.layouts = objects, check_layouts(layouts)
        self.shapes, self.colours = object_set(objects)
        held_out = [name for name, chosen in (("objects", objects), ("layouts", layouts)) if chosen == "held_out"]
        self.task = "tabletop" + {0: "", 1: f"_held_out_{''.join(held_out)}", 2: "_held_out"}[len(held_out)]
        self.task += f"_{layouts}" if layouts in SCENES else ""
        super().__init__(**arguments)

    def build_scene(self) -> TabletopScene:
        return TabletopScene(self.shapes, self.visuals)

    # Goals.

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        layout = draw_layout(generator, self.layouts, self.shapes, self.colours)
        opening = draw_opening(generator, bool(generator.random() < 0.5)) if layout.drawer != NOTHING else 0.0
        alone = layout.drawer == NOTHING and layout.object == NOTHING
        pressed = layout.button != NOTHING and (alone or bool(generator.random() < 0.6))
        place = draw_place(layout, generator) if layout.object != NOTHING else [0.0] * 3
        return _state(layout, opening, BUTTON_TRAVEL if pressed else 0.0, place, generator)

    def next_goal(self, state: Floats, generator: np.random.Generator) -> GoalSet:
        """Return one goal for the table as a goal state (m,) has it, a skill (or two) farther."""
        start = self._achieved_in(state)
        return self._second_world().sample(1, lambda: self._propose_after(start, generator))

    def _achieved_in(self, state: Floats) -> Floats:
        scene = self.ghost()
        scene.place(state)
        return np.array(scene.measure()[1])

    def draw_goal(self, keep_state: bool) -> Floats:
        if not keep_state:
            return super().draw_goal(keep_state)
        return np.asarray(self.next_goal(self.goal_state(), self.np_random).achieved[0])

    def _propose_after(self, start: Floats, generator: np.random.Generator) -> Floats:
        layout = layout_of(start)
        opening, depth, place = float(start[OPENING]), BUTTON_TRAVEL if start[DEPTH] > LATCH else 0.0, start[PLACE : PLACE + 3].tolist()
        parts = movable(layout, button=depth == 0)
        count = min(len(parts), 1 + int(generator.random() < TWO_PARTS))
        for part in [parts[index] for index in generator.permutation(len(parts))[:count]]:
            if part == "drawer":
                opening = draw_opening(generator, opening < PULLED)
            elif part == "button":
                depth = BUTTON_TRAVEL
            else:
                place = draw_place(layout, generator, start)
        if layout.object != NOTHING and not lies(layout, np.array([*start[:PLACE], *place])):  # thrown about, or in the hand
            place = draw_place(layout, generator)
        return _state(layout, opening, depth, place, generator)

    def goal_tasks(self, goals: GoalSet) -> list[str]:
        """Return the skills, joined by "+", that lead to each goal from its start; the environment's name where starts are not known."""
        if goals.starts is None:
            return [self.task] * len(goals)
        return [skill(self._achieved_in(start), goal) for start, goal in zip(goals.starts, goals.achieved)]

    def goal_objects(self, goals: GoalSet) -> list[list[str]]:
        """Return what is on the table of each goal: "drawer_left_red", "button_blue", "tray_green", "ell_large_yellow"."""
        found = []
        for goal in goals.achieved:
            layout = layout_of(goal)
            names = [] if layout.drawer == NOTHING else [f"drawer_{SIDES[layout.side]}_{HUES[layout.drawer]}"]
            parts = (("button", layout.button), ("tray", layout.tray))
            names += [f"{name}_{HUES[number % len(HUES)]}" for name, number in parts if number != NOTHING]
            found.append(names if layout.object == NOTHING else [*names, "_".join(object_look(layout.object))])
        return found

    # What a goal asks for.

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < 1)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``drawer_error_m``, ``button_error_m``, ``object_distance_m``, ``hand_distance_m`` and ``distance`` (a share)."""
        achieved, desired = np.broadcast_arrays(np.asarray(achieved_goal), np.asarray(desired_goal))
        difference = achieved - desired
        drawer, button = np.abs(difference[..., OPENING]), np.abs(difference[..., DEPTH])
        thing = np.linalg.norm(difference[..., PLACE : PLACE + 3], axis=-1)
        stranger = (np.round(achieved[..., SCENE]) != np.round(desired[..., SCENE])).any(axis=-1)
        worst = np.maximum(np.maximum(drawer / DRAWER_DISTANCE, button / BUTTON_DISTANCE), thing / OBJECT_DISTANCE)
        return {
            "drawer_error_m": drawer,
            "button_error_m": button,
            "object_distance_m": thing,
            "hand_distance_m": np.linalg.norm(difference[..., :3], axis=-1),
            "distance": worst + STRANGER * stranger,
        }

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return the shares of (n, g) with each outcome, one for every skill, then those with a drawer, button, tray, object."""
        goals = np.asarray(achieved_goals)
        there = {name: goals[:, index] >= 0 for name, index in (("drawer", DRAWER), ("button", BUTTON), ("tray", TRAY), ("object", OBJECT))}
        in_tray = np.array([layout_of(goal).in_tray(goal[PLACE], goal[PLACE + 1]) for goal in goals], bool) & there["object"]
        shares = {
            "drawer_open": there["drawer"] & (goals[:, OPENING] >= PULLED),
            "drawer_shut": there["drawer"] & (goals[:, OPENING] < PULLED),
            "button_pressed": there["button"] & (goals[:, DEPTH] > LATCH),
            "object_in_tray": in_tray,
            "object_on_table": there["object"] & ~in_tray,
            **there,
        }
        return {name: float(np.mean(share)) if len(goals) else 0.0 for name, share in shares.items()}

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Bring the drawer, then the button, then the object to where the goal has them, then the hand."""
        values = np.asarray(observation["observation"], np.float64)
        achieved, goal = (np.asarray(observation[key], np.float64) for key in ("achieved_goal", "desired_goal"))
        return expert_action(values[:3], float(values[3]), float(values[7]), achieved, goal)


def _state(layout: Layout, opening: float, depth: float, place: list[float], generator: np.random.Generator) -> Floats:
    """Return a goal state, the hand up where it hides little."""
    x, y, z = generator.uniform(HAND_LOW, HAND_HIGH).tolist()
    side, drawer, button, tray, thing = layout.numbers()
    pose = [*place, *turned(0.0)] if thing != NOTHING else [0.0] * POSE
    return np.array([*inverse_kinematics(x, y, z), MAX_OPENING, side, drawer, opening, button, depth, tray, thing, *pose])
