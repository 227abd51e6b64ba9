"""The four-room square corridor of Skew-Fit's idealised experiment (section 6, Figure 3), with its entropy and coverage.

Known from the paper: an area of 11 x 11 units, four rooms joined to a ring, a start in one corner room, a policy that
reaches the valid point nearest to its goal up to noise of 0.06 units, a 60 x 60 grid for the entropy, and a largest
possible entropy of about 7.42 nats. The width of the ring is not published. On that grid only a ring 8 cells wide has it:
60^2 - 44^2 = 1664 cells and ln 1664 = 7.417 (7 cells: 7.31, 9 cells: 7.52), so the ring is 8 cells (1.467 units) wide here.
The start region is our guess: a square of 0.5 units in the outermost corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.api import Bools, Capabilities, Floats, GoalSet, Images
from envs.errors import UserError, unknown
from envs.point import PointTask, pair

SIZE = 11.0  # units along a side
CELLS = 60  # grid cells along a side
RING_CELLS = 8  # width of the ring in cells
OUTER = SIZE / 2  # the area is centred on the origin: |x|, |y| <= OUTER
INNER = OUTER - SIZE * RING_CELLS / CELLS  # the hole: |x|, |y| < INNER
NOISE = 0.06  # standard deviation of the goal-reaching policy, units
START_SIDE = 0.5  # side of the start region, units
SUCCESS_DISTANCE = 0.3  # units: five standard deviations of the noise; the paper defines no success

_SPLITS = {"test": 1, "tune": 2}
_GOALS_PER_SPLIT = 100
_AGENT, _RING, _WALL = (200, 60, 40), (235, 235, 230), (60, 65, 75)


def nearest_valid(points: Floats) -> Floats:
    """Return the nearest points of the ring to `points` (..., 2), in units."""
    inside = np.clip(np.asarray(points, np.float64), -OUTER, OUTER)
    in_hole = np.max(np.abs(inside), axis=-1) < INNER
    # The nearest wall of the hole is the one that the larger coordinate faces.
    axis = np.argmax(np.abs(inside), axis=-1)[..., None]
    larger = np.take_along_axis(inside, axis, axis=-1)
    pushed = inside.copy()
    np.put_along_axis(pushed, axis, np.where(larger < 0, -INNER, INNER), axis=-1)
    return np.where(in_hole[..., None], pushed, inside)


def grid_cells(points: Floats) -> NDArray[np.int64]:
    """Return (n, 2) indices, x first, of the ring's cells that `points` (n, 2) lie in; (-1, -1) for points off the ring."""
    points = np.asarray(points, np.float64).reshape(-1, 2)
    tolerance = 1e-5  # float32 coordinates of points on a wall
    reach = np.max(np.abs(points), axis=-1, keepdims=True)
    # A point on the hole's wall lies on a cell edge; a nudge off the wall puts it in the ring's cell, not the hole's.
    nudged = np.where(reach < INNER + tolerance, points * (INNER + tolerance) / np.maximum(reach, tolerance), points)
    cells = np.clip(np.floor((nudged + OUTER) / SIZE * CELLS).astype(np.int64), 0, CELLS - 1)
    return np.where((reach <= OUTER + tolerance) & (reach >= INNER - tolerance), cells, -1)


def cell_counts(points: Floats) -> NDArray[np.int64]:
    """Return (60, 60) counts of `points` (n, 2) per grid cell, first axis x; points off the ring are not counted."""
    cells = grid_cells(points)
    cells = cells[cells[:, 0] >= 0]
    return np.bincount(cells[:, 0] * CELLS + cells[:, 1], minlength=CELLS * CELLS).reshape(CELLS, CELLS)


def ring_cells() -> Bools:
    """Return the (60, 60) mask of the ring's 1664 cells."""
    centre = np.abs(np.arange(CELLS) - (CELLS - 1) / 2)
    return np.asarray(np.maximum(centre[:, None], centre[None, :]) > CELLS / 2 - RING_CELLS)


