"""OGBench's pointmaze-medium and -large: a point in a maze, and the five tasks by which it is judged (Park et al. 2024, "OGBench")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.errors import UserError, unknown
from envs.ogbench_maze import MAZES, RADIUS, UNIT, Ball, Cell, cell_of, centre
from envs.point import PointTask, pair

HORIZON = 1000  # steps
GOAL_TOLERANCE = 1.0  # units
PLACE_NOISE = 1.0  # starts and goals lie within so many units of their cell's centre, on either axis
EPISODES_PER_TASK = 20  # of a split of fixed goals

_SPLITS = {"test": 1, "tune": 2}
_AGENT, _FREE, _WALL = (200, 60, 40), (235, 235, 230), (60, 65, 75)


class OGBenchPointMazeEnv(PointTask):
    """Go to within 1 unit of the goal, which ends the episode: OGBench's pointmaze, its maps, dynamics and tasks.

    Observations and goals are (2,) float32 positions in units, actions (2,) in [-1, 1], of which one step moves the point by a fifth; the
    reward is 0 within the tolerance and -1 elsewhere. Starts lie in any free cell, goals in any that is
    no straight passage; `fixed_goals` are OGBench's five tasks with their starts, 20 episodes of each.
    maze: "medium" (26 cells) or "large" (46).
    continuing: an episode goes on when the goal is reached, toward another one from the next step on: how OGBench's "navigate" data came
    to be. horizon: steps per episode; None: 1000. Raises `UserError` for goals, starts and actions that are none.
    Source: Park et al. 2024, "OGBench: Benchmarking offline goal-conditioned RL", and its release 1.2.2.
    """

    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    kind = "gcrl/OGBenchPointMaze-v0"
    tolerance = GOAL_TOLERANCE
    capabilities = Capabilities(state=True, render_state=True, goal_states=True, expert=True)

    def __init__(self, continuing: bool = False, picture_size: int = 64, horizon: int | None = None, maze: str = "medium") -> None:
        if maze not in MAZES:
            raise unknown("maze", maze, MAZES)
        if not isinstance(continuing, bool):
            raise UserError(f"continuing={continuing!r}; expected true or false")
        if not isinstance(picture_size, int) or picture_size < 16:
            raise UserError(f"picture_size={picture_size!r} does not show the maze; expected at least 16 pixels (nearest: 16)")
        if horizon is not None and (not isinstance(horizon, int) or horizon < 1):
            raise UserError(f"horizon={horizon!r}; expected at least 1 step, or null for {HORIZON}")
        self.continuing, self.picture_size, self.horizon = continuing, picture_size, horizon or HORIZON
        self._maze = MAZES[maze]
        area = spaces.Box(self._maze.low.astype(np.float32), self._maze.high.astype(np.float32))
        self.observation_space = spaces.Dict({"observation": area, "achieved_goal": area, "desired_goal": area})
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._ball = Ball(self._maze)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        # Both are drawn even where they are given, so that commanding them does not shift the stream of later goals.
        cells = self._maze.cells
        start, goal = _places([cells[self.np_random.integers(len(cells))]], self.np_random)[0], self._draw_goal()
        if options.get("start") is not None:
            self._position = np.asarray(self._point(options["start"], "start"), np.float64)
        elif self._position is None or not options.get("keep_state"):
            self._position = np.asarray(start, np.float64)
        self._goal = goal if options.get("goal") is None else self._point(options["goal"], "goal")
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        here = self._here("step")
        moved = pair(action)
        if moved is None:
            raise UserError(f"action {action!r} moves no point; expected 2 finite numbers within ±1")
        if self.continuing and self.success(self._achieved(), self._goal):
            self._goal = self._draw_goal()
        self._position = self._ball.move(here, np.clip(moved, -1.0, 1.0))
        self._steps += 1
        reached = bool(self.success(self._achieved(), self._goal))
        info = {"is_success": reached}
        return self._observe(), float(reached) - 1.0, reached and not self.continuing, self._steps >= self.horizon, info

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Return the unit vector (2,) toward the next cell of the shortest path; in the goal's cell, toward the goal."""
        position, goal = (np.asarray(observation[key], np.float64) for key in ("achieved_goal", "desired_goal"))
        here, there = cell_of(position), cell_of(goal)
        away = (goal if here == there else centre(self._maze.next_cell(here, there))) - position
        return np.asarray(np.clip(away / (np.linalg.norm(away) + 1e-6), -1, 1), np.float32)

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return 0 within a unit of the goal and -1 elsewhere, over the leading axes of (..., 2)."""
        return np.asarray(self.success(achieved_goal, desired_goal), np.float32) - 1

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return where the goal is reached; nowhere if episodes go on."""
        reached = self.success(achieved_goal, desired_goal)
        return np.zeros_like(reached) if self.continuing else reached

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` goals, each in a cell that is no straight passage."""
        cells = self._maze.crossings()
        points = _places([cells[index] for index in generator.integers(len(cells), size=n)], generator)
        return GoalSet(states=points, achieved=points.copy())

    def fixed_goals(self, split: str) -> GoalSet:
        """Return OGBench's five tasks in turn, 20 episodes of each with their own noise on start and goal: the same ones every time.

        Raises `UserError` for an unknown split.
        """
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        generator = np.random.default_rng([_SPLITS[split], len(self._maze.tasks)])
        starts, goals = (_places([task[end] for task in self._maze.tasks for _ in range(EPISODES_PER_TASK)], generator) for end in (0, 1))
        return GoalSet(states=goals, achieved=goals.copy(), starts=starts)

    def goal_state(self) -> Floats:
        """Return the position (2,), which is all there is to a state."""
        return self._achieved()

    def render_state(self, state: Floats) -> Images:
        """Return a (picture_size, picture_size, 3) uint8 plan with a dot at `state` (2,), rows downward as in the map."""
        x, y = self._point(state, "state")
        maze, side = self._maze, float((self._maze.high - self._maze.low).max())  # a map that is not square leaves walls below
        shown = (np.arange(self.picture_size) + 0.5) / self.picture_size * side + maze.low[0]
        across, down = np.meshgrid(shown, shown)
        rows, columns = (np.minimum((shown + 1.5 * UNIT) // UNIT, cells - 1).astype(int) for cells in maze.walls.shape)
        picture = np.where(maze.walls[np.ix_(rows, columns)][..., None], _WALL, _FREE).astype(np.uint8)
        picture[np.hypot(across - x, down - y) <= max(RADIUS, side / self.picture_size)] = _AGENT
        return picture

    def _draw_goal(self) -> Floats:
        return np.asarray(self.sample_goals(1, self.np_random).achieved[0])

    def _point(self, value: Any, name: str) -> Floats:
        numbers, low, high = pair(value), self._maze.low, self._maze.high
        point = np.zeros(2, np.float32) if numbers is None else numbers.astype(np.float32)
        if numbers is None or not self._maze.is_free(point):
            raise UserError(
                f"{name} {value!r} is no place in the maze; expected x from {low[0]:g} to {high[0]:g} and y from {low[1]:g} to {high[1]:g} "
                "outside its walls"
            )
        return point


def _places(cells: list[Cell], generator: np.random.Generator) -> Floats:
    """Return (n, 2) float32 positions about the centres of `cells`."""
    centres = np.array([centre(cell) for cell in cells]).reshape(-1, 2)
    return np.asarray(centres + generator.uniform(-PLACE_NOISE, PLACE_NOISE, centres.shape), np.float32)
