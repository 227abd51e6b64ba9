"""What lies inside foreign environments: their class, their goal, their test of success."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from envs.api import Floats
from envs.errors import UserError

_MAZE_THRESHOLD = 0.45  # metres; written into gymnasium-robotics' mazes, which have no attribute for it


def load_entry(spec: Any) -> Any:
    """Return the class or function that a Gymnasium registration names. Raises `UserError` where it cannot be imported."""
    try:
        entry = spec.entry_point
        return gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, AttributeError) as error:
        raise UserError(f"{spec.id} cannot be imported: {first_line(error)}") from error


def goal_owner(env: gymnasium.Env[Any, Any]) -> Any:
    """Return the object that holds the current ``goal`` of `env` (itself, or panda-gym's task), or None."""
    inner: Any = env.unwrapped
    for owner in (inner, getattr(inner, "task", None)):
        if owner is not None and isinstance(getattr(owner, "goal", None), np.ndarray):
            return owner
    return None


def set_inner_goal(env: gymnasium.Env[Any, Any], goal: Floats) -> bool:
    """Make `goal` (g,) the goal that `env` itself draws and tests; false where it keeps none that can be set."""
    owner = goal_owner(env)
    if owner is None or owner.goal.shape != goal.shape:
        return False
    owner.goal = goal.astype(np.float64)
    move_marker = getattr(env.unwrapped, "update_target_site_pos", None)
    if move_marker is not None:
        move_marker()
    simulation: Any = getattr(owner, "sim", None)  # panda-gym's task
    markers = sorted(name for name in getattr(simulation, "_bodies_idx", ()) if name.startswith("target"))
    if len(owner.goal) == 3 * len(markers):
        for marker, place in zip(markers, owner.goal.reshape(-1, 3)):
            simulation.set_base_pose(marker, place, np.array([0.0, 0.0, 0.0, 1.0]))
    return True


def mujoco_viewer(env: gymnasium.Env[Any, Any]) -> Any:
    """Return the viewer that a MuJoCo environment has drawn with, a maze's body included, or None."""
    inner: Any = env.unwrapped
    for owner in (inner, getattr(inner, "point_env", None), getattr(inner, "ant_env", None)):
        viewer = getattr(getattr(owner, "mujoco_renderer", None), "viewer", None)
        if viewer is not None:
            return viewer
    return None


def runs_on_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether `env` holds MuJoCo's data."""
    return type(getattr(env.unwrapped, "data", None)).__name__ == "MjData"


def success_test(built: gymnasium.Env[Any, Any], env_id: str, threshold: float | None) -> Callable[[Floats, Floats], Any]:
    """Return `achieved (..., g), desired (..., g) -> (...)`: by `threshold`, or else the environment's own test.

    Raises `UserError` where `threshold` is no distance, or is None and the environment names no test.
    """
    env: Any = built.unwrapped
    task = getattr(env, "task", None)
    if threshold is None and "gymnasium_robotics.envs.maze" in type(env).__module__:
        threshold = _MAZE_THRESHOLD
    if threshold is not None:
        if not isinstance(threshold, (int, float)) or not threshold > 0:
            raise UserError(f"success_threshold={threshold!r} is not a distance; expected a positive number in the units of the goals")
        limit = float(threshold)
        return lambda achieved, desired: distance(achieved, desired) <= limit
    for owner, name in ((env, "_is_success"), (task, "is_success")):
        test = getattr(owner, name, None)
        if test is not None:
            return test  # type: ignore[no-any-return]
    raise UserError(f"{env_id} names no success test; expected success_threshold=, a distance in the units of its goals")


def distance(achieved_goal: Floats, desired_goal: Floats) -> Floats:
    """Return the Euclidean distance over the leading axes of (..., g)."""
    return np.asarray(np.linalg.norm(np.asarray(achieved_goal, np.float64) - np.asarray(desired_goal, np.float64), axis=-1))


def first_line(error: object) -> str:
    """Return the first line of an error's message, or its type's name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
