"""DrawerPickPush: a drawer, a block to pick and place and a cylinder to push; long tasks need several skills in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from envs.api import Bools, Floats, GoalSet
from envs.camera import Camera
from envs.coverage import grid_coverage
from envs.drawer_pick_push_expert import Sight, act
from envs.drawer_pick_push_scene import DrawerPickPushScene, Layout, draw_hand, draw_layout
from envs.drawer_pick_push_skills import LONG_TASKS, OPENED, SKILLS, draw_long, draw_skill, outcome, task_of
from envs.errors import unknown
from envs.fixed_goals import load_goals
from envs.furniture import DRAWER_TRAVEL
from envs.grasping import GraspingEnv

SUCCESS_DISTANCE = 0.03  # m
TASKS = ("skills", "long")
LONG_HORIZON = 300  # steps, of tasks that need several skills


class DrawerPickPushEnv(GraspingEnv):
    """Leave everything as in the goal; goals are (drawer opening m, block x, y, z m, cylinder x, y m, hand x, y, z m).

    Success is the drawer within 3 cm of its opening (of 16), the block within 3 cm *and* the cylinder within 3 cm; ``distance`` is
    the worst of the three. Sampled goals are the outcome of one skill from the start that is given with them (`GoalSet.starts`):
    open or close the drawer, put the block on the table, into the open drawer or on the cabinet, push the cylinder along its
    lane. The long tasks need two to four of them in order: A, push the cylinder out of the drawer's way, then open it; B, open the
    drawer, then put the block in; C, push, open, put the block in, close. ``fixed_goals("long")`` has one of each.

    tasks: "skills", or "long": sampled and committed goals are then long tasks, with their starts, and episodes 300 steps by default; a
    reset without a goal still draws one that is one skill away. Raises `UserError` for anything else.

    Sources of the task: Fang et al. 2022, "Planning to Practice: Efficient Online Fine-Tuning by Composing Goals in Latent Space"
    (PTP), and Fang et al. 2022, "Generalization with Lossy Affordances" (FLAP), here with a Franka arm and a friction grasp.
    """

    task = "drawer_pick_push"
    skills = SKILLS
    factors = (
        *("drawer_opening_m", "block_x_m", "block_y_m", "block_z_m"),
        *("cylinder_x_m", "cylinder_y_m", "hand_x_m", "hand_y_m", "hand_z_m"),
    )
    observation_dim = 16  # hand, finger opening, drawer opening, its velocity, block, its velocity, cylinder, its velocity
    default_horizon = 100
    cameras: ClassVar[dict[str, Camera]] = {
        "side": Camera((0.45, 0.70, 1.05), (0.54, 0.0, 0.02), 28.0),  # looks into the drawer, past the arm
        "front": Camera((1.30, -0.55, 0.95), (0.54, 0.0, 0.08), 34.0),
        "top": Camera((0.54, 0.0, 1.40), (0.541, 0.0, 0.1), 30.0),
        "film": Camera((0.35, 1.30, 0.90), (0.40, 0.0, 0.20), 44.0),  # the whole arm, for people
    }

    def __init__(self, *, tasks: str = "skills", horizon: int | None = None, **arguments: Any) -> None:
        if tasks not in TASKS:
            raise unknown("tasks", tasks, TASKS)
        self.tasks = tasks
        super().__init__(horizon=LONG_HORIZON if horizon is None and tasks == "long" else horizon, **arguments)

    def build_scene(self) -> DrawerPickPushScene:
        return DrawerPickPushScene(self.visuals)

    def propose_goal(self, generator: np.random.Generator) -> Floats:
        return self._propose_after(draw_layout(generator), generator)

    def _propose_after(self, layout: Layout, generator: np.random.Generator) -> Floats:
        """Draw the outcome of one skill."""
        return outcome(layout, draw_skill(layout, generator), generator).state(draw_hand(generator))

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` goals, each the outcome of one skill, or of a long task, from its own start (`starts`)."""
        if self.tasks == "long":
            return GoalSet.join([self._long_goal(generator) for _ in range(n)])
        starts = [draw_layout(generator).state(draw_hand(generator)) for _ in range(n)]
        return GoalSet.join([self.next_goal(start, generator) for start in starts])

    def _long_goal(self, generator: np.random.Generator) -> GoalSet:
        start, end = draw_long(str(generator.choice(LONG_TASKS)), generator)
        goal = self._second_world().sample(1, lambda: end.state(draw_hand(generator)))
        return GoalSet(goal.states, goal.achieved, starts=start.state(draw_hand(generator))[None])

    def fixed_goals(self, split: str) -> GoalSet:
        return load_goals(f"{self.task}_long", split) if self.tasks == "long" and split != "long" else super().fixed_goals(split)

    def next_goal(self, state: Floats, generator: np.random.Generator) -> GoalSet:
        """Return a goal that is one skill away from a goal state (18,), with that as its start."""
        layout = Layout.of(state).settled()
        goals = self._second_world().sample(1, lambda: self._propose_after(layout, generator))
        return GoalSet(goals.states, goals.achieved, starts=np.asarray(state)[None])

    def draw_goal(self, keep_state: bool) -> Floats:
        return np.asarray(self.next_goal(self.goal_state(), self.np_random).achieved[0])

    def goal_tasks(self, goals: GoalSet) -> list[str]:
        """Return the name of each goal's skill, or of its long task; the environment's where starts are not known."""
        if goals.starts is None:
            return [self.task] * len(goals)
        names = [task_of(Layout.of(start), Layout.of(state)) for start, state in zip(goals.starts, goals.states)]
        return [name or self.task for name in names]

    def goal_objects(self, goals: GoalSet) -> list[list[str]]:
        """Return the names of what can be moved."""
        return [["drawer", "block", "cylinder"]] * len(goals)

    def success(self, achieved_goal: Floats, desired_goal: Floats) -> Bools:
        return np.asarray(self.metrics(achieved_goal, desired_goal)["distance"] < SUCCESS_DISTANCE)

    def metrics(self, achieved_goal: Floats, desired_goal: Floats) -> Mapping[str, Floats]:
        """Return ``drawer_error_m``, ``block_distance_m``, ``cylinder_distance_m``, ``hand_distance_m``.

        ``worst_distance_m``, also as ``distance``, is the greatest of the first three.
        """
        difference = np.asarray(achieved_goal) - np.asarray(desired_goal)
        drawer = np.abs(difference[..., 0])
        block, cylinder, hand = (np.linalg.norm(difference[..., part], axis=-1) for part in (slice(1, 4), slice(4, 6), slice(6, 9)))
        distance = np.maximum(np.maximum(drawer, block), cylinder)
        figures = {"drawer_error_m": drawer, "block_distance_m": block, "cylinder_distance_m": cylinder}
        return {**figures, "worst_distance_m": distance, "hand_distance_m": hand, "distance": distance}

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return the shares of (n, 9) with the drawer ``open``, the block ``in_drawer`` and ``on_top``, the drawer ``blocked``, and
        ``drawer_coverage``, ``cylinder_coverage``: shares of 9 cells of 2 cm of opening, and of 12 of 4 cm of the cylinder's y."""
        rows = np.asarray(achieved_goals, np.float64)
        layouts = [Layout(row[0], (*row[1:4], 0.0, 0.0, 0.0, 1.0), (row[4], row[5])) for row in rows]
        shares = {
            "open": [layout.opening > OPENED for layout in layouts],
            "in_drawer": [layout.place == "drawer" for layout in layouts],
            "on_top": [layout.place == "top" for layout in layouts],
            "blocked": [layout.blocked for layout in layouts],
        }
        figures = {name: float(np.mean(values)) if values else 0.0 for name, values in shares.items()}
        figures["drawer_coverage"] = grid_coverage(rows[:, :1], [0.0], [DRAWER_TRAVEL], [9])["coverage"]
        figures["cylinder_coverage"] = grid_coverage(rows[:, 5:6], [-0.24], [0.24], [12])["coverage"]
        return figures

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Do first what is in the way of the rest: unblock and open the drawer for the block, place it, push, slide the drawer."""
        return act(Sight.of(observation["observation"], observation["desired_goal"]))