class CorridorEnv(PointTask):
    """One step from a corner room to the ring's point nearest to the action plus noise: an idealised goal-reaching policy.

    Observations, goals and actions are (2,) float32 positions in units, the centre being the origin; an episode is one step;
    the reward is minus the distance to the goal. Raises `UserError` for negative noise and malformed actions or goals.
    Source: Skew-Fit, section 6 (guesses: see the module).
    """

    observation_space: spaces.Dict
    action_space: spaces.Space[Any]
    horizon = 1
    kind = "gcrl/Corridor-v0"
    tolerance = SUCCESS_DISTANCE
    capabilities = Capabilities(state=True, render_state=True, goal_states=True, expert=True)

    def __init__(self, noise: float = NOISE, picture_size: int = 48) -> None:
        if not isinstance(noise, (int, float)) or not 0.0 <= noise < OUTER:
            raise UserError(f"noise={noise!r} is not a standard deviation in units; expected 0 to {OUTER} (nearest: {NOISE})")
        if not isinstance(picture_size, int) or picture_size < 8:
            raise UserError(f"picture_size={picture_size!r} does not show the ring; expected at least 8 pixels (nearest: 8)")
        self.noise = float(noise)
        self.picture_size = picture_size
        area = spaces.Box(-OUTER, OUTER, (2,), np.float32)
        self.observation_space = spaces.Dict({"observation": area, "achieved_goal": area, "desired_goal": area})
        self.action_space = spaces.Box(-OUTER, OUTER, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        if self._position is None or not options.get("keep_state"):
            self._position = self.np_random.uniform(-OUTER, -OUTER + START_SIDE, size=2).astype(np.float32)
        # The goal is drawn even where one is given, so that commanding a goal does not shift the stream of later noise.
        drawn = self.sample_goals(1, self.np_random).achieved[0].astype(np.float32)
        self._goal = drawn if options.get("goal") is None else _point(options["goal"], "goal")
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self._here("step")
        target = _point(action, "action") + self.np_random.normal(0.0, self.noise, size=2)
        self._position = nearest_valid(target).astype(np.float32)
        self._steps += 1
        reward = float(self.compute_reward(self._position, self._goal, {}))
        info = {"is_success": bool(self.success(self._position, self._goal))}
        return self._observe(), reward, False, self._steps >= self.horizon, info

    def expert_action(self, observation: Mapping[str, Any]) -> Floats:
        """Return the action (2,) of the paper's idealised policy: the desired goal itself."""
        return np.asarray(observation["desired_goal"], np.float32)

    def compute_reward(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Floats:
        """Return minus the distance in units, over the leading axes of (..., 2)."""
        return -self.metrics(achieved_goal, desired_goal)["distance"]

    def compute_terminated(self, achieved_goal: Floats, desired_goal: Floats, info: Any) -> Bools:
        """Return false: an episode is one step, whatever it reaches."""
        return np.zeros(np.shape(achieved_goal)[:-1], np.bool_)

    def coverage(self, achieved_goals: Floats) -> dict[str, float]:
        """Return ``entropy`` (nats, at most 7.417) and ``coverage`` (share of the ring's 1664 cells seen) of (n, 2) positions.

        The entropy is the plug-in estimate on the 60 x 60 grid (0 without points); it cannot exceed ln n, so compare equal n.
        """
        counts = cell_counts(achieved_goals)[ring_cells()]
        shares = counts[counts > 0] / max(counts.sum(), 1)
        return {"entropy": float(-np.sum(shares * np.log(shares))) + 0.0, "coverage": float(np.mean(counts > 0))}

    def sample_goals(self, n: int, generator: np.random.Generator) -> GoalSet:
        """Return `n` goals, uniform over the ring."""
        cells = np.argwhere(ring_cells())[generator.integers(0, int(ring_cells().sum()), size=n)]
        points = ((cells + generator.random((n, 2))) * (SIZE / CELLS) - OUTER).astype(np.float32)
        return GoalSet(states=points, achieved=points.copy())

    def fixed_goals(self, split: str) -> GoalSet:
        """Return the 100 goals of `split`, always the same. Raises `UserError` for an unknown split."""
        if split not in _SPLITS:
            raise unknown("split", split, _SPLITS)
        return self.sample_goals(_GOALS_PER_SPLIT, np.random.default_rng([_SPLITS[split], CELLS]))

    def render_state(self, state: Floats) -> Images:
        """Return a (picture_size, picture_size, 3) uint8 plan with a dot at `state` (2,), y upwards."""
        x, y = _point(state, "state")
        centres = (np.arange(self.picture_size) + 0.5) / self.picture_size * SIZE - OUTER
        across, up = np.meshgrid(centres, centres[::-1])
        picture = np.empty((self.picture_size, self.picture_size, 3), np.uint8)
        picture[:] = _WALL
        picture[np.maximum(np.abs(across), np.abs(up)) >= INNER] = _RING
        picture[np.hypot(across - x, up - y) <= max(0.35, SIZE / self.picture_size)] = _AGENT
        return picture


def _point(value: Any, name: str) -> Floats:
    numbers = pair(value)
    if numbers is None:
        raise UserError(f"{name} {value!r} is not a position; expected 2 finite numbers within ±{OUTER}")
    return np.clip(numbers.astype(np.float32), -OUTER, OUTER)
